package passage

import "time"

// Limits of one passage (domain reference, section 8).
const (
	approachLimit = 120 * time.Second
	boothLimit    = 15 * time.Minute
	actedLimit    = 60 * time.Second
	clearingLimit = 60 * time.Second
	// backOut is how long the road may be empty between approach and booth
	// loop before the vehicle counts as gone. Drivers stop there to hold their
	// cards up to the reader (domain reference, section 2), so it is well over
	// the 6 s that 6 m take at walking pace.
	backOut = 20 * time.Second
	// lingers is how long after a vehicle has cleared a report of its plate is still
	// of it: so long the same plate from a camera is one (licence plate readers,
	// section 1). No vehicle is back on the approach so soon.
	lingers = 10 * time.Second
)

// How many vehicles must be seen from the approach loop to the booth after one
// was lost, until it is known again who is who: the lost one may have another one
// ahead of it that is not known of either.
const (
	lostBehind    = 1
	lostSomewhere = 2
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
	LetGo        // in a lane without an officer the light has let it go
	LoopFault    // a loop cannot be read: the present passage is in doubt (209)
	DocumentRead // Document
	Scan         // Mark of ScanKind
	PressEmpty   // the officer: no load
	TrailerSeen
	TruckSeen   // or, in a FAST lane, a car: the class is wrong (604)
	PartyStated // Count travellers
	Declare     // Yes: the traveller has something to declare
	VerdictIn   // Verdict
	SessionOver // the traveller gave up, or went through with the receipt
)

// ScanKind is what a bar code or a keyed number turned out to be.
type ScanKind uint8

// Scan kinds.
const (
	ScanCarrier ScanKind = iota + 1
	ScanImporter
	ScanCargo
	ScanTrip
	ScanContainer
	ScanSeal
)

