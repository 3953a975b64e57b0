package agent

import (
	"time"

	"boothd/agent/passage"
)

// recentKept is how long a card's passage is remembered (domain reference,
// section 10: anti-passback tokens 24 h).
const recentKept = 24 * time.Hour

// recentMost bounds the memory: a lane's ceiling of 900 passages an hour with
// four cards each, for a day.
const recentMost = 24 * 900 * 4

// recent remembers when a card last completed a passage of this crossing and
// direction (reasons 413, 414). It is filled again from the journal at start.
// The lane owns it.
type recent struct {
	seen  map[passage.Token]time.Time
	order []sighting // oldest first
}

type sighting struct {
	token passage.Token
	at    time.Time
}

func newRecent() *recent { return &recent{seen: make(map[passage.Token]time.Time)} }

// note records that a card's passage was completed at the given time.
func (r *recent) note(t passage.Token, at time.Time) {
	r.seen[t] = at
	r.order = append(r.order, sighting{t, at})
	for len(r.order) > recentMost || at.Sub(r.order[0].at) > recentKept {
		first := r.order[0]
		r.order = r.order[1:]
		if r.seen[first.token].Equal(first.at) { // not seen again since
			delete(r.seen, first.token)
		}
	}
}

// since tells how long ago the card completed a passage; negative if not
// within a day. A wall clock that stepped back cannot make it negative: a
// passage "in the future" counts as just now, which slows the lane.
func (r *recent) since(t passage.Token, now time.Time) passage.Millis {
	at, ok := r.seen[t]
	if !ok {
		return -1
	}
	ago := max(now.Sub(at), 0)
	if ago > recentKept {
		return -1
	}
	return passage.Of(ago)
}
