package agent

import (
	"context"
	"runtime"
	"strings"
	"time"

	"boothd/agent/signal"
	"boothd/configs"
)

// glancesMost is how many changes of inputs may wait for the lamps: more than
// all of a head's wires tell in one turn of its lamps.
const glancesMost = 64

// patience is how often inputs get their turn before what is overdue is judged:
// where this process was held up, what they have to say is older than the
// timer's end.
const patience = 8

// glance is what one input tells of a lamp or of the gate's area.
type glance struct {
	point  string
	active bool
	lost   bool      // nobody knows any more
	at     time.Time // zero: before everything
}

// gatePoints are the inputs that keep the gate from closing.
var gatePoints = [...]string{"exit_loop", "obstacle"}

// ofLamps tells whether an input says something to the lamps, and whether it
// does so to the lane too.
func ofLamps(point string) (lamps, lane bool) {
	return strings.HasSuffix(point, configs.Lit) || point == gatePoints[0] || point == gatePoints[1],
		!strings.HasSuffix(point, configs.Lit) && point != "obstacle"
}

// sense hands on what an input tells, and waits until it is taken.
func (l *lamps) sense(ctx context.Context, s glance) {
	select {
	case l.seen <- s:
	case <-ctx.Done():
	}
}

// take notes a glance. A lamp is judged by when it changed, not by when that
// was heard of.
func (l *lamps) take(s glance) {
	lamp, feedback := strings.CutSuffix(s.point, configs.Lit)
	if !feedback {
		if of, _ := ofLamps(s.point); of {
			l.area[s.point] = s.active || s.lost
		}
		return
	}
	is := signal.Unlit
	switch {
	case s.lost:
		is = signal.Lost
	case s.active:
		is = signal.Lit
	}
	l.sight[signal.Lamp(lamp)] = is
	if !s.at.IsZero() {
		l.monitor.Step(l.told, l.sight, s.at)
	}
}

// catchUp takes what waits, after the inputs had some turns, and tells whether
// there was something.
func (l *lamps) catchUp(turns int) (late bool) {
	if len(l.sight) == 0 {
		turns = 0
	}
	for {
		select {
		case s := <-l.seen:
			l.take(s)
			late = true
			continue
		default:
		}
		if turns == 0 {
			return late
		}
		turns--
		runtime.Gosched()
	}
}

// judge compares what the lamps are told from now on with what is seen. It is
// called when the outputs have taken it: a board that answers late holds its
// lamps until then, and that is not their fault.
func (l *lamps) judge(levels signal.Levels) (signal.Judged, time.Time) {
	l.told = levels
	return l.monitor.Step(levels, l.sight, time.Now())
}

// occupied tells whether something is under the gate, or may be.
func (l *lamps) occupied() bool {
	for _, there := range l.area {
		if there {
			return true
		}
	}
	return false
}

// reset forgets a latched fault unless the heads are wrong or unseen now; it
// tells whether it did.
func (l *lamps) reset(ctx context.Context) bool {
	plea := make(chan bool, 1)
	select {
	case l.pleas <- plea:
		return <-plea
	case <-ctx.Done():
		return false
	}
}
