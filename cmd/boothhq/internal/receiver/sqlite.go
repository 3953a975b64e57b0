package receiver

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"boothd/agent/contract"
)

// SQLite keeps events in one file, for one receiver: it is the Store of a site or
// a pilot. Another process may read the same file (OpenReport).
type SQLite struct {
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

// OpenSQLite opens or makes the database. Every commit is on disk when it returns.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	db, err := openDatabase(ctx, path, true)
	if err != nil {
		return nil, err
	}
	s := &SQLite{db: db, epochs: make(map[epochKey]*epoch), latest: make(map[string]*epoch)}
	if err := s.load(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return s, nil
}

// Close closes the database.
func (s *SQLite) Close() error { return s.db.Close() }

// load reads every epoch's marks.
func (s *SQLite) load(ctx context.Context) error {
	es, err := readEpochs(ctx, lite{s.db})
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

// Add keeps a batch.
func (s *SQLite) Add(ctx context.Context, ds []Delivery) (map[string]Heard, error) {
	if len(ds) == 0 {
		return nil, nil
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, &storeError{err: err}
	}
	defer tx.Rollback()
	b := &batchTx{ctx: ctx, tx: tx, store: s, heard: make(map[string]Heard), added: make(map[*epoch][]uint64), fresh: make(map[epochKey]*epoch)}
	for i := range ds {
		if err := b.add(&ds[i]); err != nil {
			return nil, &storeError{err: err}
		}
	}
	if err := b.finish(ds[len(ds)-1].At); err != nil {
		return nil, &storeError{err: err}
	}
	if err := tx.Commit(); err != nil {
		return nil, &storeError{err: err}
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
	store *SQLite
	heard map[string]Heard
	added map[*epoch][]uint64
	fresh map[epochKey]*epoch
	last  map[string]*epoch
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
	if e.marks.full(j.seq) {
		h.Later++
		return nil
	}
	if j.code != "" {
		h.Refused++
		return b.refuse(e, j, *d)
	}
	res, err := b.tx.ExecContext(b.ctx, `INSERT INTO event (epoch, seq, id, type, class, at, received_at, live, simulated, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (epoch, seq) DO NOTHING`,
		e.id, int64(j.seq), j.event.ID, string(j.event.Type), string(j.class), j.event.Time.UnixMicro(), d.At.UnixMicro(),
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
			if err := openHits(b.ctx, liteTx{b.tx}, j.booth, j.event, *j.alert, d.At); err != nil {
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
		id, err := boothID(b.ctx, liteTx{b.tx}, booth)
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
		if _, err := b.tx.ExecContext(b.ctx, "UPDATE epoch SET upto = ?1, heard_at = ?2, began_at = CASE began_at WHEN 0 THEN ?2 ELSE began_at END WHERE id = ?3", int64(m.upto), at.UnixMicro(), e.id); err != nil {
			return err
		}
	}
	return nil
}

// Hear keeps what booths said of themselves.
func (s *SQLite) Hear(ctx context.Context, said map[string]Said, at time.Time) error {
	if len(said) == 0 {
		return nil
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return &storeError{err: err}
	}
	defer tx.Rollback()
	for _, booth := range slices.Sorted(maps.Keys(said)) {
		if err := hear(ctx, tx, booth, said[booth], at); err != nil {
			return &storeError{err: err}
		}
	}
	if err := tx.Commit(); err != nil {
		return &storeError{err: err}
	}
	return nil
}

func hear(ctx context.Context, tx *sql.Tx, booth string, said Said, at time.Time) error {
	id, err := boothID(ctx, liteTx{tx}, booth)
	if err != nil {
		return err
	}
	if st := said.Status; st != nil {
		if _, err := tx.ExecContext(ctx, `UPDATE booth SET status = ?2, conn = ?3, version = ?4, status_at = ?5
			WHERE id = ?1 AND (?3 > conn OR ?3 = conn AND ?2 <> 'online' OR status = '')`, id, st.S, int64(st.Conn), st.Version, at.UnixMicro()); err != nil {
			return err
		}
	}
	for _, s := range said.Came {
		if _, err := tx.ExecContext(ctx, numbered(cameQuery), booth, int64(s.Conn), s.Boot, s.At.UnixMicro(), at.UnixMicro()); err != nil {
			return err
		}
	}
	for kind, state := range said.State {
		if _, err := tx.ExecContext(ctx, `INSERT INTO state (booth, kind, body, at) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (booth, kind) DO UPDATE SET body = ?3, at = ?4 WHERE body <> ?3 AND ?4 >= at`, id, kind, state.Body, state.At.UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}

// Booths names every booth with events.
func (s *SQLite) Booths(context.Context) ([]string, error) {
	return slices.Collect(maps.Keys(s.latest)), nil
}

// Receipts says what is committed of each booth's latest epoch. Nobody else
// writes to the file, so nobody else has told.
func (s *SQLite) Receipts(ctx context.Context, booths []string, _ time.Duration) (map[string]contract.Receipt, error) {
	out := make(map[string]contract.Receipt, len(booths))
	for _, booth := range booths {
		e := s.latest[booth]
		if e == nil {
			out[booth] = contract.Receipt{}
			continue
		}
		r := e.marks.receipt(e.name)
		var err error
		if r.Reject, err = s.rejects(ctx, e.id); err != nil {
			return nil, &storeError{err: err}
		}
		out[booth] = r
	}
	return out, nil
}

// rejects reads the latest of what was refused.
func (s *SQLite) rejects(ctx context.Context, epoch int64) (out []contract.Reject, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT seq, code, msg FROM reject WHERE epoch = ? ORDER BY received_at DESC LIMIT ?", epoch, mostRejects)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var x contract.Reject
		if err := rows.Scan(&x.Seq, &x.Code, &x.Msg); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, rows.Err()
}
