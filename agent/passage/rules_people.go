package passage

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
