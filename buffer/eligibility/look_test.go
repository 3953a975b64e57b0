package eligibility

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Somebody who only looks finds what the owner has in force, and leaves the
// folder as it is: what is built and not yet active stays.
func TestLookBesideTheOwner(t *testing.T) {
	dir := t.TempDir()
	if _, err := Look(t.Context(), filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Look at no folder = %v", err)
	}
	s := open(t, dir)
	rows := randomRows(50, 1)
	if err := s.Activate(t.Context(), build(t, s, "cards", 1, rows)); err != nil {
		t.Fatal(err)
	}
	build(t, s, "cards", 2, rows[:40]) // under way
	before := names(t, dir)
	v, err := Look(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Release()
	if g := v.Generations(); len(g) != 1 || g[0].Generation != 1 || g[0].Rows != 50 || g[0].Digest != Digest(rows) {
		t.Errorf("Generations = %+v", g)
	}
	if value, ok, err := v.Lookup("cards", rows[45].Token); err != nil || !ok || string(value) != string(rows[45].Value) {
		t.Errorf("Lookup = %q %v %v", value, ok, err)
	}
	if _, ok, err := v.Lookup("cards", Token{1, 2, 3}); err != nil || ok {
		t.Errorf("Lookup of nobody = %v %v", ok, err)
	}
	if after := names(t, dir); !slices.Equal(after, before) {
		t.Errorf("looking made %v of %v", after, before)
	}
}

// A list that is damaged is told as such, and not dropped.
func TestLookLeavesDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	rows := randomRows(50, 1)
	if err := s.Activate(t.Context(), build(t, s, "cards", 1, rows)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filePath(dir, "cards", 1), 100); err != nil {
		t.Fatal(err)
	}
	v, err := Look(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Release()
	if _, _, err := v.Lookup("cards", rows[3].Token); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Lookup in half a file = %v", err)
	}
	if g := v.Generations(); len(g) != 1 || g[0].Generation != 1 {
		t.Errorf("Generations = %+v", g)
	}
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		out = append(out, e.Name())
	}
	return out
}
