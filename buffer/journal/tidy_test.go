package journal

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// Pruning gives up receipted rows over their time, never what waits and never
// the end of the chain.
func TestI4_PruneKeepsTheEndOfTheChain(t *testing.T) {
	cfg := Config{Path: filepath.Join(t.TempDir(), "j.db"), Retain: time.Hour}
	j, _ := open(t, cfg)
	for range 700 {
		add(t, j, event("crossing"), event("crossing"))
	}
	if err := j.Receipted(t.Context(), Receipt{Epoch: j.Epoch(), Have: [][2]uint64{{1, 99}, {101, 1400}}}); err != nil {
		t.Fatal(err)
	}
	if err := j.do(t.Context(), pruning()); err != nil {
		t.Fatal(err)
	}
	v, err := j.Verify(t.Context(), 1, 1<<40)
	if err != nil || v.Rows != 2 || v.First != 100 || v.Last != 1400 || fmt.Sprint(v.Gaps) != "[[101 1399]]" {
		t.Fatalf("%+v %v", v, err)
	}
	if s := add(t, j, event("crossing")); s[0].Seq != 1401 {
		t.Fatalf("number %d", s[0].Seq)
	}
	if _, err := j.Verify(t.Context(), 1400, 1401); err != nil {
		t.Fatal(err)
	}
}

// A full journal gives up what is receipted; what is not, it keeps, and says so.
func TestI4_FullJournalLosesNothing(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db"), MaxBytes: 1 << 20})
	big := event("crossing")
	big.Build = func(s Stamp) ([]byte, error) {
		return append(fmt.Appendf(nil, "%d ", s.Seq), bytes.Repeat([]byte("x"), 8000)...), nil
	}
	filled := func() {
		t.Helper()
		for range 1000 {
			if _, err := j.Append(t.Context(), big); err != nil {
				if !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
				return
			}
		}
		t.Fatal("never full")
	}
	filled()
	last := j.Last()
	if v, err := j.Verify(t.Context(), 1, last+10); err != nil || v.Rows != last || last < 50 {
		t.Fatalf("%+v %v", v, err)
	}
	if err := j.Receipted(t.Context(), Receipt{Epoch: j.Epoch(), Upto: last / 2}); err != nil {
		t.Fatal(err)
	}
	filled()
	v, err := j.Verify(t.Context(), 1, 1<<40)
	if err != nil || v.First != last/2+1 || v.Last <= last || len(v.Gaps) > 0 {
		t.Fatalf("%+v %v", v, err)
	}
}
