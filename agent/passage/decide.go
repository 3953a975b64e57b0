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
	c := &weighing{pol: pol, ev: ev, f: f, distinct: distinctCards(ev.Cards)}
	if pol.Lane != NEXUS {
		// No other lane has rules yet. A lookout still speaks: a lane that is
		// set up wrongly must not be the way around it.
		c.when(ev.Closed, LaneClosed, Hold)
		c.say(LaneConfigInvalid, Hold)
		c.lookouts()
		return settle(c.found, f)
	}
	c.system()
	c.lookouts()
	c.cards()
	c.occupants()
	c.plates()
	c.officer()
	return c.decision()
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
	distinct int // cards
	good     int // cards with nothing against them
	found    []finding
}

func (c *weighing) say(code Code, o Outcome) { c.found = append(c.found, finding{code, o}) }

// when says the code at the outcome if the condition holds.
func (c *weighing) when(cond bool, code Code, o Outcome) {
	if cond {
		c.say(code, o)
	}
}

func (c *weighing) decision() Decision {
	worst := worstOf(c.found)
	switch {
	case worst == Expedite && c.proven():
		c.say(Eligible, Expedite)
	case worst == Expedite:
		// No rule speaks against it and yet something is not positively true:
		// a gap in the rules must slow the lane, not open it.
		c.say(DecisionTimeout, Primary)
	}
	d := settle(c.found, c.f)
	if d.Outcome == Primary && c.onlyUnconfirmed() {
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

// proven tells whether every precondition of Expedite in a NEXUS lane is
// positively true (domain reference, 7.4). It repeats in the positive what the
// rules say in the negative, on purpose.
func (c *weighing) proven() bool {
	f, ev := c.f, c.ev
	healthy := f.Config && !f.Now.IsZero() && f.Key && f.Store && f.Readers && f.Presence && f.Signals && !f.Late &&
		(f.LPR || !c.pol.PlatePresent) && trusted(f.Clock)
	for _, kind := range required {
		l, ok := listOf(f.Lists, kind)
		healthy = healthy && ok && l.Generation > 0 && l.Age >= 0 && l.Age <= c.pol.HardAge
	}
	people := c.distinct > 0 && c.good == c.distinct && ev.Occupants == c.distinct
	plate := plateOf(ev)
	return healthy && people && plate != nil && plate.Bare != "" && !ev.Closed && !ev.Ambiguous && !ev.Presence && !ev.WrongWay
}

// settle makes a decision of what the rules found.
func settle(found []finding, f Facts) Decision {
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
		d.Caution = d.Caution || h.OfficerSafety && d.Silent && inForce(h, f)
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
			slower = slower || !mild(code) && code != OccupantsUnconfirmed
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
		p.Lead = leadOf(masked)
	}
	return p
}

// mild codes never slow a NEXUS lane by themselves.
func mild(c Code) bool {
	switch c {
	case Eligible, ListRejected, ListAging, CardTIDAbsent, PlateNotLinked, OfficerRelease, OfficerOverride:
		return true
	}
	return false
}

func leadOf(found []finding) Code {
	best, lead := -1, Code(0)
	for _, x := range found {
		if mild(x.code) {
			x.outcome = informational
		}
		if rank := precedence(x); best < 0 || rank < best {
			best, lead = rank, x.code
		}
	}
	return lead
}

func distinctCards(cards []Card) int {
	seen := make([]Token, 0, len(cards))
	for _, card := range cards {
		if !slices.Contains(seen, card.Token) {
			seen = append(seen, card.Token)
		}
	}
	return len(seen)
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
