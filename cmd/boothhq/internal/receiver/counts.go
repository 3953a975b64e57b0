package receiver

import (
	"sync"
	"time"

	"boothd/agent/contract"
)

// lagTries is how many events of a batch are looked at for one that was live.
const lagTries = 8

// Counts is what a receiver has done since it was made, and how it stands.
type Counts struct {
	Receiving bool // connected to a broker, and to NATS if that is used
	Queue     int  // messages that wait for the database; at most Queued

	Kept      uint64 // events that were new, and are durable
	Again     uint64 // that were there already
	Refused   uint64 // that are kept as refused
	Conflicts uint64 // other bytes under a number that was taken
	Later     uint64 // left out, with too many holes below them; they come again
	Dropped   uint64 // messages, the queue being full; booths send them again

	Receipts uint64 // published
	Wanted   uint64 // ranges of events that they asked for again

	Commits   uint64        // batches
	Took      time.Duration // all of them together
	CommitAt  time.Time     // of the last; zero: none
	LiveLag   time.Duration // of the last live event looked at: from its own time to its commit, by two clocks
	LiveLagAt time.Time     // when that was; zero: never
}

// Queued is the most messages that wait for the database.
const Queued = queued

// counting is what counts.
type counting struct {
	mu sync.Mutex // the receiver counts, others read
	n  Counts
}

func (t *counting) add(f func(n *Counts)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.n)
}

// Counts may be asked at any time, by anybody.
func (r *Receiver) Counts() Counts {
	r.tally.mu.Lock()
	n := r.tally.n
	r.tally.mu.Unlock()
	n.Queue, n.Dropped = len(r.in)+len(r.pulled), r.dropped.Load()
	return n
}

// committed counts one batch.
func (t *counting) committed(ds []Delivery, heard map[string]Heard, began, now time.Time) {
	lag, live := liveLag(ds, now)
	t.add(func(n *Counts) {
		for _, h := range heard {
			n.Kept += uint64(h.Stored)
			n.Again += uint64(h.Again)
			n.Refused += uint64(h.Refused)
			n.Conflicts += uint64(h.Conflicts)
			n.Later += uint64(h.Later)
		}
		n.Commits++
		n.Took += now.Sub(began)
		n.CommitAt = now
		if live {
			n.LiveLag, n.LiveLagAt = lag, now
		}
	})
}

// liveLag is how old the newest of a batch's live events is; false if none of
// those looked at was live.
func liveLag(ds []Delivery, now time.Time) (time.Duration, bool) {
	for i := len(ds) - 1; i >= max(0, len(ds)-lagTries); i-- {
		if !ds[i].Kept {
			continue
		}
		if e, err := contract.Decode(ds[i].Body); err == nil && e.Live {
			return now.Sub(e.Time), true
		}
	}
	return 0, false
}
