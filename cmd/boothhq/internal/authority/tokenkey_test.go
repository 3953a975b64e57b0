package authority

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/agent/lists"
	"boothd/agent/token"
)

// Lists of a new token key are published all together and whole; a booth without
// the key keeps what it has, and one with both keys takes them.
func TestI6_TheTokenKeyIsReplaced(t *testing.T) {
	dir, built := newOffice(t)
	mustPublish(t, dir, built)
	behind, ready := newBooth(t, dir), newBooth(t, dir)
	for _, b := range []*booth{behind, ready} {
		if _, err := b.Take(t.Context(), os.DirFS(filepath.Join(dir, "repository")), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	o := at(dir, time.Now())
	fresh, former, until, err := o.RotateTokenKey(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	credential, err := os.ReadFile(filepath.Join(dir, "token.key"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := token.ParseKeys(credential, o.Now)
	if err != nil || keys.Current.ID() != fresh || keys.Former.ID() != former || !keys.Until.Equal(until) || fresh == former {
		t.Fatalf("token.key holds %v until %v, want %s and %s until %v; %v", keys.IDs(o.Now), keys.Until, fresh, former, until, err)
	}
	if _, _, _, err := o.RotateTokenKey(time.Hour); err == nil {
		t.Error("a third key was made while two count")
	}
	if _, _, _, err := at(dir, until).RotateTokenKey(25 * time.Hour); err == nil {
		t.Error("two keys would count for more than a day")
	}

	some := filepath.Join(t.TempDir(), "some")
	mustBuild(t, put(t, filepath.Join(t.TempDir(), "csv"), map[string]string{"lookouts.csv": goodCSV["lookouts.csv"]}), some, dir)
	before := repository(t, dir)
	if _, err := at(dir, time.Now()).Publish(some, nil); err == nil || !strings.Contains(err.Error(), "every list is built anew") {
		t.Errorf("one list under the new key: %v", err)
	}
	if after := repository(t, dir); after != before {
		t.Error("a refused publication has changed the repository")
	}
	all := filepath.Join(t.TempDir(), "all")
	mustBuild(t, put(t, filepath.Join(t.TempDir(), "csv"), goodCSV), all, dir)
	mustPublish(t, dir, all)
	if deltas, _ := filepath.Glob(filepath.Join(dir, "repository", "targets", "*.delta")); len(deltas) > 0 {
		t.Errorf("deltas lead from one key to the other: %v", deltas)
	}

	behind.only(former)
	_, err = behind.Take(t.Context(), os.DirFS(filepath.Join(dir, "repository")), time.Now())
	if r, ok := errors.AsType[*lists.Refusal](err); !ok || r.Why != lists.NoKey || !r.Rejected() {
		t.Errorf("a booth without the new key: %v, want a refusal for the key", err)
	}
	ready.only(former, fresh)
	if _, err := ready.Take(t.Context(), os.DirFS(filepath.Join(dir, "repository")), time.Now()); err != nil {
		t.Errorf("a booth with both keys: %v", err)
	}
	for b, want := range map[*booth]string{behind: former, ready: fresh} {
		v := b.store.View()
		for _, g := range v.Generations() {
			if g.Key != want {
				t.Errorf("%s-%d is in force under key %s, want %s", g.Kind, g.Generation, g.Key, want)
			}
		}
		v.Release()
	}
}
