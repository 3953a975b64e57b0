package test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/devices/sim"
	"boothd/test/long"
)

// The disk under a whole booth fails: the n-th call that SQLite makes, once or
// for as long as the fault lasts, while vehicles pass of which most would be
// expedited. No process ends and nothing panics, no green is lit whose decision
// came after the disk had stopped, what was stored stays stored and reaches
// headquarters once, and the booth expedites again soon after the fault's end.
func TestI1I2I4I9_FailingCallsUnderAWholeBooth(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := newCenter(t)
	const lanes = 2
	var stored atomic.Uint64
	t.Run("booths", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				k := &faulted{killing: &killing{post: newPost(t, c, fmt.Sprintf("disk-%d", lane), `# light_mode = "staffed"`, `light_mode = "auto"`),
					rand: rand.New(rand.NewPCG(uint64(lane+1), 0xd15c)), pace: 2, prunes: true}, disk: newBadDisk(t)}
				k.env = append(k.env, k.disk.env...)
				stored.Add(k.run(cases(lane, lanes)))
			})
		}
	})
	if got, want := c.tally(), (tally{Events: stored.Load()}); got != want {
		t.Errorf("I4: headquarters has %+v, want %+v", got, want)
	}
}

// attack is one fault at one moment.
type attack struct {
	diskFault
	n     int64
	lasts time.Duration // 0: one call alone
	start bool          // the booth is started under it
}

func (a attack) String() string {
	s := fmt.Sprintf("%s at call %d", a.name, a.n)
	if a.lasts > 0 {
		s = fmt.Sprintf("%s from call %d on for %v", a.name, a.n, a.lasts)
	}
	if a.start {
		s += " of a start"
	}
	return s
}

// cases are the attacks on one of the booths, which share them: every fault at
// the calls of one passage, for long, and at those of a start.
func cases(lane, lanes int) (mine []attack) {
	const short, lasting = 500 * time.Millisecond, 4 * time.Second
	var all []attack
	for i, f := range diskFaults() {
		at := func(n int64, lasts time.Duration, start bool) {
			if start || f.kinds != callOpen { // a booth at work opens nothing
				all = append(all, attack{diskFault: f, n: n, lasts: lasts, start: start})
			}
		}
		if long.Times() == 0 {
			if i%2 == 0 {
				at(1, 0, false)
			} else {
				at(2, short, false)
			}
			at([]int64{1, 10, 40}[i%3], short, true)
			continue
		}
		more := int64(long.Times()) // so many times as close together
		for n := int64(1); n < 6; n += 1 + n/more {
			at(n, 0, false)
		}
		for n := int64(1); n < 6; n += 1 + 2*n/more {
			at(n, short, false)
		}
		if f.stops {
			at(1, lasting, false)
		}
		for n := int64(1); n < 40; n += 1 + 3*n/more {
			at(n, short, true)
		}
	}
	for i := lane; i < len(all); i += lanes {
		mine = append(mine, all[i])
	}
	return mine
}

// faulted is a booth on a bad disk.
type faulted struct {
	*killing
	disk badDisk

	halted, parked atomic.Bool // no vehicle is to come, none does

	heard          uint64 // event
	struck, missed int
	longest        time.Duration // until a vehicle was expedited again
}

// run attacks the booth, and tells how many events it has stored.
func (k *faulted) run(attacks []attack) (stored uint64) {
	ctx, stop := context.WithCancel(k.Context())
	var all sync.WaitGroup
	all.Go(func() { k.watch(ctx) })
	k.gap = k.idle
	k.open()
	road, end := context.WithCancel(ctx)
	var traffic sync.WaitGroup
	traffic.Go(func() { k.traffic(road) })
	for _, a := range attacks {
		if k.attack(a); k.Failed() {
			break
		}
	}
	k.await("healthy", healthy)
	end()
	traffic.Wait()
	stored = k.rest()
	stop()
	all.Wait()
	k.look(false)
	if text, err := os.ReadFile(k.log); err != nil || strings.Contains(string(text), "panic") || strings.Contains(string(text), "lane stopped") {
		k.Errorf("a panic, or no log: %v", err)
	}
	k.Logf("%d faults struck, %d did not, %d greens compared; expedites again after %v at most", k.struck, k.missed, k.greens, k.longest)
	if k.struck < len(attacks)/2 || k.greens < len(attacks) {
		k.Error("the disk or the lane was not at work")
	}
	return stored
}

