package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

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

// It is kept when it takes effect, between vehicles; what cannot be told counts
// as closed.
func TestI1_ClosedIsKeptBetweenVehicles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lane.shut = newShut(t.TempDir())
		want := func(when string, closed bool) {
			t.Helper()
			synctest.Wait()
			if got, err := b.lane.shut.read(); err != nil || got != closed {
				t.Errorf("%s: closed %t, %v", when, got, err)
			}
		}
		b.run(func() {
			want("at first", false)
			b.arrive(goodCard)
			b.press("open_close")
			want("under a vehicle", false)
			b.press("count_1")
			b.press("release")
			b.leave()
			want("after it", true)
			b.press("open_close")
			want("opened on an empty road", false)
			b.press("open_close")
			b.press("open_close")
			time.Sleep(time.Second)
			want("closed and opened", false)
		})
		if err := errors.Join(os.RemoveAll(filepath.Dir(b.lane.shut.file)), os.WriteFile(filepath.Dir(b.lane.shut.file), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if closed, err := b.lane.shut.read(); err == nil || !closed {
			t.Errorf("it cannot be told: closed %t, %v", closed, err)
		}
		if err := b.lane.shut.keep(true); err == nil {
			t.Error("not kept, and nothing is said")
		}
	})
}
