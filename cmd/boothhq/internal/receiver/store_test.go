package receiver

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"boothd/agent/contract"
)

const (
	boothA = "pac-hwy-nexus-03"
	epochA = "01931e00-0000-7000-8000-000000000001"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// event is what a booth would send; ids are made of the number.
func event(booth, epoch string, seq uint64) []byte {
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(booth+epoch+string(rune(seq))))
	b, err := contract.Encode(contract.Stamp{Epoch: epoch, Seq: seq, ID: id.String()}, contract.Head{Booth: booth, Time: noon},
		contract.Stopped{Reason: "signal"})
	if err != nil {
		panic(err)
	}
	return b
}

func audit(booth string, seq uint64) Delivery {
	return Delivery{Topic: contract.EventTopic(booth, contract.ClassAudit), Body: event(booth, epochA, seq), At: noon}
}

func newStore(t *testing.T, db string) (Store, string) {
	t.Helper()
	s, err := Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, db
}

// each runs a test of what both stores promise on each of them.
func each(t *testing.T, test func(t *testing.T, fresh func() string)) {
	t.Run("store=sqlite", func(t *testing.T) {
		test(t, func() string { return filepath.Join(t.TempDir(), "events.db") })
	})
	t.Run("store=postgres", func(t *testing.T) {
		test(t, func() string { return newPostgres(t) })
	})
}

