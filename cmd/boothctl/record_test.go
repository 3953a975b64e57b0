package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/journal"
)

// morning is when the recorded passages drive.
var morning = time.Date(2026, 11, 23, 7, 15, 0, 0, time.UTC)

// recorder writes a journal as a booth does.
type recorder struct {
	j   *journal.Journal
	pol passage.Policy
	at  time.Time
	err error
}

// journalCmd: "journal FILE" writes a morning's record: events 1-3 the start, 4-6
// a passage that is counted and released, 7-8 one that a lookout refers, 9 a
// device, 10 a list refused. "journal FILE wrong" adds 11, a decision that the
// rules do not give, "journal FILE orphan" one whose policy was never stored,
// "journal FILE truck" or "kiosk" one of another lane, and "journal FILE day" an
// event an hour until the next morning. "card TOKEN" is one more decision, of
// that card.
func journalCmd(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(writeJournal(ts.MkAbs(args[0]), args[1:]...))
}

func writeJournal(path string, more ...string) error {
	j, _, err := journal.Open(context.Background(), journal.Config{Path: path})
	if err != nil {
		return err
	}
	r := &recorder{j: j, at: morning, pol: passage.Policy{Lane: passage.NEXUS, Direction: passage.ToCanada, Port: "CBSA/0813",
		AcceptedPrograms: []string{"NEXUS"}, RandomRate: 0.02, AntiPassback: true, AntiPassbackFor: passage.Of(10 * time.Minute),
		PlateConfidence: 0.8, JurisdictionNeed: true, PlatePresent: true, ReaderCapacity: 8,
		SoftAge: passage.Of(15 * time.Minute), HardAge: passage.Of(4 * time.Hour)}}
	digest := r.pol.Digest()
	r.put(contract.EpochChanged{New: j.Epoch(), Why: "created"})
	r.put(contract.Started{Version: "1.0", Boot: "boot", Config: digest, Policy: digest})
	r.put(contract.PolicySet{Digest: digest, Policy: r.pol})

	const one, two = "01931f0c-8a51-7000-8000-000000000001", "01931f0c-8a51-7000-8000-000000000002"
	r.decide(one, 1, func(ev *passage.Evidence, _ *passage.Facts) { ev.Occupants = 0 }, nil)
	r.decide(one, 2, nil, nil)
	r.put(contract.CrossingEnded{Passage: one, Revisions: 2, Outcome: "EXPEDITE", End: "cleared", Released: true, StartedAt: r.at.Add(-9 * time.Second), EndedAt: r.at})
	r.decide(two, 1, func(_ *passage.Evidence, f *passage.Facts) {
		f.Hits = []passage.Hit{{ID: "LK-1", Version: 3, Action: passage.Check, Subject: "PLATE", ReasonCode: "CUSTOMS-07", Agency: "CBSA", Region: "PACIFIC",
			ValidFrom: morning.AddDate(0, 0, -1), ValidUntil: morning.AddDate(0, 0, 30)}}
	}, nil)
	r.put(contract.DeviceChanged{Device: "pre-read", Role: "card", Reason: "line gone"})
	r.put(contract.ListFailed{Kind: "members", Generation: 8842, Reason: "shrunk"})
	for _, what := range more {
		if card, ok := strings.CutPrefix(what, "card "); ok {
			r.decide("01931f0c-8a51-7000-8000-000000000007", 1, func(ev *passage.Evidence, _ *passage.Facts) { ev.Cards[0].Token = passage.Token(card) }, nil)
			continue
		}
		switch what {
		case "wrong":
			r.decide("01931f0c-8a51-7000-8000-000000000003", 1, func(ev *passage.Evidence, f *passage.Facts) { ev.Cards, f.Cards = nil, nil },
				func(d *passage.Decision) { d.Outcome = passage.Expedite })
		case "orphan":
			r.pol.RandomRate = 0.5
			r.decide("01931f0c-8a51-7000-8000-000000000004", 1, nil, nil)
		case "truck":
			r.lane(passage.FAST, "FAST")
			r.decide("01931f0c-8a51-7000-8000-000000000005", 1, truck, nil)
		case "kiosk":
			r.lane(passage.NEXUSAir, "NEXUS")
			r.decide("01931f0c-8a51-7000-8000-000000000006", 1, kiosk, nil)
		case "day":
			for range 24 {
				r.at = r.at.Add(time.Hour)
				r.put(contract.DeviceChanged{Device: "pre-read", Role: "card", Online: true})
			}
		case "receipts":
			r.keep(j.Receipted(context.Background(), journal.Receipt{Epoch: j.Epoch(), Upto: 5, Reject: []journal.Reject{{Seq: 10, Reason: "schema"}}}))
		default:
			r.keep(fmt.Errorf("no %q", what))
		}
	}
	r.keep(j.Close())
	return r.err
}

