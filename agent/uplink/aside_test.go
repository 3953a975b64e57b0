package uplink_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
)

// While it is asked to, the backlog stands aside, and receipts are not noted;
// alerts, live events and what is asked for go up as ever, and a stop does not
// wait. Afterwards the backlog goes on at once.
func TestTheBacklogStandsAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		h := headquarters(b, 1000)
		b.Down(true)
		var over atomic.Pointer[chan struct{}]
		aside := func() <-chan struct{} {
			if c := over.Load(); c != nil {
				return *c
			}
			return nil
		}
		stand := func() (end func()) {
			c := make(chan struct{})
			over.Store(&c)
			return func() { over.Store(nil); close(c) }
		}
		l := start(t, b.Dial, func(c *uplink.Config) { c.Aside = aside })
		l.mem.Append(contract.ClassAudit, 5000, body)
		time.Sleep(time.Minute)
		end := stand()
		b.Down(false)
		l.connected()
		time.Sleep(10 * time.Second)
		if got := h.order(); len(got) > 0 {
			t.Errorf("%d events of the backlog are sent, from %d on", len(got), got[0])
		}
		l.mem.Append(contract.ClassSecurity, 1, body)
		l.mem.Append(contract.ClassCrossing, 1, body)
		l.Resend(4990, 4991)
		time.Sleep(100 * time.Millisecond)
		for _, seq := range []uint64{5001, 5002, 4990, 4991} {
			if h.times(seq) == 0 {
				t.Errorf("event %d waits with the backlog", seq)
			}
		}
		time.Sleep(3 * time.Second)
		if n := l.receipted(); n > 0 {
			t.Errorf("%d receipts are noted meanwhile", n)
		}
		end()
		synctest.Wait()
		if got := len(h.order()); got <= 4 {
			t.Error("the backlog does not go on at once")
		}
		time.Sleep(time.Minute)
		if n := l.receipted(); n != 5002 {
			t.Errorf("%d of 5002 events are receipted", n)
		}
		stand()
		l.mem.Append(contract.ClassCrossing, 300, body) // more than the window: without receipts they would wait
		time.Sleep(10 * time.Second)
		for _, seq := range []uint64{5003, 5302} {
			if !slices.Contains(h.order(), seq) {
				t.Errorf("live event %d waits for receipts that stand aside", seq)
			}
		}
		l.endsSoon(t)
		h.end()
		b.Close()
	})
}
