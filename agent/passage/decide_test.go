package passage

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func nexusPolicy() Policy {
	return Policy{
		Lane: NEXUS, Direction: ToCanada, Port: "CBSA/0813", AcceptedPrograms: []string{"NEXUS"},
		AntiPassback: true, AntiPassbackFor: Of(10 * time.Minute), PlateConfidence: 0.8, JurisdictionNeed: true,
		PlatePresent: true, ReaderCapacity: 8, SoftAge: Of(15 * time.Minute), HardAge: Of(4 * time.Hour),
	}
}

// clean is golden scenario 1: two active cards, two occupants, plate read well.
func clean() (Policy, Evidence, Facts) {
	ev := Evidence{
		ID: "01931f0c-8a51-7000-8000-000000000001", State: AtBooth, StartedAt: noon, AtBooth: true, Occupants: 2,
		Cards: []Card{{Token: "c1", TID: "t1", Reads: 3}, {Token: "c2", TID: "t2", Reads: 2}},
		Front: &Plate{Full: "pf", Bare: "pb", Fold: "pl", Jurisdiction: "BC", Confidence: 0.95},
	}
	card := func(tid Token) CardFact {
		return CardFact{Found: true, Card: Issued, Membership: Active, Member: "m", Programs: []string{"NEXUS"},
			ValidFrom: noon.AddDate(-1, 0, 0), ValidUntil: noon.AddDate(1, 0, 0), CardUntil: noon.AddDate(1, 0, 0), TID: tid, Recent: -1}
	}
	f := Facts{Now: noon, Clock: ClockSynced, Key: true, Store: true, Readers: true, LPR: true, Presence: true,
		Signals: true, Config: true, Draw: 9999, Cards: []CardFact{card("t1"), card("t2")}}
	for _, kind := range RequiredLists() {
		f.Lists = append(f.Lists, List{Kind: kind, Generation: 7, Age: Of(time.Minute)})
	}
	return nexusPolicy(), ev, f
}

func hit(a Action) Hit {
	return Hit{ID: "L1", Version: 1, Action: a, Subject: "PLATE", ValidFrom: noon.Add(-time.Hour), ValidUntil: noon.Add(time.Hour)}
}

