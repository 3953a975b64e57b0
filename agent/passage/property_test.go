package passage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// laneNames are the lanes with a table, in order.
var laneNames = slices.Sorted(maps.Keys(lanesOf))

// randomCase draws a passage of any lane, anywhere between clean and hopeless.
func randomCase(t *rapid.T, tables map[string][]row) (Policy, Evidence, Facts) {
	lane := rapid.SampledFrom(laneNames).Draw(t, "lane")
	rows := tables[lane]
	pol, ev, f := lanesOf[lane]()
	for range rapid.IntRange(0, 5).Draw(t, "edits") {
		rows[rapid.IntRange(0, len(rows)-1).Draw(t, "row")].edit(&pol, &ev, &f)
	}
	ev.Occupants = rapid.IntRange(-1, 4).Draw(t, "occupants")
	return pol, ev, f
}

func allRows(t *testing.T) map[string][]row {
	t.Helper()
	all, err := loadRows()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// scanned gives the passage a mark more of some kind, and its fact.
func scanned(e *Evidence, f *Facts, add func(*Trade, *TradeFacts)) {
	ev := e.clone()
	if ev.Trade == nil {
		ev.Trade = new(Trade)
	}
	facts := TradeFacts{}
	if f.Trade != nil {
		facts = *f.Trade
		facts.Carriers, facts.Containers = slices.Clone(facts.Carriers), slices.Clone(facts.Containers)
	}
	add(ev.Trade, &facts)
	*e, f.Trade = ev, &facts
}

// worse are the faults, lookouts and cards that may come on top of a passage.
// None of them changes what its arguments share with the caller's.
var worse = []struct {
	name string
	edit func(*Policy, *Evidence, *Facts)
}{
	{"clock", func(_ *Policy, _ *Evidence, f *Facts) { f.Clock = ClockUnset }},
	{"unknown clock", func(_ *Policy, _ *Evidence, f *Facts) { f.Clock = 200 }},
	{"no time", func(_ *Policy, _ *Evidence, f *Facts) { f.Now = time.Time{} }},
	{"key", func(_ *Policy, _ *Evidence, f *Facts) { f.Key = false }},
	{"store", func(_ *Policy, _ *Evidence, f *Facts) { f.Store = false }},
	{"readers", func(_ *Policy, _ *Evidence, f *Facts) { f.Readers = false }},
	{"plate reader", func(_ *Policy, _ *Evidence, f *Facts) { f.LPR = false }},
	{"loops", func(_ *Policy, _ *Evidence, f *Facts) { f.Presence = false }},
	{"lamps", func(_ *Policy, _ *Evidence, f *Facts) { f.Signals = false }},
	{"configuration", func(_ *Policy, _ *Evidence, f *Facts) { f.Config = false }},
	{"late", func(_ *Policy, _ *Evidence, f *Facts) { f.Late = true }},
	{"no lists", func(_ *Policy, _ *Evidence, f *Facts) { f.Lists = nil }},
	{"ambiguous", func(_ *Policy, e *Evidence, _ *Facts) { e.Ambiguous = true }},
	{"presence", func(_ *Policy, e *Evidence, _ *Facts) { e.Presence = true }},
	{"wrong way", func(_ *Policy, e *Evidence, _ *Facts) { e.WrongWay = true }},
	{"closed", func(_ *Policy, e *Evidence, _ *Facts) { e.Closed = true }},
	{"unreadable card", func(_ *Policy, e *Evidence, _ *Facts) { e.Unreadable++ }},
	{"truck", func(_ *Policy, e *Evidence, _ *Facts) { e.VehicleWrong = true }},
	{"declaration", func(_ *Policy, e *Evidence, _ *Facts) { e.Declaration = true }},
	{"goods", func(_ *Policy, e *Evidence, _ *Facts) { e.Goods = true }},
	{"officer refers", func(_ *Policy, e *Evidence, _ *Facts) { e.Refers++ }},
	{"stop", func(_ *Policy, _ *Evidence, f *Facts) { f.Hits = append(slices.Clone(f.Hits), hit(Stop)) }},
	{"refer", func(_ *Policy, _ *Evidence, f *Facts) { f.Hits = append(slices.Clone(f.Hits), hit(Check)) }},
	{"observe", func(_ *Policy, _ *Evidence, f *Facts) { f.Hits = append(slices.Clone(f.Hits), hit(Observe)) }},
	{"unknown action", func(_ *Policy, _ *Evidence, f *Facts) { f.Hits = append(slices.Clone(f.Hits), hit("WAVE")) }},
	{"possible", func(_ *Policy, _ *Evidence, f *Facts) {
		h := hit(Stop)
		h.Possible = true
		f.Hits = append(slices.Clone(f.Hits), h)
	}},
	{"unknown card", func(_ *Policy, e *Evidence, f *Facts) {
		n := len(e.Cards)
		facts := append(slices.Clone(f.Cards), make([]CardFact, max(0, n-len(f.Cards)))...)
		e.Cards = append(slices.Clone(e.Cards), Card{Token: "stranger"})
		f.Cards = slices.Insert(facts, n, CardFact{Recent: -1})
	}},
	{"malformed carrier", func(_ *Policy, e *Evidence, f *Facts) {
		scanned(e, f, func(t *Trade, k *TradeFacts) {
			t.Carriers = append(t.Carriers, Mark{Token: "bad", Malformed: true})
			k.Carriers = append(k.Carriers, Trader{Token: "bad"})
		})
	}},
	{"cargo of no trip", func(_ *Policy, e *Evidence, f *Facts) {
		scanned(e, f, func(t *Trade, _ *TradeFacts) { t.Cargo = append(t.Cargo, Mark{Token: "none"}) })
	}},
	{"malformed seal", func(_ *Policy, e *Evidence, f *Facts) {
		scanned(e, f, func(t *Trade, _ *TradeFacts) { t.Seals = append(t.Seals, Mark{Malformed: true}) })
	}},
	{"container on hold", func(_ *Policy, e *Evidence, f *Facts) {
		scanned(e, f, func(t *Trade, k *TradeFacts) {
			if len(k.Containers) == len(t.Containers) { // facts that are missing are a fault of their own, not to be mended here
				t.Containers = append(t.Containers, Mark{Token: "held"})
				k.Containers = append(k.Containers, Container{Found: true, Status: ContainerOnHold})
			}
		})
	}},
	{"empty, says the officer", func(p *Policy, e *Evidence, f *Facts) {
		if !p.AllowEmpty {
			scanned(e, f, func(t *Trade, _ *TradeFacts) { t.Empty = true })
		}
	}},
	{"NO_MATCH", func(_ *Policy, e *Evidence, _ *Facts) {
		if ev := e.clone(); ev.Session != nil && len(ev.Session.Verdicts) > 0 {
			v := ev.Session.Verdicts[0]
			v.Result = BioNo
			ev.Session.Verdicts = append(ev.Session.Verdicts, v)
			*e = ev
		}
	}},
	{"session timed out", func(_ *Policy, e *Evidence, _ *Facts) {
		if ev := e.clone(); ev.Session != nil {
			ev.Session.TimedOut = true
			*e = ev
		}
	}},
	{"document that fails its check", func(_ *Policy, e *Evidence, f *Facts) {
		if len(f.Documents) == len(e.Documents) {
			e.Documents = append(slices.Clone(e.Documents), Document{CheckFailed: true})
			f.Documents = append(slices.Clone(f.Documents), DocumentFact{})
		}
	}},
	{"unknown card without facts", func(_ *Policy, e *Evidence, f *Facts) {
		if len(f.Cards) <= len(e.Cards) {
			e.Cards = append(slices.Clone(e.Cards), Card{Token: "stranger"})
		}
	}},
}

// notMilder fails if any fault on top of a passage lowers its severity, or
// makes it READY.
func notMilder(pol Policy, ev Evidence, f Facts, which int) error {
	before := Decide(pol, ev, f)
	p2, e2, f2 := pol, ev, f
	worse[which].edit(&p2, &e2, &f2)
	after := Decide(p2, e2, f2)
	if after.Outcome.Severity() < before.Outcome.Severity() {
		return fmt.Errorf("%s: %v %v became %v %v", worse[which].name, before.Outcome, before.Reasons, after.Outcome, after.Reasons)
	}
	if after.Ready > 0 && before.Ready == 0 {
		return fmt.Errorf("%s: %v became READY %d", worse[which].name, before.Reasons, after.Ready)
	}
	return nil
}

func TestI1_AFaultLookoutOrUnknownCardNeverLowersSeverity(t *testing.T) {
	rows := allRows(t)
	rapid.Check(t, func(t *rapid.T) {
		pol, ev, f := randomCase(t, rows)
		for i := range worse {
			if err := notMilder(pol, ev, f, i); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// anything draws values from all over each type, known or not, around a clean
// passage: every field is its clean value half of the time.
func anything(r *rand.Rand) (Policy, Evidence, Facts) {
	pol, ev, f := lanesOf[laneNames[r.IntN(len(laneNames))]]()
	wild(r, reflect.ValueOf(&pol).Elem())
	wild(r, reflect.ValueOf(&ev).Elem())
	wild(r, reflect.ValueOf(&f).Elem())
	return pol, ev, f
}

var strange = []string{"", "x", "c1", "t1", "NEXUS", "SENTRI", "STOP", "REFER", "OBSERVE", "nexus", "fast", "nexus-air", "ready", "CA", "US",
	"cards", "carrier", "importer", "cargo1", "box", "seal", "trip", "PIP", "CSA", "CTPAT", "H", "MATCH", "NO_MATCH", "n1", "CSA_AND_PIP"}

func wild(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			if r.IntN(8) == 0 {
				v.Set(reflect.ValueOf(noon.Add(time.Duration(r.Int64N(int64(4*time.Hour))) - 2*time.Hour)))
			}
			return
		}
		for i := range v.NumField() {
			wild(r, v.Field(i))
		}
	case reflect.Pointer:
		if r.IntN(8) == 0 {
			v.Set(reflect.Zero(v.Type()))
		} else if v.IsNil() && r.IntN(4) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
		}
		if !v.IsNil() {
			fresh := reflect.New(v.Type().Elem())
			fresh.Elem().Set(v.Elem())
			wild(r, fresh.Elem())
			v.Set(fresh)
		}
	case reflect.Slice:
		n := v.Len()
		if r.IntN(8) == 0 {
			n = r.IntN(4)
		}
		fresh := reflect.MakeSlice(v.Type(), n, n)
		reflect.Copy(fresh, v)
		for i := range n {
			wild(r, fresh.Index(i))
		}
		v.Set(fresh)
	default:
		if r.IntN(16) == 0 {
			wildScalar(r, v)
		}
	}
}

func wildScalar(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.String:
		v.SetString(strange[r.IntN(len(strange))])
	case reflect.Float64:
		v.SetFloat(r.Float64()*3 - 1)
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64N(12_000) - 1000)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(uint64(r.IntN(12)))
	}
}

