package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/relay"
	"boothd/devices/sim"
)

// onBoard takes a rig's loops, buttons and lamps off the chip and hangs them on
// a board of relays on a pty: inputs and relays each in order of name. The red
// lamp is on the contact that is closed at rest.
func onBoard(t *testing.T, r *rig) (board *relay.Sim, in, out map[string]int, pull func()) {
	t.Helper()
	board = &relay.Sim{Protocol: relay.Modbus, Address: 1, Channels: 32}
	far, tty, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	go func() { _ = board.Serve(far) }() // ends with the pty
	b := configs.Board{Name: "relays", Protocol: configs.BoardModbus, Path: configs.Port(tty), Baud: 9600, Address: 1,
		In: map[string]configs.BoardIn{}, Out: map[string]configs.BoardOut{}}
	in, out = map[string]int{}, map[string]int{}
	for point, w := range r.cfg.GPIO.In {
		in[point] = len(in) + 1
		b.In[point] = configs.BoardIn{Channel: in[point], Debounce: w.Debounce}
	}
	for point := range r.cfg.GPIO.Out {
		out[point] = len(out) + 1
		b.Out[point] = configs.BoardOut{Channel: out[point], ActiveLow: point == "traveller_red"}
	}
	r.cfg.GPIO, r.cfg.Boards = configs.GPIO{}, []configs.Board{b}
	return board, in, out, func() { _ = far.Close() }
}

// TestI9_GreenOnABoardLapses: green is lit by a board that puts it out by itself.
// It goes out when the board is cut off: as after kill -9 nobody is there to tell
// it to.
func TestI9_GreenOnABoardLapses(t *testing.T) {
	r := newRig(t)
	board, in, out, pull := onBoard(t, r)
	board.Flash = true
	r.cfg.Boards[0].Lapse = configs.Duration{Duration: 2 * time.Second}
	stop := r.run()
	r.await("online", func(p status.Picture) bool {
		return !slices.ContainsFunc(p.Devices, func(d status.Device) bool { return !d.Online })
	})
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never %s\n%s", what, r.log.String())
			}
		}
	}
	green := func() bool { return board.Relay(out["traveller_green"]) }
	board.SetInput(in["booth_loop"], true)
	r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	press := func(point string) {
		board.SetInput(in[point], true)
		time.Sleep(150 * time.Millisecond)
		board.SetInput(in[point], false)
		time.Sleep(150 * time.Millisecond)
	}
	press("count_1")
	await("green after the release", func() bool { press("release"); return green() })
	pull()
	await("dark after the cut", func() bool { return !green() })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// A box without a GPIO chip drives a whole lane over a board of relays.
func TestLaneOnARelayBoard(t *testing.T) {
	r := newRig(t)
	board, in, out, _ := onBoard(t, r)
	stop := r.run()
	r.await("online", func(p status.Picture) bool {
		return !slices.ContainsFunc(p.Devices, func(d status.Device) bool { return !d.Online })
	})
	lit := func(lamp string) bool { return board.Relay(out[lamp]) != (lamp == "traveller_red") }
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
			if lit("traveller_red") && lit("traveller_green") {
				t.Fatal("I9: red and green")
			}
			if time.Now().After(end) {
				t.Fatalf("never %s\n%s", what, r.log.String())
			}
		}
	}
	await("red at rest", func() bool { return lit("traveller_red") && !lit("traveller_green") })
	set := func(point string, on bool) { board.SetInput(in[point], on) }
	press := func(point string) {
		set(point, true)
		time.Sleep(150 * time.Millisecond)
		set(point, false)
		time.Sleep(150 * time.Millisecond)
	}
	set("booth_loop", true)
	r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	press("count_1")
	press("release")
	await("green after the release", func() bool { return lit("traveller_green") && !lit("traveller_red") })
	set("exit_loop", true)
	time.Sleep(200 * time.Millisecond)
	set("booth_loop", false)
	time.Sleep(200 * time.Millisecond)
	set("exit_loop", false)
	await("red after it", func() bool { return lit("traveller_red") && !lit("traveller_green") })
	r.await("ended", func(p status.Picture) bool { return len(p.Last) == 1 })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for name := range out {
		if on := lit(name); on != (name == "traveller_red") {
			t.Errorf("after the stop %s is %v", name, on)
		}
	}
	if got := types(r.events()); strings.Contains(got, "signal.fault") {
		t.Error(got)
	}
}

// TestI9_BoardThatVanishesLeavesTheLaneOut: no lamp and no loop is believed
// while the board is away, and the lane decides nothing.
func TestI9_BoardThatVanishesLeavesTheLaneOut(t *testing.T) {
	r := newRig(t)
	_, _, _, pull := onBoard(t, r)
	stop := r.run()
	r.await("online", func(p status.Picture) bool { return p.Health != status.Out && p.Lane.State == "idle" })
	pull()
	p := r.await("out", func(p status.Picture) bool { return p.Health == status.Out })
	if !slices.ContainsFunc(p.Devices, func(d status.Device) bool { return d.Name == "relays" && !d.Online }) {
		t.Errorf("%+v", p.Devices)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
