package uplink_test

import (
	"context"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
)

func TestI4_NothingMissingThroughCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events = 5000
		b := uplinktest.NewBroker(t)
		h := headquarters(b, 500)
		l := start(t, b.Dial, nil)
		rng := rand.New(rand.NewPCG(1, 2))
		for sent := 0; sent < events; {
			n := min(1+rng.IntN(40), events-sent)
			l.mem.Append(contract.ClassAudit, n, body)
			sent += n
			time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond) // virtual: the traffic's own pace
			switch rng.IntN(12) {
			case 0, 1:
				b.Cut()
			case 2:
				b.Down(true)
				time.Sleep(time.Duration(rng.IntN(90)) * time.Second)
				b.Down(false)
			}
		}
		b.Down(false)
		for deadline := time.Now().Add(2 * time.Hour); l.receipted() < events && time.Now().Before(deadline); {
			time.Sleep(time.Second)
		}
		l.end()
		h.end()
		b.Close()
		missing, extra := 0, 0
		for seq := uint64(1); seq <= events; seq++ {
			n := h.times(seq)
			if n == 0 {
				missing++
			}
			extra += max(0, n-1)
		}
		if missing > 0 {
			t.Errorf("missing %d of %d", missing, events)
		}
		if limit := events / 20; extra > limit { // reliability goals, R3: wire duplicates under 5 %
			t.Errorf("%d events more than once on the wire, want at most %d", extra, limit)
		}
		if n := l.receipted(); n != events {
			t.Errorf("%d of %d receipted", n, events)
		}
	})
}

func TestI4_ABrokerThatForgetsIsMadeGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		l := start(t, b.Dial, nil)
		time.Sleep(5 * time.Second)
		l.mem.Append(contract.ClassAudit, 100, body) // PUBACKed, and nobody there to hear
		time.Sleep(5 * time.Second)
		if got := l.Status(); got.Sent != 100 || got.Unreceipt != 100 {
			t.Fatalf("sent %d, without receipt %d, want 100 and 100", got.Sent, got.Unreceipt)
		}
		b.Wipe()
		h := headquarters(b, 0)
		time.Sleep(3 * time.Minute)
		if n := l.receipted(); n != 100 {
			t.Errorf("%d of 100 receipted after the broker lost them", n)
		}
		l.end()
		h.end()
		b.Close()
	})
}

func TestI5_ADeadNetworkHoldsNothingUp(t *testing.T) {
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"refuses": func(context.Context, string, string) (net.Conn, error) { return nil, uplinktest.ErrDown },
		"hangs": func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"accepts and is silent": func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				var b [512]byte
				for {
					if _, err := far.Read(b[:]); err != nil {
						return
					}
				}
			}()
			return near, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := start(t, dial, nil)
				for range 100 {
					before := time.Now()
					l.mem.Append(contract.ClassCrossing, 10, body)
					if took := time.Since(before); took != 0 { // virtual time moves only when everything waits
						t.Fatalf("an append waited %v for the network", took)
					}
					time.Sleep(time.Second)
				}
				if l.mem.Online() || l.Status().Connected {
					t.Error("online without a broker")
				}
				before := time.Now()
				l.end()
				if took := time.Since(before); took > 3*time.Second {
					t.Errorf("stopping took %v", took)
				}
				if n := strings.Count(l.logs.String(), "\n"); n != 1 {
					t.Errorf("%d lines in the log, want 1:\n%s", n, l.logs)
				}
			})
		})
	}
}

func TestAlertsOvertakeAMillionRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		h := headquarters(b, 0)
		b.Down(true)
		l := start(t, b.Dial, nil)
		l.mem.Append(contract.ClassAudit, 3000, body)
		l.mem.Append(contract.ClassSecurity, 3, body)
		time.Sleep(time.Minute)
		b.Down(false)
		l.connected()
		time.Sleep(time.Second)
		first := h.order()[:3]
		slices.Sort(first)
		if !slices.Equal(first, []uint64{3001, 3002, 3003}) {
			t.Errorf("first on the wire: %v, want the alerts 3001 to 3003", first)
		}
		// Live rows pass the backlog, which keeps to 20 a second.
		before := len(h.order())
		l.mem.Append(contract.ClassCrossing, 5, body)
		time.Sleep(time.Second)
		fresh := h.order()[before:]
		live := slices.DeleteFunc(slices.Clone(fresh), func(seq uint64) bool { return seq <= 3003 })
		if len(live) != 5 {
			t.Errorf("%d of 5 live events within 1 s behind a backlog", len(live))
		}
		if n := len(fresh) - len(live); n < 10 || n > 30 {
			t.Errorf("backlog ran at %d a second, want about 20", n)
		}
		l.end()
		h.end()
		b.Close()
	})
}

func TestReceiptSetsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		b.Down(true)
		l := start(t, b.Dial, nil)
		l.mem.Append(contract.ClassAudit, 2000, body)
		time.Sleep(10 * time.Second)
		h := headquarters(b, 200)
		b.Down(false)
		time.Sleep(90 * time.Second)
		if n := len(h.order()); n != 2000 {
			t.Errorf("%d of 2000 came at 200 a second", n)
		}
		l.end()
		h.end()
		b.Close()
	})
}

func TestStatusTellsTheTruth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		l := start(t, b.Dial, nil)
		retained := func() contract.Status {
			s, err := contract.DecodeStatus(b.Retained(contract.StatusTopic(booth)))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		time.Sleep(5 * time.Second)
		if got := retained(); got.S != contract.Online || got.Conn != 1 {
			t.Errorf("status = %+v, want online, conn 1", got)
		}
		for _, topic := range []string{contract.InfoTopic(booth), contract.HealthTopic(booth), contract.ListsTopic(booth)} {
			if b.Retained(topic) == nil {
				t.Errorf("nothing retained on %s", topic)
			}
		}
		time.Sleep(10 * time.Second)
		b.Cut()
		synctest.Wait()
		if got := retained(); got.S != contract.Offline || got.Conn != 1 {
			t.Errorf("after a cut: %+v, want offline, conn 1 (the will)", got)
		}
		time.Sleep(2 * time.Minute)
		if got := retained(); got.S != contract.Online || got.Conn != 2 {
			t.Errorf("after the reconnect: %+v, want online, conn 2", got)
		}
		b.Wipe()
		time.Sleep(2 * time.Minute)
		if got := retained(); got.S != contract.Online || b.Retained(contract.ListsTopic(booth)) == nil {
			t.Errorf("a broker that lost everything: %+v, want online and state again", got)
		}
		l.end()
		if got := retained(); got.S != contract.Stopping {
			t.Errorf("after a clean stop: %+v, want stopping", got)
		}
		b.Close()
	})
}

func TestWantBringsBackWhatHeadquartersLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		h := headquarters(b, 100)
		l := start(t, b.Dial, nil)
		time.Sleep(2 * time.Second)
		l.mem.Append(contract.ClassAudit, 50, body)
		time.Sleep(5 * time.Second)
		h.end()
		time.Sleep(100 * time.Millisecond) // two receipts of one instant have no order
		b.Publish(contract.ReceiptTopic(booth), true, []byte(`{"epoch":"`+epoch+`","upto":10,"want":[[11,50]],"rate":100,"at":"2026-11-23T07:15:02Z"}`))
		time.Sleep(5 * time.Second)
		for seq := uint64(1); seq <= 50; seq++ {
			want := 1
			if seq > 10 {
				want = 2
			}
			if got := h.times(seq); got != want {
				t.Errorf("seq %d came %d times, want %d", seq, got, want)
			}
		}
		l.end()
		b.Close()
	})
}

func TestFailsOverInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		var mu sync.Mutex
		var dialled []string
		l := start(t, func(ctx context.Context, network, addr string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			dialled = append(dialled, addr)
			if addr == "hq-a:1883" && len(dialled) < 5 {
				return nil, uplinktest.ErrDown
			}
			return b.Dial(ctx, network, addr)
		}, func(c *uplink.Config) { c.Brokers = []string{"tcp://hq-a:1883", "tcp://hq-b:1883"} })
		time.Sleep(time.Minute)
		if got := l.Status(); !got.Connected || got.Broker != "hq-b:1883" {
			t.Errorf("after three failures: connected %v to %q, want hq-b", got.Connected, got.Broker)
		}
		time.Sleep(31 * time.Minute)
		if got := l.Status(); !got.Connected || got.Broker != "hq-a:1883" {
			t.Errorf("after half an hour of health: connected %v to %q, want hq-a again", got.Connected, got.Broker)
		}
		l.end()
		b.Close()
	})
}

func TestThousandReconnectsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		l := start(t, b.Dial, nil)
		for range 1000 {
			for !l.Status().Connected {
				time.Sleep(time.Second)
			}
			time.Sleep(6 * time.Second)
			b.Cut()
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		if n := b.Dials(); n < 1000 {
			t.Errorf("only %d connections", n)
		}
		l.end()
		b.Close()
		// The bubble ends only when every goroutine of it has ended.
	})
}

func TestConnFileCountsThroughRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conn")
	for want := uint64(1); want <= 3; want++ {
		got, err := uplink.ConnFile(path)() // each a new process
		if got != want || err != nil {
			t.Errorf("ConnFile = %d, %v, want %d", got, err, want)
		}
	}
}
