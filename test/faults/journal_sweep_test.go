package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"boothd/buffer/journal"
	"boothd/test/long"
)

// recovery is how long after a fault's end an event must be durable again
// (reliability reference, R2).
const recovery = 5 * time.Second

// trying is how long a booth waits for a record before it slows the lane.
const trying = 250 * time.Millisecond

// The n-th call fails, n = 1, 2, 3 until nothing is left to fail, once and for
// good: no event that was acknowledged is lost or doubled, and after the fault's
// end the journal stores again.
func TestI4_FailingCallsLoseNoEvent(t *testing.T) {
	for _, f := range allFaults() {
		for _, last := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/last=%v", f.name, last), func(t *testing.T) {
				t.Parallel()
				dir := scratch(t)
				n := 1
				for ; ; n++ {
					b := &breaker{fault: f, n: n, last: last}
					if hit, err := underFault(t, dir, b); err != nil {
						t.Errorf("%v: %v", b, err)
					} else if !hit {
						break
					}
				}
				t.Logf("%d calls failed", n-1)
				if n == 1 {
					t.Error("no call of this kind was made: nothing is tested")
				}
			})
		}
	}
}

// underFault runs a journal through a fault; hit tells whether there was one.
func underFault(t *testing.T, dir string, b *breaker) (hit bool, err error) {
	if err := fresh(dir); err != nil {
		return false, err
	}
	r := &Recorder{}
	synctest.Test(t, func(t *testing.T) {
		if hit, err = live(t.Context(), dir, b, b.Break, r.Say); err != nil {
			return
		}
		if err = keepsItsWord(t.Context(), sweepConfig(dir), toldBy(words(r.Steps()))); err == nil {
			err = sound(filepath.Join(dir, journalFile))
		}
	})
	return hit, err
}

// live uses a journal while a fault lasts, and until it stores again.
func live(ctx context.Context, dir string, b *breaker, rig func(Call) Answer, say func(any)) (hit bool, err error) {
	stop, err := Watch(dir, rig)
	if err != nil {
		return false, err
	}
	defer stop()
	j := insist(ctx, dir)
	if j != nil {
		passages(ctx, booth{j, say})
		_ = j.Close() // the fault is what is tested
		j = insist(ctx, dir)
	}
	hit = b.mend()
	mendedAt := time.Now()
	if j == nil {
		if j, _, err = journal.Open(ctx, sweepConfig(dir)); err != nil {
			return hit, fmt.Errorf("opening after the fault's end: %w", err)
		}
	}
	for {
		err := attempt(ctx, booth{j, say}, "after the fault")
		if err == nil {
			break
		}
		if time.Since(mendedAt) > recovery {
			return hit, errors.Join(fmt.Errorf("%v after the fault's end: %w", recovery, err), j.Close())
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := j.Close(); err != nil {
		return hit, fmt.Errorf("closing after the fault's end: %w", err)
	}
	return hit, nil
}

// words are what was said in a recording.
func words(steps []Step) (out []any) {
	for _, s := range steps {
		if s.Word != nil {
			out = append(out, s.Word)
		}
	}
	return out
}

// insist opens a journal as a booth does that does not start without: again,
// until it is given up here.
func insist(ctx context.Context, dir string) *journal.Journal {
	for range 3 {
		if j, _, err := journal.Open(ctx, sweepConfig(dir)); err == nil {
			return j
		}
		time.Sleep(time.Second)
	}
	return nil
}

// passages uses a journal as day does, whatever it answers.
func passages(ctx context.Context, b booth) {
	b.say(epochIs{b.j.Epoch()})
	for i := range 10 {
		_ = attempt(ctx, b, fmt.Sprint(i)) // the fault is what is tested
		time.Sleep(time.Second)
	}
	if last := b.j.Last(); last > 8 {
		_ = b.receipt(ctx, last/2, last-3)
	}
	id := "a command"
	if ok, err := b.j.Claim(ctx, id, time.Now(), time.Now().Add(time.Hour)); err == nil && ok {
		b.say(claimed{id})
	}
	for i := range more() {
		_ = attempt(ctx, b, fmt.Sprint("more ", i))
	}
	time.Sleep(2 * time.Minute) // pruned and thinned meanwhile
	_ = attempt(ctx, b, "later")
}

// more is how many passages follow; with BOOTHD_LONG they are many, and each of
// their calls fails too.
func more() int {
	if long.Times() > 0 {
		return 20
	}
	return 2
}

// sweepConfig gives rows up within minutes.
func sweepConfig(dir string) journal.Config {
	cfg := dayConfig(dir)
	cfg.Retain, cfg.Thin.After = time.Minute, time.Minute
	return cfg
}

// attempt stores a passage within the time that a lane has.
func attempt(ctx context.Context, b booth, word string) error {
	ctx, cancel := context.WithTimeout(ctx, trying)
	defer cancel()
	return b.store(ctx, event("crossing", word, 300), event("read", word, 200))
}
