package signal

import (
	"math/rand/v2"
	"testing"
	"time"
)

var dawn = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)

// lights is the heads's feedback with these lamps lit.
func lights(lit ...Lamp) Sight {
	s := Sight{}
	for _, l := range Watched() {
		s[l] = Unlit
	}
	for _, l := range lit {
		s[l] = Lit
	}
	return s
}

func told(lit ...Lamp) Levels {
	lv := Levels{}
	for _, l := range lit {
		lv[l] = true
	}
	return lv
}

// without is what is seen while one lamp's wire is another thing.
func without(s Sight, l Lamp, as Seen) Sight {
	s[l] = as
	return s
}

// Each row is wrong for so many milliseconds and right again: what a monitor
// must trip, and what it may not (reliability reference 1).
func TestI9_MonitorTripsBetweenItsBounds(t *testing.T) {
	red := told(TravellerRed)
	right := lights(TravellerRed)
	for _, tc := range []struct {
		name string
		told Levels
		seen Sight
		not  []int // ms that may not trip
		must []int // ms that must
		want Fault
	}{
		{"green beside red", red, lights(TravellerRed, TravellerGreen), []int{1, 199, 200}, []int{450, 451}, Fault{"traveller", TravellerGreen, Conflict}},
		{"green in place of red", red, lights(TravellerGreen), []int{199, 200}, []int{450, 451}, Fault{"traveller", TravellerGreen, Conflict}},
		{"green while all is dark", told(), lights(TravellerGreen), []int{199, 200}, []int{450, 451}, Fault{"traveller", TravellerGreen, Conflict}},
		{"red beside green", told(TravellerGreen), lights(TravellerGreen, TravellerRed), []int{199, 200}, []int{450, 451}, Fault{"traveller", TravellerGreen, Conflict}},
		{"amber beside green", told(TravellerGreen), lights(TravellerGreen, TravellerAmber), []int{199, 200}, []int{450, 451}, Fault{"traveller", TravellerGreen, Conflict}},
		{"green, and red is not wired back", red, without(lights(TravellerGreen), TravellerRed, Unwired), []int{199, 200}, []int{450, 451}, Fault{"traveller", TravellerGreen, Conflict}},
		{"green, and red is lost", red, without(lights(TravellerGreen), TravellerRed, Lost), []int{199, 200}, []int{450, 451}, Fault{"traveller", TravellerGreen, Conflict}},
		{"officer's green beside red", told(TravellerRed, OfficerRed), lights(TravellerRed, OfficerRed, OfficerGreen), []int{199, 200}, []int{450, 451}, Fault{"officer", OfficerGreen, Conflict}},
		{"officer's green uncalled for", red, lights(TravellerRed, OfficerGreen), []int{199, 200}, []int{450, 451}, Fault{"officer", OfficerGreen, Conflict}},
		{"no red", red, lights(), []int{1, 450, 699, 700}, []int{1000, 1001}, Fault{"traveller", TravellerRed, Dark}},
		{"no amber", told(TravellerAmber), lights(), []int{699, 700}, []int{1000, 1001}, Fault{"traveller", TravellerAmber, Dark}},
		{"no green", told(TravellerGreen), lights(), []int{699, 700}, []int{1000, 1001}, Fault{"traveller", TravellerGreen, Dark}},
		{"no red, and amber is not wired back", red, without(lights(), TravellerAmber, Unwired), []int{699, 700}, []int{1000, 1001}, Fault{"traveller", TravellerRed, Dark}},
		{"officer's head dark", told(TravellerRed, OfficerAmber), lights(TravellerRed), []int{699, 700}, []int{1000, 1001}, Fault{"officer", OfficerAmber, Dark}},
		{"amber beside red", red, lights(TravellerRed, TravellerAmber), []int{699, 700}, []int{1000, 1001}, Fault{"traveller", TravellerAmber, Stuck}},
		{"amber in place of red", red, lights(TravellerAmber), []int{699, 700}, []int{1000, 1001}, Fault{"traveller", TravellerAmber, Stuck}},
		{"red in place of green", told(TravellerGreen), lights(TravellerRed), []int{699, 700}, []int{1000, 1001}, Fault{"traveller", TravellerRed, Stuck}},
		{"both right", red, right, []int{1e6}, nil, Fault{}},
		{"nothing told, nothing lit", told(), lights(), []int{1e6}, nil, Fault{}},
		{"no feedback at all", red, nil, []int{1e6}, nil, Fault{}},
		{"red has no wire", red, without(lights(), TravellerRed, Unwired), []int{1e6}, nil, Fault{}},
		{"red is lost", red, without(lights(), TravellerRed, Lost), []int{1e6}, nil, Fault{}},
		{"green is lost", red, without(lights(), TravellerGreen, Lost), []int{1e6}, nil, Fault{}},
	} {
		run := func(ms int, steps ...int) Fault {
			var m Monitor
			m.Step(red, right, dawn)
			at := dawn.Add(time.Second)
			m.Step(tc.told, tc.seen, at)
			for _, s := range steps {
				m.Step(tc.told, tc.seen, at.Add(time.Duration(s)*time.Millisecond))
			}
			end := at.Add(time.Duration(ms) * time.Millisecond)
			m.Step(red, right, end)
			m.Step(red, right, end.Add(time.Minute))
			return m.Judged().Fault
		}
		for _, ms := range tc.not {
			if got := run(ms, ms/3, ms/2); got != (Fault{}) {
				t.Errorf("%s for %d ms = %+v, want none", tc.name, ms, got)
			}
		}
		for _, ms := range tc.must {
			if got := run(ms); got != tc.want {
				t.Errorf("%s for %d ms = %+v, want %+v", tc.name, ms, got, tc.want)
			}
			if got := run(ms, 1, ms/2, ms-1); got != tc.want {
				t.Errorf("%s for %d ms in steps = %+v, want %+v", tc.name, ms, got, tc.want)
			}
		}
	}
}

