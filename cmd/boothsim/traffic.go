package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"boothd/agent/passage"
)

// seenWithin is how long the booth may take to show a passage that is over.
const seenWithin = 3 * time.Second

// traffic drives the plan through the lane, with what is to go wrong meanwhile.
func (d *demo) traffic(ctx context.Context) error {
	road, end := context.WithCancel(ctx)
	defer end()
	if d.For > 0 {
		road, end = context.WithTimeout(ctx, d.For)
		defer end()
	}
	unhook := context.AfterFunc(ctx, d.faults.mend) // Ctrl-C waits for no network
	defer unhook()
	if d.Cut.at >= 0 && d.Cut.lasts > 0 {
		d.faults.back.Go(func() { d.cutLater(road) })
	}
	began := time.Now()
	for i, v := range d.plan {
		if road.Err() != nil {
			break
		}
		if err := errors.Join(d.boothd.dead(), d.hq.dead()); err != nil {
			return err
		}
		if err := d.pass(ctx, road, v, d.way(i, time.Since(began))); err != nil {
			return err
		}
	}
	end()
	d.faults.back.Wait() // what the booth keeps can only arrive after it
	return nil
}

// way is how much of the run is over: of its vehicles or of its time.
func (d *demo) way(vehicles int, took time.Duration) float64 {
	way := float64(vehicles) / float64(len(d.plan))
	if d.For > 0 {
		way = max(way, took.Seconds()/d.For.Seconds())
	}
	return way
}

// pass drives one vehicle through, with the faults whose moment has come.
func (d *demo) pass(ctx, road context.Context, v vehicle, way float64) error {
	if way >= d.faults.cutAt {
		d.faults.cutAt = 2
		d.faults.back.Go(d.cut)
	}
	before, _ := d.picture(ctx) // without one it is as if it had been started anew
	kills := d.faults.due(way)
	killed := make(chan error, 1)
	if kills > 0 {
		after := time.Duration(d.faults.rest.IntN(2500)) * time.Millisecond
		go func() { killed <- d.killBoothd(ctx, road, after, kills) }()
	} else {
		killed <- nil
	}
	err := d.hw.drive(road, v, func() bool { return d.decided(road) })
	if err := errors.Join(err, <-killed); err != nil {
		return err
	}
	if err := d.tell(road, v, before.StartedAt, kills > 0); err != nil {
		return err
	}
	d.hw.pause(road, d.hw.pace.Gap)
	return nil
}

// decided waits until the booth advises on the vehicle at the booth, as an
// officer would, keeps what it says, and tells whether it says to refer.
func (d *demo) decided(ctx context.Context) (refer bool) {
	for end := time.Now().Add(time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if p, err := d.picture(ctx); err == nil && p.Lane.Now != nil && p.Lane.Durable {
			d.advice = *p.Lane.Now
			return d.advice.Outcome == passage.Refer.String()
		}
	}
	return false
}

// tell waits for the passage's end on the status page and prints its line. Of a
// vehicle that drove while boothd was killed, or was started anew by somebody
// else, none is asked for.
func (d *demo) tell(ctx context.Context, v vehicle, begun time.Time, killed bool) error {
	for end := time.Now().Add(seenWithin); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		p, err := d.picture(ctx)
		killed = killed || err == nil && !p.StartedAt.Equal(begun)
		if err != nil || len(p.Last) == 0 || d.seen[p.Last[0].ID] {
			continue
		}
		last := p.Last[0]
		for _, l := range p.Last {
			d.seen[l.ID] = true
		}
		if killed {
			break // it is another passage than it set out as
		}
		if last.Advice.Lead.Code == int(passage.OfficerRefer) && !slices.Contains(v.kind.lead, last.Advice.Lead.Code) {
			last.Advice = d.advice // what made the officer refer says more
		}
		d.took = append(d.took, last.DecisionUS)
		d.sum.note(v, last)
		d.say("%s\n", told(v, last))
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
