package lists

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
)

// The golden metadata of the contract reads as what it says, and its schema
// names the members that a booth knows of a list: a booth refuses others.
func TestGoldenMetadata(t *testing.T) {
	b, err := contract.Documents.ReadFile("golden/list.metadata.json")
	if err != nil {
		t.Fatal(err)
	}
	md, err := new(metadata.Metadata[metadata.TargetsType]).FromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	lists, deltas, err := parseTargets(md)
	if err != nil || len(lists) != 1 || len(deltas) != 1 {
		t.Fatalf("parseTargets = %+v, %+v, %v", lists, deltas, err)
	}
	if l, d := lists[0], deltas[0]; l.Kind != contract.ListLookouts || l.Rows != 2700 || d.Rows != l.Rows || d.To != l.Digest || len(d.data) != int(d.length) {
		t.Errorf("list %+v, delta %+v", l, d)
	}

	b, err = contract.Documents.ReadFile("schemas/list.metadata.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct {
			Custom struct {
				Properties map[string]struct{ Enum []string }
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	var known []string
	for f := range reflect.TypeFor[Custom]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known = append(known, name)
	}
	slices.Sort(known)
	if diff := cmp.Diff(known, slices.Sorted(maps.Keys(schema.Defs.Custom.Properties))); diff != "" {
		t.Errorf("members of a list's custom fields (-code +schema):\n%s", diff)
	}
	if diff := cmp.Diff(contract.ListKinds(), schema.Defs.Custom.Properties["kind"].Enum); diff != "" {
		t.Errorf("kinds (-code +schema):\n%s", diff)
	}
}
