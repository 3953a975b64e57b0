package journal

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"boothd/buffer/internal/sqlite"
)

// rangePage is how many rows are read at once: a long read would hold up the
// checkpoints.
const rangePage = 256

// Lane is which rows that wait a query is for.
type Lane uint8

// Lanes, the most urgent first.
const (
	Alerts  Lane = iota
	Live         // stored since the link stands
	Backlog      // stored before
)

// Query asks for rows that wait, in order of Seq.
type Query struct {
	Lane  Lane
	After uint64 // only larger ones
	Limit int
}

// State is how far a row has come.
type State uint8

// States of a row.
const (
	Waiting     State = stateWaiting
	Receipted   State = stateReceipted
	Quarantined State = stateQuarantined
)

// Record is a stored row.
type Record struct {
	Seq    uint64
	ID     string
	Class  string
	Alert  bool
	At     time.Time
	State  State
	Reason string // of a quarantine
	Prev   [16]byte
	Body   []byte // exactly as built
}

// Reader reads a journal, also while another process writes it.
type Reader struct{ db *sqlite.DB }

// OpenReader opens the journal at path for reading only.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	db, err := sqlite.Open(ctx, path, sqlite.Options{ReadOnly: true, Migrations: schema})
	if err != nil {
		return nil, fmt.Errorf("reading journal: %w", err)
	}
	return &Reader{db}, nil
}

// Close closes the reader.
func (r *Reader) Close() error { return r.db.Close() }

// Epoch names the journal's life.
func (r *Reader) Epoch(ctx context.Context) (epoch string, err error) {
	err = r.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'epoch'").Scan(&epoch)
	if err != nil {
		err = fmt.Errorf("reading journal's epoch: %w", err)
	}
	return epoch, err
}

// Range reads rows from..to, whatever their state.
func (r *Reader) Range(ctx context.Context, from, to uint64) iter.Seq2[Record, error] {
	return readRange(ctx, r.db, from, to)
}

// ByID finds the row with an event's id; ok tells whether there is one.
func (r *Reader) ByID(ctx context.Context, id string) (rec Record, ok bool, err error) {
	rows, err := query(ctx, r.db, "WHERE id = ? LIMIT 1", id)
	if err != nil || len(rows) == 0 {
		return Record{}, false, err
	}
	return rows[0], true, nil
}

// Verify checks the chain of rows from..to.
func (r *Reader) Verify(ctx context.Context, from, to uint64) (Verified, error) {
	return verify(ctx, r.db, from, to)
}

// Count tells what the journal holds.
func (r *Reader) Count(ctx context.Context) (Stats, error) {
	var s Stats
	var oldest int64
	err := r.db.QueryRowContext(ctx, `SELECT coalesce((SELECT max(seq) FROM event), 0),
		(SELECT count(*) FROM event WHERE state = 0 AND alert = 0), (SELECT count(*) FROM event WHERE state = 0 AND alert = 1),
		(SELECT count(*) FROM event WHERE state = 2), coalesce((SELECT at FROM event WHERE state = 0 AND alert = 0 ORDER BY seq LIMIT 1), 0),
		(SELECT (p.page_count - f.freelist_count) * z.page_size FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size z)`).
		Scan(&s.Last, &s.Waiting, &s.Alerts, &s.Quarantined, &oldest, &s.Bytes)
	if err != nil {
		return Stats{}, fmt.Errorf("counting journal: %w", err)
	}
	if oldest != 0 {
		s.Oldest = sqlite.Time(oldest)
	}
	return s, nil
}

// Pending reads rows that wait for headquarters.
func (j *Journal) Pending(ctx context.Context, q Query) ([]Record, error) {
	live := int64(j.liveFrom.Load())
	after, limit := int64(q.After), int64(q.Limit)
	switch q.Lane {
	case Alerts:
		return query(ctx, j.read, "WHERE state = 0 AND alert = 1 AND seq > ? ORDER BY seq LIMIT ?", after, limit)
	case Live:
		return query(ctx, j.read, "WHERE state = 0 AND alert = 0 AND seq > ? ORDER BY seq LIMIT ?", max(after, live-1), limit)
	}
	return query(ctx, j.read, "WHERE state = 0 AND alert = 0 AND seq > ? AND seq < ? ORDER BY seq LIMIT ?", after, live, limit)
}

