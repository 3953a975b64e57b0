package receiver

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"time"
)

// batchTx is one transaction at work.
type batchTx struct {
	ctx   context.Context
	tx    *sql.Tx
	store *SQLite
	heard map[string]Heard
	works map[*epoch]*work
	fresh map[epochKey]*epoch
	named map[*epoch]bool // by any delivery, new or not
}

// work is what a transaction does to an epoch.
type work struct {
	marks   marks
	thinned int64
	news    bool // something came that was not here before, or turns the booth on
}

func (s *SQLite) newBatch(ctx context.Context, tx *sql.Tx) *batchTx {
	return &batchTx{ctx: ctx, tx: tx, store: s, heard: make(map[string]Heard), works: make(map[*epoch]*work), fresh: make(map[epochKey]*epoch), named: make(map[*epoch]bool)}
}

func (b *batchTx) work(e *epoch) *work {
	w := b.works[e]
	if w == nil {
		w = &work{marks: e.marks.clone(), thinned: e.thinned}
		b.works[e] = w
	}
	return w
}

// done takes over what was committed: nothing else counts as had.
func (b *batchTx) done() {
	for key, e := range b.fresh {
		b.store.epochs[key] = e
	}
	for e, w := range b.works {
		e.marks, e.thinned = w.marks, w.thinned
	}
	maps.Copy(b.store.latest, b.latest())
}

// latest are the booths of which there was news, each with its journal: of two the
// one that began later.
func (b *batchTx) latest() map[string]*epoch {
	latest := make(map[string]*epoch)
	for e, w := range b.works {
		if last := latest[e.booth]; w.news && (last == nil || e.id > last.id) {
			latest[e.booth] = e
		}
	}
	return latest
}

// turn takes what comes again for news where it is of a later journal than the one
// that brought something new last: that was the end of the former one, and the booth
// waits for a receipt of its own.
func (b *batchTx) turn() {
	latest := b.latest()
	for e := range b.named {
		last := latest[e.booth]
		if last == nil {
			last = b.store.latest[e.booth]
		}
		if last != nil && e.id > last.id {
			b.work(e).news = true
		}
	}
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
	b.named[e] = true
	if e.marks.full(j) {
		h.Later++
		b.work(e).news = true
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
		return b.kept(e, j, *d)
	}
	return b.again(e, j, *d, &h)
}

// kept goes on with an event that is new.
func (b *batchTx) kept(e *epoch, j judged, d Delivery) error {
	if j.alert != nil {
		if err := openHits(b.ctx, liteTx{b.tx}, j.booth, j.event, *j.alert, d.At); err != nil {
			return err
		}
	}
	// It may have been refused before and been mended since.
	if _, err := b.tx.ExecContext(b.ctx, "DELETE FROM reject WHERE epoch = ? AND seq = ?", e.id, int64(j.seq)); err != nil {
		return err
	}
	b.work(e).news = true
	if err := b.came(e, j.seq); err != nil {
		return err
	}
	return b.giveUp(e, j.gone)
}

// giveUp notes the numbers of a tombstone, but for those that are here.
func (b *batchTx) giveUp(e *epoch, gone [][2]uint64) error {
	for _, r := range gone {
		fresh, err := numbers(b.ctx, liteTx{b.tx}, `WITH RECURSIVE n (seq) AS (SELECT $2 UNION ALL SELECT seq + 1 FROM n WHERE seq < $3)
			INSERT INTO gone (epoch, seq) SELECT $1, n.seq FROM n
			WHERE NOT EXISTS (SELECT 1 FROM event v WHERE v.epoch = $1 AND v.seq = n.seq) AND NOT EXISTS (SELECT 1 FROM reject r WHERE r.epoch = $1 AND r.seq = n.seq)
			ON CONFLICT (epoch, seq) DO NOTHING RETURNING seq`, e.id, int64(r[0]), int64(r[1]))
		if err != nil {
			return fmt.Errorf("noting %d to %d as given up: %w", r[0], r[1], err)
		}
		b.work(e).thinned += int64(len(fresh))
	}
	return nil
}

// came notes a number that is here. It may have been given up on its way.
func (b *batchTx) came(e *epoch, seq uint64) error {
	w := b.work(e)
	w.marks.add(seq)
	if w.thinned == 0 {
		return nil
	}
	res, err := b.tx.ExecContext(b.ctx, "DELETE FROM gone WHERE epoch = ? AND seq = ?", e.id, int64(seq))
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	w.thinned -= n
	return err
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
	res, err := b.tx.ExecContext(b.ctx, `INSERT INTO reject (epoch, seq, code, msg, received_at, body) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (epoch, seq) DO NOTHING`, e.id, int64(j.seq), j.code, j.msg, d.At.UnixMicro(), d.Body[:min(len(d.Body), mostKept)])
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	b.work(e).news = true
	return b.came(e, j.seq)
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
		e = &epoch{booth: booth, name: name}
		if err := b.tx.QueryRowContext(b.ctx, "INSERT INTO epoch (booth, name) VALUES (?, ?) RETURNING id", id, name).Scan(&e.id); err != nil {
			return nil, err
		}
		b.fresh[key] = e
	}
	return e, nil
}

// finish writes the marks of every epoch the batch touched, and of which there
// was news. What comes again of a former journal is none: the booth has that no
// more, and takes receipts for its own alone.
func (b *batchTx) finish(at time.Time) error {
	b.turn()
	for e, w := range b.works {
		if !w.news {
			continue
		}
		if _, err := b.tx.ExecContext(b.ctx, "UPDATE epoch SET heard_at = ?1, began_at = CASE began_at WHEN 0 THEN ?1 ELSE began_at END WHERE id = ?2", at.UnixMicro(), e.id); err != nil {
			return err
		}
	}
	return b.settle()
}

// settle writes the marks.
func (b *batchTx) settle() error {
	for e, w := range b.works {
		if w.thinned > 0 {
			if err := explain(b.ctx, liteTx{b.tx}, e.id, &w.marks); err != nil {
				return err
			}
		}
		if _, err := b.tx.ExecContext(b.ctx, "UPDATE epoch SET upto = ?, thinned = ? WHERE id = ?", int64(w.marks.upto), w.thinned, e.id); err != nil {
			return err
		}
		if err := b.hold(e, &w.marks); err != nil {
			return err
		}
	}
	return nil
}
