package devices

import "time"

// GlancesMost is how many plates are remembered for a camera's window; ours: more
// than can be in view of one camera.
const GlancesMost = 8

// Glances are the plates that a camera has told lately, in memory alone. The zero
// value has none; the camera's reader owns it.
type Glances struct {
	seen [GlancesMost]glance
}

type glance struct {
	at           time.Time // zero: none
	text         Ident
	jurisdiction string
	confidence   float64
}

// Repeats tells whether a plate that was read at a time repeats one within the
// window and adds nothing to it, neither certainty nor a jurisdiction; else it is
// remembered, in place of what it is better than or of the oldest. What is not
// read repeats nothing: two vehicles without a plate are two.
func (g *Glances) Repeats(p Plate, at time.Time, window time.Duration) bool {
	if p.NoRead {
		return false
	}
	place := 0
	for i, was := range g.seen {
		if !was.at.IsZero() && was.text == p.Text && at.Sub(was.at) < window {
			if p.Confidence <= was.confidence && (p.Jurisdiction == "" || p.Jurisdiction == was.jurisdiction) {
				return true
			}
			place = i
			break
		}
		if was.at.Before(g.seen[place].at) {
			place = i
		}
	}
	g.seen[place] = glance{at: at, text: p.Text, jurisdiction: p.Jurisdiction, confidence: p.Confidence}
	return false
}