// A hundred thousand passages a lane out of the whole of every type: no panic, a
// whole decision, Expedite only where a plain second reading of the
// preconditions agrees, and nothing on top makes it milder.
func TestI1_AHundredThousandPassages(t *testing.T) {
	r := rand.New(rand.NewPCG(20260501, 7))
	expedited := map[LaneType]int{}
	for i := range 100_000 * len(laneNames) {
		pol, ev, f := anything(r)
		d := Decide(pol, ev, f)
		switch {
		case d.Lead == 0 || len(d.Reasons) == 0 || !slices.Contains(d.Reasons, d.Lead):
			t.Fatalf("case %d: no whole decision: %+v", i, d)
		case !slices.IsSorted(d.Reasons) || len(slices.Compact(slices.Clone(d.Reasons))) != len(d.Reasons):
			t.Fatalf("case %d: reasons %v", i, d.Reasons)
		case (d.Outcome == Expedite) != slices.Contains(d.Reasons, Eligible):
			t.Fatalf("case %d: %v of %v", i, d.Outcome, d.Reasons)
		case d.Outcome == Expedite:
			expedited[pol.Lane]++
			if why := mayNot(pol, ev, f); why != "" {
				t.Fatalf("case %d: expedited although %s: %+v %+v", i, why, ev, f)
			}
		}
		if err := notMilder(pol, ev, f, r.IntN(len(worse))); err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
	}
	for _, lane := range []LaneType{NEXUS, FAST, NEXUSAir} {
		if expedited[lane] < 50 {
			t.Errorf("%d passages of lane %s were expedited: the cases prove nothing", expedited[lane], lane)
		}
	}
}

