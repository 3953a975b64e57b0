package passage

import (
	"math"
	"slices"
	"time"
)

// read attributes a reader's report to the passage, or drops it.
func (m *Machine) read(in Input, s *Step) {
	if !m.reading() {
		m.remember(in)
		s.Dropped = true
		return
	}
	switch in.Kind {
	case CardRead:
		m.card(in, s)
	case CardUnread:
		if m.foreign() && !(in.Place == ByHand && m.there()) {
			m.refuse(s)
			return
		}
		s.Changed = s.Changed || m.ev.Unreadable == 0
		m.ev.Unreadable = min(m.ev.Unreadable+1, 1<<20)
	case FrontPlate:
		m.plate(&m.ev.Front, in, s)
	case RearPlate:
		m.plate(&m.ev.Rear, in, s)
	}
}

func (m *Machine) card(in Input, s *Step) {
	switch {
	case in.Card.Token == "":
		s.Dropped = true
	case in.Place != Anywhere:
		m.placed(in, s)
	case !m.holds(in.Card.Token) && m.foreign():
		m.refuse(s)
	default:
		m.count(in.Card, s)
	}
}

// hold adds a card, or what a further read tells of a known one. It tells
// whether that may change a decision.
func (ev *Evidence) hold(c Card) (changed bool) {
	i := slices.IndexFunc(ev.Cards, func(have Card) bool { return have.Token == c.Token })
	if i < 0 {
		switch {
		case c.Token == "":
			return false
		case !ev.room(cardWeight):
			return ev.doubt()
		}
		c.Reads = 1
		ev.Cards = append(ev.Cards, c)
		return true
	}
	have := &ev.Cards[i]
	have.Reads = min(have.Reads+1, 1<<30)
	if c.RSSIDBm > have.RSSIDBm {
		have.RSSIDBm, have.Antenna, have.Reader = c.RSSIDBm, c.Antenna, c.Reader
	}
	switch {
	case c.TID == "" || c.TID == have.TID:
	case have.TID == "":
		have.TID = c.TID
		return true
	case !have.TIDConflict:
		have.TIDConflict = true
		return true
	}
	return false
}

// plate keeps the better report; the other stays as what it may be instead. A
// report of no plate never displaces one.
func (m *Machine) plate(slot **Plate, in Input, s *Step) {
	p := in.Plate
	if math.IsNaN(p.Confidence) || math.IsInf(p.Confidence, 0) {
		p.Confidence = -1 // not reported; JSON has no word for it either
	}
	have := *slot
	same := have != nil && have.Bare == p.Bare
	switch {
	case m.foreign() && !same && in.Place != ByHand:
		m.refuse(s)
		return
	case in.Place == ByHand && !m.there(), !same && m.lingering(p, in.At):
		m.remember(in)
		s.Dropped = true
		return
	case have != nil && (p.NoRead || !have.NoRead && p.Confidence <= have.Confidence && (p.Jurisdiction == "" || have.Jurisdiction != "" || !same)):
		kept := have.Or(p)
		s.Changed = s.Changed || len(kept.Candidates) > len(have.Candidates)
		*slot = &kept // evidence that was handed out has the old one
		return
	}
	if same && p.Jurisdiction == "" && have.Jurisdiction != "" {
		p.Jurisdiction, p.Full = have.Jurisdiction, have.Full
	}
	if same {
		p.Confidence = max(p.Confidence, have.Confidence)
	}
	if have != nil {
		p = p.Or(*have)
	}
	*slot = &p
	s.Changed = true
}

// untakenMost bounds how many plates are remembered that a passage did not take;
// ours: a vehicle has two, and a camera some readings of each.
const untakenMost = 8

// remember keeps a plate that is dropped while the passage's vehicle leaves, or was
// not at the booth: it is not counted for it, but may be of it, so that it is not the
// next one's either when the camera tells it again.
func (m *Machine) remember(in Input) {
	if !m.active || in.Kind != FrontPlate && in.Kind != RearPlate || in.Plate.Bare == "" {
		return
	}
	if i := slices.IndexFunc(m.untaken, func(have Input) bool { return have.Kind == in.Kind && have.Plate.Bare == in.Plate.Bare }); i >= 0 {
		in.Plate = in.Plate.Or(m.untaken[i].Plate)
		m.untaken = slices.Delete(m.untaken, i, i+1)
	}
	m.untaken = append(m.untaken[max(len(m.untaken)-untakenMost+1, 0):], in)
}

// early is by how much a camera that sees who stands at the booth may be ahead of the
// booth loop, which is heard 50 ms late (its debounce) and may be slow itself. Ours.
const early = time.Second

// arrive gives the vehicle that has come to the booth loop the plate that such a camera
// told just before: it does not tell it again. The one ahead is not so long gone that
// a report may still be of it, and none may stand between the loops or come behind.
func (m *Machine) arrive(in Input, s *Step) {
	if m.ev.Ambiguous || m.ev.Presence || m.doubled {
		return
	}
	for _, was := range m.untaken {
		if was.Place != ByHand || in.At.Sub(was.At) > early || was.At.Sub(m.aloneAt) < lingers {
			continue
		}
		if was.Kind == FrontPlate {
			m.plate(&m.ev.Front, was, s)
		} else {
			m.plate(&m.ev.Rear, was, s)
		}
	}
}

// lingering tells whether a plate is that of the vehicle that has just cleared, or
// another reading of it: a camera that is unsure may tell the other one later.
func (m *Machine) lingering(p Plate, at time.Time) bool {
	return at.Sub(m.goneAt) < lingers && slices.ContainsFunc(m.gone, func(was Plate) bool {
		return p.Bare != "" && p.Bare == was.Bare || p.mayBe(was)
	})
}

// plates are those of a vehicle, however they were read.
func (ev *Evidence) plates() (all []Plate) {
	for _, p := range []*Plate{ev.Front, ev.Rear, ev.Keyed} {
		if p != nil {
			all = append(all, *p)
		}
	}
	return all
}
