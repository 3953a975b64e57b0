// Package status shows a booth to the people who look after it: a read-only
// page that is live, metrics, a health answer, and the same picture as JSON for
// boothctl. Nothing in it can change anything.
//
// The lane publishes a Picture and never waits for whoever looks (I5): a
// publication is one exchange of a pointer. Encoding, cutting to size and
// sending are done by the goroutines of those who ask, once per picture however
// many ask. The page never shows what is not known to be true now: it is dark
// until the first picture, and covered when none has come for 3 s.
//
// Only loopback addresses and unix sockets are served, only to requests that
// name this machine as their host, since a web page elsewhere could otherwise
// reach the booth through a browser on it (DNS rebinding).
//
// Source: product design, sections 3 and 7; domain reference, 7.2 (masking).
package status

import (
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"boothd/agent/passage"
)

// Times of the page.
const (
	// staleAfter is when a picture is too old to believe. The lane publishes
	// every 0.5 s; six missed ones are no coincidence.
	staleAfter = 3 * time.Second
	// beatEvery is how often a viewer is told that the line is alive.
	beatEvery = time.Second
	// sendEvery bounds the pictures a viewer gets: ten a second look live.
	sendEvery = 100 * time.Millisecond
)

// Board holds the latest picture. Make one with New.
type Board struct {
	log     *slog.Logger
	now     atomic.Pointer[frame]
	viewers chan struct{} // a place for each, MaxViewers
}

// MaxViewers is how many may watch the event stream at once: each keeps a
// connection and a goroutine. Ten is what the decision times are promised with.
const MaxViewers = 16

// frame is one published picture. All but the once is written before it is
// shared.
type frame struct {
	picture Picture
	at      time.Time     // of the publication, with monotonic part
	empty   bool          // there was none yet
	over    chan struct{} // closed when a newer one is there

	once sync.Once // encoding is the first asker's work, not the lane's
	text []byte
	err  error
}

// New makes a board without a picture; until the first one it answers that the
// booth is starting. The log hears of answers that went wrong.
func New(log *slog.Logger) *Board {
	b := &Board{log: log, viewers: make(chan struct{}, MaxViewers)}
	b.now.Store(&frame{empty: true, at: time.Now(), over: make(chan struct{})})
	return b
}

// Publish shows a picture from now on. It never waits, and any goroutine may
// call it; of two at once either may stay. The picture's slices must not be
// written to afterwards.
func (b *Board) Publish(p Picture) {
	old := b.now.Swap(&frame{picture: p, at: time.Now(), over: make(chan struct{})})
	close(old.over)
}

// age is how old the picture is, by the monotonic clock.
func (f *frame) age() time.Duration { return time.Since(f.at) }

// stale says that the picture is no longer to be believed.
func (f *frame) stale() bool { return f.empty || f.age() > staleAfter }

// shown is the picture cut to its limits and masked; json is the same in bytes.
func (f *frame) shown() Picture { return clean(f.picture) }

func (f *frame) json() ([]byte, error) {
	f.once.Do(func() { f.text, f.err = json.Marshal(f.shown()) })
	return f.text, f.err
}

// clean cuts a picture to its limits, gives every list a value, and takes out
// what tells of a lookout should a caller have put it there.
func clean(p Picture) Picture {
	p.Why = reasons(p.Why)
	p.Warnings = clip(p.Warnings, MaxWarns)
	for i := range p.Warnings {
		p.Warnings[i].Words = p.Warnings[i].Words[:min(len(p.Warnings[i].Words), maxText)]
	}
	p.Lamps = clip(p.Lamps, MaxLamps)
	p.Lists = clip(p.Lists, MaxLists)
	p.Devices = clip(p.Devices, MaxDevices)
	for i := range p.Devices {
		p.Devices[i].Reason = p.Devices[i].Reason[:min(len(p.Devices[i].Reason), maxText)]
	}
	if p.Lane.Now != nil {
		a := masked(*p.Lane.Now)
		p.Lane.Now = &a
	}
	p.Last = clip(p.Last, MaxLast)
	for i := range p.Last {
		p.Last[i].Advice = masked(p.Last[i].Advice)
	}
	return p
}

// clip copies at most n items; the result is never nil.
func clip[T any](s []T, n int) []T { return append([]T{}, s[:min(len(s), n)]...) }

// masked is the second lock on I3, behind Advise: a lookout that got through
// reads as the random selection (domain reference, 7.2).
func masked(a Advice) Advice {
	if lookout(a.Lead) {
		a.Lead = Because(passage.RandomCompliance)
	}
	a.Reasons = reasons(a.Reasons)
	return a
}

func lookout(r Reason) bool { return passage.Code(r.Code).Family() == passage.FamilyLookout }

func reasons(rs []Reason) []Reason { return slices.DeleteFunc(clip(rs, MaxReasons), lookout) }
