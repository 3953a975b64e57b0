package main

import (
	"errors"
	"fmt"
	"time"

	"boothd/agent/signal"
)

// tryGateCmd opens the gate and closes it, through the daemon's interlock: it
// opens under green only, and never closes on what stands on the exit loop, nor
// within a second after it has left.
type tryGateCmd struct {
	Name string        `arg:"" optional:"" enum:"gate_open," default:"" help:"gate_open; there is one gate."`
	Yes  bool          `help:"Move it: nobody stands near."`
	Open time.Duration `help:"How long it is kept open." default:"4s"`
	Wait time.Duration `help:"How long to wait for the exit loop to be clear." default:"1m"`
	// Move is how long closing is commanded. A controller that has begun goes on
	// by itself; the default is ours, for an arm that must be held all the way.
	Move time.Duration `hidden:"" default:"6s"`
}

// Run exits 0 when the gate was told to open and to close.
func (c *tryGateCmd) Run(t *tool) (err error) {
	switch {
	case !c.Yes:
		return &failure{errors.New("the gate would move, and the traveller's light would turn green"), "look that nobody is near and the lane is closed, then: boothctl try gate --yes", exitUsage}
	case c.Open < time.Second || c.Open > time.Minute || c.Wait < 0 || c.Wait > 10*time.Minute:
		return &failure{errors.New("--open is 1s to 1m, --wait at most 10m"), "", exitUsage}
	}
	ctx, stop := interruptible(0)
	defer stop()
	s, err := openStage(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = one(errors.Join(err, s.close())) }()
	if s.outs[signal.GateOpen] == nil {
		return &failure{errors.New("no gate is wired"), "name its line in [gpio.out]: gate_open = { line = \"...\" }; wired are " + s.wired(), exitFix}
	}
	under, err := s.under()
	switch {
	case err != nil:
		return s.broken(ctx, err)
	case under:
		return &failure{errors.New("something stands on the exit loop or in the beam"), "clear it; if nothing is there, look at the loop's detector, the beam and active_low of exit_loop and obstacle", exitFix}
	case len(s.area) == 0:
		fmt.Fprintln(t.stderr, "boothctl: neither exit loop nor beam is wired: only the gate's own obstacle detection keeps it from closing on somebody. Watch it.")
	}
	if err := t.say("gate_open", "the traveller's green, and the gate is told to open"); err != nil {
		return err
	}
	if err := s.show(ctx, signal.Aspects{Traveller: signal.Green, GateOpen: true}, c.Open, nil); err != nil {
		return s.broken(ctx, err)
	}
	if err := t.say("red", "the gate closes when loop and beam have been clear for a second"); err != nil {
		return err
	}
	closing := false
	if err := s.show(ctx, signal.Aspects{}, c.Wait+2*time.Second, func(l signal.Levels) bool { closing = l[signal.GateClose]; return closing }); err != nil {
		return s.broken(ctx, err)
	}
	if !closing {
		return &failure{fmt.Errorf("loop and beam were not clear within %v: the gate is not told to close", c.Wait), "clear them and run it again", exitFix}
	}
	how := "the gate is told to close"
	if s.outs[signal.GateClose] == nil {
		how = "the gate is no longer told to open; it closes by itself, as gate_close is not wired"
	}
	if err := t.say("gate_close", how); err != nil {
		return err
	}
	if err := s.show(ctx, signal.Aspects{}, c.Move, nil); err != nil {
		return s.broken(ctx, err)
	}
	return t.say("end", "red, everything else dark")
}
