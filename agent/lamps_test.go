package agent

import (
	"context"
	"errors"
	"log/slog"
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
	levels map[signal.Lamp]bool
	refuse signal.Lamp
	greens int
}

type tap struct {
	r *rail
	l signal.Lamp
}

func (p tap) Set(on bool) error {
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

func light(t *testing.T, f func(r *rail, l *lamps, fails *int)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rail{t: t, levels: map[signal.Lamp]bool{}}
		outs := map[signal.Lamp]output{}
		for _, lamp := range signal.Lamps {
			outs[lamp] = tap{r, lamp}
		}
		l := newLamps(slog.New(slog.DiscardHandler), outs)
		fails := 0
		l.failed = func(_ context.Context, err error) {
			if err != nil {
				fails++
			}
		}
		l.shown = func(signal.Levels, signal.Aspects) {}
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
		if !r.levels[signal.TravellerRed] || r.levels[signal.TravellerGreen] {
			t.Error("not red at start")
		}
		l.show(released)
		settleLamps()
		if !r.levels[signal.TravellerGreen] || !r.levels[signal.GateOpen] {
			t.Errorf("released: %v", r.levels)
		}
	})
}

// If red cannot be put out, green is not lit.
func TestI9_ALampThatDoesNotAnswerKeepsGreenDark(t *testing.T) {
	light(t, func(r *rail, l *lamps, fails *int) {
		r.refuse = signal.TravellerRed
		l.show(released)
		settleLamps()
		if r.greens > 0 || *fails != 1 {
			t.Errorf("green lit %d times beside a red that does not answer; told %d times", r.greens, *fails)
		}
		r.refuse = ""
		settleLamps()
		if r.greens != 1 {
			t.Error("not green after the line answered again")
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
		if r.greens > 0 {
			t.Error("a view that was replaced was shown")
		}
	})
}

func TestGateWaitsForTheVehicle(t *testing.T) {
	light(t, func(r *rail, l *lamps, _ *int) {
		l.show(released)
		settleLamps()
		l.obstacle(true)
		l.show(signal.View{Health: signal.Healthy})
		settleLamps()
		settleLamps()
		if r.levels[signal.GateClose] {
			t.Error("gate closes on the vehicle")
		}
		l.obstacle(false)
		settleLamps()
		settleLamps()
		if !r.levels[signal.GateClose] {
			t.Error("gate stays open")
		}
	})
}
