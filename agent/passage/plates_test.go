package passage

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
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

// Whose a plate is, when two vehicles are near. What was read of a queue is
// nobody's, not even once the one ahead has left; and a report of the one that has
// left is not the next one's.
func TestI1_PlatesInAQueue(t *testing.T) {
	for name, tc := range map[string]struct {
		script string
		want   Token // of the second vehicle
	}{
		"its own, when it is alone":                  {"0:A+ 1:plate=a 2:A- 3:B+ 4:release 4:taken 5:X+ 6:B- 7:X- 20:A+ 21:plate=b", "b"},
		"its own, after it waited":                   {"0:A+ 1:plate=a 2:A- 3:B+ 3:A+ 4:release 4:taken 5:X+ 6:B- 7:X- 8:plate=b", "b"},
		"told while it waited":                       {"0:A+ 1:plate=a 2:A- 3:B+ 3:A+ 4:plate=b 5:release 5:taken 6:X+ 7:B- 8:X-", ""},
		"told while it waited, of whom nobody knows": {"0:A+ 2:A- 3:B+ 3:A+ 4:plate=b 5:release 5:taken 6:X+ 7:B- 8:X-", ""},
		"told while the one ahead left":              {"0:A+ 1:plate=a 2:A- 3:B+ 3:A+ 5:release 5:taken 6:X+ 7:plate=b 7:B- 8:X-", ""},
		"of the one ahead, late":                     {"0:A+ 1:plate=a 2:A- 3:B+ 3:A+ 5:release 5:taken 6:X+ 7:B- 8:X- 9:plate=a", ""},
		"of the one ahead, at the booth":             {"0:A+ 1:plate=a 2:A- 3:B+ 3:A+ 5:release 5:taken 6:X+ 7:B- 8:X- 9:A- 10:B+ 11:plate=a", ""},
		"the same vehicle came again":                {"0:A+ 1:plate=a 2:A- 3:B+ 5:release 5:taken 6:X+ 7:B- 8:X- 20:A+ 21:plate=a", "a"},
	} {
		m := NewMachine(false)
		drive(t, m, tc.script)
		var got Token
		if p := m.Evidence().Front; p != nil {
			got = p.Bare
		}
		if !m.Active() || got != tc.want {
			t.Errorf("%s: plate %q, want %q", name, got, tc.want)
		}
	}
}

// A camera that sees who stands at the booth and nobody else: its plate is that
// vehicle's, whoever waits behind, and nobody's while none stands there.
func TestI1_PlatesOfACameraAtTheBooth(t *testing.T) {
	for name, tc := range map[string]struct {
		road string
		kind Kind
		want Token
	}{
		"alone":                           {"0:A+ 1:A- 2:B+", FrontPlate, "p"},
		"its trailer's":                   {"0:A+ 1:A- 2:B+", RearPlate, "p"},
		"another one waits":               {"0:A+ 1:A- 2:B+ 3:A+", FrontPlate, "p"},
		"another one is close behind":     {"0:A+ 1:A- 2:B+ 3:A+ 3:A-", FrontPlate, "p"},
		"the first of a queue has left":   {"0:A+ 0:plate=a 1:A- 2:B+ 3:A+ 4:release 4:taken 5:X+ 6:B- 7:X- 8:A- 9:B+ 9:A+", FrontPlate, "p"},
		"it has just cleared":             {"0:A+ 0:plate=p 1:A- 2:B+ 3:A+ 4:release 4:taken 5:X+ 6:B- 7:X- 8:A- 9:B+ 9:A+", FrontPlate, ""},
		"nobody has come to the booth":    {"0:A+", FrontPlate, ""},
		"it has left the loop":            {"0:A+ 1:A- 2:B+ 3:B-", FrontPlate, ""},
		"it may go":                       {"0:A+ 1:A- 2:B+ 3:release 3:taken", FrontPlate, ""},
		"the next one is on its approach": {"0:A+ 1:A- 2:B+ 3:A+ 4:release 4:taken 5:X+ 6:B- 7:X-", FrontPlate, ""},
	} {
		m := NewMachine(false)
		drive(t, m, tc.road)
		s := m.Step(Input{At: noon.Add(10 * time.Second), Kind: tc.kind, Place: ByHand, Plate: Plate{Bare: "p", Confidence: 0.9}})
		var got Token
		for _, p := range []*Plate{m.Evidence().Front, m.Evidence().Rear} {
			if p != nil {
				got = p.Bare
			}
		}
		if got != tc.want || s.Dropped != (tc.want == "") || m.Evidence().Ambiguous {
			t.Errorf("%s: plate %q, dropped %t, want %q", name, got, s.Dropped, tc.want)
		}
	}
}

