package receiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"boothd/agent/contract"
)

// Report reads a receiver's database beside the running receiver.
type Report struct{ db database }

// OpenReport opens the database, named as for Open, for reading alone. One
// goroutine may use it.
func OpenReport(ctx context.Context, db string) (*Report, error) {
	d, err := opened(ctx, db, false)
	if err != nil {
		return nil, err
	}
	return &Report{d}, nil
}

// Close closes it.
func (r *Report) Close() error { return r.db.close() }

// Summary is all that headquarters knows of its booths, in numbers.
type Summary struct {
	Booths    []Booth `json:"booths"`
	Events    int64   `json:"events"`
	Missing   uint64  `json:"missing"` // sequence numbers below the highest that are not here, and not given up
	Thinned   uint64  `json:"thinned"` // given up by their booths for want of room, each by number
	Doubled   uint64  `json:"doubled"` // events here under two numbers; anything but 0 is a fault
	Conflicts uint64  `json:"conflicts"`
	Rejected  uint64  `json:"rejected"`
}

// Booth is one booth's part of it.
type Booth struct {
	Name    string    `json:"booth"`
	Status  string    `json:"status"` // online, offline, stopping; "" if never heard
	Conn    uint64    `json:"conn"`
	Version string    `json:"v"`
	At      time.Time `json:"at,omitzero"` // of the status
	Epochs  []Epoch   `json:"epochs"`      // the one heard last comes last
}

// Epoch is one life of the booth's journal.
type Epoch struct {
	Epoch     string           `json:"epoch"`
	Upto      uint64           `json:"upto"`
	Last      uint64           `json:"last"`
	Events    int64            `json:"events"`    // kept, each number once
	Distinct  int64            `json:"distinct"`  // of those, by id
	Rejected  uint64           `json:"rejected"`  // kept as refused; the booth has them in quarantine
	Again     int64            `json:"again"`     // harmless repetitions on the wire
	Conflicts uint64           `json:"conflicts"` // other bytes under a taken number
	Missing   uint64           `json:"missing"`
	Thinned   uint64           `json:"thinned"`
	Doubled   uint64           `json:"doubled"`  // Events without Distinct
	Types     map[string]int64 `json:"types"`    // events by type
	Outcomes  map[string]int64 `json:"outcomes"` // passages that ended, by the outcome of their last decision
	Holes     [][2]uint64      `json:"holes"`    // the first 100
	HeardAt   time.Time        `json:"heard_at"`
}

// storedEpoch is one row of epoch with the marks made of its events.
type storedEpoch struct {
	id          int64
	booth, name string
	again       int64
	conflicts   uint64
	heardAt     int64
	beganAt     int64
	thinned     uint64
	explained   uint64 // of what is missing above the mark, given up
	marks       marks
}

// missing counts the holes that nothing explains.
func (e *storedEpoch) missing() uint64 {
	n := e.marks.missing()
	return n - min(n, e.explained)
}