// mayNot reads the preconditions of 7.4 once more, and the states that the
// policy knows; "" if nothing is missing.
func mayNot(pol Policy, ev Evidence, f Facts) string {
	switch {
	case ev.Closed:
		return "closed"
	case f.Clock != ClockSynced && f.Clock != ClockHoldover:
		return "clock"
	case !f.Key || !f.Store || !f.Readers || !f.Presence || !f.Signals || !f.Config || f.Late:
		return "health"
	case len(ev.Cards) != len(f.Cards) || len(ev.Cards)+len(ev.Documents) == 0:
		return "cards"
	case ev.Ambiguous || ev.Presence || ev.WrongWay || ev.Refers > 0 || ev.Declaration || ev.Unreadable != 0:
		return "evidence"
	}
	for _, kind := range RequiredLists(pol) {
		i := slices.IndexFunc(f.Lists, func(l List) bool { return l.Kind == kind })
		if i < 0 || f.Lists[i].Generation == 0 || f.Lists[i].Age > pol.HardAge || f.Lists[i].Age < 0 {
			return "list " + kind
		}
	}
	for _, c := range f.Cards {
		if !c.Found || c.Card != Issued || c.Membership != Active || !c.ValidUntil.After(f.Now) || c.ValidFrom.After(f.Now) {
			return "card"
		}
	}
	for _, d := range ev.Documents {
		if d.CheckFailed {
			return "document"
		}
	}
	for _, h := range f.Hits {
		in := !f.Now.Before(h.ValidFrom) && (f.Now.Before(h.ValidUntil) || h.ValidUntil.IsZero())
		if in && inScope(h, pol) && h.Action != Observe {
			return "lookout"
		}
	}
	switch pol.Lane {
	case NEXUS:
		return mayNotDrive(ev)
	case FAST:
		if why := mayNotDrive(ev); why != "" && why != "goods" {
			return why
		}
		return mayNotHaul(pol, ev, f)
	case NEXUSAir:
		return mayNotWalk(pol, ev)
	}
	return "no lane that expedites"
}