// Input is one thing that happened, at a time with monotonic part.
type Input struct {
	At   time.Time
	Kind Kind
	// Found says of a loop that it was found occupied when the process started
	// rather than seen to change: what went before was missed (213).
	Found bool
	Card  Card  // CardRead; Reads is ignored
	Place Place // CardRead, CardUnread: where the antenna looks; plates: where the camera does
	Plate Plate // FrontPlate, RearPlate, PlateKeyed
	Count int   // PressCount; occupants, also with ReleaseTaken (0: unchanged)
	// Override goes with ReleaseTaken: the release went against the advice.
	Override bool
	// NewID is a fresh UUIDv7, used if this input starts a passage.
	NewID string

	Document Document // DocumentRead
	Mark     Mark     // Scan
	ScanKind ScanKind // Scan
	Yes      bool     // Declare
	Verdict  Verdict  // VerdictIn
	// NewNonce is a fresh random number, used if this input starts a kiosk
	// session.
	NewNonce string
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
// Whose read it is, when two vehicles are near:
//
//   - A vehicle that waits on the approach behind one at the booth is ordinary
//     queueing and has no passage yet. A read that the first passage does not
//     know already is dropped: it may come from either, and neither may gain by
//     the other's card. The first can only be slowed by that; the second is
//     read again when its turn comes.
//   - The approach loop is taken anew before the booth loop was reached: the
//     same vehicle rocking, or a second one close behind. A new read is dropped
//     and the passage is ambiguous (213).
//   - A vehicle comes to the booth loop before the one ahead has cleared: its
//     own passage is ambiguous, since its reads may have gone by unseen. If it
//     follows through without one, the passage ahead says 213.
//   - A vehicle was given up without having cleared: it may stand unseen between
//     the loops and reach the booth in the name of the next, which is ambiguous.
//     So are those behind it, of which each may be taken for the one before, until
//     two had left the approach loop when the booth was reached (the first may
//     have had another one ahead), or the road was empty.
//   - A camera tells a plate once, so that of a vehicle that waits may be lost. It is
//     kept for nobody: it may be another reading of the one ahead, whose plate
//     would then let the next one by every lookout. The officer keys it (600). What
//     a camera tells that sees nobody but who stands at the booth is of that one.
//     If it was told just before the booth loop was heard, it is kept for one that
//     nobody was ahead of for long, and nobody is close behind.
//   - A camera is late, or sees far: the plate of a vehicle that has just cleared
//     is not the next one's, nor is another reading of it, or what was told of it
//     as it left.
//   - Where it is known at which place an antenna looks, a card is told by that as
//     well: see Place. It never makes good what the loops do not know.
//
// Three loops cannot tell one thing: a vehicle that was let go and rolls back
// off the exit loop looks like one that has cleared. It was released already.
type Machine struct {
	approach, booth, exit bool
	approachSince         time.Time
	stuck                 bool // the approach loop has been on for too long (209)
	closed                bool
	toggle                bool // open/close was pressed and waits for the lane to be free
	active                bool
	ev                    Evidence
	startedAt             time.Time // of ev, with monotonic part
	wakeAt                time.Time
	left                  bool      // the approach loop fell since the passage began
	doubled               bool      // and was taken again before the booth was reached
	ownTail               bool      // the approach loop may still hold the vehicle at the booth
	gap                   bool      // a waiting vehicle left the approach and has not reached the booth
	tailgate              bool      // another vehicle reached the booth before this one had cleared
	lost                  int       // over 0: a vehicle was given up or rolled back and may still be between the loops
	astray                int       // how many must be seen from the approach to the booth until it is known again who is who
	emptyAt               time.Time // since when no loop has been occupied; zero: one is
	aloneAt               time.Time // since when nobody ahead of the passage's vehicle is known of
	untaken               []Input   // plates told since the passage began and dropped; the newest is last
	gone                  []Plate   // of the vehicle that cleared last, and what may be
	goneAt                time.Time // with monotonic part

	sights    []sight   // of this passage; the places of its cards and of those behind it
	heard     bool      // an antenna of the approach has read something since it began
	reachedAt time.Time // when it came to the booth loop, with monotonic part
}

// NewMachine makes a machine for an empty road.
func NewMachine(closed bool) *Machine { return &Machine{closed: closed} }

// Active tells whether there is a passage.
func (m *Machine) Active() bool { return m.active }

// Awaiting tells whether a vehicle stands at the booth and is not let go.
func (m *Machine) Awaiting() bool { return m.active && m.ev.State == AtBooth }

// Stuck tells whether the approach loop has been occupied for longer than a
// vehicle stays there: the loop is out of order, whether or not there is a
// passage (209).
func (m *Machine) Stuck() bool { return m.stuck }

// Closed tells whether the lane is closed for the next passage.
func (m *Machine) Closed() bool { return m.closed }

// ClosedNext tells whether it will be for the passage after this one.
func (m *Machine) ClosedNext() bool { return m.closed != m.toggle }

// Evidence is what is known of the present passage. The copy shares nothing
// with the machine.
func (m *Machine) Evidence() Evidence {
	ev := m.ev.clone()
	ev.Ambiguous = ev.Ambiguous || m.unsure()
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
	case DocumentRead, Scan, TrailerSeen, TruckSeen:
		m.paper(in, &s)
	case PlateKeyed, PressRelease, PressRefer, PressCount, PressDeclaration, PressGoods, PressEmpty, ReleaseTaken, LetGo:
		m.officer(in, &s)
	case PressOpenClose:
		m.toggle = !m.toggle
	case LoopFault:
		if m.active {
			m.fault(&s)
		}
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
	// Wall clock, UTC, for the record; every limit counts from startedAt.
	m.ev = Evidence{ID: in.NewID, State: st, StartedAt: in.At.Round(0).UTC(), AtBooth: st == AtBooth, Closed: m.closed,
		Presence: m.stuck}
	if !m.emptyAt.IsZero() && in.At.Sub(m.emptyAt) >= backOut {
		m.astray = 0
	}
	m.astray = max(m.astray, m.lost)
	m.ev.Ambiguous = in.Found || m.astray > 0
	m.startedAt, m.aloneAt = in.At, in.At
	if !m.emptyAt.IsZero() {
		m.aloneAt = m.emptyAt
	}
	m.left, m.doubled, m.ownTail, m.untaken = false, false, false, nil
	m.sights, m.heard, m.reachedAt = nil, false, in.At
	if st == Approach { // one that was not seen coming may be the lost one, or not
		m.lost = 0
	}
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
	m.active, m.ev, m.wakeAt, m.sights = false, Evidence{}, time.Time{}, nil
	switch how {
	case Cleared:
		m.gone, m.goneAt = ended.plates(), in.At
		for _, told := range m.untaken {
			m.gone = append(m.gone, told.Plate)
		}
	case Aborted: // nobody was ahead of it
		m.lost = max(m.lost, lostBehind)
	case TimedOut:
		m.lost = lostSomewhere
	}
	next := m.tailgate
	m.tailgate = false
	switch {
	case m.booth:
		// At the booth without having been seen on the approach alone: which
		// reads are its own cannot be told.
		m.start(in, AtBooth, s)
		m.ev.Ambiguous = m.ev.Ambiguous || next
		m.ev.Presence = m.ev.Presence || !next
	case m.gap:
		// It waited and is on its way from the approach to the booth.
		m.start(in, Approach, s)
		m.gap, m.left, m.doubled = false, true, m.approach
		m.wakeAt = in.At.Add(backOut)
	case m.approach && !m.stuck:
		m.approachSince = in.At // until now it waited for its turn
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
		if m.stuck && !in.At.Before(m.startedAt.Add(2*approachLimit)) {
			// Nobody stands there: a loop is stuck. It starts no further
			// passage until it has been off.
			m.fault(s)
			m.end(in, TimedOut, s)
			return
		}
		m.wakeAt = in.At.Add(approachLimit)
	case Acted:
		if !m.booth && !m.exit {
			m.fault(s)
			m.end(in, TimedOut, s)
			return
		}
		if m.ev.Released || m.ev.Refers == 0 {
			// The vehicle stays: the way is closed again, the officer acts anew.
			m.ev.State, m.ev.Released, m.ev.Overridden, m.ev.Releases = AtBooth, false, false, 0
			s.Changed = true
		}
		m.wakeAt = in.At.Add(boothLimit)
	case Clearing:
		m.fault(s)
		m.end(in, TimedOut, s)
		return
	case AtBooth:
		if !m.booth && !m.exit {
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
