package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/passage"
	"boothd/agent/signal"
)

// rail is a signal head's wiring: it keeps every level that was set, and can
// refuse.
type rail struct {
	t      *testing.T
	mu     sync.Mutex
	levels map[signal.Lamp]bool
	refuse signal.Lamp
	greens int
}

type tap struct {
	r *rail
	l signal.Lamp
}

func (p tap) Set(on bool) error {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	if p.r.refuse == p.l {
		return errors.New("input/output error")
	}
	if on && !p.r.levels[signal.TravellerGreen] && p.l == signal.TravellerGreen {
		p.r.greens++
	}
	p.r.levels[p.l] = on
	if p.r.levels[signal.TravellerGreen] && (p.r.levels[signal.TravellerRed] || p.r.levels[signal.TravellerAmber]) {
		p.r.t.Error("green with red or amber")
	}
	return nil
}

// refuses makes one lamp's line dead, or with "" lets all answer.
func (r *rail) refuses(lamp signal.Lamp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = lamp
}

func (r *rail) greened() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.greens
}

func (r *rail) lit(lamp signal.Lamp) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.levels[lamp]
}

func light(t *testing.T, f func(r *rail, l *lamps, fails *int)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rail{t: t, levels: map[signal.Lamp]bool{}}
		outs := map[signal.Lamp]output{}
		for _, lamp := range signal.Lamps {
			outs[lamp] = tap{r, lamp}
		}
		l := newLamps(slog.New(slog.DiscardHandler), outs, []string{"exit_loop", "booth_loop"})
		fails := 0
		l.failed = func(_ context.Context, err error) {
			if err != nil {
				fails++
			}
		}
		l.shown = func(signal.Levels, signal.Aspects, signal.Sight) {}
		l.judged = func(signal.Judged) {}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.run(ctx); close(done) }()
		synctest.Wait()
		f(r, l, &fails)
		cancel()
		<-done
		for _, lamp := range signal.Lamps {
			if r.refuse != lamp && r.levels[lamp] != signal.Safe(lamp) {
				t.Errorf("%s left at %t", lamp, r.levels[lamp])
			}
		}
	})
}

var released = signal.View{Health: signal.Healthy, Active: true, State: passage.Acted, Released: true, Durable: true,
	Decision: passage.Decision{Outcome: passage.Expedite}}

func settleLamps() { time.Sleep(time.Second); synctest.Wait() }

func TestI9_LampsRedAtStartGreenThenSafe(t *testing.T) {
	light(t, func(r *rail, l *lamps, _ *int) {
		if !r.lit(signal.TravellerRed) || r.lit(signal.TravellerGreen) {
			t.Error("not red at start")
		}
		l.show(released)
		settleLamps()
		if !r.lit(signal.TravellerGreen) || !r.lit(signal.GateOpen) {
			t.Error("released, but not green or the gate stays shut")
		}
	})
}

// If red cannot be put out, green is not lit.
func TestI9_ALampThatDoesNotAnswerKeepsGreenDark(t *testing.T) {
	light(t, func(r *rail, l *lamps, fails *int) {
		r.refuses(signal.TravellerRed)
		l.show(released)
		settleLamps()
		if r.greened() > 0 || *fails != 1 {
			t.Errorf("green lit %d times beside a red that does not answer; told %d times", r.greened(), *fails)
		}
		r.refuses("")
		settleLamps()
		if r.greened() != 1 {
			t.Error("not green after the line answered again")
		}
	})
}

// A head whose lines are away takes no other one with it: the officer sees that
// the booth is out, and the traveller that it is red.
func TestI9_AHeadThatIsAwayDarkensNoOther(t *testing.T) {
	light(t, func(r *rail, l *lamps, _ *int) {
		l.show(released)
		settleLamps()
		r.refuses(signal.OfficerGreen)
		l.show(signal.View{})
		settleLamps()
		if r.lit(signal.TravellerGreen) || !r.lit(signal.TravellerRed) {
			t.Error("the traveller's head is dark, since a lamp of the officer's does not answer")
		}
	})
	light(t, func(r *rail, l *lamps, _ *int) {
		r.refuses(signal.TravellerRed)
		l.again() // the officer's lines came back, the traveller's did not
		l.show(signal.View{Health: signal.Healthy, Active: true, State: passage.AtBooth, Decision: passage.Decision{Outcome: passage.Refer}})
		settleLamps()
		if !r.lit(signal.OfficerHealth) || !r.lit(signal.OfficerRed) {
			t.Error("the officer's head is dark, since a lamp of the traveller's does not answer")
		}
		l.show(signal.View{Health: signal.Healthy, Active: true, State: passage.AtBooth, Durable: true, Decision: passage.Decision{Outcome: passage.Expedite}})
		settleLamps()
		if r.lit(signal.OfficerGreen) {
			t.Error("what invites to go does not wait until every lamp answers")
		}
	})
}

func TestLatestViewCounts(t *testing.T) {
	light(t, func(r *rail, l *lamps, _ *int) {
		for range 1000 {
			l.show(released)
			l.show(signal.View{})
		}
		settleLamps()
		if r.greened() > 0 {
			t.Error("a view that was replaced was shown")
		}
	})
}

func TestGateWaitsForTheVehicle(t *testing.T) {
	light(t, func(r *rail, l *lamps, _ *int) {
		l.show(released)
		settleLamps()
		l.sense(context.Background(), glance{point: "exit_loop", active: true})
		l.show(signal.View{Health: signal.Healthy})
		settleLamps()
		settleLamps()
		if r.lit(signal.GateClose) {
			t.Error("gate closes on the vehicle")
		}
		l.sense(context.Background(), glance{point: "exit_loop"})
		settleLamps()
		settleLamps()
		if !r.lit(signal.GateClose) {
			t.Error("gate stays open")
		}
	})
}
