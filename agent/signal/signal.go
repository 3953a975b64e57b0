// Package signal says what the lamps, the buzzer and the gate show: a table
// from outcome, light mode, state and health to aspects, and the interlock
// that keeps two aspects from ever being lit against each other.
//
// The zero Aspects is the safe one: traveller red, officer dark, gate shut.
// Pure: times come in, nothing is driven here.
//
// Source: product design, section 6; domain reference, 7.5 and 8; GPIO and
// serial relays, "Outputs".
package signal

import (
	"fmt"

	"boothd/agent/passage"
)

// Head is what the traveller's signal head shows. The zero value is red.
type Head uint8

// Traveller aspects.
const (
	Red Head = iota
	Amber
	Green
)

// Rhythm is how a lamp is lit, so that aspects differ without colour too.
type Rhythm uint8

// Rhythms. Blinks shows Aspects.Count short blinks and a pause, repeatedly.
const (
	Off Rhythm = iota
	Steady
	Slow // 1 Hz
	Fast // 4 Hz
	Blinks
)

// Aspects is the whole of what is shown.
type Aspects struct {
	Traveller Head
	// The officer's lamps, each at its own place: green advises, amber asks to
	// look, red refers, health tells of the booth.
	OfficerGreen, OfficerAmber, OfficerRed, OfficerHealth Rhythm
	Count                                                 int // blinks of READY n
	Buzzer                                                Rhythm
	GateOpen                                              bool
	// Taken is how many cards and documents the traveller is told that were read:
	// the reader's own light is lit from the first on, and it beeps at each.
	Taken int
}

// LightMode says who reads the traveller's light.
type LightMode uint8

// Staffed: the light tells nothing before the officer acts. Auto: a kiosk or
// eGate maps the outcome to the light, without a reason.
const (
	Staffed LightMode = iota
	Auto
)

// Health of the booth; the zero value is out.
type Health uint8

// Out: not deciding. Degraded: deciding, but never EXPEDITE, or offline from
// headquarters.
const (
	Out Health = iota
	Degraded
	Healthy
)

// View is what the table is read with.
type View struct {
	Mode     LightMode
	Kiosk    bool // a traveller stands before it: nothing is shown before the session is complete
	Health   Health
	Closed   bool
	Active   bool          // there is a passage
	State    passage.State // of it
	Released bool          // the officer's release took effect
	Seen     bool          // the officer has acknowledged the advice: the buzzer need not go on
	Durable  bool          // the decision shown is committed to the journal (I2)
	Decision passage.Decision
	// Read is how many cards and documents of the passage were read, whoever they
	// are of.
	Read int
}

// Show reads the table. What invites to go needs Durable; what slows does not.
func Show(v View) Aspects {
	a := Aspects{OfficerHealth: healthRhythm(v.Health)}
	if v.Health == Out {
		return a // red, dark, shut: the officer acts by hand
	}
	if !v.Active {
		return a
	}
	if v.State == passage.Approach || v.State == passage.AtBooth {
		a.Taken = v.Read // whatever the lists say of them (I3)
	}
	if v.State == passage.Approach {
		return a // advice begins at the booth
	}
	advise(&a, v)
	if v.Kiosk && v.State != passage.Acted {
		return a
	}
	may := v.Durable && v.Decision.Outcome != passage.Hold
	switch v.Mode {
	case Staffed:
		// Only the officer's act changes the traveller's light: a hit, a draw
		// and a referral all look like waiting (I3).
		if may && v.Released && (v.State == passage.Acted || v.State == passage.Clearing) {
			a.Traveller, a.GateOpen = Green, true
		}
	case Auto:
		switch {
		case may && (v.Released || v.Decision.Outcome == passage.Expedite):
			a.Traveller, a.GateOpen = Green, true
		case v.Decision.Outcome == passage.Primary:
			a.Traveller = Amber
		}
	}
	return a
}

// advise sets the officer's lamps.
func advise(a *Aspects, v View) {
	d := v.Decision
	switch d.Outcome {
	case passage.Expedite:
		if v.Durable {
			a.OfficerGreen = Steady
		} else {
			a.OfficerAmber = Steady
		}
	case passage.Primary:
		a.OfficerAmber = Steady
		if d.Ready > 0 && v.Durable {
			a.OfficerAmber, a.OfficerGreen, a.Count = Off, Blinks, d.Ready
		}
	case passage.Refer:
		a.OfficerRed = Steady
	default:
		a.OfficerRed, a.Buzzer = Fast, Fast
		if v.Seen {
			a.Buzzer = Off
		}
	}
}

func healthRhythm(h Health) Rhythm {
	switch h {
	case Healthy:
		return Steady
	case Degraded:
		return Slow
	}
	return Fast
}

// Check walks the whole table and says the first unsafe aspect, or the first
// two advices that look the same to an officer who sees no colour. It runs at
// start, before a lamp is lit.
func Check() error {
	seen := map[[4]Rhythm]string{}
	for _, mode := range []LightMode{Staffed, Auto} {
		for health := Out; health <= Healthy; health++ {
			for state := passage.Idle; state <= passage.Clearing; state++ {
				for bits := range 16 {
					v := View{Mode: mode, Health: health, State: state, Read: 2, Active: bits&1 != 0, Durable: bits&2 != 0, Released: bits&4 != 0, Closed: bits&8 != 0}
					for _, d := range decisions {
						v.Decision = d
						if err := checkOne(v, Show(v), seen); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	return nil
}

// decisions are one of each kind that is shown differently.
var decisions = [...]passage.Decision{
	{Outcome: passage.Primary}, {Outcome: passage.Primary, Ready: 2}, {Outcome: passage.Expedite},
	{Outcome: passage.Refer}, {Outcome: passage.Hold},
}

func checkOne(v View, a Aspects, seen map[[4]Rhythm]string) error {
	switch {
	case a.Traveller == Green && (!v.Durable || !v.Active || v.Health == Out || v.Decision.Outcome == passage.Hold):
		return fmt.Errorf("signal table: traveller green at %+v", v)
	case a.Traveller == Green && v.Mode == Staffed && !v.Released:
		return fmt.Errorf("signal table: traveller green before the officer acts at %+v", v)
	case a.GateOpen != (a.Traveller == Green):
		return fmt.Errorf("signal table: gate and traveller head disagree at %+v", v)
	case a.OfficerGreen != Off && (a.OfficerRed != Off || a.OfficerAmber != Off || !v.Durable):
		return fmt.Errorf("signal table: officer green with another advice, or before the record, at %+v", v)
	case a.OfficerRed != Off && a.OfficerAmber != Off:
		return fmt.Errorf("signal table: two advices at once at %+v", v)
	case a.Taken != 0 && a.Taken != v.Read:
		return fmt.Errorf("signal table: the reader tells more than that it has read at %+v", v)
	}
	advice := fmt.Sprintf("%v/%d", v.Decision.Outcome, v.Decision.Ready)
	shown := [4]Rhythm{a.OfficerGreen, a.OfficerAmber, a.OfficerRed, Off}
	if !v.Durable || shown == [4]Rhythm{} {
		return nil
	}
	if other, ok := seen[shown]; ok && other != advice {
		return fmt.Errorf("signal table: %s and %s look the same", advice, other)
	}
	seen[shown] = advice
	return nil
}
