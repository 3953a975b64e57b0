package contract

import (
	"bytes"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"boothd/agent/passage"
)

const (
	epoch     = "01931e00-0000-7000-8000-000000000001"
	passageID = "01931f0c-8a51-7000-8000-000000000007"
	eventID   = "01931f0c-8a5e-7c3b-9d5e-2f4a6b8c0d1e"
)

var (
	noon = time.Date(2026, 11, 23, 7, 15, 2, 417e6, time.UTC)
	head = Head{Booth: "pac-hwy-nexus-03", Time: noon, Simulated: true}
	clk  = Clock{Boot: "5f3c2f9e", MonoUS: 81234567890, Quality: "synced", ErrMS: 4, Source: "ntp"}
)

func stamp(seq uint64) Stamp {
	return Stamp{Epoch: epoch, Seq: seq, Prev: [16]byte{1, 2, 3}, ID: eventID, Live: true}
}

func tok(n int) passage.Token {
	return passage.Token(strings.Repeat("0123456789abcdef"[n:n+1], 32))
}

// clean is a passage of one member with nothing against it.
func clean() (passage.Policy, passage.Evidence, passage.Facts) {
	pol := passage.Policy{
		Lane: passage.NEXUS, Direction: passage.ToCanada, Port: "CBSA/0813", AcceptedPrograms: []string{"NEXUS"}, RandomRate: 0.02,
		PlateConfidence: 0.85, PlatePresent: true, ReaderCapacity: 8, SoftAge: passage.Of(15 * time.Minute), HardAge: passage.Of(4 * time.Hour),
	}
	ev := passage.Evidence{
		ID: passageID, State: passage.AtBooth, StartedAt: noon.Add(-3 * time.Second), AtBooth: true, Occupants: 1,
		Cards: []passage.Card{{Token: tok(1), Reader: "pre-read", RSSIDBm: -48, Antenna: 1, Reads: 12}},
		Front: &passage.Plate{Full: tok(2), Bare: tok(3), Fold: tok(4), Jurisdiction: "BC", Confidence: 0.93, Reader: "front"},
	}
	f := passage.Facts{
		Now: noon, Clock: passage.ClockSynced, Key: true, Store: true, Readers: true, LPR: true, Presence: true, Signals: true, Config: true,
		Draw: 7311,
		Cards: []passage.CardFact{{
			Found: true, Card: passage.Issued, Membership: passage.Active, Member: tok(5), Programs: []string{"NEXUS"},
			ValidFrom: noon.AddDate(-1, 0, 0), ValidUntil: noon.AddDate(2, 0, 0), CardUntil: noon.AddDate(2, 0, 0), Recent: -1,
		}},
	}
	for _, kind := range passage.RequiredLists(passage.Policy{Lane: passage.NEXUS}) {
		f.Lists = append(f.Lists, passage.List{Kind: kind, Generation: 8841, Digest: "sha256:" + strings.Repeat("ab", 32), Age: 5400})
	}
	return pol, ev, f
}

func hit(a passage.Action) passage.Hit {
	return passage.Hit{
		ID: "LK-1", Version: 3, Action: a, Subject: "PLATE", ReasonCode: "CUSTOMS-07", Caveat: "NO_ONWARD", Agency: "CBSA", Region: "PACIFIC",
		ValidFrom: noon.AddDate(0, 0, -1), ValidUntil: noon.AddDate(0, 0, 30),
	}
}

func judged(edit func(*passage.Evidence, *passage.Facts)) Judged {
	pol, ev, f := clean()
	if edit != nil {
		edit(&ev, &f)
	}
	return Judged{Revision: 2, Policy: pol, Digest: pol.Digest(), Evidence: ev, Facts: f, Decision: passage.Decide(pol, ev, f), Mode: "staffed", Clock: clk, LatencyUS: 312}
}

