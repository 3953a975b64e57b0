package agent

import (
	"sync/atomic"
	"time"
)

// courtesyMost is for how long bulk work stands aside for one vehicle. Of the
// four seconds that a busy lane has for each, it is an eighth; and a vehicle that
// waits for minutes, or a lane that hangs, holds up no list and no backlog (I5).
const courtesyMost = 500 * time.Millisecond

// courtesy is what bulk work owes a vehicle whose decision is awaited: a small
// box has two processors, and they are not to be taken when the card comes. The
// lane alone begins it, and never waits; the zero value owes nothing.
type courtesy struct {
	now   atomic.Pointer[chan struct{}] // closed when bulk work may go on; nil: it may
	began time.Time                     // the last one, the lane's own
}

// begin has bulk work stand aside until end, for courtesyMost at most. A loop that
// chatters brings a vehicle every moment: no courtesy is longer than half the
// time since the one before began, so that the other half is bulk work's.
func (c *courtesy) begin(now time.Time) {
	c.end() // of the vehicle before
	most := min(courtesyMost, now.Sub(c.began)/2)
	c.began = now
	over := make(chan struct{})
	c.now.Store(&over)
	time.AfterFunc(most, func() { c.endOf(&over) })
}

// end has bulk work go on.
func (c *courtesy) end() {
	if over := c.now.Load(); over != nil {
		c.endOf(over)
	}
}

// endOf ends one, unless it has ended: lane and clock may come at once.
func (c *courtesy) endOf(over *chan struct{}) {
	if c.now.CompareAndSwap(over, nil) {
		close(*over)
	}
}

// asked is what bulk work asks before it goes on: what it gets closes when it
// may. nil: at once.
func (c *courtesy) asked() <-chan struct{} {
	if over := c.now.Load(); over != nil {
		return *over
	}
	return nil
}
