package passage

import "slices"

// session is the kiosk's, the zero one where there is none.
func (c *weighing) session() Session {
	if c.ev.Session == nil {
		return Session{}
	}
	return *c.ev.Session
}

// Rows 850 to 856. A verdict that is not bound to this very session says
// nothing but that (853); a bound NO_MATCH outweighs any MATCH.
func (c *weighing) kiosk() {
	s := c.session()
	bound := map[string]bool{}
	stray := false
	for _, v := range s.Verdicts {
		if !c.bound(v, s) {
			stray = true
			continue
		}
		switch v.Result {
		case BioMatch, BioNo, BioUnknown, BioPoor, BioNoMatcher:
			bound[v.Result] = true
		default:
			c.say(DecisionTimeout)
		}
	}
	matched, denied := bound[BioMatch], bound[BioNo]
	c.when(denied, BioNoMatch)
	c.when(stray && !matched && !denied, BioUnbound)
	c.when(bound[BioUnknown] && !matched, BioNotEnrolled)
	c.when(!matched && !denied && !bound[BioUnknown] && !stray, BioUnavailable)
	c.when(s.Party > 1 && c.f.PartyGood < s.Party-1, PartyIncomplete)
	c.when(s.Declared || !s.Answered, DeclarationToMake)
	c.when(s.TimedOut, SessionTimeout)
	c.matched = matched && !denied
}

// bound tells whether a verdict is of this passage, a card of it and this nonce,
// sealed by the matcher and young enough (domain reference, section 4).
func (c *weighing) bound(v Verdict, s Session) bool {
	if !v.Sealed || s.Nonce == "" || v.Nonce != s.Nonce || v.Passage != c.ev.ID || c.ev.ID == "" || v.Card == "" {
		return false
	}
	held := slices.ContainsFunc(c.held, func(h holding) bool { return h.card.Token == v.Card })
	age := Of(v.ReceivedAt.Sub(v.ProducedAt))
	return held && age >= -verdictAhead && age <= c.pol.VerdictFor
}
