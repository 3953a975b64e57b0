package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"boothd/agent/signal"
	"boothd/devices/sim"
)

// driven follows the chip until ctx ends and calls f with each change, the name
// of the output as the configuration wires it, and what is lit after it.
func (b *bench) driven(ctx context.Context, f func(c sim.Change, name string, lit map[string]bool)) {
	names := map[string]string{}
	for name, w := range b.cfg.GPIO.Out {
		names[w.Line] = name
	}
	lit := map[string]bool{}
	for c := range b.chip.Watch(ctx) {
		lit[names[c.Line]] = c.Level
		f(c, names[c.Line], lit)
	}
}

// history is every change that was made while act ran.
func (b *bench) history(t *testing.T, act func()) (changes []string, wrong []string) {
	t.Helper()
	act()
	ctx, enough := context.WithCancel(t.Context())
	last := len(b.cfg.GPIO.Out) // each is released at the end
	b.driven(ctx, func(c sim.Change, name string, lit map[string]bool) {
		head, advice := 0, 0
		for _, colour := range []string{"red", "amber", "green"} {
			if lit["traveller_"+colour] {
				head++
			}
			if lit["officer_"+colour] {
				advice++
			}
		}
		if head > 1 || advice > 1 || lit["gate_open"] && lit["gate_close"] || lit["gate_open"] && lit["traveller_red"] {
			wrong = append(wrong, name)
		}
		if c.Cause == sim.Driven && c.Level {
			changes = append(changes, name)
		}
		if c.Cause == sim.Released || c.Cause == sim.Died {
			if last--; last == 0 {
				enough()
			}
		}
	})
	return changes, wrong
}

func TestI9_TryLampShowsOneAtATimeAndEndsRed(t *testing.T) {
	b := newBench(t)
	var out string
	changes, wrong := b.history(t, func() {
		out, _ = boothctl(t, 0, "try", "lamp", "--each", "100ms", "--config", b.config)
	})
	want := []string{"traveller_amber", "traveller_green", "traveller_red",
		"officer_red", "officer_amber", "officer_green", "officer_health", "buzzer"}
	if !slices.Equal(changes, want) {
		t.Errorf("lit %v, want %v", changes, want)
	}
	if len(wrong) > 0 {
		t.Errorf("lit against each other at %v", wrong)
	}
	for line, level := range b.chip.Outputs() {
		if red := line == b.cfg.GPIO.Out["traveller_red"].Line; level != red {
			t.Errorf("%s is left at %v", line, level)
		}
	}
	if claims := b.chip.Claims(); len(claims) > 0 {
		t.Errorf("lines are still claimed: %v", claims)
	}
	holds(t, out, "traveller_red    red\n", "officer_green    steady\n", "end              red, everything else dark\n")
}

func TestTryLampOneOnly(t *testing.T) {
	b := newBench(t)
	changes, _ := b.history(t, func() {
		boothctl(t, 0, "try", "lamp", "officer_amber", "--each", "100ms", "--config", b.config)
	})
	if want := []string{"officer_amber"}; !slices.Equal(changes, want) {
		t.Errorf("lit %v, want %v", changes, want)
	}
	_, errs := boothctl(t, exitUsage, "try", "lamp", "officer_blue", "--config", b.config)
	holds(t, errs, `no lamp "officer_blue" is wired`, "wired are traveller_red, traveller_amber")
	_, errs = boothctl(t, exitUsage, "try", "lamp", "gate_open", "--config", b.config)
	holds(t, errs, "gate_open is no lamp", "boothctl try gate --yes")
}

