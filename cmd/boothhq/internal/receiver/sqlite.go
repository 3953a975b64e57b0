package receiver

import (
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
	latest map[string]*epoch // by booth: the one that brought something new last
}

type epochKey struct{ booth, name string }

// epoch is one life of one booth's journal.
type epoch struct {
	id      int64
	booth   string
	name    string
	marks   marks
	thinned int64  // numbers that are given up
	told    uint64 // how far the refusals were told that are too many for one receipt
}

// OpenSQLite opens or makes the database. Every commit is on disk when it returns.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	db, err := openDatabase(ctx, path, true)
	if err != nil {
		return nil, err
	}
	s := &SQLite{db: db, epochs: make(map[epochKey]*epoch), latest: make(map[string]*epoch)}
	err = s.load(ctx)
	if err == nil {
		err = s.catchUp(ctx)
	}
	if err != nil {
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
		kept := &epoch{id: e.id, booth: e.booth, name: e.name, marks: e.marks, thinned: int64(e.thinned)}
		s.epochs[epochKey{e.booth, e.name}] = kept
		s.latest[e.booth] = kept
	}
	return nil
}

// catchUp takes in what tombstones say that were kept by a program that knew
// nothing of them.
func (s *SQLite) catchUp(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	gone, err := untold(ctx, liteTx{tx})
	if err != nil {
		return err
	}
	b := s.newBatch(ctx, tx)
	for _, e := range s.epochs {
		if ranges := gone[e.id]; ranges != nil {
			if err := b.giveUp(e, ranges); err != nil {
				return err
			}
		}
		if e.thinned > 0 && len(e.marks.have) > mostRanges {
			b.work(e) // a version before read the ranges off the events alone
		}
	}
	if err := b.settle(); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	b.done()
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
	b := s.newBatch(ctx, tx)
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
	b.done()
	return b.heard, nil
}

// Here tells what is kept.
func (s *SQLite) Here(ctx context.Context, ds []Delivery) (out []Delivery, err error) {
	for _, d := range ds {
		j := judge(d)
		var is bool
		if err := s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM booth b JOIN epoch e ON e.booth = b.id JOIN event v ON v.epoch = e.id
			WHERE b.name = ? AND e.name = ? AND v.seq = ? AND v.body = ?)`, j.booth, j.epoch, int64(j.seq), d.Body).Scan(&is); err != nil {
			return nil, &storeError{err: err}
		}
		if is {
			out = append(out, d)
		}
	}
	return out, nil
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
		if e.thinned > 0 {
			if r.Want, err = asks(ctx, lite{s.db}, e.id, &e.marks); err != nil {
				return nil, &storeError{err: err}
			}
		}
		newest, err := refusals(ctx, lite{s.db}, fmt.Sprintf(newestRefused, "$1", "$2"), e.id, mostRejects+1)
		if err == nil {
			r.Reject, e.told, err = telling(ctx, lite{s.db}, e.id, newest, e.told)
		}
		if err != nil {
			return nil, &storeError{err: err}
		}
		out[booth] = r
	}
	return out, nil
}
