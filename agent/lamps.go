package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"boothd/agent/signal"
)

// output is one wired lamp, as the lamps goroutine drives it.
type output interface {
	Set(on bool) error
}

// lamps drives every output. It owns them; the lane hands it views, of which
// only the latest counts, and it steps the interlock, the rhythms and the
// monitor in time. What is wrong with the lamps it sees itself, and goes to red
// without asking anybody.
type lamps struct {
	log   *slog.Logger
	outs  map[signal.Lamp]output // what is wired
	views chan signal.View       // holds one
	fresh chan struct{}          // holds one: the outputs were claimed anew
	named chan struct{}          // holds one: the booth is to show which one it is
	seen  chan glance            // what inputs tell of lamps and gate
	pleas chan chan bool         // to forget a latched fault; answered with whether it was
	// failed tells the lane that outputs cannot be driven, or can again.
	failed func(ctx context.Context, err error)
	// judged tells the lane what the monitor says; it never blocks.
	judged func(signal.Judged)
	// shown tells what is lit and what is seen of it, for the page; it never
	// blocks, and what it is given is its own.
	shown func(signal.Levels, signal.Aspects, signal.Sight)

	// These belong to run.
	view    signal.View
	lock    signal.Interlock
	monitor signal.Monitor
	sight   signal.Sight
	area    map[string]bool // inputs that watch the gate: there is something, or nobody knows
	told    signal.Levels   // as last stepped
	lit     signal.Levels   // what the outputs are known to have taken
	broken  error
	verdict signal.Judged // as last told
	naming  time.Time     // until when the booth shows which one it is
}

// newLamps takes the outputs that are wired and the names of the inputs.
func newLamps(log *slog.Logger, outs map[signal.Lamp]output, ins []string) *lamps {
	l := &lamps{log: log, outs: outs, views: make(chan signal.View, 1), fresh: make(chan struct{}, 1), named: make(chan struct{}, 1),
		seen: make(chan glance, glancesMost), pleas: make(chan chan bool), lit: signal.Levels{}, sight: signal.Sight{}, area: map[string]bool{}}
	for _, point := range ins {
		l.take(glance{point: point, lost: true})
	}
	return l
}

// show replaces the view that waits, and never blocks. It has one caller.
func (l *lamps) show(v signal.View) { replace(l.views, v) }

// again says that the outputs stand at their safe levels and that nothing that
// was lit before can be counted on.
func (l *lamps) again() { nudge(l.fresh) }

// identify has the booth show for a while which one it is.
func (l *lamps) identify() { nudge(l.named) }

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
	t := time.NewTimer(0)
	defer t.Stop()
	defer l.safe()
	for {
		select {
		case <-ctx.Done():
			return
		case l.view = <-l.views:
		case s := <-l.seen:
			l.take(s)
		case plea := <-l.pleas:
			plea <- l.monitor.Reset()
		case <-l.fresh:
			clear(l.lit)
		case <-l.named:
			l.naming = time.Now().Add(signal.IdentifyFor)
		case <-t.C:
		}
		l.catchUp(0)
		now := time.Now()
		wait := l.step(ctx, now).Sub(now)
		if l.broken != nil {
			wait = min(wait, 100*time.Millisecond)
		}
		t.Reset(max(wait, time.Millisecond))
	}
}

// step shows what is to be shown and judges what is seen. It tells when to step
// again at the latest.
func (l *lamps) step(ctx context.Context, now time.Time) (next time.Time) {
	for {
		fault := l.monitor.Judged().Fault
		aspects := l.aspects(fault, now)
		levels, next := l.lock.Step(aspects, l.occupied(), now)
		err := l.drive(levels, l.lit)
		late := l.catchUp(patience)
		verdict, due := l.judge(levels)
		if verdict.Fault != fault {
			continue // red at once, in the same step
		}
		switch {
		case late: // what came meanwhile may be of the gate
			next = now
		case !due.IsZero() && due.Before(next):
			next = due
		}
		l.report(ctx, err, verdict)
		l.shown(levels, aspects, maps.Clone(l.sight))
		return next
	}
}

// aspects are the view's, unless the lamps cannot be trusted: then everything
// stands at red and dark and shut, and the officer acts by hand.
func (l *lamps) aspects(fault signal.Fault, now time.Time) signal.Aspects {
	a := signal.Show(l.view)
	if fault != (signal.Fault{}) {
		a = signal.Show(signal.View{})
	}
	if now.Before(l.naming) {
		a = signal.Identify(a)
	}
	return a
}

// report tells the lane what has changed.
func (l *lamps) report(ctx context.Context, err error, verdict signal.Judged) {
	if (err != nil) != (l.broken != nil) {
		if l.broken = err; err != nil && !errors.Is(err, errNoChip) {
			l.log.Error("lamps cannot be driven", "err", err)
		} else if err == nil {
			l.log.Info("lamps are driven")
		}
		l.failed(ctx, err)
	}
	if verdict != l.verdict {
		l.verdict = verdict
		l.judged(verdict)
	}
}

// drive sets what differs from what is lit, off first. After an error nothing
// is believed of the output, so that the next step sets it again; what may not be
// lit beside it waits, and no other head goes dark with it.
func (l *lamps) drive(want, lit signal.Levels) (failed error) {
	var doubtful []signal.Lamp // that may still be lit
	for _, on := range []bool{false, true} {
		for _, lamp := range signal.Lamps {
			out := l.outs[lamp]
			if was, known := lit[lamp]; out == nil || want[lamp] != on || known && was == on {
				continue
			}
			if on && slices.ContainsFunc(doubtful, func(d signal.Lamp) bool { return !signal.Beside(lamp, d) }) {
				continue
			}
			if err := out.Set(on); err != nil {
				failed = err
				delete(lit, lamp)
				doubtful = append(doubtful, lamp)
				continue
			}
			lit[lamp] = on
		}
	}
	return failed
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
