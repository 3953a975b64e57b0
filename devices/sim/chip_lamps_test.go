package sim_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/gpio"
	"boothd/devices/sim"
)

// A lamp's input follows the lamp and not what it was told, by the driver's own
// claims: through a stuck lamp, a burnt one, two that are swapped, a wire that
// is torn and a driver that ends.
func TestLampsTellWhatTheyShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.NewChip(sim.ChipLine{Name: "RED", Pull: true}, sim.ChipLine{Name: "GREEN"}, sim.ChipLine{Name: "RED-LIT", Pull: true}, sim.ChipLine{Name: "GREEN-LIT"})
		if err := far.Lamps(sim.ChipLamp{Out: "RED", In: "RED-LIT", InLow: true}, sim.ChipLamp{Out: "GREEN", In: "GREEN-LIT"}); err != nil {
			t.Fatal(err)
		}
		near, end := net.Pipe()
		go func() { _ = far.Serve(end) }()
		chip, err := gpio.OpenWire(t.Context(), near)
		if err != nil {
			t.Fatal(err)
		}
		out := func(line string, safe bool) *gpio.Out {
			o, err := chip.Out(gpio.OutConfig{Point: line, Line: line, Safe: safe})
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		in := func(line string, low bool) *gpio.In {
			i, err := chip.In(gpio.InConfig{Point: line, Line: line, ActiveLow: low, Debounce: 20 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			return i
		}
		red, green := out("RED", true), out("GREEN", false)
		sawRed, sawGreen := in("RED-LIT", true), in("GREEN-LIT", false)
		sees := func(when string, wantRed, wantGreen bool) {
			t.Helper()
			time.Sleep(50 * time.Millisecond)
			r, err := sawRed.Level()
			g, err2 := sawGreen.Level()
			if err != nil || err2 != nil || r != wantRed || g != wantGreen || far.Lit("RED") != r && when != "torn" || far.Lit("GREEN") != g {
				t.Errorf("%s: red %v, green %v (%v, %v), want %v and %v", when, r, g, err, err2, wantRed, wantGreen)
			}
		}
		do := func(errs ...error) {
			t.Helper()
			for _, err := range errs {
				if err != nil {
					t.Error(err)
				}
			}
		}
		sees("at start", true, false)
		do(red.Set(false), green.Set(true))
		sees("green", false, true)
		do(far.Fail("RED", sim.LampStuck))
		sees("red stuck", true, true)
		do(far.Fail("RED", sim.LampSound), far.Fail("GREEN", sim.LampBurnt))
		sees("green burnt", false, false)
		do(far.Fail("GREEN", sim.LampSound), far.Swap("RED", "GREEN"))
		sees("swapped", true, false)
		do(far.Swap("GREEN", "RED"), red.Set(true), green.Set(false), far.Tear("RED", true))
		sees("torn", false, false)
		do(far.Tear("RED", false))
		sees("mended", true, false)
		if far.Fail("BLUE", sim.LampStuck) == nil || far.Lamps(sim.ChipLamp{Out: "RED", In: "NONE"}) == nil {
			t.Error("a lamp that is not there")
		}
		do(green.Set(true), chip.Close())
		synctest.Wait()
		if !far.Lit("RED") || far.Lit("GREEN") {
			t.Error("after the driver's end not at its resistors' levels")
		}
	})
}
