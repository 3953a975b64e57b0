package agent

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/passage"
	"boothd/agent/status"
)

// A lane that the officer has closed is closed after a restart: no vehicle is
// let go because the power came back.
func TestI1_ClosedOutlivesARestart(t *testing.T) {
	r := newRig(t)
	is := func(open bool) func(status.Picture) bool {
		return func(p status.Picture) bool { return len(p.Devices) == 3 && p.Devices[2].Online && p.Lane.Open == open }
	}
	turn := func(begins, ends bool) {
		t.Helper()
		stop := r.run()
		r.await("begun as it was", is(begins))
		r.press("open_close")
		r.await("opened or closed", is(ends))
		_ = stop()
	}
	turn(true, false)
	turn(false, true)
	stop := r.run()
	r.await("open again", is(true))
	_ = stop()
}

// It is kept when it is pressed, although it takes effect between vehicles: a
// restart is between two. What cannot be told counts as closed.
func TestI1_ClosedIsKeptWhenItIsPressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		kept := newShut(t.TempDir())
		b.lane.shuts = kept.keep
		want := func(when string, closed bool) {
			t.Helper()
			synctest.Wait()
			if got, err := kept.read(); err != nil || got != closed {
				t.Errorf("%s: closed %t, %v", when, got, err)
			}
		}
		b.run(func() {
			want("at first", false)
			b.arrive(goodCard)
			b.press("open_close")
			want("under a vehicle", true)
			b.press("open_close")
			want("taken back", false)
			b.press("open_close")
			if b.now().Closed || b.now().Evidence.Closed {
				t.Error("closed under the vehicle")
			}
			b.press("count_1")
			b.press("release")
			b.leave()
			want("after it", true)
			b.press("open_close")
			want("opened on an empty road", false)
			b.press("open_close")
			b.arrive(goodCard)
			b.press("open_close")
			want("opened under a vehicle", false)
			b.leave()
			want("and open after it", false)
			b.press("open_close")
			b.press("open_close")
			time.Sleep(time.Second)
			want("closed and opened", false)
		})
		if err := errors.Join(os.RemoveAll(filepath.Dir(kept.file)), os.WriteFile(filepath.Dir(kept.file), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if closed, err := kept.read(); err == nil || !closed {
			t.Errorf("it cannot be told: closed %t, %v", closed, err)
		}
		if err := kept.keep(true); err == nil {
			t.Error("not kept, and nothing is said")
		}
	})
}

// A disk that hangs holds nobody up who closes the lane under a vehicle; what was
// pressed last is kept when it answers.
func TestI5_TheDiskThatKeepsTheClosingHoldsNoLaneUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		hangs, kept := make(chan struct{}), []bool{}
		b.lane.shuts = func(closed bool) error {
			<-hangs
			kept = append(kept, closed)
			return nil
		}
		b.run(func() {
			b.arrive(goodCard)
			for range 5 {
				b.press("open_close")
			}
			b.press("refer")
			if got := b.now().Decision.Outcome; got != passage.Refer {
				t.Errorf("the officer refers and it is %v", got)
			}
			close(hangs)
		})
		if len(kept) == 0 || !kept[len(kept)-1] {
			t.Errorf("kept %v", kept)
		}
	})
}

// A lane that falls while its closing waits for the vehicle begins anew closed,
// whether the whole program or the lane alone has fallen.
func TestI1_ClosingOutlivesAFall(t *testing.T) {
	for name, road := range map[string]road{"a lane": passage.NewMachine(false), "a kiosk": passage.NewKiosk(false)} {
		road.Step(passage.Input{At: time.Now(), Kind: passage.ApproachOn, NewID: "p"})
		road.Step(passage.Input{At: time.Now(), Kind: passage.CardRead, Card: passage.Card{Token: "c"}, NewID: "p"})
		road.Step(passage.Input{At: time.Now(), Kind: passage.PressOpenClose})
		if !road.Active() || road.Closed() || !road.ClosedNext() {
			t.Errorf("%s: active %t, closed %t, for the next %t", name, road.Active(), road.Closed(), road.ClosedNext())
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var broken atomic.Bool
		b.lane.quality = func() passage.Clock {
			if broken.Load() {
				panic("a fault of ours")
			}
			return passage.ClockSynced
		}
		lanes := newGroup(t.Context())
		lanes.run((&booth{log: b.lane.log, lane: b.lane, lamps: newLamps(b.lane.log, nil, nil)}).live)
		synctest.Wait()
		b.arrive(goodCard)
		b.press("open_close")
		broken.Store(true)
		time.Sleep(pulseEvery)
		synctest.Wait()
		broken.Store(false)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if p := b.now(); p.Active || !p.Closed {
			t.Errorf("begun anew: active %t, closed %t", p.Active, p.Closed)
		}
		lanes.stop()
	})
}
