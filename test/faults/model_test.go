package faults

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// The model by hand: what a sync makes certain stays, and nothing else has to.
func TestDiskKeepsWhatWasSynced(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	d := NewDisk(map[string][]byte{"a": []byte("old")})
	for _, s := range []Step{
		{Kind: Write, Name: "a", Data: []byte("NEW")},
		{Kind: Open, Name: "b"},
		{Kind: Write, Name: "b", Data: []byte("body")},
		{Kind: Sync, Name: "b"},
	} {
		d.Apply(s)
	}
	if got := d.Cut(Dropped, dice); string(got["a"]) != "old" || len(got) != 1 {
		t.Errorf("everything dropped: %q, want the old a alone", got)
	}
	if got := d.Cut(Kept, dice); string(got["a"]) != "NEW" || string(got["b"]) != "body" {
		t.Errorf("everything kept: %q", got)
	}
	d.Apply(Step{Kind: Sync, Folder: true})
	if got := d.Cut(Dropped, dice); string(got["a"]) != "old" || string(got["b"]) != "body" {
		t.Errorf("after the folder's sync: %q, want b whole", got)
	}
	d.Apply(Step{Kind: Sync, Name: "a"})
	d.Apply(Step{Kind: Truncate, Name: "a", Size: 1})
	d.Apply(Step{Kind: Unlink, Name: "b"})
	if got := d.Cut(Dropped, dice); string(got["a"]) != "NEW" || string(got["b"]) != "body" {
		t.Errorf("truncated and removed, dropped: %q", got)
	}
	if got := d.Cut(Kept, dice); string(got["a"]) != "N" || len(got) != 1 {
		t.Errorf("truncated and removed, kept: %q", got)
	}
}

// Torn and garbled writes fall apart at sectors; what was certain before stays.
func TestDiskTearsAtSectors(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	old, fresh := strings.Repeat("o", 2*sector), strings.Repeat("n", 8*sector)
	d := NewDisk(map[string][]byte{"a": []byte(old)})
	d.Apply(Step{Kind: Write, Name: "a", Data: []byte(fresh)})
	seen := map[string]bool{}
	for range 200 {
		for _, loss := range []Loss{Torn, Garbled} {
			b := string(d.Cut(loss, dice)["a"])
			for i := 0; i+sector <= len(b); i += sector {
				part := b[i : i+sector]
				switch {
				case part == fresh[:sector]:
					seen["new"] = true
				case part == old[:sector] && i < len(old):
					seen["old"] = true
				case i >= len(old) && part == strings.Repeat("\x00", sector):
					seen["hole"] = true
				case i >= len(old) && loss == Garbled:
					seen["rubbish"] = true
				default:
					t.Fatalf("loss %d: sector %d is %.20q", loss, i/sector, part)
				}
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("sectors were %v, want new, old, hole and rubbish", seen)
	}
}
