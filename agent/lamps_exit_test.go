package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/relay"
)

// A lane that panics while green is shown leaves red behind, and starts anew
// with an empty road.
func TestI9_ALaneThatPanicsShowsRed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(t)
		r := &rail{t: t, levels: map[signal.Lamp]bool{}}
		outs := map[signal.Lamp]output{}
		for _, lamp := range signal.Lamps {
			outs[lamp] = tap{r, lamp}
		}
		l := newLamps(slog.New(slog.DiscardHandler), outs, nil)
		l.failed, l.judged, l.shown = func(context.Context, error) {}, func(signal.Judged) {}, func(signal.Levels, signal.Aspects, signal.Sight) {}
		lane := bench.lane
		var broken atomic.Bool
		lane.show = l.show
		lane.quality = func() passage.Clock {
			if broken.Load() {
				panic("a fault of ours")
			}
			return passage.ClockSynced
		}
		lights, lanes := newGroup(context.Background()), newGroup(context.Background())
		lights.run(l.run)
		b := &booth{log: lane.log, lane: lane, lamps: l}
		lanes.run(b.live)
		synctest.Wait()
		bench.arrive(goodCard)
		bench.press("count_1")
		bench.press("release")
		if time.Sleep(100 * time.Millisecond); !r.lit(signal.TravellerGreen) {
			t.Fatal("not green after the release")
		}
		broken.Store(true)
		time.Sleep(pulseEvery + 100*time.Millisecond) // the pulse looks at the clock
		synctest.Wait()
		if !r.lit(signal.TravellerRed) || r.lit(signal.TravellerGreen) || r.lit(signal.GateOpen) {
			t.Error("not red after the panic")
		}
		broken.Store(false)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if p := bench.now(); p.Active || p.Health != signal.Healthy {
			t.Errorf("not at work again: active %t, health %d", p.Active, p.Health)
		}
		if r.lit(signal.TravellerGreen) {
			t.Error("green for a vehicle that was forgotten")
		}
		lanes.stop()
		lights.stop()
	})
}

// A board that is lost while green is lit comes back at red: what it showed
// before counts for nothing. Lost is what does not answer, too.
func TestI9_ABoardThatIsLostAtGreenComesBackAtRed(t *testing.T) {
	r := newRig(t)
	board, in, out, _ := onBoard(t, r)
	stop := r.run()
	r.await("online", func(p status.Picture) bool { return p.Health != status.Out })
	lit := func(lamp string) bool { return board.Relay(out[lamp]) != (lamp == "traveller_red") }
	board.SetInput(in["booth_loop"], true)
	r.await("at the booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" && p.Lane.Durable })
	for range 2 { // the random draw may refer
		board.SetInput(in["release"], true)
		time.Sleep(150 * time.Millisecond)
		board.SetInput(in["release"], false)
		time.Sleep(150 * time.Millisecond)
	}
	green := func() bool { return lit("traveller_green") && !lit("traveller_red") }
	for end := time.Now().Add(20 * time.Second); !green(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never green")
		}
	}
	board.Mute(true)
	r.await("out", func(p status.Picture) bool { return p.Health == status.Out })
	board.SetInput(in["booth_loop"], false) // it drives away meanwhile
	board.SetInput(in["exit_loop"], false)
	for end := time.Now().Add(20 * time.Second); !lit("traveller_red") || lit("traveller_green"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the board that does not answer is never told to be red")
		}
	}
	board.Mute(false)
	r.await("back", func(p status.Picture) bool { return p.Health != status.Out })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if !lit("traveller_red") || lit("traveller_green") {
		t.Error("not red at the end")
	}
}

// A board's own inputs tell of the lamps on its relays: a contact that welds, a
// lamp that burns out, two wires that were swapped.
func TestI9_ABoardSeesItsLamps(t *testing.T) {
	r := newRig(t)
	board, _, out, _ := onBoard(t, r)
	b := &r.cfg.Boards[0]
	for _, lamp := range []signal.Lamp{signal.TravellerRed, signal.TravellerAmber, signal.TravellerGreen} {
		n := len(b.In) + 1
		b.In[string(lamp)+configs.Lit] = configs.BoardIn{Channel: n, Debounce: configs.Duration{Duration: 20 * time.Millisecond}}
		board.Lamps(relay.SimLamp{Relay: out[string(lamp)], Input: n, AtRest: signal.Safe(lamp)})
	}
	stop := r.run()
	seen := func(p status.Picture) bool {
		return p.Health != status.Out && p.Lamps[0].Seen == "lit" && p.SignalFault == nil
	}
	r.await("sees its lamps", seen)
	red, green := out["traveller_red"], out["traveller_green"]
	reset := func() {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if code := r.put("/lamps/reset"); code == 204 {
				break
			} else if code != 409 || time.Now().After(end) {
				t.Fatalf("reset answers %d", code)
			}
		}
		r.await("no fault", seen)
	}
	for _, tc := range []struct {
		what       string
		fail, mend func()
		lamp, kind string
	}{
		{"green welded", func() { board.Fail(green, true, false) }, func() { board.Fail(green, false, false) }, "traveller_green", "conflict"},
		{"red burnt out", func() { board.Fail(red, false, true) }, func() { board.Fail(red, false, false) }, "traveller_red", "dark"},
		{"wires swapped", func() { board.Swap(red, green) }, func() { board.Swap(green, red) }, "traveller_green", "conflict"},
	} {
		tc.fail()
		r.await(tc.what, func(p status.Picture) bool {
			return p.SignalFault != nil && p.SignalFault.Lamp == tc.lamp && p.SignalFault.Fault == tc.kind && p.Health == status.Out
		})
		tc.mend()
		reset()
	}
	board.Mute(true) // the wires are lost with it: doubt, and out
	r.await("unseen", func(p status.Picture) bool {
		return p.Health == status.Out && p.Lamps[0].Feedback == status.Unseen && p.SignalFault == nil
	})
	board.Mute(false)
	r.await("seen again", seen)
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// put sends an empty PUT to the booth's socket and gives the answer's code.
func (r *rig) put(path string) int {
	r.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", string(r.cfg.Socket))
	}}}
	req, err := http.NewRequest(http.MethodPut, "http://booth"+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
