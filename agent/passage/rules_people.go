package passage

// Rows 500 to 502. In a vehicle the officer counts; at a kiosk each session is
// one traveller's, and the party must be stated (854 counts its sessions).
func (c *weighing) occupants() {
	n := c.ev.Occupants
	if c.pol.Lane == NEXUSAir {
		n = min(c.session().Party, 1)
	}
	if n <= 0 {
		c.say(OccupantsUnconfirmed)
		return
	}
	c.when(c.good < n, OccupantWithoutCard)
	c.when(c.distinct > n, CardsExceedOccupants)
}
