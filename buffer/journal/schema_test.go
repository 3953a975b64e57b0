package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// old puts a file that the first version of the schema wrote: numbers 1 to 6,
// the first receipted, the second refused, the third an alert.
func old(t testing.TB) (path string) { return oldOf(t, 1) }

func oldOf(t testing.TB, version int) (path string) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("testdata/v%d.db", version))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "j.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// An older journal is brought up to date with all that is in it, goes on with
// the next number, and a copy of it as it was is kept.
func TestI4_OldJournalIsMigrated(t *testing.T) {
	path := old(t)
	j, o := open(t, Config{Path: path, Thin: telemetry})
	if o.New || o.SetAside != "" {
		t.Fatalf("%+v", o)
	}
	if s := j.Stats(); s.Last != 6 || s.Waiting != 3 || s.Alerts != 1 || s.Quarantined != 1 {
		t.Errorf("%+v", s)
	}
	if s, why := state(t, j, 2); s != Quarantined || why != "schema" {
		t.Errorf("row 2 is %d, %q", s, why)
	}
	if s := add(t, j, event("crossing")); s[0].Seq != 7 {
		t.Errorf("number %d", s[0].Seq)
	}
	if v, err := j.Verify(t.Context(), 1, 100); err != nil || v.Rows != 7 || len(v.Gaps) != 0 {
		t.Errorf("%+v %v", v, err)
	}
	before, err := OpenReader(t.Context(), path+".v1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = before.Close() }()
	if e, err := before.Epoch(t.Context()); err != nil || e != j.Epoch() {
		t.Error(e, err)
	}
}

// An older journal can be read without being changed.
func TestOldJournalIsReadAsItIs(t *testing.T) {
	path := old(t)
	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Verify(t.Context(), 1, 100)
	if err != nil || v.Rows != 6 || len(v.Thinned) != 0 {
		t.Errorf("%+v %v", v, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile("testdata/v1.db")
	if err != nil {
		t.Fatal(err)
	}
	if is, err := os.ReadFile(path); err != nil || fmt.Sprintf("%x", is) != fmt.Sprintf("%x", was) {
		t.Errorf("reading changed it: %v", err)
	}
}
