package receiver

import (
	"bytes"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"boothd/agent/contract"
	"boothd/agent/passage"
)

const (
	passage1 = "01931f0c-8a51-7000-8000-000000000001"
	passage2 = "01931f0c-8a51-7000-8000-000000000002"
)

// alert is a security event about one passage's hits.
func alert(seq uint64, pass string, at time.Time, hits ...passage.Hit) Delivery {
	b, err := contract.Encode(contract.Stamp{Epoch: epochA, Seq: seq, ID: uuid.NewSHA1(uuid.NameSpaceOID, []byte{byte(seq)}).String()},
		contract.Head{Booth: boothA, Time: at},
		contract.LookoutAlert{Passage: pass, Revision: 1, Decision: contract.Decision{Outcome: "REFER"}, Hits: hits})
	if err != nil {
		panic(err)
	}
	return Delivery{Topic: contract.EventTopic(boothA, contract.ClassSecurity), Body: b, At: at}
}

func hit(id string) passage.Hit {
	return passage.Hit{ID: id, Version: 3, Action: passage.Check, Subject: "PLATE", ReasonCode: "CUSTOMS-07", Caveat: "NO_ONWARD", Agency: "CBSA",
		Region: "PACIFIC", ValidFrom: noon.Add(-time.Hour), ValidUntil: noon.Add(time.Hour)}
}

