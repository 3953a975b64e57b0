package signal

import (
	"math/rand/v2"
	"testing"
	"time"

	"boothd/agent/passage"
)

func TestTableIsSafe(t *testing.T) {
	if err := Check(); err != nil {
		t.Fatal(err)
	}
	if (Aspects{}).Traveller != Red || Show(View{}).Traveller != Red || Show(View{}).GateOpen {
		t.Error("the zero value must be red and shut")
	}
}

func TestShow(t *testing.T) {
	at := View{Health: Healthy, Active: true, State: passage.AtBooth, Durable: true}
	with := func(edit func(*View)) Aspects { v := at; edit(&v); return Show(v) }
	for name, tc := range map[string]struct {
		got, want Aspects
	}{
		"expedite":                  {with(func(v *View) { v.Decision.Outcome = passage.Expedite }), Aspects{OfficerGreen: Steady, OfficerHealth: Steady}},
		"expedite, not yet durable": {with(func(v *View) { v.Decision.Outcome = passage.Expedite; v.Durable = false }), Aspects{OfficerAmber: Steady, OfficerHealth: Steady}},
		"ready 3":                   {with(func(v *View) { v.Decision.Ready = 3 }), Aspects{OfficerGreen: Blinks, Count: 3, OfficerHealth: Steady}},
		"primary":                   {with(func(*View) {}), Aspects{OfficerAmber: Steady, OfficerHealth: Steady}},
		"refer":                     {with(func(v *View) { v.Decision.Outcome = passage.Refer }), Aspects{OfficerRed: Steady, OfficerHealth: Steady}},
		"hold":                      {with(func(v *View) { v.Decision.Outcome = passage.Hold }), Aspects{OfficerRed: Fast, Buzzer: Fast, OfficerHealth: Steady}},
		"released":                  {with(func(v *View) { v.State, v.Released = passage.Acted, true }), Aspects{Traveller: Green, GateOpen: true, OfficerAmber: Steady, OfficerHealth: Steady}},
		"released, not yet durable": {with(func(v *View) { v.State, v.Released, v.Durable = passage.Acted, true, false }), Aspects{OfficerAmber: Steady, OfficerHealth: Steady}},
		"approach":                  {with(func(v *View) { v.State, v.Decision.Outcome = passage.Approach, passage.Expedite }), Aspects{OfficerHealth: Steady}},
		"degraded":                  {with(func(v *View) { v.Health = Degraded }), Aspects{OfficerAmber: Steady, OfficerHealth: Slow}},
		"out":                       {with(func(v *View) { v.Health = Out; v.Decision.Outcome = passage.Expedite }), Aspects{OfficerHealth: Fast}},
		"auto expedite":             {with(func(v *View) { v.Mode = Auto; v.Decision.Outcome = passage.Expedite }), Aspects{Traveller: Green, GateOpen: true, OfficerGreen: Steady, OfficerHealth: Steady}},
		"auto primary":              {with(func(v *View) { v.Mode = Auto }), Aspects{Traveller: Amber, OfficerAmber: Steady, OfficerHealth: Steady}},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, tc.got, tc.want)
		}
	}
}

// A hit, a draw and the officer's own referral look the same to the traveller:
// as long as the officer has not acted, everything does.
func TestI3_StaffedLightTellsNothing(t *testing.T) {
	for _, d := range decisions {
		for _, durable := range []bool{false, true} {
			a := Show(View{Health: Healthy, Active: true, State: passage.AtBooth, Durable: durable, Decision: d})
			if a.Traveller != Red || a.GateOpen {
				t.Errorf("%v shows %+v to the traveller", d.Outcome, a)
			}
		}
	}
}

// The reader's own light and beeper tell that a card was read and nothing of it:
// over the whole table they are the same whatever the decision, its durability
// and the officer's wishes.
func TestI3_ReaderTellsThatItHasReadAndNothingElse(t *testing.T) {
	for _, read := range []int{0, 1, 3} {
		for health := Out; health <= Healthy; health++ {
			for state := passage.Idle; state <= passage.Clearing; state++ {
				want := 0
				if health != Out && (state == passage.Approach || state == passage.AtBooth) {
					want = read
				}
				for bits := range 16 {
					for _, d := range decisions {
						v := View{Mode: LightMode(bits & 1), Health: health, State: state, Active: true, Read: read, Durable: bits&2 != 0, Released: bits&4 != 0, Closed: bits&8 != 0, Decision: d}
						if got := Show(v).Taken; got != want {
							t.Fatalf("Show(%+v).Taken = %d, want %d", v, got, want)
						}
					}
				}
			}
		}
	}
}

