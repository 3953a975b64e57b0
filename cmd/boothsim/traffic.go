package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"boothd/agent/passage"
	"boothd/agent/status"
)

// seenWithin is how long the booth may take to show a passage that is over.
const seenWithin = 3 * time.Second

// traffic drives the plan through the lane, with what is to go wrong meanwhile.
func (d *demo) traffic(ctx context.Context) error {
	if d.For > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, d.For)
		defer stop()
	}
	kills := map[int]int{} // vehicle -> kills while it drives
	r := rand.New(rand.NewPCG(d.Seed, 0xdead))
	for range d.Kill {
		kills[1+r.IntN(max(len(d.plan)-2, 1))]++
	}
	cutAt := len(d.plan) / 3
	for i, v := range d.plan {
		if ctx.Err() != nil {
			return nil
		}
		if err := d.boothd.dead(); err != nil {
			return err
		}
		if d.Cut > 0 && i == cutAt {
			d.cut()
		}
		killed := make(chan error, 1)
		if kills[i] > 0 {
			d.sum.Kills += kills[i]
			after := time.Duration(float64(r.IntN(2500)) / d.Speed * float64(time.Millisecond))
			go func() { killed <- d.killAfter(after, kills[i]) }()
		} else {
			killed <- nil
		}
		if err := d.hw.drive(ctx, v, func() { d.decided(ctx) }); err != nil {
			return err
		}
		if err := <-killed; err != nil {
			return err
		}
		if err := d.tell(ctx, v, kills[i] > 0); err != nil {
			return err
		}
		d.hw.pause(ctx, 400*time.Millisecond)
	}
	return nil
}

// cut takes the network away for a while.
func (d *demo) cut() {
	d.sum.Cuts++
	d.say("-- the network is cut for %v\n", d.Cut)
	d.net.cut(true)
	time.AfterFunc(d.Cut, func() {
		d.net.cut(false)
		d.say("-- the network is back\n")
	})
}

// killAfter kills boothd and waits until it is back at work.
func (d *demo) killAfter(after time.Duration, times int) error {
	for range times {
		time.Sleep(after)
		d.say("-- kill -9 boothd\n")
		if err := d.boothd.kill(); err != nil {
			return err
		}
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if p, err := d.picture(context.Background()); err == nil && p.Health == status.Healthy {
			return nil
		}
	}
	return fmt.Errorf("boothd does not come back after a kill%s", tail(d.boothd.log))
}

// decided waits until the booth advises on the vehicle at the booth, as an
// officer would, and keeps what it says.
func (d *demo) decided(ctx context.Context) {
	for end := time.Now().Add(time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if p, err := d.picture(ctx); err == nil && p.Lane.Now != nil && p.Lane.Durable {
			d.advice = *p.Lane.Now
			return
		}
	}
}

// tell waits for the passage's end on the status page and prints its line.
func (d *demo) tell(ctx context.Context, v vehicle, killed bool) error {
	for end := time.Now().Add(seenWithin); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		p, err := d.picture(ctx)
		if err != nil || len(p.Last) == 0 || d.seen[p.Last[0].ID] {
			continue
		}
		told := p.Last[0]
		for _, l := range p.Last {
			d.seen[l.ID] = true
		}
		if killed {
			break // it is another passage than it set out as
		}
		if told.Advice.Lead.Code == int(passage.OfficerRefer) && !slices.Contains(v.kind.lead, told.Advice.Lead.Code) {
			told.Advice = d.advice // what made the officer refer says more
		}
		d.took = append(d.took, told.DecisionUS)
		d.sum.note(v, told)
		d.say("%s\n", line(v, told))
		return nil
	}
	if ctx.Err() != nil {
		return nil
	}
	if !killed {
		return fmt.Errorf("vehicle %q was never seen to pass%s", v.kind.name, tail(d.boothd.log))
	}
	d.sum.Unseen++
	return nil
}
