package passage

import "slices"

// required are the list kinds a NEXUS lane cannot do without.
var required = [...]string{"cards", "lookouts", "members"}

// RequiredLists are the list kinds a NEXUS lane cannot do without, in order.
func RequiredLists() []string { return slices.Clone(required[:]) }

// defaultCapacity is how many cards a vicinity reader tells apart (domain
// reference, section 2: "up to eight cards at a time").
const defaultCapacity = 8

// Rows 200 to 214.
func (c *weighing) system() {
	f, ev, pol := c.f, c.ev, c.pol
	c.when(ev.Closed, LaneClosed, Hold)
	sound := f.Config && pol.Port != "" && (pol.Direction == ToCanada || pol.Direction == ToUS) &&
		pol.RandomRate >= 0 && pol.RandomRate <= 1
	c.when(!sound, LaneConfigInvalid, Hold)
	c.when(!trusted(f.Clock), ClockUntrusted, Primary)
	for _, kind := range required {
		l, ok := listOf(f.Lists, kind)
		c.when(!ok || l.Generation == 0, ListMissing, Primary)
		stale := l.Age < 0 || l.Age > pol.HardAge
		c.when(ok && stale, ListStale, Primary)
		c.when(ok && l.Rejected, ListRejected, informational)
		c.when(ok && !stale && l.Age > pol.SoftAge, ListAging, informational)
	}
	c.when(!f.Store, StoreFault, Primary)
	c.when(!f.Readers, ReaderFault, Primary)
	c.when(!f.LPR && pol.PlatePresent, LPRFault, Primary)
	c.when(!f.Presence || ev.Presence || ev.WrongWay, PresenceFault, Primary)
	c.when(f.Late || f.Clock > ClockSynced, DecisionTimeout, Primary)
	c.when(!f.Signals, SignalFault, Primary)
	c.when(ev.Ambiguous, PassageAmbiguous, Primary)
	c.when(!f.Key, KeyUnavailable, Primary)
}

// Rows 300 to 303. An uncertain match of an OBSERVE lookout is still OBSERVE:
// it must change nothing.
func (c *weighing) lookouts() {
	for _, h := range c.f.Hits {
		if !inForce(h, c.f) {
			continue
		}
		switch {
		case h.Action == Observe:
			c.say(LookoutObserve, informational)
		case h.Action != Stop && h.Action != Check:
			c.say(DecisionTimeout, Primary)
			c.say(LookoutPossible, Primary)
		case h.Possible:
			c.say(LookoutPossible, Primary)
		case h.Action == Stop:
			c.say(LookoutStop, Refer)
		default:
			c.say(LookoutRefer, Refer)
		}
	}
}

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

// Rows 500 to 502.
func (c *weighing) occupants() {
	n := c.ev.Occupants
	if n <= 0 {
		c.say(OccupantsUnconfirmed, Primary)
		return
	}
	c.when(c.good < n, OccupantWithoutCard, Primary)
	c.when(c.distinct > n, CardsExceedOccupants, Primary)
}

// plateOf is the plate that counts: the officer's, else the front camera's.
func plateOf(ev Evidence) *Plate {
	if ev.Keyed != nil {
		return ev.Keyed
	}
	return ev.Front
}

// Rows 600 to 604.
func (c *weighing) plates() {
	p := plateOf(c.ev)
	if p == nil || p.NoRead || p.Bare == "" {
		c.say(PlateMissing, Primary)
	} else {
		c.when(!c.readWell(*p), PlateUncertain, Primary)
		c.when(c.f.VehiclesOnFile && !c.f.VehicleLinked, PlateNotLinked, informational)
	}
	front, rear := c.ev.Front, c.ev.Rear
	if front != nil && rear != nil && front.Bare != "" && rear.Bare != "" && c.readWell(*front) && c.readWell(*rear) {
		c.when(front.Fold != rear.Fold, PlateFrontRearDiffer, Primary)
	}
	c.when(c.ev.VehicleWrong, VehicleClassWrong, Primary)
}

// readWell: confidence at the limit or above, and a jurisdiction if the policy
// asks for one. A camera that gives no confidence reads well only under a
// policy without a limit.
func (c *weighing) readWell(p Plate) bool {
	sure := c.pol.PlateConfidence <= 0 || p.Confidence >= c.pol.PlateConfidence
	return sure && (p.Jurisdiction != "" || !c.pol.JurisdictionNeed)
}

// Rows 900 to 905.
func (c *weighing) officer() {
	ev := c.ev
	drawn := float64(c.f.Draw) < c.pol.RandomRate*10_000
	c.when(c.f.Draw < 0 || c.f.Draw > 9999, DecisionTimeout, Primary)
	c.when(c.f.Draw >= 0 && drawn, RandomCompliance, Refer)
	c.when(ev.Refers > 0, OfficerRefer, Refer)
	c.when(ev.Released && !ev.Overridden, OfficerRelease, informational)
	c.when(ev.Overridden, OfficerOverride, informational)
	c.when(ev.Declaration, DeclarationPresent, Primary)
	c.when(ev.Goods, CommercialGoods, Primary)
}
