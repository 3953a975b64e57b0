package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"boothd/agent/passage"
	"boothd/agent/verdict"
)

// receipt is what a kiosk's printer prints: nothing of the traveller, and
// nothing of why.
type receipt struct {
	Passage string
	At      time.Time
	Proceed bool // A: to the exit; otherwise B: see an officer
}

// lines of a receipt (domain reference, section 4). B has no sub-code: random,
// lookout and expired look the same.
func (r receipt) lines(kiosk string) []string {
	letter, words := "B", "SEE AN OFFICER / VOIR UN AGENT"
	if r.Proceed {
		letter, words = "A", "PROCEED TO THE EXIT / VERS LA SORTIE"
	}
	return []string{letter, words, "", r.At.UTC().Format("2006-01-02 15:04:05Z"), "Kiosk " + kiosk, r.Passage}
}

// party counts the sessions of travellers who came together.
type party struct {
	size, seen, good int
	at               time.Time // of the last session's end
}

// partyGap is how long the next traveller of a party may take.
const partyGap = 2 * time.Minute

// standing gives how many sessions of the present party were good, and how many
// there were, for a session that states the given size.
func (p *party) standing(size int, now time.Time) (good, seen int) {
	if size != p.size || now.Sub(p.at) > partyGap {
		return 0, 0
	}
	return p.good, p.seen
}

// note counts a session that is over.
func (p *party) note(size int, good bool, now time.Time) {
	if size != p.size || now.Sub(p.at) > partyGap {
		*p = party{size: size}
	}
	p.at = now
	if p.seen++; good {
		p.good++
	}
	if p.seen >= p.size {
		*p = party{}
	}
}

// result is what a kiosk does when a session is complete and its decision on
// disk. It prints once the whole party is through: then A means that everyone
// of it may proceed.
func (l *lane) result(ev passage.Evidence, at time.Time) {
	if l.policy.Lane != passage.NEXUSAir || ev.State != passage.Acted || !l.durable || l.printed == ev.ID {
		return
	}
	l.printed = ev.ID
	_, seen := l.party.standing(ev.Session.Party, at)
	if l.print != nil && seen+1 >= ev.Session.Party && l.decision.Outcome != passage.Hold {
		l.print(receipt{Passage: ev.ID, At: at, Proceed: l.decision.Outcome == passage.Expedite})
	}
}

// leave counts a session that is over to its party: as good if nothing but the
// others was against it.
func (l *lane) leave(ev passage.Evidence, at time.Time) {
	if ev.Session == nil || l.printed != ev.ID {
		return // void: the party has to begin anew
	}
	alone := l.facts
	alone.PartyGood = ev.Session.Party - 1
	l.party.note(ev.Session.Party, passage.Decide(l.policy, ev, alone).Outcome == passage.Expedite, at)
}

// challenge tells the matcher whom to look for; nobody between sessions.
func (l *lane) challenge() {
	if l.ask == nil {
		return
	}
	ev := l.machine.Evidence()
	var c verdict.Challenge
	if ev.Session != nil && ev.State == passage.AtBooth && len(l.held) == 1 {
		nonce, err := verdict.ParseNonce(ev.Session.Nonce)
		if err != nil {
			return // without a nonce no verdict can be bound (851)
		}
		c = verdict.Challenge{PassageID: ev.ID, CardToken: l.held[0], Nonce: nonce}
	}
	if c == l.asked {
		return
	}
	l.asked = c
	if err := l.ask(c); err != nil {
		l.log.Error("matcher cannot be asked", "passage", ev.ID, "err", err)
	}
}

// holdings gives the tokens of the distinct cards of the passage, however they
// were read, and of the documents themselves: of those alone the same is known
// under another key.
func holdings(ev passage.Evidence, f passage.Facts) (tokens []passage.Token) {
	seen := map[passage.Token]bool{"": true}
	for _, c := range ev.Cards {
		if !seen[c.Token] {
			seen[c.Token] = true
			tokens = append(tokens, c.Token)
		}
	}
	for _, d := range f.Documents {
		if !seen[d.Card] {
			seen[d.Card] = true
			tokens = append(tokens, d.Card)
		}
	}
	for _, d := range ev.Documents {
		if !seen[d.Token] {
			seen[d.Token] = true
			tokens = append(tokens, d.Token)
		}
	}
	return tokens
}

// matched takes one line of the matcher.
func (l *lane) matched(ctx context.Context, a verdict.Arrival) {
	if a.Err != nil {
		l.log.Warn("matcher's line is no verdict", "err", a.Err)
	}
	v := a.Verdict
	l.step(ctx, passage.Input{At: a.At, Kind: passage.VerdictIn, Verdict: passage.Verdict{
		Passage: v.PassageID, Card: v.CardToken, Nonce: v.Nonce.String(), Result: v.Result.String(), ProducedAt: v.ProducedAt, Sealed: a.Bound}})
}

// newNonce gives 128 random bits in hex.
func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail
	return fmt.Sprintf("%x", b)
}

// matcher serves the face matcher's socket until ctx ends. A kiosk without its
// key has the socket too, and binds no verdict.
func (b *booth) matcher(ctx context.Context) {
	path := string(b.cfg.Kiosk.Matcher)
	supervise(ctx, b.log.With("device", "matcher"), func(ctx context.Context, up func()) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
		if err != nil {
			return err
		}
		if err := os.Chmod(path, 0o660); err != nil {
			return errors.Join(err, l.Close())
		}
		up()
		return b.faces.Serve(ctx, l)
	}, func(bool, error) {})
}

// faceKey reads the key that the matcher shares.
func (b *booth) faceKey() *verdict.Key {
	raw, err := b.world.Secret(b.cfg.Kiosk.MatcherKey)
	if err == nil {
		var k *verdict.Key
		if k, err = verdict.ParseKey(raw); err == nil {
			return k
		}
	}
	b.log.Error("matcher's key not loaded, no face is believed", "err", err)
	return nil
}
