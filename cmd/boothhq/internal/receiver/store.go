package receiver

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"boothd/agent/contract"
)

// Bounds of a receipt; the rest follows with the next one.
const (
	mostRanges  = 500
	mostRejects = 50
	mostKept    = contract.MaxEvent // bytes kept of a refused event
)

// storeError is a database that fails: receiving cannot go on.
type storeError struct{ err error }

func (e *storeError) Error() string { return "database: " + e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// Store keeps events. One goroutine owns it; another process may read the same
// file (OpenReport).
type Store struct {
	db     *sql.DB
	epochs map[epochKey]*epoch
	latest map[string]*epoch // by booth: the one heard last
}

type epochKey struct{ booth, name string }

// epoch is one life of one booth's journal.
type epoch struct {
	id    int64
	name  string
	marks marks
}

// Open opens or makes the database. Every commit is on disk when it returns.
func Open(ctx context.Context, path string) (*Store, error) {
	db, err := openDatabase(ctx, path, true)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, epochs: make(map[epochKey]*epoch), latest: make(map[string]*epoch)}
	if err := s.load(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return s, nil
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// load reads every epoch's marks.
func (s *Store) load(ctx context.Context) error {
	es, err := readEpochs(ctx, s.db)
	if err != nil {
		return err
	}
	for _, e := range es { // in order of heard_at
		kept := &epoch{id: e.id, name: e.name, marks: e.marks}
		s.epochs[epochKey{e.booth, e.name}] = kept
		s.latest[e.booth] = kept
	}
	return nil
}

// Delivery is one message on an event topic.
type Delivery struct {
	Topic string
	Body  []byte
	At    time.Time // of arrival
	Kept  bool      // Add sets it: this one was new
}

// Heard is what a batch brought from one booth.
type Heard struct{ Stored, Again, Refused, Conflicts int }

// Add keeps a batch in one transaction. When it returns without error all of
// it is on disk, and Kept stands on those that were new. Delivering again
// changes nothing but a counter.
func (s *Store) Add(ctx context.Context, ds []Delivery) (map[string]Heard, error) {
	if len(ds) == 0 {
		return nil, nil
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, &storeError{err}
	}
	defer tx.Rollback()
	b := &batchTx{ctx: ctx, tx: tx, store: s, heard: make(map[string]Heard), added: make(map[*epoch][]uint64), fresh: make(map[epochKey]*epoch)}
	for i := range ds {
		if err := b.add(&ds[i]); err != nil {
			return nil, &storeError{err}
		}
	}
	if err := b.finish(ds[len(ds)-1].At); err != nil {
		return nil, &storeError{err}
	}
	if err := tx.Commit(); err != nil {
		return nil, &storeError{err}
	}
	// Only what is committed counts as had.
	for key, e := range b.fresh {
		s.epochs[key] = e
	}
	for e, seqs := range b.added {
		for _, seq := range seqs {
			e.marks.add(seq)
		}
	}
	for booth, e := range b.last {
		s.latest[booth] = e
	}
	return b.heard, nil
}

// batchTx is one transaction at work.
type batchTx struct {
	ctx   context.Context
	tx    *sql.Tx
	store *Store
	heard map[string]Heard
	added map[*epoch][]uint64
	fresh map[epochKey]*epoch
	last  map[string]*epoch
}

// judged is what one delivery turned out to be. Without Epoch and Seq it can
// be neither kept nor refused, only counted.
type judged struct {
	booth string
	event contract.Event
	alert *contract.LookoutAlert // of an alert, for the watch desk
	epoch string
	seq   uint64
	code  string // why it is refused; "" if it is good
	msg   string
}

// judge weighs a delivery; it touches nothing.
func judge(d Delivery) judged {
	booth, class, err := contract.EventSource(d.Topic)
	if err != nil {
		return judged{code: "topic", msg: err.Error()}
	}
	j := judged{booth: booth}
	j.event, err = contract.Decode(d.Body)
	if err != nil {
		// Enough may be left of it to tell the booth which one it was.
		var torn struct {
			Epoch string `json:"boothepoch"`
			Seq   uint64 `json:"boothseq"`
		}
		if len(d.Body) <= contract.MaxPacket && json.Unmarshal(d.Body, &torn) == nil && len(torn.Epoch) <= 64 && torn.Seq < 1<<63 {
			j.epoch, j.seq = torn.Epoch, torn.Seq
		}
		j.code, j.msg = "schema", err.Error()
		if errors.Is(err, contract.ErrTooBig) {
			j.code = "size"
		}
		return j
	}
	j.epoch, j.seq = j.event.Epoch, j.event.Seq
	switch known := j.event.Type.Class(); {
	case j.event.Booth != booth:
		j.code, j.msg = "source", "source is not the topic's booth"
	case known != "" && known != class:
		j.code, j.msg = "class", "type does not belong on this topic"
	case j.event.Type == contract.TypeLookoutAlert:
		alert, err := contract.As[contract.LookoutAlert](j.event)
		if err != nil {
			j.code, j.msg = "schema", err.Error()
			break
		}
		j.alert = &alert
	}
	return j // a type we do not know yet is kept: every event is a fact
}

func (b *batchTx) add(d *Delivery) error {
	j := judge(*d)
	if j.booth == "" {
		return nil // outside the subscription: not ours
	}
	h := b.heard[j.booth]
	defer func() { b.heard[j.booth] = h }()
	if j.epoch == "" || j.seq == 0 {
		h.Refused++
		return nil
	}
	e, err := b.epochOf(j.booth, j.epoch)
	if err != nil {
		return err
	}
	if j.code != "" {
		h.Refused++
		return b.refuse(e, j, *d)
	}
	res, err := b.tx.ExecContext(b.ctx, `INSERT INTO event (epoch, seq, id, type, class, at, received_at, live, simulated, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (epoch, seq) DO NOTHING`,
		e.id, int64(j.seq), j.event.ID, string(j.event.Type), classOf(d.Topic), j.event.Time.UnixMicro(), d.At.UnixMicro(),
		j.event.Live, j.event.Simulated, d.Body)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 1 {
		h.Stored++
		d.Kept = true
		b.added[e] = append(b.added[e], j.seq)
		if j.alert != nil {
			if err := openHits(b.ctx, b.tx, j.booth, j.event, *j.alert, d.At); err != nil {
				return err
			}
		}
		// It may have been refused before and been mended since.
		_, err := b.tx.ExecContext(b.ctx, "DELETE FROM reject WHERE epoch = ? AND seq = ?", e.id, int64(j.seq))
		return err
	}
	return b.again(e, j, *d, &h)
}

// again counts a number that is taken: the same event once more, which is
// harmless, or another one, which is not.
func (b *batchTx) again(e *epoch, j judged, d Delivery, h *Heard) error {
	var body []byte
	if err := b.tx.QueryRowContext(b.ctx, "SELECT body FROM event WHERE epoch = ? AND seq = ?", e.id, int64(j.seq)).Scan(&body); err != nil {
		return err
	}
	column := "again"
	if bytes.Equal(body, d.Body) {
		h.Again++
	} else {
		h.Conflicts++
		column = "conflicts"
	}
	_, err := b.tx.ExecContext(b.ctx, "UPDATE epoch SET "+column+" = "+column+" + 1 WHERE id = ?", e.id)
	return err
}

// refuse keeps what is refused, so that its number is accounted for. Nothing
// that was kept as good is ever refused later.
func (b *batchTx) refuse(e *epoch, j judged, d Delivery) error {
	var good bool
	err := b.tx.QueryRowContext(b.ctx, "SELECT EXISTS (SELECT 1 FROM event WHERE epoch = ? AND seq = ?)", e.id, int64(j.seq)).Scan(&good)
	if err != nil || good {
		return err
	}
	if _, err := b.tx.ExecContext(b.ctx, `INSERT INTO reject (epoch, seq, code, msg, received_at, body) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (epoch, seq) DO NOTHING`, e.id, int64(j.seq), j.code, j.msg, d.At.UnixMicro(), d.Body[:min(len(d.Body), mostKept)]); err != nil {
		return err
	}
	b.added[e] = append(b.added[e], j.seq)
	return nil
}

// epochOf finds or makes the epoch of a booth.
func (b *batchTx) epochOf(booth, name string) (*epoch, error) {
	key := epochKey{booth, name}
	e := b.store.epochs[key]
	if e == nil {
		e = b.fresh[key]
	}
	if e == nil {
		id, err := boothID(b.ctx, b.tx, booth)
		if err != nil {
			return nil, err
		}
		e = &epoch{name: name}
		if err := b.tx.QueryRowContext(b.ctx, "INSERT INTO epoch (booth, name) VALUES (?, ?) RETURNING id", id, name).Scan(&e.id); err != nil {
			return nil, err
		}
		b.fresh[key] = e
	}
	if b.last == nil {
		b.last = make(map[string]*epoch)
	}
	b.last[booth] = e
	return e, nil
}

// finish writes the marks of every epoch the batch touched.
func (b *batchTx) finish(at time.Time) error {
	for _, e := range b.last {
		m := marks{upto: e.marks.upto, have: append([][2]uint64(nil), e.marks.have...)}
		for _, seq := range b.added[e] {
			m.add(seq)
		}
		if _, err := b.tx.ExecContext(b.ctx, "UPDATE epoch SET upto = ?, heard_at = ? WHERE id = ?", int64(m.upto), at.UnixMicro(), e.id); err != nil {
			return err
		}
	}
	return nil
}

func classOf(topic string) string {
	_, class, err := contract.EventSource(topic)
	if err != nil {
		return ""
	}
	return string(class)
}

func boothID(ctx context.Context, tx *sql.Tx, name string) (id int64, err error) {
	err = tx.QueryRowContext(ctx, "INSERT INTO booth (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id", name).Scan(&id)
	return id, err
}

// SetStatus keeps a booth's presence: of several the one with the highest conn
// counts, and within one connection the end comes after the beginning.
func (s *Store) SetStatus(ctx context.Context, booth string, st contract.Status, at time.Time) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO booth (name, status, conn, version, status_at) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (name) DO UPDATE SET status = ?2, conn = ?3, version = ?4, status_at = ?5
		WHERE ?3 > conn OR ?3 = conn AND ?2 <> 'online'`, booth, st.S, int64(st.Conn), st.Version, at.UnixMicro())
	if err != nil {
		return &storeError{err}
	}
	return nil
}

// Booths names every booth with events.
func (s *Store) Booths(context.Context) ([]string, error) {
	names := make([]string, 0, len(s.latest))
	for name := range s.latest {
		names = append(names, name)
	}
	return names, nil
}

// Receipt says what is committed of a booth's latest epoch; ok is false before
// its first event. Rate, Window and At are the caller's.
func (s *Store) Receipt(ctx context.Context, booth string) (r contract.Receipt, ok bool, err error) {
	e := s.latest[booth]
	if e == nil {
		return r, false, nil
	}
	r = contract.Receipt{Epoch: e.name, Upto: e.marks.upto, Have: e.marks.have[:min(len(e.marks.have), mostRanges)], Want: e.marks.holes(mostRanges)}
	rows, err := s.db.QueryContext(ctx, "SELECT seq, code, msg FROM reject WHERE epoch = ? ORDER BY received_at DESC LIMIT ?", e.id, mostRejects)
	if err != nil {
		return r, false, &storeError{err}
	}
	defer rows.Close()
	for rows.Next() {
		var x contract.Reject
		if err := rows.Scan(&x.Seq, &x.Code, &x.Msg); err != nil {
			return r, false, &storeError{err}
		}
		r.Reject = append(r.Reject, x)
	}
	if err := rows.Err(); err != nil {
		return r, false, &storeError{err}
	}
	return r, true, nil
}
