package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"boothd/buffer/internal/sqlite"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 123456000, time.UTC)

func open(t testing.TB, cfg Config) (*Journal, Opened) {
	t.Helper()
	j, o, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j, o
}

// event is an entry whose body tells its place.
func event(class string) Entry {
	return Entry{Class: class, At: noon, Build: func(s Stamp) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s %d %x %t", class, s.Epoch, s.Seq, s.Prev, s.Live), nil
	}}
}

func alert() Entry {
	e := event("security")
	e.Alert = true
	return e
}

func add(t testing.TB, j *Journal, entries ...Entry) []Stamp {
	t.Helper()
	s, err := j.Append(t.Context(), entries...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seqs(rows []Record) (out []uint64) {
	for _, r := range rows {
		out = append(out, r.Seq)
	}
	return out
}

func pending(t testing.TB, j *Journal, l Lane) []uint64 {
	t.Helper()
	rows, err := j.Pending(t.Context(), Query{Lane: l, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return seqs(rows)
}

func same(a, b []uint64) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// Numbers go on without a gap and the chain holds across runs.
func TestI4_SequenceAndChainAcrossRuns(t *testing.T) {
	cfg := Config{Path: filepath.Join(t.TempDir(), "j.db")}
	var epoch string
	for run := range 4 {
		j, o, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if o.New != (run == 0) || run > 0 && j.Epoch() != epoch {
			t.Fatalf("run %d: %+v, epoch %s after %s", run, o, j.Epoch(), epoch)
		}
		epoch = j.Epoch()
		for i := range 5 {
			s := add(t, j, event("crossing"), alert())
			if want := uint64(run*10 + i*2 + 1); s[0].Seq != want || s[1].Seq != want+1 || s[0].Epoch != epoch || s[0].ID == s[1].ID {
				t.Fatalf("run %d: places %+v, want %d", run, s, want)
			}
		}
		v, err := j.Verify(t.Context(), 1, 1000)
		if err != nil || v.Rows != uint64(run+1)*10 || len(v.Gaps) > 0 {
			t.Fatalf("run %d: %+v %v", run, v, err)
		}
		if s := j.Stats(); s.Last != v.Rows || s.Waiting != v.Rows/2 || s.Alerts != v.Rows/2 || !s.Oldest.Equal(noon) || s.Bytes == 0 {
			t.Fatalf("run %d: %+v", run, s)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A mistake of one caller is no other's, and takes no number.
func TestI4_ABodyThatCannotBeBuiltTakesNoNumber(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	bad := event("crossing")
	bad.Build = func(Stamp) ([]byte, error) { return nil, errors.New("no such passage") }
	big := event("crossing")
	big.Build = func(Stamp) ([]byte, error) { return make([]byte, MaxBody+1), nil }
	for _, e := range []Entry{bad, big} {
		if _, err := j.Append(t.Context(), event("crossing"), e); err == nil {
			t.Fatal("taken")
		}
	}
	if s := add(t, j, event("crossing")); s[0].Seq != 1 {
		t.Fatalf("number %d", s[0].Seq)
	}
}

// Many callers at once: every one gets its own consecutive numbers.
func TestI4_ManyCallersAtOnce(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 20 {
				s, err := j.Append(t.Context(), event("crossing"), event("crossing"), alert())
				if err != nil || s[1].Seq != s[0].Seq+1 || s[2].Seq != s[0].Seq+2 {
					t.Errorf("%+v %v", s, err)
					return
				}
			}
		})
	}
	all.Wait()
	if v, err := j.Verify(t.Context(), 1, 1<<40); err != nil || v.Rows != 1200 || len(v.Gaps) > 0 {
		t.Fatalf("%+v %v", v, err)
	}
}

func TestLateIsSaidAtOnce(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	hold := make(chan struct{})
	slow := event("crossing")
	slow.Build = func(Stamp) ([]byte, error) { <-hold; return []byte("slow"), nil }
	ctx, cancel := context.WithCancel(t.Context())
	late := make(chan error, 1)
	go func() {
		_, err := j.Append(ctx, slow)
		late <- err
	}()
	cancel()
	if err := <-late; !errors.Is(err, ErrLate) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(hold)
	// It may have become durable all the same; the next number says so.
	if s := add(t, j, event("crossing")); s[0].Seq > 2 {
		t.Fatalf("number %d", s[0].Seq)
	}
}

func TestLanesAndReceipts(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	add(t, j, event("crossing"), alert(), event("crossing")) // 1 2 3
	j.SetOnline(true)
	if s := add(t, j, event("crossing"), event("device")); !s[0].Live { // 4 5
		t.Error("not live")
	}
	check := func(alerts, live, backlog []uint64) {
		t.Helper()
		if a, l, b := pending(t, j, Alerts), pending(t, j, Live), pending(t, j, Backlog); !same(a, alerts) || !same(l, live) || !same(b, backlog) {
			t.Errorf("alerts %v live %v backlog %v, want %v %v %v", a, l, b, alerts, live, backlog)
		}
	}
	check([]uint64{2}, []uint64{4, 5}, []uint64{1, 3})
	r := Receipt{Epoch: j.Epoch(), Upto: 1, Have: [][2]uint64{{4, 4}}, Reject: []Reject{{3, "schema"}}}
	for range 2 { // again does no harm
		if err := j.Receipted(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		check([]uint64{2}, []uint64{5}, nil)
	}
	if s := j.Stats(); s.Waiting != 1 || s.Alerts != 1 || s.Quarantined != 1 {
		t.Errorf("%+v", s)
	}
	j.SetOnline(false)
	check([]uint64{2}, nil, []uint64{5})
	r = Receipt{Epoch: j.Epoch(), Upto: 5}
	if err := j.Receipted(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	check(nil, nil, nil)
	if s := j.Stats(); s.Waiting != 0 || s.Alerts != 0 || s.Quarantined != 1 || !s.Oldest.IsZero() {
		t.Errorf("a quarantined row was receipted by the mark: %+v", s)
	}
	for _, bad := range []Receipt{{Epoch: "another", Upto: 1}, {Epoch: j.Epoch(), Upto: 6}, {Epoch: j.Epoch(), Have: [][2]uint64{{5, 7}}},
		{Epoch: j.Epoch(), Reject: []Reject{{9, "x"}}}} {
		want := ErrBeyond
		if bad.Epoch == "another" {
			want = ErrEpoch
		}
		if err := j.Receipted(t.Context(), bad); !errors.Is(err, want) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// More rows than a slice are receipted while appends go on.
func TestReceiptInSlices(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	for range 30 {
		var many []Entry
		for range groupMost {
			many = append(many, event("crossing"))
		}
		many[0] = alert()
		add(t, j, many...)
	}
	last := j.Last()
	var all sync.WaitGroup
	all.Go(func() {
		if err := j.Receipted(t.Context(), Receipt{Epoch: j.Epoch(), Upto: last}); err != nil {
			t.Error(err)
		}
	})
	for range 10 {
		add(t, j, event("crossing"))
	}
	all.Wait()
	if s := j.Stats(); s.Waiting != 10 || s.Alerts != 0 {
		t.Errorf("%+v", s)
	}
}

func TestDamagedJournalIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	j, o := open(t, Config{Path: path})
	if !o.New || o.SetAside == "" {
		t.Fatalf("%+v", o)
	}
	if b, err := os.ReadFile(o.SetAside); err != nil || !bytes.HasPrefix(b, []byte("no database")) {
		t.Fatalf("evidence was not kept: %v", err)
	}
	add(t, j, event("audit"))
}

func TestNewerJournalIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Migrations: append(slices.Clip(schema), sqlite.Migration{SQL: "CREATE TABLE future (x ANY) STRICT"})})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(t.Context(), Config{Path: path}); !errors.Is(err, sqlite.ErrNewerSchema) {
		t.Fatal(err)
	}
}

func TestReaderBesideTheWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	j, _ := open(t, Config{Path: path})
	s := add(t, j, event("crossing"), alert(), event("device"))
	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	rec, ok, err := r.ByID(t.Context(), s[1].ID)
	if err != nil || !ok || rec.Seq != 2 || !rec.Alert || rec.Class != "security" || !rec.At.Equal(noon) || rec.Prev != s[1].Prev {
		t.Fatalf("%+v %t %v", rec, ok, err)
	}
	if _, ok, err := r.ByID(t.Context(), "none"); ok || err != nil {
		t.Error("found what is not there", err)
	}
	if n, err := r.Count(t.Context()); err != nil || n.Last != 3 || n.Waiting != 2 || n.Alerts != 1 {
		t.Errorf("%+v %v", n, err)
	}
	if e, err := r.Epoch(t.Context()); err != nil || e != j.Epoch() {
		t.Error(e, err)
	}
	if v, err := r.Verify(t.Context(), 1, 10); err != nil || v.Rows != 3 {
		t.Errorf("%+v %v", v, err)
	}
}

func TestVerifyFindsAChangedBody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.db")
	j, _ := open(t, Config{Path: path})
	add(t, j, event("crossing"), event("crossing"), event("crossing"))
	if err := j.do(t.Context(), func(w *writer) (bool, error) {
		return false, w.conn.Exec("UPDATE event SET body = x'00' WHERE seq = 2")
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Verify(t.Context(), 1, 3); !errors.Is(err, ErrChain) {
		t.Fatal(err)
	}
}

func TestSince(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	for i := range 50 {
		e := event("crossing")
		e.At = noon.Add(time.Duration(i) * time.Minute)
		add(t, j, e)
	}
	for _, c := range []struct {
		at   time.Duration
		want uint64
	}{{-time.Hour, 1}, {0, 1}, {time.Minute, 2}, {90 * time.Second, 3}, {49 * time.Minute, 50}, {time.Hour, 51}} {
		if got, err := j.Since(t.Context(), noon.Add(c.at)); err != nil || got != c.want {
			t.Errorf("%v: %d %v, want %d", c.at, got, err, c.want)
		}
	}
}

// After a fault of the disk the journal opens again by itself and goes on
// without a gap.
func TestI4_GoesOnAfterAFault(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	add(t, j, event("crossing"), event("crossing"))
	if err := j.do(t.Context(), func(w *writer) (bool, error) { _ = w.fail(io.EOF); return false, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), event("crossing")); !errors.Is(err, ErrStorage) {
		t.Fatalf("hammers a broken disk: %v", err)
	}
	time.Sleep(reopenPause)
	if s := add(t, j, event("crossing")); s[0].Seq != 3 {
		t.Fatalf("number %d", s[0].Seq)
	}
	if _, err := j.Verify(t.Context(), 1, 3); err != nil {
		t.Fatal(err)
	}
}

func TestClosedJournalRefuses(t *testing.T) {
	j, _, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "j.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), event("crossing")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := j.Receipted(t.Context(), Receipt{Epoch: j.Epoch()}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
