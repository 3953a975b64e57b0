package authority

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/lists"
	"boothd/agent/token"
	"boothd/devices"
)

// issue publishes lists with n cards, the first of them revoked from lost on.
func issue(t *testing.T, o *Office, n int, lost int) {
	t.Helper()
	var cards strings.Builder
	cards.WriteString("epc,status,member,card_until,extended,tid\n")
	for i := range n {
		status := "ISSUED"
		if i < lost {
			status = "LOST"
		}
		fmt.Fprintf(&cards, "E2801170000002%010X,%s,980000017,,no,\n", i, status)
	}
	members := "member,status,programs,valid_from,valid_until\n980000017,ACTIVE,NEXUS,,2099-06-30\n"
	built := filepath.Join(t.TempDir(), "built")
	mustBuild(t, put(t, filepath.Join(t.TempDir(), "csv"), map[string]string{"cards.csv": cards.String(), "members.csv": members}), built, o.Dir)
	if _, err := o.Publish(built, nil); err != nil {
		t.Fatal(err)
	}
}

// only is a repository without some of its list files.
func only(t *testing.T, dir string, keep func(name string) bool) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	repo := os.DirFS(filepath.Join(dir, "repository"))
	err := fs.WalkDir(repo, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "targets/") && !keep(name) {
			return err
		}
		b, err := fs.ReadFile(repo, name)
		out[name] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A booth that follows needs nothing but the metadata for one card more; one
// that was away takes the chain as far as it reaches, and the list whole beyond.
func TestPublishedDeltasAreFollowed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "office")
	began := time.Now()
	if err := Init(dir, []byte(phrase), began.AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	o := at(dir, began)
	const size = 2000
	issue(t, o, size, 0)
	follower, away, long := newBooth(t, dir), newBooth(t, dir), newBooth(t, dir)
	take := func(b *booth, src fs.FS) error {
		t.Helper()
		_, err := b.Take(t.Context(), src, time.Now())
		return err
	}
	all := func(string) bool { return true }
	for _, b := range []*booth{follower, away, long} {
		if err := take(b, only(t, dir, all)); err != nil {
			t.Fatal(err)
		}
	}
	const last = lists.MaxChain + 8
	for g := 2; g <= last; g++ {
		if g == 12 {
			if err := take(away, only(t, dir, all)); err != nil {
				t.Fatal(err)
			}
		}
		issue(t, o, size, g-1)
		b, err := os.ReadFile(filepath.Join(dir, "repository", "targets.json"))
		if err != nil || len(b) > 256<<10 {
			t.Fatalf("targets.json has %d bytes, %v", len(b), err)
		}
		if g%8 != 0 {
			continue // the follower sleeps for some
		}
		if err := take(follower, only(t, dir, func(string) bool { return false })); err != nil {
			t.Fatalf("generation %d: %v", g, err)
		}
		for _, have := range follower.States() {
			if have.Kind == contract.ListCards && have.Generation != uint64(g) {
				t.Fatalf("generation %d: the follower has %d", g, have.Generation)
			}
		}
	}
	deltas, err := filepath.Glob(filepath.Join(dir, "repository", "targets", "*.delta"))
	if err != nil || len(deltas) > lists.MaxChain+1 { // and those that the publication before named
		t.Errorf("%d deltas, %v", len(deltas), err)
	}
	noWhole := only(t, dir, func(name string) bool { return strings.HasSuffix(name, ".delta") })
	if err := take(away, noWhole); err != nil {
		t.Errorf("by the chain: %v", err)
	}
	err = take(long, noWhole)
	if r, ok := errors.AsType[*lists.Refusal](err); !ok || r.File != lists.TargetName("cards", last) {
		t.Errorf("beyond the chain: %v, want the whole list asked for", err)
	}
	if err := take(long, only(t, dir, all)); err != nil {
		t.Error(err)
	}
	want := fmt.Sprint(long.States())
	if got := fmt.Sprint(away.States()); !strings.Contains(want, fmt.Sprintf("{cards %d", last)) || digests(away) != digests(long) {
		t.Errorf("away: %s\nlong: %s", got, want)
	}
	// A mirror has what the repository has, and no more.
	mirror := t.TempDir()
	if err := os.MkdirAll(filepath.Join(mirror, "targets"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mirror, "targets", "cards-1-2.delta"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.Mirror(mirror); err != nil {
		t.Fatal(err)
	}
	there, _ := filepath.Glob(filepath.Join(mirror, "targets", "*.delta"))
	if len(there) != len(deltas) {
		t.Errorf("%d deltas in the mirror, %d in the repository", len(there), len(deltas))
	}
	// Half of the list is no delta.
	issue(t, o, size, size)
	if left, _ := filepath.Glob(filepath.Join(dir, "repository", "targets", fmt.Sprintf("cards-*-%d.delta", last+1))); len(left) > 0 {
		t.Errorf("a delta as long as the list: %v", left)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "token.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.ParseKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	if len(follower.value(t, contract.ListCards, key.Card(devices.Ident(fmt.Sprintf("E2801170000002%010X", 3))))) == 0 {
		t.Error("a card is gone")
	}
}

func digests(b *booth) string {
	var out strings.Builder
	for _, s := range b.States() {
		fmt.Fprintf(&out, "%s %d %x\n", s.Kind, s.Generation, s.Digest)
	}
	return out.String()
}
