package contract

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// frozenFile is what the schemas of this version of the contract promise, a line
// for each member: schema and path, type, whether it is required, and the words
// it may be. Lines are only ever added, which -update does and no more. A line is
// taken out by hand, with the type that it is of, one release after a newer
// version of that type came beside it (mqtt contract, section 2).
const frozenFile = "testdata/frozen-v1.txt"

// Within a version members are only added: none goes, is of another type, or
// becomes required.
func TestVersionsAreOnlyAddedTo(t *testing.T) {
	docs := map[string]any{}
	names, err := fs.Glob(Documents, "schemas/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no schemas: %v", err)
	}
	for _, name := range names {
		b, err := Documents.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		docs[path.Base(name)] = doc
	}
	now := flatten(docs)
	b, err := os.ReadFile(frozenFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	frozen := thaw(t, string(b))
	for _, words := range broken(frozen, now) {
		t.Error(words)
	}
	if *update {
		all := maps.Clone(now)
		maps.Copy(all, frozen)
		if err := os.WriteFile(frozenFile, []byte(freeze(all)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for at := range now {
		if _, ok := frozen[at]; !ok {
			t.Errorf("%s is new and not promised yet: go test -update ./agent/contract", at)
		}
	}
	if len(frozen) < 500 {
		t.Errorf("only %d members are held", len(frozen))
	}
}

// promise is what a schema says of one path.
type promise struct {
	types    string // such as "integer", "null,string", or a constant
	required bool
	words    string // of an enumeration, sorted
}

func (m promise) String() string {
	need := "optional"
	if m.required {
		need = "required"
	}
	return strings.TrimSpace(m.types + " " + need + " " + m.words)
}

func freeze(all map[string]promise) string {
	var out strings.Builder
	for _, at := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&out, "%s %s\n", at, all[at])
	}
	return out.String()
}

func thaw(t *testing.T, text string) map[string]promise {
	t.Helper()
	out := map[string]promise{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || len(f) > 4 || f[2] != "required" && f[2] != "optional" {
			t.Fatalf("%s: %q is no line of a member", frozenFile, line)
		}
		out[f[0]] = promise{types: f[1], required: f[2] == "required", words: strings.Join(f[3:], "")}
	}
	return out
}

// broken says what is no longer as it was promised.
func broken(frozen, now map[string]promise) (out []string) {
	for _, at := range slices.Sorted(maps.Keys(frozen)) {
		was := frozen[at]
		is, ok := now[at]
		switch {
		case !ok:
			out = append(out, at+" is gone: what is removed comes as a newer version of its type, beside this one")
		case is.types != was.types:
			out = append(out, fmt.Sprintf("%s is %s, and was %s", at, is.types, was.types))
		case is.required && !was.required:
			out = append(out, at+" has become required: what is stored without it would be refused")
		case was.required && !is.required:
			out = append(out, at+" is required no more: who reads it stands on that")
		}
		for _, w := range strings.FieldsFunc(was.words, comma) {
			if ok && is.words != "" && !slices.Contains(strings.FieldsFunc(is.words, comma), w) {
				out = append(out, fmt.Sprintf("%s may not be %q any more", at, w))
			}
		}
	}
	for _, at := range slices.Sorted(maps.Keys(now)) {
		if _, ok := frozen[at]; !ok && now[at].required && promised(frozen, at) {
			out = append(out, at+" is new in what was there, and required: what is stored has it not")
		}
	}
	return out
}

func comma(r rune) bool { return r == ',' }

// promised tells whether the object that a member stands in is older than it.
func promised(frozen map[string]promise, at string) bool {
	inside := at[:strings.LastIndexAny(at, ":.")]
	for old := range frozen {
		if strings.HasPrefix(old, inside) && strings.ContainsAny(old[len(inside):min(len(old), len(inside)+1)], ":.") {
			return true
		}
	}
	return false
}

// flatten gives every member of every schema, by "schema:path".
func flatten(docs map[string]any) map[string]promise {
	f := flat{docs: docs, out: map[string]promise{}}
	for name := range docs {
		if name != "defs.json" { // what is used of it stands where it is used
			f.walk(name, docs[name], strings.TrimSuffix(name, ".json")+":", 0)
		}
	}
	return f.out
}

type flat struct {
	docs map[string]any
	out  map[string]promise
}

// nestedMost ends what refers to itself; no message nests deeper than 8.
const nestedMost = 12

// walk takes what stands under a path. Conditions only narrow what is said
// without them, and are left out.
func (f flat) walk(in string, node any, at string, depth int) {
	in, n := f.resolve(in, node)
	if n == nil || depth > nestedMost {
		return
	}
	required := map[string]bool{}
	for _, part := range f.parts(in, n) {
		for _, name := range list(part.node["required"]) {
			required[fmt.Sprint(name)] = true
		}
	}
	for _, part := range f.parts(in, n) {
		for name, of := range object(part.node["properties"]) {
			below := at + name
			m := promise{types: f.types(part.in, of), required: required[name], words: f.words(part.in, of)}
			if old, ok := f.out[below]; !ok || old.types == "any" {
				f.out[below] = m
			}
			f.walk(part.in, of, below+".", depth+1)
		}
		for _, of := range []any{part.node["items"], part.node["additionalProperties"]} {
			if object(of) != nil {
				below := strings.TrimSuffix(at, ".") + "[]"
				f.out[below] = promise{types: f.types(part.in, of), words: f.words(part.in, of)}
				f.walk(part.in, of, below+".", depth+1)
			}
		}
	}
}

// placed is a node and the file that it stands in.
type placed struct {
	in   string
	node map[string]any
}

// parts are a node and all that holds beside it.
func (f flat) parts(in string, n map[string]any) []placed {
	out := []placed{{in, n}}
	for _, key := range []string{"allOf", "anyOf"} {
		for _, p := range list(n[key]) {
			where, q := f.resolve(in, p)
			if q != nil && q["if"] == nil {
				out = append(out, f.parts(where, q)...)
			}
		}
	}
	return out
}

// resolve follows references; in is the file that a node stands in.
func (f flat) resolve(in string, node any) (string, map[string]any) {
	n := object(node)
	for range nestedMost {
		ref, ok := n["$ref"].(string)
		if !ok {
			return in, n
		}
		file, inside, _ := strings.Cut(ref, "#")
		if file != "" {
			in = file
		}
		n = object(f.docs[in])
		for step := range strings.SplitSeq(strings.Trim(inside, "/"), "/") {
			if step != "" {
				n = object(n[step])
			}
		}
	}
	return in, nil
}

func (f flat) types(in string, node any) string {
	in, n := f.resolve(in, node)
	var all []string
	for _, p := range f.parts(in, n) {
		if c, ok := p.node["const"]; ok {
			all = append(all, fmt.Sprintf("=%v", c))
		}
		switch t := p.node["type"].(type) {
		case nil:
			for _, w := range list(p.node["enum"]) {
				if _, ok := w.(string); ok {
					all = append(all, "string")
				}
			}
		case string:
			all = append(all, t)
		case []any:
			for _, x := range t {
				all = append(all, fmt.Sprint(x))
			}
		}
	}
	if len(all) == 0 {
		return "any"
	}
	slices.Sort(all)
	return strings.ReplaceAll(strings.Join(slices.Compact(all), ","), " ", "_")
}

func (f flat) words(in string, node any) string {
	in, n := f.resolve(in, node)
	var all []string
	for _, p := range f.parts(in, n) {
		for _, w := range list(p.node["enum"]) {
			all = append(all, strings.ReplaceAll(fmt.Sprint(w), " ", "_"))
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",")
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }
func list(v any) []any            { l, _ := v.([]any); return l }

// What would break whoever reads or has stored events is found, and what is
// only added is not.
func TestBreakingChangesAreFound(t *testing.T) {
	const defs = `{"$defs":{"clock":{"type":"object","required":["boot"],"properties":{"boot":{"type":"string"},"src":{"type":"string"}}}}}`
	const was = `{"type":"object","required":["at","n"],"properties":{"at":{"type":"string"},"n":{"type":"integer"},"more":{"type":"string","enum":["a","b"]},
		"clock":{"$ref":"defs.json#/$defs/clock"},"rows":{"type":"array","items":{"type":"object","required":["k"],"properties":{"k":{"type":["string","null"]}}}},
		"either":{"anyOf":[{"type":"string"},{"const":7}]}},"allOf":[{"required":["clock"]},{"if":{"properties":{"n":{"const":1}}},"then":{"required":["more"]}}]}`
	read := func(schema, defs string) map[string]promise {
		docs := map[string]any{}
		for name, text := range map[string]string{"x.v1.json": schema, "defs.json": defs} {
			var doc any
			if err := json.Unmarshal([]byte(text), &doc); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			docs[name] = doc
		}
		return flatten(docs)
	}
	frozen := read(was, defs)
	if len(frozen) != 10 || !frozen["x.v1:clock"].required || frozen["x.v1:more"].required || frozen["x.v1:rows[].k"].types != "null,string" || frozen["x.v1:either"].types != "=7,string" {
		t.Fatalf("read as\n%s", freeze(frozen))
	}
	if again := thaw(t, freeze(frozen)); !maps.Equal(again, frozen) {
		t.Errorf("%v came back as %v", frozen, again)
	}
	for _, tt := range []struct {
		name, old, fresh string
		want             string // "": it breaks nothing
	}{
		{"the same", "", "", ""},
		{"a new member", `"n":{"type":"integer"}`, `"n":{"type":"integer"},"m":{"type":"object","required":["x"],"properties":{"x":{"type":"string"}}}`, ""},
		{"a new word", `["a","b"]`, `["a","b","c"]`, ""},
		{"a member goes", `"n":{"type":"integer"},`, ``, "x.v1:n is gone"},
		{"one of an array goes", `"k":{"type":["string","null"]}`, ``, "x.v1:rows[].k is gone"},
		{"one of a reference goes", `,"src":{"type":"string"}`, ``, "x.v1:clock.src is gone"},
		{"another type", `"n":{"type":"integer"}`, `"n":{"type":"string"}`, "x.v1:n is string, and was integer"},
		{"one type less", `["string","null"]`, `"string"`, "x.v1:rows[].k is string, and was null,string"},
		{"another constant", `{"const":7}`, `{"const":8}`, "x.v1:either is =8,string, and was =7,string"},
		{"required now", `["at","n"]`, `["at","n","more"]`, "x.v1:more has become required"},
		{"required in a reference", `["boot"]`, `["boot","src"]`, "x.v1:clock.src has become required"},
		{"required no more", `["at","n"]`, `["at"]`, "x.v1:n is required no more"},
		{"new and required", `"required":["at","n"],"properties":{`, `"required":["at","n","m"],"properties":{"m":{"type":"string"},`, "x.v1:m is new in what was there, and required"},
		{"a word less", `["a","b"]`, `["a"]`, `x.v1:more may not be "b" any more`},
	} {
		now := read(strings.Replace(was, tt.old, tt.fresh, 1), strings.Replace(defs, tt.old, tt.fresh, 1))
		got := broken(frozen, now)
		switch {
		case tt.want == "" && len(got) > 0:
			t.Errorf("%s: %q, want nothing", tt.name, got)
		case tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)):
			t.Errorf("%s: %q, want one that begins with %q", tt.name, got, tt.want)
		}
	}
	if got := broken(frozen, nil); len(got) != len(frozen) {
		t.Errorf("of a schema that is gone: %q", got)
	}
	more := maps.Clone(frozen)
	more["x.v2:at"] = promise{types: "string", required: true}
	if got := broken(frozen, more); len(got) > 0 {
		t.Errorf("of a newer version beside it: %q", got)
	}
}
