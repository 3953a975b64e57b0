package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/configs"
)

// chronicle is a timekeeper at work beside a journal that may fail.
type chronicle struct {
	*timekeeper
	t      *testing.T
	kernel passage.Clock
	fail   error
	said   []contract.Data
}

func newChronicle(t *testing.T, floor time.Time, kernel passage.Clock) *chronicle {
	d := &chronicle{t: t, kernel: kernel}
	began := time.Now()
	d.timekeeper = newTimekeeper(World{Boot: "boot", Built: floor, Mono: func() time.Duration { return time.Hour + time.Since(began) },
		Clock: func() (passage.Clock, time.Duration) { return d.kernel, 4 * time.Millisecond }}, "kernel")
	d.store = func(_ context.Context, _ time.Time, events ...contract.Data) (uint64, error) {
		if d.fail != nil {
			return 0, d.fail
		}
		d.said = append(d.said, events...)
		return 100 + uint64(len(d.said)), nil
	}
	return d
}

// looks lets so many looks be taken.
func (d *chronicle) looks(n int) {
	for range n {
		time.Sleep(lookEvery)
		d.look()
		d.say(d.t.Context())
	}
}

// step sets the wall clock: time in a bubble runs on by itself, so that it is
// the look before that is moved the other way.
func (d *chronicle) step(by time.Duration) { d.watch.wall = d.watch.wall.Add(-by) }

// story tells what was stored, and forgets it.
func (d *chronicle) story() (out []string) {
	for _, e := range d.said {
		switch e := e.(type) {
		case contract.ClockCorrected:
			out = append(out, fmt.Sprint("by ", (time.Duration(e.OffsetUS)*time.Microsecond).String()))
		case contract.ClockChanged:
			out = append(out, e.From+" to "+e.To)
		}
	}
	d.said = nil
	return out
}

// What happens to a wall clock is told once, in order, with how far it went; the
// lane trusts it only while it is to be trusted, and the monotonic time of events
// never goes back.
func TestI1_StepsOfTheClock(t *testing.T) {
	const day = 24 * time.Hour
	synced, unset := passage.ClockSynced, passage.ClockUnset
	for _, tt := range []struct {
		name   string
		floor  time.Duration // of the program, from now
		kernel passage.Clock
		what   func(d *chronicle)
		during passage.Clock // at the first look after it
		after  passage.Clock // a minute on
		story  []string
	}{
		{"nothing", -day, synced, func(*chronicle) {}, synced, synced, nil},
		{"a second is slewed", -day, synced, func(d *chronicle) { d.step(stepBack - time.Millisecond) }, synced, synced, nil},
		{"a second forward", -day, synced, func(d *chronicle) { d.step(time.Second) }, synced, synced, []string{"by 1s"}},
		{"a second back", -day, synced, func(d *chronicle) { d.step(-time.Second) }, unset, synced, []string{"by -1s", "synced to unset", "unset to synced"}},
		// The kernel inserts one by setting the clock back. The two clocks are read one after the other.
		{"a leap second", -day, synced, func(d *chronicle) { d.step(-time.Second + 200*time.Nanosecond) }, unset, synced, []string{"by -999.999ms", "synced to unset", "unset to synced"}},
		{"a leap second that is left out", -day, synced, func(d *chronicle) { d.step(time.Second - 200*time.Nanosecond) }, synced, synced, []string{"by 999.999ms"}},
		{"an hour forward", -day, synced, func(d *chronicle) { d.step(time.Hour) }, synced, synced, []string{"by 1h0m0s"}},
		{"an hour back", -day, synced, func(d *chronicle) { d.step(-time.Hour) }, unset, synced, []string{"by -1h0m0s", "synced to unset", "unset to synced"}},
		{"ten years forward", -day, synced, func(d *chronicle) { d.step(3652 * day) }, synced, synced, []string{"by 87648h0m0s"}},
		{"ten years back", -day, synced, func(d *chronicle) { d.step(-3652 * day) }, unset, synced, []string{"by -87648h0m0s", "synced to unset", "unset to synced"}},
		{"back, and nobody keeps it right", -day, synced, func(d *chronicle) { d.kernel = unset; d.step(-time.Hour) }, unset, unset, []string{"by -1h0m0s", "synced to unset"}},
		{"nobody keeps it right any more", -day, synced, func(d *chronicle) { d.kernel = unset }, passage.ClockHoldover, passage.ClockHoldover, []string{"synced to holdover"}},
		{"1970, though said to be right", day, synced, func(*chronicle) {}, unset, unset, nil},
		{"1970 until it is set", 10 * time.Second, synced, func(*chronicle) {}, unset, synced, []string{"unset to synced"}},
		{"restored from disk", -day, passage.ClockRestored, func(*chronicle) {}, passage.ClockRestored, passage.ClockRestored, nil},
		{"restored, then set", -day, passage.ClockRestored, func(d *chronicle) { d.step(40 * time.Minute); d.kernel = synced }, synced, synced, []string{"by 40m0s", "restored to synced"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newChronicle(t, time.Now().Add(tt.floor), tt.kernel)
				d.looks(3)
				before := d.stamp(time.Now())
				tt.what(d)
				d.looks(1)
				if got := d.quality(); got != tt.during {
					t.Errorf("at once it is %s, want %s", contract.Quality(got), contract.Quality(tt.during))
				}
				d.looks(60)
				if got := d.quality(); got != tt.after {
					t.Errorf("a minute on it is %s, want %s", contract.Quality(got), contract.Quality(tt.after))
				}
				after := d.stamp(time.Now())
				if took := after.MonoUS - before.MonoUS; took != (61 * lookEvery).Microseconds() {
					t.Errorf("%d us of the monotonic clock in 61 s", took)
				}
				steps := slices.ContainsFunc(tt.story, func(s string) bool { return s[:3] == "by " })
				if (after.Offset > 0) != steps || before.Offset != 0 {
					t.Errorf("times stand on correction %d, before it on %d", after.Offset, before.Offset)
				}
				if got := d.story(); !slices.Equal(got, tt.story) {
					t.Errorf("told %q, want %q", got, tt.story)
				}
			})
		})
	}
}

