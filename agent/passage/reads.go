package passage

import "slices"

// read attributes a reader's report to the passage, or drops it.
func (m *Machine) read(in Input, s *Step) {
	if !m.reading() {
		s.Dropped = true
		return
	}
	switch in.Kind {
	case CardRead:
		m.card(in.Card, s)
	case CardUnread:
		if m.queued() {
			s.Dropped = true
			return
		}
		s.Changed = s.Changed || m.ev.Unreadable == 0
		m.ev.Unreadable = min(m.ev.Unreadable+1, 1<<20)
	case FrontPlate:
		m.plate(&m.ev.Front, in.Plate, s)
	case RearPlate:
		m.plate(&m.ev.Rear, in.Plate, s)
	}
}

func (m *Machine) card(c Card, s *Step) {
	i := slices.IndexFunc(m.ev.Cards, func(have Card) bool { return have.Token == c.Token })
	if i < 0 {
		if m.queued() || len(m.ev.Cards) >= cardsMost || c.Token == "" {
			s.Dropped = true
			return
		}
		c.Reads = 1
		m.ev.Cards = append(m.ev.Cards, c)
		s.Changed = true
		return
	}
	have := &m.ev.Cards[i]
	have.Reads = min(have.Reads+1, 1<<30)
	if c.RSSIDBm > have.RSSIDBm {
		have.RSSIDBm, have.Antenna, have.Reader = c.RSSIDBm, c.Antenna, c.Reader
	}
	switch {
	case c.TID == "" || c.TID == have.TID:
	case have.TID == "":
		have.TID = c.TID
		s.Changed = true
	case !have.TIDConflict:
		have.TIDConflict = true
		s.Changed = true
	}
}

// plate keeps the better report. A report of no plate never displaces one.
func (m *Machine) plate(slot **Plate, p Plate, s *Step) {
	have := *slot
	same := have != nil && have.Bare == p.Bare
	switch {
	case m.queued() && !same:
		s.Dropped = true
		return
	case have != nil && (p.NoRead || !have.NoRead && p.Confidence <= have.Confidence && (p.Jurisdiction == "" || have.Jurisdiction != "" || !same)):
		return
	}
	if same && p.Jurisdiction == "" && have.Jurisdiction != "" {
		p.Jurisdiction, p.Full = have.Jurisdiction, have.Full
	}
	if same {
		p.Confidence = max(p.Confidence, have.Confidence)
	}
	*slot = &p
	s.Changed = true
}

// officer takes a press. One without a vehicle at the booth means nothing.
func (m *Machine) officer(in Input, s *Step) {
	if !m.active || m.ev.State == Clearing {
		return
	}
	ev := &m.ev
	switch in.Kind {
	case PlateKeyed:
		p := in.Plate
		ev.Keyed = &p
	case PressDeclaration:
		ev.Declaration = !ev.Declaration
	case PressGoods:
		ev.Goods = !ev.Goods
	case PressCount:
		if in.Count < 1 || in.Count > 99 || ev.State == Acted {
			return
		}
		ev.Occupants = in.Count
	case PressRelease:
		if ev.State != AtBooth {
			return
		}
		ev.Releases++
	case PressRefer:
		if ev.State == Approach {
			return
		}
		ev.Refers++
		ev.State, ev.Released, ev.Overridden, ev.Releases = AtBooth, false, false, 0
		m.wakeAt = in.At.Add(boothLimit)
	case ReleaseTaken:
		if ev.State != AtBooth || ev.Releases == 0 {
			return
		}
		ev.State, ev.Released, ev.Overridden = Acted, true, in.Override
		if in.Count > 0 {
			ev.Occupants = in.Count
		}
		m.wakeAt = in.At.Add(actedLimit)
	}
	s.Changed = true
}

// Act is what a press of the release button comes to.
type Act uint8

const (
	NoAct      Act = iota // the press has no effect; over REFER a second one has
	Release               // 902
	ReleaseAll            // 902, and the press confirms dec.Ready occupants
	Override              // 903
)

// Press weighs the officer's press of release, which ev already counts,
// against the decision in force. Nobody moves on HOLD; over REFER it takes a
// second press; while READY n is shown the press says "I counted n" (domain
// reference, 7.1 and 7.5).
func Press(ev Evidence, dec Decision) Act {
	if ev.State != AtBooth || ev.Releases == 0 {
		return NoAct
	}
	switch dec.Outcome {
	case Expedite:
		return Release
	case Primary:
		if dec.Ready > 0 {
			return ReleaseAll
		}
		return Release
	case Refer:
		if ev.Releases >= 2 {
			return Override
		}
	}
	return NoAct
}