// The monitor asks to be stepped when the limit is reached, and not after it.
func TestI9_MonitorIsWokenInTime(t *testing.T) {
	for _, tc := range []struct {
		name     string
		seen     Sight
		from, to time.Duration
	}{
		{"conflict", lights(TravellerRed, TravellerGreen), 200 * time.Millisecond, 450 * time.Millisecond},
		{"dark", lights(), 700 * time.Millisecond, time.Second},
	} {
		var m Monitor
		_, next := m.Step(told(TravellerRed), tc.seen, dawn)
		v, _ := m.Step(told(TravellerRed), tc.seen, next)
		if after := next.Sub(dawn); v.Fault.Kind != Kind(tc.name) || after <= tc.from || after > tc.to {
			t.Errorf("%s: %+v after %v", tc.name, v.Fault, after)
		}
		v, _ = new(Monitor).Step(told(TravellerRed), tc.seen, dawn)
		if v.Fault != (Fault{}) {
			t.Errorf("%s at first sight", tc.name)
		}
	}
	var m Monitor
	if _, next := m.Step(told(TravellerRed), lights(TravellerRed), dawn); !next.IsZero() {
		t.Errorf("wants to be woken at %v with nothing wrong", next)
	}
}

// Every pattern that the officer's lamps know, seen by a wire that lags, is no
// fault; burnt out, each is one, after as much light as a steady lamp's.
func TestI9_AFlashsPauseIsNoDarkHead(t *testing.T) {
	for _, r := range []Rhythm{Steady, Slow, Fast, Blinks} {
		for _, lag := range []time.Duration{0, 30 * time.Millisecond, 90 * time.Millisecond} {
			if f, after := burn(r, lag, false); f != (Fault{}) {
				t.Errorf("rhythm %d, %v late: %+v after %v", r, lag, f, after)
			}
			f, after := burn(r, lag, true)
			if want := (Fault{"officer", OfficerGreen, Dark}); f != want || after <= 700*time.Millisecond || after > time.Second {
				t.Errorf("rhythm %d burnt out: %+v after %v of light", r, f, after)
			}
		}
	}
}

// burn shows the officer's green in a rhythm for a minute, its feedback lagging,
// and tells the fault and after how much commanded light it came.
func burn(r Rhythm, lag time.Duration, out bool) (f Fault, light time.Duration) {
	var m Monitor
	const tick = 5 * time.Millisecond
	for since := time.Duration(0); since < time.Minute; since += tick {
		lit, _ := level(r, 2, since)
		shown := false
		if since >= lag {
			shown, _ = level(r, 2, since-lag)
		}
		lv, seen := told(TravellerRed), lights(TravellerRed)
		if lv[OfficerGreen] = lit; shown && !out {
			seen[OfficerGreen] = Lit
		}
		if v, _ := m.Step(lv, seen, dawn.Add(since)); v.Fault != (Fault{}) {
			return v.Fault, light
		}
		if lit {
			light += tick
		}
	}
	return Fault{}, light
}

