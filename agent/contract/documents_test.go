package contract

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"boothd/agent/passage"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func schemas(t *testing.T) *jsonschema.Compiler {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	names, err := fs.Glob(Documents, "schemas/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no schemas: %v", err)
	}
	for _, name := range names {
		b, err := Documents.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.AddResource(schemaBase+path.Base(name), doc); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func valid(t *testing.T, c *jsonschema.Compiler, schema string, b []byte) {
	t.Helper()
	s, err := c.Compile(schema)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%s refuses what is sent: %v\n%s", schema, err, b)
	}
}

func TestEveryEventValidatesAndIsGolden(t *testing.T) {
	c := schemas(t)
	seen := make(map[Type]bool)
	for i, d := range samples() {
		b, err := Encode(stamp(uint64(i+1)), head, d)
		if err != nil {
			t.Fatal(err)
		}
		seen[d.Type()] = true
		golden(t, d.Type().short(), b)
		e, err := Decode(b)
		if err != nil {
			t.Fatalf("Decode(%s): %v", d.Type(), err)
		}
		valid(t, c, schemaBase+"envelope.json", b)
		valid(t, c, d.Type().Schema(), e.Data)
		if e.Seq != uint64(i+1) || e.Head != head || e.Stamp != stamp(e.Seq) || !d.Type().Class().Valid() {
			t.Errorf("%s came back as %+v", d.Type(), e)
		}
	}
	for _, typ := range Types() {
		if !seen[typ] {
			t.Errorf("no sample of %s", typ)
		}
	}
	for name, b := range others(t) {
		valid(t, c, schemaBase+name+".json", b)
		golden(t, name, b)
	}
}

func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	file := filepath.Join("golden", name+".json")
	if *update {
		if err := os.WriteFile(file, append(bytes.Clone(b), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), string(b)); diff != "" {
		t.Errorf("%s (-golden +now):\n%s", name, diff)
	}
}

func TestGoldenFilesDecode(t *testing.T) {
	names, err := fs.Glob(Documents, "golden/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if want := len(Types()) + len(others(t)) + 1; len(names) != want { // and list.metadata, which agent/lists reads
		t.Errorf("%d golden files, want %d", len(names), want)
	}
	for _, name := range names {
		b, err := Documents.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.TrimSpace(b)
		switch base := strings.TrimSuffix(path.Base(name), ".json"); {
		case strings.HasSuffix(base, ".v1"):
			_, err = Decode(b)
		case base == "receipt":
			_, err = DecodeReceipt(b)
		case base == "status":
			_, err = DecodeStatus(b)
		case base == "cmd":
			_, err = DecodeEnvelope(b)
		case base == "command":
			_, err = DecodeCommand(b)
		case base == "notice":
			_, err = DecodeEnvelope(b)
		case base == "fleet.notice":
			_, err = DecodeFleetNotice(b)
		case base == "checkpoint":
			_, err = DecodeCheckpoint(b)
		case base == "want.list":
			_, err = DecodeWant(b)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemasRefuseALookoutInTheOpen(t *testing.T) {
	c := schemas(t)
	s, err := c.Compile(TypeCrossingDecided.Schema())
	if err != nil {
		t.Fatal(err)
	}
	crossing, _ := judged(nil).Events()
	for name, edit := range map[string]func(*CrossingDecided){
		"hits":    func(d *CrossingDecided) { d.Facts.Hits = []passage.Hit{hit(passage.Stop)} },
		"reason":  func(d *CrossingDecided) { d.Decision.Reasons = []passage.Code{100, 302} },
		"lead":    func(d *CrossingDecided) { d.Decision.Lead = 300 },
		"silent":  func(d *CrossingDecided) { d.Decision.Silent = true },
		"caution": func(d *CrossingDecided) { d.Decision.Caution = true },
	} {
		bad := crossing
		edit(&bad)
		b, err := json.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(v) == nil {
			t.Errorf("schema lets %s through", name)
		}
	}
}

func TestTopicsStandInAsyncAPI(t *testing.T) {
	doc, err := Documents.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, m := range regexp.MustCompile(`(?m)^    address: (\S+)$`).FindAllStringSubmatch(string(doc), -1) {
		said = append(said, m[1])
	}
	want := []string{
		TopicStatus, TopicStateInfo, TopicStateHealth, TopicStateLists, TopicEvent, TopicReceipt, TopicCommand, TopicWantList,
		TopicListMeta, TopicListPart, TopicNotice,
	}
	slices.Sort(said)
	slices.Sort(want)
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("topics (-code +asyncapi.yaml):\n%s", diff)
	}
	var refs []string
	for _, m := range regexp.MustCompile(`\$ref: \./schemas/(\S+)\.json`).FindAllStringSubmatch(string(doc), -1) {
		refs = append(refs, m[1])
	}
	slices.Sort(refs)
	refs = slices.Compact(refs)
	names, err := fs.Glob(Documents, "schemas/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, n := range names {
		if base := strings.TrimSuffix(path.Base(n), ".json"); base != "defs" {
			files = append(files, base)
		}
	}
	if diff := cmp.Diff(files, refs); diff != "" {
		t.Errorf("schemas (-files +asyncapi.yaml):\n%s", diff)
	}
	for _, enum := range []string{
		"enum: [crossing, read, signal, device, list, clock, security, audit, cmdresult]\n", "enum: [" + strings.Join(ListKinds(), ", ") + "]\n",
	} {
		if !strings.Contains(string(doc), enum) {
			t.Errorf("asyncapi.yaml does not say %s", enum)
		}
	}
	for _, typ := range Types() {
		told := regexp.MustCompile(`(?m)^ +name: ` + regexp.QuoteMeta(string(typ)) + `\n +summary: .+\n +description: 'Topic class: (\w+)\.'$`).FindSubmatch(doc)
		if told == nil {
			t.Errorf("asyncapi.yaml does not name %s with its class", typ)
		} else if Class(told[1]) != typ.Class() {
			t.Errorf("asyncapi.yaml sends %s as %s, and booths as %s", typ, told[1], typ.Class())
		}
	}
}
