package configs

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// valueError is what an UnmarshalText of this package says; hint may be empty.
type valueError struct{ msg, hint string }

func (e *valueError) Error() string { return e.msg }

// wanter is a type that can say what it takes: `a duration such as "4h"`.
type wanter interface{ wanted() string }

// binder puts a document's values into a Config. It never stops at a fault.
type binder struct {
	kinds    Kinds
	nodes    map[string]*node // every known path that was set
	bad      map[string]bool  // paths with a fault of their own: later checks keep quiet
	problems Problems
}

func newBinder(kinds Kinds) *binder {
	return &binder{kinds: kinds, nodes: map[string]*node{}, bad: map[string]bool{}}
}

// fault reports one and marks its path.
func (b *binder) fault(path string, at place, msg, hint string) {
	b.bad[path] = true
	b.problems = append(b.problems, Problem{File: at.file, Line: at.line, Col: at.col, Key: shown(path), Msg: msg, Hint: hint})
}

// table binds the keys of n to the fields of the struct dst. Keys are matched
// exactly: go-toml would take ID for id.
func (b *binder) table(path string, n *node, dst reflect.Value) {
	fields := fieldsOf(dst.Type())
	names := slices.Collect(maps.Keys(fields))
	var own reflect.Value // a device's
	if d, ok := dst.Addr().Interface().(*Device); ok {
		own = b.own(n, d)
		for _, k := range b.kinds {
			names = append(names, k.ownKeys()...)
		}
	}
	slices.Sort(names)
	for _, k := range slices.Sorted(maps.Keys(n.table)) {
		inner, p := n.table[k], sub(path, k)
		if i, ok := fields[k]; ok {
			b.nodes[p] = inner
			b.field(p, inner, dst.Field(i), dst.Type().Field(i).Tag)
			continue
		}
		if own.IsValid() {
			if i, ok := fieldsOf(own.Type())[k]; ok {
				b.nodes[p] = inner
				b.field(p, inner, own.Field(i), own.Type().Field(i).Tag)
				continue
			}
		}
		if slices.Contains(names, k) { // another driver's: told when the device is checked
			b.nodes[p] = inner
			continue
		}
		what := "unknown key"
		if inner.table != nil && !inner.closed || inner.tables {
			what = "unknown table"
		}
		hint := didYouMean(k, names)
		if hint == "" {
			hint = b.belongsIn(k)
		}
		if near := nearest(k, names); near != "" {
			b.bad[sub(path, near)] = true // not missing, only misspelt
		}
		b.fault(p, inner.key, what, hint)
	}
}

// own makes the driver's own keys of a device, if its driver is known.
func (b *binder) own(n *node, d *Device) reflect.Value {
	named := n.table["driver"]
	if named == nil {
		return reflect.Value{}
	}
	name, _ := named.scalar.(string)
	k, ok := b.kinds.Of(Driver(name))
	if !ok || k.Own == nil {
		return reflect.Value{}
	}
	d.Own = k.Own()
	return reflect.ValueOf(d.Own).Elem()
}

// field binds the value of a field, which its tag may narrow.
func (b *binder) field(path string, n *node, dst reflect.Value, tag reflect.StructTag) {
	one := strings.Fields(tag.Get("one"))
	if dst.Type() == reflect.TypeFor[Driver]() {
		one = b.kinds.names()
	}
	switch {
	case tag.Get("is") == "ref":
		b.text(path, n, (*Ref)(dst.Addr().Interface().(*string)))
	case dst.Type() == reflect.TypeFor[time.Duration]():
		var span Duration
		b.text(path, n, &span)
		dst.SetInt(int64(span.Duration))
	case len(one) > 0 && dst.Kind() == reflect.Slice && n.list != nil:
		dst.Set(reflect.MakeSlice(dst.Type(), len(n.list), len(n.list)))
		for i, inner := range n.list {
			p := item(path, i)
			b.nodes[p] = inner
			b.text(p, inner, &word{dst.Index(i), one})
		}
	case len(one) > 0 && dst.Kind() == reflect.String:
		b.text(path, n, &word{dst, one})
	default:
		b.value(path, n, dst)
	}
}

// word is a text that is one of some words.
type word struct {
	dst reflect.Value
	one []string
}

// UnmarshalText takes one of the words.
func (w *word) UnmarshalText(b []byte) error {
	var chosen string
	err := choose(&chosen, b, w.one...)
	w.dst.SetString(chosen)
	return err
}