func (r *recorder) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

// put stores events in one transaction, a second after those before.
func (r *recorder) put(events ...contract.Data) {
	r.at = r.at.Add(time.Second)
	var entries []journal.Entry
	for _, d := range events {
		entries = append(entries, journal.Entry{Class: string(d.Type().Class()), Alert: d.Type().Alert(), At: r.at,
			Build: func(s journal.Stamp) ([]byte, error) {
				return contract.Encode(contract.Stamp(s), contract.Head{Booth: "pac-hwy-nexus-03", Time: r.at}, d)
			}})
	}
	_, err := r.j.Append(context.Background(), entries...)
	r.keep(err)
}

// decide stores one decision: a clean passage but for the edit, decided by the
// rules unless it is bent.
func (r *recorder) decide(id string, revision int, edit func(*passage.Evidence, *passage.Facts), bend func(*passage.Decision)) {
	tok := func(n int) passage.Token { return passage.Token(strings.Repeat("0123456789abcdef"[n:n+1], 32)) }
	ev := passage.Evidence{ID: id, State: passage.AtBooth, StartedAt: r.at, AtBooth: true, Occupants: 1,
		Cards: []passage.Card{{Token: tok(1), Reader: "pre-read", RSSIDBm: -48, Antenna: 1, Reads: 12}},
		Front: &passage.Plate{Full: tok(2), Bare: tok(3), Fold: tok(4), Jurisdiction: "BC", Confidence: 0.93, Reader: "front"}}
	f := passage.Facts{Now: r.at, Clock: passage.ClockSynced, Key: true, Store: true, Readers: true, LPR: true, Presence: true,
		Signals: true, Config: true, Draw: 7311, Cards: []passage.CardFact{{Found: true, Card: passage.Issued, Membership: passage.Active,
			Member: tok(5), Programs: []string{"NEXUS"}, ValidFrom: morning.AddDate(-1, 0, 0), ValidUntil: morning.AddDate(2, 0, 0),
			CardUntil: morning.AddDate(2, 0, 0), Recent: -1}}}
	for _, kind := range passage.RequiredLists(passage.Policy{Lane: passage.NEXUS}) {
		f.Lists = append(f.Lists, passage.List{Kind: kind, Generation: 8841, Digest: strings.Repeat("ab", 32), Age: 5400})
	}
	if edit != nil {
		edit(&ev, &f)
	}
	d := passage.Decide(r.pol, ev, f)
	if bend != nil {
		bend(&d)
	}
	crossing, alert := contract.Judged{Revision: revision, Policy: r.pol, Digest: r.pol.Digest(), Evidence: ev, Facts: f, Decision: d, Mode: "staffed",
		Clock: contract.Clock{Boot: "boot", Quality: "synced", ErrMS: 4}, LatencyUS: 312}.Events()
	if alert != nil {
		r.put(crossing, *alert)
		return
	}
	r.put(crossing)
}