// Each case starts from the clean passage and names the one thing that differs.
var rows = []struct {
	name    string
	edit    func(*Policy, *Evidence, *Facts)
	outcome Outcome
	lead    Code
	reasons []Code
}{
	{"golden 1: clean", func(*Policy, *Evidence, *Facts) {}, Expedite, 100, []Code{100}},
	{"golden 2: three occupants", func(_ *Policy, e *Evidence, _ *Facts) { e.Occupants = 3 }, Primary, 501, []Code{501}},
	{"golden 3: one revoked, clock untrusted", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Membership = Revoked; f.Clock = ClockUnset }, Refer, 407, []Code{202, 407, 501}},
	{"golden 4: synced 4 h 1 s ago", func(_ *Policy, _ *Evidence, f *Facts) { f.Lists[0].Age = Of(4*time.Hour + time.Second) }, Primary, 204, []Code{204}},
	{"golden 4: synced 3 h 59 min ago", func(_ *Policy, _ *Evidence, f *Facts) { f.Lists[0].Age = Of(4*time.Hour - time.Minute) }, Expedite, 100, []Code{100, 211}},
	{"golden 5: SENTRI card into Canada", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Programs = []string{"SENTRI"} }, Primary, 403, []Code{403, 501}},
	{"golden 5: SENTRI card into the US", func(p *Policy, _ *Evidence, f *Facts) {
		p.Direction, p.AcceptedPrograms = ToUS, []string{"NEXUS", "SENTRI"}
		f.Cards[0].Programs = []string{"SENTRI"}
	}, Expedite, 100, []Code{100}},
	{"golden 6: printed date 2 years past, extended", func(_ *Policy, _ *Evidence, f *Facts) {
		f.Cards[0].CardUntil, f.Cards[0].Extended = noon.AddDate(-2, 0, 0), true
	}, Expedite, 100, []Code{100}},
	{"golden 7: OBSERVE on the plate", func(_ *Policy, _ *Evidence, f *Facts) { f.Hits = []Hit{hit(Observe)} }, Expedite, 100, []Code{100, 302}},

	{"200 closed", func(_ *Policy, e *Evidence, _ *Facts) { e.Closed = true }, Hold, 200, []Code{200}},
	{"201 other lane", func(p *Policy, _ *Evidence, _ *Facts) { p.Lane = "fast" }, Hold, 201, []Code{201}},
	{"201 no direction", func(p *Policy, _ *Evidence, _ *Facts) { p.Direction = "" }, Hold, 201, []Code{201}},
	{"201 no port", func(p *Policy, _ *Evidence, _ *Facts) { p.Port = "" }, Hold, 201, []Code{201}},
	{"201 configuration", func(_ *Policy, _ *Evidence, f *Facts) { f.Config = false }, Hold, 201, []Code{201}},
	{"201 rate is no number", func(p *Policy, _ *Evidence, _ *Facts) { p.RandomRate = math.NaN() }, Hold, 201, []Code{201}},
	{"202 unset", func(_ *Policy, _ *Evidence, f *Facts) { f.Clock = ClockUnset }, Primary, 202, []Code{202}},
	{"202 restored", func(_ *Policy, _ *Evidence, f *Facts) { f.Clock = ClockRestored }, Primary, 202, []Code{202}},
	{"holdover is trusted", func(_ *Policy, _ *Evidence, f *Facts) { f.Clock = ClockHoldover }, Expedite, 100, []Code{100}},
	{"210 unknown clock", func(_ *Policy, _ *Evidence, f *Facts) { f.Clock = 9 }, Primary, 202, []Code{202, 210}},
	{"203 list never came", func(_ *Policy, _ *Evidence, f *Facts) { f.Lists[1].Generation = 0 }, Primary, 203, []Code{203}},
	{"203 no lists known", func(_ *Policy, _ *Evidence, f *Facts) { f.Lists = nil }, Primary, 203, []Code{203}},
	{"204 age negative", func(_ *Policy, _ *Evidence, f *Facts) { f.Lists[0].Age = -1 }, Primary, 204, []Code{204}},
	{"205 newest refused", func(_ *Policy, _ *Evidence, f *Facts) { f.Lists[2].Rejected = true }, Expedite, 100, []Code{100, 205}},
	{"206 store", func(_ *Policy, _ *Evidence, f *Facts) { f.Store = false }, Primary, 206, []Code{206}},
	{"207 reader", func(_ *Policy, _ *Evidence, f *Facts) { f.Readers = false }, Primary, 207, []Code{207}},
	{"208 plate reader", func(_ *Policy, _ *Evidence, f *Facts) { f.LPR = false }, Primary, 208, []Code{208}},
	{"208 lane without one", func(p *Policy, _ *Evidence, f *Facts) { p.PlatePresent, f.LPR = false, false }, Expedite, 100, []Code{100}},
	{"209 loops unreadable", func(_ *Policy, _ *Evidence, f *Facts) { f.Presence = false }, Primary, 209, []Code{209}},
	{"209 out of order", func(_ *Policy, e *Evidence, _ *Facts) { e.Presence = true }, Primary, 209, []Code{209}},
	{"209 wrong way, closed", func(_ *Policy, e *Evidence, _ *Facts) { e.WrongWay, e.Closed = true, true }, Hold, 200, []Code{200, 209}},
	{"210 late", func(_ *Policy, _ *Evidence, f *Facts) { f.Late = true }, Primary, 210, []Code{210}},
	{"212 lamps", func(_ *Policy, _ *Evidence, f *Facts) { f.Signals = false }, Primary, 212, []Code{212}},
	{"213 ambiguous", func(_ *Policy, e *Evidence, _ *Facts) { e.Ambiguous = true }, Primary, 213, []Code{213}},
	{"214 key", func(_ *Policy, _ *Evidence, f *Facts) { f.Key = false }, Primary, 214, []Code{214}},
	{"300 stop", func(_ *Policy, _ *Evidence, f *Facts) { f.Hits = []Hit{hit(Stop)} }, Refer, 300, []Code{300}},
	{"301 refer", func(_ *Policy, _ *Evidence, f *Facts) { f.Hits = []Hit{hit(Check)} }, Refer, 301, []Code{301}},
	{"300 over 901 over 301", func(_ *Policy, e *Evidence, f *Facts) { e.Refers = 1; f.Hits = []Hit{hit(Check), hit(Stop)} }, Refer, 300, []Code{300, 301, 901}},
	{"901 over 301", func(_ *Policy, e *Evidence, f *Facts) { e.Refers = 1; f.Hits = []Hit{hit(Check)} }, Refer, 901, []Code{301, 901}},
	{"lookout ended", func(_ *Policy, _ *Evidence, f *Facts) { h := hit(Stop); h.ValidUntil = noon; f.Hits = []Hit{h} }, Expedite, 100, []Code{100}},
	{"lookout not begun", func(_ *Policy, _ *Evidence, f *Facts) { h := hit(Stop); h.ValidFrom = noon.Add(1); f.Hits = []Hit{h} }, Expedite, 100, []Code{100}},
	{"lookout ended, clock untrusted", func(_ *Policy, _ *Evidence, f *Facts) {
		h := hit(Stop)
		h.ValidUntil = noon.Add(-time.Hour)
		f.Hits, f.Clock = []Hit{h}, ClockUnset
	}, Refer, 300, []Code{202, 300}},
	{"303 possible STOP is never more", func(_ *Policy, _ *Evidence, f *Facts) { h := hit(Stop); h.Possible = true; f.Hits = []Hit{h} }, Primary, 303, []Code{303}},
	{"possible OBSERVE changes nothing", func(_ *Policy, _ *Evidence, f *Facts) { h := hit(Observe); h.Possible = true; f.Hits = []Hit{h} }, Expedite, 100, []Code{100, 302}},
	{"210 unknown action", func(_ *Policy, _ *Evidence, f *Facts) { f.Hits = []Hit{hit("WAVE")} }, Primary, 210, []Code{210, 303}},
	{"400 no card", func(_ *Policy, e *Evidence, f *Facts) { e.Cards, f.Cards = nil, nil }, Primary, 400, []Code{400, 501}},
	{"401 unreadable", func(_ *Policy, e *Evidence, _ *Facts) { e.Unreadable = 1 }, Primary, 401, []Code{401}},
	{"402 unknown", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[1] = CardFact{} }, Primary, 402, []Code{402, 501}},
	{"404 printed date past", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].CardUntil = noon }, Primary, 404, []Code{404, 501}},
	{"405 ends this instant", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].ValidUntil = noon }, Primary, 405, []Code{405, 501}},
	{"405 no end given", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].ValidUntil = time.Time{} }, Primary, 405, []Code{405, 501}},
	{"405 a nanosecond before its end", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].ValidUntil = noon.Add(1) }, Expedite, 100, []Code{100}},
	{"406 suspended", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Membership = Suspended }, Refer, 406, []Code{406, 501}},
	{"407 before 406", func(_ *Policy, _ *Evidence, f *Facts) {
		f.Cards[0].Membership, f.Cards[1].Membership = Suspended, Revoked
	}, Refer, 407, []Code{406, 407, 501}},
	{"408 lost", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Card = Lost }, Refer, 408, []Code{408, 501}},
	{"408 stolen", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Card = Stolen }, Refer, 408, []Code{408, 501}},
	{"409 superseded", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Card = Superseded }, Primary, 409, []Code{409, 501}},
	{"410 pending", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Membership = Pending }, Primary, 410, []Code{410, 501}},
	{"410 begins later", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].ValidFrom = noon.Add(1) }, Primary, 410, []Code{410, 501}},
	{"410 begins now", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].ValidFrom = noon }, Expedite, 100, []Code{100}},
	{"210 unknown card status", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Card = 99 }, Primary, 210, []Code{210, 501}},
	{"210 unknown membership", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Membership = StatusUnknown }, Primary, 210, []Code{210, 501}},
	{"210 facts missing for a card", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards = f.Cards[:1] }, Primary, 210, []Code{210, 402, 501}},
	{"411 other chip", func(_ *Policy, e *Evidence, _ *Facts) { e.Cards[0].TID = "x" }, Refer, 411, []Code{411, 501}},
	{"411 two chips", func(_ *Policy, e *Evidence, f *Facts) { e.Cards[0].TIDConflict = true; f.Cards[0].TID = "" }, Refer, 411, []Code{411, 501}},
	{"412 not enrolled", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].TID = "" }, Expedite, 100, []Code{100, 412}},
	{"412 required", func(p *Policy, e *Evidence, _ *Facts) { p.TIDRequired = true; e.Cards[0].TID = "" }, Primary, 412, []Code{412, 501}},
	{"413 ten minutes ago", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Recent = Of(10 * time.Minute) }, Refer, 413, []Code{413, 501}},
	{"413 longer ago", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Recent = Of(10*time.Minute) + 1 }, Expedite, 100, []Code{100}},
	{"413 switched off", func(p *Policy, _ *Evidence, f *Facts) { p.AntiPassback = false; f.Cards[0].Recent = 0 }, Expedite, 100, []Code{100}},
	{"414 two lanes", func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Concurrent = true }, Refer, 414, []Code{414, 501}},
	{"500 not counted: READY 2", func(_ *Policy, e *Evidence, _ *Facts) { e.Occupants = 0 }, Primary, 500, []Code{500}},
	{"502 more cards", func(_ *Policy, e *Evidence, _ *Facts) { e.Occupants = 1 }, Primary, 502, []Code{502}},
	{"503 capacity", func(p *Policy, _ *Evidence, _ *Facts) { p.ReaderCapacity = 1 }, Primary, 503, []Code{503}},
	{"600 no plate", func(_ *Policy, e *Evidence, _ *Facts) { e.Front = nil }, Primary, 600, []Code{600}},
	{"600 camera saw none", func(_ *Policy, e *Evidence, _ *Facts) { e.Front = &Plate{NoRead: true} }, Primary, 600, []Code{600}},
	{"600 keyed", func(_ *Policy, e *Evidence, _ *Facts) {
		e.Keyed, e.Front = &Plate{Full: "pf", Bare: "pb", Jurisdiction: "BC", Confidence: 1}, nil
	}, Expedite, 100, []Code{100}},
	{"601 under the limit", func(_ *Policy, e *Evidence, _ *Facts) { e.Front.Confidence = 0.79 }, Primary, 601, []Code{601}},
	{"601 no jurisdiction", func(_ *Policy, e *Evidence, _ *Facts) { e.Front.Jurisdiction = "" }, Primary, 601, []Code{601}},
	{"601 confidence not reported", func(_ *Policy, e *Evidence, _ *Facts) { e.Front.Confidence = -1 }, Primary, 601, []Code{601}},
	{"602 differ", func(_ *Policy, e *Evidence, _ *Facts) { r := *e.Front; r.Bare, r.Fold = "x", "y"; e.Rear = &r }, Primary, 602, []Code{602}},
	{"602 confusable only", func(_ *Policy, e *Evidence, _ *Facts) { r := *e.Front; r.Bare = "x"; e.Rear = &r }, Expedite, 100, []Code{100}},
	{"602 rear read badly", func(_ *Policy, e *Evidence, _ *Facts) {
		r := *e.Front
		r.Bare, r.Fold, r.Confidence = "x", "y", 0.1
		e.Rear = &r
	}, Expedite, 100, []Code{100}},
	{"603 another car of the member", func(_ *Policy, _ *Evidence, f *Facts) { f.VehiclesOnFile = true }, Expedite, 100, []Code{100, 603}},
	{"604 a truck", func(_ *Policy, e *Evidence, _ *Facts) { e.VehicleWrong = true }, Primary, 604, []Code{604}},
	{"900 drawn", func(p *Policy, _ *Evidence, f *Facts) { p.RandomRate, f.Draw = 0.02, 199 }, Refer, 900, []Code{900}},
	{"900 not drawn", func(p *Policy, _ *Evidence, f *Facts) { p.RandomRate, f.Draw = 0.02, 200 }, Expedite, 100, []Code{100}},
	{"900 on a PRIMARY passage", func(p *Policy, e *Evidence, f *Facts) { p.RandomRate, f.Draw, e.Front = 0.02, 0, nil }, Refer, 900, []Code{600, 900}},
	{"210 no draw", func(_ *Policy, _ *Evidence, f *Facts) { f.Draw = -1 }, Primary, 210, []Code{210}},
	{"210 draw out of range", func(_ *Policy, _ *Evidence, f *Facts) { f.Draw = 10_000 }, Primary, 210, []Code{210}},
	{"901 referred", func(_ *Policy, e *Evidence, _ *Facts) { e.Refers = 1 }, Refer, 901, []Code{901}},
	{"902 released", func(_ *Policy, e *Evidence, _ *Facts) { e.Released = true }, Expedite, 100, []Code{100, 902}},
	{"903 over REFER", func(_ *Policy, e *Evidence, f *Facts) {
		e.Released, e.Overridden = true, true
		f.Hits = []Hit{hit(Check)}
	}, Refer, 301, []Code{301, 903}},
	{"904 declaration", func(_ *Policy, e *Evidence, _ *Facts) { e.Declaration = true }, Primary, 904, []Code{904}},
	{"905 goods", func(_ *Policy, e *Evidence, _ *Facts) { e.Goods = true }, Primary, 905, []Code{905}},
}

