package passage

import (
	"fmt"
	"slices"
	"testing"
)

// What a camera says besides, and what another of its reports said, is what the
// plate may be instead; never the plate.
func TestPlatesHaveCandidates(t *testing.T) {
	m := NewMachine(false)
	say := func(p Plate) Step { return m.Step(Input{At: noon, Kind: FrontPlate, Plate: p, NewID: "p"}) }
	m.Step(Input{At: noon, Kind: ApproachOn, NewID: "p"})
	for i, tc := range []struct {
		p       Plate
		changed bool
		bare    Token
		want    []Token
	}{
		{Plate{Bare: "a", Fold: "A", Confidence: 0.5, Candidates: []Token{"X"}}, true, "a", []Token{"X"}},
		{Plate{Bare: "a", Fold: "A", Confidence: 0.4, Candidates: []Token{"X"}}, false, "a", []Token{"X"}},
		{Plate{Bare: "a", Fold: "A", Confidence: 0.4, Candidates: []Token{"Y"}}, true, "a", []Token{"X", "Y"}},
		{Plate{Bare: "b", Fold: "B", Confidence: 0.3}, true, "a", []Token{"X", "Y", "B"}},
		{Plate{NoRead: true}, false, "a", []Token{"X", "Y", "B"}},
		{Plate{Bare: "b", Fold: "B", Confidence: 0.9}, true, "b", []Token{"A", "X", "Y"}},
		{Plate{Bare: "c", Fold: "C", Confidence: 0.1, Candidates: []Token{"D", "E"}}, true, "b", []Token{"A", "X", "Y", "C"}},
		{Plate{Bare: "f", Fold: "F", Confidence: 0.1}, false, "b", []Token{"A", "X", "Y", "C"}}, // they are bounded
	} {
		before := m.Evidence()
		var kept string
		if before.Front != nil {
			kept = fmt.Sprint(*before.Front)
		}
		s := say(tc.p)
		if p := m.Evidence().Front; s.Changed != tc.changed || p.Bare != tc.bare || !slices.Equal(p.Candidates, tc.want) {
			t.Errorf("report %d: changed %t, %s with %v, want %s with %v", i, s.Changed, p.Bare, p.Candidates, tc.bare, tc.want)
		}
		if before.Front != nil && fmt.Sprint(*before.Front) != kept {
			t.Errorf("report %d changed evidence that was handed out", i)
		}
	}
}
