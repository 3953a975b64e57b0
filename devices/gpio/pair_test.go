package gpio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"boothd/devices"
	"boothd/devices/sim"
)

// fall puts the event of a falling edge into a claimed pair's file.
func (l *fakeLine) fall(t *testing.T, offset, seq uint32) int64 {
	t.Helper()
	stamp, err := monotonic()
	if err == nil {
		b := encodeEvent(event{stamp: stamp})
		binary.NativeEndian.PutUint32(b[12:], offset)
		binary.NativeEndian.PutUint32(b[16:], seq)
		_, err = l.feed.Write(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return stamp
}

// short writes pulses down: the line, and a "!" where some were lost.
func short(all []devices.Pulse) (s string) {
	for _, p := range all {
		s += fmt.Sprint(p.Line)
		if p.Lost {
			s += "!"
		}
	}
	return s
}

func TestPairFromKernel(t *testing.T) {
	k, far, chip := device0(t, "LOOP", "D0", "D1", "BUZZER")
	p, err := chip.Pair(PairConfig{Point: "door", Lines: [2]string{"D0", "D1"}})
	if err != nil {
		t.Fatal(err)
	}
	d0 := far.lines[1]
	if want := (claim{offset: 1, point: "door"}).encodePair(2); !slices.Equal(d0.request, want) {
		t.Errorf("claimed with % x", d0.request)
	}
	for lines, want := range map[[2]string]string{
		{"D0", "BUZZER"}: `claiming inputs p on lines D0 and BUZZER of /dev/gpiochip0: GPIO line in use by "boothd:door"`,
		{"BUZZER", "D1"}: `claiming inputs p on lines BUZZER and D1 of /dev/gpiochip0: GPIO line in use by "boothd:door"`,
		{"LOOP", "D2"}:   `claiming inputs p on lines LOOP and D2 of /dev/gpiochip0: D2: no such GPIO line`,
		{"LOOP", "LOOP"}: `claiming inputs p on lines LOOP and LOOP of /dev/gpiochip0: they are one line`,
	} {
		if _, err := chip.Pair(PairConfig{Point: "p", Lines: lines}); err == nil || err.Error() != want {
			t.Errorf("Pair = %v, want %s", err, want)
		}
	}
	for level, want := range map[uint64][2]bool{3: {}, 2: {true, false}, 1: {false, true}} {
		d0.level = level
		if low, err := p.Low(); err != nil || low != want {
			t.Errorf("levels %b are %v, %v", level, low, err)
		}
	}
	before := time.Now()
	stamp := d0.fall(t, 2, 1)
	got, ok, err := p.Next(t.Context(), time.Minute)
	want := devices.Pulse{Line: 1, Stamp: time.Duration(stamp), At: got.At}
	if err != nil || !ok || got != want || got.At.Before(before) || got.At.After(time.Now()) {
		t.Errorf("pulse %+v, %v, %v; want %+v", got, ok, err, want)
	}
	if _, ok, err := p.Next(t.Context(), time.Millisecond); ok || err != nil {
		t.Errorf("a pulse out of nothing, %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if _, _, err := p.Next(ctx, time.Hour); err != context.Canceled {
		t.Errorf("ctx ended and Next with %v", err)
	}
	k.fail(unix.ENODEV)
	if _, err := p.Low(); !errors.Is(err, ErrGone) {
		t.Errorf("a chip that is gone: %v", err)
	}
	k.fail(nil)
	if err := chip.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := p.Next(t.Context(), time.Hour); err == nil {
		t.Error("a pulse of a closed chip")
	}
}

// TestPairOrder: a thread for each line reports its edges, and the number tells
// their order; what does not come in time was lost.
func TestPairOrder(t *testing.T) {
	for name, s := range map[string]struct {
		seqs []uint32 // as reported; the line is that of the number, odd or even
		want string
	}{
		"in order":                {[]uint32{1, 2, 3}, "101"},
		"two the other way":       {[]uint32{2, 1, 4, 3}, "1010"},
		"three lines' worth":      {[]uint32{3, 2, 1}, "101"},
		"one never comes":         {[]uint32{1, 3, 4}, "11!0"},
		"the oldest were dropped": {[]uint32{40, 41}, "0!1"},
		"later than waited for":   {[]uint32{3, 0, 4, 2}, "1!00!"}, // 0: nothing comes for a while
	} {
		t.Run(name, func(t *testing.T) {
			_, far, chip := device0(t, "D0", "D1")
			p, err := chip.Pair(PairConfig{Point: "door", Lines: [2]string{"D0", "D1"}})
			if err != nil {
				t.Fatal(err)
			}
			var got []devices.Pulse
			drain := func() {
				for {
					pulse, ok, err := p.Next(t.Context(), time.Millisecond)
					if err != nil {
						t.Fatal(err)
					}
					if !ok {
						return
					}
					got = append(got, pulse)
				}
			}
			for _, seq := range s.seqs {
				if seq == 0 {
					drain()
					continue
				}
				far.lines[0].fall(t, seq%2, seq)
			}
			drain()
			if short(got) != s.want {
				t.Errorf("pulses %s, want %s", short(got), s.want)
			}
		})
	}
}

// wired joins a pair and a simulated chip inside a bubble.
func wired(t *testing.T) (*sim.Chip, *Chip, *Pair) {
	t.Helper()
	far := sim.NewChip(sim.ChipLine{Name: "D0", Pull: true}, sim.ChipLine{Name: "D1", Pull: true}, sim.ChipLine{Name: "LOOP"})
	here, there := net.Pipe()
	go far.Serve(there)
	chip, err := OpenWire(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	p, err := chip.Pair(PairConfig{Point: "door", Lines: [2]string{"D0", "D1"}})
	if err != nil {
		t.Fatal(err)
	}
	return far, chip, p
}

func TestPairOfASimulatedChip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, chip, p := wired(t)
		defer chip.Close()
		if got := far.Claims(); len(got) != 2 || got["D0"] != "boothd:door" || got["D1"] != "boothd:door" {
			t.Errorf("claims %v", got)
		}
		for _, lines := range [][2]string{{"D0", "LOOP"}, {"LOOP", "D1"}} {
			if _, err := chip.Pair(PairConfig{Point: "p", Lines: lines}); !errors.Is(err, ErrBusy) {
				t.Errorf("%v are claimed twice: %v", lines, err)
			}
		}
		time.Sleep(time.Second)
		now := time.Now()
		sent := []devices.Pulse{{Line: 1}, {Line: 0, Stamp: time.Millisecond}, {Line: 0, Stamp: 20 * time.Millisecond}}
		if err := far.Pulse([2]string{"D0", "D1"}, sent); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for i := range sent {
			got, ok, err := p.Next(t.Context(), time.Minute)
			if err != nil || !ok || got.Lost || got.Line != sent[i].Line || got.At.Sub(now.Add(sent[i].Stamp)).Truncate(time.Microsecond) != 0 {
				t.Errorf("pulse %d is %+v, %v, %v", i, got, ok, err)
			}
		}
		for line, want := range map[string][2]bool{"D0": {true, false}, "D1": {false, true}} {
			if err := far.Set(line, false); err != nil {
				t.Fatal(err)
			}
			if low, err := p.Low(); err != nil || low != want {
				t.Errorf("%s is low: %v, %v", line, low, err)
			}
			if got, ok, err := p.Next(t.Context(), time.Minute); !ok || err != nil || got.Line == 0 != want[0] {
				t.Errorf("%s falls: %+v, %v", line, got, err)
			}
			if err := far.Set(line, true); err != nil {
				t.Fatal(err)
			}
			if got, ok, err := p.Next(t.Context(), time.Minute); ok || err != nil {
				t.Errorf("%s rises: %+v, %v", line, got, err)
			}
		}
		far.Break()
		if _, _, err := p.Next(t.Context(), time.Minute); !errors.Is(err, ErrGone) {
			t.Errorf("the chip is gone: %v", err)
		}
	})
}

// TestPairOverflow: nobody takes the pulses; the oldest go, and that is told.
func TestPairOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, chip, p := wired(t)
		defer chip.Close()
		for range 6 {
			if err := far.Pulse([2]string{"D0", "D1"}, make([]devices.Pulse, pairEvents/5)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		lost := 0
		for n := range pairEvents {
			got, ok, err := p.Next(t.Context(), time.Second)
			if !ok || err != nil || got.Lost && n > 0 {
				t.Fatalf("pulse %d of those kept: %+v, %v", n, got, err)
			}
			if got.Lost {
				lost++
			}
		}
		if _, ok, _ := p.Next(t.Context(), time.Second); ok || lost != 1 {
			t.Errorf("more than %d kept: %v; told %d times", pairEvents, ok, lost)
		}
	})
}