// camera is a report of a camera at a time after noon. "a/A,B" is plate a with the
// fold key A, which may be B instead.
func camera(kind Kind, at time.Duration, place Place, plate string, confidence float64) Input {
	bare, folds, _ := strings.Cut(plate, "/")
	all := strings.Split(folds, ",")
	p := Plate{Bare: Token(bare), Fold: Token(all[0]), Confidence: confidence}
	for _, c := range all[1:] {
		p.Candidates = append(p.Candidates, Token(c))
	}
	return Input{At: noon.Add(at), Kind: kind, Place: place, Plate: p}
}

func frontOf(m *Machine) Token {
	if p := m.Evidence().Front; p != nil {
		return p.Bare
	}
	return ""
}

// What a camera took the vehicle for that has just cleared is not the next one's,
// even if it is surer of that now.
func TestI1_AnotherReadingOfTheOneThatClearedLingers(t *testing.T) {
	for name, tc := range map[string]struct {
		told, again string
		want        Token
	}{
		"another report's reading":            {"p1/P1 p2/P2", "p2/P2", ""},
		"a worse report's, with other digits": {"p1/P1 p2/P2", "p3/P2", ""},
		"what the camera said besides":        {"p1/P1,P2", "p2/P2", ""},
		"the camera says the first besides":   {"p1/P1", "p2/P2,P1", ""},
		"both may be a third":                 {"p1/P1,P3", "p2/P2,P3", ""},
		"none of them":                        {"p1/P1,P3 p2/P2", "b/B,C", "b"},
		"plates without fold keys":            {"p1/ p2/", "b/", "b"},
	} {
		m := NewMachine(false)
		drive(t, m, "0:A+")
		for i, plate := range strings.Fields(tc.told) {
			m.Step(camera(FrontPlate, time.Second, Anywhere, plate, 0.9-0.1*float64(i)))
		}
		drive(t, m, "2:A- 3:B+ 4:release 4:taken 5:X+ 6:B- 7:X- 9:A+")
		if s := m.Step(camera(FrontPlate, 10*time.Second, Anywhere, tc.again, 0.95)); frontOf(m) != tc.want || s.Dropped != (tc.want == "") {
			t.Errorf("%s: plate %q, dropped %t, want %q", name, frontOf(m), s.Dropped, tc.want)
		}
	}
}

