package uplink

import (
	"time"

	"boothd/agent/contract"
)

// flight is one event that has been published and not been receipted.
type flight struct {
	acked  bool // PUBACKed
	told   bool // published because Resend asked for it: no other lane would again
	tries  int
	sentAt time.Time // last try
	due    time.Time // when to publish it again
}

// air is what is published and not receipted. It outlives a connection, so
// that a reconnect does not send everything again; its size is bounded by the
// window.
type air struct {
	flights map[uint64]flight
	nextDue time.Time // no flight is due before
}

func newAir() *air { return &air{flights: make(map[uint64]flight)} }

// sent notes a publish. The n-th try is due for another after first x 2^(n-1).
func (a *air) sent(seq uint64, now time.Time, first time.Duration) {
	f := a.flights[seq]
	f.acked = false
	f.tries++
	f.sentAt = now
	f.due = now.Add(backed(first, f.tries))
	a.put(seq, f)
}

// backed is first x 2^(tries-1), at most 15 min.
func backed(first time.Duration, tries int) time.Duration {
	return min(resendMost, first<<min(tries-1, 10))
}

func (a *air) put(seq uint64, f flight) {
	a.flights[seq] = f
	if a.nextDue.IsZero() || f.due.Before(a.nextDue) {
		a.nextDue = f.due
	}
}

func (a *air) acked(seq uint64) {
	if f, ok := a.flights[seq]; ok {
		f.acked = true
		a.put(seq, f)
	}
}

// landed forgets an event that needs no more of us.
func (a *air) landed(seq uint64) { delete(a.flights, seq) }

// aloft tells whether an event need not be published now.
func (a *air) aloft(seq uint64) bool {
	_, ok := a.flights[seq]
	return ok
}

// lost forgets what was published without PUBACK: the connection is gone, and
// the next one reads it from the journal again. It gives those that it would
// not, because they are receipted.
func (a *air) lost() (told [][2]uint64) {
	for seq, f := range a.flights {
		if f.acked {
			continue
		}
		if f.told {
			told = append(told, [2]uint64{seq, seq})
		}
		delete(a.flights, seq)
	}
	return told
}

// hold puts off everything due before t: a new connection brings the retained
// receipt first, which may cover it.
func (a *air) hold(t time.Time) {
	for seq, f := range a.flights {
		if f.due.Before(t) {
			f.due = t
			a.flights[seq] = f
		}
	}
}

// due gives the event that is to be published again first, if its time has
// come. What still waits for its PUBACK is left to the connection.
func (a *air) due(now time.Time) (seq uint64, ok bool) {
	if len(a.flights) == 0 || now.Before(a.nextDue) {
		return 0, false
	}
	a.nextDue = now.Add(resendMost)
	for s, f := range a.flights {
		if f.acked && f.due.Before(a.nextDue) {
			seq, a.nextDue = s, f.due
		}
	}
	return seq, seq != 0 && !now.Before(a.nextDue)
}

// wantPause is how soon after a publish headquarters may ask for it again; its
// word may have crossed the event.
const wantPause = 5 * time.Second

// receipted forgets what a receipt covers, and hurries what it asks for again.
func (a *air) receipted(r contract.Receipt) {
	refused := make(map[uint64]bool, len(r.Reject))
	for _, x := range r.Reject {
		refused[x.Seq] = true
	}
	for seq, f := range a.flights {
		switch {
		case f.told && !f.acked: // covered before, and sent again all the same
		case seq <= r.Upto || refused[seq] || within(r.Have, seq):
			delete(a.flights, seq)
		case f.acked && within(r.Want, seq):
			if soon := f.sentAt.Add(backed(wantPause, f.tries)); soon.Before(f.due) {
				f.due = soon
				a.put(seq, f)
			}
		}
	}
}

// hurry has what is in the air of a range sent again now; 0, 0 is all of it.
func (a *air) hurry(r [2]uint64, now time.Time) {
	for seq, f := range a.flights {
		if f.acked && (r[0] == 0 || r[0] <= seq && seq <= r[1]) {
			f.due = now
			a.put(seq, f)
		}
	}
}

func within(ranges [][2]uint64, seq uint64) bool {
	for _, r := range ranges {
		if r[0] <= seq && seq <= r[1] {
			return true
		}
	}
	return false
}
