package agent

import (
	"errors"
	"slices"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/token"
)

// knowledge is what one edition of the lists said of one passage's tokens: each
// new token is looked up once.
type knowledge struct {
	of    edition
	cards map[passage.Token]passage.CardFact
	hits  map[passage.Token][]passage.Hit
	trips map[passage.Token]contract.TripRow
	fault error // a look-up failed: 206 for the rest of the passage
}

// hit tells whether a lookout matched.
func (k knowledge) hit() bool {
	for _, hits := range k.hits {
		if len(hits) > 0 {
			return true
		}
	}
	return false
}

// editionsMost is how many editions of the lists a decision is tried on; two
// follow each other after seconds, look-ups take well under a millisecond.
const editionsMost = 3

// gather makes facts of evidence: look-ups, ages, health, the draw. A failure
// is a fact, not an error that stops the flow.
//
// All of it is of one edition, the one that the facts name: a card of the former
// list and its member in the next would be a membership that nobody ever had
// (reliability reference, section 3: mix-and-match).
func (l *lane) gather(ev passage.Evidence, now time.Time) (f passage.Facts) {
	for range editionsMost {
		in := l.edition()
		if in != l.known.of { // what is known is of lists that are in force no more
			l.known = knowledge{of: in, fault: l.known.fault}
		}
		if f = l.look(ev, now); l.edition() == in {
			return f
		}
	}
	f.Store = false
	return f
}

// look makes facts of evidence by the lists of this moment.
func (l *lane) look(ev passage.Evidence, now time.Time) passage.Facts {
	f := passage.Facts{Now: now.Round(0).UTC(), Clock: l.quality(), Key: l.opens(l.beganAt, now), Config: true, Draw: 9999,
		Lists: l.lists(now)}
	l.health.facts(&f, l.policy.Lane)
	if l.key != nil {
		f.Draw = l.draw(ev)
	}
	for _, c := range ev.Cards {
		fact := l.card(c.Token)
		fact.Recent = l.passed(now, c.Token)
		f.Cards = append(f.Cards, fact)
		f.Hits = append(f.Hits, l.hits(c.Token)...)
	}
	for _, p := range []*passage.Plate{ev.Front, ev.Rear, ev.Keyed} {
		if p == nil || p.Bare == "" {
			continue
		}
		for _, t := range []passage.Token{p.Full, p.Bare, p.Fold} {
			f.Hits = append(f.Hits, l.hits(t)...)
		}
		if p == ev.Front && ev.Keyed != nil {
			continue // the officer has looked: what else it might have been does not count
		}
		for _, t := range p.Candidates {
			f.Hits = append(f.Hits, l.hits(t)...)
		}
	}
	l.documents(ev, &f, now)
	l.trade(ev, &f)
	f.Hits = distinctHits(f.Hits)
	l.held = holdings(ev, f)
	if ev.Session != nil {
		f.PartyGood, _ = l.party.standing(ev.Session.Party, now)
	}
	l.vehicles(ev, &f)
	f.Store = l.storeOK && l.known.fault == nil
	f.Key = f.Key && l.opens(l.beganAt, now) // lists may have come meanwhile
	return f
}

// drawn is the draw of one passage, which is made once: it takes two keys.
type drawn struct {
	key  *token.Key
	id   string
	at   time.Time
	draw int
}

func (l *lane) draw(ev passage.Evidence) int {
	if d := l.drawn; d.key != l.key || d.id != ev.ID || d.at != ev.StartedAt {
		l.drawn = drawn{l.key, ev.ID, ev.StartedAt, l.key.Draw(ev.ID, ev.StartedAt)}
	}
	return l.drawn.draw
}

// card looks a card and its membership up.
func (l *lane) card(t passage.Token) passage.CardFact {
	if fact, ok := l.known.cards[t]; ok {
		return fact
	}
	fact := passage.CardFact{Recent: -1}
	value, ok := l.find(contract.ListCards, t)
	if ok {
		row, err := contract.ParseCardRow(value)
		l.blame(err)
		fact.Found = err == nil
		fact.Card, fact.Member, fact.CardUntil, fact.Extended, fact.TID = row.Status, row.Member, row.CardUntil, row.Extended, row.TID
	}
	if fact.Found {
		// A card whose member is in no list has no membership: 210.
		if value, ok := l.find(contract.ListMembers, fact.Member); ok {
			row, err := contract.ParseMemberRow(value)
			l.blame(err)
			fact.Membership, fact.Programs, fact.ValidFrom, fact.ValidUntil = row.Status, row.Programs, row.ValidFrom, row.ValidUntil
		}
	}
	if l.known.cards == nil {
		l.known.cards = make(map[passage.Token]passage.CardFact)
	}
	if l.known.fault == nil {
		l.known.cards[t] = fact
	}
	return fact
}

// hits looks a token up among the lookouts.
func (l *lane) hits(t passage.Token) []passage.Hit {
	if t == "" {
		return nil
	}
	if hits, ok := l.known.hits[t]; ok {
		return hits
	}
	var hits []passage.Hit
	if value, ok := l.find(contract.ListLookouts, t); ok {
		row, err := contract.ParseLookoutRow(value)
		l.blame(err)
		for _, k := range row.Lookouts {
			hits = append(hits, k.Hit())
		}
	}
	if l.known.hits == nil {
		l.known.hits = make(map[passage.Token][]passage.Hit)
	}
	if l.known.fault == nil {
		l.known.hits[t] = hits
	}
	return hits
}

// vehicles tells whether the plate is on file for one of the members (603).
func (l *lane) vehicles(ev passage.Evidence, f *passage.Facts) {
	p := ev.Front
	if ev.Keyed != nil {
		p = ev.Keyed
	}
	if p == nil || p.Bare == "" {
		return
	}
	if l.policy.Lane == passage.FAST {
		l.tractors(ev, p, f)
		return
	}
	for _, c := range f.Cards {
		if !c.Found || c.Member == "" {
			continue
		}
		if value, ok := l.find(contract.ListVehicles, c.Member); ok {
			row, err := contract.ParseVehicleRow(value)
			l.blame(err)
			f.VehiclesOnFile = true
			f.VehicleLinked = f.VehicleLinked || row.Linked(p.Full, p.Bare)
		}
	}
}

// find reads one row; a failure is kept for the passage and counts as absence.
// Its bytes are good until the next.
func (l *lane) find(kind string, t passage.Token) ([]byte, bool) {
	if t == "" {
		return nil, false
	}
	value, ok, err := l.lookup(l.row[:0], kind, t)
	if ok {
		l.row = value
	}
	if errors.Is(err, errNoLists) {
		return nil, false // 203 says so already
	}
	l.blame(err)
	return value, ok && err == nil
}

func (l *lane) blame(err error) {
	if err != nil && l.known.fault == nil {
		l.known.fault = err
		l.log.Error("look-up failed", "err", err)
	}
}

// distinctHits keeps one hit per lookout, the certain one before the possible.
func distinctHits(hits []passage.Hit) []passage.Hit {
	var out []passage.Hit
	for _, h := range hits {
		i := slices.IndexFunc(out, func(o passage.Hit) bool { return o.ID == h.ID && o.Version == h.Version })
		switch {
		case i < 0:
			out = append(out, h)
		case out[i].Possible && !h.Possible:
			out[i] = h
		}
	}
	return out
}
