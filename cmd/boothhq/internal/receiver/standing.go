package receiver

import (
	"context"
	"time"
)

// Standing is what headquarters knows of one booth without counting its events.
type Standing struct {
	Booth    string
	Status   string // online, offline, stopping; "" if never heard
	Conn     uint64
	Version  string
	StatusAt time.Time // when we heard it

	// Of the epoch heard last; the zero values before the first event.
	Epoch   string
	Upto    uint64
	Last    uint64
	HeardAt time.Time

	Falls    Falls
	Journals Journals

	// Of all epochs.
	Missing   uint64 // sequence numbers below the highest that are not here, and not given up
	Thinned   uint64 // given up by the booth for want of room
	Rejected  uint64
	Again     int64
	Conflicts uint64

	State map[string]State // by kind: info, health, lists
}

// Falls is how often a booth's connection number came lower than the one before
// it, of another boot: once if its counter was lost, in turn if two boxes have one
// name.
type Falls struct {
	Conn       uint64    // that came last
	Count      uint64    // in all
	At, Before time.Time // the last fall, and the one before it; zero: none
}

// Journals are the epochs that a booth's events have come of.
type Journals struct {
	Count   int
	BeganAt time.Time // of the newest: its first event came in
	HeardAt time.Time // of the newest: its latest
	Other   time.Time // when one of the others was heard last; zero: there is none
}

// Standings tells of every booth, by name. It reads no events, so that a page
// may ask every few seconds.
func (r *Report) Standings(ctx context.Context) ([]Standing, error) {
	tx, err := r.db.begin(ctx, false) // one moment for all numbers
	if err != nil {
		return nil, err
	}
	defer tx.rollback()
	s, index, err := readBooths(ctx, tx)
	if err != nil {
		return nil, err
	}
	out := make([]Standing, len(s.Booths))
	for i, b := range s.Booths {
		out[i] = Standing{Booth: b.Name, Status: b.Status, Conn: b.Conn, Version: b.Version, StatusAt: b.At, State: make(map[string]State)}
	}
	epochs, err := readEpochs(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, e := range epochs { // the one heard last comes last
		x := &out[index[e.booth]]
		x.Epoch, x.Upto, x.Last, x.HeardAt = e.name, e.marks.upto, e.marks.last(), time.UnixMicro(e.heardAt).UTC()
		x.Journals = x.Journals.with(e)
		x.Missing += e.missing()
		x.Thinned += e.thinned
		x.Again += e.again
		x.Conflicts += e.conflicts
	}
	if err := readRefused(ctx, tx, index, out); err != nil {
		return nil, err
	}
	if err := readPresence(ctx, tx, index, out); err != nil {
		return nil, err
	}
	return out, readStates(ctx, tx, index, out)
}

// with adds an epoch.
func (j Journals) with(e storedEpoch) Journals {
	began, heard := moment(e.beganAt), moment(e.heardAt)
	other := heard
	if j.Count++; j.Count == 1 || began.After(j.BeganAt) {
		other, j.BeganAt, j.HeardAt = j.HeardAt, began, heard
	}
	if other.After(j.Other) {
		j.Other = other
	}
	return j
}

// moment is a time of the database; 0 is none.
func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func readRefused(ctx context.Context, db querier, index map[string]int, out []Standing) error {
	rows, err := db.query(ctx, "SELECT b.name, count(*) FROM reject r JOIN epoch e ON e.id = r.epoch JOIN booth b ON b.id = e.booth GROUP BY b.name")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var booth string
		var n uint64
		if err := rows.Scan(&booth, &n); err != nil {
			return err
		}
		out[index[booth]].Rejected = n
	}
	return rows.Err()
}

func readStates(ctx context.Context, db querier, index map[string]int, out []Standing) error {
	rows, err := db.query(ctx, "SELECT b.name, s.kind, s.body, s.at FROM state s JOIN booth b ON b.id = s.booth")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var booth, kind string
		var s State
		var at int64
		if err := rows.Scan(&booth, &kind, &s.Body, &at); err != nil {
			return err
		}
		s.At = time.UnixMicro(at).UTC()
		out[index[booth]].State[kind] = s
	}
	return rows.Err()
}
