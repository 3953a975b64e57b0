package contract

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-json-experiment/json"

	"boothd/agent/passage"
)

// Judged is one decision with all it stands on.
type Judged struct {
	Revision  int // within the passage, from 1
	Policy    passage.Policy
	Digest    string // of Policy
	Evidence  passage.Evidence
	Facts     passage.Facts
	Decision  passage.Decision // of the three above
	Mode      string
	Clock     Clock
	LatencyUS int64
}

// Events gives the public event of a decision and, if a lookout matched, the
// watch desk's. Both belong into one transaction of the journal (I2, I3).
//
// The public event is what a booth without the lookout would have sent, but
// for the outcome: hits are gone, reasons 300-303 are masked, and where a hit
// has become a random selection the draw agrees with it, since a 900 beside a
// draw over the rate would tell the hit to whoever decides again.
//
// Source: domain reference, sections 6 and 7.2.
func (j Judged) Events() (CrossingDecided, *LookoutAlert) {
	public := j.Facts
	public.Hits = nil
	masked := j.Decision.Public()
	if slices.Contains(masked.Reasons, passage.RandomCompliance) && !slices.Contains(j.Decision.Reasons, passage.RandomCompliance) {
		public.Draw = maskedDraw(j.Policy.RandomRate, j.Facts.Draw)
	}
	crossing := CrossingDecided{
		Passage:   j.Evidence.ID,
		Revision:  j.Revision,
		Decision:  wire(masked),
		Mode:      j.Mode,
		Evidence:  j.Evidence,
		Facts:     public,
		Policy:    j.Digest,
		Clock:     j.Clock,
		LatencyUS: j.LatencyUS,
	}
	if len(j.Facts.Hits) == 0 && !slices.ContainsFunc(j.Decision.Reasons, lookout) {
		return crossing, nil
	}
	return crossing, &LookoutAlert{
		Passage:  j.Evidence.ID,
		Revision: j.Revision,
		Decision: wire(j.Decision),
		Hits:     j.Facts.Hits,
		Draw:     j.Facts.Draw,
		Clock:    j.Clock,
	}
}

func lookout(c passage.Code) bool { return c >= passage.LookoutStop && c <= passage.LookoutPossible }

// maskedDraw gives a draw that selects at the given rate, spread evenly over
// the selecting draws as a real one is.
func maskedDraw(rate float64, draw int) int {
	selecting := int(math.Ceil(rate * 10_000)) // draws below rate x 10,000 select
	if selecting < 1 {
		return draw // the lane never draws: nothing to agree with
	}
	return draw % selecting
}

func wire(d passage.Decision) Decision {
	reasons := d.Reasons
	if reasons == nil {
		reasons = []passage.Code{}
	}
	return Decision{Outcome: d.Outcome.String(), Lead: d.Lead, Reasons: reasons, Ready: d.Ready, Silent: d.Silent, Caution: d.Caution}
}

// ErrDiffers is a replay that decides otherwise than the record.
var ErrDiffers = errors.New("decided otherwise than recorded")

// Replay decides a recorded passage again from the crossing, its alert (nil if
// there was none) and the policy of the digest. It fails with ErrDiffers unless
// both events come out as recorded, byte for byte (I8).
func Replay(c CrossingDecided, a *LookoutAlert, pol passage.Policy) (passage.Decision, error) {
	if got := pol.Digest(); got != c.Policy {
		return passage.Decision{}, fmt.Errorf("replaying passage %s: policy is %s, recorded is %s", c.Passage, got, c.Policy)
	}
	facts := c.Facts
	if a != nil {
		if a.Passage != c.Passage || a.Revision != c.Revision {
			return passage.Decision{}, fmt.Errorf("replaying passage %s: the alert is of another revision", c.Passage)
		}
		facts.Hits, facts.Draw = a.Hits, a.Draw
	}
	d := passage.Decide(pol, c.Evidence, facts)
	crossing, alert := Judged{c.Revision, pol, c.Policy, c.Evidence, facts, d, c.Mode, c.Clock, c.LatencyUS}.Events()
	if alert != nil && a != nil {
		alert.Clock = a.Clock
	}
	if !same(crossing, c) || (alert == nil) != (a == nil) || alert != nil && !same(*alert, *a) {
		return d, fmt.Errorf("replaying passage %s, revision %d: %w", c.Passage, c.Revision, ErrDiffers)
	}
	return d, nil
}

func same(a, b Data) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && string(x) == string(y)
}
