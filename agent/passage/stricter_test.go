package passage

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A port may make a reason weigh more, and only more; what a lookout's reasons,
// the officer's and the draw's come to is the same whatever it writes.
func TestI1_StricterIsNeverMilder(t *testing.T) {
	r := rand.New(rand.NewPCG(20261123, 3))
	all := Codes()
	raised := 0
	for i := range 100_000 {
		pol, ev, f := anything(r)
		pol.PrimaryOn, pol.ReferOn = nil, nil
		plain := Decide(pol, ev, f)
		for range 1 + r.IntN(3) {
			pol.PrimaryOn = append(pol.PrimaryOn, all[r.IntN(len(all))])
			pol.ReferOn = append(pol.ReferOn, all[r.IntN(len(all))])
		}
		// What is there already is what makes a difference.
		pol.ReferOn = append(pol.ReferOn, plain.Reasons[r.IntN(len(plain.Reasons))])
		strict := Decide(pol, ev, f)
		if strict.Outcome.Severity() < plain.Outcome.Severity() {
			t.Fatalf("case %d: %v %v became %v %v", i, plain.Outcome, plain.Reasons, strict.Outcome, strict.Reasons)
		}
		for _, c := range plain.Reasons {
			weighs := c >= LaneClosed && c < RandomCompliance && (c < LookoutStop || c > LookoutPossible)
			if weighs && slices.Contains(pol.ReferOn, c) && strict.Outcome.Severity() < Refer.Severity() {
				t.Fatalf("case %d: %v refers here and came to %v", i, c, strict.Outcome)
			}
		}
		if strict.Outcome != plain.Outcome {
			raised++
		}
		if strict.Silent != plain.Silent || strict.Caution != plain.Caution {
			t.Fatalf("case %d: a lookout shows: %+v, %+v", i, plain, strict)
		}
	}
	if raised < 1000 {
		t.Errorf("%d passages became stricter: the cases prove nothing", raised)
	}
}

// TestI3_StricterLeavesLookoutsAlone: no policy can tell an observed vehicle from
// another.
func TestI3_StricterLeavesLookoutsAlone(t *testing.T) {
	for lane, clean := range lanesOf {
		pol, ev, f := clean()
		pol.PrimaryOn, pol.ReferOn = Codes(), []Code{LookoutObserve, LookoutPossible, RandomCompliance, Eligible}
		pol.PrimaryOn = slices.DeleteFunc(pol.PrimaryOn, func(c Code) bool {
			return c != LookoutObserve && c != LookoutPossible && c != LookoutRefer && c != Eligible
		})
		plain := Decide(pol, ev, f)
		f.Hits = []Hit{{ID: "L", Version: 1, Action: Observe, Subject: "CARD", ValidFrom: f.Now.AddDate(0, 0, -1), ValidUntil: f.Now.AddDate(0, 0, 1)}}
		if seen := Decide(pol, ev, f); seen.Public().Outcome != plain.Public().Outcome || seen.Public().Lead != plain.Public().Lead {
			t.Errorf("%s: %v became %v", lane, plain.Public(), seen.Public())
		}
	}
}