// Range reads rows from..to, whatever their state.
func (j *Journal) Range(ctx context.Context, from, to uint64) iter.Seq2[Record, error] {
	return readRange(ctx, j.read, from, to)
}

// Verify checks the chain of rows from..to.
func (j *Journal) Verify(ctx context.Context, from, to uint64) (Verified, error) {
	return verify(ctx, j.read, from, to)
}

// Since finds the first row stored at or after t, by halving: times in a
// journal run forwards but for steps of the clock. It is one above the last if
// there is none.
func (j *Journal) Since(ctx context.Context, t time.Time) (uint64, error) {
	low, high := uint64(1), j.last.Load()+1
	for low < high {
		mid := low + (high-low)/2
		var at int64
		err := j.read.QueryRowContext(ctx, "SELECT at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", int64(mid)).Scan(&at)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			high = mid
			continue
		case err != nil:
			return 0, fmt.Errorf("looking for a time in the journal: %w", err)
		}
		if at >= sqlite.Micros(t) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low, nil
}

func query(ctx context.Context, db *sqlite.DB, where string, args ...any) (out []Record, err error) {
	rows, err := db.QueryContext(ctx, "SELECT seq, id, at, class, alert, state, reason, prev, body FROM event "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading journal: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r Record
		var at int64
		var prev []byte
		if err := rows.Scan(&r.Seq, &r.ID, &at, &r.Class, &r.Alert, &r.State, &r.Reason, &prev, &r.Body); err != nil {
			return nil, fmt.Errorf("reading journal: %w", err)
		}
		r.At = sqlite.Time(at)
		copy(r.Prev[:], prev)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading journal: %w", err)
	}
	return out, nil
}

func readRange(ctx context.Context, db *sqlite.DB, from, to uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for from <= to {
			rows, err := query(ctx, db, "WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?", int64(from), int64(min(to, 1<<62)), rangePage)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
				from = r.Seq + 1
			}
			if len(rows) < rangePage {
				return
			}
		}
	}
}

// ErrChain says that a body is not the one that its successor was chained to.
var ErrChain = errors.New("journal's chain is broken")

// Verified is what a check of the chain found.
type Verified struct {
	Rows        uint64
	First, Last uint64
	Gaps        [][2]uint64 // numbers that are not kept any more, both ends included
	Thinned     []Thinning  // what of the gaps was given up unsent; the rest was receipted
}

// verify walks rows in order. Gaps are where rows were given up, after their
// receipt or by a thinning; the row behind one cannot be checked against the
// row before.
func verify(ctx context.Context, db *sqlite.DB, from, to uint64) (v Verified, err error) {
	var before Record
	for r, err := range readRange(ctx, db, from, to) {
		if err != nil {
			return v, err
		}
		switch {
		case v.Rows == 0:
			v.First = r.Seq
		case r.Seq != before.Seq+1:
			v.Gaps = append(v.Gaps, [2]uint64{before.Seq + 1, r.Seq - 1})
		case r.Prev != link(before.Body):
			return v, fmt.Errorf("%w: event %d is not the one that %d follows", ErrChain, before.Seq, r.Seq)
		}
		if r.Seq == 1 && !bytes.Equal(r.Prev[:], make([]byte, 16)) {
			return v, fmt.Errorf("%w: event 1 has a predecessor", ErrChain)
		}
		v.Rows, v.Last, before = v.Rows+1, r.Seq, r
	}
	if v.Thinned, err = thinnings(ctx, db, from, to); err != nil {
		return v, fmt.Errorf("reading tombstones: %w", err)
	}
	return v, nil
}
