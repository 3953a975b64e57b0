package passage

import (
	"slices"
	"time"
)

// Limits of one passage (domain reference, section 8).
const (
	approachLimit = 120 * time.Second
	boothLimit    = 15 * time.Minute
	actedLimit    = 60 * time.Second
	clearingLimit = 60 * time.Second
	// backOut is how long the road may be empty between approach and booth
	// loop before the vehicle counts as gone: 6 m at walking pace.
	backOut = 5 * time.Second
	// cardsMost bounds the cards of one passage: 503 speaks far below it.
	cardsMost = 64
)

// Kind of an input to the machine.
type Kind uint8

// What may happen on the road and at the booth. The zero Kind is a Tick, which
// only lets time pass.
const (
	Tick Kind = iota
	ApproachOn
	ApproachOff
	BoothOn
	BoothOff
	ExitOn
	ExitOff
	CardRead
	CardUnread // a tag was seen and could not be read
	FrontPlate
	RearPlate
	PlateKeyed
	PressRelease
	PressRefer
	PressCount // Count occupants
	PressDeclaration
	PressGoods
	PressOpenClose
	ReleaseTaken // the shell found the release to take effect (Press)
)

// Input is one thing that happened, at a time with monotonic part.
type Input struct {
	At    time.Time
	Kind  Kind
	Card  Card  // CardRead; Reads is ignored
	Plate Plate // FrontPlate, RearPlate, PlateKeyed
	Count int   // PressCount; occupants, also with ReleaseTaken (0: unchanged)
	// Override goes with ReleaseTaken: the release went against the advice.
	Override bool
	// NewID is a fresh UUIDv7, used if this input starts a passage.
	NewID string
}

// End says how a passage ended.
type End string

// The ways a passage ends.
const (
	Cleared  End = "cleared"  // over the exit loop
	Aborted  End = "aborted"  // backed out before the booth
	TimedOut End = "timedout" // the exit loop never fell, or the vehicle vanished (209)
)

// Step is what one input did. Ended and Started may both be set: the next
// vehicle was waiting.
type Step struct {
	Changed bool      // the evidence differs in something a decision may see
	Ended   *Evidence // the passage that ended, as it was
	How     End
	Started bool
	Dropped bool      // a read that belongs to no vehicle: to be counted, not kept
	WakeAt  time.Time // step with a Tick at this time; zero: no need
}

// Machine attributes what happens to one vehicle at a time. It knows the road
// and the officer's buttons, never the decision. It is owned by one goroutine.
//
// A vehicle that waits behind another has no passage yet. While it waits, a
// read that the first passage does not know already is dropped: it may come
// from either vehicle, and the wrong one must not gain by it. The first vehicle
// can only be slowed by that, and the second is read again when its turn comes.
type Machine struct {
	approach, booth, exit bool
	approachSince         time.Time
	stuck                 bool // the approach loop has been on for too long (209)
	closed                bool
	toggle                bool // open/close was pressed and waits for the lane to be free
	active                bool
	ev                    Evidence
	wakeAt                time.Time
	tailgate              bool // another vehicle reached the booth before this one had cleared
}

// NewMachine makes a machine for an empty road.
func NewMachine(closed bool) *Machine { return &Machine{closed: closed} }

// Active tells whether there is a passage.
func (m *Machine) Active() bool { return m.active }

// Closed tells whether the lane is closed for the next passage.
func (m *Machine) Closed() bool { return m.closed }

// Evidence is what is known of the present passage. The copy shares nothing
// with the machine.
func (m *Machine) Evidence() Evidence {
	ev := m.ev
	ev.Cards = slices.Clone(m.ev.Cards)
	return ev
}

// Step takes one input. Times must not run backwards; an input before the last
// one is taken as simultaneous by every limit.
func (m *Machine) Step(in Input) Step {
	var s Step
	m.expire(in, &s)
	switch in.Kind {
	case ApproachOn, ApproachOff, BoothOn, BoothOff, ExitOn, ExitOff:
		m.road(in, &s)
	case CardRead, CardUnread, FrontPlate, RearPlate:
		m.read(in, &s)
	case PlateKeyed, PressRelease, PressRefer, PressCount, PressDeclaration, PressGoods, ReleaseTaken:
		m.officer(in, &s)
	case PressOpenClose:
		m.toggle = !m.toggle
	}
	if !m.active && m.toggle {
		m.closed, m.toggle = !m.closed, false
		s.Changed = true
	}
	s.WakeAt = m.wakeAt
	return s
}

// start begins a passage in the given state.
func (m *Machine) start(in Input, st State, s *Step) {
	if m.toggle { // the mode changes between passages, so before this one
		m.closed, m.toggle = !m.closed, false
	}
	m.active = true
	m.ev = Evidence{ID: in.NewID, State: st, StartedAt: in.At, AtBooth: st == AtBooth, Closed: m.closed, Presence: m.stuck}
	limit := approachLimit
	if st == AtBooth {
		limit = boothLimit
	}
	m.wakeAt = in.At.Add(limit)
	s.Started, s.Changed = true, true
}

