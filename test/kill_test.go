package test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/journal"
	"boothd/devices/mercury"
	"boothd/devices/sim"
	"boothd/test/long"
)

// boothd is killed (-9) at random moments of its start and of its work, and at
// the very moment at which a green lamp is lit, while vehicles come as fast as
// the lane takes them: no event is lost, doubled or altered, no number is left
// out, the lamps begin red, no green was without its record on disk, and every
// decision replays byte for byte.
func TestI2I4I8I9_KilledAtRandomMoments(t *testing.T) {
	t.Parallel() // it waits most of the time
	booths, kills := 2, 5
	if n := long.Times(); n > 0 {
		booths, kills = 4, 50*n
	}
	c, slow := newCenter(t), slowDisk(t)
	var stored atomic.Uint64
	t.Run("booths", func(t *testing.T) {
		for i := range booths {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				light, staffed := "auto", i%2 == 1
				if staffed {
					light = "staffed"
				}
				k := &killing{staffed: staffed, post: newPost(t, c, fmt.Sprintf("kill-%d", i), `# light_mode = "staffed"`, `light_mode = "`+light+`"`),
					rand: rand.New(rand.NewPCG(uint64(i+1), 0xdead))}
				if k.pace = 1; !staffed {
					k.env, k.pace = append(k.env, slow), 4
				}
				stored.Add(k.run(kills))
			})
		}
	})
	if got, want := c.tally(), (tally{Events: stored.Load()}); got != want {
		t.Errorf("I4: headquarters has %+v, want %+v", got, want)
	}
}

// killing is one booth that is killed again and again.
type killing struct {
	*post
	staffed bool          // else the light follows the decision
	gap     func()        // waits for the next vehicle; nil: it follows at once
	prunes  bool          // the disk may be full: what is receipted is given up
	pace    time.Duration // how many times slower than the fastest vehicles come
	rand    *rand.Rand
	armed   atomic.Int32 // greens until the kill; 0: it does not come with one

	mu       sync.Mutex // the chip's watcher and the traffic write
	trace    []sim.Change
	releases []time.Time // by the officer

	seq    uint64 // of the last event at the last kill
	body   []byte // of that event
	epoch  string
	conn   uint64
	starts int // that came as far as the lamps
	greens int // that were compared with the journal
	atLamp int // kills at the moment of a green
}

// run kills the booth so many times, lets it come to rest, and tells how many
// events it has stored.
func (k *killing) run(kills int) (stored uint64) {
	ctx, stop := context.WithCancel(k.Context())
	var all sync.WaitGroup
	all.Go(func() { k.watch(ctx) })
	k.open()
	road, end := context.WithCancel(ctx)
	var traffic sync.WaitGroup
	traffic.Go(func() { k.traffic(road) })
	for range kills {
		struck := k.moment()
		k.kill()
		k.look(struck)
		k.start()
	}
	k.await("healthy", healthy)
	end()
	traffic.Wait()
	stored = k.rest()
	stop()
	all.Wait()
	k.look(false)
	if again, _ := replays(k.T, k.dir); again < kills {
		k.Errorf("I8: %d decisions replayed", again)
	}
	k.Logf("%d events, %d greens compared, %d kills at a green", stored, k.greens, k.atLamp)
	if k.starts < kills/2 || k.greens < kills/2 || k.atLamp < kills/10 {
		k.Error("the lane was not at work")
	}
	return stored
}

// moment waits for the next one to kill at: early in the start, anywhere, or
// as a green is lit; it tells whether it was that.
func (k *killing) moment() (struck bool) {
	switch k.rand.IntN(5) {
	case 0:
		time.Sleep(time.Duration(k.rand.Int64N(int64(200 * time.Millisecond))))
	case 1, 2:
		time.Sleep(time.Duration(k.rand.Int64N(int64(1200 * time.Millisecond))))
	default:
		k.armed.Store(1 + k.rand.Int32N(2))
		select {
		case <-k.dead:
		case <-time.After(30 * time.Second):
			k.Fatal("no green within 30 s")
		}
		k.atLamp++
		return true
	}
	return false
}

// watch keeps what the chip's outputs do.
func (k *killing) watch(ctx context.Context) {
	green := map[string]bool{}
	green[k.cfg.GPIO.Out["traveller_green"].Line] = true
	green[k.cfg.GPIO.Out["officer_green"].Line] = k.staffed // else it blinks before anybody may go
	for c := range k.chip.Watch(ctx) {
		if c.Cause == sim.Driven && c.Level && green[c.Line] && k.armed.Load() > 0 && k.armed.Add(-1) == 0 {
			_ = k.cmd.Process.Signal(syscall.SIGKILL) // now, before anything else is done
		}
		k.mu.Lock()
		k.trace = append(k.trace, c)
		k.mu.Unlock()
	}
}

