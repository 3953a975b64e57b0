package passage

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
	// A keyed plate stands for the front one here too: the officer has looked,
	// and a misread front camera must not outlast that.
	if rear := c.ev.Rear; p != nil && rear != nil && p.Bare != "" && rear.Bare != "" && c.readWell(*p) && c.readWell(*rear) {
		c.when(differ(*p, *rear), PlateFrontRearDiffer, Primary)
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

// differ tells whether two plates are two: confusable characters do not make
// the difference, unless one of them came without its fold key.
func differ(a, b Plate) bool {
	if a.Fold == "" || b.Fold == "" {
		return a.Bare != b.Bare
	}
	return a.Fold != b.Fold
}
