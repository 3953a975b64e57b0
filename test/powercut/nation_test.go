package powercut

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"boothd/buffer/eligibility"
	"boothd/test/long"
)

// nationSize is how many cards the country has: all of them in the long run.
func nationSize() uint64 {
	if long.Times() > 0 {
		return 2_300_000
	}
	return 40_000
}

func nationToken(i uint64) eligibility.Token {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("nation"), i))
	return eligibility.Token(sum[:16])
}

// nationValue is what a generation says of a card; "" if nothing. Of a hundred
// cards one comes or goes, and some change.
func nationValue(generation, i uint64) string {
	switch {
	case i%400 == generation:
		return ""
	case i%700 == 0:
		return fmt.Sprintf("card %d as of %d", i, generation)
	}
	return fmt.Sprintf("card %d", i)
}

func nation(generation uint64) []eligibility.Row {
	out := make([]eligibility.Row, 0, nationSize())
	for i := range nationSize() {
		if v := nationValue(generation, i); v != "" {
			out = append(out, eligibility.Row{Token: nationToken(i), Value: []byte(v)})
		}
	}
	slices.SortFunc(out, func(a, b eligibility.Row) int { return slices.Compare(a.Token[:], b.Token[:]) })
	return out
}

// Power cut at every write while a booth takes the country's list whole, and
// while it takes what has changed of it: the old one or the new one is in force.
// The list is read whole on the first disk and on every 500th, and by samples on
// each.
func TestI6_PowerCutsAtNationalSize(t *testing.T) {
	dir := prepared(t, taking(1, nation))
	for _, part := range []string{"amended", "nation"} {
		t.Run(part, func(t *testing.T) {
			work := filepath.Join(t.TempDir(), "lists")
			if err := os.CopyFS(work, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			d := load(t, work)
			d.keep = scratch(t)
			for n, f := range d.files {
				if len(f.sure) > largeFrom {
					if err := d.enlarge(f, n); err != nil {
						t.Fatal(err)
					}
				}
			}
			ops := trace(t, part, work)
			n := 0
			looked, _ := every(t, d, ops, 5, func(dir string, said []string) error {
				return holdsAs(t.Context(), dir, said, func(s *eligibility.Store, active uint64) error {
					if n++; n%500 == 1 {
						if err := s.Check(t.Context(), kind, eligibility.Pace{Duty: 1}); err != nil {
							return fmt.Errorf("the list in force: %w", err)
						}
					}
					for i := uint64(0); i < nationSize(); i += max(nationSize()/100, 1) {
						for j := range uint64(5) { // of which one comes, one goes and one changes, now and then
							want := nationValue(active, i+j)
							if value, ok, err := s.Lookup(kind, nationToken(i+j)); err != nil || string(value) != want || ok != (want != "") {
								return fmt.Errorf("card %d is %q, %t, %v, want %q", i+j, value, ok, err, want)
							}
						}
					}
					return nil
				}, 1, 2)
			})
			t.Logf("%d cards: %d operations, %d disks", nationSize(), len(ops), looked)
		})
	}
}
