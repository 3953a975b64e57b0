package passage

import (
	"math"
	"slices"
	"testing"
	"time"
)

// proven reads the preconditions once more, for itself: with every rule mute it
// still refuses what is not positively true.
func TestI1_ProvenStandsAlone(t *testing.T) {
	proven := func(base func() (Policy, Evidence, Facts), edit func(*Policy, *Evidence, *Facts)) bool {
		pol, ev, f := base()
		if edit != nil {
			edit(&pol, &ev, &f)
		}
		c := &weighing{pol: pol, ev: ev, f: f, column: columnOf(pol.Lane)}
		c.held, c.whole = holdings(ev, f)
		c.distinct = distinct(c.held)
		c.good = c.distinct // the rules say nothing
		if s := c.session(); len(s.Verdicts) > 0 {
			c.matched = c.bound(s.Verdicts[0], s) && s.Verdicts[0].Result == BioMatch
		}
		return c.proven()
	}
	for name, base := range map[string]func() (Policy, Evidence, Facts){"nx": clean, "fa": cleanTruck, "air": cleanSession} {
		if !proven(base, nil) {
			t.Errorf("%s: the clean passage is not proven", name)
		}
		for what, edit := range map[string]func(*Policy, *Evidence, *Facts){
			"clock":    func(_ *Policy, _ *Evidence, f *Facts) { f.Clock = ClockRestored },
			"time":     func(_ *Policy, _ *Evidence, f *Facts) { f.Now = time.Time{} },
			"key":      func(_ *Policy, _ *Evidence, f *Facts) { f.Key = false },
			"store":    func(_ *Policy, _ *Evidence, f *Facts) { f.Store = false },
			"readers":  func(_ *Policy, _ *Evidence, f *Facts) { f.Readers = false },
			"loops":    func(_ *Policy, _ *Evidence, f *Facts) { f.Presence = false },
			"lamps":    func(_ *Policy, _ *Evidence, f *Facts) { f.Signals = false },
			"config":   func(_ *Policy, _ *Evidence, f *Facts) { f.Config = false },
			"late":     func(_ *Policy, _ *Evidence, f *Facts) { f.Late = true },
			"lists":    func(_ *Policy, _ *Evidence, f *Facts) { f.Lists = f.Lists[1:] },
			"stale":    func(p *Policy, _ *Evidence, f *Facts) { f.Lists[0].Age = p.HardAge + 1 },
			"cards":    func(_ *Policy, e *Evidence, f *Facts) { e.Cards, f.Cards = nil, nil },
			"facts":    func(_ *Policy, _ *Evidence, f *Facts) { f.Cards = nil },
			"closed":   func(_ *Policy, e *Evidence, _ *Facts) { e.Closed = true },
			"doubt":    func(_ *Policy, e *Evidence, _ *Facts) { e.Ambiguous = true },
			"presence": func(_ *Policy, e *Evidence, _ *Facts) { e.Presence = true },
			"way":      func(_ *Policy, e *Evidence, _ *Facts) { e.WrongWay = true },
		} {
			if proven(base, edit) {
				t.Errorf("%s: proven without %s", name, what)
			}
		}
	}
	for what, edit := range map[string]func(*Policy, *Evidence, *Facts){
		"port":      func(p *Policy, _ *Evidence, _ *Facts) { p.FASTPort = false },
		"policy":    func(p *Policy, _ *Evidence, _ *Facts) { p.FAST = "" },
		"tractor":   func(_ *Policy, _ *Evidence, f *Facts) { f.VehicleLinked = false },
		"plate":     func(_ *Policy, e *Evidence, _ *Facts) { e.Front = nil },
		"carrier":   func(_ *Policy, e *Evidence, _ *Facts) { e.Trade.Carriers = nil },
		"approval":  func(_ *Policy, _ *Evidence, f *Facts) { f.Trade.Carriers[0].Found = false },
		"trip":      func(_ *Policy, _ *Evidence, f *Facts) { f.Trade.Trips = nil },
		"its own":   func(_ *Policy, _ *Evidence, f *Facts) { f.Trade.Trips[0].Carrier = "other" },
		"no token":  func(_ *Policy, _ *Evidence, f *Facts) { f.Trade.Trips[0].Token = "" },
		"empty":     func(_ *Policy, _ *Evidence, f *Facts) { f.Trade.Trips[0].Empty = true },
		"shipments": func(_ *Policy, _ *Evidence, f *Facts) { f.Trade.Trips[0].Shipments = nil },
		"people":    func(_ *Policy, e *Evidence, _ *Facts) { e.Occupants = 2 },
	} {
		if proven(cleanTruck, edit) {
			t.Errorf("fa: proven without %s", what)
		}
	}
	for what, edit := range map[string]func(*Policy, *Evidence, *Facts){
		"session": func(_ *Policy, e *Evidence, _ *Facts) { e.Session = nil },
		"verdict": func(_ *Policy, e *Evidence, _ *Facts) { e.Session.Verdicts[0].Sealed = false },
		"party":   func(_ *Policy, e *Evidence, _ *Facts) { e.Session.Party = 0 },
		"answer":  func(_ *Policy, e *Evidence, _ *Facts) { e.Session.Answered = false },
		"nothing": func(_ *Policy, e *Evidence, _ *Facts) { e.Session.Declared = true },
		"time":    func(_ *Policy, e *Evidence, _ *Facts) { e.Session.TimedOut = true },
		"one card": func(_ *Policy, e *Evidence, f *Facts) {
			e.Cards = append(e.Cards, Card{Token: "c2"})
			f.Cards = append(f.Cards, f.Cards[0])
		},
	} {
		if proven(cleanSession, edit) {
			t.Errorf("air: proven without %s", what)
		}
	}
	if proven(cleanGeneral, nil) {
		t.Error("gen: proven")
	}
}

