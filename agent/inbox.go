package agent

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Bounds of the lane's inbox. Reads overflow first and are counted: a reader
// repeats itself every few milliseconds. Presses and loops never do; their
// sender waits, and 64 of them is more than an officer can press in a budget.
const (
	inboxReads = 256
	inboxPress = 64
)

// inbox is what reaches the lane loop. It has one receiver, the lane.
type inbox struct {
	reads   chan devices.Read
	presses chan press
	news    chan deviceNews
	dropped atomic.Uint64 // reads lost to overflow; atomic because drivers write and the page reads
}

// press is a change of one wired point: a loop, a beam or a button.
type press struct {
	point  string // configuration name: approach_loop, release, ...
	active bool
	at     time.Time
	first  bool  // the level at start, not an edge
	lost   bool  // edges before this one were lost
	err    error // the point can no longer be read
}

// deviceNews is a change of a device's health.
type deviceNews struct {
	device   string
	online   bool
	reason   error
	counters devices.Counters
	at       time.Time
}

func newInbox() *inbox {
	return &inbox{
		reads:   make(chan devices.Read, inboxReads),
		presses: make(chan press, inboxPress),
		news:    make(chan deviceNews, inboxPress),
	}
}

// read hands a read to the lane, or drops and counts it when the lane is behind.
// It steps aside at once: the driver waits next in a system call, and the lane
// would start only when another thread has been woken for it.
func (in *inbox) read(r devices.Read) {
	select {
	case in.reads <- r:
		runtime.Gosched()
	default:
		in.dropped.Add(1)
	}
}

// press hands a press to the lane and waits until it is taken.
func (in *inbox) press(ctx context.Context, p press) error {
	select {
	case in.presses <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell hands a change of health to the lane and waits until it is taken.
func (in *inbox) tell(ctx context.Context, n deviceNews) {
	select {
	case in.news <- n:
	case <-ctx.Done():
	}
}
