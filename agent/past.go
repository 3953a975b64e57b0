package agent

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
)

// goodbyeLimit is how long the last words may take.
const goodbyeLimit = time.Second

// knownMost is how many of the newest events are looked at for a time that is
// known to be right: a box that starts again and again without one stores some at
// each.
const knownMost = 1024

// known finds the last time that the journal knows to have been. Events tell how
// far their clock could be trusted; a wrong one must not bind a later run.
func (b *booth) known(ctx context.Context) {
	j := b.outbox.journal.Load()
	if j == nil {
		return
	}
	last := j.Last()
	for r, err := range j.Range(ctx, last-min(last, knownMost)+1, last) {
		if err != nil {
			return // past says so
		}
		e, err := contract.Decode(r.Body)
		if err != nil {
			continue
		}
		var d struct{ Clock contract.Clock }
		if json.Unmarshal(e.Data, &d) == nil && d.Clock.Quality == contract.Quality(passage.ClockSynced) && e.Time.After(b.time.least) {
			b.time.least = e.Time
		}
	}
}

// past reads what this run must know of those before it: which cards have just
// passed (413), and which passage was going on when the last run ended.
func (b *booth) past(ctx context.Context) {
	j := b.outbox.journal.Load()
	if j == nil {
		return
	}
	var (
		now   = time.Now()
		last  = j.Last()
		open  *contract.CrossingDecided
		cards []passage.Token // of the open passage
	)
	from, err := j.Since(ctx, now.Add(-recentKept))
	if err != nil {
		b.log.Error("journal's past cannot be read", "err", err)
		return
	}
	for r, err := range j.Range(ctx, from, last) {
		if err != nil {
			b.log.Error("journal's past cannot be read", "err", err)
			break
		}
		if r.Class != string(contract.ClassCrossing) {
			continue
		}
		e, err := contract.Decode(r.Body)
		if err != nil {
			b.log.Error("event of the past cannot be read", "seq", r.Seq, "err", err)
			continue
		}
		switch e.Type {
		case contract.TypeCrossingDecided:
			if d, err := contract.As[contract.CrossingDecided](e); err == nil {
				open, cards = &d, holdings(d.Evidence, d.Facts)
			}
		case contract.TypeCrossingEnded:
			d, err := contract.As[contract.CrossingEnded](e)
			if err == nil && open != nil && d.Passage == open.Passage {
				if d.End == string(passage.Cleared) {
					b.remember(cards, d.EndedAt, now)
				}
				open = nil
			}
		}
	}
	if open == nil {
		return
	}
	// It may have driven on while nobody looked: it counts as passed (413),
	// which only slows.
	b.remember(cards, now, now)
	b.words(ctx, contract.CrossingEnded{Passage: open.Passage, Revisions: open.Revision, Outcome: open.Decision.Outcome, End: "restart",
		Released: open.Evidence.Released, Referred: open.Evidence.Refers > 0, Overridden: open.Evidence.Overridden,
		StartedAt: open.Evidence.StartedAt, EndedAt: now.Round(0).UTC(), Clock: b.time.stamp(now)})
}

// remember puts cards into the lane's memory at the distance from now that the
// wall clock tells.
func (b *booth) remember(cards []passage.Token, at, now time.Time) {
	at = now.Add(-max(now.Round(0).Sub(at), 0))
	for _, c := range cards {
		b.lane.recent.note(c, at)
	}
}

// words stores what is said once at start and stop.
func (b *booth) words(ctx context.Context, events ...contract.Data) {
	now := time.Now()
	if _, err := b.outbox.store(ctx, now, events...); err != nil && !errors.Is(err, errNoJournal) {
		b.log.Error("not recorded", "err", err)
	}
}

// hello opens the record of this run: a new epoch, if there is one, first; then
// the policy that decisions are replayed with.
func (b *booth) hello(ctx context.Context) {
	if b.outbox.journal.Load() == nil {
		return
	}
	clock := b.time.stamp(time.Now())
	var events []contract.Data
	if o := b.outbox.opened; o.New {
		why := "created"
		if o.SetAside != "" {
			why = "set_aside"
			b.log.Error("journal was damaged and set aside", "path", o.SetAside)
		}
		events = append(events, contract.EpochChanged{Old: o.OldEpoch, New: b.outbox.Epoch(), Why: why, Clock: clock})
	}
	events = append(events,
		contract.Started{Version: b.world.Version, Boot: b.world.Boot, Config: b.cfg.Digest(), Policy: b.bulletin.policy().Digest(), Clean: b.leftClean(), Clock: clock},
		contract.PolicySet{Digest: b.bulletin.policy().Digest(), Policy: b.bulletin.policy(), Clock: clock})
	b.words(ctx, events...)
}

// goodbye closes the record of this run.
func (b *booth) goodbye(cause error) {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeLimit)
	defer cancel()
	reason := "signal"
	if r := (*Reloaded)(nil); errors.As(cause, &r) {
		reason = "reload"
	}
	b.words(ctx, contract.Stopped{Reason: reason, Clock: b.time.stamp(time.Now())})
	if err := os.WriteFile(b.cleanFile(), nil, 0o600); err != nil {
		b.log.Warn("clean stop not noted", "err", err)
	}
}

// drainLimit is how long a stop waits for headquarters to have the last words.
// What it does not get now waits in the journal for the next run.
const drainLimit = 700 * time.Millisecond

// drain gives the link the time to carry what waits, if it stands.
func (b *booth) drain() {
	for end := time.Now().Add(drainLimit); b.outbox.link().Connected && b.outbox.stats().waiting > 0 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
}

// leftClean tells whether the run before ended with its goodbye, and forgets it.
func (b *booth) leftClean() bool { return os.Remove(b.cleanFile()) == nil }

func (b *booth) cleanFile() string { return filepath.Join(string(b.cfg.Store.Dir), "stopped") }
