package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"boothd/agent/status"
)

// outage is one cut of the network: how long, and when after the first vehicle.
type outage struct {
	lasts time.Duration
	at    time.Duration // negative: a third of the way through
}

// longestOutage is what a run waits for before it counts what arrived.
const longestOutage = 10 * time.Minute

// UnmarshalText reads "3s" or "3s@5s".
func (o *outage) UnmarshalText(b []byte) error {
	lasts, at, placed := strings.Cut(string(b), "@")
	d, err := time.ParseDuration(lasts)
	if err != nil || d <= 0 || d > longestOutage {
		return fmt.Errorf("%q is no cut of at most %v such as \"3s\" or, 5 s after the first vehicle, \"3s@5s\"", b, longestOutage)
	}
	read := outage{lasts: d, at: -1}
	if placed {
		if read.at, err = time.ParseDuration(at); err != nil || read.at < 0 {
			return fmt.Errorf("%q: %q is no time after the first vehicle such as \"5s\"", b, at)
		}
	}
	*o = read
	return nil
}

// faults is what goes wrong in a run. What was asked for and did not happen is
// an error at its end: a test that kills nobody proves nothing.
type faults struct {
	kills []float64 // of the way, rising; done ones are taken off
	cutAt float64   // of the way; over 1: not by the way
	rest  *rand.Rand

	mu     sync.Mutex // timers and the driver
	cuts   int
	back   sync.WaitGroup // networks that are to come back
	mended context.Context
	mend   context.CancelFunc
}

// planFaults draws the moments: between a twentieth of the way, when the lane
// is at work, and four fifths, so that the rest shows the recovery.
func planFaults(seed uint64, kills int, cut outage) *faults {
	f := &faults{rest: rand.New(rand.NewPCG(seed, 0xdead)), cutAt: 2}
	for range kills {
		f.kills = append(f.kills, 0.05+0.75*f.rest.Float64())
	}
	slices.Sort(f.kills)
	if cut.lasts > 0 && cut.at < 0 {
		f.cutAt = 1.0 / 3
	}
	f.mended, f.mend = context.WithCancel(context.Background())
	return f
}

// due takes off the kills whose moment has come.
func (f *faults) due(way float64) int {
	n := 0
	for n < len(f.kills) && f.kills[n] <= way {
		n++
	}
	f.kills = f.kills[n:]
	return n
}

// undone is an error that tells what has not happened.
func (f *faults) undone(cut outage) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	if len(f.kills) > 0 {
		errs = append(errs, fmt.Errorf("%d kills of boothd found no moment in this run: let it be longer", len(f.kills)))
	}
	if cut.lasts > 0 && f.cuts == 0 {
		errs = append(errs, errors.New("the network was not cut in this run: let it be longer, or cut it sooner"))
	}
	return errors.Join(errs...)
}

// cut takes the network away and brings it back when the time is over or
// nobody waits for it any more.
func (d *demo) cut() {
	d.faults.mu.Lock()
	d.faults.cuts++
	d.faults.mu.Unlock()
	d.say("-- the network is cut for %v\n", d.Cut.lasts)
	d.net.cut(true)
	t := time.NewTimer(d.Cut.lasts)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.faults.mended.Done():
	}
	d.net.cut(false)
	d.say("-- the network is back\n")
}

// cutLater cuts at the time that was asked for, unless the road ends before.
func (d *demo) cutLater(road context.Context) {
	t := time.NewTimer(d.Cut.at)
	defer t.Stop()
	select {
	case <-t.C:
		d.cut()
	case <-road.Done():
	}
}

// killBoothd kills it while a vehicle is in the lane and waits until it is
// back at work. A road that ends in the meantime makes the kill come sooner.
func (d *demo) killBoothd(ctx, road context.Context, after time.Duration, times int) error {
	for range times {
		d.hw.pause(road, after)
		if ctx.Err() != nil {
			return nil // all is being stopped
		}
		d.say("-- kill -9 boothd\n")
		if err := d.boothd.kill(); err != nil {
			return err
		}
		d.sum.Kills++
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if p, err := d.picture(ctx); err == nil && p.Health == status.Healthy {
			return nil
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("boothd does not come back after a kill%s", tail(d.boothd.log))
}
