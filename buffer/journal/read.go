package journal

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"boothd/buffer/internal/sqlite"
)

// rangePage is how many rows are read at once: a long read would hold up the
// checkpoints. A range begins with one row and takes rangeMore times as many each
// time, for there are readers who want only the first of it.
const rangePage, rangeMore = 256, 4

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

// source is where rows are read: the database, and behind it the redo log.
type source struct {
	db   *sqlite.DB
	mark string // SQL of the number up to which all is receipted
	// ahead tells where the database ends, at least, and what is behind that.
	ahead func(context.Context) (folded uint64, rows []stored, err error)
}

// Reader reads a journal, also while another process writes it, and one that
// was killed before its database had what is in its log.
type Reader struct {
	db     *sqlite.DB
	source source
}

// OpenReader opens the journal at path for reading only.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	db, err := sqlite.Open(ctx, path, sqlite.Options{ReadOnly: true, Migrations: schema})
	if err != nil {
		return nil, fmt.Errorf("reading journal: %w", err)
	}
	mark, err := markOf(ctx, db)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading journal: %w", err), db.Close())
	}
	r := &Reader{db: db}
	r.source = source{db, mark, func(ctx context.Context) (uint64, []stored, error) { return r.ahead(ctx, path) }}
	return r, nil
}

// markOf is how a file of any version tells its mark: older ones have none.
func markOf(ctx context.Context, db *sqlite.DB) (string, error) {
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'mark'").Scan(&tables); err != nil {
		return "", err
	}
	if tables == 0 {
		return "0", nil
	}
	return mark, nil
}

// ahead reads the redo log, and then where the database ends: what went from one
// to the other meanwhile is in the database.
func (r *Reader) ahead(ctx context.Context, path string) (folded uint64, rows []stored, err error) {
	epoch, err := r.Epoch(ctx)
	if err == nil {
		rows, err = readRedo(redoPath(path), epoch)
	}
	if err != nil {
		return 0, nil, err
	}
	var newest []byte
	err = r.db.QueryRowContext(ctx, "SELECT seq, body FROM event ORDER BY seq DESC LIMIT 1").Scan(&folded, &newest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, nil, fmt.Errorf("reading journal's end: %w", err)
	}
	for len(rows) > 0 && rows[0].Seq <= folded {
		if rows[0].Seq == folded && !bytes.Equal(rows[0].body, newest) {
			return folded, nil, nil // never acknowledged, see newFront
		}
		rows = rows[1:]
	}
	next := folded + 1
	for i, r := range rows {
		if r.Seq != next { // its owner went on meanwhile; or an older database was put here: opening it for writing says so
			return folded, rows[:i], nil
		}
		next++
	}
	return folded, rows, nil
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
	return r.source.each(ctx, from, to)
}

// ByID finds the row with an event's id; ok tells whether there is one.
func (r *Reader) ByID(ctx context.Context, id string) (rec Record, ok bool, err error) {
	_, fresh, err := r.source.ahead(ctx)
	if err != nil {
		return Record{}, false, err
	}
	for _, s := range fresh {
		if s.ID == id {
			return s.record(), true, nil
		}
	}
	rows, err := r.source.query(ctx, "WHERE id = ? LIMIT 1", id)
	if err != nil || len(rows) == 0 {
		return Record{}, false, err
	}
	return rows[0], true, nil
}

// Verify checks the chain of rows from..to.
func (r *Reader) Verify(ctx context.Context, from, to uint64) (Verified, error) {
	return r.source.verify(ctx, from, to)
}

// Count tells what the journal holds.
func (r *Reader) Count(ctx context.Context) (Stats, error) {
	_, fresh, err := r.source.ahead(ctx)
	if err != nil {
		return Stats{}, err
	}
	var s Stats
	var oldest int64
	waits := "state = 0 AND seq > " + r.source.mark
	err = r.db.QueryRowContext(ctx, `SELECT coalesce((SELECT max(seq) FROM event), 0),
		(SELECT count(*) FROM event WHERE alert = 0 AND `+waits+`), (SELECT count(*) FROM event WHERE alert = 1 AND `+waits+`),
		(SELECT count(*) FROM event WHERE state = 2), coalesce((SELECT at FROM event WHERE alert = 0 AND `+waits+` ORDER BY seq LIMIT 1), 0),
		(SELECT (p.page_count - f.freelist_count) * z.page_size FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size z)`).
		Scan(&s.Last, &s.Waiting, &s.Alerts, &s.Quarantined, &oldest, &s.Bytes)
	if err != nil {
		return Stats{}, fmt.Errorf("counting journal: %w", err)
	}
	if oldest != 0 {
		s.Oldest = sqlite.Time(oldest)
	}
	for _, r := range fresh {
		if r.Seq > s.Last { // it may have been taken over meanwhile
			s.Last = r.Seq
			s.count(r)
		}
	}
	return s, nil
}

// Holds tells how long the journal lasts without receipts, as Stats has it of an
// open one. The file does not say what it is given: MaxBytes and MaxRows are
// its owner's; without them the disk alone bounds it. 0: not known.
func (r *Reader) Holds(ctx context.Context, cfg Config) (time.Duration, error) {
	cfg.Path = r.db.Path()
	stats, err := r.Count(ctx)
	if err != nil {
		return 0, err
	}
	p := pace{ask: func(query string, args ...driver.Value) (n int64, err error) {
		err = r.db.Each(ctx, func(v []driver.Value) error { n, _ = v[0].(int64); return nil }, query, args...)
		return n, err
	}}
	holds, err := p.read(cfg, stats)
	if err != nil {
		return 0, fmt.Errorf("reading how fast the journal fills: %w", err)
	}
	return holds, nil
}

