package relay

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func (b *bench) in(point string) *In {
	b.Helper()
	i, err := b.board.In(point)
	if err != nil {
		b.Fatal(err)
	}
	return i
}

// following is a goroutine that reads the edges of one input.
type following struct {
	edges []Edge
	err   error
	over  chan struct{}
}

func follow(ctx context.Context, in *In) *following {
	f := &following{over: make(chan struct{})}
	go func() {
		defer close(f.over)
		for e, err := range in.Edges(ctx) {
			if err != nil {
				f.err = err
				continue
			}
			f.edges = append(f.edges, e)
		}
	}()
	return f
}

// withInputs runs f for every protocol whose boards have inputs.
func withInputs(t *testing.T, f func(t *testing.T, p Protocol)) {
	each(t, f, LCUS, LCUSAnswer, LCUSText)
}

func TestInputsGiveTheirFirstLevelAndThenChanges(t *testing.T) {
	withInputs(t, func(t *testing.T, p Protocol) {
		play(t, config(p), &Sim{}, func(b *bench) {
			if _, err := b.in("loop").Level(); !errors.Is(err, errUnsettled) {
				b.Errorf("level before it held still: %v", err)
			}
			if active, err := b.in("button").Level(); err != nil || !active {
				b.Errorf("level of what is not debounced: %t, %v", active, err)
			}
			loop, button := follow(b.Context(), b.in("loop")), follow(b.Context(), b.in("button"))
			time.Sleep(time.Second)
			began := time.Now()
			b.sim.SetInput(1, true)
			b.sim.SetInput(3, true)
			time.Sleep(200 * time.Millisecond)
			if active, err := b.in("loop").Level(); err != nil || !active {
				b.Errorf("level of an occupied loop: %t, %v", active, err)
			}
			b.sim.SetInput(1, false)
			time.Sleep(200 * time.Millisecond)
			if err := b.board.Close(); err != nil {
				b.Error(err)
			}
			<-loop.over
			<-button.over
			levels := func(f *following) (out []bool) {
				for _, e := range f.edges {
					if e.Lost || e.At.IsZero() {
						b.Errorf("edge %+v", e)
					}
					out = append(out, e.Active)
				}
				return out
			}
			if got := levels(loop); !slices.Equal(got, []bool{false, true, false}) {
				b.Errorf("loop: %v", got)
			}
			if got := levels(button); !slices.Equal(got, []bool{true, false}) {
				b.Errorf("button, active low: %v", got)
			}
			if lag := loop.edges[1].At.Sub(began); lag < 0 || lag > 2*pollEvery {
				b.Errorf("the loop's edge is stamped %v after it", lag)
			}
			if !errors.Is(loop.err, os.ErrClosed) || !errors.Is(button.err, os.ErrClosed) {
				b.Errorf("edges ended with %v and %v", loop.err, button.err)
			}
			if _, err := b.in("loop").Level(); !errors.Is(err, os.ErrClosed) {
				b.Errorf("level after Close: %v", err)
			}
		})
	})
}

// A pulse shorter than the debounce is counted, not told.
func TestShortPulsesAreCounted(t *testing.T) {
	cfg := config(Modbus)
	cfg.In[0].Debounce = 300 * time.Millisecond
	play(t, cfg, &Sim{}, func(b *bench) {
		time.Sleep(time.Second)
		f := follow(b.Context(), b.in("loop"))
		for range 3 {
			b.sim.SetInput(1, true)
			time.Sleep(200 * time.Millisecond)
			b.sim.SetInput(1, false)
			time.Sleep(time.Second)
		}
		if n := b.in("loop").Short(); n != 3 || len(f.edges) != 1 || f.edges[0].Active {
			b.Errorf("%d short pulses, edges %+v", n, f.edges)
		}
	})
}

// Who is slow to read edges is told that some were lost, and gets the last.
func TestSlowReaderIsToldOfLostEdges(t *testing.T) {
	cfg := config(Modbus)
	play(t, cfg, &Sim{}, func(b *bench) {
		time.Sleep(time.Second)
		b.sim.SetInput(3, true)
		time.Sleep(time.Second) // before anybody reads: in the first level
		var edges []Edge
		for e, err := range b.in("button").Edges(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			if edges = append(edges, e); len(edges) == 1 {
				for n := range 2 * edgesMost {
					b.sim.SetInput(3, n%2 == 1)
					time.Sleep(100 * time.Millisecond)
				}
			}
			if len(edges) == edgesMost+1 {
				break
			}
		}
		if edges[0].Active || edges[0].Lost {
			b.Errorf("first level %+v", edges[0])
		}
		for i, e := range edges[1:] {
			if e.Lost != (i == 0) || e.Active != (i%2 == 0) {
				b.Errorf("edge %d: %+v", i, e)
			}
		}
	})
}

func TestEdgesBelongToOne(t *testing.T) {
	play(t, config(Modbus), &Sim{}, func(b *bench) {
		ctx, cancel := context.WithCancel(b.Context())
		first := follow(ctx, b.in("loop"))
		synctest.Wait()
		second := follow(ctx, b.in("loop"))
		if <-second.over; !errors.Is(second.err, errReading) {
			b.Errorf("a second reader: %v", second.err)
		}
		cancel()
		if <-first.over; !errors.Is(first.err, context.Canceled) {
			b.Errorf("cancelled: %v", first.err)
		}
	})
}

func TestEdgesEndWithTheBoard(t *testing.T) {
	withInputs(t, func(t *testing.T, p Protocol) {
		play(t, config(p), &Sim{}, func(b *bench) {
			f := follow(b.Context(), b.in("loop"))
			time.Sleep(time.Second)
			b.sim.Die(true)
			began := time.Now()
			if <-f.over; !errors.Is(f.err, ErrSilent) {
				b.Errorf("edges ended with %v", f.err)
			}
			if took := time.Since(began); took > time.Second {
				b.Errorf("after %v", took)
			}
			if _, err := b.in("loop").Level(); !errors.Is(err, ErrSilent) {
				b.Errorf("level of a dead board: %v", err)
			}
		})
	})
}