// end closes the passage and starts the next if a vehicle waits for it.
func (m *Machine) end(in Input, how End, s *Step) {
	ended := m.Evidence()
	s.Ended, s.How, s.Changed = &ended, how, true
	m.active, m.ev, m.wakeAt = false, Evidence{}, time.Time{}
	next := m.tailgate
	m.tailgate = false
	switch {
	case m.booth:
		// At the booth without having been seen on the approach alone: which
		// reads are its own cannot be told.
		m.start(in, AtBooth, s)
		m.ev.Ambiguous = next
		m.ev.Presence = m.ev.Presence || !next
	case m.approach:
		m.start(in, Approach, s)
	}
}

// expire lets the limits that have passed speak.
func (m *Machine) expire(in Input, s *Step) {
	if m.approach && !m.stuck && in.At.Sub(m.approachSince) >= approachLimit && (!m.active || m.ev.State == Approach) {
		m.stuck = true
	}
	if !m.active || m.wakeAt.IsZero() || in.At.Before(m.wakeAt) {
		return
	}
	m.wakeAt = time.Time{}
	switch m.ev.State {
	case Approach:
		if !m.approach && !m.booth {
			m.end(in, Aborted, s)
			return
		}
		m.wakeAt = in.At.Add(approachLimit)
	case Acted:
		if !m.booth && !m.exit {
			m.fault(s)
			m.end(in, TimedOut, s)
			return
		}
		// The vehicle stays: the way is closed again, the officer acts anew.
		m.ev.State, m.ev.Released, m.ev.Overridden, m.ev.Releases = AtBooth, false, false, 0
		m.wakeAt = in.At.Add(boothLimit)
	case Clearing:
		m.fault(s)
		m.end(in, TimedOut, s)
		return
	case AtBooth:
		if !m.booth && !m.exit && !m.approach {
			m.fault(s)
			m.end(in, TimedOut, s)
			return
		}
		m.wakeAt = in.At.Add(boothLimit)
	}
	m.fault(s)
}

// fault marks the loops as out of order (209).
func (m *Machine) fault(s *Step) {
	s.Changed = s.Changed || !m.ev.Presence
	m.ev.Presence = true
}

func (m *Machine) road(in Input, s *Step) {
	switch in.Kind {
	case ApproachOn:
		if !m.approach {
			m.approach, m.approachSince = true, in.At
		}
		if !m.active {
			m.start(in, Approach, s)
		} else if m.ev.State == Approach && !m.booth {
			m.wakeAt = m.ev.StartedAt.Add(approachLimit) // it came back before it was given up
		}
	case ApproachOff:
		m.approach, m.stuck = false, false
		if m.active && m.ev.State == Approach && !m.booth {
			m.wakeAt = in.At.Add(backOut)
		}
	case BoothOn:
		m.boothOn(in, s)
	case BoothOff:
		m.booth = false
		if m.active && m.ev.State == AtBooth && !m.exit {
			// It left the loop without reaching the exit: backed away, or a
			// loop failed. Given up if nothing follows.
			m.wakeAt = in.At.Add(clearingLimit)
		}
	case ExitOn:
		m.exitOn(in, s)
	case ExitOff:
		m.exit = false
		if m.active && m.ev.State == Clearing {
			m.end(in, Cleared, s)
		}
	}
}

func (m *Machine) boothOn(in Input, s *Step) {
	was := m.booth
	m.booth = true
	switch {
	case !m.active:
		m.start(in, AtBooth, s)
		m.fault(s) // the approach loop did not see it
	case m.ev.State == Approach:
		m.ev.State, m.ev.AtBooth = AtBooth, true
		m.wakeAt = in.At.Add(boothLimit)
		s.Changed = true
	case m.ev.State == AtBooth && !was:
		m.wakeAt = in.At.Add(boothLimit)
		if m.approach {
			// It left the loop and one came back while another waited: which
			// one it is cannot be told.
			s.Changed = s.Changed || !m.ev.Ambiguous
			m.ev.Ambiguous = true
		}
	case (m.ev.State == Clearing || m.ev.State == Acted) && !was:
		m.tailgate = true
	}
}

func (m *Machine) exitOn(in Input, s *Step) {
	m.exit = true
	switch {
	case !m.active:
		m.start(in, Clearing, s)
		m.ev.WrongWay = true
		m.fault(s)
		m.ev.AtBooth = true // so that it is recorded and shown
	case m.ev.State == Acted:
		m.ev.State = Clearing
		s.Changed = true
	case m.ev.State == AtBooth:
		m.ev.State = Clearing
		s.Changed = true
		if m.ev.Refers == 0 { // referred, it goes to secondary; else it drove off
			m.fault(s)
		}
	case m.ev.State == Approach:
		m.ev.WrongWay = true
		m.fault(s)
		s.Changed = true
		return
	default:
		return
	}
	m.wakeAt = in.At.Add(clearingLimit)
}

// reading tells whether reads are kept: only between APPROACH and ACTED.
func (m *Machine) reading() bool {
	return m.active && (m.ev.State == Approach || m.ev.State == AtBooth)
}

// queued tells whether another vehicle waits behind the one at the booth.
func (m *Machine) queued() bool { return m.ev.State == AtBooth && m.approach }
