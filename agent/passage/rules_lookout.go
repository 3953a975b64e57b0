package passage

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
