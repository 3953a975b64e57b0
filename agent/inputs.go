package agent

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	"boothd/devices/gpio"
)

// input is one wired input.
type input struct {
	point string
	line  edger
}

// edger is a line of the chip or a channel of a board.
type edger interface {
	Edges(ctx context.Context) iter.Seq2[gpio.Edge, error]
}

// edge is a change of one input, as its goroutine saw it.
type edge struct {
	gpio.Edge
	first bool
}

// watch hands every edge to the lane, in the order in which they happened,
// until one input ends, or ctx. What the lamps have to know of they are told
// first, and without the lane: it may be held up.
func (b *booth) watch(ctx context.Context, ins []input) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	seen := make(chan edge, 4*len(ins))
	var all sync.WaitGroup
	for _, in := range ins {
		all.Go(func() { cancel(b.edges(ctx, in, seen)) })
	}
	cancel(b.merge(ctx, seen))
	all.Wait()
	return context.Cause(ctx)
}

// blind tells the lamps that inputs of theirs cannot be read any more.
func (b *booth) blind(ctx context.Context, points iter.Seq[string]) {
	for point := range points {
		if lamps, _ := ofLamps(point); lamps {
			b.lamps.sense(ctx, glance{point: point, lost: true, at: time.Now()})
		}
	}
}

// edges follows one input.
func (b *booth) edges(ctx context.Context, in input, seen chan<- edge) error {
	first := true
	lamps, lane := ofLamps(in.point)
	for e, err := range in.line.Edges(ctx) {
		if err != nil {
			return err
		}
		if lamps {
			b.lamps.sense(ctx, glance{point: in.point, active: e.Active, at: e.At})
		}
		if !lane {
			continue
		}
		select {
		case seen <- edge{e, first}:
		case <-ctx.Done():
			return ctx.Err()
		}
		first = false
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.New("input ended without a reason")
}

// merge brings edges of different inputs that arrive at once, because this
// process was held up, into the order of the kernel's stamps: a vehicle that
// seems to reach the booth before it leaves the approach would be two (213).
func (b *booth) merge(ctx context.Context, seen <-chan edge) error {
	var batch []edge
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-seen:
			batch = append(batch[:0], e)
		}
		for range 4 { // whoever else is ready to say something does so now
			runtime.Gosched()
			for more := true; more; {
				select {
				case e := <-seen:
					batch = append(batch, e)
				default:
					more = false
				}
			}
		}
		slices.SortStableFunc(batch, func(x, y edge) int { return x.At.Compare(y.At) })
		for _, e := range batch {
			if err := b.inbox.press(ctx, press{point: e.Point, active: e.Active, at: e.At, first: e.first, lost: e.Lost}); err != nil {
				return err
			}
		}
	}
}
