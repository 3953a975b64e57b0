package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/buffer/journal"
	"boothd/cmd/boothhq/internal/receiver"
)

// thinning is what a booth gives up, and how it tells (agent/outbox.go).
func thinning(name string) journal.Thin {
	return journal.Thin{Classes: []string{string(contract.ClassRead)}, Event: func(n journal.Thinning) journal.Entry {
		e := entryOf(name, contract.Thinned{From: n.From, To: n.To, Count: n.Count, Gone: n.Gone})
		e.Alert = true
		return e
	}}
}

func entryOf(name string, d contract.Data) journal.Entry {
	now := time.Now().UTC()
	return journal.Entry{Class: string(d.Type().Class()), Alert: d.Type().Alert(), At: now, Build: func(at journal.Stamp) ([]byte, error) {
		return contract.Encode(contract.Stamp(at), contract.Head{Booth: name, Time: now}, d)
	}}
}

// flood stores vehicles of n reads each, one by one: nothing is refused.
func (s *stand) flood(t *testing.T, vehicles, n int) {
	t.Helper()
	for range vehicles {
		now := time.Now().UTC()
		entries := []journal.Entry{entryOf(s.name, contract.CrossingEnded{Passage: epoch, Revisions: 1, Outcome: "PRIMARY", End: "cleared", StartedAt: now, EndedAt: now})}
		for range n {
			entries = append(entries, entryOf(s.name, contract.PlateRead{Device: "front"}))
		}
		for _, e := range entries {
			if _, err := s.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// settled waits until the booth has a receipt for all that it keeps.
func (s *stand) settled(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); s.waiting() > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d wait, %+v", s.waiting(), s.Last(), s.link.Status())
		}
	}
}

// reaches waits until everything up to a number is in a database or given up.
func reaches(t *testing.T, db string, last uint64) {
	t.Helper()
	r, err := receiver.OpenReport(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		all, err := r.Standings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if all[0].Upto == last {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, want up to %d", all[0], last)
		}
	}
}

// I4: a booth that was full twice while headquarters was away, once with a broker
// that took everything for nobody, gets its receipt up to the last number in the
// end; headquarters has every crossing, misses nothing and knows what was given
// up, also on the database of yesterday.
func TestI4_WhatWasThinnedIsNotMissing(t *testing.T) {
	t.Parallel()
	const vehicles, reads, rows = 60, 12, 300
	m := newMosquitto(t)
	dir := t.TempDir()
	db := filepath.Join(dir, "events.db")
	s := newStandWith(t, journal.Config{MaxRows: rows, Thin: thinning(booth)}, booth, m.ca.client(t, booth), m.url)
	check := func(hq *headquarters, crossings int) (thinned uint64) {
		t.Helper()
		hq.stop()
		sum := hq.report()
		e := sum.Booths[0].Epochs[0]
		if sum.Missing != 0 || e.Upto != s.Last() || e.Last != s.Last() || e.Types[string(contract.TypeCrossingEnded)] != int64(crossings) ||
			uint64(e.Events)+e.Thinned != s.Last() || e.Thinned == 0 || e.Types[string(contract.TypeThinned)] == 0 {
			t.Errorf("%d of %d crossings, last %d: %+v", e.Types[string(contract.TypeCrossingEnded)], crossings, s.Last(), e)
		}
		return e.Thinned
	}

	s.flood(t, vehicles, reads)
	hq := startReceiver(t, m, db)
	s.settled(t)
	first := check(hq, vehicles)
	yesterday, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}

	s.flood(t, vehicles, reads)
	hq = startReceiver(t, m, db)
	s.settled(t)
	if second := check(hq, 2*vehicles); second <= first {
		t.Errorf("%d given up, then %d", first, second)
	}

	db = filepath.Join(dir, "yesterday.db")
	if err := os.WriteFile(db, yesterday, 0o600); err != nil {
		t.Fatal(err)
	}
	hq = startReceiver(t, m, db)
	s.flood(t, 1, 0) // by this headquarters learns what it lacks
	s.settled(t)
	reaches(t, db, s.Last())
	check(hq, 2*vehicles+1)
}
