package passage

import (
	"slices"
	"time"
)

// Place is where a reader's antenna looks, as the technician has said. Loops
// tell that there are two vehicles; antennas and strength tell whose card it is
// (domain reference, section 10: presence window, antenna, RSSI order).
type Place uint8

// Places. Of the zero Place nothing is known: such a read is attributed by the
// loops alone.
const (
	Anywhere   Place = iota
	OnApproach       // an antenna of the approach, of a reader that looks at the booth too
	ByBooth          // one that looks at the booth, and as strong as nothing behind it is read
	Faint            // the same antenna, more weakly: at the booth or behind it
	ByHand           // a reader that a card is held to, at the booth, or a camera that sees nobody but who stands there
)

// Aim says which of a reader's antennas look at the booth.
type Aim struct {
	// Booth are those that look at the vehicle at the booth. What they read of the
	// one behind is weaker than WeakestDBm. The reader's others look at the
	// approach. Ports count from 1.
	Booth      []int
	WeakestDBm int
	// Hand says that the reader has no reach: a card is held to it, at the booth; or
	// that a camera sees who stands there and nobody else.
	Hand bool
}

// Place is that of one read. A strength of 0 or more was not told.
func (a Aim) Place(antenna, rssiDBm int) Place {
	switch {
	case a.Hand:
		return ByHand
	case len(a.Booth) == 0:
		return Anywhere
	case !slices.Contains(a.Booth, antenna):
		return OnApproach
	case rssiDBm < 0 && rssiDBm >= a.WeakestDBm:
		return ByBooth
	}
	return Faint
}

// clearly is by how much one of two places must have read a card more strongly
// than the other, so that it is there: a card is read by 10 dB more weakly at
// three times the distance. Ours.
const clearly = 10 // dB

// pullUp is how long a vehicle that has reached the booth loop may still be read
// by the approach's antennas, so that they tell nothing of it: a car's length at
// walking pace. Ours.
const pullUp = 3 * time.Second

// sightsMost bounds how many cards of a passage are told apart by places; ours:
// a reader's eight in either vehicle.
const sightsMost = 16

// sight is a card that was read at a place while a vehicle stood at the booth, or
// whose read was refused before. Strengths are the best, in dBm.
type sight struct {
	token           Token
	booth, approach int  // 0: not read there
	mute            bool // read on the approach, and the reader did not say how strongly
}

// belonging is whose a card is.
type belonging uint8

const (
	unclear belonging = iota
	own               // of the vehicle at the booth
	behind            // of another one
)

// whose weighs what was read of a card. It is clear only if one place alone has
// read it, or far more strongly than the other.
func (c sight) whose() belonging {
	near, far := c.booth != 0, c.approach != 0 || c.mute
	switch {
	case near && !far:
		return own
	case far && !near:
		return behind
	case !near || c.mute:
		return unclear
	case c.booth-c.approach >= clearly:
		return own
	case c.approach-c.booth >= clearly:
		return behind
	}
	return unclear
}

// see keeps what a read tells of where its card is.
func (c *sight) see(p Place, rssiDBm int) {
	stronger := func(best *int) {
		if *best == 0 || rssiDBm > *best {
			*best = rssiDBm
		}
	}
	switch {
	case p == ByBooth:
		stronger(&c.booth)
	case p == OnApproach && rssiDBm >= 0:
		c.mute = true
	case p == OnApproach:
		stronger(&c.approach)
	}
}

// sighted gives what is known of a card's place, and makes room for it; nil:
// there is none.
func (m *Machine) sighted(t Token) *sight {
	i := slices.IndexFunc(m.sights, func(c sight) bool { return c.token == t })
	switch {
	case i >= 0:
		return &m.sights[i]
	case len(m.sights) == sightsMost:
		return nil
	}
	m.sights = append(m.sights, sight{token: t})
	return &m.sights[len(m.sights)-1]
}

// holds tells whether the passage has a card.
func (m *Machine) holds(t Token) bool {
	return slices.ContainsFunc(m.ev.Cards, func(have Card) bool { return have.Token == t })
}

// unsure tells whether a card that may be another vehicle's was counted, or one
// that may be this vehicle's was not. Unlike every other doubt it ends when each
// card was clearly read at one place.
func (m *Machine) unsure() bool {
	return slices.ContainsFunc(m.sights, func(c sight) bool {
		w := c.whose()
		if m.holds(c.token) {
			return w != own
		}
		return w == unclear
	})
}

// placed attributes a card by where it was read. What is not clearly the
// vehicle's at the booth is not counted for it, and what is not clearly another's
// is a doubt (213).
func (m *Machine) placed(in Input, s *Step) {
	was := m.unsure()
	defer func() { s.Changed = s.Changed || m.unsure() != was }()
	known := m.holds(in.Card.Token)
	if in.Place == OnApproach {
		m.heard = true
	}
	switch {
	case in.Place == ByHand && m.there():
		m.count(in.Card, s) // handed over, as a document is
	case in.Place == ByHand:
		s.Dropped = true // nobody is there whose it could be
	case in.Place == Faint && !known:
		s.Dropped = true // at the booth, behind it, or of one that has left
	case m.ev.State == Approach:
		m.before(in, known, s)
	case in.Place == Faint || in.Place == OnApproach && (m.ownTail || in.At.Sub(m.reachedAt) < pullUp):
		// It tells nothing: too weak, or of a vehicle that may stand at both places.
		if s.Dropped = !known; known {
			m.count(in.Card, s)
		}
	default:
		m.atBooth(in, known, s)
	}
}

// there tells whether a vehicle stands at the booth now.
func (m *Machine) there() bool { return m.ev.State == AtBooth && m.booth }

// before takes a card on the approach.
func (m *Machine) before(in Input, known bool, s *Step) {
	if known || !m.foreign() {
		m.count(in.Card, s)
		return
	}
	s.Dropped = true
	full := m.sighted(in.Card.Token) == nil // else it is unclear, until it is read at the booth or behind it
	for _, have := range m.ev.Cards {       // and so is whose these are, if theirs has backed out
		full = m.sighted(have.Token) == nil || full
	}
	if full {
		m.ambiguous(s)
	}
}

// atBooth takes a card while the passage's vehicle is at the booth.
func (m *Machine) atBooth(in Input, known bool, s *Step) {
	c := m.sighted(in.Card.Token)
	if c == nil {
		s.Dropped = !known
		m.ambiguous(s)
		return
	}
	c.see(in.Place, in.Card.RSSIDBm)
	switch {
	case known:
		m.count(in.Card, s)
	case c.whose() != own, m.foreign() && !(m.heard && m.there()):
		// With another vehicle behind, that the approach has not read it counts only
		// if the approach is heard of at all, and nobody's card is at an empty booth.
		s.Dropped = true
	default:
		m.count(in.Card, s)
	}
}

func (m *Machine) count(c Card, s *Step) { s.Changed = m.ev.hold(c) || s.Changed }
