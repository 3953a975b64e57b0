package agent

import (
	"archive/tar"
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func archive(t *testing.T, edit func(*tar.Header), names ...string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: 2}
		if edit != nil {
			edit(h)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestUnpackTakesAPublicationAndNothingElse(t *testing.T) {
	good := []string{"timestamp.json", "snapshot.json", "targets.json", "root/2.root.json", "targets/cards-17.list"}
	dir := t.TempDir()
	if err := unpack(archive(t, nil, good...), dir, importMost); err != nil {
		t.Fatal(err)
	}
	for _, name := range good {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != "{}" {
			t.Errorf("%s: %q %v", name, b, err)
		}
	}
	for _, bad := range []string{"../timestamp.json", "/etc/passwd", "targets/../../x", "root/0.root.json", "root/1.root.json/x",
		"targets/Cards-1.list", "targets/cards-.list", "notes.txt", ""} {
		if err := unpack(archive(t, nil, bad), t.TempDir(), importMost); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	link := func(h *tar.Header) { h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "/etc/passwd", 0 }
	if err := unpack(archive(t, link, "timestamp.json"), t.TempDir(), importMost); err == nil {
		t.Error("a link was taken")
	}
	if err := unpack(archive(t, nil, "timestamp.json", "timestamp.json"), t.TempDir(), importMost); err == nil {
		t.Error("one name was written twice")
	}
	many := make([]string, importFiles+1)
	for i := range many {
		many[i] = "targets/cards-" + strings.Repeat("1", 1+i%15) + ".list"
	}
	if err := unpack(archive(t, nil, many...), t.TempDir(), importMost); err == nil {
		t.Error("more files than allowed")
	}
	if err := unpack(strings.NewReader("no archive at all, but long enough to be looked at as one"), t.TempDir(), importMost); err == nil {
		t.Error("rubbish was taken")
	}
	if err := unpack(archive(t, nil, good...), t.TempDir(), int64(2*len(good)-1)); err == nil {
		t.Error("more bytes than there is room for")
	}
}

// What an import left behind that was cut off goes at the next start.
func TestACutImportLeavesNothing(t *testing.T) {
	store := t.TempDir()
	for _, name := range []string{"import-123/targets/cards-1.list", "import-9/timestamp.json", "lists/index.db"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(store, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(store, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	(&booth{log: slog.New(slog.DiscardHandler)}).forget(t.Context(), cutImports(store))
	if left, _ := filepath.Glob(filepath.Join(store, "*")); len(left) != 1 || filepath.Base(left[0]) != "lists" {
		t.Errorf("left behind: %v", left)
	}
}

// A list's age follows the monotonic clock: a wall clock that is set back
// makes no list younger, and one from the future counts as never vouched for.
func TestI1_AgeOfListsOutlastsTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v vouching
		now := time.Now()
		at := now.Round(0).Add(-time.Hour)
		if age := v.age("cards", at, now); age != time.Hour {
			t.Errorf("age %v", age)
		}
		later := now.Add(30 * time.Minute)
		if age := v.age("cards", at, later); age != 90*time.Minute {
			t.Errorf("age %v", age)
		}
		if age := v.age("members", now.Round(0).Add(time.Minute), now); age < neverVouched {
			t.Errorf("a heartbeat from the future is %v old", age)
		}
		if age := v.age("lookouts", time.Time{}, now); age < neverVouched {
			t.Errorf("no heartbeat is %v old", age)
		}
		if age := v.age("cards", at.Add(time.Hour), later); age != 30*time.Minute {
			t.Errorf("a new heartbeat is %v old", age)
		}
	})
}
