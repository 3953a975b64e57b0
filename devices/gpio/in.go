package gpio

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"
)

// Times of an input.
const (
	// lookEvery is how often a quiet line's level is read, so that an edge that
	// the kernel did not report, or a chip that left without a word, is noticed
	// (GPIO and relays, inputs: polling fallback).
	lookEvery = 5 * time.Second
	// edgeLag is how far the report of an edge may be behind the level.
	edgeLag = 20 * time.Millisecond
)

// errReading says that two goroutines want the edges of one line.
var errReading = errors.New("edges are being read already")

// Edge is a change of one input, or its level at start.
type Edge struct {
	Point  string
	Active bool
	At     time.Time // the kernel's stamp of the edge, with a monotonic part
	// Lost tells that edges of this input before this one were lost, because
	// they were not taken in time or not reported. Active is right all the same.
	Lost bool
}

// In is one claimed input. Level may be called from any goroutine; Edges and
// WaitForEdge belong to one at a time.
type In struct {
	cfg     InConfig
	wire    wire
	reading atomic.Bool // two readers would each get half of the edges
	seq     uint32      // of the last edge taken; belongs to whoever is reading

	known atomic.Bool // the last level read, for periph, which knows no error
	want  atomic.Int32
}

// Level tells whether the input is active. With an error it is unknown.
func (i *In) Level() (bool, error) {
	active, _, err := i.wire.level()
	if err != nil {
		return false, fmt.Errorf("input %s: reading line %s: %w", i.cfg.Point, i.cfg.Line, err)
	}
	i.known.Store(active)
	return active, nil
}

// Edges yields the level at start and then every change, debounced, until ctx
// ends or the line fails; the error comes last, once.
func (i *In) Edges(ctx context.Context) iter.Seq2[Edge, error] {
	return func(yield func(Edge, error) bool) {
		if !i.reading.CompareAndSwap(false, true) {
			yield(Edge{}, fmt.Errorf("input %s: %w", i.cfg.Point, errReading))
			return
		}
		defer i.reading.Store(false)
		err := i.follow(ctx, func(e Edge) bool { return yield(e, nil) })
		switch {
		case err == nil:
		case ctx.Err() != nil:
			yield(Edge{}, ctx.Err())
		default:
			yield(Edge{}, fmt.Errorf("input %s: line %s: %w", i.cfg.Point, i.cfg.Line, err))
		}
	}
}

// follow hands on edges until yield has had enough (nil) or the line ends.
func (i *In) follow(ctx context.Context, yield func(Edge) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	last, start, err := i.wire.level()
	if err != nil {
		return err
	}
	if !yield(Edge{Point: i.cfg.Point, Active: last, At: i.wire.at(start)}) {
		return nil
	}
	for {
		ev, ok, err := i.wire.next(ctx, lookEvery)
		if err == nil && !ok {
			ev, ok, err = i.look(ctx, last)
		}
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		lost := ev.seq != i.seq+1
		i.seq = ev.seq
		if ev.stamp <= start || ev.active == last && !lost {
			continue // the level at start holds it, or it was read between the two
		}
		last = ev.active
		if !yield(Edge{Point: i.cfg.Point, Active: ev.active, At: i.wire.at(ev.stamp), Lost: lost}) {
			return nil
		}
	}
}

// look compares the level with the last edge. It returns the edge that was
// under way, or makes up for one that was never reported: its number cannot
// follow the last one, so that it is marked lost.
func (i *In) look(ctx context.Context, last bool) (event, bool, error) {
	active, stamp, err := i.wire.level()
	if err != nil || active == last {
		return event{}, false, err
	}
	ev, ok, err := i.wire.next(ctx, edgeLag)
	if err != nil || ok {
		return ev, ok, err
	}
	return event{stamp: stamp, active: active, seq: i.seq}, true, nil
}
