package receiver

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// The file tells of lookout hits, and whoever looks at one is recorded: others
// of the machine do not look past the desk. What an operator has given others is
// theirs.
func TestI3_TheEventsAreTheReceiversAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	s, err := OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, s, audit(boothA, 1))
	modes := func() map[string]fs.FileMode {
		out := map[string]fs.FileMode{}
		all, err := filepath.Glob(path + "*")
		if err != nil || len(all) < 2 { // the WAL is beside it
			t.Fatal(all, err)
		}
		for _, name := range all {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.Base(name)] = info.Mode().Perm()
		}
		return out
	}
	for name, mode := range modes() {
		if mode != 0o600 {
			t.Errorf("%s has mode %o", name, mode)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenSQLite(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustAdd(t, s, audit(boothA, 2))
	for name, mode := range modes() {
		if mode != 0o640 {
			t.Errorf("%s has mode %o after the file was given to a group", name, mode)
		}
	}
}