// A boothd that has the store but does not answer yet, or no more, is one too.
func TestI9_TryLampRefusesWhileTheStoreIsHeld(t *testing.T) {
	b := newBench(t)
	f, err := os.Create(filepath.Join(string(b.cfg.Store.Dir), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, verb := range [][]string{{"lamp"}, {"gate", "--yes"}} {
		_, errs := boothctl(t, exitFix, append([]string{"try", "--config", b.config}, verb...)...)
		holds(t, errs, "another boothd has the store", "systemctl stop boothd")
	}
	if outs := b.chip.Outputs(); len(outs) > 0 {
		t.Errorf("lines were claimed: %v", outs)
	}
}

// No lock file may be left that boothd, another user, could not open.
func TestTryLampMakesNoFileInTheStore(t *testing.T) {
	b := newBench(t)
	boothctl(t, 0, "try", "lamp", "buzzer", "--each", "100ms", "--config", b.config)
	entries, err := os.ReadDir(string(b.cfg.Store.Dir))
	if err != nil || len(entries) > 0 {
		t.Errorf("the store holds %v (%v)", entries, err)
	}
}

func TestTryGateNeedsAYesAndAGate(t *testing.T) {
	b := newBench(t)
	_, errs := boothctl(t, exitUsage, "try", "gate", "--config", b.config)
	holds(t, errs, "the gate would move", "boothctl try gate --yes")
	if outs := b.chip.Outputs(); len(outs) > 0 {
		t.Errorf("lines were claimed: %v", outs)
	}
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.config, []byte(strings.NewReplacer("gate_open =", "# gate_open =", "gate_close =", "# gate_close =").Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs = boothctl(t, exitFix, "try", "gate", "--yes", "--config", b.config)
	holds(t, errs, "no gate is wired", "gate_open = {")
}

func TestI9_TryGateNeverClosesOnWhatStandsThere(t *testing.T) {
	b := newBench(t)
	loop := b.cfg.GPIO.In["exit_loop"]
	put := func(there bool) {
		if err := b.chip.Set(loop.Line, there != loop.ActiveLow); err != nil {
			t.Error(err)
		}
	}
	ctx, enough := context.WithCancel(t.Context())
	var left, closed time.Time
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.driven(ctx, func(c sim.Change, name string, _ map[string]bool) {
			switch {
			case c.Cause != sim.Driven:
			case name == "gate_open" && c.Level:
				put(true) // a car drives through
			case name == "traveller_red" && c.Level:
				left = time.Now() // and stops under the arm until the light is red
				put(false)
			case name == "gate_close" && c.Level:
				closed = c.At
			}
		})
	}()
	_, wrong := b.history(t, func() {
		out, _ := boothctl(t, 0, "try", "gate", "--yes", "--open", "1s", "--move", "100ms", "--config", b.config)
		holds(t, out, "told to open", "gate_close       the gate is told to close", "red, everything else dark")
	})
	enough()
	<-done
	if len(wrong) > 0 {
		t.Errorf("lit against each other at %v", wrong)
	}
	if left.IsZero() || closed.Sub(left) < time.Second {
		t.Errorf("the car left at %v, the gate closed at %v: not a second later", left, closed)
	}
}

func TestTryGateRefusesWhenTheLoopIsTaken(t *testing.T) {
	b := newBench(t)
	loop := b.cfg.GPIO.In["exit_loop"]
	if err := b.chip.Set(loop.Line, !loop.ActiveLow); err != nil {
		t.Fatal(err)
	}
	changes, _ := b.history(t, func() {
		_, errs := boothctl(t, exitFix, "try", "gate", "--yes", "--config", b.config)
		holds(t, errs, "something stands on the exit loop or in the beam", "detector")
	})
	if len(changes) > 0 {
		t.Errorf("lit %v", changes)
	}
}

func TestTryGateGivesUpWhenTheLoopStaysTaken(t *testing.T) {
	b := newBench(t)
	loop := b.cfg.GPIO.In["exit_loop"]
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	go b.driven(ctx, func(c sim.Change, name string, _ map[string]bool) {
		if c.Cause == sim.Driven && name == "gate_open" && c.Level {
			if err := b.chip.Set(loop.Line, !loop.ActiveLow); err != nil {
				t.Error(err)
			}
		}
	})
	changes, _ := b.history(t, func() {
		_, errs := boothctl(t, exitFix, "try", "gate", "--yes", "--open", "1s", "--wait", "0s", "--config", b.config)
		holds(t, errs, "were not clear within 0s", "the gate is not told to close")
	})
	if slices.Contains(changes, "gate_close") {
		t.Errorf("lit %v", changes)
	}
}

// seeing gives the bench's heads wires back.
func seeing(t *testing.T, b *bench) {
	t.Helper()
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	var wires string
	var lines []sim.ChipLine
	for _, in := range b.cfg.GPIO.In {
		lines = append(lines, sim.ChipLine{Name: in.Line, Pull: in.ActiveLow})
	}
	var lamps []sim.ChipLamp
	for name, out := range b.cfg.GPIO.Out {
		lines = append(lines, sim.ChipLine{Name: out.Line, Pull: name == "traveller_red"})
		if slices.Contains(signal.Watched(), signal.Lamp(name)) {
			wires += name + "_lit = { line = \"" + name + "\" }\n"
			lines = append(lines, sim.ChipLine{Name: name})
			lamps = append(lamps, sim.ChipLamp{Out: out.Line, In: name})
		}
	}
	if err := os.WriteFile(b.config, []byte(strings.Replace(string(text), "\n[gpio.in]\n", "\n[gpio.in]\n"+wires, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.chip.Break()
	ctx, pull := context.WithCancel(t.Context())
	t.Cleanup(pull)
	if b.chip, err = sim.ServeChip(ctx, strings.TrimPrefix(b.cfg.GPIO.Chip, "sim:"), lines); err == nil {
		err = b.chip.Lamps(lamps...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// With wires back the tool says of each lamp whether it was seen, and which is
// not as it should be.
func TestI9_TryLampTellsWhatIsSeen(t *testing.T) {
	b := newBench(t)
	seeing(t, b)
	out, _ := boothctl(t, 0, "try", "lamp", "--each", "100ms", "--config", b.config)
	if n := strings.Count(out, "✓ seen\n"); n != 7 || strings.Contains(out, "✗") {
		t.Errorf("%d times seen:\n%s", n, out)
	}
	out, errs := "", ""
	try := func(lamp string) {
		t.Helper()
		out, errs = boothctl(t, exitFix, "try", "lamp", lamp, "--each", "100ms", "--config", b.config)
	}
	line := func(lamp string) string { return b.cfg.GPIO.Out[lamp].Line }
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fail(b.chip.Fail(line("officer_amber"), sim.LampBurnt))
	try("officer_amber")
	holds(t, out, "✗ officer_amber is not seen lit\n", "red, everything else dark")
	holds(t, errs, "what is seen is not what was told, at 1 of 1 lamps", "swapped")
	fail(b.chip.Fail(line("officer_amber"), sim.LampSound))
	fail(b.chip.Swap(line("traveller_red"), line("traveller_amber")))
	try("traveller_red")
	holds(t, out, "✗ traveller_red is not seen lit, traveller_amber is seen lit\n")
	fail(b.chip.Swap(line("traveller_red"), line("traveller_amber")))
	fail(b.chip.Fail(line("traveller_green"), sim.LampStuck))
	try("traveller_red")
	holds(t, out, "✗ traveller_green is seen lit\n")
}