// Pending reads rows that wait for headquarters: of each its number, class and
// body, which is what goes there, and whether it is an alert.
func (j *Journal) Pending(ctx context.Context, q Query) ([]Record, error) {
	folded, fresh, err := j.source.ahead(ctx)
	if err != nil {
		return nil, err
	}
	from, to := max(q.After, j.front.mark())+1, uint64(math.MaxInt64)
	switch live := j.liveFrom.Load(); q.Lane {
	case Live:
		from = max(from, live)
	case Backlog:
		to = live - 1
	}
	alert := q.Lane == Alerts
	rows := make([]Record, 0, q.Limit)
	err = j.source.db.Each(ctx, func(v []driver.Value) error {
		ok := true
		rows = append(rows, Record{Seq: uint64(column[int64](v[0], &ok)), Class: column[string](v[1], &ok), Alert: alert, Body: column[[]byte](v[2], &ok)})
		if !ok {
			return fmt.Errorf("event %v: %w", v[0], sqlite.ErrCorrupt)
		}
		return nil
	}, "SELECT seq, class, body FROM event WHERE state = 0 AND alert = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
		alert, int64(from), int64(min(to, folded)), int64(q.Limit))
	if err != nil {
		return nil, fmt.Errorf("reading journal: %w", err)
	}
	for _, s := range fresh {
		if len(rows) >= q.Limit {
			break
		}
		if s.Alert == alert && from <= s.Seq && s.Seq <= to {
			rows = append(rows, Record{Seq: s.Seq, Class: s.Class, Alert: alert, Body: s.body})
		}
	}
	return rows, nil
}

// record is a row of the log as one of the database.
func (r stored) record() Record {
	return Record{Seq: r.Seq, ID: r.ID, Class: r.Class, Alert: r.Alert, At: sqlite.Time(sqlite.Micros(r.At)), Prev: r.Prev, Body: r.body}
}

// Range reads rows from..to, whatever their state.
func (j *Journal) Range(ctx context.Context, from, to uint64) iter.Seq2[Record, error] {
	return j.source.each(ctx, from, to)
}

// Verify checks the chain of rows from..to.
func (j *Journal) Verify(ctx context.Context, from, to uint64) (Verified, error) {
	return j.source.verify(ctx, from, to)
}

// Since finds the first row stored at or after t, by halving: times in a
// journal run forwards but for steps of the clock. It is one above the last if
// there is none.
func (j *Journal) Since(ctx context.Context, t time.Time) (uint64, error) {
	folded, fresh, err := j.source.ahead(ctx)
	if err != nil {
		return 0, err
	}
	low, high := uint64(1), folded+1
	for low < high {
		mid := low + (high-low)/2
		var at int64
		err := j.source.db.QueryRowContext(ctx, "SELECT at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", int64(mid)).Scan(&at)
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
	for _, r := range fresh {
		if low == r.Seq && sqlite.Micros(r.At) < sqlite.Micros(t) {
			low++
		}
	}
	return low, nil
}

// query reads rows. One that is receipted by the mark is told as such.
func (s source) query(ctx context.Context, where string, args ...driver.Value) (out []Record, err error) {
	err = s.db.Each(ctx, func(v []driver.Value) error {
		r, err := record(v)
		out = append(out, r)
		return err
	}, "SELECT seq, id, at, class, alert, CASE WHEN state = 0 AND seq <= "+s.mark+" THEN 1 ELSE state END, reason, prev, body FROM event "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading journal: %w", err)
	}
	return out, nil
}

// record makes a row of its columns. The table is strict: other types are those
// of a broken file.
func record(v []driver.Value) (Record, error) {
	ok := true
	r := Record{Seq: uint64(column[int64](v[0], &ok)), ID: column[string](v[1], &ok), At: sqlite.Time(column[int64](v[2], &ok)),
		Class: column[string](v[3], &ok), Alert: column[int64](v[4], &ok) != 0, State: State(column[int64](v[5], &ok)),
		Reason: column[string](v[6], &ok), Body: column[[]byte](v[8], &ok)}
	copy(r.Prev[:], column[[]byte](v[7], &ok))
	if !ok {
		return Record{}, fmt.Errorf("event %v: %w", v[0], sqlite.ErrCorrupt)
	}
	return r, nil
}

func column[T any](v driver.Value, ok *bool) T {
	t, is := v.(T)
	*ok = *ok && is
	return t
}

// each reads rows from..to as they are when it begins.
func (s source) each(ctx context.Context, from, to uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		folded, fresh, err := s.ahead(ctx)
		if err != nil {
			yield(Record{}, err)
			return
		}
		for more, page := true, 1; more && from <= min(to, folded); page = min(page*rangeMore, rangePage) {
			rows, err := s.query(ctx, "WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?", int64(from), int64(min(to, folded)), int64(page))
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
			more = len(rows) == page
		}
		for _, r := range fresh {
			if from <= r.Seq && r.Seq <= to && !yield(r.record(), nil) {
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
func (s source) verify(ctx context.Context, from, to uint64) (v Verified, err error) {
	var before Record
	for r, err := range s.each(ctx, from, to) {
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
	if v.Thinned, err = thinnings(ctx, s.db, from, to); err != nil {
		return v, fmt.Errorf("reading tombstones: %w", err)
	}
	return v, nil
}