// What is told while a vehicle leaves is not counted for it, nor for the next one
// when it is told again.
func TestI1_APlateToldAsAVehicleLeavesLingers(t *testing.T) {
	for name, tc := range map[string]struct {
		script string
		place  Place
	}{
		"let go":                       {"0:A+ 1:A- 2:B+ 3:release 3:taken | 5:X+ 6:B- 7:X- 9:A+", Anywhere},
		"over the exit loop":           {"0:A+ 1:A- 2:B+ 3:release 3:taken 5:X+ | 6:B- 7:X- 9:A+", Anywhere},
		"another one waits":            {"0:A+ 1:A- 2:B+ 2:A+ 3:release 3:taken | 5:X+ 6:B- 7:X-", Anywhere},
		"referred":                     {"0:A+ 1:A- 2:B+ 3:refer | 5:X+ 6:B- 7:X- 9:A+", Anywhere},
		"seen at the booth":            {"0:A+ 1:A- 2:B+ 3:release 3:taken | 5:X+ 6:B- 7:X- 8:A+ 8:A- 9:B+", ByHand},
		"before the loop was heard":    {"0:A+ 1:A- | 2:B+ 3:release 3:taken 5:X+ 6:B- 7:X- 8:A+ 8:A- 9:B+", ByHand},
		"off the loop, and back on it": {"0:A+ 1:A- 2:B+ 2:B- | 3:B+ 3:release 3:taken 5:X+ 6:B- 7:X- 8:A+ 8:A- 9:B+", ByHand},
	} {
		before, after, _ := strings.Cut(tc.script, "|")
		m := NewMachine(false)
		drive(t, m, before)
		was := fmt.Sprintf("%+v", m.Evidence())
		s := m.Step(camera(FrontPlate, 3*time.Second, tc.place, "p/P,Q", 0.7))
		if is := fmt.Sprintf("%+v", m.Evidence()); !s.Dropped || s.Changed || is != was {
			t.Errorf("%s: %+v, and the evidence is %s, was %s", name, s, is, was)
		}
		m.Step(camera(FrontPlate, 3*time.Second, tc.place, "p/P", 0.8)) // it does not say the other one now
		drive(t, m, after)
		for _, again := range []string{"p/P", "q/Q"} {
			if s := m.Step(camera(FrontPlate, 10*time.Second, tc.place, again, 0.95)); !m.Active() || frontOf(m) != "" || !s.Dropped {
				t.Errorf("%s: %s is the next one's: %q", name, again, frontOf(m))
			}
		}
	}
}

// A camera that the booth loop triggers may tell a plate before the loop is heard, and
// not again. It is the vehicle's if nobody else's it can be: a vehicle came alone.
func TestI1_APlateToldJustBeforeTheBoothLoop(t *testing.T) {
	const alone = "0:A+ 0:A- 1:B+ 1:release 1:taken 2:X+ 3:B- 4:X- "
	for name, tc := range map[string]struct {
		before, after string
		at            time.Duration
		place         Place
		want          Token
	}{
		"alone":                                {alone + "20:A+ 21:A-", "22:B+", 21950 * time.Millisecond, ByHand, "p"},
		"its tail is on the approach":          {alone + "20:A+", "22:B+", 21 * time.Second, ByHand, "p"},
		"told later, and heard of first":       {alone + "20:A+", "22:B+", 22050 * time.Millisecond, ByHand, "p"},
		"it waited since the one ahead left":   {alone + "4:A+", "15:B+", 14500 * time.Millisecond, ByHand, "p"},
		"too early":                            {alone + "20:A+", "22:B+", 20999 * time.Millisecond, ByHand, ""},
		"the one ahead has just left":          {alone + "4:A+", "14:B+", 13999 * time.Millisecond, ByHand, ""},
		"it left before this one came":         {alone + "5:A+", "14:B+", 13999 * time.Millisecond, ByHand, ""},
		"it has cleared 10 s ago":              {alone + "5:A+", "14:B+", 14 * time.Second, ByHand, "p"},
		"told before it came":                  {"0:A+ 0:A- 1:B+ 1:release 1:taken", "2:X+ 3:B- 4:X- 20:A+ 22:B+", 21950 * time.Millisecond, ByHand, ""},
		"a camera that sees the approach":      {alone + "20:A+ 21:A+", "22:B+", 21950 * time.Millisecond, Anywhere, "p"}, // at once
		"another one is close behind":          {alone + "20:A+ 21:A- 21:A+", "22:B+", 21950 * time.Millisecond, ByHand, ""},
		"another one comes close behind":       {alone + "20:A+ 21:A-", "22:A+ 22:B+", 21950 * time.Millisecond, ByHand, ""},
		"one was lost ahead of it":             {"0:A+ 0:A- 1:B+ 2:X+ 3:B- 4:X- 20:A+", "22:B+", 21950 * time.Millisecond, ByHand, ""},
		"one has backed out":                   {alone + "20:A+ 21:A-", "41:A+ 42:B+", 40500 * time.Millisecond, ByHand, ""},
		"one has backed out, the next one's":   {alone + "20:A+ 21:A- 42:A+", "43:B+", 42500 * time.Millisecond, ByHand, ""},
		"the exit loop was taken":              {alone + "20:A+ 20:X+ 20:X-", "22:B+", 21950 * time.Millisecond, ByHand, ""},
		"nobody knows who came before it":      {"0:A+", "3:B+", 2950 * time.Millisecond, ByHand, ""},
		"it never came, the next one not seen": {alone + "20:A+ 21:A-", "42:tick 42:B+", 41950 * time.Millisecond, ByHand, ""},
	} {
		for _, kind := range []Kind{FrontPlate, RearPlate} {
			m := NewMachine(false)
			drive(t, m, tc.before)
			m.Step(camera(kind, tc.at, tc.place, "p/P", 0.9))
			drive(t, m, tc.after)
			ev := m.Evidence()
			got := frontOf(m)
			if kind == RearPlate && ev.Rear != nil {
				got = ev.Rear.Bare
			}
			if !ev.AtBooth || got != tc.want || ev.Front != nil && ev.Rear != nil {
				t.Errorf("%s: plate %q, want %q; %+v", name, got, tc.want, ev)
			}
		}
	}
}

