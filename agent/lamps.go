package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"boothd/agent/signal"
)

// output is one wired lamp, as the lamps goroutine drives it.
type output interface {
	Set(on bool) error
}

// lamps drives every output. It owns them; the lane hands it views, of which
// only the latest counts, and it steps the interlock and the rhythms in time.
type lamps struct {
	log   *slog.Logger
	outs  map[signal.Lamp]output // what is wired
	views chan signal.View       // holds one
	// under tells whether a vehicle or an obstacle is under the gate.
	under chan bool     // holds one
	fresh chan struct{} // holds one: the outputs were claimed anew
	// failed tells the lane that outputs cannot be driven, or can again.
	failed func(ctx context.Context, err error)
	// shown tells what is lit, for the page; it never blocks.
	shown func(signal.Levels, signal.Aspects)
}

func newLamps(log *slog.Logger, outs map[signal.Lamp]output) *lamps {
	return &lamps{log: log, outs: outs, views: make(chan signal.View, 1), under: make(chan bool, 1), fresh: make(chan struct{}, 1)}
}

// show replaces the view that waits, and never blocks. It has one caller.
func (l *lamps) show(v signal.View) { replace(l.views, v) }

// obstacle replaces what is known of the gate's area.
func (l *lamps) obstacle(under bool) { replace(l.under, under) }

// again says that the outputs stand at their safe levels and that nothing that
// was lit before can be counted on.
func (l *lamps) again() { nudge(l.fresh) }

// replace puts v into a channel of one, in place of what waits there.
func replace[T any](c chan T, v T) {
	for {
		select {
		case c <- v:
			return
		default:
		}
		select {
		case <-c:
		default:
		}
	}
}

// run drives the outputs until ctx ends, and leaves them safe (I9). A write
// that fails is tried again every step: a lamp must never be left lit because
// its line did not answer once.
func (l *lamps) run(ctx context.Context) {
	var (
		lock   signal.Interlock
		view   signal.View
		under  bool
		broken error
		lit    = signal.Levels{}
	)
	t := time.NewTimer(0)
	defer t.Stop()
	defer l.safe()
	for {
		select {
		case <-ctx.Done():
			return
		case view = <-l.views:
		case under = <-l.under:
		case <-l.fresh:
			clear(lit)
		case <-t.C:
		}
		now := time.Now()
		aspects := signal.Show(view)
		levels, next := lock.Step(aspects, under, now)
		err := l.drive(levels, lit)
		if (err != nil) != (broken != nil) {
			if broken = err; err != nil && !errors.Is(err, errNoChip) {
				l.log.Error("lamps cannot be driven", "err", err)
			} else if err == nil {
				l.log.Info("lamps are driven")
			}
			l.failed(ctx, err)
		}
		l.shown(levels, aspects)
		wait := next.Sub(now)
		if broken != nil {
			wait = min(wait, 100*time.Millisecond)
		}
		t.Reset(max(wait, time.Millisecond))
	}
}

// drive sets what differs from what is lit, off first. After an error nothing
// is believed of the output, so that the next step sets it again.
func (l *lamps) drive(want, lit signal.Levels) (failed error) {
	for _, on := range []bool{false, true} {
		for _, lamp := range signal.Lamps {
			out := l.outs[lamp]
			if was, known := lit[lamp]; out == nil || want[lamp] != on || known && was == on {
				continue
			}
			if err := out.Set(on); err != nil {
				failed = err
				delete(lit, lamp)
				if on {
					return failed // do not light one lamp when another may still be lit
				}
				continue
			}
			lit[lamp] = on
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// safe sets every output to its safe level; what fails is left to the wiring.
func (l *lamps) safe() {
	for _, on := range []bool{false, true} {
		for _, lamp := range signal.Lamps {
			if out := l.outs[lamp]; out != nil && signal.Safe(lamp) == on {
				if err := out.Set(on); err != nil && !errors.Is(err, errNoChip) {
					l.log.Error("lamp cannot be made safe", "device", lamp, "err", err)
				}
			}
		}
	}
}
