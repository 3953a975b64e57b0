package signal

import "time"

// How long a head may show something else than it was told. Traffic signal
// monitors have to trip a conflict that lasts 450 ms and may not trip one of
// 200 ms; a dark head, 1,000 ms and 700 ms (reliability reference 1). Ours lie
// between, with room above for the feedback's debounce and a busy machine, and
// below for a lamp that glows on.
const (
	conflictAfter = 300 * time.Millisecond
	darkAfter     = 850 * time.Millisecond
	stuckAfter    = darkAfter // a lamp beside the right one, no green among them: it stops, and it is wrong
)

// Seen is what a lamp's own wire says of it: a current relay, or an auxiliary
// contact. The zero value is a lamp without such a wire, of which nothing is
// judged.
type Seen uint8

// What is seen of a lamp. Lost is a wire that cannot be read: doubt, and never
// a lamp that is dark.
const (
	Unwired Seen = iota
	Lost
	Unlit
	Lit
)

// Sight is what is seen of every lamp that has feedback.
type Sight map[Lamp]Seen

// Kind is in which way a head is wrong, in the words of the event (212).
type Kind string

// The kinds of faults, gravest first. Conflict is a green that was not
// commanded, or green beside another lamp. Dark is nothing lit though a lamp
// is commanded. Stuck is a lamp, not green, that was not commanded.
const (
	Conflict Kind = "conflict"
	Dark     Kind = "dark"
	Stuck    Kind = "stuck"
	// Forgotten is a fault whose record cannot be read: one of these it was.
	Forgotten Kind = "unreadable"
)

// Fault says which head was wrong and how; the zero Fault is none. Lamp is the
// one that is lit against its command, or that is dark.
type Fault struct {
	Head string // traveller, officer; all
	Lamp Lamp
	Kind Kind
}

// Judged is the monitor's word.
type Judged struct {
	Fault Fault // latched: it stays until Reset, whatever is seen then
	Doubt bool  // some feedback is lost: nothing is known of its lamp
}

// heads are the lamps that are judged together, green last. Health lamp and
// buzzer tell nobody to go and speak for themselves.
var heads = [...]struct {
	name  string
	lamps [3]Lamp
}{
	{"traveller", [3]Lamp{TravellerRed, TravellerAmber, TravellerGreen}},
	{"officer", [3]Lamp{OfficerRed, OfficerAmber, OfficerGreen}},
}

// Watched lists the lamps that may have feedback.
func Watched() (lamps []Lamp) {
	for _, h := range heads {
		lamps = append(lamps, h.lamps[:]...)
	}
	return lamps
}

// Monitor compares what the heads were told with what their lamps show, and
// latches the first fault that lasts (I9). It is stepped with times and owned
// by one goroutine; the zero value has seen nothing yet and no fault.
//
// What was handed to one Step is taken to have lasted until the next. A rhythm
// comes in as its levels, one after the other: what a dark head adds up is the
// time in which a lamp was commanded and none was seen, so that the pauses of a
// flash are nothing and a flash that is burnt out trips after as much light.
type Monitor struct {
	fault Fault
	at    time.Time // of the last step
	heads [len(heads)]headWatch
	doubt bool
}

// headWatch is one head as last stepped.
type headWatch struct {
	conflict, stuck, dark         bool // now
	conflictLamp, stuckLamp, must Lamp
	conflictFor, stuckFor         time.Duration
	darkFor                       time.Duration // commanded and unseen, since a lamp was last seen lit
}

// Latch takes up a fault from before a restart.
func (m *Monitor) Latch(f Fault) { m.fault = f }

// Step takes what the outputs are told, what is seen, and the time, which may
// be a little before the last step's: feedback has the stamp of its edge. It
// returns the verdict, and when to step again if nothing changes; zero: never.
func (m *Monitor) Step(told Levels, seen Sight, now time.Time) (v Judged, next time.Time) {
	passed := time.Duration(0)
	if m.at.IsZero() {
		m.at = now
	} else if now.After(m.at) {
		passed, m.at = now.Sub(m.at), now
	}
	m.doubt = false
	for i := range heads {
		w := &m.heads[i]
		w.pass(passed)
		if f := w.over(); f != (Fault{}) {
			if f.Head = heads[i].name; m.fault == (Fault{}) {
				m.fault = f
			}
		}
		m.doubt = w.look(heads[i].lamps, told, seen) || m.doubt
		if left, running := w.left(); running && (next.IsZero() || m.at.Add(left).Before(next)) {
			next = m.at.Add(left)
		}
	}
	return m.Judged(), next
}

// Judged is the verdict of the last step.
func (m *Monitor) Judged() Judged { return Judged{Fault: m.fault, Doubt: m.doubt} }

// Reset forgets a latched fault, unless some head is wrong or unseen at this
// moment; it tells whether it did.
func (m *Monitor) Reset() bool {
	for _, w := range m.heads {
		if w.conflict || w.stuck || w.dark {
			return false
		}
	}
	if m.doubt {
		return false
	}
	m.fault = Fault{}
	return true
}

// pass adds a span in which nothing changed.
func (w *headWatch) pass(span time.Duration) {
	if w.conflict {
		w.conflictFor += span
	}
	if w.stuck {
		w.stuckFor += span
	}
	if w.dark {
		w.darkFor += span
	}
}

// over tells what has lasted too long, and begins to count it anew.
func (w *headWatch) over() (f Fault) {
	if w.stuckFor >= stuckAfter {
		f, w.stuckFor = Fault{Lamp: w.stuckLamp, Kind: Stuck}, 0
	}
	if w.darkFor >= darkAfter {
		f, w.darkFor = Fault{Lamp: w.must, Kind: Dark}, 0
	}
	if w.conflictFor >= conflictAfter {
		f, w.conflictFor = Fault{Lamp: w.conflictLamp, Kind: Conflict}, 0
	}
	return f
}

// look compares command and feedback as they are now, and tells whether
// feedback is lost.
func (w *headWatch) look(lamps [3]Lamp, told Levels, seen Sight) (doubt bool) {
	lit, green := 0, lamps[len(lamps)-1]
	w.conflict, w.stuck, w.dark = false, false, false
	for _, l := range lamps {
		switch seen[l] {
		case Lost:
			doubt = true
		case Unlit:
			if told[l] {
				w.dark, w.must = true, l
			}
		case Lit:
			lit++
			if !told[l] && l != green {
				w.stuck, w.stuckLamp = true, l
			}
		}
	}
	if seen[green] == Lit && (!told[green] || lit > 1) {
		w.conflict, w.conflictLamp = true, green
	}
	if lit > 0 {
		w.dark, w.darkFor = false, 0
	}
	if doubt {
		w.dark = false // the lost wire's lamp may be the one that is lit
	}
	if !w.conflict {
		w.conflictFor = 0
	}
	if !w.stuck {
		w.stuckFor = 0
	}
	return doubt
}

// left tells after how much more of the same the first limit is reached.
func (w *headWatch) left() (left time.Duration, running bool) {
	for _, x := range []struct {
		on   bool
		left time.Duration
	}{{w.conflict, conflictAfter - w.conflictFor}, {w.stuck, stuckAfter - w.stuckFor}, {w.dark, darkAfter - w.darkFor}} {
		if x.on && (!running || x.left < left) {
			left, running = x.left, true
		}
	}
	return left, running
}