func mayNotDrive(ev Evidence) string {
	switch {
	case ev.Front == nil && ev.Keyed == nil:
		return "plate"
	case ev.Occupants < 1 || ev.Occupants > len(ev.Cards)+len(ev.Documents):
		return "occupants"
	case ev.Goods:
		return "goods"
	}
	return ""
}

func mayNotHaul(pol Policy, ev Evidence, f Facts) string {
	if ev.Trade == nil || f.Trade == nil || !f.VehicleLinked || !pol.FASTPort || len(f.Trade.Trips) != 1 || len(ev.Trade.Carriers) != 1 {
		return "truck"
	}
	for _, trader := range slices.Concat(f.Trade.Carriers, f.Trade.Importers) {
		ok := map[FASTPolicy][]string{CSAAndPIP: {"CSA", "PIP"}, PIPOrBoth: {"PIP"}, CTPAT: {"CTPAT"}}[pol.FAST]
		concerned := trader.Token == ev.Trade.Carriers[0].Token || slices.ContainsFunc(f.Trade.Trips[0].Shipments, func(s Shipment) bool { return s.Importer == trader.Token })
		for _, program := range ok {
			if concerned && (!slices.Contains(trader.Programs, program) || !trader.Found || trader.Status != Active) {
				return "trader"
			}
		}
		if len(ok) == 0 {
			return "policy"
		}
	}
	trip := f.Trade.Trips[0]
	if (trip.Empty || ev.Trade.Empty) && !pol.AllowEmpty {
		return "empty"
	}
	for _, s := range trip.Shipments {
		if !s.Eligible || !s.Goods {
			return "shipment"
		}
	}
	for i, c := range f.Trade.Containers {
		if ev.Trade.Containers[i].Malformed || c.Found && (c.Status == ContainerOnHold || c.Status == ContainerDoNotRelease) && c.ValidFrom.IsZero() && c.ValidUntil.IsZero() {
			return "container"
		}
	}
	for _, name := range trip.Containers {
		if !slices.ContainsFunc(ev.Trade.Containers, func(m Mark) bool { return m.Token == name }) {
			return "container that is named"
		}
	}
	return ""
}