// The better of two such reports is the plate, and the other what it may be instead.
func TestTwoPlatesToldBeforeTheBoothLoop(t *testing.T) {
	m := NewMachine(false)
	drive(t, m, "0:X- 20:A+")
	for _, in := range []Input{camera(FrontPlate, 20*time.Second, ByHand, "old/O", 0.99), camera(FrontPlate, 21*time.Second, ByHand, "p/P", 0.8),
		camera(FrontPlate, 21*time.Second, ByHand, "q/Q", 0.7), camera(FrontPlate, 21*time.Second, ByHand, "/", 0.9),
		camera(RearPlate, 21*time.Second, ByHand, "p/P", 0.8)} {
		if s := m.Step(in); !s.Dropped || s.Changed || len(m.ev.plates()) > 0 {
			t.Errorf("%+v: counted before the booth: %+v", in.Plate, s)
		}
	}
	if s := m.Step(Input{At: noon.Add(21500 * time.Millisecond), Kind: BoothOn}); !s.Changed || s.Dropped {
		t.Errorf("at the booth: %+v", s)
	}
	front, rear := m.Evidence().Front, m.Evidence().Rear
	if front == nil || front.Bare != "p" || !slices.Equal(front.Candidates, []Token{"Q"}) || rear == nil || rear.Bare != "p" {
		t.Errorf("plates %+v, %+v", front, rear)
	}
}

// What is remembered of plates that were not taken is bounded, and the newest of it.
func TestI1_PlatesNotTakenAreBounded(t *testing.T) {
	m := NewMachine(false)
	drive(t, m, "0:A+ 0:A- 1:B+ 2:release 2:taken")
	for i := range 10 * untakenMost {
		m.Step(camera(FrontPlate, 3*time.Second, Anywhere, fmt.Sprintf("p%d/P%d", i, i), 0.9))
		m.Step(camera(RearPlate, 3*time.Second, Anywhere, "same/SAME", 0.9))
		if len(m.untaken) > untakenMost {
			t.Fatalf("%d are kept", len(m.untaken))
		}
	}
	drive(t, m, "5:X+ 6:B- 7:X- 9:A+")
	for _, plate := range []string{fmt.Sprintf("p%d/x", 10*untakenMost-1), "same/y"} {
		if s := m.Step(camera(FrontPlate, 10*time.Second, Anywhere, plate, 0.9)); !s.Dropped {
			t.Errorf("%s is the next one's", plate)
		}
	}
}

