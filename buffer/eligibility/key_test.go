package eligibility

import (
	"errors"
	"testing"
	"time"
)

// The key of a generation's tokens is kept over a restart, a delta and a fold,
// and no delta is laid on tokens of another key.
func TestI6_AGenerationKeepsItsKey(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	rows := randomRows(20, 7)
	spec := Spec{Kind: "cards", Generation: 1, Rows: uint64(len(rows)), Digest: Digest(rows), Key: "aabbccdd", VerifiedAt: time.Now()}
	b, err := s.Build(t.Context(), spec, seq(rows))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Activate(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	has := func(generation uint64) {
		t.Helper()
		v := s.View()
		defer v.Release()
		if g := v.Generations(); len(g) != 1 || g[0].Generation != generation || g[0].Key != "aabbccdd" {
			t.Errorf("active is %+v, want generation %d under key aabbccdd", g, generation)
		}
	}
	has(1)
	var sum Sum
	for _, r := range rows[1:] {
		sum.add(r)
	}
	delta := DeltaSpec{Kind: "cards", Base: 1, Generation: 2, Rows: 19, Digest: Digest(rows[1:]), Sum: sum, Key: "11223344"}
	drop := func(yield func(Change, error) bool) { yield(Change{Op: Remove, Token: rows[0].Token}, nil) }
	if _, err := s.Apply(t.Context(), delta, drop); !errors.Is(err, ErrMismatch) {
		t.Errorf("a delta under another key: %v, want ErrMismatch", err)
	}
	delta.Key = "aabbccdd"
	if b, err = s.Apply(t.Context(), delta, drop); err != nil {
		t.Fatal(err)
	}
	if err := s.Activate(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	has(2)
	if err := s.Fold(t.Context(), "cards", Pace{Duty: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	has(2)
}
