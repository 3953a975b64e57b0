package agent

import (
	"time"

	"boothd/agent/passage"
	"boothd/agent/token"
	"boothd/devices"
)

const (
	// keySettle is how long after a change of token keys no passage is expedited
	// that began before: what was read under one key is not found under the
	// other. Keys change once a year or so.
	keySettle = 15 * time.Second
	// aliasMost bounds the cards of which the other token is remembered.
	aliasMost = 64
)

// keyring says under which key the lane makes tokens: that of the lists in
// force. While a key is being replaced two of them count, for a day at most
// (domain reference, section 10). The lane owns it.
type keyring struct {
	keys token.Keys
	// inForce names the key of the lists in force, "" if that is not known; not
	// ok if they are under several.
	inForce func() (id string, ok bool)

	changed time.Time                       // when the key in use became another one, with monotonic part
	alias   map[passage.Token]passage.Token // a token and the same under the other key
}

// rekey makes the key of the lists in force the lane's, between two passages.
func (l *lane) rekey(now time.Time) {
	if l.ring == nil || l.machine.Active() {
		return
	}
	var key *token.Key
	if id, ok := l.ring.inForce(); ok {
		key = l.ring.keys.Pick(id, now)
	}
	switch {
	case key == nil && l.key == nil, key != nil && l.key != nil && key.ID() == l.key.ID():
		return
	case key == nil:
		l.log.Error("the lists in force are under a token key that does not count here: nothing is expedited")
	default:
		l.log.Info("token key in use", "key", key.ID())
	}
	l.key, l.ring.changed = key, now
}

// opens tells whether what was read since a passage began can be found in the
// lists in force; it is asked before and after the look-ups. When it began has its
// monotonic part, which the evidence has not: the wall clock may have been set
// since the key changed. A zero time asks for a passage that begins now.
func (l *lane) opens(began, now time.Time) bool {
	if l.key == nil || l.ring == nil {
		return l.key != nil
	}
	id, ok := l.ring.inForce()
	if !ok || id != "" && id != l.key.ID() || l.ring.keys.Pick(l.key.ID(), now) == nil {
		return false
	}
	return began.IsZero() || l.ring.changed.IsZero() || began.Sub(l.ring.changed) >= keySettle
}

// other remembers the token of an identifier under the other key while both
// count, so that a card that has just passed is known again.
func (l *lane) other(t passage.Token, make func(*token.Key) passage.Token) {
	if l.ring == nil || t == "" {
		return
	}
	key := l.ring.keys.Other(l.key, time.Now())
	if key == nil {
		return
	}
	if len(l.ring.alias) >= aliasMost || l.ring.alias == nil {
		l.ring.alias = map[passage.Token]passage.Token{}
	}
	l.ring.alias[t] = make(key)
}

// passed tells how long ago the nearest of some tokens completed a passage,
// under whichever key that was; negative if none has within a day.
func (l *lane) passed(now time.Time, tokens ...passage.Token) passage.Millis {
	least := passage.Millis(-1)
	for _, t := range tokens {
		ago := l.recent.since(t, now)
		if l.ring != nil {
			if a, ok := l.ring.alias[t]; ok && ago < 0 {
				ago = l.recent.since(a, now)
			}
		}
		if ago >= 0 && (least < 0 || ago < least) {
			least = ago
		}
	}
	return least
}

// cardToken and documentToken are what is made of what a reader tells.
func cardToken(tag *devices.Tag) func(*token.Key) passage.Token {
	return func(k *token.Key) passage.Token { return k.Card(tag.EPC) }
}

func documentToken(d *devices.Document) func(*token.Key) passage.Token {
	return func(k *token.Key) passage.Token { return k.Document(d.Issuer, d.Number) }
}