// readEpochs reads every epoch, the one heard last being last, with its marks.
func readEpochs(ctx context.Context, db querier) ([]storedEpoch, error) {
	rows, err := db.query(ctx, `SELECT e.id, b.name, e.name, e.upto, e.again, e.conflicts, e.heard_at, e.began_at, e.thinned
		FROM epoch e JOIN booth b ON b.id = e.booth ORDER BY e.heard_at, e.id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []storedEpoch
	for rows.Next() {
		var e storedEpoch
		if err := rows.Scan(&e.id, &e.booth, &e.name, &e.marks.upto, &e.again, &e.conflicts, &e.heardAt, &e.beganAt, &e.thinned); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows.Close() // one connection: the next query needs it
	index := make(map[int64]*storedEpoch, len(out))
	for i := range out {
		index[out[i].id] = &out[i]
	}
	if err := readIslands(ctx, db, index); err != nil {
		return nil, err
	}
	return out, readGone(ctx, db, index)
}

// readIslands reads the ranges above the marks.
func readIslands(ctx context.Context, db querier, index map[int64]*storedEpoch) error {
	rows, err := db.query(ctx, db.islands())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var epoch int64
		var r [2]uint64
		if err := rows.Scan(&epoch, &r[0], &r[1]); err != nil {
			return err
		}
		if e := index[epoch]; e != nil {
			e.marks.have = append(e.marks.have, r)
		}
	}
	return rows.Err()
}

// Summary counts. It scans the events: seconds on millions of rows.
func (r *Report) Summary(ctx context.Context) (Summary, error) {
	tx, err := r.db.begin(ctx, false) // one moment for all numbers
	if err != nil {
		return Summary{}, err
	}
	defer tx.rollback()
	s, index, err := readBooths(ctx, tx)
	if err != nil {
		return Summary{}, err
	}
	epochs, err := readEpochs(ctx, tx)
	if err != nil {
		return Summary{}, err
	}
	for _, e := range epochs {
		x := Epoch{
			Epoch: e.name, Upto: e.marks.upto, Last: e.marks.last(), Again: e.again, Conflicts: e.conflicts,
			Holes: [][2]uint64{}, HeardAt: time.UnixMicro(e.heardAt).UTC(),
		}
		holes, err := wanted(ctx, tx, e.id, &e.marks, 100)
		if err != nil {
			return Summary{}, err
		}
		x.Holes = append(x.Holes, holes...)
		if err := count(ctx, tx, e.id, &x); err != nil {
			return Summary{}, err
		}
		// Counted, and not read off the marks that receipts are made of: if these
		// were wrong, a report would be the one to tell.
		x.Missing = x.Last - min(x.Last, uint64(x.Events)+x.Rejected+x.Thinned)
		s.Events += x.Events
		s.Missing += x.Missing
		s.Doubled += x.Doubled
		s.Conflicts += x.Conflicts
		s.Rejected += x.Rejected
		s.Thinned += x.Thinned
		b := &s.Booths[index[e.booth]]
		b.Epochs = append(b.Epochs, x)
	}
	return s, nil
}

// count fills in what the events of an epoch tell.
func count(ctx context.Context, db querier, epoch int64, x *Epoch) error {
	var event, reject uint64 // the highest; the marks may know no better
	err := db.queryRow(ctx, `SELECT count(*), count(DISTINCT id), coalesce(max(seq), 0), (SELECT count(*) FROM reject WHERE epoch = $1),
			(SELECT coalesce(max(seq), 0) FROM reject WHERE epoch = $1), (SELECT count(*) FROM gone WHERE epoch = $1)
		FROM event WHERE epoch = $1`, epoch).Scan(&x.Events, &x.Distinct, &event, &x.Rejected, &reject, &x.Thinned)
	if err != nil {
		return err
	}
	x.Last = max(x.Last, event, reject)
	x.Doubled = uint64(x.Events - x.Distinct)
	if x.Types, err = tally(ctx, db, "SELECT type, count(*) FROM event WHERE epoch = $1 GROUP BY type", epoch); err != nil {
		return err
	}
	x.Outcomes, err = tally(ctx, db, "SELECT "+db.outcome()+", count(*) FROM event WHERE epoch = $1 AND type = $2 GROUP BY 1", epoch, string(contract.TypeCrossingEnded))
	return err
}

// tally reads names with their numbers.
func tally(ctx context.Context, db querier, query string, args ...any) (map[string]int64, error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make(map[string]int64)
	for rows.Next() {
		var name string
		var n int64
		if err := rows.Scan(&name, &n); err != nil {
			return nil, err
		}
		out[name] = n
	}
	return out, rows.Err()
}

func readBooths(ctx context.Context, db querier) (Summary, map[string]int, error) {
	s := Summary{Booths: []Booth{}}
	index := make(map[string]int)
	rows, err := db.query(ctx, "SELECT name, status, conn, version, status_at FROM booth ORDER BY name")
	if err != nil {
		return s, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		b := Booth{Epochs: []Epoch{}}
		var at int64
		if err := rows.Scan(&b.Name, &b.Status, &b.Conn, &b.Version, &at); err != nil {
			return s, nil, err
		}
		if at != 0 {
			b.At = time.UnixMicro(at).UTC()
		}
		index[b.Name] = len(s.Booths)
		s.Booths = append(s.Booths, b)
	}
	return s, index, rows.Err()
}

// Selection says which events are exported.
type Selection struct {
	Booth    string // "" for all
	Epoch    string // "" for all
	From, To uint64 // 0 for no bound
}

// ErrUnknown is a booth or epoch headquarters has nothing of.
var ErrUnknown = errors.New("nothing of it here")

// WriteLine writes an event as its exact bytes and a line feed. One that holds
// line feeds, which no booth of ours sends, is made compact: what came from one
// booth must not read as a line of another.
func WriteLine(w io.Writer, body []byte) error {
	if bytes.ContainsAny(body, "\r\n") {
		compact := jsontext.Value(bytes.Clone(body))
		if err := compact.Compact(); err != nil {
			return fmt.Errorf("writing an event: %w", err)
		}
		body = compact
	}
	_, err := w.Write(append(body[:len(body):len(body)], '\n'))
	return err
}

// Export writes events, each with WriteLine, in order of sequence within each
// epoch.
func (r *Report) Export(ctx context.Context, w io.Writer, sel Selection) (n int64, err error) {
	to := sel.To
	if to == 0 {
		to = 1<<63 - 1
	}
	rows, err := r.db.query(ctx, `SELECT v.body FROM event v JOIN epoch e ON e.id = v.epoch JOIN booth b ON b.id = e.booth
		WHERE ($1 = '' OR b.name = $1) AND ($2 = '' OR e.name = $2) AND v.seq BETWEEN $3 AND $4
		ORDER BY b.name, e.id, v.seq`, sel.Booth, sel.Epoch, int64(sel.From), int64(to))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return n, err
		}
		if err := WriteLine(w, body); err != nil {
			return n, err
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return n, err
	}
	if n == 0 && (sel.Booth != "" || sel.Epoch != "") {
		return 0, fmt.Errorf("exporting %s %s: %w", sel.Booth, sel.Epoch, ErrUnknown)
	}
	return n, nil
}
