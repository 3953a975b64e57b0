package authority

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rootKey is the file of a root key, taken to a safe place of its own.
func rootKey(t *testing.T, dir, role string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), role+".key")
	b, err := os.ReadFile(keyPath(dir, role))
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err == nil {
		err = os.Remove(keyPath(dir, role))
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Every key can be replaced one after the other, and a booth that knows the
// first root follows them all, be it there or away.
func TestBoothFollowsEveryRotation(t *testing.T) {
	dir, built := newOffice(t)
	mustPublish(t, dir, built)
	there, away := newBooth(t, dir), newBooth(t, dir)
	repo := os.DirFS(filepath.Join(dir, "repository"))
	if _, err := there.Take(t.Context(), repo, time.Now()); err != nil {
		t.Fatal(err)
	}
	one, two, three := rootKey(t, dir, "root-1"), rootKey(t, dir, "root-2"), rootKey(t, dir, "root-3")
	expires := time.Now().AddDate(1, 0, 0)
	for i, step := range []struct {
		role  string
		files []string
	}{
		{"targets", []string{one, two}}, {"snapshot", []string{two, three}}, {"timestamp", []string{one, three}},
		{"root-1", []string{one, two}}, // replaced while it is at hand
		{"root-3", []string{"", two}},  // lost: the other two sign
	} {
		if step.files[0] == "" {
			step.files[0] = rootKey(t, dir, "root-1") // the new one
		}
		before, err := os.ReadFile(keyPath(dir, step.role))
		version, rotErr := at(dir, time.Now()).Rotate(step.role, step.files, expires)
		if rotErr != nil || version != int64(i+2) {
			t.Fatalf("%s: version %d, %v", step.role, version, rotErr)
		}
		if after, _ := os.ReadFile(keyPath(dir, step.role)); err == nil && string(after) == string(before) {
			t.Errorf("%s: the key's file is the old one", step.role)
		}
		if _, err := at(dir, time.Now()).Heartbeat(); err != nil {
			t.Fatalf("%s: %v", step.role, err)
		}
		res, err := there.Take(t.Context(), repo, time.Now())
		if err != nil || !res.Fresh || there.RootVersion() != version {
			t.Fatalf("%s: %+v, %v, root %d", step.role, res, err, there.RootVersion())
		}
	}
	if res, err := away.Take(t.Context(), repo, time.Now()); err != nil || len(res.Applied) != 4 || away.RootVersion() != 6 {
		t.Errorf("away: %+v, %v", res, err)
	}
	// A root key that was replaced signs nothing any more.
	if _, err := at(dir, time.Now()).Rotate("targets", []string{three, two}, expires); err == nil || !strings.Contains(err.Error(), "not one of the root's any more") {
		t.Errorf("an old root key: %v", err)
	}
	mustPublish(t, dir, built)
}

func TestRotateRefuses(t *testing.T) {
	dir, built := newOffice(t)
	mustPublish(t, dir, built)
	one, two := rootKey(t, dir, "root-1"), rootKey(t, dir, "root-2")
	before := repository(t, dir)
	for name, tt := range map[string]struct {
		role  string
		files []string
		want  string
	}{
		"one key":        {"targets", []string{one}, "1 root keys, a new root wants 2"},
		"the same twice": {"targets", []string{one, one}, "named twice"},
		"no root key":    {"targets", []string{one, keyPath(dir, "targets")}, "not one of the root's"},
		"nobody":         {"mirrors", []string{one, two}, "no role"},
		"no file":        {"targets", []string{one, "/nowhere/root-2.key"}, "opening key root-2"},
	} {
		if _, err := at(dir, time.Now()).Rotate(tt.role, tt.files, time.Now().AddDate(1, 0, 0)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if after := repository(t, dir); after != before {
		t.Error("a refusal changed what is published")
	}
	if roots, _ := filepath.Glob(filepath.Join(dir, "repository", "root", "*")); len(roots) != 1 {
		t.Errorf("roots: %v", roots)
	}
	b := newBooth(t, dir)
	if _, err := b.Take(t.Context(), os.DirFS(filepath.Join(dir, "repository")), time.Now()); err != nil {
		t.Error(err)
	}
}