// newPostgres gives the URL of an empty database on the real server.
func newPostgres(t *testing.T) string {
	t.Helper()
	url, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// mustReceipt reads one booth's receipt.
func mustReceipt(t *testing.T, s Store, booth string) contract.Receipt {
	t.Helper()
	rs, err := s.Receipts(t.Context(), []string{booth}, 0)
	r, ok := rs[booth]
	if err != nil || !ok {
		t.Fatalf("Receipts = %+v, %v", rs, err)
	}
	return r
}

func summary(t *testing.T, path string) Summary {
	t.Helper()
	r, err := OpenReport(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s, err := r.Summary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustAdd(t *testing.T, s Store, ds ...Delivery) map[string]Heard {
	t.Helper()
	heard, err := s.Add(t.Context(), ds)
	if err != nil {
		t.Fatal(err)
	}
	return heard
}

func TestI4_EachEventIsKeptOnce(t *testing.T) { each(t, testI4_EachEventIsKeptOnce) }

func testI4_EachEventIsKeptOnce(t *testing.T, fresh func() string) {
	s, path := newStore(t, fresh())
	heard := mustAdd(t, s, audit(boothA, 1), audit(boothA, 2), audit(boothA, 2), audit(boothA, 5))
	if diff := cmp.Diff(map[string]Heard{boothA: {Stored: 3, Again: 1}}, heard); diff != "" {
		t.Errorf("first batch (-want +got):\n%s", diff)
	}
	mustAdd(t, s, audit(boothA, 1), audit(boothA, 4))
	r := mustReceipt(t, s, boothA)
	want := contract.Receipt{Epoch: epochA, Upto: 2, Have: [][2]uint64{{4, 5}}, Want: [][2]uint64{{3, 3}}}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("receipt (-want +got):\n%s", diff)
	}
	sum := summary(t, path)
	e := sum.Booths[0].Epochs[0]
	if sum.Events != 4 || sum.Missing != 1 || sum.Doubled != 0 || e.Again != 2 || e.Last != 5 || e.Upto != 2 {
		t.Errorf("summary = %+v", sum)
	}
}

func TestMarksSurviveARestart(t *testing.T) { each(t, testMarksSurviveARestart) }

func testMarksSurviveARestart(t *testing.T, fresh func() string) {
	path := fresh()
	first, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	bad := audit(boothA, 3)
	bad.Body = bytes.Replace(bad.Body, []byte(`"1.0"`), []byte(`"9.9"`), 1)
	mustAdd(t, first, audit(boothA, 1), audit(boothA, 2), bad, audit(boothA, 7), audit("lacolle-2", 1))
	before := mustReceipt(t, first, boothA)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	after := mustReceipt(t, second, boothA)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("receipt (-before +after a restart):\n%s", diff)
	}
	if after.Upto != 3 || len(after.Have) != 1 {
		t.Errorf("receipt = %+v, want a mark of 3 and 7 above it", after)
	}
}

func TestRefusedEventsAreAccountedFor(t *testing.T) { each(t, testRefusedEventsAreAccountedFor) }

func testRefusedEventsAreAccountedFor(t *testing.T, fresh func() string) {
	edit := func(d Delivery, old, fresh string) Delivery {
		b := bytes.Replace(d.Body, []byte(old), []byte(fresh), 1)
		if bytes.Equal(b, d.Body) {
			t.Fatalf("%q is not in the event", old)
		}
		d.Body = b
		return d
	}
	wrongTopic := audit(boothA, 3)
	wrongTopic.Topic = contract.EventTopic(boothA, contract.ClassCrossing)
	for _, c := range []struct {
		name string
		d    Delivery
		code string // "" if it is only counted
	}{
		{"source", edit(audit(boothA, 3), "/booth/"+boothA, "/booth/lacolle-2"), "source"},
		{"class", wrongTopic, "class"},
		{"duplicate key", edit(audit(boothA, 3), `"reason":`, `"reason":"x","reason":`), ""},
		{"no lane", edit(audit(boothA, 3), `"backlog"`, `"express"`), "schema"},
		{"too big", edit(audit(boothA, 3), `"reason":"`, `"reason":"`+strings.Repeat("x", contract.MaxEvent)), "size"},
		{"not JSON", Delivery{Topic: audit(boothA, 3).Topic, Body: []byte("hello")}, ""},
		{"nothing", Delivery{Topic: audit(boothA, 3).Topic}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, path := newStore(t, fresh())
			heard := mustAdd(t, s, audit(boothA, 1), audit(boothA, 2), c.d)
			if h := heard[boothA]; h.Stored != 2 || h.Refused != 1 {
				t.Errorf("heard = %+v, want 2 stored and 1 refused", h)
			}
			r := mustReceipt(t, s, boothA)
			if c.code == "" {
				if len(r.Reject) != 0 || r.Upto != 2 {
					t.Errorf("receipt = %+v, want no reject: its number is not known", r)
				}
				return
			}
			if len(r.Reject) != 1 || r.Reject[0].Seq != 3 || r.Reject[0].Code != c.code || r.Upto != 3 {
				t.Errorf("receipt = %+v, want seq 3 rejected as %s", r, c.code)
			}
			if _, err := contract.EncodeReceipt(contract.Receipt{Epoch: r.Epoch, Upto: r.Upto, Reject: r.Reject, At: noon}); err != nil {
				t.Error(err)
			}
			// The mended event takes the number back.
			mustAdd(t, s, audit(boothA, 3))
			if sum := summary(t, path); sum.Events != 3 || sum.Booths[0].Epochs[0].Rejected != 0 {
				t.Errorf("after the mended event: %+v", sum)
			}
		})
	}
}

func TestOtherBytesUnderATakenNumberChangeNothing(t *testing.T) {
	each(t, testOtherBytesUnderATakenNumberChangeNothing)
}