func newDesk(t *testing.T, path string) *Desk {
	t.Helper()
	d, err := OpenDesk(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// add keeps deliveries, each of which must be new and good.
func add(t *testing.T, s Store, ds ...Delivery) {
	t.Helper()
	heard, err := s.Add(t.Context(), ds)
	if err != nil || heard[boothA].Stored != len(ds) {
		t.Fatalf("%+v, %v", heard, err)
	}
}

func hits(t *testing.T, d *Desk, which Which, now time.Time) []Hit {
	t.Helper()
	got, err := d.Hits(t.Context(), which, "desk 1", now)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Every hit is open until it has a result, is an alarm after 24 h without one,
// and keeps all that was done about it.
func TestHitIsFollowedToItsResult(t *testing.T) { each(t, testHitIsFollowedToItsResult) }

func testHitIsFollowedToItsResult(t *testing.T, fresh func() string) {
	s, path := newStore(t, fresh())
	add(t, s, alert(1, passage1, noon, hit("LK-1"), hit("LK-2")), alert(2, passage2, noon.Add(time.Hour), hit("LK-1")))
	d := newDesk(t, path)
	if got := hits(t, d, Which{Open: true}, noon); len(got) != 3 || got[0].Overdue || got[0].Acknowledged != nil || got[0].Caveat != "NO_ONWARD" {
		t.Fatalf("%+v", got)
	}

	if n, err := d.Acknowledge(t.Context(), passage1, "", "watch 7", noon.Add(time.Minute)); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := d.Resolve(t.Context(), passage1, "LK-2", Examined, "watch 7", noon.Add(time.Hour)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	// Who acknowledged first stays; a later result is the one that counts.
	if _, err := d.Acknowledge(t.Context(), passage1, "LK-1", "watch 8", noon.Add(2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Resolve(t.Context(), passage1, "LK-2", Released, "watch 8", noon.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	got := hits(t, d, Which{Passage: passage1}, noon.Add(3*time.Hour))
	if len(got) != 2 || got[0].Acknowledged.By != "watch 7" || got[0].Result != nil || got[1].Result.What != "released" {
		t.Fatalf("%+v", got)
	}

	// 24 h to the microsecond is in time; the one after it is not.
	due := noon.Add(Overdue)
	for _, tt := range []struct {
		now  time.Time
		want int
	}{{due, 0}, {due.Add(time.Microsecond), 1}, {due.Add(time.Hour + time.Microsecond), 2}} {
		n, err := d.CountOverdue(t.Context(), tt.now)
		if err != nil || n != tt.want || len(hits(t, d, Which{Overdue: true}, tt.now)) != tt.want {
			t.Errorf("%s: %d overdue, %v, want %d", tt.now, n, err, tt.want)
		}
	}
	done, err := d.History(t.Context(), passage1)
	if err != nil {
		t.Fatal(err)
	}
	var what []string
	for _, a := range done["LK-2"] {
		if a.What != viewed {
			what = append(what, a.What+" by "+a.By)
		}
	}
	if diff := cmp.Diff([]string{"acknowledged by watch 7", "examined by watch 7", "released by watch 8"}, what); diff != "" {
		t.Error(diff)
	}
	if n := len(done["LK-2"]) - len(what); n != 2 { // the first look and the one at the passage; overdue looks did not show it
		t.Errorf("%d views recorded, want 2", n)
	}
}

// The same alert again opens nothing; a later revision adds, and makes a
// possible hit a certain one but never the other way round.
func TestHitOpensOnce(t *testing.T) { each(t, testHitOpensOnce) }

func testHitOpensOnce(t *testing.T, fresh func() string) {
	s, path := newStore(t, fresh())
	possible := hit("LK-1")
	possible.Possible = true
	first := alert(1, passage1, noon, possible)
	add(t, s, first)
	if heard, err := s.Add(t.Context(), []Delivery{first}); err != nil || heard[boothA].Again != 1 {
		t.Fatal(heard, err)
	}
	d := newDesk(t, path)
	if _, err := d.Acknowledge(t.Context(), passage1, "", "watch 7", noon); err != nil {
		t.Fatal(err)
	}
	add(t, s, alert(2, passage1, noon.Add(time.Second), hit("LK-1"), hit("LK-9")))
	add(t, s, alert(3, passage1, noon.Add(2*time.Second), possible))
	got := hits(t, d, Which{}, noon)
	if len(got) != 2 || got[0].Possible || got[0].Acknowledged == nil || !got[0].At.Equal(noon) || got[1].Lookout != "LK-9" {
		t.Errorf("%+v", got)
	}
}

func TestDeskRefuses(t *testing.T) { each(t, testDeskRefuses) }

func testDeskRefuses(t *testing.T, fresh func() string) {
	s, path := newStore(t, fresh())
	add(t, s, alert(1, passage1, noon, hit("LK-1")))
	d := newDesk(t, path)
	for name, tt := range map[string]struct {
		do   func() (int, error)
		want string
	}{
		"nobody":         {func() (int, error) { return d.Acknowledge(t.Context(), passage1, "", "", noon) }, "who acts"},
		"long name":      {func() (int, error) { return d.Acknowledge(t.Context(), passage1, "", strings.Repeat("x", 101), noon) }, "who acts"},
		"no passage":     {func() (int, error) { return d.Acknowledge(t.Context(), "7", "", "watch", noon) }, "passage \"7\""},
		"other passage":  {func() (int, error) { return d.Resolve(t.Context(), passage2, "", Examined, "watch", noon) }, ErrNoHit.Error()},
		"other lookout":  {func() (int, error) { return d.Resolve(t.Context(), passage1, "LK-2", Examined, "watch", noon) }, ErrNoHit.Error()},
		"unknown result": {func() (int, error) { return d.Resolve(t.Context(), passage1, "", "lost", "watch", noon) }, "result is"},
	} {
		if n, err := tt.do(); n != 0 || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %d, %v, want %q", name, n, err, tt.want)
		}
	}
	if done, err := d.History(t.Context(), passage1); err != nil || len(done) != 0 {
		t.Errorf("refused acts left %v, %v", done, err)
	}
	// What was done cannot be undone, not even by the file's owner by mistake.
	if _, err := d.Acknowledge(t.Context(), passage1, "", "watch", noon); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"DELETE FROM act", "UPDATE act SET by = 'x'"} {
		if err := d.db.exec(t.Context(), q); err == nil {
			t.Errorf("%s went through", q)
		}
	}
}

// An alert that cannot be read is refused with its number, and stops nothing.
func TestSpoiltAlertIsRefused(t *testing.T) { each(t, testSpoiltAlertIsRefused) }

func testSpoiltAlertIsRefused(t *testing.T, fresh func() string) {
	s, path := newStore(t, fresh())
	bad := alert(1, passage1, noon, hit("LK-1"))
	bad.Body = bytes.Replace(bad.Body, []byte(`"hits":[`), []byte(`"hits":[7,`), 1)
	heard, err := s.Add(t.Context(), []Delivery{bad, alert(2, passage1, noon, hit("LK-1"))})
	if err != nil || heard[boothA].Refused != 1 || heard[boothA].Stored != 1 {
		t.Fatal(heard, err)
	}
	if got := hits(t, newDesk(t, path), Which{}, noon); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// A database of before there was a desk gets its hits at the next start.
func TestDeskTakesOverOldAlerts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(schema); err != nil {
		t.Fatal(err)
	}
	good, bad := alert(1, passage1, noon, hit("LK-1")), []byte(`{"specversion":"1.0"}`)
	if _, err := db.Exec(`INSERT INTO booth (id, name) VALUES (1, ?); INSERT INTO epoch (id, booth, name, upto) VALUES (1, 1, ?, 2);
		INSERT INTO event VALUES (1, 1, 'a', ?, 'security', 0, ?, 1, 0, ?), (1, 2, 'b', ?, 'security', 0, ?, 1, 0, ?)`,
		boothA, epochA, string(contract.TypeLookoutAlert), noon.UnixMicro(), good.Body, string(contract.TypeLookoutAlert), noon.UnixMicro(), bad); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDesk(t.Context(), path); err == nil || !strings.Contains(err.Error(), "start boothhq receive once") {
		t.Errorf("the desk opened an old database: %v", err)
	}
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := hits(t, newDesk(t, path), Which{}, noon); len(got) != 1 || got[0].Lookout != "LK-1" || !got[0].ReceivedAt.Equal(noon) {
		t.Errorf("%+v", got)
	}
	if _, err := OpenDesk(t.Context(), path+"x"); err == nil {
		t.Error("a desk made a database")
	} else if _, err := os.Stat(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Error("and left a file")
	}
}

// logged is a log that is read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// The alarm sounds when a hit becomes overdue and every hour while it is, says
// how many, and names none (I3, I7).
func TestOverdueIsAnAlarm(t *testing.T) {
	s, path := newStore(t, filepath.Join(t.TempDir(), "events.db"))
	synctest.Test(t, func(t *testing.T) {
		add(t, s, alert(1, passage1, time.Now(), hit("LK-1")))
		d := newDesk(t, path)
		var out logged
		go d.Watch(t.Context(), slog.New(slog.NewTextHandler(&out, nil))) // ends with the test
		time.Sleep(Overdue - time.Minute)
		synctest.Wait()
		if log := out.take(); log != "" {
			t.Errorf("an alarm before its time: %s", log)
		}
		time.Sleep(2*time.Hour + 2*time.Minute)
		synctest.Wait()
		log := out.take()
		if n := strings.Count(log, "level=ERROR"); n != 3 {
			t.Errorf("%d alarms in two hours, want 3:\n%s", n, log)
		}
		if strings.Contains(log, "LK-1") || strings.Contains(log, passage1) || !strings.Contains(log, "count=1") {
			t.Error(log)
		}
		if _, err := d.Resolve(t.Context(), passage1, "", NotLocated, "watch", time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if log := out.take(); log != "" {
			t.Errorf("an alarm after the result: %s", log)
		}
	})
}
