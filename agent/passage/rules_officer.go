package passage

// Rows 900 to 905.
func (c *weighing) officer() {
	ev := c.ev
	drawn := float64(c.f.Draw) < c.pol.RandomRate*10_000
	c.when(c.f.Draw < 0 || c.f.Draw > 9999, DecisionTimeout)
	c.when(c.f.Draw >= 0 && drawn, RandomCompliance)
	c.when(ev.Refers > 0, OfficerRefer)
	c.when(ev.Released && !ev.Overridden, OfficerRelease)
	c.when(ev.Overridden, OfficerOverride)
	c.when(ev.Declaration, DeclarationPresent)
	c.when(ev.Goods, CommercialGoods)
}