func samples() []Data {
	pol, _, _ := clean()
	digest := pol.Digest()
	ref := ListRef{Kind: "members", Generation: 8841, Digest: "sha256:" + strings.Repeat("ab", 32), Rows: 1203441}
	crossing, _ := judged(nil).Events()
	_, alert := judged(func(_ *passage.Evidence, f *passage.Facts) { f.Hits = []passage.Hit{hit(passage.Check)} }).Events()
	return append([]Data{
		crossing, *alert,
		CrossingEnded{Passage: passageID, Revisions: 3, Outcome: "EXPEDITE", End: "cleared", Released: true, StartedAt: noon, EndedAt: noon.Add(9 * time.Second), Clock: clk},
		Notice{What: "receipt_epoch", Detail: "receipt of another epoch", Clock: clk},
		DeviceChanged{Device: "pre-read", Role: "card", Reason: "port closed", Clock: clk},
		ListApplied{ListRef: ref, Former: 8840, Via: "directory", Clock: clk},
		ListFailed{Kind: "members", Generation: 8842, Reason: "digest differs", Clock: clk},
		ClockChanged{From: "restored", To: "synced", Clock: clk},
		ClockCorrected{OffsetUS: -3600e6, Clock: clk},
		SignalFault{Head: "traveller", Lamp: "green", Fault: "dark", Latched: true, Clock: clk},
		Started{Version: "1.4.0", Boot: "5f3c2f9e", Config: digest, Policy: digest, Clean: true, Clock: clk},
		Stopped{Reason: "signal", Clock: clk},
		PolicySet{Digest: digest, Policy: pol, Clock: clk},
		EpochChanged{New: epoch, Why: "created", Clock: clk},
		ConfigChanged{Old: digest, New: digest, Clock: clk},
		Checkpoint{Seq: 256, Head: strings.Repeat("cd", 32), Seal: sealedCheckpoint(), Clock: clk},
		Thinned{From: 3, To: 9, Count: 5, Gone: [][2]uint64{{3, 5}, {8, 9}}, Clock: clk},
		Purged{Kind: "lookouts", Generation: 8841, Lookouts: []LookoutRef{{ID: "L-2026-17", Version: 3}}, Clock: clk},
	}, append(commandSamples(), PlateRead{Device: "front", Role: "plate.front", Late: true, CameraAt: noon.Add(-34 * time.Minute), Clock: clk,
		Plate: passage.Plate{Full: tok(2), Bare: tok(3), Fold: tok(4), Jurisdiction: "BC", Confidence: 0.93, Reader: "front"}},
		FleetNoticed{FleetNotice: sampleNotice(), KeyID: officeKey().ID(), Clock: clk})...)
}

// others are the messages that are not events, by schema.
func others(t *testing.T) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	put := func(name string, b []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
		out[name] = b
	}
	b, err := EncodeStatus(Status{S: Online, Conn: 412, Boot: "5f3c2f9e", At: noon, Version: "1.4.0"})
	put("status", b, err)
	b, err = EncodeReceipt(Receipt{
		Epoch: epoch, Upto: 18230, Have: [][2]uint64{{18232, 18240}}, Want: [][2]uint64{{18231, 18231}},
		Reject: []Reject{{Seq: 17001, Code: "schema", Msg: "no data"}}, Rate: 20, Window: 256, At: noon,
	})
	put("receipt", b, err)
	b, err = EncodeInfo(StateInfo{
		Contract: Version, Version: "1.4.0", Program: "sha256:" + strings.Repeat("5e", 32), Booth: head.Booth, Port: "CBSA/0813", Direction: "CA", Lane: "nexus", Board: "Raspberry Pi 4", OS: "Debian 12",
		Boot: "5f3c2f9e", Epoch: epoch, Config: "", Policy: "", Devices: []Device{{"pre-read", "mercury", "card"}}, Capacity: Capacity{JournalBytes: 2 << 30, ListRows: MaxListRows, ListBytes: 1 << 30},
		StartedAt: noon, Simulated: true,
	})
	put("state.info", b, err)
	b, err = EncodeHealth(StateHealth{
		At: noon, Level: "degraded", Codes: []int{207}, Devices: []DeviceHealth{{Name: "pre-read", Since: noon, Reason: "port closed", Frames: 7}},
		Clock: ClockHealth{Quality: "synced", ErrMS: 4}, Warnings: []string{"no_signing_key"}, Disk: DiskHealth{FreeBytes: 1 << 30, FlashBytesDay: 90 << 20, CertificateDays: 80},
		Outbox: OutboxHealth{Depth: 3, ReceiptS: -1, HoldsS: 86400 * 40},
		Lists:  []ListAge{{"members", 90}}, LatencyP99US: 900,
	})
	put("state.health", b, err)
	maps.Copy(out, signedSamples())
	b, err = EncodeLists(StateLists{At: noon, Lists: []ListState{{ListRef: ListRef{"members", 8841, "sha256:x", 12}, AgeS: 90}}})
	put("state.lists", b, err)
	b, err = EncodeWant(Want{List: ListLookouts, Parts: Parts([]byte("one part")), At: noon})
	put("want.list", b, err)
	return out
}

