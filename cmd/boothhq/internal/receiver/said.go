package receiver

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"boothd/agent/contract"
)

// filterState is where booths say what and how they are (mqtt contract, section 1).
const filterState = "booth/v1/+/state/#"

// The kinds of state.
const (
	stateInfo   = "info"
	stateHealth = "health"
	stateLists  = "lists"
)

// stateSource reads booth and kind out of a state's topic.
func stateSource(topic string) (booth, kind string, ok bool) {
	levels := strings.Split(topic, "/")
	if len(topic) > contract.MaxTopic || len(levels) != 5 || levels[0] != "booth" || levels[1] != "v1" || levels[3] != "state" {
		return "", "", false
	}
	kind = levels[4]
	return levels[2], kind, contract.CheckBooth(levels[2]) == nil && (kind == stateInfo || kind == stateHealth || kind == stateLists)
}

// hear takes what a booth says of itself; it tells whether the message was such.
// A malformed word is its sender's trouble.
func (r *Receiver) hear(said map[string]Said, m message, now time.Time) bool {
	if booth, err := contract.StatusSource(m.topic); err == nil {
		if len(m.body) == 0 {
			return true // a cleared retained message
		}
		s, err := contract.DecodeStatus(m.body)
		if err != nil {
			r.cfg.Log.Warn("malformed status", "booth", booth, "err", err)
			return true
		}
		all := said[booth]
		if all.Status == nil || later(s, *all.Status) {
			all.Status = &s
		}
		all.Came = came(all.Came, s, m.kept)
		said[booth] = all
		return true
	}
	booth, kind, ok := stateSource(m.topic)
	if !ok {
		return false
	}
	state, ok := stateOf(m, now)
	if !ok {
		if len(m.body) > 0 {
			r.cfg.Log.Warn("malformed state", "booth", booth, "kind", kind)
		}
		return true
	}
	all := said[booth]
	if all.State == nil {
		all.State = make(map[string]State)
	}
	all.State[kind] = state
	said[booth] = all
	return true
}

// stateOf judges a state. It is of when it came to headquarters; one that the broker had kept is as
// old as it says itself, if it does: it may have waited there for days.
func stateOf(m message, now time.Time) (State, bool) {
	var head struct {
		At time.Time `json:"at"`
	}
	if len(m.body) == 0 || len(m.body) > contract.MaxState || json.Unmarshal(m.body, &head) != nil {
		return State{}, false
	}
	if !m.at.IsZero() {
		now = m.at
	}
	if m.kept && !head.At.IsZero() && head.At.Before(now) {
		now = head.At
	}
	return State{Body: m.body, At: now}, true
}
