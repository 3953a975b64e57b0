package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/configs"
)

// glass is two heads whose lamps can fail, with a wire back from each that
// lags as a lamp, its relay and the debounce do.
type glass struct {
	*rail
	l      *lamps
	stuck  signal.Lamp // lit whatever it is told
	burnt  signal.Lamp // dark whatever it is told
	told   chan signal.Judged
	shown  map[signal.Lamp]bool
	shield sync.Mutex
	slow   chan time.Duration // holds one: how long the next Set takes
}

const glassLag = 40 * time.Millisecond

// glow is an output of the glass.
type glow struct {
	tap
	g *glass
}

func (o glow) Set(on bool) error {
	select {
	case d := <-o.g.slow:
		time.Sleep(d)
	default:
	}
	err := o.tap.Set(on)
	o.g.reflect()
	return err
}

// reflect tells, after the lag, which lamps have changed.
func (g *glass) reflect() {
	time.AfterFunc(glassLag, func() {
		g.shield.Lock()
		defer g.shield.Unlock()
		for _, lamp := range signal.Watched() {
			is := (g.lit(lamp) || g.stuck == lamp) && g.burnt != lamp
			if was, known := g.shown[lamp]; !known || was != is {
				g.shown[lamp] = is
				g.l.seen <- glance{point: string(lamp) + configs.Lit, active: is, at: time.Now()}
			}
		}
	})
}

// fails breaks one lamp, or with "" mends them.
func (g *glass) fails(stuck, burnt signal.Lamp) {
	g.shield.Lock()
	g.stuck, g.burnt = stuck, burnt
	g.shield.Unlock()
	g.reflect()
}

// verdict is the newest word of the monitor.
func (g *glass) verdict() (j signal.Judged) {
	synctest.Wait()
	for {
		select {
		case j = <-g.told:
		default:
			return j
		}
	}
}

// behind runs the lamps behind glass.
func behind(t *testing.T, f func(g *glass)) {
	synctest.Test(t, func(t *testing.T) {
		g := &glass{rail: &rail{t: t, levels: map[signal.Lamp]bool{}}, told: make(chan signal.Judged, 1000), slow: make(chan time.Duration, 1), shown: map[signal.Lamp]bool{}}
		outs := map[signal.Lamp]output{}
		for _, lamp := range signal.Lamps {
			outs[lamp] = glow{tap{g.rail, lamp}, g}
		}
		var ins []string
		for _, lamp := range signal.Watched() {
			ins = append(ins, string(lamp)+configs.Lit)
		}
		g.l = newLamps(slog.New(slog.DiscardHandler), outs, ins)
		g.l.failed = func(context.Context, error) {}
		g.l.judged = func(j signal.Judged) { g.told <- j }
		g.l.shown = func(signal.Levels, signal.Aspects, signal.Sight) {}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { g.l.run(ctx); close(done) }()
		f(g)
		cancel()
		<-done
		time.Sleep(time.Second) // what was on its way
		for _, lamp := range signal.Lamps {
			if g.lit(lamp) != signal.Safe(lamp) {
				t.Errorf("%s left at %t", lamp, g.lit(lamp))
			}
		}
	})
}

// isSafe tells whether everything is told to be at red and shut; the health
// lamp blinks, and the gate may be closing.
func (g *glass) isSafe() bool {
	return g.lit(signal.TravellerRed) && !slices.ContainsFunc(signal.Lamps[1:], func(l signal.Lamp) bool {
		return l != signal.OfficerHealth && l != signal.GateClose && g.lit(l)
	})
}

var readyTwo = signal.View{Health: signal.Healthy, Active: true, State: passage.AtBooth, Durable: true, Decision: passage.Decision{Ready: 2}}

func TestI9_LampsThatWorkAreNeverAtFault(t *testing.T) {
	behind(t, func(g *glass) {
		if j := g.verdict(); !j.Doubt || j.Fault != (signal.Fault{}) {
			t.Errorf("before anything was seen: %+v", j)
		}
		for _, v := range []signal.View{{Health: signal.Healthy}, released, readyTwo, {Health: signal.Healthy, Active: true, State: passage.AtBooth, Decision: passage.Decision{Outcome: passage.Hold}}, released, {}} {
			g.l.show(v)
			time.Sleep(10 * time.Second)
		}
		if j := g.verdict(); j != (signal.Judged{}) {
			t.Errorf("%+v", j)
		}
		if g.greened() != 2 {
			t.Errorf("green %d times", g.greened())
		}
	})
}

