package agent

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/token"
	"boothd/buffer/journal"
	"boothd/configs"
)

// smallOutbox keeps no more than so many events without receipt.
func smallOutbox(t *testing.T, rows int) *outbox {
	t.Helper()
	o := newOutbox(slog.New(slog.DiscardHandler), &configs.Config{Store: configs.Store{Dir: configs.Path(t.TempDir()), MaxRows: rows}}, contract.Head{Booth: testBooth})
	o.stamp = func(time.Time) contract.Clock { return contract.Clock{Boot: "boot", Quality: "synced"} }
	if err := o.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.close)
	return o
}

// what is in an outbox by type, and the numbers that its tombstones give up.
func (o *outbox) holds(t *testing.T) (by map[contract.Type]int, gone map[uint64]bool) {
	t.Helper()
	by, gone = make(map[contract.Type]int), make(map[uint64]bool)
	for r, err := range o.journal.Load().Range(t.Context(), 1, math.MaxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := contract.Decode(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		by[e.Type]++
		if e.Type != contract.TypeThinned {
			continue
		}
		d, err := contract.As[contract.Thinned](e)
		numbers, err2 := d.Numbers()
		if err != nil || err2 != nil || d.To >= e.Seq || d.Clock.Quality != "synced" || !r.Alert {
			t.Errorf("tombstone %d: %+v, %v, %v", e.Seq, d, err, err2)
		}
		for _, n := range numbers {
			for seq := n[0]; seq <= n[1]; seq++ {
				if gone[seq] {
					t.Errorf("%d is given up twice", seq)
				}
				gone[seq] = true
			}
		}
	}
	return by, gone
}

// Cameras that flood a booth without headquarters take no crossing's room: reads
// give way, each accounted for, and what is evidence of the signals is kept.
func TestI4_ReadsAreThinnedAndCrossingsAreNot(t *testing.T) {
	const rows = 300
	o := smallOutbox(t, rows)
	p := &posted{log: o.log, store: o.store, key: func(time.Time) *token.Key { return nil }, stamp: o.stamp}
	stored, at := 0, time.Now()
	for n := range 5 * rows {
		if err := p.keep(t.Context(), plateRead("ABC123"), true); err != nil && !errors.Is(err, errPace) {
			t.Fatal(err)
		}
		p.paid = time.Time{} // a camera that keeps the pace, for as long as it takes
		if n%10 > 0 || stored >= rows/2 {
			continue
		}
		for _, d := range []contract.Data{contract.CrossingEnded{Passage: "01931f0c-8a51-7000-8000-000000000001", Outcome: "PRIMARY", End: "cleared", StartedAt: at, EndedAt: at},
			contract.SignalFault{Head: "all", Lamp: "all", Fault: "write", Clock: o.stamp(at)}} {
			if _, err := o.store(t.Context(), at, d); err != nil {
				t.Fatalf("after %d: %v", stored, err)
			}
			stored++
		}
	}
	by, gone := o.holds(t)
	if by[contract.TypeCrossingEnded] != stored/2 || by[contract.TypeSignalFault] != stored/2 || by[contract.TypeThinned] == 0 {
		t.Errorf("%v of %d crossings and faults", by, stored)
	}
	n := 0
	for _, m := range by {
		n += m
	}
	j := o.journal.Load()
	if last := j.Last(); n > rows || uint64(n+len(gone)) != last {
		t.Errorf("%d events are kept of at most %d and %d given up, the last is %d", n, rows, len(gone), last)
	}
	if pending, err := j.Pending(context.Background(), journal.Query{Lane: journal.Alerts, Limit: 1}); err != nil || len(pending) != 1 || pending[0].Class != string(contract.ClassAudit) {
		t.Errorf("%v, %v overtake, want a tombstone", pending, err)
	}
}

// The configuration's limits are the journal's.
func TestOutboxLimits(t *testing.T) {
	dir := t.TempDir()
	o := newOutbox(slog.New(slog.DiscardHandler), &configs.Config{Store: configs.Store{Dir: configs.Path(dir), MaxBytes: configs.Size{Bytes: 1 << 26}, MaxRows: 20_000,
		Retain: configs.Duration{Duration: time.Hour}}}, contract.Head{})
	if c := o.cfg; c.MaxBytes != 1<<26 || c.MaxRows != 20_000 || c.Retain != time.Hour || c.Path != filepath.Join(dir, "journal.db") || c.Thin.After != 0 {
		t.Errorf("%+v", c)
	}
}
