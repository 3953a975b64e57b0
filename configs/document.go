package configs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// place is where something stands in a file; lines and columns count from 1.
type place struct {
	file      string
	line, col int
}

// String gives "file:line:col".
func (p place) String() string { return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.col) }

// node is one value of a document with its place. Exactly one of table, list
// and scalar is in use.
type node struct {
	key    place // of the key or header
	val    place // of the value
	table  map[string]*node
	list   []*node
	scalar any
	// tables says that list was written as [[headers]], which other files may
	// extend; closed that a table was written inline, which nobody may.
	tables, closed bool
}

// kind names the node's type for people, without its value.
func (n *node) kind() string {
	switch {
	case n.table != nil:
		return "a table"
	case n.list != nil:
		return "a list"
	}
	switch n.scalar.(type) {
	case string:
		return "text in quotes"
	case int64, float64:
		return "a number"
	case bool:
		return "true or false"
	}
	return "a date or time"
}

// parse reads one file. go-toml judges syntax, duplicates and values; its
// token parser then says where each stood.
func parse(file string, b []byte) (*node, *Problem) {
	ix := index{file: file, data: b, marks: map[string]mark{}, count: map[string]int{}, paths: map[place]string{}}
	var values map[string]any
	if err := toml.Unmarshal(b, &values); err != nil {
		ix.build() // as far as it goes
		return nil, ix.explain(err)
	}
	ix.build()
	root := ix.node("", values)
	root.key, root.val = place{file: file}, place{file: file}
	return root, nil
}

// explain turns what go-toml says into a problem. Of a key set twice it says
// neither the table nor the first place.
func (ix *index) explain(err error) *Problem {
	p := &Problem{File: ix.file, Msg: err.Error()}
	at, ok := errors.AsType[*toml.DecodeError](err)
	if !ok {
		return p
	}
	p.Line, p.Col = at.Position()
	p.Msg = strings.TrimPrefix(at.Error(), "toml: ")
	here := place{ix.file, p.Line, p.Col}
	path, known := ix.paths[here]
	if !known || len(at.Key()) == 0 {
		return p
	}
	if whole := strings.Join(at.Key(), "."); strings.HasPrefix(whole, path+".") {
		path = whole // of [a.b] the place is that of a, the fault may be b's
	}
	p.Key = shown(path)
	if first := ix.marks[path].key; first.line > 0 && first != here {
		p.Msg, p.Hint = "set twice, first at "+first.String(), "keep one of the two"
	}
	return p
}

// mark is what the token parser knows of one path.
type mark struct {
	key, val place
	inline   bool // written as { ... } or [ ... ]
}

// index finds places by path ("device[1].name").
type index struct {
	file  string
	data  []byte
	p     unstable.Parser
	marks map[string]mark
	count map[string]int // array tables seen, by path
	paths map[place]string
	lines []int // offset of each line's start
}

func (ix *index) build() {
	ix.lines = []int{0}
	for i, c := range ix.data {
		if c == '\n' {
			ix.lines = append(ix.lines, i+1)
		}
	}
	ix.p.Reset(ix.data)
	prefix := ""
	for ix.p.NextExpression() {
		switch e := ix.p.Expression(); e.Kind {
		case unstable.KeyValue:
			ix.keyValue(prefix, e)
		case unstable.Table, unstable.ArrayTable:
			prefix = ix.header(e)
		}
	}
}

// header notes a [table] or [[table]] and returns its path.
func (ix *index) header(e *unstable.Node) string {
	path := ""
	for it := e.Key(); it.Next(); {
		k := it.Node()
		path = sub(path, string(k.Data))
		at := ix.at(int(k.Raw.Offset))
		ix.note(path, mark{key: at, val: at})
		last := it.IsLast()
		if last && e.Kind == unstable.ArrayTable {
			ix.count[path]++
		}
		if n := ix.count[path]; n > 0 {
			path = item(path, n-1)
			ix.note(path, mark{key: at, val: at})
		}
	}
	return path
}

// keyValue notes a key, dotted or not, and what is inside its value.
func (ix *index) keyValue(prefix string, e *unstable.Node) {
	path, end := prefix, 0
	var key place
	for it := e.Key(); it.Next(); {
		k := it.Node()
		key, end = ix.at(int(k.Raw.Offset)), int(k.Raw.Offset+k.Raw.Length)
		path = sub(path, string(k.Data))
		ix.note(path, mark{key: key, val: key})
	}
	ix.value(path, key, ix.at(ix.valueAt(end)), e.Value())
}

