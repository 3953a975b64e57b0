package passage

import "slices"

// defaultCapacity is how many cards a vicinity reader tells apart (domain
// reference, section 2: "up to eight cards at a time").
const defaultCapacity = 8

// Rows 400 to 414 and 503. NO_CARD speaks from the start; the advice is shown
// from the booth on.
func (c *weighing) cards() {
	c.when(len(c.ev.Cards) == 0 && c.ev.Unreadable == 0, NoCard, Primary)
	c.when(c.ev.Unreadable != 0, CardUnreadable, Primary)
	capacity := c.pol.ReaderCapacity
	if capacity <= 0 {
		capacity = defaultCapacity
	}
	c.when(c.distinct > capacity, CapacityExceeded, Primary)
	c.when(len(c.f.Cards) != len(c.ev.Cards), DecisionTimeout, Primary)
	for i, card := range c.ev.Cards {
		var fact CardFact // of a card without facts: not found
		if i < len(c.f.Cards) {
			fact = c.f.Cards[i]
		}
		before := len(c.found)
		c.card(card, fact)
		if worstOf(c.found[before:]) == Expedite {
			c.good++
		}
	}
}

func (c *weighing) card(card Card, fact CardFact) {
	if !fact.Found || card.Token == "" {
		c.say(CardUnknown, Primary)
		return
	}
	switch fact.Card {
	case Issued:
	case Superseded:
		c.say(CardSuperseded, Primary)
	case Lost, Stolen:
		c.say(CardLostStolen, Refer)
	default:
		c.say(DecisionTimeout, Primary)
	}
	switch fact.Membership {
	case Active:
	case Suspended:
		c.say(MembershipSuspended, Refer)
	case Revoked:
		c.say(MembershipRevoked, Refer)
	case Pending:
		c.say(NotYetValid, Primary)
	default:
		c.say(DecisionTimeout, Primary)
	}
	now := c.f.Now
	accepted := slices.ContainsFunc(fact.Programs, func(p string) bool { return slices.Contains(c.pol.AcceptedPrograms, p) })
	c.when(!accepted, CardWrongProgram, Primary)
	c.when(!fact.CardUntil.IsZero() && past(fact.CardUntil, now) && !fact.Extended, CardExpired, Primary)
	c.when(past(fact.ValidUntil, now), MembershipExpired, Primary) // also where the list gives no end
	c.when(now.Before(fact.ValidFrom), NotYetValid, Primary)
	c.chip(card, fact)
	if c.pol.AntiPassback {
		c.when(fact.Recent >= 0 && fact.Recent <= c.pol.AntiPassbackFor, CardDuplicateRecent, Refer)
		c.when(fact.Concurrent, CardDuplicateConcurrent, Refer)
	}
}

// chip compares the chip number with the enrolled one: a copied card number on
// another chip is evidence of a copy (domain reference, section 10).
func (c *weighing) chip(card Card, fact CardFact) {
	switch {
	case card.TIDConflict, fact.TID != "" && card.TID != "" && fact.TID != card.TID:
		c.say(CardTIDMismatch, Refer)
	case fact.TID == "" || card.TID == "":
		o := informational
		if c.pol.TIDRequired {
			o = Primary
		}
		c.say(CardTIDAbsent, o)
	}
}
