package passage

import (
	"math"
	"slices"
)

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
		if m.foreign() {
			m.refuse(s)
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
		switch {
		case len(m.ev.Cards) >= cardsMost || c.Token == "":
			s.Dropped = true
			return
		case m.foreign():
			m.refuse(s)
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
	if math.IsNaN(p.Confidence) || math.IsInf(p.Confidence, 0) {
		p.Confidence = -1 // not reported; JSON has no word for it either
	}
	have := *slot
	same := have != nil && have.Bare == p.Bare
	switch {
	case m.foreign() && !same:
		m.refuse(s)
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
