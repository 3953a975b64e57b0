package passage

// Rows 300 to 303. An uncertain match of an OBSERVE lookout is still OBSERVE:
// it must change nothing.
func (c *weighing) lookouts() {
	for _, h := range c.f.Hits {
		if !inForce(h, c.f) || !inScope(h, c.pol) {
			continue
		}
		switch {
		case h.Action == Observe:
			c.say(LookoutObserve)
		case h.Action != Stop && h.Action != Check:
			c.say(DecisionTimeout)
			c.say(LookoutPossible)
		case h.Possible:
			c.say(LookoutPossible)
		case h.Action == Stop:
			c.say(LookoutStop)
		default:
			c.say(LookoutRefer)
		}
	}
}