// valueAt is the offset of the value that follows a key ending at end.
func (ix *index) valueAt(end int) int {
	for end < len(ix.data)-1 && strings.IndexByte(" \t=", ix.data[end]) >= 0 {
		end++
	}
	return end
}

// value notes a value and, if it holds others, those.
func (ix *index) value(path string, key, val place, n *unstable.Node) {
	if len(path) > maxPath {
		return
	}
	m := mark{key: key, val: val}
	switch n.Kind {
	case unstable.InlineTable:
		m.inline = true
		for it := n.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				ix.keyValue(path, it.Node())
			}
		}
	case unstable.Array:
		m.inline = true
		i := 0
		for it := n.Children(); it.Next(); {
			c := it.Node()
			if c.Kind == unstable.Comment {
				continue
			}
			at := val // the parser gives no place for a list within a list
			if c.Raw.Length > 0 {
				at = ix.at(int(c.Raw.Offset))
			}
			ix.value(item(path, i), at, at, c)
			i++
		}
	}
	if old, ok := ix.marks[path]; !ok || old.key == key {
		ix.marks[path] = m // more than its key's note knew
	}
}

// maxPath bounds a path in bytes. No key of ours is a quarter as long; without
// a bound a hostile file of nested lists costs its size squared.
const maxPath = 512

// note keeps the first place of a path.
func (ix *index) note(path string, m mark) {
	ix.paths[m.key] = path
	if _, ok := ix.marks[path]; !ok {
		ix.marks[path] = m
	}
}

// at turns an offset into a place.
func (ix *index) at(offset int) place {
	line, found := slices.BinarySearch(ix.lines, offset)
	if !found {
		line--
	}
	return place{file: ix.file, line: line + 1, col: offset - ix.lines[line] + 1}
}

// node joins the values to their places.
func (ix *index) node(path string, v any) *node {
	m := ix.marks[path]
	n := &node{key: m.key, val: m.val}
	if len(path) > maxPath {
		return n // whoever binds its parents refuses them first
	}
	switch v := v.(type) {
	case map[string]any:
		n.table, n.closed = make(map[string]*node, len(v)), m.inline
		for k, inner := range v {
			n.table[k] = ix.node(sub(path, k), inner)
		}
	case []any:
		n.list, n.tables = make([]*node, 0, len(v)), !m.inline
		for i, inner := range v {
			n.list = append(n.list, ix.node(item(path, i), inner))
		}
	default:
		n.scalar = v
	}
	return n
}

// merge adds a later file to the tables of an earlier one. What is set twice
// is a fault, since which file wins would depend on a file's name; [[tables]]
// are appended.
func merge(into, from *node, path string, report func(Problem)) {
	for _, k := range slices.Sorted(maps.Keys(from.table)) {
		b := from.table[k]
		a, ok := into.table[k]
		switch {
		case !ok:
			into.table[k] = b
		case a.table != nil && b.table != nil && !a.closed && !b.closed:
			merge(a, b, sub(path, k), report)
		case a.tables && b.tables:
			a.list = append(a.list, b.list...)
		default:
			report(Problem{File: b.key.file, Line: b.key.line, Col: b.key.col, Key: sub(path, k),
				Msg: "set twice, first at " + a.key.String(), Hint: "keep one of the two"})
		}
	}
}

// sub is the path of a key in a table. A key that is not bare is quoted, so
// that its dots do not look like tables.
func sub(path, key string) string {
	if len(path) > maxPath {
		return path
	}
	if !bare(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// item is the path of an element of a list.
func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// shown is a path as the technician knows it: without the numbers of elements,
// which the place tells better.
func shown(path string) string {
	var b strings.Builder
	depth, quoted := 0, false
	for i := range len(path) {
		c := path[i]
		switch {
		case c == '"' && (i == 0 || path[i-1] != '\\'):
			quoted = !quoted
		case !quoted && c == '[':
			depth++
		}
		if depth == 0 {
			b.WriteByte(c)
		}
		if !quoted && c == ']' {
			depth--
		}
	}
	return b.String()
}

func bare(key string) bool {
	return key != "" && len(key) <= 64 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}