// Whatever a camera tells of a vehicle, and when, is not the next one's: neither what
// it told while that was there and tells again within 10 s of its clearing, nor, if
// the camera sees who stands at the booth, what it tells of it before the next one is
// there. What it tells while another one waits and it sees both is nobody's, and not
// of this test.
func TestI1_NoReadingOfAVehicleIsTheNextOnes(t *testing.T) {
	own, late := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		m := NewMachine(false)
		now := noon
		readings := []string{"a1/A1", "a2/A2", "a3/A3", "a4/A4"}
		told := map[string]bool{}
		step := func(in Input, most int) Step {
			now = now.Add(time.Duration(rapid.IntRange(0, most).Draw(t, "ms")) * time.Millisecond)
			in.At, in.NewID = now, fmt.Sprint(now.UnixMilli())
			return m.Step(in)
		}
		kinds := rapid.SampledFrom([]Kind{FrontPlate, RearPlate})
		tell := func(plate, besides string, place Place, most int) {
			if besides != "" {
				plate += "," + besides[3:]
			}
			step(camera(kinds.Draw(t, "kind"), 0, place, plate, rapid.Float64Range(0, 1).Draw(t, "confidence")), most)
		}
		maybe := rapid.SampledFrom(append([]string{""}, readings...))
		first := func(waiting bool) {
			for range rapid.IntRange(0, 2).Draw(t, "reports") {
				place := ByHand
				if !waiting {
					place = rapid.SampledFrom([]Place{Anywhere, ByHand}).Draw(t, "place")
				}
				plate, besides := rapid.SampledFrom(readings).Draw(t, "reading"), maybe.Draw(t, "besides")
				tell(plate, besides, place, 300)
				told[plate], told[besides] = true, true
			}
		}
		step(Input{Kind: ApproachOn}, 0)
		first(false)
		step(Input{Kind: ApproachOff}, 2000)
		first(false)
		step(Input{Kind: BoothOn}, 2000)
		first(false)
		waits := rapid.Bool().Draw(t, "another one waits")
		if waits {
			step(Input{Kind: ApproachOn}, 2000)
			first(true)
		}
		step(Input{Kind: PressRelease}, 2000)
		step(Input{Kind: ReleaseTaken}, 0)
		for _, k := range []Kind{ExitOn, BoothOff, ExitOff} {
			first(false)
			step(Input{Kind: k}, 2000)
		}
		cleared := now
		if !waits {
			step(Input{Kind: ApproachOn}, 1000)
		}
		again := func(places ...Place) {
			for range rapid.IntRange(0, 3).Draw(t, "reports") {
				plate := rapid.SampledFrom(append([]string{"b/B"}, readings...)).Draw(t, "reading")
				place := rapid.SampledFrom(places).Draw(t, "place")
				before := m.there()
				if plate != "b/B" && !told[plate] && !(place == ByHand && !before) {
					continue // of it nobody can know
				}
				besides := ""
				if plate != "b/B" {
					late++
					besides = maybe.Draw(t, "besides")
				}
				tell(plate, besides, place, 200)
				if now.Sub(cleared) >= lingers {
					t.Fatalf("the test is too slow")
				}
			}
			ev := m.Evidence()
			for _, p := range ev.plates() {
				if p.Bare != "b" {
					t.Fatalf("the next one has plate %s; told %v, remembered %+v", p.Bare, told, m.gone)
				}
				own++
			}
		}
		again(Anywhere, ByHand)
		step(Input{Kind: ApproachOff}, 1000)
		again(Anywhere, ByHand)
		step(Input{Kind: BoothOn}, 1000)
		again(Anywhere, ByHand)
	})
	if own == 0 || late == 0 {
		t.Errorf("%d own plates, %d late reports: the cases prove nothing", own, late)
	}
}