func testOtherBytesUnderATakenNumberChangeNothing(t *testing.T, fresh func() string) {
	s, path := newStore(t, fresh())
	mustAdd(t, s, audit(boothA, 1))
	forged := audit(boothA, 1)
	forged.Body = bytes.Replace(forged.Body, []byte(`"signal"`), []byte(`"fault"`), 1)
	if h := mustAdd(t, s, forged)[boothA]; h.Conflicts != 1 || h.Stored != 0 {
		t.Errorf("heard = %+v, want one conflict", h)
	}
	r, err := OpenReport(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out bytes.Buffer
	if n, err := r.Export(t.Context(), &out, Selection{Booth: boothA}); n != 1 || err != nil {
		t.Fatalf("Export = %d, %v", n, err)
	}
	if got := bytes.TrimSuffix(out.Bytes(), []byte("\n")); !bytes.Equal(got, event(boothA, epochA, 1)) {
		t.Errorf("kept %s, want the first bytes exactly", got)
	}
	if _, err := r.Export(t.Context(), &out, Selection{Booth: "nobody-1"}); err == nil {
		t.Error("exporting an unknown booth has no error")
	}
}

func TestTheHighestConnCounts(t *testing.T) { each(t, testTheHighestConnCounts) }

func testTheHighestConnCounts(t *testing.T, fresh func() string) {
	s, path := newStore(t, fresh())
	for _, c := range []struct {
		s    string
		conn uint64
		want string
	}{
		{"online", 4, "online"}, {"offline", 3, "online"}, {"offline", 4, "offline"}, {"online", 4, "offline"},
		{"online", 5, "online"}, {"offline", 4, "online"}, {"stopping", 5, "stopping"},
	} {
		if err := s.Hear(t.Context(), map[string]Said{boothA: {Status: &contract.Status{S: c.s, Conn: c.conn, At: noon}}}, noon); err != nil {
			t.Fatal(err)
		}
		if got := summary(t, path).Booths[0].Status; got != c.want {
			t.Errorf("after %s with conn %d: %s, want %s", c.s, c.conn, got, c.want)
		}
	}
}

// What a booth says again is as old as when it first said it.
func TestAStateIsAsOldAsItsWords(t *testing.T) { each(t, testState) }

func testState(t *testing.T, fresh func() string) {
	s, path := newStore(t, fresh())
	mustAdd(t, s, audit(boothA, 1), audit(boothA, 2), audit(boothA, 5))
	say := func(booth, kind, body string, at time.Time) {
		t.Helper()
		if err := s.Hear(t.Context(), map[string]Said{booth: {State: map[string]State{kind: {[]byte(body), at}}}}, at); err != nil {
			t.Fatal(err)
		}
	}
	say(boothA, stateHealth, `{"level":"healthy"}`, noon)
	say(boothA, stateLists, `{"lists":[]}`, noon)
	say("lacolle-2", stateHealth, `{"level":"out"}`, noon)
	say(boothA, stateHealth, `{"level":"degraded"}`, noon.Add(time.Minute))
	say(boothA, stateHealth, `{"level":"degraded"}`, noon.Add(2*time.Minute))
	say(boothA, stateLists, `{"lists":"older"}`, noon.Add(-time.Second)) // delivered again, and late
	r, err := OpenReport(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Standings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Standing{
		{Booth: "lacolle-2", State: map[string]State{stateHealth: {[]byte(`{"level":"out"}`), noon}}},
		{Booth: boothA, Epoch: epochA, Upto: 2, Last: 5, HeardAt: noon, Journals: Journals{Count: 1, BeganAt: noon, HeardAt: noon}, Missing: 2, State: map[string]State{
			stateHealth: {[]byte(`{"level":"degraded"}`), noon.Add(time.Minute)}, stateLists: {[]byte(`{"lists":[]}`), noon},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("standings (-want +got):\n%s", diff)
	}
}

func TestANewerDatabaseIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("Open = %v, want words about a newer schema", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before[100:], after[100:]) {
		t.Errorf("the file was changed (%v)", err)
	}
	if _, err := OpenReport(t.Context(), filepath.Join(t.TempDir(), "none.db")); err == nil {
		t.Error("a report of no database has no error")
	}
}

// Every type that a booth can send is stored and receipted, each on its topic.
func TestEveryEventIsTaken(t *testing.T) { each(t, testEveryEventIsTaken) }

func testEveryEventIsTaken(t *testing.T, fresh func() string) {
	s, _ := newStore(t, fresh())
	for _, typ := range contract.Types() {
		b, err := contract.Documents.ReadFile("golden/" + strings.TrimPrefix(string(typ), "org.boothd.") + ".json")
		if err != nil {
			t.Fatal(err)
		}
		e, err := contract.Decode(bytes.TrimSpace(b))
		if err != nil {
			t.Fatal(err)
		}
		d := Delivery{Topic: contract.EventTopic(e.Booth, typ.Class()), Body: bytes.TrimSpace(b), At: noon}
		if heard := mustAdd(t, s, d)[e.Booth]; heard.Stored != 1 {
			t.Errorf("%s: %+v", typ, heard)
		}
	}
	if r := mustReceipt(t, s, "pac-hwy-nexus-03"); r.Upto != uint64(len(contract.Types())) || len(r.Reject) > 0 {
		t.Errorf("receipt %+v", r)
	}
}
