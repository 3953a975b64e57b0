package agent

import (
	"context"
	"sync/atomic"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
)

// lookEvery is how often the wall clock is compared with the monotonic one.
const lookEvery = time.Second

// unsaidMost bounds what the timekeeper remembers while the journal does not
// answer; the clock itself is judged all the same.
const unsaidMost = 32

// timekeeper watches the wall clock for the whole booth. The goroutine in run
// owns it; the others read the last judgement.
type timekeeper struct {
	began  time.Time     // with monotonic part
	mono   time.Duration // the kernel's monotonic clock at began
	boot   string
	source string
	ask    func() (passage.Clock, time.Duration)
	store  func(ctx context.Context, at time.Time, events ...contract.Data) (seq uint64, err error)

	// least is a time that has certainly passed: the program's, or that of an
	// event in the journal whose clock was disciplined.
	least time.Time

	watch  clockWatch
	unsaid []remark // oldest first, waiting for the journal

	judgement atomic.Pointer[judgement]
}

// judgement is what was last found of the clock.
type judgement struct {
	quality passage.Clock
	most    time.Duration
	offset  uint64 // seq of the last clock.corrected; 0: none in this run
}

// remark is an event with its time.
type remark struct {
	at   time.Time
	data contract.Data
}

// newTimekeeper looks once, so that there is a judgement from the first moment.
func newTimekeeper(w World, source string) *timekeeper {
	k := &timekeeper{began: time.Now(), mono: w.Mono(), boot: w.Boot, source: source, ask: w.Clock, least: w.Built,
		watch: clockWatch{floor: w.Built}}
	k.look()
	return k
}

// run looks every second until ctx ends.
func (k *timekeeper) run(ctx context.Context) {
	for sleep(ctx, lookEvery) {
		k.look()
		k.say(ctx)
	}
}

// look takes one look and notes what changed.
func (k *timekeeper) look() {
	now := time.Now()
	kernel, most := k.ask()
	was := k.judgement.Load()
	c, moved := k.watch.look(now.Round(0), now.Sub(k.began), kernel)
	v := &judgement{quality: k.watch.quality, most: most}
	if was != nil {
		v.offset = was.offset
	}
	k.judgement.Store(v)
	if moved {
		k.note(now, contract.ClockCorrected{OffsetUS: c.Offset.Microseconds(), Clock: k.stamp(now)})
	}
	if was != nil && was.quality != v.quality {
		k.note(now, contract.ClockChanged{From: contract.Quality(was.quality), To: contract.Quality(v.quality), Clock: k.stamp(now)})
	}
}

func (k *timekeeper) note(at time.Time, d contract.Data) {
	if len(k.unsaid) < unsaidMost {
		k.unsaid = append(k.unsaid, remark{at, d})
	}
}

// say stores what was noted. A correction's place in the journal is what later
// times stand on.
func (k *timekeeper) say(ctx context.Context) {
	for len(k.unsaid) > 0 {
		r := k.unsaid[0]
		seq, err := k.store(ctx, r.at, r.data)
		if err != nil {
			return // tried again at the next look
		}
		k.unsaid = k.unsaid[1:]
		if _, ok := r.data.(contract.ClockCorrected); ok {
			v := *k.judgement.Load()
			v.offset = seq
			k.judgement.Store(&v)
		}
	}
}

func (k *timekeeper) quality() passage.Clock { return k.judgement.Load().quality }

// certificates is the time by which they are judged. A box without a battery
// begins in 1970, when none is valid yet, and it needs the link before its clock
// is set (mqtt contract, section 4).
func (k *timekeeper) certificates() time.Time {
	now := time.Now()
	q := k.quality()
	if q != passage.ClockSynced && q != passage.ClockHoldover && now.Before(k.least) {
		return k.least
	}
	return now
}

// stamp describes the time of an event. Its monotonic part tells where in the
// boot it was, so that a stepped wall clock can be put right afterwards.
func (k *timekeeper) stamp(at time.Time) contract.Clock {
	v := k.judgement.Load()
	return contract.Clock{Boot: k.boot, MonoUS: (k.mono + at.Sub(k.began)).Microseconds(), Quality: contract.Quality(v.quality),
		ErrMS: v.most.Milliseconds(), Source: k.source, Offset: v.offset}
}
