package agent

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/signal"
)

// Asked which one it is, the booth shows it for a while, and then its health
// again; a second call makes it go on.
func TestIdentifyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLamps(slog.New(slog.DiscardHandler), nil, nil)
		l.failed, l.judged = func(context.Context, error) {}, func(signal.Judged) {}
		health := make(chan signal.Rhythm, 10000)
		l.shown = func(_ signal.Levels, a signal.Aspects, _ signal.Sight) { health <- a.OfficerHealth }
		g := newGroup(t.Context())
		g.run(l.run)
		shows := func() (r signal.Rhythm) {
			for time.Sleep(1100 * time.Millisecond); len(health) > 0; { // it is stepped every second
				r = <-health
			}
			return r
		}
		l.show(signal.View{Health: signal.Healthy})
		if got := shows(); got != signal.Steady {
			t.Fatalf("at first rhythm %v", got)
		}
		l.identify()
		if got := shows(); got != signal.Blinks {
			t.Errorf("asked, rhythm %v", got)
		}
		time.Sleep(signal.IdentifyFor - 3*time.Second)
		l.identify()
		time.Sleep(signal.IdentifyFor - 3*time.Second)
		if got := shows(); got != signal.Blinks {
			t.Errorf("asked again, rhythm %v", got)
		}
		l.show(signal.View{Health: signal.Out})
		if got := shows(); got != signal.Fast {
			t.Errorf("out, rhythm %v: it must be told at once", got)
		}
		l.show(signal.View{Health: signal.Healthy})
		time.Sleep(3 * time.Second)
		if got := shows(); got != signal.Steady {
			t.Errorf("at the end rhythm %v", got)
		}
		g.stop()
	})
}