func TestEncodeIsDeterministicAndBounded(t *testing.T) {
	for _, d := range samples() {
		a, err := Encode(stamp(1), head, d)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := Encode(stamp(1), head, d); !bytes.Equal(a, b) {
			t.Errorf("%s differs between two calls", d.Type())
		}
		var e envelope
		if err := strict(a, MaxEvent, &e); err != nil {
			t.Fatal(err)
		}
		if b, err := json.Marshal(e); err != nil || !bytes.Equal(a, b) {
			t.Errorf("the envelope of %s is not the one of its type, %v:\n%s\n%s", d.Type(), err, a, b)
		}
	}
	if _, err := Encode(stamp(1), head, Notice{What: "x", Detail: strings.Repeat("x", MaxEvent)}); err == nil {
		t.Error("an event over 16 KiB was encoded")
	}
	if _, err := Encode(stamp(1), Head{Booth: "Pac/Hwy"}, Notice{}); err == nil {
		t.Error("a booth id with a slash was encoded")
	}
}

func TestAFullCarFitsAnEvent(t *testing.T) {
	j := judged(func(e *passage.Evidence, f *passage.Facts) {
		for range 19 { // over twice the reader's capacity
			c, x := e.Cards[0], f.Cards[0]
			c.TID, x.TID = tok(6), tok(6)
			e.Cards, f.Cards = append(e.Cards, c), append(f.Cards, x)
		}
		e.Rear, e.Keyed = e.Front, e.Front
	})
	crossing, _ := j.Events()
	b, err := Encode(stamp(1), head, crossing)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("20 cards take %d of %d bytes", len(b), MaxEvent)
}

func TestI8_ReplayGivesTheSameBytes(t *testing.T) {
	for name, edit := range map[string]func(*passage.Evidence, *passage.Facts){
		"clean":   nil,
		"no card": func(e *passage.Evidence, f *passage.Facts) { e.Cards, f.Cards = nil, nil },
		"stop":    func(_ *passage.Evidence, f *passage.Facts) { f.Hits = []passage.Hit{hit(passage.Stop)} },
		"observe": func(_ *passage.Evidence, f *passage.Facts) { f.Hits = []passage.Hit{hit(passage.Observe)} },
		"expired": func(_ *passage.Evidence, f *passage.Facts) {
			f.Hits = []passage.Hit{hit(passage.Stop)}
			f.Hits[0].ValidUntil = noon
		},
		"selected": func(_ *passage.Evidence, f *passage.Facts) { f.Draw = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			j := judged(edit)
			crossing, alert := j.Events()
			// Over the wire and back, as an appeal reads it.
			crossing = overWire(t, crossing)
			if alert != nil {
				a := overWire(t, *alert)
				alert = &a
			}
			d, err := Replay(crossing, alert, j.Policy)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(j.Decision, d); diff != "" {
				t.Errorf("replay (-recorded +now):\n%s", diff)
			}
			crossing.Decision.Outcome = "HOLD"
			if _, err := Replay(crossing, alert, j.Policy); err == nil {
				t.Error("a forged outcome replays")
			}
		})
	}
}

