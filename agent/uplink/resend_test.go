package uplink_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
)

// What headquarters has receipted is published again when it is asked for, at
// the rate of the backlog, and once; a connection lost meanwhile loses nothing.
func TestResendPublishesReceiptedEventsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		h := headquarters(b, 20)
		l := start(t, b.Dial, nil)
		time.Sleep(2 * time.Second)
		l.mem.Append(contract.ClassAudit, 200, body)
		time.Sleep(10 * time.Second)
		if n := l.receipted(); n != 200 {
			t.Fatalf("%d of 200 receipted", n)
		}
		if !l.Resend(11, 110) || !l.Resend(150, 150) {
			t.Fatal("Resend takes nothing")
		}
		time.Sleep(2 * time.Second)
		if n := len(h.order()) - 200; n == 0 || n > 60 {
			t.Errorf("%d sent again in two seconds, at 20 a second", n)
		}
		b.Cut()
		time.Sleep(2 * time.Minute)
		extra := 0
		for seq := uint64(1); seq <= 200; seq++ {
			asked := seq >= 11 && seq <= 110 || seq == 150
			n := h.times(seq)
			if asked && n < 2 || !asked && n != 1 {
				t.Errorf("event %d came %d times", seq, n)
			}
			if asked {
				extra += n - 2
			}
		}
		if extra > 64 { // what was in the air when the link was cut
			t.Errorf("%d came more often than asked for", extra)
		}
		l.end()
		h.end()
		b.Close()
	})
}

// 0, 0 hurries what waits for a receipt, which else is due after a minute.
func TestResendHurriesWhatIsInTheAir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		var mu sync.Mutex // Listen's function runs in the broker's goroutines
		came := 0
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return came
		}
		b.Listen(contract.FilterEvents, func(string, []byte) {
			mu.Lock()
			defer mu.Unlock()
			came++
		})
		l := start(t, b.Dial, nil)
		time.Sleep(time.Second)
		l.mem.Append(contract.ClassAudit, 30, body)
		time.Sleep(20 * time.Second) // nobody receipts
		if n := count(); n != 30 {
			t.Fatalf("%d of 30 sent", n)
		}
		if !l.Resend(0, 0) {
			t.Fatal("Resend takes nothing")
		}
		time.Sleep(time.Second)
		if n := count(); n != 60 {
			t.Errorf("%d sent after a second, want 60", n)
		}
		l.end()
		b.Close()
	})
}

// Without a link a few ranges are held, and more refused.
func TestResendIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		b.Down(true)
		l := start(t, b.Dial, nil)
		time.Sleep(time.Second)
		n := 0
		for range 100 {
			if l.Resend(1, 2) {
				n++
			}
		}
		if n == 0 || n > 10 {
			t.Errorf("%d of 100 ranges held", n)
		}
		l.end()
		b.Close()
	})
}

// Each connect is heard of, with its number, when events count as live.
func TestEachConnectIsHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		heard := make(chan uint64, 8)
		l := start(t, b.Dial, func(c *uplink.Config) { c.Connected = func(conn uint64) { heard <- conn } })
		if n := <-heard; n != 1 || !l.mem.Online() {
			t.Errorf("connect %d, online %v", n, l.mem.Online())
		}
		b.Cut()
		if n := <-heard; n != 2 {
			t.Errorf("connect %d, want 2", n)
		}
		l.end()
		b.Close()
	})
}
