package passage

import (
	"slices"
	"time"
)

// Decide weighs one passage. It reads no clock and no store: the same arguments
// give the same Decision at the booth, in a test and in an appeal. Every rule
// speaks; the gravest outcome wins and every reason is kept, in order of code.
// Expedite needs every precondition to be positively true, apart from the
// absence of reasons against it.
//
// Source: domain reference, sections 7.1 to 7.4.
func Decide(pol Policy, ev Evidence, f Facts) Decision {
	c := &weighing{pol: pol, ev: ev, f: f, column: columnOf(pol.Lane)}
	c.held, c.whole = holdings(ev, f)
	c.distinct = distinct(c.held)
	if c.column == noColumn {
		// A lookout still speaks: a lane that is set up wrongly must not be the
		// way around it.
		c.when(ev.Closed, LaneClosed)
		c.say(LaneConfigInvalid)
		c.lookouts()
		return settle(c.found, pol, f)
	}
	c.system()
	c.lookouts()
	c.cards()
	c.plates()
	c.trade()
	c.containers()
	c.occupants()
	switch pol.Lane {
	case NEXUSAir:
		c.kiosk()
	case Ready, General:
		c.standard()
	}
	c.officer()
	return c.decision()
}

// Rows 101 and 102.
func (c *weighing) standard() {
	c.say(StandardLane)
	n := c.ev.Occupants
	c.when(c.pol.Lane == Ready && n > 0 && len(c.ev.Cards) == n && c.ev.Unreadable == 0, ReadyAllRFID)
}

// finding is what one rule says.
type finding struct {
	code    Code
	outcome Outcome
}

// informational marks a finding without effect: no outcome is milder.
const informational = Expedite

// weighing is one call of Decide at work.
type weighing struct {
	pol      Policy
	ev       Evidence
	f        Facts
	column   int       // of the table
	held     []holding // the cards
	whole    bool      // there is a fact for each
	distinct int       // cards
	good     int       // cards with nothing against them
	matched  bool      // a bound verdict says that the traveller is the card's
	found    []finding
}

// say adds a reason with the outcome that the table gives it in this lane.
func (c *weighing) say(code Code) {
	if o, occurs := outcomeOf(code, c.column); occurs {
		c.sayAs(code, o)
	}
}

func (c *weighing) sayAs(code Code, o Outcome) {
	c.found = append(c.found, finding{code, c.pol.atLeast(code, o)})
}

// atLeast is an outcome as the port wants it for this reason. What would tell a
// lookout from other reasons, or outrank the officer, is left as it is.
func (p Policy) atLeast(code Code, o Outcome) Outcome {
	if code < LaneClosed || code >= LookoutStop && code <= LookoutPossible || code >= RandomCompliance {
		return o
	}
	if slices.Contains(p.PrimaryOn, code) && o.Severity() < Primary.Severity() {
		o = Primary
	}
	if slices.Contains(p.ReferOn, code) && o.Severity() < Refer.Severity() {
		o = Refer
	}
	return o
}

// when says the code if the condition holds.
func (c *weighing) when(cond bool, code Code) {
	if cond {
		c.say(code)
	}
}

func (c *weighing) decision() Decision {
	worst := worstOf(c.found)
	switch {
	case worst == Expedite && c.proven():
		c.say(Eligible)
	case worst == Expedite:
		// No rule speaks against it and yet something is not positively true:
		// a gap in the rules must slow the lane, not open it.
		c.say(DecisionTimeout)
	}
	d := settle(c.found, c.pol, c.f)
	if d.Outcome == Primary && c.pol.Lane != NEXUSAir && c.onlyUnconfirmed() {
		counted := *c
		counted.ev.Occupants = c.distinct
		if counted.proven() {
			d.Ready = c.distinct
		}
	}
	return d
}