func mayNotWalk(pol Policy, ev Evidence) string {
	s := ev.Session
	if s == nil || s.Party < 1 || s.Declared || !s.Answered || s.TimedOut {
		return "session"
	}
	matched := false
	for _, v := range s.Verdicts {
		age := v.ReceivedAt.Sub(v.ProducedAt)
		bound := v.Sealed && v.Nonce == s.Nonce && v.Nonce != "" && v.Passage == ev.ID && v.Card != "" && age >= -time.Second && Of(age) <= pol.VerdictFor
		if bound && v.Result == BioNo && slices.ContainsFunc(ev.Cards, func(c Card) bool { return c.Token == v.Card }) {
			return "another face"
		}
		matched = matched || bound && v.Result == BioMatch
	}
	if !matched {
		return "face"
	}
	return ""
}

// Taking any one thing away from a clean passage must not leave it expedited,
// unless the lane can do without: the exceptions are named.
func TestI1_NoZeroFieldExpedites(t *testing.T) {
	harmless := map[string]bool{
		// Nothing of it is a precondition.
		"ID": true, "StartedAt": true, "AtBooth": true, "State": true, "Draw": true,
		"AntiPassback": true, "AntiPassbackFor": true, "ReaderCapacity": true, "SoftAge": true,
		// Without these the lane asks for less: the officer keys plates, the camera's word is enough.
		"PlateConfidence": true, "JurisdictionNeed": true, "PlatePresent": true,
		// A vehicle on file is asked for in a FAST lane alone, by VehicleLinked;
		// a rear plate where there is a trailer; a kiosk has documents or cards.
		"VehiclesOnFile": true, "Documents": true,
	}
	for _, lane := range []string{"nx", "fa", "air"} {
		noZeroField(t, lane, harmless)
	}
}

func noZeroField(t *testing.T, lane string, harmless map[string]bool) {
	pol, ev, f := lanesOf[lane]()
	for _, root := range []reflect.Value{reflect.ValueOf(&pol).Elem(), reflect.ValueOf(&ev).Elem(), reflect.ValueOf(&f).Elem()} {
		for i := range root.NumField() {
			name, field := root.Type().Field(i).Name, root.Field(i)
			if harmless[name] || field.IsZero() || lane == "air" && name == "LPR" { // a kiosk has no camera
				continue
			}
			was := reflect.New(field.Type()).Elem()
			was.Set(field)
			field.SetZero()
			if d := Decide(pol, ev, f); d.Outcome == Expedite {
				t.Errorf("%s without %s.%s: %v", lane, root.Type().Name(), name, d.Outcome)
			}
			field.Set(was)
		}
	}
}

// The zero value of every part is a booth that knows nothing.
func TestI1_MissingInputNeverExpedites(t *testing.T) {
	pol, ev, f := clean()
	for name, d := range map[string]Decision{
		"nothing": Decide(Policy{}, Evidence{}, Facts{}), "no policy": Decide(Policy{}, ev, f),
		"no evidence": Decide(pol, Evidence{}, f), "no facts": Decide(pol, ev, Facts{}),
	} {
		if d.Outcome == Expedite || d.Ready > 0 || len(d.Reasons) == 0 || d.Lead == 0 {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestI8_SameArgumentsSameBytes(t *testing.T) {
	type stored struct {
		P Policy
		E Evidence
		F Facts
	}
	rows := allRows(t)
	rapid.Check(t, func(t *rapid.T) {
		pol, ev, f := randomCase(t, rows)
		kept, err := json.Marshal(stored{pol, ev, f})
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(Decide(pol, ev, f))
		if again, _ := json.Marshal(stored{pol, ev, f}); !bytes.Equal(kept, again) {
			t.Fatalf("Decide changed its arguments: %s, before %s", again, kept)
		}
		var back stored
		if err := json.Unmarshal(kept, &back); err != nil {
			t.Fatal(err)
		}
		if again, _ := json.Marshal(back); !bytes.Equal(kept, again) {
			t.Fatalf("stored again: %s, first %s", again, kept)
		}
		b, _ := json.Marshal(Decide(back.P, back.E, back.F))
		if !bytes.Equal(a, b) {
			t.Fatalf("decided again from stored bytes: %s, first %s", b, a)
		}
		var d Decision
		if err := json.Unmarshal(a, &d); err != nil || !reflect.DeepEqual(d, Decide(pol, ev, f)) {
			t.Fatalf("the decision does not survive its own bytes: %+v, %v", d, err)
		}
	})
}
