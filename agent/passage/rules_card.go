package passage

import "slices"

// defaultCapacity is how many cards a vicinity reader tells apart (domain
// reference, section 2: "up to eight cards at a time").
const defaultCapacity = 8

// Rows 400 to 414 and 503. NO_CARD speaks from the start; the advice is shown
// from the booth on.
func (c *weighing) cards() {
	c.when(len(c.ev.Cards) == 0 && len(c.ev.Documents) == 0 && c.ev.Unreadable == 0, NoCard)
	c.when(c.ev.Unreadable != 0, CardUnreadable)
	capacity := c.pol.ReaderCapacity
	if capacity <= 0 {
		capacity = defaultCapacity
	}
	c.when(c.distinct > capacity, CapacityExceeded)
	c.when(!c.whole, DecisionTimeout)
	for _, h := range c.held {
		before := len(c.found)
		c.card(h.card, h.fact)
		if worstOf(c.found[before:]) == Expedite {
			c.good++
		}
	}
	c.documents()
}

func (c *weighing) card(card Card, fact CardFact) {
	if !fact.Found || card.Token == "" {
		c.say(CardUnknown)
		return
	}
	switch fact.Card {
	case Issued:
	case Superseded:
		c.say(CardSuperseded)
	case Lost, Stolen:
		c.say(CardLostStolen)
	default:
		c.say(DecisionTimeout)
	}
	switch fact.Membership {
	case Active:
	case Suspended:
		c.say(MembershipSuspended)
	case Revoked:
		c.say(MembershipRevoked)
	case Pending:
		c.say(NotYetValid)
	default:
		c.say(DecisionTimeout)
	}
	now := c.f.Now
	accepted := slices.ContainsFunc(fact.Programs, func(p string) bool { return slices.Contains(c.pol.AcceptedPrograms, p) })
	c.when(!accepted, CardWrongProgram)
	c.when(!fact.CardUntil.IsZero() && past(fact.CardUntil, now) && !fact.Extended, CardExpired)
	c.when(past(fact.ValidUntil, now), MembershipExpired) // also where the list gives no end
	c.when(now.Before(fact.ValidFrom), NotYetValid)
	c.chip(card, fact)
	if c.pol.AntiPassback {
		c.when(fact.Recent >= 0 && fact.Recent <= c.pol.AntiPassbackFor, CardDuplicateRecent)
		c.when(fact.Concurrent, CardDuplicateConcurrent)
	}
}

// chip compares the chip number with the enrolled one: a copied card number on
// another chip is evidence of a copy (domain reference, section 10).
func (c *weighing) chip(card Card, fact CardFact) {
	switch {
	case card.TIDConflict, fact.TID != "" && card.TID != "" && fact.TID != card.TID:
		c.say(CardTIDMismatch)
	case fact.TID == "" || card.TID == "":
		c.say(CardTIDAbsent)
		if c.pol.TIDRequired && c.column != inGeneral {
			c.sayAs(CardTIDAbsent, Primary)
		}
	}
}
