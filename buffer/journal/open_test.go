package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"boothd/buffer/internal/sqlite"
)

// Two writers would give a number twice: the second is refused, whether it is
// of this process or of another, and the first is not disturbed.
func TestI4_SecondWriterIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	j, _ := open(t, Config{Path: path})
	add(t, j, event("crossing"))
	if _, _, err := Open(t.Context(), Config{Path: path}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("here: %v", err)
	}
	out, err := child(t, path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by process "+fmt.Sprint(os.Getpid())) {
		t.Errorf("another process: %v, %s", err, out)
	}
	if s := add(t, j, event("crossing")); s[0].Seq != 2 {
		t.Errorf("number %d", s[0].Seq)
	}
}

// Who closed, lets go.
func TestClosedJournalOpensAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	for range 3 {
		j, _, err := Open(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A journal that cannot be opened is not kept locked.
func TestRefusedJournalIsNotKeptLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Migrations: append(slices.Clip(schema), sqlite.Migration{SQL: "CREATE TABLE future (x ANY) STRICT"})})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := Open(t.Context(), Config{Path: path}); !errors.Is(err, sqlite.ErrNewerSchema) {
			t.Fatal(err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a newer journal was touched: %v", err)
	}
}

// Until the first event is stored, the epoch has not been announced, and Open
// says so again with what was before it.
func TestEpochIsNewUntilItsFirstEvent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	j, _, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	old := j.Epoch()
	for range 20 {
		add(t, j, fill(groupMost)...)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, path, 20)
	var aside string
	for run := range 4 {
		j, o, err := Open(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case run == 0 && (!o.New || o.SetAside == "" || o.OldEpoch != old || j.Epoch() == old):
			t.Fatalf("%+v, epoch %s after %s", o, j.Epoch(), old)
		case run == 0:
			aside = o.SetAside
		case run < 3 && (!o.New || o.SetAside != aside || o.OldEpoch != old):
			t.Fatalf("run %d: %+v", run, o)
		case run == 3 && o != Opened{}:
			t.Fatalf("announced already: %+v", o)
		}
		if run == 2 {
			if s := add(t, j, event("audit")); s[0].Seq != 1 || s[0].Prev != [16]byte{} {
				t.Fatalf("%+v", s)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(aside); err != nil {
		t.Errorf("evidence was not kept: %v", err)
	}
}

// damage overwrites pages in the middle of a database, none of them the first.
func damage(t testing.TB, path string, page int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xFF}, 4*4096), page*4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
