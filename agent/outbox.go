package agent

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/buffer/journal"
	"boothd/configs"
)

// reopenEvery is the pause between two tries to open a journal that could not
// be opened at start: the booth is to be back within 5 s of the fault's end, its
// start included (reliability reference, R2).
const reopenEvery = 2 * time.Second

var errNoJournal = errors.New("the journal is not open")

// outbox is the journal as this booth uses it: events go in as contract.Data
// and come out, exactly as stored, to the uplink.
type outbox struct {
	log  *slog.Logger
	head contract.Head
	cfg  journal.Config
	// stamp describes the time of a tombstone; set before the journal is opened.
	stamp func(at time.Time) contract.Clock

	journal atomic.Pointer[journal.Journal] // nil: not open, nothing is expedited (206)
	opened  journal.Opened
	carrier atomic.Pointer[uplink.Uplink]
}

func newOutbox(log *slog.Logger, cfg *configs.Config, head contract.Head) *outbox {
	o := &outbox{log: log, head: head, cfg: journal.Config{Path: filepath.Join(string(cfg.Store.Dir), "journal.db"),
		MaxBytes: cfg.Store.MaxBytes.Bytes, MaxRows: uint64(cfg.Store.MaxRows), Retain: cfg.Store.Retain.Duration}}
	// The contract has signal telemetry thinned too. All that this booth says of
	// its signals are faults, which are evidence of what a driver was shown.
	o.cfg.Thin = journal.Thin{Classes: []string{string(contract.ClassRead)}, Event: o.tombstone}
	return o
}

// tombstone is the event that tells what was given up. It overtakes what waits:
// headquarters can only pass by holes that it knows of, and keeps no more than so
// many that it does not.
func (o *outbox) tombstone(n journal.Thinning) journal.Entry {
	now := time.Now()
	d := contract.Thinned{From: n.From, To: n.To, Count: n.Count, Gone: n.Gone, Clock: o.stamp(now)}
	e := o.entry(now, d)
	e.Alert = true
	return e
}

// entry is an event as the journal takes it.
func (o *outbox) entry(at time.Time, d contract.Data) journal.Entry {
	head := o.head
	head.Time = at.Round(0).UTC()
	draft, err := contract.Drafted(head, d) // here, and not where others wait for a place
	return journal.Entry{Class: string(d.Type().Class()), Alert: d.Type().Alert(), At: at,
		Build: func(s journal.Stamp) ([]byte, error) {
			if err != nil {
				return nil, err
			}
			return draft.Encode(contract.Stamp(s))
		}}
}

// open opens the journal.
func (o *outbox) open(ctx context.Context) error {
	j, opened, err := journal.Open(ctx, o.cfg)
	if err != nil {
		return err
	}
	o.opened = opened
	o.journal.Store(j)
	return nil
}

// mend waits until a journal that could not be opened opens again, and tells
// so. Nothing is done with it here: what the booth must know of its past is
// read at a start, so it starts anew.
func (o *outbox) mend(ctx context.Context) bool {
	for sleep(ctx, reopenEvery) {
		j, _, err := journal.Open(ctx, o.cfg)
		if err == nil {
			if err := j.Close(); err != nil {
				o.log.Warn("closing journal", "err", err)
			}
			return true
		}
	}
	return false
}

// store makes events durable in one transaction (I2). seq is the last one's
// place.
func (o *outbox) store(ctx context.Context, at time.Time, events ...contract.Data) (seq uint64, err error) {
	j := o.journal.Load()
	if j == nil {
		return 0, errNoJournal
	}
	entries := make([]journal.Entry, len(events))
	for i, d := range events {
		entries[i] = o.entry(at, d)
	}
	stamps, err := j.Append(ctx, entries...)
	if err != nil {
		return 0, err
	}
	return stamps[len(stamps)-1].Seq, nil
}

// close closes the journal.
func (o *outbox) close() {
	if j := o.journal.Swap(nil); j != nil {
		if err := j.Close(); err != nil {
			o.log.Error("closing journal", "err", err)
		}
	}
}

// link tells how the uplink is.
func (o *outbox) link() uplink.Status {
	if u := o.carrier.Load(); u != nil {
		return u.Status()
	}
	return uplink.Status{}
}

// What counts as headquarters being out of reach, for the officer's health lamp:
// no connection for apartAfter, or none of what a broker took receipted for
// unheardAfter, which is a little longer than one connection is given for it.
const (
	apartAfter   = 30 * time.Second
	unheardAfter = 6 * time.Minute
)

// apart tells whether headquarters is out of reach. since is when the booth
// began: it has the same time to connect for the first time.
func (o *outbox) apart(now, since time.Time) bool { return apart(o.link(), now, since) }

func apart(l uplink.Status, now, since time.Time) bool {
	if l.Since.After(since) {
		since = l.Since
	}
	if !l.Connected && now.Sub(since) > apartAfter {
		return true
	}
	return !l.Owed.IsZero() && now.Sub(l.Owed) > unheardAfter
}

// kept is what waits for headquarters.
type kept struct {
	waiting, quarantined, bytes int64
	oldest                      time.Time
	flash                       int64         // bytes written a day, at most; whole MiB
	holds                       time.Duration // until it is full without receipts; whole hours, 0: not known
}

func (o *outbox) stats() kept {
	j := o.journal.Load()
	if j == nil {
		return kept{}
	}
	s := j.Stats()
	return kept{waiting: int64(s.Waiting), quarantined: int64(s.Quarantined), bytes: s.Bytes, oldest: s.Oldest,
		// Coarse, so that one event more at a passage cannot be seen in them (I3).
		flash: s.FlashPerDay &^ (1<<20 - 1), holds: max(s.Holds.Truncate(time.Hour), min(s.Holds, time.Hour))}
}

// Epoch names the journal's life; "" while it is not open.
func (o *outbox) Epoch() string {
	if j := o.journal.Load(); j != nil {
		return j.Epoch()
	}
	return ""
}
