package receiver

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// catchUp takes in what tombstones say that were kept by a receiver that knew
// nothing of them. One epoch at a time: nobody is waited for with a lock held.
func (p *Postgres) catchUp(ctx context.Context) error {
	var gone map[int64][][2]uint64
	err := p.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		gone, err = untold(ctx, pgTx{tx})
		return err
	})
	for id, ranges := range gone {
		if err != nil {
			return err
		}
		err = p.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
			e := locked{id: id}
			var held []int64
			err := tx.QueryRow(ctx, "SELECT upto, held, thinned FROM epoch WHERE id = $1 FOR UPDATE", id).Scan(&e.marks.upto, &held, &e.thinned)
			if err != nil {
				return err
			}
			if e.marks.have, err = rangesOf(held); err != nil {
				return err
			}
			fresh, err := giveUp(ctx, tx, placesOf(nil, id, ranges))
			if err != nil {
				return err
			}
			e.thinned += int64(len(fresh))
			if err := e.settle(ctx, tx); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "UPDATE epoch SET upto = $2, held = $3, thinned = $4 WHERE id = $1", id, int64(e.marks.upto), e.marks.held(), e.thinned)
			return err
		})
	}
	return err
}

// Close closes the connection.
func (p *Postgres) Close() error { return p.db.close() }

// thin notes what tombstones give up, and what was given up and is here now: it
// was on its way.
func (b *pgBatch) thin(ctx context.Context, tx pgx.Tx) error {
	byID := make(map[int64]*locked)
	for _, e := range b.epochs {
		if e != nil {
			byID[e.id] = e
		}
	}
	var gone, here []place
	for _, i := range b.kept {
		gone = placesOf(gone, b.epochOf(i).id, b.js[i].gone)
	}
	fresh, err := giveUp(ctx, tx, gone)
	if err != nil {
		return err
	}
	for _, p := range fresh {
		byID[p.epoch].thinned++
	}
	for _, i := range b.kept {
		here = append(here, place{b.epochOf(i).id, b.js[i].seq})
	}
	here = slices.DeleteFunc(append(here, b.refused...), func(p place) bool { return byID[p.epoch].thinned == 0 })
	if len(here) == 0 {
		return nil
	}
	epochs, seqs := columns(here)
	came, err := places(ctx, tx, "DELETE FROM gone g USING unnest($1::bigint[], $2::bigint[]) AS u (epoch, seq) WHERE g.epoch = u.epoch AND g.seq = u.seq RETURNING g.epoch, g.seq", epochs, seqs)
	for _, p := range came {
		byID[p.epoch].thinned--
	}
	return err
}

// giveUp notes numbers as given up, but for those that are here. It tells which
// are new.
func giveUp(ctx context.Context, tx pgx.Tx, gone []place) ([]place, error) {
	if len(gone) == 0 {
		return nil, nil
	}
	epochs, seqs := columns(gone)
	return places(ctx, tx, `INSERT INTO gone (epoch, seq) SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS u (epoch, seq)
		WHERE NOT EXISTS (SELECT 1 FROM event v WHERE v.epoch = u.epoch AND v.seq = u.seq) AND NOT EXISTS (SELECT 1 FROM reject r WHERE r.epoch = u.epoch AND r.seq = u.seq)
		ON CONFLICT (epoch, seq) DO NOTHING RETURNING epoch, seq`, epochs, seqs)
}

// placesOf adds the numbers of ranges.
func placesOf(to []place, epoch int64, ranges [][2]uint64) []place {
	for _, r := range ranges {
		for seq := r[0]; seq <= r[1]; seq++ {
			to = append(to, place{epoch, seq})
		}
	}
	return to
}

// columns are places as arguments.
func columns(ps []place) (epochs, seqs []int64) {
	for _, p := range ps {
		epochs, seqs = append(epochs, p.epoch), append(seqs, int64(p.seq))
	}
	return epochs, seqs
}

// settle lets the mark pass what is given up.
func (e *locked) settle(ctx context.Context, tx pgx.Tx) error {
	if e.thinned == 0 {
		return nil
	}
	return explain(ctx, pgTx{tx}, e.id, &e.marks)
}
