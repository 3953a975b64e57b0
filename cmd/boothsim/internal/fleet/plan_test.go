package fleet

import (
	"reflect"
	"testing"
	"time"
)

// The same seed brings the same faults, and another one others.
func TestPlansAreRepeated(t *testing.T) {
	const length = 10 * time.Minute
	different := 0
	for n := range 50 {
		a, b, other := BoothPlan(7, n, length), BoothPlan(7, n, length), BoothPlan(8, n, length)
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("booth %d: two plans of one seed differ", n)
		}
		if !reflect.DeepEqual(a, other) {
			different++
		}
	}
	if different < 49 {
		t.Errorf("only %d of 50 booths have another plan with another seed", different)
	}
	if a, b := WorldPlan(7, length, KillBroker, KillHQ), WorldPlan(7, length, KillBroker, KillHQ); !reflect.DeepEqual(a, b) {
		t.Error("two plans of the world differ with one seed")
	}
	if a, b := newTraffic(7, 3, time.Unix(0, 0)), newTraffic(7, 3, time.Unix(0, 0)); !reflect.DeepEqual(a.next(time.Unix(9, 0)), b.next(time.Unix(9, 0))) {
		t.Error("two booths with one seed see other vehicles")
	}
}

// Faults of a booth do not overlap, and all is well before a run ends.
func TestPlansLeaveTimeToRecover(t *testing.T) {
	for _, length := range []time.Duration{5 * time.Second, time.Minute, time.Hour} {
		seen := map[Kind]int{}
		for n := range 200 {
			end := time.Duration(0)
			for _, f := range BoothPlan(1, n, length) {
				seen[f.Kind]++
				if f.At < end {
					t.Fatalf("run of %v, booth %d: %+v begins before the last one ends at %v", length, n, f, end)
				}
				if end = f.At + f.Lasts; end > length*9/10 {
					t.Fatalf("run of %v, booth %d: %+v ends too late", length, n, f)
				}
				if outage := f.Kind == Closed || f.Kind == HalfOpen || f.Kind == Deaf; outage != (f.Lasts > 0) {
					t.Fatalf("%+v", f)
				}
			}
		}
		for _, k := range []Kind{Closed, HalfOpen, Deaf, Step, Restart} {
			if seen[k] == 0 {
				t.Errorf("run of %v: no booth of 200 has %s", length, k)
			}
		}
	}
}

func TestWorldPlanKeepsApart(t *testing.T) {
	for seed := range uint64(50) {
		last := -killPause
		plan := WorldPlan(seed, 10*time.Minute, KillBroker, KillHQ)
		if n := counts(plan); n[KillBroker] < 5 || n[KillHQ] < 5 {
			t.Fatalf("seed %d: %v", seed, n)
		}
		for _, f := range plan {
			if f.At-last < killPause {
				t.Fatalf("seed %d: %+v comes %v after the last one", seed, f, f.At-last)
			}
			last = f.At
		}
	}
	if plan := WorldPlan(1, time.Hour); len(plan) > 0 {
		t.Errorf("nothing may be killed, and the plan is %v", plan)
	}
}