// A fault brings everything to red by the lamps alone, in the time that is laid
// down for it, and keeps it there.
func TestI9_AFaultBringsAllToRed(t *testing.T) {
	for _, tc := range []struct {
		name         string
		show         signal.View
		stuck, burnt signal.Lamp
		want         signal.Fault
		from, to     time.Duration
	}{
		{"green stuck while red", signal.View{Health: signal.Healthy}, signal.TravellerGreen, "", signal.Fault{Head: "traveller", Lamp: signal.TravellerGreen, Kind: signal.Conflict}, 200, 450},
		{"red stuck beside green", released, signal.TravellerRed, "", signal.Fault{Head: "traveller", Lamp: signal.TravellerGreen, Kind: signal.Conflict}, 200, 450},
		{"officer's green stuck", signal.View{Health: signal.Healthy}, signal.OfficerGreen, "", signal.Fault{Head: "officer", Lamp: signal.OfficerGreen, Kind: signal.Conflict}, 200, 450},
		{"officer's green stuck in its pause", readyTwo, signal.OfficerGreen, "", signal.Fault{Head: "officer", Lamp: signal.OfficerGreen, Kind: signal.Conflict}, 200, 3000},
		{"green burnt out", released, "", signal.TravellerGreen, signal.Fault{Head: "traveller", Lamp: signal.TravellerGreen, Kind: signal.Dark}, 700, 1000},
		{"red burnt out", signal.View{Health: signal.Healthy}, "", signal.TravellerRed, signal.Fault{Head: "traveller", Lamp: signal.TravellerRed, Kind: signal.Dark}, 700, 1000},
		{"amber stuck", signal.View{Health: signal.Healthy}, signal.TravellerAmber, "", signal.Fault{Head: "traveller", Lamp: signal.TravellerAmber, Kind: signal.Stuck}, 700, 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			behind(t, func(g *glass) {
				g.l.show(tc.show)
				time.Sleep(5 * time.Second)
				g.verdict()
				g.fails(tc.stuck, tc.burnt)
				time.Sleep(tc.from * time.Millisecond)
				if j := g.verdict(); j != (signal.Judged{}) {
					t.Errorf("after %d ms: %+v", tc.from, j)
				}
				time.Sleep((tc.to - tc.from) * time.Millisecond)
				if j := g.verdict(); j.Fault != tc.want {
					t.Fatalf("after %d ms: %+v, want %+v", tc.to, j.Fault, tc.want)
				}
				time.Sleep(60 * time.Millisecond) // the interlock's pause
				if !g.isSafe() {
					t.Error("not at red")
				}
				g.fails("", "")
				g.l.show(signal.View{})
				g.l.show(released)
				time.Sleep(time.Minute)
				if !g.isSafe() {
					t.Error("not latched: green once the lamp was right again")
				}
			})
		})
	}
}

// What lasts for less is no fault: a lamp that flickers, a relay that bounces.
func TestI9_AShortGlimpseIsNoFault(t *testing.T) {
	behind(t, func(g *glass) {
		time.Sleep(time.Second)
		g.verdict()
		for range 20 {
			g.fails(signal.TravellerGreen, "")
			time.Sleep(200 * time.Millisecond)
			g.fails("", "")
			time.Sleep(200 * time.Millisecond)
			g.fails("", signal.TravellerRed)
			time.Sleep(700 * time.Millisecond)
			g.fails("", "")
			time.Sleep(200 * time.Millisecond)
		}
		if j := g.verdict(); j != (signal.Judged{}) {
			t.Errorf("%+v", j)
		}
	})
}

