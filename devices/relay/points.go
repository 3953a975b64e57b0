package relay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// Out is one output. Its methods may be called from any goroutine.
type Out struct {
	cfg       OutConfig
	board     *Board
	commanded atomic.Bool
}

// Set drives the output to a logical level, in a second at most. With an error
// the level is unknown; the caller sets again. On a board that is over it fails
// at once.
func (o *Out) Set(on bool) error {
	if err := o.set(on); err != nil {
		return fmt.Errorf("output %s: %w", o.cfg.Point, err)
	}
	return nil
}

func (o *Out) set(on bool) error {
	b := o.board
	select {
	case <-b.over:
		return b.lost()
	default:
	}
	c := &order{out: o, on: on, done: make(chan error, 1)}
	t := time.NewTimer(setWait)
	defer t.Stop()
	select {
	case b.orders <- c:
	case <-b.over:
		return b.lost()
	case <-t.C:
		return ErrSlow // it was not taken, and will not be
	}
	select {
	case err := <-c.done:
		return err
	case <-b.over:
		return b.lost()
	case <-t.C:
		c.dropped.Store(true)
		return ErrSlow
	}
}

// Commanded tells the logical level that the board last took: the safe level
// until the first Set.
func (o *Out) Commanded() bool { return o.commanded.Load() }

// edgesMost is how many edges wait for whoever reads them, as in the kernel.
const edgesMost = 16

var (
	errReading   = errors.New("edges are being read already")
	errUnsettled = errors.New("level has not held still yet")
)

// In is one input. Its methods may be called from any goroutine; Edges belongs
// to one at a time.
type In struct {
	cfg     InConfig
	board   *Board
	reading atomic.Bool
	fresh   chan struct{} // holds one: there is something new

	mu     sync.Mutex // the board's goroutine sees, others read
	seen   bool       // at all
	now    bool       // as last seen
	since  time.Time
	known  bool // active has held still
	active bool
	at     time.Time // since when active is what it is
	edges  []Edge
	short  uint64
}

func newIn(c InConfig, b *Board) *In {
	return &In{cfg: c, board: b, fresh: make(chan struct{}, 1), edges: make([]Edge, 0, edgesMost)}
}

// see takes one look at the input.
func (i *In) see(active bool, at time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.seen || active != i.now {
		if i.known && i.now != i.active {
			i.short++ // it went back before it was believed
		}
		i.seen, i.now, i.since = true, active, at
	}
	if i.known && i.now == i.active || at.Sub(i.since) < i.cfg.Debounce {
		return
	}
	if i.known {
		i.push(Edge{Point: i.cfg.Point, Active: i.now, At: i.since})
	}
	i.known, i.active, i.at = true, i.now, i.since
	select {
	case i.fresh <- struct{}{}:
	default:
	}
}

// push queues an edge; the oldest gives way, and the next one tells of it.
func (i *In) push(e Edge) {
	if len(i.edges) == edgesMost {
		i.edges = append(i.edges[:0], i.edges[1:]...)
		i.edges[0].Lost = true
	}
	i.edges = append(i.edges, e)
}

// Level tells whether the input is active, debounced. With an error it is
// unknown.
func (i *In) Level() (bool, error) {
	select {
	case <-i.board.over:
		return false, fmt.Errorf("input %s: %w", i.cfg.Point, i.board.lost())
	default:
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.known {
		return false, fmt.Errorf("input %s: %w", i.cfg.Point, errUnsettled)
	}
	return i.active, nil
}

// Short tells how many pulses were shorter than the debounce.
func (i *In) Short() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.short
}

// Edges yields the first level that held still and then every change,
// debounced, until ctx ends or the board is over; the error comes last, once.
func (i *In) Edges(ctx context.Context) iter.Seq2[Edge, error] {
	return func(yield func(Edge, error) bool) {
		if !i.reading.CompareAndSwap(false, true) {
			yield(Edge{}, fmt.Errorf("input %s: %w", i.cfg.Point, errReading))
			return
		}
		defer i.reading.Store(false)
		begun := false
		for {
			if err := ctx.Err(); err != nil {
				yield(Edge{}, err)
				return
			}
			for _, e := range i.take(&begun) {
				if !yield(e, nil) {
					return
				}
			}
			select {
			case <-i.fresh:
			case <-ctx.Done():
			case <-i.board.over:
				yield(Edge{}, fmt.Errorf("input %s: %w", i.cfg.Point, i.board.lost()))
				return
			}
		}
	}
}

// take gives the edges that wait. The first time it is the level at start,
// which has the edges before it in it.
func (i *In) take(begun *bool) []Edge {
	i.mu.Lock()
	defer i.mu.Unlock()
	waiting := append([]Edge(nil), i.edges...)
	i.edges = i.edges[:0]
	switch {
	case *begun:
		return waiting
	case !i.known:
		return nil
	}
	*begun = true
	return []Edge{{Point: i.cfg.Point, Active: i.active, At: i.at}}
}
