package contract

import (
	"encoding"
	"encoding/json"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// Every member that a type can put on the wire stands in its schema, and the
// schema tells of none that no type has.
func TestSchemasNameEveryMemberAndNoOther(t *testing.T) {
	w := walk{t: t, docs: map[string]map[string]any{}}
	for _, d := range samples() {
		w.same(d.Type().short(), d.Type().short()+".json", reflect.TypeOf(d))
	}
	for name, v := range map[string]any{
		"status": Status{}, "receipt": Receipt{}, "state.info": StateInfo{}, "state.health": StateHealth{}, "state.lists": StateLists{},
		"want.list": Want{}, "command": Command{}, "fleet.notice": FleetNotice{}, "envelope": envelope{},
	} {
		w.same(name, name+".json", reflect.TypeOf(v))
	}
	if w.members < 300 {
		t.Errorf("only %d members were compared", w.members)
	}
}

type walk struct {
	t       *testing.T
	docs    map[string]map[string]any
	members int
}

// file is one schema's document.
func (w *walk) file(name string) map[string]any {
	w.t.Helper()
	if w.docs[name] == nil {
		b, err := Documents.ReadFile(path.Join("schemas", name))
		if err != nil {
			w.t.Fatal(err)
		}
		doc := map[string]any{}
		if err := json.Unmarshal(b, &doc); err != nil {
			w.t.Fatalf("%s: %v", name, err)
		}
		w.docs[name] = doc
	}
	return w.docs[name]
}

// found is a part of a schema and the file it stands in.
type found struct {
	in   string
	node map[string]any
}

// open follows references: what a part says itself, and what it refers to.
func (w *walk) open(in string, node map[string]any) []found {
	all := []found{{in, node}}
	if ref, ok := node["$ref"].(string); ok {
		name, at, _ := strings.Cut(ref, "#")
		if name == "" {
			name = in
		}
		to := w.file(name)
		for _, step := range strings.FieldsFunc(at, func(r rune) bool { return r == '/' }) {
			next, ok := to[step].(map[string]any)
			if !ok {
				w.t.Fatalf("%s: nothing at %s", in, ref)
			}
			to = next
		}
		all = append(all, w.open(name, to)...)
	}
	parts, _ := node["allOf"].([]any)
	for _, p := range parts {
		all = append(all, w.open(in, p.(map[string]any))...)
	}
	return all
}

// same compares a type with a schema's document.
func (w *walk) same(at, file string, typ reflect.Type) { w.compare(at, file, w.file(file), typ) }

func (w *walk) compare(at, in string, node map[string]any, typ reflect.Type) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	text := reflect.TypeFor[encoding.TextMarshaler]()
	switch {
	case typ.Implements(text), reflect.PointerTo(typ).Implements(text):
		return
	case typ.Kind() != reflect.Slice && typ.Kind() != reflect.Struct:
		for _, f := range w.open(in, node) {
			if said, ok := f.node["type"].(string); ok && said != kinds[typ.Kind()] {
				w.t.Errorf("%s is sent as %s, and the schema wants %s", at, kinds[typ.Kind()], said)
			}
		}
		return
	case typ == reflect.TypeFor[jsontext.Value](): // what a command takes depends on its name
		return
	case typ.Kind() == reflect.Slice:
		for _, f := range w.open(in, node) {
			if items, ok := f.node["items"].(map[string]any); ok {
				w.compare(at+"/*", f.in, items, typ.Elem())
			}
		}
		return
	}
	said := map[string]found{}
	forbidden := map[string]bool{}
	for _, f := range w.open(in, node) {
		props, _ := f.node["properties"].(map[string]any)
		for name, p := range props {
			said[name] = found{f.in, p.(map[string]any)}
		}
		forbid(f.node["not"], forbidden)
	}
	for _, f := range fields(typ) {
		w.members++
		p, ok := said[f.name]
		if !ok && forbidden[f.name] {
			continue // a public event shares a type with the watch desk's
		}
		if !ok {
			w.t.Errorf("%s/%s can be sent and is in no schema", at, f.name)
			continue
		}
		delete(said, f.name)
		w.compare(at+"/"+f.name, p.in, p.node, f.typ)
	}
	for name := range said {
		w.t.Errorf("%s/%s is in the schema and is never sent", at, name)
	}
}

var kinds = map[reflect.Kind]string{
	reflect.Array: "array", reflect.Bool: "boolean", reflect.String: "string", reflect.Float64: "number",
	reflect.Int: "integer", reflect.Int64: "integer", reflect.Uint8: "integer", reflect.Uint16: "integer", reflect.Uint64: "integer",
}

// forbid notes the members that a "not" rules out, one by one.
func forbid(not any, names map[string]bool) {
	n, _ := not.(map[string]any)
	each, _ := n["anyOf"].([]any)
	for _, one := range each {
		forbid(one, names)
	}
	if required, _ := n["required"].([]any); len(required) == 1 {
		names[required[0].(string)] = true
	}
}

type member struct {
	name string
	typ  reflect.Type
}

// fields gives what a struct has on the wire, embedded ones included.
func fields(typ reflect.Type) (out []member) {
	for f := range typ.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "":
			out = append(out, fields(f.Type)...)
		case name == "":
			out = append(out, member{f.Name, f.Type})
		default:
			out = append(out, member{name, f.Type})
		}
	}
	return out
}