// traffic drives vehicles through, whether or not a daemon is there to see: of
// five, three hold a card that is good for their plate, one holds another's
// and one none.
func (k *killing) traffic(ctx context.Context) {
	step := func(d time.Duration) { time.Sleep(d * k.pace) }
	press := func(button string) {
		for _, down := range []bool{true, false} {
			k.set(button, down)
			step(10 * time.Millisecond)
		}
	}
	for n := 0; ctx.Err() == nil; n++ {
		who := n % k.c.people
		k.set("approach_loop", true)
		step(15 * time.Millisecond) // a plate before the loop belongs to nobody
		if n%5 != 4 {
			k.reader.Present(mercury.SimTag{EPC: epcOf(who), RSSIDBm: -52, Antenna: 1})
		}
		if n%5 == 3 {
			who++
		}
		if err := k.camera.Plate(plateFor(who), "ON", 0.97); err != nil {
			k.Error(err)
		}
		step(25 * time.Millisecond)
		// Some are on both loops at once. Of those nobody can say that they are the
		// one that was seen coming, so they end no doubt after one that was missed.
		reach := func(line string, level bool) {
			k.set(line, level)
			step(12 * time.Millisecond)
		}
		if n%5 == 0 {
			reach("booth_loop", true)
			reach("approach_loop", false)
		} else {
			reach("approach_loop", false)
			reach("booth_loop", true)
		}
		k.reader.Present()
		press("count_1")
		step(10 * time.Millisecond)
		if k.staffed || n%5 > 2 {
			k.mu.Lock()
			k.releases = append(k.releases, time.Now())
			k.mu.Unlock()
			press("release")
		}
		k.set("exit_loop", true)
		step(12 * time.Millisecond)
		k.set("booth_loop", false)
		step(12 * time.Millisecond)
		k.set("exit_loop", false)
		step(20 * time.Millisecond)
		if k.gap != nil {
			k.gap()
		}
	}
}

// rest stops the booth when headquarters has everything; it tells how much.
func (k *killing) rest() uint64 {
	var kept journal.Stats
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var err error
		if kept, err = k.journal().Count(k.Context()); err != nil {
			k.Fatal(err)
		}
		if kept.Waiting+kept.Alerts == 0 {
			break
		}
	}
	if kept.Waiting+kept.Alerts+kept.Quarantined > 0 {
		k.Errorf("I4: %+v wait or are refused", kept)
	}
	k.kill() // the last: a clean stop would store a word more that nobody carries
	return kept.Last
}

// journal opens the booth's; the test closes it.
func (b *post) journal() *journal.Reader {
	b.Helper()
	j, err := journal.OpenReader(b.Context(), filepath.Join(b.dir, "store", "journal.db"))
	if err != nil {
		b.Fatal(err)
	}
	return j
}

// look judges what the kill has left, against what the one before left and
// what the lamps have shown since.
func (k *killing) look(struck bool) {
	k.Helper()
	if _, err := os.Stat(filepath.Join(k.dir, "store", "journal.db")); err != nil {
		k.Fatal(err) // open has made it
	}
	j := k.journal()
	defer func() { _ = j.Close() }()
	v, err := j.Verify(k.Context(), 1, 1<<40)
	whole := len(v.Gaps) == 0 && v.First == 1 // else something receipted is given up, also above the mark; headquarters' count tells
	if err != nil || len(v.Thinned) > 0 || !whole && !k.prunes || v.Last < k.seq {
		k.Errorf("I4: %+v, %v; %d were stored before", v, err, k.seq)
	}
	epoch, err := j.Epoch(k.Context())
	if err != nil || k.epoch != "" && epoch != k.epoch {
		k.Errorf("I4: epoch %s after %s: the journal was set aside; %v", epoch, k.epoch, err)
	}
	for rec, err := range j.Range(k.Context(), k.seq, k.seq) {
		if err != nil || !bytes.Equal(rec.Body, k.body) {
			k.Errorf("I4: event %d has changed: %v", k.seq, err)
		}
	}
	for rec, err := range j.Range(k.Context(), v.Last, v.Last) {
		if err != nil {
			k.Error(err)
		}
		k.body = rec.Body
	}
	k.seq, k.epoch = v.Last, epoch
	b, err := os.ReadFile(filepath.Join(k.dir, "store", "conn"))
	if conn, convErr := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 63); err == nil {
		if convErr != nil || conn < k.conn {
			k.Errorf("CONNECT %q after %d", b, k.conn)
		}
		k.conn = conn
	}
	k.lamps(k.decided(j), struck)
}

// decided reads every decision, and when the passage it is of was over.
func (k *killing) decided(j *journal.Reader) (out []fact) {
	k.Helper()
	over := map[string]time.Time{}
	for body, err := range k.bodies(j) {
		if err != nil {
			k.Fatal(err)
		}
		e, err := contract.Decode(body)
		if err != nil {
			k.Fatal(err)
		}
		switch e.Type {
		case contract.TypeCrossingDecided:
			c, err := contract.As[contract.CrossingDecided](e)
			if err != nil {
				k.Fatal(err)
			}
			expedite := c.Decision.Outcome == passage.Expedite.String()
			out = append(out, fact{passage: c.Passage, began: c.Evidence.StartedAt, at: e.Time, judged: e.Time.Add(time.Duration(c.LatencyUS) * time.Microsecond), expedite: expedite, green: expedite || c.Decision.Ready > 0})
		case contract.TypeCrossingEnded:
			c, err := contract.As[contract.CrossingEnded](e)
			if err != nil {
				k.Fatal(err)
			}
			over[c.Passage] = e.Time
		}
	}
	for i := range out {
		out[i].over = over[out[i].passage]
	}
	return out
}

