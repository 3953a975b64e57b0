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
