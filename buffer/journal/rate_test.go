package journal

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

func TestDaily(t *testing.T) {
	var d daily
	if d.add(time.Minute, 100); d.perDay(time.Minute) != 0 {
		t.Error("told after a minute")
	}
	if got := d.perDay(time.Hour); got != 2400 {
		t.Errorf("%d after 100 in an hour", got)
	}
	d = daily{}
	for h := range 72 {
		d.add(time.Duration(h)*time.Hour, 10)
	}
	if got := d.perDay(71*time.Hour + 59*time.Minute + 59*time.Second); got < 239 || got > 241 {
		t.Errorf("%d at 10 an hour", got)
	}
	if got := d.perDay(1000 * time.Hour); got != 0 {
		t.Errorf("%d after a long rest", got)
	}
	d.add(1000*time.Hour, 50)
	if got := d.perDay(1000*time.Hour + 30*time.Minute); got != 48 {
		t.Errorf("%d", got)
	}
}

// What is promised to fit does fit, and little more.
func TestHoldsAsLongAsItSays(t *testing.T) {
	for _, cfg := range []Config{{MaxBytes: 8 << 20}, {MaxRows: 5000}} {
		t.Run(fmt.Sprintf("bytes=%d", cfg.MaxBytes), func(t *testing.T) {
			cfg.Path = filepath.Join(t.TempDir(), "j.db")
			j, _ := open(t, cfg)
			at := noon
			some := func() (more bool) { // 10 minutes of one event a minute
				t.Helper()
				var entries []Entry
				for range 10 {
					e := sized()
					e.At = at
					entries, at = append(entries, e), at.Add(time.Minute)
				}
				_, err := j.Append(t.Context(), entries...)
				return err == nil
			}
			for range 5 {
				some()
			}
			forecast := func() time.Duration {
				t.Helper()
				if err := j.do(t.Context(), func(w *writer) (bool, error) { return false, w.forecast() }); err != nil {
					t.Fatal(err)
				}
				own := j.Stats().Holds // without the ten that a full database leaves in the log
				if got := fromFile(t, cfg); got > own || got < max(own-11*time.Minute, 0) {
					t.Errorf("%v by the file alone, %v by its owner", got, own)
				}
				return own
			}
			if got := forecast(); got != 0 {
				t.Errorf("%v are forecast from 50 minutes", got)
			}
			for range 200 {
				some()
			}
			holds, from := forecast(), at
			for some() {
			}
			if took := at.Sub(from); took < holds*9/10 || took > holds*12/10 {
				t.Errorf("held for %v, %v were forecast", took, holds)
			}
			if got := forecast(); got > holds/10 {
				t.Errorf("%v are forecast of a full journal", got)
			}
		})
	}
}

// fromFile is the forecast of somebody who reads a journal that another writes.
func fromFile(t *testing.T, cfg Config) time.Duration {
	t.Helper()
	r, err := OpenReader(t.Context(), cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	holds, err := r.Holds(t.Context(), Config{MaxBytes: cfg.MaxBytes, MaxRows: cfg.MaxRows})
	if err != nil {
		t.Fatal(err)
	}
	return holds
}

// An empty journal forecasts nothing.
func TestHoldsOfNothing(t *testing.T) {
	cfg := Config{Path: filepath.Join(t.TempDir(), "j.db"), MaxBytes: 8 << 20}
	open(t, cfg)
	if got := fromFile(t, cfg); got != 0 {
		t.Errorf("%v are forecast from no event", got)
	}
}

// The pages that went to the medium are counted, each into the WAL and out of
// it, and not twice across two beginnings of the WAL.
func TestFlashIsCounted(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	var written int64
	count := func() {
		t.Helper()
		if err := j.do(t.Context(), func(w *writer) (bool, error) {
			err := w.checkpoint()
			written = 0
			for _, n := range w.written.hours {
				written += n
			}
			return false, err
		}); err != nil {
			t.Fatal(err)
		}
	}
	count()
	start := written
	const rows = 300
	for range rows {
		add(t, j, sized())
	}
	count()
	// One event touches a page or two of the log, and its share of a page in the WAL
	// and in the database, at the worst a page of rows and one of the index each.
	least, most := int64(rows*(4096+2*600)), int64(rows*(2+4)*4096)
	first := written - start
	if first < least || first > most {
		t.Errorf("%d bytes for %d events, %d to %d were expected", first, rows, least, most)
	}
	if count(); written-start != first {
		t.Errorf("%d bytes were written by nothing", written-start-first)
	}
	for range rows {
		add(t, j, sized())
	}
	count()
	if second := written - start - first; second < first/2 || second > first*2 {
		t.Errorf("%d bytes, then %d", first, second)
	}
}