// bodies gives every event from the first on. What the journal has given up
// headquarters must have.
func (k *killing) bodies(j *journal.Reader) iter.Seq2[[]byte, error] {
	k.Helper()
	return func(yield func([]byte, error) bool) {
		next := uint64(1)
		for rec, err := range j.Range(k.Context(), 1, 1<<40) {
			if err == nil && rec.Seq > next {
				lines := bytes.Split(bytes.TrimSpace(k.c.hq("export", "--db", filepath.Join(k.c.dir, "events.db"), "--booth", string(k.cfg.Booth.ID), "--from", fmt.Sprint(next), "--to", fmt.Sprint(rec.Seq-1))), []byte("\n"))
				if uint64(len(lines)) != rec.Seq-next {
					k.Errorf("I4: %d events of %d to %d, which the journal has given up, are at headquarters", len(lines), next, rec.Seq-1)
				}
				for _, line := range lines {
					if !yield(line, nil) {
						return
					}
				}
			}
			if !yield(rec.Body, err) {
				return
			}
			next = rec.Seq + 1
		}
	}
}

// fact is a decision on disk.
type fact struct {
	passage  string
	began    time.Time // of the passage
	at, over time.Time // over is zero while the passage lasts
	judged   time.Time // after at when the lane was behind
	expedite bool
	green    bool // is the officer's advice, or will be once somebody is counted
}

// lamps judges what the chip has seen since the last start (I9), and looks up
// the record of every green (I2).
func (k *killing) lamps(decided []fact, struck bool) {
	k.Helper()
	k.mu.Lock()
	trace := k.trace
	k.trace = nil
	k.mu.Unlock()
	names := map[string]string{}
	for name, w := range k.cfg.GPIO.Out {
		names[w.Line] = name
	}
	isGreen := func(c sim.Change) bool { return names[c.Line] == "traveller_green" || names[c.Line] == "officer_green" }
	lastGreen := -1
	for i, c := range trace {
		if c.Cause == sim.Driven && c.Level && isGreen(c) {
			lastGreen = i
		}
	}
	red, claims := false, 0
	for i, c := range trace {
		name, green := names[c.Line], isGreen(c)
		isRed := name == "traveller_red"
		switch {
		case c.Cause == sim.Claimed:
			claims++
			if red = red || isRed; c.Level != isRed || green && !red {
				k.Errorf("I9: %s is claimed lit %t; red before: %t", name, c.Level, red)
			}
		case c.Cause == sim.Died:
			if red = red && !isRed; c.Level != isRed {
				k.Errorf("I9: %s is lit %t without a daemon", name, c.Level)
			}
		case green && c.Level:
			k.recorded(name, c.At, decided, struck && i == lastGreen)
		}
	}
	if claims > 0 {
		k.starts++
	}
}

// recorded looks for the decision that a green stands on: it is of the passage
// that is there when the lamp is lit, it is on disk, and it says what the lamp
// shows, or the officer has acted on it. Of the green that the kill came with
// it is the last word of the journal, but for what the lane judged between the
// lamp and its end; else it is of about then.
func (k *killing) recorded(lamp string, lit time.Time, decided []fact, struck bool) {
	k.Helper()
	k.greens++
	possible := decided
	if struck && len(decided) > 0 {
		last := len(decided) - 1
		for last > 0 && decided[last].judged.After(lit.Add(-stampError)) {
			last--
		}
		possible = decided[last:]
	}
	for _, d := range possible {
		there := !d.at.After(lit.Add(stampError)) && (d.over.IsZero() || d.over.After(lit.Add(-laneBehind)))
		if there && (lamp == "officer_green" && d.green || lamp == "traveller_green" && (d.expedite && !k.staffed || k.released(d.began, lit))) {
			return
		}
	}
	k.Errorf("I2: %s is lit at %v (the kill came then: %t), and the journal has no decision for it, but %+v", lamp, lit, struck, decided[max(0, len(decided)-4):])
}

// laneBehind is how long after a vehicle has gone the lane may still be at work
// with it: the disk is slow.
const laneBehind = 2 * time.Second

// released tells whether the officer has let somebody go in a time.
func (k *killing) released(from, to time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.ContainsFunc(k.releases, func(at time.Time) bool { return !at.Before(from.Add(-stampError)) && at.Before(to) })
}

// stampError is how far the time of an edge, brought from the chip's clock to
// the daemon's, may be off on a machine that is loaded.
const stampError = 10 * time.Millisecond
