package passage

import "time"

func (m *Machine) road(in Input, s *Step) {
	defer func() {
		switch {
		case m.approach || m.booth || m.exit:
			m.emptyAt = time.Time{}
		case m.emptyAt.IsZero():
			m.emptyAt = in.At
		}
	}()
	switch in.Kind {
	case ApproachOn:
		m.approachOn(in, s)
	case ApproachOff:
		m.approachOff(in)
	case BoothOn:
		m.boothOn(in, s)
	case BoothOff:
		m.boothOff(in, s)
	case ExitOn:
		m.exitOn(in, s)
	case ExitOff:
		m.exit = false
		if m.active && m.ev.State == Clearing {
			m.end(in, Cleared, s)
		}
	}
}

func (m *Machine) approachOn(in Input, s *Step) {
	was := m.approach
	m.approach = true
	if !was {
		m.approachSince = in.At
	}
	switch {
	case !m.active && m.stuck: // said again of a loop that is out of order
	case !m.active:
		m.start(in, Approach, s)
	case m.ev.State == Approach && !was && m.left:
		m.doubled = true
		m.wakeAt = m.startedAt.Add(approachLimit) // it came back before it was given up
	}
}

func (m *Machine) approachOff(in Input) {
	was := m.approach
	m.approach, m.stuck = false, false
	if !m.active || !was {
		return
	}
	if m.ev.State == Approach {
		m.left = true
		m.wakeAt = in.At.Add(backOut)
		return
	}
	m.gap = m.gap || !m.ownTail
	m.ownTail = false
}

func (m *Machine) boothOn(in Input, s *Step) {
	was := m.booth
	m.booth = true
	switch {
	case !m.active:
		m.gap = false
		m.start(in, AtBooth, s)
		if !in.Found {
			m.fault(s) // the approach loop did not see it
		}
	case m.ev.State == Approach:
		m.ev.State, m.ev.AtBooth, m.reachedAt = AtBooth, true, in.At
		m.ev.Ambiguous = m.ev.Ambiguous || in.Found
		m.ownTail = m.approach && !m.doubled
		if m.astray > 0 && !m.approach && !m.doubled {
			m.astray-- // two do not stand unseen between the loops: this is the one that was seen coming
		}
		m.wakeAt = in.At.Add(boothLimit)
		m.arrive(in, s)
		s.Changed = true
	case m.ev.State == AtBooth && !was:
		m.wakeAt = in.At.Add(boothLimit)
		if m.approach || m.gap {
			// It left the loop and one came back while another waited: which
			// one it is cannot be told.
			m.ambiguous(s)
		}
	case (m.ev.State == Clearing || m.ev.State == Acted) && !was:
		m.tailgate, m.gap = true, false
	}
}

func (m *Machine) boothOff(in Input, s *Step) {
	was := m.booth
	m.booth = false
	if !m.active || !was {
		return
	}
	m.ownTail = m.ownTail && m.ev.State == AtBooth // driving on, its tail has left the approach
	switch {
	case m.tailgate:
		// It followed through, or rolled back: no passage of its own will say so.
		m.tailgate, m.lost = false, lostSomewhere
		m.ambiguous(s)
	case (m.ev.State == AtBooth || m.ev.State == Acted) && !m.exit:
		// It left the loop without reaching the exit: backed away, or a loop
		// failed. Given up if nothing follows.
		m.wakeAt = in.At.Add(clearingLimit)
	}
}

func (m *Machine) exitOn(in Input, s *Step) {
	m.exit = true
	switch {
	case !m.active:
		m.start(in, Clearing, s)
		m.ev.AtBooth = true // so that it is recorded and shown
		if !in.Found {
			m.ev.WrongWay = true
			m.fault(s)
		}
	case m.ev.State == Acted:
		m.ev.State = Clearing
		s.Changed = true
	case m.ev.State == AtBooth:
		m.ev.State = Clearing
		m.fault(s)             // it drove off before the officer acted,
		m.lost = lostSomewhere // or it still waits and one ahead of it was missed
		s.Changed = true
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

// ambiguous says that reads of this passage cannot be told from another's (213).
func (m *Machine) ambiguous(s *Step) {
	s.Changed = s.Changed || !m.ev.Ambiguous
	m.ev.Ambiguous = true
}

// reading tells whether reads are kept: only between APPROACH and ACTED.
func (m *Machine) reading() bool {
	return m.active && (m.ev.State == Approach || m.ev.State == AtBooth)
}

// foreign tells whether a new read may be another vehicle's. A stuck loop is
// no vehicle: then everything counts and nothing expedites (209).
func (m *Machine) foreign() bool {
	return m.doubled && m.ev.State == Approach || m.ev.State == AtBooth && (m.approach && !m.stuck || m.gap)
}

// refuse drops a read that may be another vehicle's.
func (m *Machine) refuse(s *Step) {
	s.Dropped = true
	if m.doubled && m.ev.State == Approach {
		m.ambiguous(s)
	}
}
