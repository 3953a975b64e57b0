package uplink

import (
	"context"
	"fmt"
	"iter"

	"boothd/agent/contract"
	"boothd/buffer/journal"
)

// Outbox is an open journal as the uplink reads it.
type Outbox struct{ *journal.Journal }

// Pending reads rows that headquarters has not receipted.
func (o Outbox) Pending(ctx context.Context, q Query) ([]Record, error) {
	rows, err := o.Journal.Pending(ctx, journal.Query{Lane: journal.Lane(q.Lane), After: q.After, Limit: q.Limit})
	if err != nil {
		return nil, err
	}
	out := make([]Record, len(rows))
	for i, r := range rows {
		out[i] = Record{Seq: r.Seq, Class: r.Class, Body: r.Body}
	}
	return out, nil
}

// Range reads rows whatever their state.
func (o Outbox) Range(ctx context.Context, from, to uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for r, err := range o.Journal.Range(ctx, from, to) {
			if !yield(Record{Seq: r.Seq, Class: r.Class, Body: r.Body}, err) {
				return
			}
		}
	}
}

// Receipted applies what headquarters has.
func (o Outbox) Receipted(ctx context.Context, r contract.Receipt) error {
	in := journal.Receipt{Epoch: r.Epoch, Upto: r.Upto, Have: r.Have}
	for _, x := range r.Reject {
		in.Reject = append(in.Reject, journal.Reject{Seq: x.Seq, Reason: x.Code})
	}
	if err := o.Journal.Receipted(ctx, in); err != nil {
		return fmt.Errorf("applying receipt: %w", err)
	}
	return nil
}
