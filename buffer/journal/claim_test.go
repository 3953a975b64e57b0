package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func claim(t testing.TB, j *Journal, id string, now time.Time) bool {
	t.Helper()
	fresh, err := j.Claim(t.Context(), id, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func unsettled(t testing.TB, j *Journal) []string {
	t.Helper()
	ids, err := j.Unsettled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// An id is claimed once, also over a restart.
func TestAnIDIsClaimedOnce(t *testing.T) {
	cfg := Config{Path: filepath.Join(t.TempDir(), "j.db")}
	j, _, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if last, err := j.LastClaim(t.Context()); last != "" || err != nil {
		t.Errorf("LastClaim of an empty journal = %q, %v", last, err)
	}
	for i, id := range []string{"b", "a", "c"} {
		if known, err := j.Claimed(t.Context(), id); known || err != nil {
			t.Errorf("Claimed(%s) before = %v, %v", id, known, err)
		}
		if !claim(t, j, id, noon.Add(time.Duration(i)*time.Second)) {
			t.Errorf("%s is not fresh", id)
		}
	}
	if err := errors.Join(j.Settle(t.Context(), "a"), j.Settle(t.Context(), "never claimed")); err != nil {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j, _ = open(t, cfg)
	for _, id := range []string{"a", "b", "c"} {
		if claim(t, j, id, noon) {
			t.Errorf("%s is fresh after a restart", id)
		}
		if known, err := j.Claimed(t.Context(), id); !known || err != nil {
			t.Errorf("Claimed(%s) = %v, %v", id, known, err)
		}
	}
	if got := unsettled(t, j); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("Unsettled = %v, want b, c", got)
	}
	if last, err := j.LastClaim(t.Context()); last != "c" || err != nil {
		t.Errorf("LastClaim = %q, %v, want c", last, err)
	}
	if s := j.Stats(); s.Last != 0 || s.Waiting != 0 {
		t.Errorf("claims count as events: %+v", s)
	}
}

// Many may ask at once; one gets it.
func TestOneOfManyClaims(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	got := make(chan bool)
	for range 16 {
		go func() {
			fresh, err := j.Claim(t.Context(), "a", noon, noon.Add(time.Hour))
			got <- fresh && err == nil
		}()
	}
	n := 0
	for range 16 {
		if <-got {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d have claimed it, want 1", n)
	}
}

// Claims are forgotten a day after their time, and bounded before that.
func TestClaimsAreBounded(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	claim(t, j, "short", noon)
	end := noon.Add(time.Hour + claimsPast)
	claim(t, j, "just in time", end)
	if known, _ := j.Claimed(t.Context(), "short"); !known {
		t.Error("forgotten before its day is over")
	}
	claim(t, j, "a moment later", end.Add(time.Microsecond))
	if known, _ := j.Claimed(t.Context(), "short"); known {
		t.Error("kept for ever")
	}
	if err := j.do(t.Context(), func(w *writer) (bool, error) {
		return false, w.atomically(func() error {
			for i := range claimsMost - 2 {
				if _, err := w.exec("INSERT INTO claim (id, at, until) VALUES (?, 0, ?)", fmt.Sprint(i), int64(1)<<62); err != nil {
					return err
				}
			}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	if fresh, err := j.Claim(t.Context(), "one more", end, end.Add(time.Hour)); fresh || !errors.Is(err, ErrClaims) {
		t.Errorf("Claim of one more = %v, %v, want ErrClaims", fresh, err)
	}
	if fresh, err := j.Claim(t.Context(), "just in time", end, end.Add(time.Hour)); fresh || err != nil {
		t.Errorf("Claim of one held = %v, %v", fresh, err)
	}
	for _, id := range []string{"", string(make([]byte, claimMost+1))} {
		if fresh, err := j.Claim(t.Context(), id, noon, noon); fresh || err == nil {
			t.Errorf("an id of %d bytes is claimed", len(id))
		}
	}
	add(t, j, event("crossing")) // a refusal leaves the journal as it was
}

// A journal that cannot be written claims nothing.
func TestNothingIsClaimedInAClosedJournal(t *testing.T) {
	j, _, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "j.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if fresh, err := j.Claim(t.Context(), "a", noon, noon.Add(time.Hour)); fresh || !errors.Is(err, ErrClosed) {
		t.Errorf("Claim = %v, %v, want ErrClosed", fresh, err)
	}
}

// A journal of the second version, with a tombstone in it, is brought up to
// date with all that is in it: 2 refused, 3 an alert, 4 to 23 thinned.
func TestI4_SecondVersionIsMigrated(t *testing.T) {
	path := oldOf(t, 2)
	j, o := open(t, Config{Path: path, Thin: telemetry})
	if o.New || o.SetAside != "" {
		t.Fatalf("%+v", o)
	}
	if s := j.Stats(); s.Last != 33 || s.Waiting != 10 || s.Alerts != 1 || s.Quarantined != 1 {
		t.Errorf("%+v", s)
	}
	if !claim(t, j, "a", noon) || claim(t, j, "a", noon) {
		t.Error("claims do not work in it")
	}
	if s := add(t, j, event("crossing")); s[0].Seq != 34 {
		t.Errorf("number %d", s[0].Seq)
	}
	if v, err := j.Verify(t.Context(), 1, 100); err != nil || v.Rows != 13 || len(v.Thinned) != 1 || !cmp.Equal(v.Thinned[0], Thinning{From: 4, To: 23, Count: 20}) {
		t.Errorf("%+v %v", v, err)
	}
	before, err := OpenReader(t.Context(), path+".v2")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = before.Close() }()
	if e, err := before.Epoch(t.Context()); err != nil || e != j.Epoch() {
		t.Error(e, err)
	}
}
