package agent

import (
	"time"

	"boothd/agent/passage"
)

// stepBack is how far the wall clock may fall behind the monotonic one before
// it counts as stepped back (reason 202): a second, as a leap second is one, less
// what may lie between the readings of two clocks. Disciplining slews by far less
// between two looks, at most by 83 ms a second (chrony's maxslewrate).
const stepBack = 900 * time.Millisecond

// clockWatch judges the wall clock. It is a value stepped with what was seen;
// the zero value trusts nothing. One goroutine owns it.
type clockWatch struct {
	floor   time.Time // build time, or the last time known on disk: the clock cannot be before it
	quality passage.Clock
	started bool
	wall    time.Time     // of the last look
	mono    time.Duration // of the last look
	stepped bool          // stepped back, and not disciplined since
}

// correction is a step of the wall clock: how far it moved against the
// monotonic one.
type correction struct {
	At     time.Time
	Offset time.Duration
}

// look takes the wall clock, the monotonic one (since any fixed start) and
// what the kernel says of its discipline. It returns a correction when the
// wall clock was stepped by a second (stepBack) or more, either way.
func (w *clockWatch) look(wall time.Time, mono time.Duration, kernel passage.Clock) (c correction, moved bool) {
	if w.started {
		if off := wall.Sub(w.wall) - (mono - w.mono); off <= -stepBack || off >= stepBack {
			c, moved = correction{At: wall, Offset: off}, true
		}
	}
	back := moved && c.Offset < 0
	w.stepped = w.stepped || back
	switch {
	case kernel == passage.ClockSynced && !wall.Before(w.floor) && !back:
		w.quality, w.stepped = passage.ClockSynced, false // trust returns one look after a step
	case w.stepped || wall.Before(w.floor):
		w.quality = passage.ClockUnset
	case w.quality == passage.ClockSynced || w.quality == passage.ClockHoldover:
		w.quality = passage.ClockHoldover
	case kernel == passage.ClockRestored:
		w.quality = passage.ClockRestored
	default:
		w.quality = passage.ClockUnset
	}
	w.started, w.wall, w.mono = true, wall, mono
	return c, moved
}