func TestNexusTable(t *testing.T) {
	met := map[Code]bool{}
	for _, tc := range rows {
		pol, ev, f := clean()
		tc.edit(&pol, &ev, &f)
		d := Decide(pol, ev, f)
		if d.Outcome != tc.outcome || d.Lead != tc.lead || !slices.Equal(d.Reasons, tc.reasons) {
			t.Errorf("%s: Decide = %v %d %v, want %v %d %v", tc.name, d.Outcome, d.Lead, d.Reasons, tc.outcome, tc.lead, tc.reasons)
		}
		for _, c := range d.Reasons {
			met[c] = true
		}
	}
	for _, c := range Codes() {
		if nexus := !slices.Contains([]Code{101, 102, 415, 416, 605}, c) && (c < 700 || c >= 900); nexus && !met[c] {
			t.Errorf("no row meets %d %s", c, c.Name())
		}
	}
}

func TestReady(t *testing.T) {
	ready := func(edit func(*Policy, *Evidence, *Facts)) int {
		pol, ev, f := clean()
		ev.Occupants = 0
		edit(&pol, &ev, &f)
		return Decide(pol, ev, f).Ready
	}
	if n := ready(func(*Policy, *Evidence, *Facts) {}); n != 2 {
		t.Errorf("READY %d, want 2", n)
	}
	if n := ready(func(_ *Policy, _ *Evidence, f *Facts) { f.Hits = []Hit{hit(Observe)}; f.Lists[0].Rejected = true }); n != 2 {
		t.Errorf("READY %d beside informational reasons, want 2", n)
	}
	for name, edit := range map[string]func(*Policy, *Evidence, *Facts){
		"no plate":  func(_ *Policy, e *Evidence, _ *Facts) { e.Front = nil },
		"no card":   func(_ *Policy, e *Evidence, f *Facts) { e.Cards, f.Cards = nil, nil },
		"revoked":   func(_ *Policy, _ *Evidence, f *Facts) { f.Cards[0].Membership = Revoked },
		"closed":    func(_ *Policy, e *Evidence, _ *Facts) { e.Closed = true },
		"bad clock": func(_ *Policy, _ *Evidence, f *Facts) { f.Clock = ClockUnset },
	} {
		if n := ready(edit); n != 0 {
			t.Errorf("%s: READY %d, want none", name, n)
		}
	}
}