// attack lets the disk fail once and looks at what the booth makes of it.
func (k *faulted) attack(a attack) {
	k.Helper()
	most := int64(1)
	if a.lasts > 0 {
		most = math.MaxInt64 / 2
	}
	if a.start { // between two vehicles: who is on the road meanwhile is another's test
		k.halted.Store(true)
		if !k.until(2*time.Minute, k.parked.Load) {
			k.Fatal("a vehicle does not get through")
		}
		k.kill()
	}
	k.disk.arm(a.diskFault, inJournal|inLists, a.n, most)
	if a.start {
		k.start()
		k.halted.Store(false)
	}
	k.until(2500*time.Millisecond, func() bool { return !k.disk.struck().IsZero() })
	from := k.disk.struck()
	if !from.IsZero() {
		time.Sleep(a.lasts) // the fault itself
	}
	mended, failed := k.disk.mend()
	if k.missed++; failed > 0 {
		k.missed, k.struck = k.missed-1, k.struck+1
	}
	if !k.until(3*time.Minute, func() bool { return k.expedited(mended) }) {
		k.Errorf("%v: nobody is expedited again (%d calls failed)", a, failed)
	}
	took := time.Since(mended)
	if k.longest = max(k.longest, took); took > 5*time.Second { // the bound is held in virtual time; here the machine counts, too
		k.Logf("%v: expedites again after %v", a, took)
	}
	select {
	case <-k.dead:
		k.Errorf("%v: boothd ended: %v", a, k.how)
	default:
	}
	if a.stops && a.lasts > 0 && !from.IsZero() {
		k.stopped(a, from, mended)
	}
	k.look(false)
	if k.Failed() {
		k.Logf("at %v, struck at %v, mended at %v", a, from, mended)
	}
}

// idle waits, before the next vehicle comes, until the lane is done with the one
// before: a machine that is loaded may miss loops that change too fast, and a
// lane that takes two vehicles for one says so (209, 213) as long as others
// follow. It gives a vehicle up that has left within a minute.
func (k *faulted) idle() {
	for end := time.Now().Add(70 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if p, err := k.picture(); err != nil || p.Lane.State == "idle" {
			break // or it is being started
		}
	}
	for k.halted.Load() {
		k.parked.Store(true)
		time.Sleep(10 * time.Millisecond)
	}
	k.parked.Store(false)
}

// until waits for something; it tells whether it came.
func (k *faulted) until(most time.Duration, ok func() bool) bool {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return true
		}
		select {
		case <-k.dead:
			return false
		default:
		}
	}
	return false
}

// expedited tells whether a vehicle that came after a time was expedited, as the
// journal tells. The officer's override is not enough.
func (k *faulted) expedited(after time.Time) bool {
	k.Helper()
	j := k.journal()
	defer func() { _ = j.Close() }()
	for rec, err := range j.Range(k.Context(), k.heard+1, 1<<40) {
		if err != nil {
			k.Fatal(err)
		}
		e, err := contract.Decode(rec.Body)
		if err != nil {
			k.Fatal(err)
		}
		k.heard = rec.Seq
		if e.Type != contract.TypeCrossingDecided || !e.Time.After(after) {
			continue
		}
		c, err := contract.As[contract.CrossingDecided](e)
		if err != nil {
			k.Fatal(err)
		}
		if c.Decision.Outcome == passage.Expedite.String() {
			return true
		}
	}
	return false
}

func (k *faulted) lets(c sim.Change) bool {
	return c.Cause == sim.Driven && c.Level && c.Line == k.cfg.GPIO.Out["traveller_green"].Line
}

// stopped looks at the greens that were lit while nothing could be stored: what
// each stands on was decided before.
func (k *faulted) stopped(a attack, from, to time.Time) {
	k.Helper()
	k.mu.Lock()
	trace := slices.Clone(k.trace)
	k.mu.Unlock()
	j := k.journal()
	defer func() { _ = j.Close() }()
	decided := k.decided(j)
	for _, c := range trace {
		if !k.lets(c) || c.At.Before(from) || c.At.After(to) {
			continue
		}
		if !slices.ContainsFunc(decided, func(d fact) bool {
			return d.expedite && d.at.Before(from) && (d.over.IsZero() || d.over.After(c.At.Add(-laneBehind)))
		}) {
			k.Errorf("I2: %v: a green at %v, decided after the disk had stopped at %v", a, c.At, from)
		}
	}
}