// onlyUnconfirmed tells whether OCCUPANTS_UNCONFIRMED alone keeps the outcome
// from Expedite.
func (c *weighing) onlyUnconfirmed() bool {
	seen := false
	for _, x := range c.found {
		if x.code == OccupantsUnconfirmed {
			seen = true
		} else if x.outcome != informational {
			return false
		}
	}
	return seen
}

// proven tells whether every precondition of Expedite is positively true
// (domain reference, 7.4). It repeats in the positive what the rules say in the
// negative, on purpose.
func (c *weighing) proven() bool {
	f, ev := c.f, c.ev
	healthy := f.Config && !f.Now.IsZero() && f.Key && f.Store && f.Readers && f.Presence && f.Signals && !f.Late &&
		trusted(f.Clock) && !ev.Closed && !ev.Ambiguous && !ev.Presence && !ev.WrongWay
	for _, kind := range RequiredLists(c.pol) {
		l, ok := listOf(f.Lists, kind)
		healthy = healthy && ok && l.Generation > 0 && l.Age >= 0 && l.Age <= c.pol.HardAge
	}
	cards := c.whole && c.distinct > 0 && c.good == c.distinct
	plate := plateOf(ev)
	vehicle := plate != nil && plate.Bare != "" && (f.LPR || !c.pol.PlatePresent) && ev.Occupants == c.distinct
	switch c.pol.Lane {
	case NEXUS:
		return healthy && cards && vehicle
	case FAST:
		return healthy && cards && vehicle && f.VehicleLinked && c.cleared()
	case NEXUSAir:
		s := c.session()
		return healthy && cards && c.distinct == 1 && c.matched && s.Party > 0 && s.Answered && !s.Declared && !s.TimedOut
	}
	return false
}

// cleared tells whether truck and load have every approval that a FAST lane
// asks for: one approved carrier, one trip of its own in force, and either no
// load where that is allowed or shipments that are all eligible.
func (c *weighing) cleared() bool {
	t, f := c.scanned()
	if !c.pol.FASTPort || len(t.Carriers) != 1 || len(f.Carriers) != 1 || !c.approved(f.Carriers[0]) || len(f.Trips) != 1 {
		return false
	}
	trip := f.Trips[0]
	if trip.Token == "" || trip.Carrier != t.Carriers[0].Token {
		return false
	}
	if trip.Empty || t.Empty {
		return c.pol.AllowEmpty
	}
	return len(trip.Shipments) > 0
}

// settle makes a decision of what the rules found.
func settle(found []finding, pol Policy, f Facts) Decision {
	d := Decision{Outcome: worstOf(found)}
	best := -1
	for _, x := range found {
		if rank := precedence(x); best < 0 || rank < best {
			best, d.Lead = rank, x.code
		}
		d.Reasons = append(d.Reasons, x.code)
		if x.code >= LookoutStop && x.code <= LookoutPossible {
			d.Silent = true
		}
	}
	slices.Sort(d.Reasons)
	d.Reasons = slices.Compact(d.Reasons)
	for _, h := range f.Hits {
		d.Caution = d.Caution || h.OfficerSafety && d.Silent && inForce(h, f) && inScope(h, pol)
	}
	return d
}

func worstOf(found []finding) Outcome {
	worst := Expedite
	for _, x := range found {
		if x.outcome.Severity() > worst.Severity() {
			worst = x.outcome
		}
	}
	return worst
}

// leads is the head of the precedence order (domain reference, 7.2, 1 to 7).
var leads = [...]Code{
	LaneClosed, LaneConfigInvalid, LookoutStop, OfficerRefer, LookoutRefer,
	MembershipRevoked, MembershipSuspended, CardLostStolen, CardTIDMismatch, CardDuplicateConcurrent,
	CardDuplicateRecent, MRZRFIDMismatch, ContainerHold, SealMismatch, BioNoMatch, RandomCompliance,
}