// What happens to the clock while the journal does not answer is told when it
// does again, and is judged at once.
func TestStepsOfTheClockWithoutAJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newChronicle(t, time.Now().Add(-time.Hour), passage.ClockSynced)
		d.fail = errors.New("the disk is gone")
		d.looks(2)
		d.step(-time.Hour)
		d.looks(1)
		if d.quality() != passage.ClockUnset {
			t.Error("a clock that was set back is trusted while it cannot be recorded")
		}
		for range 5 * unsaidMost {
			d.step(time.Minute)
			d.looks(1)
		}
		if len(d.unsaid) != unsaidMost {
			t.Errorf("%d remarks wait", len(d.unsaid))
		}
		d.fail = nil
		d.looks(2)
		if got := d.story(); len(got) != unsaidMost || got[0] != "by -1h0m0s" || got[1] != "synced to unset" {
			t.Errorf("told %q", got)
		}
	})
}

// A box whose clock is not set judges certificates by the last time that it
// knows to have been, of its program or its journal; no other time of the journal
// counts, and once the clock is set only that does.
func TestCertificatesOfABoxWithoutAClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, now := t.TempDir(), time.Now()
		built, seen := now.AddDate(1, 0, 0), now.AddDate(2, 0, 0).Round(0).UTC()
		r := newRecord(t, dir, passage.ClockSynced)
		event := func(at time.Time, q passage.Clock) {
			t.Helper()
			if _, err := r.store(t.Context(), at, contract.Stopped{Reason: "signal", Clock: contract.Clock{Boot: "b", Quality: contract.Quality(q)}}); err != nil {
				t.Fatal(err)
			}
		}
		event(seen, passage.ClockSynced)
		event(now.AddDate(40, 0, 0), passage.ClockUnset)
		event(now.AddDate(30, 0, 0), passage.ClockRestored)
		event(now, passage.ClockUnset)
		kernel := passage.ClockUnset
		world := World{Built: built, Mono: func() time.Duration { return time.Since(now) }, Clock: func() (passage.Clock, time.Duration) { return kernel, 0 }}
		b := &booth{cfg: &configs.Config{}, world: world, log: slog.New(slog.DiscardHandler), time: newTimekeeper(world, "kernel"), outbox: r.outbox}
		b.cfg.MQTT.Brokers = []configs.Broker{"ssl://hq-a:8883"}
		conf := func() *tls.Config {
			t.Helper()
			c, err := b.tls()
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		if at := conf().Time(); !at.Equal(built) {
			t.Errorf("judged by %v, the program is of %v", at, built)
		}
		b.known(t.Context())
		if at := conf().Time(); !at.Equal(seen) {
			t.Errorf("judged by %v, the journal knows of %v", at, seen)
		}
		b.time.watch.floor, kernel = time.Time{}, passage.ClockSynced
		b.time.look()
		if at := conf().Time(); !at.Equal(time.Now()) {
			t.Errorf("judged by %v, it is %v", at, time.Now())
		}
		r.close()
	})
}

// A vehicle waits at the booth while the clock is stepped: nobody is expedited
// while it is not to be trusted, the passage goes on by the monotonic clock, and
// what is stored never goes back in it.
func TestI1_NobodyIsExpeditedByASteppedClock(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, by := range []time.Duration{-time.Second + 200*time.Nanosecond, time.Second, -time.Second, time.Hour, -time.Hour, 10 * year, -10 * year} {
		t.Run(by.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, d := newBench(t), newChronicle(t, time.Now().Add(-24*time.Hour), passage.ClockSynced)
				b.lane.quality, b.lane.stamp = d.quality, d.stamp
				outcome := func() passage.Decision {
					time.Sleep(pulseEvery)
					synctest.Wait()
					return b.now().Decision
				}
				b.run(func() {
					b.arrive(goodCard)
					b.press("count_1")
					before := outcome()
					d.step(by)
					d.looks(1)
					during := outcome()
					d.looks(2)
					after := outcome()
					distrusted := by < 0
					if before.Outcome != passage.Expedite || (during.Outcome != passage.Expedite) != distrusted || after.Outcome != passage.Expedite {
						t.Errorf("%v before, %v at once, %v later; distrusted: %t", before, during, after, distrusted)
					}
					if distrusted && during.Lead != passage.ClockUntrusted {
						t.Errorf("%v, want 202", during)
					}
				})
				mono, began := int64(0), time.Time{}
				for _, c := range b.decisions() {
					if c.Clock.MonoUS < mono || !began.IsZero() && !c.Evidence.StartedAt.Equal(began) {
						t.Errorf("decision at %d us after one at %d, of a passage since %v after %v", c.Clock.MonoUS, mono, c.Evidence.StartedAt, began)
					}
					mono, began = c.Clock.MonoUS, c.Evidence.StartedAt
					if c.Decision.Outcome == passage.Expedite.String() && c.Facts.Clock != passage.ClockSynced {
						t.Errorf("expedited by a clock that is %s", contract.Quality(c.Facts.Clock))
					}
				}
			})
		})
	}
}