// An output that takes its time holds its lamp meanwhile, as it was told before.
func TestI9_ASlowOutputIsNoFault(t *testing.T) {
	behind(t, func(g *glass) {
		for range 5 {
			g.l.show(released)
			time.Sleep(5 * time.Second)
			g.verdict()
			g.slow <- 950 * time.Millisecond
			g.l.show(signal.View{Health: signal.Healthy})
			time.Sleep(5 * time.Second)
			if j := g.verdict(); j != (signal.Judged{}) {
				t.Fatalf("%+v", j)
			}
		}
	})
}

// What an input said while this process was held up counts before the timer
// that went off meanwhile.
func TestI9_WhatIsLongOverIsNoFault(t *testing.T) {
	behind(t, func(g *glass) {
		time.Sleep(time.Second)
		for range 20 {
			g.verdict()
			g.fails(signal.TravellerGreen, "")
			time.Sleep(100 * time.Millisecond)
			g.slow <- time.Second
			g.l.show(readyTwo)
			time.Sleep(50 * time.Millisecond)
			g.fails("", "")
			time.Sleep(3 * time.Second)
			if j := g.verdict(); j != (signal.Judged{}) {
				t.Fatalf("%+v", j)
			}
			g.l.show(signal.View{Health: signal.Healthy})
			time.Sleep(3 * time.Second)
		}
	})
}

// Only a head that is right is reset; then the lane goes on.
func TestI9_ResetOnlyWhenTheHeadIsRight(t *testing.T) {
	behind(t, func(g *glass) {
		g.l.show(released)
		time.Sleep(time.Second)
		g.fails(signal.TravellerRed, "")
		time.Sleep(time.Second)
		g.l.show(signal.View{Health: signal.Healthy})
		g.fails(signal.TravellerGreen, "")
		time.Sleep(time.Second)
		if g.l.reset(context.Background()) {
			t.Error("reset while green is stuck")
		}
		g.fails("", "")
		time.Sleep(time.Second)
		if !g.l.reset(context.Background()) {
			t.Error("not reset though the head is right")
		}
		if j := g.verdict(); j != (signal.Judged{}) {
			t.Errorf("after the reset: %+v", j)
		}
		g.l.show(released)
		time.Sleep(time.Second)
		if !g.lit(signal.TravellerGreen) {
			t.Error("no green after the reset")
		}
	})
}

// A wire that is lost is doubt and no fault; heard again, it is neither.
func TestI1_LostFeedbackIsDoubt(t *testing.T) {
	behind(t, func(g *glass) {
		time.Sleep(time.Second)
		g.verdict()
		lost := glance{point: "traveller_red" + configs.Lit, lost: true, at: time.Now()}
		g.l.sense(context.Background(), lost)
		time.Sleep(time.Minute)
		if j := g.verdict(); j != (signal.Judged{Doubt: true}) {
			t.Errorf("lost: %+v", j)
		}
		if g.l.reset(context.Background()) {
			t.Error("reset while red cannot be seen")
		}
		lost.lost, lost.active, lost.at = false, true, time.Now()
		g.l.sense(context.Background(), lost)
		if j := g.verdict(); j != (signal.Judged{}) {
			t.Errorf("heard again: %+v", j)
		}
	})
}

// The gate stays open over an input that nobody can read, and over each of the
// two; it closes a second after both are clear.
func TestI9_TheGateClosesOnNobodyInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rail{t: t, levels: map[signal.Lamp]bool{}}
		outs := map[signal.Lamp]output{}
		for _, lamp := range signal.Lamps {
			outs[lamp] = tap{r, lamp}
		}
		l := newLamps(slog.New(slog.DiscardHandler), outs, []string{"exit_loop", "obstacle", "release"})
		l.failed, l.judged, l.shown = func(context.Context, error) {}, func(signal.Judged) {}, func(signal.Levels, signal.Aspects, signal.Sight) {}
		g := newGroup(context.Background())
		g.run(l.run)
		for _, step := range []struct {
			what   string
			see    glance
			closed bool
		}{
			{"nothing known", glance{point: "release"}, false},
			{"beam not known", glance{point: "exit_loop"}, false},
			{"both clear", glance{point: "obstacle"}, true},
			{"beam broken", glance{point: "obstacle", active: true}, false},
			{"and the loop", glance{point: "exit_loop", active: true}, false},
			{"beam clear", glance{point: "obstacle"}, false},
			{"loop lost", glance{point: "exit_loop", lost: true}, false},
			{"loop clear", glance{point: "exit_loop"}, true},
			{"beam lost", glance{point: "obstacle", lost: true}, false},
		} {
			l.sense(context.Background(), step.see)
			if time.Sleep(900 * time.Millisecond); r.lit(signal.GateClose) {
				t.Errorf("%s: closes within a second", step.what)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if r.lit(signal.GateClose) != step.closed {
				t.Errorf("%s: told to close %t", step.what, r.lit(signal.GateClose))
			}
		}
		g.stop()
	})
}