// precedence ranks a finding for the lead: smaller leads. Informational
// reasons rank behind 100 and 101, as in the contract's example: what explains
// the outcome leads, not what had no effect on it.
func precedence(x finding) int {
	if i := slices.Index(leads[:], x.code); i >= 0 {
		return i
	}
	n := int(x.code)
	switch {
	case x.code == Eligible || x.code == StandardLane:
		return 30_000 + n
	case x.outcome == informational:
		return 40_000 + n
	case n >= 202 && n <= 214:
		return 10_000 + n
	}
	return 20_000 + n
}

// Public is the decision as every display but the officer's private one may
// have it: nothing in it tells a lookout from what everybody may meet (domain
// reference, 7.2; I3).
//
// A REFER that a lookout gave is shown as the random selection 900. An OBSERVE
// is left out everywhere, since it must not be told from its absence. A
// POSSIBLE that stands alone is shown as PLATE_UNCERTAIN, which it also is: a
// PRIMARY without any reason would give it away, and so would one with
// OCCUPANTS_UNCONFIRMED alone that is not READY.
func (d Decision) Public() Decision {
	p := Decision{Outcome: d.Outcome, Ready: d.Ready}
	var masked []finding
	column := inNEXUS
	if slices.Contains(d.Reasons, StandardLane) {
		column = inGeneral
	}
	possible, slower := false, false
	for _, code := range d.Reasons {
		switch code {
		case LookoutStop, LookoutRefer:
			if d.Outcome == Refer {
				masked = append(masked, finding{RandomCompliance, Refer})
			}
		case LookoutObserve:
		case LookoutPossible:
			possible = true
		default:
			masked = append(masked, finding{code, Primary})
			slower = slower || !mild(code, column) && code != OccupantsUnconfirmed
		}
	}
	if possible && d.Outcome == Primary && !slower {
		masked = append(masked, finding{PlateUncertain, Primary})
	}
	for _, x := range masked {
		p.Reasons = append(p.Reasons, x.code)
	}
	slices.Sort(p.Reasons)
	p.Reasons = slices.Compact(p.Reasons)
	p.Lead = d.Lead
	if d.Lead >= LookoutStop && d.Lead <= LookoutPossible {
		p.Lead = leadOf(masked, column)
	}
	return p
}

// mild codes never slow such a lane by themselves. What another column than
// general does with 603 makes no difference to who sees a masked decision.
func mild(c Code, column int) bool {
	o, occurs := outcomeOf(c, column)
	return occurs && o == informational
}

func leadOf(found []finding, column int) Code {
	best, lead := -1, Code(0)
	for _, x := range found {
		if mild(x.code, column) {
			x.outcome = informational
		}
		if rank := precedence(x); best < 0 || rank < best {
			best, lead = rank, x.code
		}
	}
	return lead
}

// distinct counts cards by token.
func distinct(held []holding) int {
	n := 0
	for i, h := range held {
		if !slices.ContainsFunc(held[:i], func(o holding) bool { return o.card.Token == h.card.Token }) {
			n++
		}
	}
	return n
}

// inScope tells whether a lookout concerns this booth. One that names no
// region concerns everybody.
func inScope(h Hit, pol Policy) bool {
	return len(pol.Regions) == 0 || h.Region == "" || slices.Contains(pol.Regions, h.Region)
}

func listOf(lists []List, kind string) (List, bool) {
	for _, l := range lists {
		if l.Kind == kind {
			return l, true
		}
	}
	return List{}, false
}

func trusted(c Clock) bool { return c == ClockSynced || c == ClockHoldover }

// inForce judges a lookout's window. With a clock that cannot be trusted every
// lookout counts, and so does one without an end.
func inForce(h Hit, f Facts) bool {
	if !trusted(f.Clock) || f.Now.IsZero() {
		return true
	}
	return !f.Now.Before(h.ValidFrom) && (h.ValidUntil.IsZero() || f.Now.Before(h.ValidUntil))
}

func past(t, now time.Time) bool { return !now.Before(t) }