// The light is lit from the first card on; each card beeps once, and the
// officer's rhythms go on meanwhile.
func TestReaderLightAndBeeper(t *testing.T) {
	var k Interlock
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	began := now
	for _, s := range []struct {
		after       time.Duration
		taken       int
		light, beep bool
	}{
		{0, 0, false, false},
		{time.Second, 1, true, true},
		{beepFor - time.Millisecond, 1, true, true},
		{time.Millisecond, 1, true, false},
		{time.Second, 1, true, false}, // read again: nothing new
		{time.Second, 3, true, true},
		{50 * time.Millisecond, 4, true, true},
		{beepFor - time.Millisecond, 4, true, true},
		{time.Millisecond, 4, true, false},
		{time.Second, 0, false, false}, // the vehicle has gone
		{time.Second, 1, true, true},
	} {
		now = now.Add(s.after)
		lv, next := k.Step(Aspects{OfficerHealth: Slow, Taken: s.taken}, false, now)
		if lv[ReaderLight] != s.light || lv[ReaderBeeper] != s.beep {
			t.Errorf("at %v with %d: light %v, beep %v", now.Sub(began), s.taken, lv[ReaderLight], lv[ReaderBeeper])
		}
		if s.beep && next.After(now.Add(beepFor)) {
			t.Errorf("at %v: the beep would last until %v", now.Sub(began), next.Sub(began))
		}
		if lit, _ := level(Slow, 0, now.Sub(began)); lv[OfficerHealth] != lit {
			t.Errorf("at %v: the health lamp lost its rhythm", now.Sub(began))
		}
	}
}

func TestI9_NeverTwoLampsOverAMillionSteps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var k Interlock
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var lastUnder time.Time
	wasUnder := false
	was := Levels{}
	for i := range 1_000_000 {
		now = now.Add(time.Duration(r.IntN(400)) * time.Millisecond)
		v := View{Mode: LightMode(r.IntN(2)), Health: Health(r.IntN(3)), Active: r.IntN(4) > 0, State: passage.State(r.IntN(5)),
			Durable: r.IntN(2) > 0, Released: r.IntN(2) > 0, Decision: decisions[r.IntN(len(decisions))]}
		a := Show(v)
		if r.IntN(50) == 0 {
			a.Traveller = Head(r.IntN(250)) // even from a damaged aspect
		}
		under := r.IntN(3) == 0
		if under || wasUnder {
			lastUnder = now // it was there until now
		}
		wasUnder = under
		lv, next := k.Step(a, under, now)
		lit := 0
		for _, l := range []Lamp{TravellerRed, TravellerAmber, TravellerGreen} {
			if lv[l] {
				lit++
			}
		}
		switch {
		case lit > 1:
			t.Fatalf("step %d: %d traveller lamps lit", i, lit)
		case lv[TravellerGreen] && (was[TravellerRed] || was[TravellerAmber]):
			t.Fatalf("step %d: green without all dark before", i)
		case lv[GateOpen] && lv[GateClose]:
			t.Fatalf("step %d: gate told to open and to close", i)
		case lv[GateClose] && now.Sub(lastUnder) < time.Second:
			t.Fatalf("step %d: gate closes %v after the vehicle", i, now.Sub(lastUnder))
		case !next.After(now):
			t.Fatalf("step %d: asks to be stepped in the past", i)
		case len(lv) != len(Lamps):
			t.Fatalf("step %d: %d levels", i, len(lv))
		}
		was = lv
	}
}

func TestInterlockOffFirst(t *testing.T) {
	var k Interlock
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	lv, _ := k.Step(Aspects{}, false, now)
	if !lv[TravellerRed] || lv[TravellerGreen] {
		t.Fatal("not red at start")
	}
	lv, next := k.Step(Aspects{Traveller: Green, GateOpen: true}, false, now)
	if lv[TravellerRed] || lv[TravellerGreen] || lv[GateOpen] || next != now.Add(50*time.Millisecond) {
		t.Errorf("changing: %v until %v", lv, next.Sub(now))
	}
	if lv, _ = k.Step(Aspects{Traveller: Green, GateOpen: true}, false, next); !lv[TravellerGreen] || !lv[GateOpen] {
		t.Errorf("after the pause: %v", lv)
	}
}

func TestRhythms(t *testing.T) {
	count := func(r Rhythm, n int) (on int) {
		was := false
		for ms := range 10_000 {
			lit, _ := level(r, n, time.Duration(ms)*time.Millisecond)
			if lit && !was {
				on++
			}
			was = lit
		}
		return on
	}
	for _, tc := range []struct {
		r    Rhythm
		n    int
		want int
	}{{Off, 0, 0}, {Steady, 0, 1}, {Slow, 0, 10}, {Fast, 0, 40}, {Blinks, 2, 10}, {Blinks, 3, 13}} {
		if got := count(tc.r, tc.n); got != tc.want {
			t.Errorf("rhythm %d: lit %d times in 10 s, want %d", tc.r, got, tc.want)
		}
	}
}