// The lane is out, says 212 and why, keeps the fault over a restart and records
// its end.
func TestI9_TheLaneOverAFaultOfTheLamps(t *testing.T) {
	file := newLatch(t.TempDir())
	fault := signal.Fault{Head: "traveller", Lamp: signal.TravellerGreen, Kind: signal.Conflict}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		judged := make(chan signal.Judged, 1)
		b.lane.judged, b.lane.latch = judged, file
		said := func(v signal.Judged) picture { judged <- v; synctest.Wait(); return b.now() }
		b.run(func() {
			b.arrive(goodCard)
			b.press("count_1")
			if p := b.now(); p.Decision.Outcome != passage.Expedite {
				t.Fatalf("%+v", p.Decision)
			}
			if p := said(signal.Judged{Doubt: true}); p.Decision.Lead != passage.SignalFault || p.Health != signal.Degraded {
				t.Errorf("in doubt: %+v, health %d", p.Decision, p.Health)
			}
			said(signal.Judged{})
			p := said(signal.Judged{Fault: fault})
			if p.Decision.Lead != passage.SignalFault || p.Health != signal.Out || !slices.Equal(p.Why, []passage.Code{passage.SignalFault}) || p.Judged.Fault != fault {
				t.Errorf("at fault: %+v", p)
			}
			if kept, err := file.read(); err != nil || kept != fault {
				t.Errorf("kept %+v, %v", kept, err)
			}
			if a := signal.Show(p.View); a.OfficerGreen != signal.Off || a.OfficerHealth != signal.Fast {
				t.Errorf("shows %+v", a)
			}
			if p := said(signal.Judged{}); p.Decision.Outcome != passage.Expedite || p.Health != signal.Healthy {
				t.Errorf("reset: %+v, health %d", p.Decision, p.Health)
			}
			if kept, err := file.read(); err != nil || kept != (signal.Fault{}) {
				t.Errorf("after the reset kept %+v, %v", kept, err)
			}
		})
		var told []string
		for _, e := range b.kept {
			switch d := e.(type) {
			case contract.SignalFault:
				d.Clock = contract.Clock{}
				told = append(told, strings.Join([]string{d.Head, d.Lamp, d.Fault, map[bool]string{true: "latched"}[d.Latched]}, " "))
			case contract.Notice:
				told = append(told, d.What+" "+d.Detail)
			case contract.CrossingDecided:
				told = append(told, d.Mode)
			}
		}
		want := []string{"staffed", "staffed", "all all unreadable ", "staffed", "staffed", "traveller traveller_green conflict latched", "manual", "signal_reset traveller traveller_green: conflict", "staffed"}
		if !slices.Equal(told, want) {
			t.Errorf("recorded %q, want %q", told, want)
		}
	})
}

// A record of a fault that cannot be read is a fault.
func TestI9_ADamagedLatchIsAFault(t *testing.T) {
	for _, text := range []string{"", "{}", "{", "null", strings.Repeat("x", 10000)} {
		k := newLatch(t.TempDir())
		if err := os.WriteFile(k.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := k.read(); err == nil || f.Kind != signal.Forgotten {
			t.Errorf("%.10q: %+v, %v", text, f, err)
		}
		if err := k.keep(signal.Fault{}); err != nil {
			t.Error(err)
		}
		if f, err := k.read(); err != nil || f != (signal.Fault{}) {
			t.Errorf("after the reset: %+v, %v", f, err)
		}
	}
	if f, err := (latch{filepath.Join(t.TempDir(), "none")}).read(); err != nil || f != (signal.Fault{}) {
		t.Errorf("without a record: %+v, %v", f, err)
	}
}