// TestI8_ReplayOfManyPages replays more rows than are read at once, with the
// policy far before them, while the journal is open for writing.
func TestI8_ReplayOfManyPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	if err := writeJournal(path); err != nil {
		t.Fatal(err)
	}
	j, _, err := journal.Open(t.Context(), journal.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	r := &recorder{j: j, at: morning, pol: passage.Policy{Lane: passage.NEXUS}}
	r.put(contract.PolicySet{Digest: r.pol.Digest(), Policy: r.pol})
	const n = 1300 // over two chunks of reading backwards
	for i := range n {
		r.decide(fmt.Sprintf("01931f0c-8a51-7000-9000-%012d", i), 1, nil, nil)
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	for _, tt := range []struct {
		args []string
		want int
	}{{nil, n + 3}, {[]string{"1300", "1309"}, 10}, {[]string{"7", "7"}, 1}} {
		var out, errs bytes.Buffer
		if code := run(append([]string{"replay", "--json", "--journal", path}, tt.args...), &out, &errs); code != 0 {
			t.Fatalf("replay %v: exit %d: %s", tt.args, code, &errs)
		}
		var got replayed
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Decisions != tt.want || got.Same != tt.want || got.Without != 0 {
			t.Errorf("replay %v = %+v, want %d the same", tt.args, got, tt.want)
		}
	}
}

// An event's own id leads to its passage, and one of no passage to itself.
func TestExplainByEventID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	if err := writeJournal(path); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"explain", "--json", "--journal", path, "4"}, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	var got explained
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Decisions) != 2 || got.Decisions[0].Seq != 4 || got.Decisions[0].Again != "same" || got.Ended == nil {
		t.Fatalf("explained %+v, want a passage of events 4 and 5 that has ended", got)
	}
	out.Reset()
	if code := run([]string{"explain", "--journal", path, got.Decisions[0].Event}, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	if !strings.Contains(out.String(), "READY 1") {
		t.Errorf("the first decision is not told whole:\n%s", &out)
	}
}

// lane records that the lane is of another type from now on.
func (r *recorder) lane(ty passage.LaneType, programs ...string) {
	r.pol.Lane, r.pol.AcceptedPrograms = ty, programs
	r.pol.FAST, r.pol.FASTPort, r.pol.VerdictFor = passage.PIPOrBoth, true, passage.Of(30*time.Second)
	r.put(contract.PolicySet{Digest: r.pol.Digest(), Policy: r.pol})
}

func mark(n int) passage.Token { return passage.Token(strings.Repeat(fmt.Sprintf("%02x", n), 16)) }

// truck puts a driver's truck with one announced trip in the car's place.
func truck(ev *passage.Evidence, f *passage.Facts) {
	later := morning.AddDate(1, 0, 0)
	f.Cards[0].Programs = []string{"FAST"}
	f.VehiclesOnFile = true
	ev.Documents = []passage.Document{{Token: mark(10)}, {CheckFailed: true}}
	f.Documents = []passage.DocumentFact{{Found: true, Card: ev.Cards[0].Token, Fact: f.Cards[0]}, {}}
	ev.Trade = &passage.Trade{Trailer: true, Carriers: []passage.Mark{{Token: mark(20)}}, Cargo: []passage.Mark{{Token: mark(21), Carrier: mark(20)}, {Malformed: true}},
		Containers: []passage.Mark{{Token: mark(22), SizeType: "45G1"}}, Seals: []passage.Mark{{Token: mark(23)}}}
	f.Trade = &passage.TradeFacts{Carriers: []passage.Trader{{Token: mark(20), Found: true, Status: passage.Active, Programs: []string{"PIP"}, ValidUntil: later}},
		Importers: []passage.Trader{{Token: mark(24)}},
		Trips: []passage.Trip{{Token: mark(25), Carrier: mark(20), Trailer: true, SealNeeded: true, HighSeal: true, Screening: true, ValidFrom: morning, ValidUntil: later,
			Shipments: []passage.Shipment{{Cargo: mark(21), Importer: mark(24), Eligible: true}}, Containers: []passage.Token{mark(22)}}},
		Containers: []passage.Container{{Found: true, Status: passage.ContainerOnHold, Seal: mark(23), SealClass: "H", SizeType: "45G1", ValidUntil: later}}}
}

// kiosk puts a traveller of a party in the car's place.
func kiosk(ev *passage.Evidence, f *passage.Facts) {
	ev.State, ev.Front, ev.Occupants = passage.Acted, nil, 0
	ev.Session = &passage.Session{Nonce: "n1", Party: 2, Answered: true, Declared: true, Verdicts: []passage.Verdict{
		{Passage: ev.ID, Card: ev.Cards[0].Token, Nonce: "n1", Result: passage.BioMatch, ProducedAt: morning, ReceivedAt: morning.Add(time.Second), Sealed: true},
		{Passage: ev.ID, Card: ev.Cards[0].Token, Nonce: "n0", Result: passage.BioNo, ProducedAt: morning, ReceivedAt: morning.Add(2 * time.Second)}}}
	f.PartyGood = 1
}
