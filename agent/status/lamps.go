package status

import (
	"boothd/agent/passage"
	"boothd/agent/signal"
)

// StateWord names a state of the passage machine as Lane.State has it.
func StateWord(s passage.State) string {
	switch s {
	case passage.Idle:
		return "idle"
	case passage.Approach:
		return "approach"
	case passage.AtBooth:
		return "at_booth"
	case passage.Acted:
		return "acted"
	case passage.Clearing:
		return "clearing"
	}
	return "unknown"
}

// HealthWord names a health as the page has it.
func HealthWord(h signal.Health) Health {
	switch h {
	case signal.Healthy:
		return Healthy
	case signal.Degraded:
		return Degraded
	}
	return Out
}

// Lit says what the outputs show. The traveller's lamps and the gate are told
// by the levels that were driven, since the interlock holds them back; the
// officer's by their rhythm, since a level changes eight times a second.
// wired tells which outputs the configuration has.
func Lit(levels signal.Levels, a signal.Aspects, wired func(signal.Lamp) bool) []Lamp {
	rhythms := map[signal.Lamp]signal.Rhythm{signal.OfficerGreen: a.OfficerGreen, signal.OfficerAmber: a.OfficerAmber,
		signal.OfficerRed: a.OfficerRed, signal.OfficerHealth: a.OfficerHealth, signal.Buzzer: a.Buzzer}
	out := make([]Lamp, 0, len(signal.Lamps))
	for _, name := range signal.Lamps {
		l := Lamp{Name: string(name), Wired: wired(name), Shows: Dark}
		rhythm, rhythmic := rhythms[name]
		switch {
		case rhythmic:
			l.Shows = rhythmWord(rhythm)
		case levels[name]:
			l.Shows = Steady
		}
		if l.Shows == Blinks {
			l.Count = a.Count
		}
		out = append(out, l)
	}
	return out
}

// Look adds what is seen of the lamps, and which of them a latched fault is of.
func Look(lamps []Lamp, seen signal.Sight, fault signal.Fault) {
	for i := range lamps {
		l := &lamps[i]
		switch seen[signal.Lamp(l.Name)] {
		case signal.Lost:
			l.Feedback = Unseen
		case signal.Lit:
			l.Feedback, l.Seen = Agrees, "lit"
		case signal.Unlit:
			l.Feedback, l.Seen = Agrees, "dark"
		}
		if l.Name == string(fault.Lamp) {
			l.Feedback = Differs
		}
	}
}

func rhythmWord(r signal.Rhythm) Rhythm {
	switch r {
	case signal.Steady:
		return Steady
	case signal.Slow:
		return Slow
	case signal.Fast:
		return Fast
	case signal.Blinks:
		return Blinks
	}
	return Dark
}
