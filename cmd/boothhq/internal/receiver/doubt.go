package receiver

import (
	"context"
	"fmt"
)

// hand hands on what is new.
func (r *Receiver) hand(ds []Delivery) error {
	for _, d := range ds {
		if d.Kept && r.cfg.Kept != nil {
			if err := r.cfg.Kept(d.Body); err != nil {
				return fmt.Errorf("%w: %w", errKept, err)
			}
		}
	}
	return nil
}

// resolve asks for what a broken connection to the database left open. If it is
// kept it is receipted too, and never comes again.
func (r *Receiver) resolve(ctx context.Context) error {
	if len(r.doubt) == 0 {
		return nil
	}
	here, err := r.store.Here(ctx, r.doubt)
	if err != nil {
		return err
	}
	r.tally.add(func(n *Counts) { n.Kept += uint64(len(here)) })
	if err := r.hand(here); err != nil {
		return err
	}
	r.doubt = nil
	return nil
}

// here gives the deliveries that are kept, byte for byte.
func here(ctx context.Context, q querier, ds []Delivery) (out []Delivery, err error) {
	for _, d := range ds {
		j := judge(d)
		var is bool
		if err := q.queryRow(ctx, `SELECT EXISTS (SELECT 1 FROM booth b JOIN epoch e ON e.booth = b.id JOIN event v ON v.epoch = e.id
			WHERE b.name = $1 AND e.name = $2 AND v.seq = $3 AND v.body = $4)`, j.booth, j.epoch, int64(j.seq), d.Body).Scan(&is); err != nil {
			return nil, err
		}
		if is {
			out = append(out, d)
		}
	}
	return out, nil
}
