package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"boothd/agent"
	"boothd/agent/glimpse"
	"boothd/configs"
	"boothd/devices/port"
	"boothd/devices/relay"
)

// boardRule is said with every capture of a board.
const boardRule = `a board's bytes tell of nobody: they are kept as they are. Its relays are at their safe levels meanwhile.`

// board finds the board of the configuration that is meant, if it is one.
func (c *captureCmd) board(t *tool) (b configs.Board, o opener, ok bool) {
	cfg, err := t.place.load("--driver")
	if err != nil || c.Driver != "" || len(c.Set) > 0 {
		return b, o, false
	}
	i := slices.IndexFunc(cfg.Boards, func(b configs.Board) bool { return b.Name == c.Port || string(b.Path) == c.Port })
	if i < 0 {
		return b, o, false
	}
	if o.socket = t.place.Socket; o.socket == "" {
		o.socket = string(cfg.Socket)
	}
	return cfg.Boards[i], o, true
}

// boardTail is how long a session goes on after its last level, some questions: a
// replay, in which answers come a hair sooner, needs the next one to tell it too.
const boardTail = 300 * time.Millisecond

// captureBoard captures a board as boothd has it before a vehicle comes: its
// relays safe and asked for, its inputs read.
func (c *captureCmd) captureBoard(t *tool, d configs.Board, o opener) (err error) {
	if err := free(string(d.Path)); err != nil {
		return err
	}
	out, reads, err := c.files()
	if err != nil {
		return err
	}
	fmt.Fprintf(t.stderr, "boothctl: %s\n", boardRule)
	ctx, stop := interruptible(c.For)
	defer stop()
	begun := time.Now()
	kept := bufio.NewWriter(reads)
	tape, err := newBoardTape(out, d, begun)
	if err != nil {
		return one(errors.Join(err, out.Close(), reads.Close()))
	}
	again := make(chan struct{}, 1)
	locks := portLocks(o.socket)
	p, err := tape.open(ctx, port.Spec{Path: string(d.Path), Baud: d.Baud, LockDir: locks})
	giveBack(locks)
	if err != nil {
		return one(errors.Join(unopened(string(d.Path), fmt.Errorf("board %s: %w", d.Name, err)), out.Close(), reads.Close(), c.remove()))
	}
	b, err := relay.Open(ctx, p, agent.BoardConfig(d, redriven(again)))
	if err != nil {
		hint := &failure{fmt.Errorf("board %s on %s: %w", d.Name, d.Path, err), "boothctl probe says whether a board answers there, and how", exitFix}
		return one(errors.Join(hint, out.Close(), reads.Close(), c.remove()))
	}
	n := 0
	for x, e := range points(ctx, b, d, again, begun) {
		if err = e; err == nil {
			n++
			err = showPoint(t, kept, x)
		}
		if err != nil || n == c.N {
			break
		}
	}
	if ctx.Err() != nil {
		err = nil // its time is over
	}
	if err == nil {
		time.Sleep(boardTail)
	}
	count := b.Counters()
	err = errors.Join(err, tape.end(), kept.Flush(), out.Close(), reads.Close())
	if err == nil {
		err = b.Close()
	} else {
		_ = b.Close() // it is made safe all the same, and err says more
	}
	fmt.Fprintf(t.stdout, "%d levels; %s\n", n, counted(count))
	fmt.Fprintf(t.stderr, "boothctl: written: %s and %s%s\n", c.Out, c.Out, readsSuffix)
	return one(err)
}

// redriven gives what a board tells of relays that it had to drive anew.
func redriven(again chan<- struct{}) func(error) {
	return func(error) {
		select {
		case again <- struct{}{}:
		default: // it is told already
		}
	}
}

// points yields how a board's points are: its relays as they were told and seen
// to stand, the first level of each input, and every change; the error comes
// last, once.
func points(ctx context.Context, b *relay.Board, d configs.Board, again <-chan struct{}, begun time.Time) iter.Seq2[glimpse.Read, error] {
	return func(yield func(glimpse.Read, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		changes := make(chan glimpse.Read)
		var watch sync.WaitGroup
		defer watch.Wait()
		defer cancel()
		at := func(t time.Time) float64 { return t.Sub(begun).Round(time.Millisecond).Seconds() }
		for _, point := range slices.Sorted(maps.Keys(d.Out)) {
			out, err := b.Out(point)
			active := err == nil && out.Commanded()
			if !yield(glimpse.Read{At: at(time.Now()), What: "output", Point: point, Active: &active}, err) || err != nil {
				return
			}
		}
		for point := range d.In {
			in, err := b.In(point)
			if err != nil {
				yield(glimpse.Read{}, err)
				return
			}
			watch.Go(func() {
				for e, err := range in.Edges(ctx) {
					if err != nil {
						return // so says Wait, or the caller's ctx
					}
					active := e.Active
					select {
					case changes <- glimpse.Read{At: at(e.At), What: "input", Point: point, Active: &active}:
					case <-ctx.Done():
						return
					}
				}
			})
		}
		lost := make(chan error, 1)
		watch.Go(func() { lost <- b.Wait(ctx) })
		for {
			var x glimpse.Read
			select {
			case x = <-changes:
			case <-again:
				x = glimpse.Read{At: at(time.Now()), What: "driven anew"}
			case err := <-lost:
				yield(glimpse.Read{}, err)
				return
			}
			if !yield(x, nil) {
				return
			}
		}
	}
}

// showPoint shows a point and keeps it.
func showPoint(t *tool, kept *bufio.Writer, x glimpse.Read) error {
	line, err := x.Line()
	if err != nil {
		return err
	}
	if _, err := kept.Write(line); err != nil {
		return err
	}
	if t.json {
		_, err = t.stdout.Write(line)
	} else {
		_, err = fmt.Fprintf(t.stdout, "%8.3f s  %s\n", x.At, x)
	}
	return err
}

// files makes the two files of a capture.
func (c *captureCmd) files() (out, reads *os.File, err error) {
	if out, err = create(c.Out); err != nil {
		return nil, nil, err
	}
	if reads, err = create(c.Out + readsSuffix); err != nil {
		return nil, nil, one(errors.Join(err, out.Close(), os.Remove(c.Out)))
	}
	return out, reads, nil
}

// remove takes the files away: a capture of nothing is none.
func (c *captureCmd) remove() error {
	return errors.Join(os.Remove(c.Out), os.Remove(c.Out+readsSuffix))
}
