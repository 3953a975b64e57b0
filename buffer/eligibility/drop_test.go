package eligibility

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// nameless are the files of a folder that are open and have no name any more.
func nameless(t *testing.T, dir string) (out []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		to, err := os.Readlink(l)
		if name, gone := strings.CutSuffix(to, " (deleted)"); err == nil && gone && strings.HasPrefix(name, dir) {
			out = append(out, filepath.Base(name))
		}
	}
	return out
}

// A list that is dropped is whole for whoever reads it still; its room is given
// back by and by when he has done, and nothing of that outlives the store.
func TestADroppedListIsGivenBackAfterItsLastReader(t *testing.T) {
	rows := randomRows(100_000, 5) // of more than a step
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		activate(t, s, build(t, s, "cards", 1, rows))
		before := s.View()
		for g := uint64(2); g <= 1+Kept; g++ {
			activate(t, s, build(t, s, "cards", g, rows))
		}
		time.Sleep(time.Hour)
		if _, err := os.Stat(filePath(dir, "cards", 1)); !os.IsNotExist(err) {
			t.Errorf("the list that is not kept has its name: %v", err)
		}
		for _, r := range rows[:1000] {
			if v, ok, err := before.Lookup("cards", r.Token); err != nil || !ok || !bytes.Equal(v, r.Value) {
				t.Fatalf("the view from before: %x %v %v", v, ok, err)
			}
		}
		before.Release()
		s.freeing.Wait()
		if left := nameless(t, dir); len(left) > 0 {
			t.Errorf("%v are open and have no name", left)
		}
		// One that was built in vain, and the store closes over it.
		if err := build(t, s, "cards", 9, rows).Remove(); err != nil {
			t.Fatal(err)
		}
		last := s.View()
		activate(t, s, build(t, s, "cards", 10, rows), build(t, s, "members", 10, rows[:10]))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		last.Release()
		if left := nameless(t, dir); len(left) > 0 {
			t.Errorf("closed, %v are open and have no name", left)
		}
	})
}
