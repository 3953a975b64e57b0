package agent

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// green tells whether the traveller's light is green in a line of the trace.
func green(line string) bool { return strings.Contains(line, "traveller=2") }

// A vehicle has cleared: its green is over, however long its record takes. The
// next one is close behind.
func TestI9_GreenEndsBeforeTheEndIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(func() {
			b.arrive(goodCard)
			b.press("count_1")
			b.press("release")
			b.point("exit_loop", true)
			if last := b.trace[len(b.trace)-1]; !green(last) {
				t.Fatalf("not let go: %s", last)
			}
			b.slow.Store(int64(200 * time.Millisecond))
			b.point("booth_loop", false)
			b.point("booth_loop", true) // it follows through
			b.point("exit_loop", false)
			if last := b.trace[len(b.trace)-1]; green(last) || strings.Contains(last, "green=1") {
				t.Errorf("while the record of the one that has cleared waits, the next one is shown %s", last)
			}
			if p := b.now(); !p.Active || p.Durable {
				t.Errorf("the page: %+v", p.View)
			}
			time.Sleep(time.Second)
			b.slow.Store(0)
		})
	})
}

// The wiring has gone while a vehicle is let go: the light ends, and no record
// that is made meanwhile lights it again.
func TestI9_GreenDoesNotComeBackWhenTheWiringHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lane.health.devices = append(b.lane.health.devices, deviceState{Name: "loops", Role: roleWiring, Online: true, Since: time.Now()})
		b.lane.health.dark = map[string]bool{}
		b.run(func() {
			b.arrive(goodCard)
			b.press("count_1")
			b.press("release")
			b.slow.Store(int64(100 * time.Millisecond))
			before := len(b.trace)
			b.lane.inbox.tell(t.Context(), deviceNews{device: "loops", reason: errors.New("gone"), at: time.Now()})
			time.Sleep(time.Second)
			synctest.Wait()
			if after := b.trace[before:]; len(after) == 0 || slices.ContainsFunc(after, green) {
				t.Errorf("shown after the wiring went: %q", after)
			}
			b.slow.Store(0)
			b.lane.inbox.tell(t.Context(), deviceNews{device: "loops", online: true, at: time.Now()})
			synctest.Wait()
		})
	})
}