// A green that stays lit through the pauses of READY n looks like EXPEDITE.
func TestI9_AGreenThatDoesNotBlinkIsAConflict(t *testing.T) {
	var m Monitor
	for since := time.Duration(0); since < 3*time.Second; since += 5 * time.Millisecond {
		lv := told(TravellerRed)
		lv[OfficerGreen], _ = level(Blinks, 2, since)
		m.Step(lv, lights(TravellerRed, OfficerGreen), dawn.Add(since))
	}
	if got := m.Judged().Fault; got != (Fault{"officer", OfficerGreen, Conflict}) {
		t.Errorf("%+v", got)
	}
}

func TestI9_AFaultIsLatchedUntilReset(t *testing.T) {
	var m Monitor
	red := told(TravellerRed)
	m.Step(red, lights(TravellerRed, TravellerGreen), dawn)
	m.Step(red, lights(TravellerRed, TravellerGreen), dawn.Add(time.Second))
	want := Fault{"traveller", TravellerGreen, Conflict}
	if m.Reset() {
		t.Error("reset while green is lit")
	}
	m.Step(red, lights(TravellerRed), dawn.Add(2*time.Second))
	m.Step(red, lights(), dawn.Add(3*time.Second))
	if m.Step(red, lights(), dawn.Add(5*time.Second)); m.Judged().Fault != want {
		t.Errorf("the first fault became %+v", m.Judged().Fault)
	}
	if m.Reset() {
		t.Error("reset while the head is dark")
	}
	m.Step(red, without(lights(), TravellerRed, Lost), dawn.Add(6*time.Second))
	if m.Reset() || !m.Judged().Doubt {
		t.Error("reset while red cannot be seen")
	}
	if m.Step(red, lights(TravellerRed), dawn.Add(7*time.Second)); !m.Reset() || m.Judged() != (Judged{}) {
		t.Errorf("not reset: %+v", m.Judged())
	}
	m = Monitor{}
	if m.Latch(want); m.Judged().Fault != want {
		t.Error("a fault from before the restart is forgotten")
	}
	if m.Step(red, lights(TravellerRed), dawn); m.Judged().Fault != want {
		t.Error("being right clears it")
	}
}

// Feedback has the stamp of its edge, which may be older than the last command.
func TestMonitorTakesLateStamps(t *testing.T) {
	var m Monitor
	m.Step(told(TravellerRed), lights(TravellerRed), dawn)
	m.Step(told(TravellerRed), lights(TravellerRed, TravellerGreen), dawn.Add(time.Second))
	m.Step(told(TravellerRed), lights(TravellerRed), dawn.Add(900*time.Millisecond))
	if m.Step(told(TravellerRed), lights(TravellerRed), dawn.Add(time.Minute)); m.Judged().Fault != (Fault{}) {
		t.Errorf("%+v", m.Judged().Fault)
	}
}

// Over the interlock with lamps that work, at any pace, nothing ever trips; and
// a green that is stuck never outlives 450 ms unseen.
func TestI9_MonitorOverTheInterlock(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		r := rand.New(rand.NewPCG(3, 4))
		var k Interlock
		var m Monitor
		now, wrong := dawn, time.Duration(0)
		var a Aspects
		for i := range 200_000 {
			if r.IntN(40) == 0 {
				a = Show(View{Mode: LightMode(r.IntN(2)), Health: Healthy, Active: r.IntN(4) > 0, State: 2, Durable: true, Released: r.IntN(2) > 0,
					Decision: decisions[r.IntN(len(decisions))]})
			}
			lv, _ := k.Step(a, false, now)
			seen := lights()
			for l := range seen {
				if lv[l] {
					seen[l] = Lit
				}
			}
			if stuck {
				seen[TravellerGreen] = Lit
			}
			v, _ := m.Step(lv, seen, now)
			if !stuck && v != (Judged{}) {
				t.Fatalf("step %d: %+v told %v", i, v, lv)
			}
			if v.Fault != (Fault{}) {
				break
			}
			if stuck && (!lv[TravellerGreen] || lv[TravellerRed]) {
				if wrong += 10 * time.Millisecond; wrong > 450*time.Millisecond {
					t.Fatal("a stuck green was not seen in 450 ms")
				}
			} else {
				wrong = 0
			}
			now = now.Add(10 * time.Millisecond)
		}
	}
}