func overWire[D Data](t *testing.T, d D) D {
	t.Helper()
	b, err := Encode(stamp(9), head, d)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	back, err := As[D](e)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func TestI3_ObserveLeavesThePublicEventUntouched(t *testing.T) {
	without, none := judged(nil).Events()
	with, alert := judged(func(_ *passage.Evidence, f *passage.Facts) {
		f.Hits = []passage.Hit{hit(passage.Observe)}
		f.Hits[0].OfficerSafety = true
	}).Events()
	if none != nil || alert == nil {
		t.Fatalf("alerts = %v, %v, want none and one", none, alert)
	}
	if !same(without, with) {
		t.Error("the public event of an OBSERVE hit differs from one without")
	}
}

func TestI3_MaskedReferLooksDrawn(t *testing.T) {
	for _, action := range []passage.Action{passage.Stop, passage.Check} {
		j := judged(func(_ *passage.Evidence, f *passage.Facts) { f.Hits = []passage.Hit{hit(action)} })
		public, alert := j.Events()
		if alert == nil || alert.Draw != 7311 || len(alert.Hits) != 1 {
			t.Fatalf("alert = %+v", alert)
		}
		// Whoever decides again from the public event alone comes to the same.
		again := passage.Decide(j.Policy, public.Evidence, public.Facts)
		if diff := cmp.Diff(public.Decision, wire(again)); diff != "" {
			t.Errorf("%s shows itself (-public +decided again):\n%s", action, diff)
		}
	}
}

func TestMaskedDrawSelects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.0001, 1).Draw(t, "rate")
		draw := rapid.IntRange(0, 9999).Draw(t, "draw")
		if got := maskedDraw(rate, draw); got < 0 || float64(got) >= math.Max(rate*10_000, 1) {
			t.Errorf("maskedDraw(%v, %d) = %d, which does not select", rate, draw, got)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	good, err := Encode(stamp(1), head, Stopped{Reason: "signal", Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, fresh string) []byte {
		b := bytes.Replace(good, []byte(old), []byte(fresh), 1)
		if bytes.Equal(b, good) {
			t.Fatalf("%q is not in the event", old)
		}
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"array":          []byte("[]"),
		"text after":     append(bytes.Clone(good), "{}"...),
		"cut":            good[:len(good)-1],
		"duplicate key":  edit(`"id":`, `"id":"x","id":`),
		"duplicate deep": edit(`"reason":"signal"`, `"reason":"signal","reason":"fault"`),
		"other case":     edit(`"source"`, `"Source"`),
		"other version":  edit(`"1.0"`, `"0.3"`),
		"slash in booth": edit(`/booth/pac`, `/booth/pac/x`),
		"foreign type":   edit(`org.boothd.`, `org.evil.`),
		"short prev":     edit(`"boothprev":"AQ`, `"boothprev":"`),
		"seq zero":       edit(`"boothseq":1`, `"boothseq":0`),
		"seq negative":   edit(`"boothseq":1`, `"boothseq":-1`),
		"lane":           edit(`"live"`, `"express"`),
		"data is text":   edit(`"data":{`, `"data":"x","more":{`),
		"bad utf-8":      edit(`signal`, "sig\xffnal"),
		"NUL":            edit(`signal`, `sig\u0000nal`),
		"too deep":       edit(`"signal"`, `"signal","x":[[[[[[[[]]]]]]]]`),
		"too big":        edit(`"signal"`, `"`+strings.Repeat("x", MaxEvent)+`"`),
	} {
		if e, err := Decode(b); err == nil {
			t.Errorf("%s: Decode = %+v, want an error", name, e)
		} else if strings.Contains(err.Error(), "5f3c2f9e") {
			t.Errorf("%s: error quotes the data: %v", name, err)
		}
	}
	if _, err := Decode(edit(`"reason"`, `"added_later":{"x":1},"reason"`)); err != nil {
		t.Errorf("an added member is refused: %v", err)
	}
}

func TestReceiptRefuses(t *testing.T) {
	many := strings.Repeat("[1,2],", maxRanges) + "[1,2]"
	for name, text := range map[string]string{
		"no epoch":       `{"upto":1,"at":"2026-11-23T07:15:02Z"}`,
		"empty range":    `{"epoch":"e","upto":1,"have":[[5,4]],"at":"2026-11-23T07:15:02Z"}`,
		"zero":           `{"epoch":"e","upto":1,"want":[[0,4]],"at":"2026-11-23T07:15:02Z"}`,
		"three ends":     `{"epoch":"e","upto":1,"have":[[1,2,3]],"at":"2026-11-23T07:15:02Z"}`,
		"many ranges":    `{"epoch":"e","upto":1,"have":[` + many + `],"at":"2026-11-23T07:15:02Z"}`,
		"negative rate":  `{"epoch":"e","upto":1,"rate":-1,"at":"2026-11-23T07:15:02Z"}`,
		"beyond 63 bits": `{"epoch":"e","upto":9223372036854775808,"at":"2026-11-23T07:15:02Z"}`,
		"duplicate":      `{"epoch":"e","upto":1,"upto":2,"at":"2026-11-23T07:15:02Z"}`,
		"bad time":       `{"epoch":"e","upto":1,"at":"noon"}`,
		"big":            `{"epoch":"` + strings.Repeat("e", MaxState) + `"}`,
	} {
		if r, err := DecodeReceipt([]byte(text)); err == nil {
			t.Errorf("%s: DecodeReceipt = %+v, want an error", name, r)
		}
	}
}

func TestTopics(t *testing.T) {
	for _, c := range []struct {
		id string
		ok bool
	}{{"pac-hwy-nexus-03", true}, {"a1b", true}, {"ab", false}, {"-ab", false}, {"Pac", false}, {"a b", false}, {"a/b", false}, {"a+b", false}, {strings.Repeat("a", 41), false}} {
		if got := CheckBooth(c.id) == nil; got != c.ok {
			t.Errorf("CheckBooth(%q) ok = %v, want %v", c.id, got, c.ok)
		}
	}
	booth, class, err := EventSource(EventTopic("pac-1", ClassSecurity))
	if booth != "pac-1" || class != ClassSecurity || err != nil {
		t.Errorf("EventSource = %q, %q, %v", booth, class, err)
	}
	for _, topic := range []string{"", "booth/v1/pac-1/evt", "booth/v1/pac-1/evt/x", "booth/v2/pac-1/evt/audit", "booth/v1/PAC/evt/audit", "booth/v1/pac-1/evt/audit/x"} {
		if _, _, err := EventSource(topic); err == nil {
			t.Errorf("EventSource(%q) has no error", topic)
		}
	}
	if b, err := StatusSource(StatusTopic("pac-1")); b != "pac-1" || err != nil {
		t.Errorf("StatusSource = %q, %v", b, err)
	}
	longest := strings.Repeat("a", 40)
	for _, topic := range []string{EventTopic(longest, ClassCmdResult), HealthTopic(longest), InfoTopic(longest), ListsTopic(longest), ReceiptTopic(longest), CommandTopic(longest), WantListTopic(longest)} {
		if len(topic) > MaxTopic {
			t.Errorf("%s is over %d bytes", topic, MaxTopic)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for i, d := range samples() {
		b, err := Encode(stamp(uint64(i+1)), head, d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			return
		}
		if CheckBooth(e.Booth) != nil || e.Seq == 0 || !jsontext.Value(e.Data).IsValid() {
			t.Fatalf("accepted %q", b)
		}
		if d, err := As[CrossingDecided](e); err == nil {
			// What was accepted can be encoded again, and comes back the same.
			if again, err := Encode(e.Stamp, e.Head, d); err == nil {
				if _, err := Decode(again); err != nil {
					t.Fatalf("own event is refused: %v", err)
				}
			}
		}
	})
}

func FuzzDecodeReceipt(f *testing.F) {
	f.Add([]byte(`{"epoch":"e","upto":1,"have":[[3,4]],"want":[[2,2]],"rate":20,"at":"2026-11-23T07:15:02Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeReceipt(b)
		if err != nil {
			return
		}
		if _, err := EncodeReceipt(r); err != nil {
			t.Fatalf("accepted %q, which does not encode: %v", b, err)
		}
	})
}

// What a support archive may hold of the events is said type by type: one that
// is new is decided about here.
func TestI3_EventsAboutTheBoothAlone(t *testing.T) {
	about := map[Type]bool{
		TypeCrossingDecided: false, TypeCrossingEnded: false, TypeLookoutAlert: false, TypeNotice: false, TypePlateRead: false, TypePurged: false,
		TypeDeviceChanged: true, TypeListApplied: true, TypeListFailed: true, TypeClockChanged: true, TypeClockCorrected: true, TypeSignalFault: true,
		TypeStarted: true, TypeStopped: true, TypePolicy: true, TypeEpoch: true, TypeConfig: true, TypeCheckpoint: true, TypeThinned: true,
		TypeHello: true, TypeCommand: true, TypeCommandResult: true, TypeFleetNotice: true,
	}
	for _, typ := range Types() {
		want, decided := about[typ]
		if !decided || typ.AboutBooth() != want {
			t.Errorf("%s.AboutBooth() = %v, want %v (decided: %v)", typ, typ.AboutBooth(), want, decided)
		}
	}
	if Type("org.boothd.crossing.other.v1").AboutBooth() {
		t.Error("a type that nobody knows is shown")
	}
}