// value binds one value, whatever its type.
func (b *binder) value(path string, n *node, dst reflect.Value) {
	if t, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		b.text(path, n, t)
		return
	}
	ok := true
	switch dst.Kind() {
	case reflect.Struct:
		if ok = n.table != nil; ok {
			b.table(path, n, dst)
		}
	case reflect.Map:
		if ok = n.table != nil; ok {
			b.entries(path, n, dst)
		}
	case reflect.Slice:
		if ok = n.list != nil; ok {
			b.items(path, n, dst)
		}
	default:
		ok = setScalar(dst, n.scalar)
	}
	if !ok {
		b.fault(path, n.val, fmt.Sprintf("want %s, have %s", wantedKind(dst), n.kind()), "")
	}
}

func (b *binder) text(path string, n *node, dst encoding.TextUnmarshaler) {
	s, ok := n.scalar.(string)
	if !ok {
		want := "text in quotes"
		if w, ok := dst.(wanter); ok {
			want = w.wanted()
		}
		b.fault(path, n.val, fmt.Sprintf("want %s, have %s", want, n.kind()), "")
		return
	}
	if err := dst.UnmarshalText([]byte(s)); err != nil {
		hint := ""
		if v, ok := errors.AsType[*valueError](err); ok {
			hint = v.hint
		}
		b.fault(path, n.val, err.Error(), hint)
	}
}

func (b *binder) entries(path string, n *node, dst reflect.Value) {
	dst.Set(reflect.MakeMapWithSize(dst.Type(), len(n.table)))
	for _, k := range slices.Sorted(maps.Keys(n.table)) {
		p := sub(path, k)
		b.nodes[p] = n.table[k]
		v := reflect.New(dst.Type().Elem()).Elem()
		b.value(p, n.table[k], v)
		dst.SetMapIndex(reflect.ValueOf(k), v)
	}
}

func (b *binder) items(path string, n *node, dst reflect.Value) {
	dst.Set(reflect.MakeSlice(dst.Type(), len(n.list), len(n.list)))
	for i, inner := range n.list {
		p := item(path, i)
		b.nodes[p] = inner
		b.value(p, inner, dst.Index(i))
	}
}

// setScalar sets a plain field and tells whether the value's type fits. A
// whole number may stand for a fraction (random_rate = 0).
func setScalar(dst reflect.Value, v any) bool {
	switch v := v.(type) {
	case string:
		if dst.Kind() != reflect.String {
			return false
		}
		dst.SetString(v)
	case bool:
		if dst.Kind() != reflect.Bool {
			return false
		}
		dst.SetBool(v)
	case int64:
		switch {
		case dst.Kind() == reflect.Float64:
			dst.SetFloat(float64(v))
		case dst.Kind() == reflect.Int && !dst.OverflowInt(v):
			dst.SetInt(v)
		default:
			return false
		}
	case float64:
		if dst.Kind() != reflect.Float64 {
			return false
		}
		dst.SetFloat(v)
	default:
		return false
	}
	return true
}

// wantedKind names a plain field's type for people.
func wantedKind(dst reflect.Value) string {
	switch dst.Kind() {
	case reflect.String:
		return "text in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		if dst.Type().Elem().Kind() == reflect.Struct {
			return "tables written [[device]]"
		}
		return `a list such as ["x", "y"]`
	}
	return "a table"
}

// fieldsOf gives the keys of a struct's table and the fields they set.
func fieldsOf(t reflect.Type) map[string]int {
	out := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ",")
		if name != "" && name != "-" {
			out[name] = i
		}
	}
	return out
}

// belongsIn tells which table a misplaced key belongs to, if there is just one.
func (b *binder) belongsIn(key string) string {
	var homes []string
	top := reflect.TypeFor[Config]()
	for name, i := range fieldsOf(top) {
		t, form := top.Field(i).Type, "["+name+"]"
		if t.Kind() == reflect.Slice {
			t, form = t.Elem(), "[["+name+"]]"
		}
		if t.Kind() != reflect.Struct || t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			continue
		}
		_, ok := fieldsOf(t)[key]
		if t == reflect.TypeFor[Device]() {
			ok = ok || slices.ContainsFunc(b.kinds, func(k Kind) bool { return slices.Contains(k.ownKeys(), key) })
		}
		if ok {
			homes = append(homes, form)
		}
	}
	if _, ok := fieldsOf(top)[key]; ok {
		homes = append(homes, "the top of the file, before the first [table]")
	}
	if len(homes) != 1 {
		return ""
	}
	return "it belongs in " + homes[0]
}