// A REFER hit, a random selection and the absence of an OBSERVE must be the
// same bytes on every shared display.
func TestI3_PublicHidesEveryHit(t *testing.T) {
	public := func(edit func(*Policy, *Evidence, *Facts), hits ...Hit) string {
		pol, ev, f := clean()
		edit(&pol, &ev, &f)
		f.Hits = hits
		b, err := json.Marshal(Decide(pol, ev, f).Public())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	none := func(*Policy, *Evidence, *Facts) {}
	random := public(func(p *Policy, _ *Evidence, f *Facts) { p.RandomRate, f.Draw = 0.02, 5 })
	for _, a := range []Action{Stop, Check} {
		if got := public(none, hit(a)); got != random {
			t.Errorf("%s shows %s, a random selection %s", a, got, random)
		}
	}
	for _, tc := range rows {
		if a, b := public(tc.edit), public(tc.edit, hit(Observe)); a != b && tc.name != "golden 7: OBSERVE on the plate" {
			var da, db Decision
			if json.Unmarshal([]byte(a), &da) == nil && json.Unmarshal([]byte(b), &db) == nil && da.Outcome == db.Outcome {
				t.Errorf("%s: OBSERVE shows: %s, without %s", tc.name, b, a)
			}
		}
	}
	possible := hit(Stop)
	possible.Possible = true
	uncertain := public(func(_ *Policy, e *Evidence, _ *Facts) { e.Front.Confidence = 0.5 })
	if got := public(none, possible); got != uncertain {
		t.Errorf("POSSIBLE shows %s, an uncertain plate %s", got, uncertain)
	}
}

func TestOutcomeText(t *testing.T) {
	for _, o := range []Outcome{Primary, Expedite, Refer, Hold} {
		b, _ := o.MarshalText()
		var back Outcome
		if err := back.UnmarshalText(b); err != nil || back != o {
			t.Errorf("%s reads back as %v, %v", b, back, err)
		}
	}
	var o Outcome
	if o.UnmarshalText([]byte("GO")) == nil || o != Primary || Outcome(9).Severity() != Hold.Severity() {
		t.Error("an unknown outcome must be refused and grave")
	}
	if Code(999).Name() != "999" || Code(100).Name() != "ELIGIBLE" || Code(999).Words() == "" || len(Codes()) != 82 {
		t.Error("codes")
	}
}

// randomCase draws a passage anywhere between clean and hopeless.
func randomCase(t *rapid.T) (Policy, Evidence, Facts) {
	pol, ev, f := clean()
	for range rapid.IntRange(0, 5).Draw(t, "edits") {
		rows[rapid.IntRange(0, len(rows)-1).Draw(t, "row")].edit(&pol, &ev, &f)
		f.Cards = append(f.Cards, make([]CardFact, max(0, 2-len(f.Cards)))...) // rows edit by index
		ev.Cards = append(ev.Cards, make([]Card, max(0, 2-len(ev.Cards)))...)
		for len(f.Lists) < 3 {
			f.Lists = append(f.Lists, List{})
		}
		if ev.Front == nil {
			ev.Front = &Plate{}
		}
	}
	ev.Occupants = rapid.IntRange(-1, 4).Draw(t, "occupants")
	return pol, ev, f
}

func TestI1_AFaultLookoutOrUnknownCardNeverLowersSeverity(t *testing.T) {
	worse := []func(*Evidence, *Facts){
		func(_ *Evidence, f *Facts) { f.Clock = ClockUnset },
		func(_ *Evidence, f *Facts) { f.Key = false },
		func(_ *Evidence, f *Facts) { f.Store = false },
		func(_ *Evidence, f *Facts) { f.Readers = false },
		func(_ *Evidence, f *Facts) { f.LPR = false },
		func(_ *Evidence, f *Facts) { f.Presence = false },
		func(_ *Evidence, f *Facts) { f.Signals = false },
		func(_ *Evidence, f *Facts) { f.Config = false },
		func(_ *Evidence, f *Facts) { f.Late = true },
		func(_ *Evidence, f *Facts) { f.Lists = nil },
		func(e *Evidence, _ *Facts) { e.Ambiguous = true },
		func(e *Evidence, _ *Facts) { e.Presence = true },
		func(e *Evidence, _ *Facts) { e.Closed = true },
		func(e *Evidence, _ *Facts) { e.Unreadable++ },
		func(_ *Evidence, f *Facts) { f.Hits = append(f.Hits[:len(f.Hits):len(f.Hits)], hit(Stop)) },
		func(_ *Evidence, f *Facts) { f.Hits = append(f.Hits[:len(f.Hits):len(f.Hits)], hit(Check)) },
		func(_ *Evidence, f *Facts) { f.Hits = append(f.Hits[:len(f.Hits):len(f.Hits)], hit(Observe)) },
		func(e *Evidence, f *Facts) {
			e.Cards = append(slices.Clone(e.Cards), Card{Token: "stranger"})
			f.Cards = append(slices.Clone(f.Cards), CardFact{Recent: -1})
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		pol, ev, f := randomCase(t)
		before := Decide(pol, ev, f)
		for i, w := range worse {
			e2, f2 := ev, f
			w(&e2, &f2)
			if after := Decide(pol, e2, f2); after.Outcome.Severity() < before.Outcome.Severity() {
				t.Fatalf("worse %d: %v became %v", i, before, after)
			}
		}
	})
}

func TestI8_SameArgumentsSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pol, ev, f := randomCase(t)
		a, _ := json.Marshal(Decide(pol, ev, f))
		stored, err := json.Marshal(struct {
			E Evidence
			F Facts
		}{ev, f})
		if err != nil {
			t.Fatal(err)
		}
		var back struct {
			E Evidence
			F Facts
		}
		if err := json.Unmarshal(stored, &back); err != nil {
			t.Fatal(err)
		}
		if b, _ := json.Marshal(Decide(pol, back.E, back.F)); !bytes.Equal(a, b) {
			t.Fatalf("decided again from stored bytes: %s, first %s", b, a)
		}
	})
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
