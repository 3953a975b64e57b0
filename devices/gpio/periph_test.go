package gpio

import (
	"errors"
	"testing"

	periph "periph.io/x/conn/v3/gpio"
)

func TestPeriph(t *testing.T) {
	far, chip, _ := socket(t)
	green := out(t, chip, OutConfig{Point: "traveller_green", Line: "GREEN", ActiveLow: true})
	loop := in(t, chip, InConfig{Point: "booth_loop", Line: "LOOP", ActiveLow: true})
	if green.Read() != periph.High || green.Function() != "Out/High" || green.String() != "traveller_green(GREEN)" {
		t.Errorf("%s at rest: %s, %s", green, green.Read(), green.Function())
	}
	if err := green.Out(periph.Low); err != nil || far.Outputs()["GREEN"] {
		t.Errorf("Out(Low): %v, electrical %v", err, far.Outputs())
	}
	if err := green.Halt(); err != nil || !far.Outputs()["GREEN"] {
		t.Errorf("Halt: %v, electrical %v", err, far.Outputs())
	}
	if loop.Out(periph.High) == nil || green.In(periph.PullNoChange, periph.BothEdges) == nil || loop.In(periph.PullUp, periph.NoEdge) == nil {
		t.Error("a claimed line lets itself be turned round or pulled")
	}
	if err := loop.In(periph.PullNoChange, periph.FallingEdge); err != nil || loop.Read() != periph.High {
		t.Errorf("In: %v, level %s", err, loop.Read())
	}
	if err := errors.Join(far.Set("LOOP", false), far.Set("LOOP", true)); err != nil {
		t.Fatal(err)
	}
	if !loop.WaitForEdge(-1) {
		t.Error("no falling edge")
	}
	if loop.Read() != periph.High || loop.WaitForEdge(0) {
		t.Error("the rising edge was not chosen")
	}
	far.Break()
	if loop.WaitForEdge(-1) || loop.Read() != periph.High {
		t.Error("a chip that vanished has edges, or another level than the last")
	}
}
