package passage

import "slices"

// plateOf is the plate that counts: the officer's, else the front camera's.
func plateOf(ev Evidence) *Plate {
	if ev.Keyed != nil {
		return ev.Keyed
	}
	return ev.Front
}

// Rows 600 to 605. A truck's plates differ: front is the tractor, rear the
// trailer. Tractors are registered to their carrier, cars to nobody who
// counts (domain reference, section 3 and 7.5).
func (c *weighing) plates() {
	p := plateOf(c.ev)
	truck := c.pol.Lane == FAST
	if p == nil || p.NoRead || p.Bare == "" {
		c.say(PlateMissing)
	} else {
		c.when(!c.readWell(*p), PlateUncertain)
		c.when((c.f.VehiclesOnFile || truck) && !c.f.VehicleLinked, PlateNotLinked)
	}
	// A keyed plate stands for the front one here too: the officer has looked,
	// and a misread front camera must not outlast that.
	if rear := c.ev.Rear; p != nil && rear != nil && p.Bare != "" && rear.Bare != "" && c.readWell(*p) && c.readWell(*rear) {
		c.when(differ(*p, *rear) && !c.towing(), PlateFrontRearDiffer)
	}
	c.when(c.ev.VehicleWrong, VehicleClassWrong)
	rear := c.ev.Rear
	c.when(c.towing() && (rear == nil || rear.NoRead || rear.Bare == ""), TrailerPlateMissing)
}

// towing tells whether there is a trailer, seen or announced: then the rear
// plate is another's.
func (c *weighing) towing() bool {
	t, f := c.scanned()
	return t.Trailer || slices.ContainsFunc(f.Trips, func(t Trip) bool { return t.Trailer })
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