// A decision of a lane that never expedites hides its hits too: with a hit and
// drawn at random it is the same to everybody.
func TestI3_EveryLaneHidesItsHits(t *testing.T) {
	for lane, base := range lanesOf {
		for _, tc := range rowsOf(t, lane) {
			pol, ev, f := base()
			tc.edit(&pol, &ev, &f)
			seen := func(change func(*Policy, *Facts)) Decision {
				p, g := pol, f
				g.Hits = slices.Clone(f.Hits)
				change(&p, &g)
				d := Decide(p, ev, g).Public()
				return d
			}
			plain := seen(func(*Policy, *Facts) {})
			watched := seen(func(_ *Policy, g *Facts) { g.Hits = append(g.Hits, hit(Observe)) })
			if !sameDecision(plain, watched) {
				t.Errorf("%s, %s: OBSERVE shows: %+v, without %+v", lane, tc.name, watched, plain)
			}
			if f.Draw < 0 || f.Draw > 9999 || plain.Outcome == Hold {
				continue // a broken draw is told by 210, and over HOLD a hit is left out
			}
			drawn := seen(func(p *Policy, g *Facts) { p.RandomRate, g.Draw = min(max(p.RandomRate, 0.0001), 1), 0 })
			referred := seen(func(p *Policy, g *Facts) {
				p.RandomRate = min(max(p.RandomRate, 0.0001), 1)
				g.Hits = append(g.Hits, hit(Check))
			})
			if !sameDecision(drawn, referred) {
				t.Errorf("%s, %s: a hit shows %+v, a draw %+v", lane, tc.name, referred, drawn)
			}
		}
	}
}

func sameDecision(a, b Decision) bool {
	return a.Outcome == b.Outcome && a.Lead == b.Lead && a.Ready == b.Ready && slices.Equal(a.Reasons, b.Reasons)
}

func TestFamiliesOfCodes(t *testing.T) {
	for code, want := range map[Code]Family{Eligible: FamilyLane, LaneClosed: FamilySystem, LookoutStop: FamilyLookout, NoCard: FamilyCard,
		OccupantsUnconfirmed: FamilyPeople, PlateMissing: FamilyVehicle, CarrierUnknown: FamilyTrade, ContainerHold: FamilyContainer,
		BioUnbound: FamilySession, CommercialGoods: FamilyOfficer, 999: "", 150: ""} {
		if got := code.Family(); got != want {
			t.Errorf("%d: %q, want %q", code, got, want)
		}
	}
	if RequiredLists(Policy{Lane: "bus"}) != nil || len(RequiredLists(Policy{Lane: FAST, Documents: true})) != 9 {
		t.Error("lists that a lane needs")
	}
}

// What the machine keeps of reads, at its edges.
func TestReadsAtTheEdges(t *testing.T) {
	m := atBooth()
	at := noon.Add(2 * time.Second)
	if s := m.Step(Input{At: at, Kind: CardRead}); !s.Dropped {
		t.Error("a card without a number is kept")
	}
	m.Step(Input{At: at, Kind: FrontPlate, Plate: Plate{Full: "f", Bare: "b", Jurisdiction: "ON", Confidence: 0.5}})
	m.Step(Input{At: at, Kind: FrontPlate, Plate: Plate{Bare: "b", Confidence: 0.9}})
	if p := m.Evidence().Front; p.Jurisdiction != "ON" || p.Full != "f" || p.Confidence != 0.9 {
		t.Errorf("a better reading without jurisdiction: %+v", p)
	}
	m.Step(Input{At: at, Kind: RearPlate, Plate: Plate{Bare: "r", Confidence: math.NaN()}})
	if p := m.Evidence().Rear; p.Confidence != -1 {
		t.Errorf("confidence %v", p.Confidence)
	}
	// Another vehicle waits: a plate that is new may be its.
	m.Step(Input{At: at, Kind: ApproachOn})
	if s := m.Step(Input{At: at, Kind: FrontPlate, Plate: Plate{Bare: "x", Confidence: 1}}); !s.Dropped {
		t.Errorf("%+v", s)
	}
	if s := m.Step(Input{At: at, Kind: LoopFault}); !s.Changed || !m.Evidence().Presence || m.Stuck() {
		t.Errorf("%+v", s)
	}
	if s := NewMachine(false).Step(Input{At: at, Kind: LoopFault}); s.Changed {
		t.Error("a loop fault without a vehicle")
	}
}
