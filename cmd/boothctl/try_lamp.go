package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"boothd/agent/signal"
)

// tryLampCmd shows every lamp by itself, through the daemon's interlock: no two
// of the traveller's are ever lit together, and red is lit whenever the officer's
// are tried.
type tryLampCmd struct {
	Name string        `arg:"" optional:"" help:"One lamp, as [gpio.out] names it; all of them if not given."`
	Each time.Duration `help:"How long each is lit." default:"2s"`
}

// act is one thing that is shown.
type act struct {
	lamp signal.Lamp
	what string
	show signal.Aspects
}

// acts are the lamps in the order in which they are safe to be shown: the head
// goes from what stops to what invites and back, and then stays at red.
var acts = [...]act{
	{signal.TravellerRed, "red", signal.Aspects{}},
	{signal.TravellerAmber, "amber", signal.Aspects{Traveller: signal.Amber}},
	{signal.TravellerGreen, "green", signal.Aspects{Traveller: signal.Green}},
	{signal.TravellerRed, "red again", signal.Aspects{}},
	{signal.OfficerRed, "steady", signal.Aspects{OfficerRed: signal.Steady}},
	{signal.OfficerAmber, "steady", signal.Aspects{OfficerAmber: signal.Steady}},
	{signal.OfficerGreen, "steady", signal.Aspects{OfficerGreen: signal.Steady}},
	{signal.OfficerHealth, "blinking slowly", signal.Aspects{OfficerHealth: signal.Slow}},
	{signal.Buzzer, "sounding", signal.Aspects{Buzzer: signal.Steady}},
	{signal.ReaderLight, "lit", signal.Aspects{Taken: 1}},
	{signal.ReaderBeeper, "beeping once", signal.Aspects{Taken: 2}},
}

// Run exits 0 when every lamp that is wired was driven, and was seen by its own
// wire if it has one; the rest is for the technician's eye.
func (c *tryLampCmd) Run(t *tool) (err error) {
	if c.Each < 100*time.Millisecond || c.Each > time.Minute {
		return &failure{fmt.Errorf("--each %v is not between 100ms and 1m", c.Each), "2s is enough to see it", exitUsage}
	}
	ctx, stop := interruptible(0)
	defer stop()
	s, err := openStage(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = one(errors.Join(err, s.close())) }()
	plan, err := s.plan(c.Name)
	if err != nil {
		return err
	}
	wrong := 0
	for _, a := range plan {
		if err := t.say(string(a.lamp), a.what); err != nil {
			return err
		}
		if err := s.show(ctx, a.show, s.long(c.Each), nil); err != nil {
			return s.broken(ctx, err)
		}
		said, right := s.see(a.lamp)
		if !right {
			wrong++
		}
		if said == "" {
			continue
		}
		if err := t.say(string(a.lamp), said); err != nil {
			return err
		}
	}
	if err := s.show(ctx, signal.Aspects{}, settled, nil); err != nil {
		return s.broken(ctx, err)
	}
	if err := t.say("end", "red, everything else dark"); err != nil || wrong == 0 {
		return err
	}
	return &failure{fmt.Errorf("what is seen is not what was told, at %d of %d lamps", wrong, len(plan)),
		"where your eye agrees with the wire: the lamp or its relay, or two lamps swapped; where it does not: the wire back, its active_low, or two of them swapped", exitFix}
}

// lookAfter is longer than a lamp, its relay and a debounce take.
const lookAfter = 500 * time.Millisecond

// long is how long one thing is shown, so that it can be seen.
func (s *stage) long(each time.Duration) time.Duration {
	if len(s.eyes) == 0 {
		return each
	}
	return max(each, lookAfter)
}

// see says what the wires tell while a lamp is tried: nothing where it has none
// and all others are right.
func (s *stage) see(tried signal.Lamp) (said string, right bool) {
	var wrong []string
	for _, lamp := range signal.Watched() {
		in := s.eyes[lamp]
		if in == nil {
			continue
		}
		lit, err := in.Level()
		switch {
		case err != nil:
			wrong = append(wrong, "of "+string(lamp)+" nothing is seen: "+err.Error())
		case lit && !s.lit[lamp]:
			wrong = append(wrong, string(lamp)+" is seen lit")
		case !lit && s.lit[lamp]:
			wrong = append(wrong, string(lamp)+" is not seen lit")
		}
	}
	switch {
	case len(wrong) > 0:
		return "✗ " + strings.Join(wrong, ", "), false
	case s.eyes[tried] != nil:
		return "✓ seen", true
	}
	return "", true
}

// settled is longer than the interlock takes from any aspect to red.
const settled = 200 * time.Millisecond

// plan is what is shown: everything that is wired, or the one lamp that is named.
func (s *stage) plan(name string) ([]act, error) {
	plan := slices.DeleteFunc(slices.Clone(acts[:]), func(a act) bool {
		return s.outs[a.lamp] == nil || name != "" && (string(a.lamp) != name || a.what == "red again")
	})
	switch {
	case len(plan) > 0:
		return plan, nil
	case strings.HasPrefix(name, "gate"):
		return nil, &failure{fmt.Errorf("%s is no lamp", name), "boothctl try gate --yes", exitUsage}
	}
	return nil, &failure{fmt.Errorf("no lamp %q is wired", name), "wired are " + s.wired(), exitUsage}
}

// broken says how a test that was begun has ended before its end.
func (s *stage) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &failure{errors.New("ended before its end; red is lit, everything else dark"), "", exitFix}
	}
	return &failure{err, "every output is made safe; boothctl check compares the wiring's lines with the chip", exitFix}
}

// say tells one step, as a line of text or of JSON.
func (t *tool) say(what, text string) error {
	now := time.Now()
	if t.json {
		return t.tell(change{At: now, What: what, Text: text})
	}
	_, err := fmt.Fprintf(t.stdout, "%s  %-15s  %s\n", now.UTC().Format("15:04:05.000"), what, text)
	return err
}
