package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
)

// A release on the officer's keypad counts no longer than one on a wired button:
// what was pressed for the vehicle before lets the next one not go.
func TestI1_AReleaseOnTheKeypadIsFresh(t *testing.T) {
	for by, want := range map[time.Duration]bool{fresh: true, fresh + time.Millisecond: false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.run(func() {
				b.arrive(goodCard)
				b.press("count_1")
				b.lane.inbox.read(devices.Read{Device: "pad", Role: devices.RoleKeypad, At: time.Now().Add(-by), Key: &devices.Key{Button: "release"}})
				synctest.Wait()
				if got := b.now().View.Released; got != want {
					t.Errorf("%v old: released %t", by, got)
				}
			})
		})
	}
}
