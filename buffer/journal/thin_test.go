package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// telemetry is what the booth thins; the event that counts tells the numbers.
var telemetry = Thin{Classes: []string{"read", "signal"}, Event: func(n Thinning) Entry {
	return Entry{Class: "audit", At: noon, Build: func(s Stamp) ([]byte, error) {
		return fmt.Appendf(nil, "thinned %d %d %d, %d", n.From, n.To, n.Count, s.Seq), nil
	}}
}}

func sizedEvent(class string, size int) Entry {
	return Entry{Class: class, At: noon, Build: func(s Stamp) ([]byte, error) {
		return append(fmt.Appendf(nil, "%s %d ", class, s.Seq), bytes.Repeat([]byte("x"), size)...), nil
	}}
}

// passageOf is what one vehicle leaves: telemetry around a crossing.
func passageOf(size int) []Entry {
	return []Entry{sizedEvent("read", size), sizedEvent("read", size), sizedEvent("crossing", size), sizedEvent("signal", size)}
}

// all reads what the journal has, and checks that every hole is explained.
func all(t testing.TB, j *Journal) (rows []Record, v Verified) {
	t.Helper()
	v, err := j.Verify(t.Context(), 1, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range j.Range(t.Context(), 1, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows, v
}

// explained checks that every number that is missing is within a tombstone, and
// that the tombstones count them exactly.
func explained(t testing.TB, v Verified) {
	t.Helper()
	missing := v.First - 1
	for _, g := range v.Gaps {
		missing += g[1] - g[0] + 1
	}
	counted, before := uint64(0), uint64(0)
	for _, n := range v.Thinned {
		if n.From <= before || n.To < n.From || n.Count > n.To-n.From+1 {
			t.Errorf("%+v after %d", n, before)
		}
		counted, before = counted+n.Count, n.To
	}
	if missing != counted {
		t.Errorf("%d numbers are missing, %d are explained", missing, counted)
	}
	for _, g := range v.Gaps {
		for seq := g[0]; seq <= g[1]; seq++ {
			if !slices.ContainsFunc(v.Thinned, func(n Thinning) bool { return n.From <= seq && seq <= n.To }) {
				t.Fatalf("nothing explains that %d is missing", seq)
			}
		}
	}
}

func classes(rows []Record) map[string]int {
	out := map[string]int{}
	for _, r := range rows {
		out[r.Class]++
	}
	return out
}

// A tombstone names what it counts: exactly the numbers that are missing, with
// what is kept between them left out.
func TestI4_TombstonesNameWhatIsGone(t *testing.T) {
	var mu sync.Mutex                  // the writer's goroutine and the test's
	told := make(map[uint64][2]uint64) // by first number, its range
	thin := telemetry
	thin.Event = func(n Thinning) Entry {
		mu.Lock()
		defer mu.Unlock()
		counted := uint64(0)
		for _, r := range n.Gone {
			if told[r[0]] = r; r[0] < n.From || r[1] > n.To || r[1] < r[0] {
				t.Errorf("%v is not within %d to %d", r, n.From, n.To)
			}
			counted += r[1] - r[0] + 1
		}
		if counted != n.Count || n.Gone[0][0] != n.From || n.Gone[len(n.Gone)-1][1] != n.To {
			t.Errorf("%+v names %d", n, counted)
		}
		return telemetry.Event(n)
	}
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db"), MaxRows: 400, Thin: thin})
	for range 300 {
		if _, err := j.Append(t.Context(), passageOf(10)...); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	// A tombstone is told of before the rows go, and the writer may be about it still.
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, v := all(t, j)
		missing, named := map[uint64]bool{}, map[uint64]bool{}
		for seq := uint64(1); seq < v.First; seq++ {
			missing[seq] = true
		}
		for _, r := range v.Gaps {
			for seq := r[0]; seq <= r[1]; seq++ {
				missing[seq] = true
			}
		}
		mu.Lock()
		for _, r := range told {
			for seq := r[0]; seq <= r[1]; seq++ {
				named[seq] = true
			}
		}
		mu.Unlock()
		if len(named) > 0 && maps.Equal(missing, named) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d numbers are missing, %d are named, not the same", len(missing), len(named))
		}
	}
}

// Near full, telemetry that was never sent goes, counted; crossings and alerts
// stay, whatever their number, until nothing is left to give up.
func TestI4_ThinningKeepsCrossingsAndExplainsHoles(t *testing.T) {
	for _, cfg := range []Config{{MaxBytes: 2 << 20}, {MaxRows: 600}} {
		t.Run(fmt.Sprintf("bytes=%d rows=%d", cfg.MaxBytes, cfg.MaxRows), func(t *testing.T) {
			cfg.Path, cfg.Thin = filepath.Join(t.TempDir(), "j.db"), telemetry
			j, _ := open(t, cfg)
			crossings, alerts := 0, 0
			for range 10_000 {
				entries := passageOf(1500)
				if crossings%50 == 0 {
					entries = append(entries, Entry{Class: "read", Alert: true, At: noon, Build: event("read").Build})
				}
				if _, err := j.Append(t.Context(), entries...); errors.Is(err, ErrFull) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				crossings++
				alerts += len(entries) - 4
			}
			rows, v := all(t, j)
			explained(t, v)
			got := classes(rows)
			if got["crossing"] != crossings || len(v.Thinned) == 0 || got["audit"] != len(v.Thinned) {
				t.Errorf("%v of %d crossings, %d tombstones", got, crossings, len(v.Thinned))
			}
			waiting := 0
			for _, r := range rows {
				if r.Alert {
					waiting++
				}
			}
			if waiting != alerts {
				t.Errorf("%d alerts of %d", waiting, alerts)
			}
			// Three of four rows are telemetry: without thinning a quarter would be
			// crossings. Sparse telemetry may stay.
			if len(rows) > crossings*3/2 {
				t.Errorf("%d rows for %d crossings: %v", len(rows), crossings, got)
			}
			if s := j.Stats(); s.Waiting != uint64(len(rows)-waiting) || s.Alerts != uint64(alerts) || s.Last != rows[len(rows)-1].Seq || s.Thinned == 0 {
				t.Errorf("%+v for %d rows", s, len(rows))
			}
		})
	}
}

// The promised order: what is receipted goes before anything unsent.
func TestReceiptedGoesBeforeThinning(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db"), MaxBytes: 2 << 20, Thin: telemetry})
	for range 1000 {
		add(t, j, passageOf(1500)...)
		if j.Stats().Waiting > 100 {
			if err := j.Receipted(t.Context(), Receipt{Epoch: j.Epoch(), Upto: j.Last() - 50}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := j.Stats(); s.Thinned != 0 || s.Bytes > 2<<20 {
		t.Errorf("%+v", s)
	}
	if _, v := all(t, j); len(v.Thinned) != 0 || v.First < 2000 {
		t.Errorf("%+v", v)
	}
}

// Room is made beside the appends, before one of them has to wait for it.
func TestRoomIsMadeBeforeItIsShort(t *testing.T) {
	const most = 4 << 20
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db"), MaxBytes: most, Thin: telemetry})
	for range 2000 {
		add(t, j, sizedEvent("read", 1500))
	}
	for range 2 { // what is in the log goes in, and then the room is made that is short
		if err := j.do(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	add(t, j, event("crossing"))
	if s := j.Stats(); s.Thinned == 0 || s.Bytes > most*95/100 {
		t.Errorf("%+v", s)
	}
}

// Telemetry over its time goes even when there is room; what is over its time
// otherwise does not.
func TestThinningByAge(t *testing.T) {
	thin := telemetry
	thin.After = time.Hour
	cfg := Config{Path: filepath.Join(t.TempDir(), "j.db"), Thin: thin}
	j, _ := open(t, cfg)
	for range 100 {
		add(t, j, passageOf(100)...) // at noon of a day long past
	}
	fresh := sizedEvent("read", 100)
	fresh.At = time.Now()
	for range 50 {
		add(t, j, fresh)
	}
	if err := j.do(t.Context(), aging()); err != nil {
		t.Fatal(err)
	}
	rows, v := all(t, j)
	explained(t, v)
	if c := classes(rows); c["crossing"] != 100 || c["read"] != 50 || c["signal"] != 0 {
		t.Errorf("%v", c)
	}
	if err := j.do(t.Context(), aging()); err != nil {
		t.Fatal(err)
	}
	if again, _ := all(t, j); len(again) != len(rows) {
		t.Errorf("%d rows, then %d", len(rows), len(again))
	}
}

// Ranges do not overlap across runs, and the chain goes on behind a thinning
// that took the newest row.
func TestI4_ThinningAcrossRuns(t *testing.T) {
	thin := telemetry
	thin.After = time.Hour
	cfg := Config{Path: filepath.Join(t.TempDir(), "j.db"), Thin: thin}
	for run := range 4 {
		j, _, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			add(t, j, event("crossing"), event("read"))
		}
		if err := j.do(t.Context(), aging()); err != nil {
			t.Fatal(err)
		}
		rows, v := all(t, j)
		explained(t, v)
		if len(v.Thinned) != run+1 || rows[len(rows)-1].Class != "audit" || j.Last() != uint64(run+1)*41 {
			t.Errorf("run %d: %+v, last %d", run, v, j.Last())
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// An event that cannot be made thins nothing, and harms nothing else.
func TestI4_ThinningThatCannotBeToldDoesNotHappen(t *testing.T) {
	thin := telemetry
	thin.Event = func(Thinning) Entry {
		return Entry{Class: "audit", At: noon, Build: func(Stamp) ([]byte, error) { return nil, errors.New("no key") }}
	}
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db"), MaxRows: 40, Thin: thin})
	add(t, j, fillOf("read", 40)...)
	if _, err := j.Append(t.Context(), event("crossing")); !errors.Is(err, ErrFull) || !errors.Is(err, errEvent) {
		t.Fatal(err)
	}
	if rows, _ := all(t, j); len(rows) != 40 {
		t.Errorf("%d rows", len(rows))
	}
	if err := j.Receipted(t.Context(), Receipt{Epoch: j.Epoch(), Upto: 40}); err != nil {
		t.Fatal(err)
	}
	if s := add(t, j, event("crossing")); s[0].Seq != 41 {
		t.Errorf("number %d", s[0].Seq)
	}
}

func fillOf(class string, n int) []Entry {
	return slices.Repeat([]Entry{event(class)}, n)
}

func TestThinRefusesWhatIsKept(t *testing.T) {
	for _, c := range []Thin{{Classes: []string{"read", "crossing"}, Event: telemetry.Event}, {Classes: []string{"security"}, Event: telemetry.Event},
		{Classes: []string{"audit"}, Event: telemetry.Event}, {Classes: []string{"read"}}, {Classes: make([]string, thinClasses+1), Event: telemetry.Event}} {
		path := filepath.Join(t.TempDir(), "j.db")
		if _, _, err := Open(t.Context(), Config{Path: path, Thin: c}); err == nil {
			t.Errorf("%v was taken", c.Classes)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("a journal was made all the same")
		}
	}
}

// Whoever reads when the bell rings, and not otherwise, sees every event, those
// that the journal stores by itself too.
func TestI4_BellRingsWhenATombstoneCanBeRead(t *testing.T) {
	thin := telemetry
	thin.After = time.Hour
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db"), Thin: thin})
	for range 30 {
		add(t, j, fillOf("read", thinLeast)...)
		done := make(chan error, 1)
		go func() { done <- j.do(t.Context(), aging()) }()
		seen := uint64(0)
		for thinned := false; !thinned || len(j.Bell()) > 0; {
			select {
			case <-j.Bell():
				if rows := pending(t, j, Backlog); len(rows) > 0 {
					seen = rows[len(rows)-1]
				}
			case err := <-done:
				if thinned = true; err != nil {
					t.Fatal(err)
				}
			}
		}
		if seen != j.Last() {
			t.Fatalf("the bell has rung for the last time, %d of %d was read", seen, j.Last())
		}
	}
}
