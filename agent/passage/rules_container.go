package passage

import (
	"slices"
	"time"
)

// Rows 800 to 807. What a trip names must be there, what is there must be what
// the trip names; a trailer without a number is no fault where none is named.
func (c *weighing) containers() {
	t, f := c.scanned()
	c.when(malformed(t.Containers), ContainerIDInvalid)
	for i, m := range t.Containers {
		if m.Malformed || i >= len(f.Containers) {
			continue
		}
		c.container(m, f.Containers[i], f)
	}
	for _, trip := range f.Trips {
		for _, name := range trip.Containers {
			there := slices.ContainsFunc(t.Containers, func(m Mark) bool { return m.Token == name && !m.Malformed })
			c.when(!there, ContainerNotManifested)
		}
		c.when(trip.SealNeeded && len(t.Seals) == 0, SealMissing)
		c.when(trip.Screening && len(t.Containers) == 0, NotPrescreened)
	}
	c.seals(t, f)
}

func (c *weighing) container(m Mark, fact Container, f TradeFacts) {
	announced := len(f.Trips) == 0 || slices.ContainsFunc(f.Trips, func(t Trip) bool { return slices.Contains(t.Containers, m.Token) })
	c.when(!announced, ContainerNotManifested)
	screened := false
	switch {
	case !fact.Found:
	case fact.Status == ContainerOnHold || fact.Status == ContainerDoNotRelease:
		// With a clock that cannot be trusted every hold counts.
		c.when(!trusted(c.f.Clock) || c.f.Now.IsZero() || !c.outside(fact.ValidFrom, fact.ValidUntil), ContainerHold)
	case fact.Status == ContainerPrescreened:
		screened = !c.outside(fact.ValidFrom, fact.ValidUntil)
	case fact.Status != ContainerNone:
		c.say(DecisionTimeout)
	}
	c.when(fact.SizeType != "" && m.SizeType != "" && fact.SizeType != m.SizeType, SizeTypeMismatch)
	for _, trip := range f.Trips {
		c.when(trip.Screening && !screened, NotPrescreened)
		c.when(trip.HighSeal && fact.SealClass != "H", SealClassLow)
	}
}

// seals: a container's seal on record must be among those entered.
func (c *weighing) seals(t Trade, f TradeFacts) {
	c.when(malformed(t.Seals), SealMissing)
	if len(t.Seals) == 0 {
		return
	}
	for _, fact := range f.Containers {
		there := slices.ContainsFunc(t.Seals, func(m Mark) bool { return m.Token == fact.Seal })
		c.when(fact.Found && fact.Seal != "" && !there, SealMismatch)
	}
}

// outside tells whether now is not within a validity; one without an end does
// not end.
func (c *weighing) outside(from, until time.Time) bool {
	now := c.f.Now
	return now.Before(from) || !until.IsZero() && past(until, now)
}
