package uplink_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink/uplinktest"
)

// dialer is a way to a broker.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// nameless is a name that the resolver says after a while that nobody has.
func nameless(after time.Duration) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		err := wait(ctx, after)
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: addr, IsNotFound: err == nil, IsTimeout: err != nil}}
	}
}

// cold is a resolver that finds a name a while after it was first asked, whoever
// still waits, and has it at hand from then on.
func cold(after time.Duration, then dialer) dialer {
	var once sync.Once
	var known time.Time
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		once.Do(func() { known = time.Now().Add(after) })
		if err := wait(ctx, time.Until(known)); err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "i/o timeout", Name: addr, IsTimeout: true}}
		}
		return then(ctx, network, addr)
	}
}

// lagging is a way on which all takes its time, each way.
func lagging(by time.Duration, then dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := then(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		near, far := net.Pipe()
		go carry(far, c, by)
		go carry(c, far, by)
		return near, nil
	}
}

// carry brings what comes from one end to the other, so much later; its end too.
func carry(to, from net.Conn, by time.Duration) {
	type parcel struct {
		due  time.Time
		what []byte
	}
	on := make(chan parcel, 1<<16)
	go func() {
		defer to.Close()
		for p := range on {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.what); err != nil {
				break
			}
		}
		for range on { // nobody takes it any more
		}
	}()
	defer close(on)
	for b := make([]byte, 4096); ; {
		n, err := from.Read(b)
		on <- parcel{time.Now().Add(by), append([]byte(nil), b[:n]...)}
		if err != nil {
			return
		}
	}
}

// The broker's name does not resolve, or only after half a minute, or every byte
// takes its time: the booth tries at most once a second, holds nothing up, and
// headquarters has every event when the way is good again; those that came
// through meanwhile do not come again for that.
func TestI4I5_ABrokerThatIsFarAway(t *testing.T) {
	const events, bad = 240, 12 * time.Minute
	for _, tt := range []struct {
		name  string
		way   func(good dialer) dialer
		links bool // all the same
	}{
		{"its name is unknown", func(dialer) dialer { return nameless(0) }, false},
		{"its name is unknown after 10 s", func(dialer) dialer { return nameless(10 * time.Second) }, false},
		{"nobody answers for its name", func(dialer) dialer { return nameless(time.Hour) }, false},
		{"its name is known after 20 s", func(good dialer) dialer { return cold(20*time.Second, good) }, true},
		{"its name is known after 90 s", func(good dialer) dialer { return cold(90*time.Second, good) }, true},
		{"30 s each way", func(good dialer) dialer { return lagging(30*time.Second, good) }, false},
		{"14 s each way", func(good dialer) dialer { return lagging(14*time.Second, good) }, false},
		{"4 s each way", func(good dialer) dialer { return lagging(4*time.Second, good) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := uplinktest.NewBroker(t)
				h := headquarters(b, 0)
				over := time.Now().Add(bad)
				way := tt.way(b.Dial)
				var mu sync.Mutex // of tries: the client library dials, the test counts
				var tries []time.Time
				l := start(t, func(ctx context.Context, network, addr string) (net.Conn, error) {
					mu.Lock()
					tries = append(tries, time.Now())
					mu.Unlock()
					if time.Now().After(over) {
						return b.Dial(ctx, network, addr)
					}
					return way(ctx, network, addr)
				}, nil)
				for range events / 2 {
					before := time.Now()
					l.mem.Append(contract.ClassCrossing, 2, body)
					if took := time.Since(before); took != 0 { // virtual time moves only when everything waits
						t.Fatalf("an append waited %v for the network", took)
					}
					time.Sleep(2 * bad / events)
				}
				if n := l.receipted(); (n > events/2) != tt.links {
					t.Errorf("%d of %d receipted by the end, want most: %t", n, events, tt.links)
				}
				b.Cut() // what is on the old way is lost
				time.Sleep(15 * time.Minute)
				if n := l.receipted(); n != events {
					t.Errorf("%d of %d receipted on a good way", n, events)
				}
				l.end()
				h.end()
				b.Close()
				mu.Lock()
				defer mu.Unlock()
				for i := range tries[1:] {
					if d := tries[i+1].Sub(tries[i]); d < time.Second {
						t.Errorf("try %d came %v after the one before", i+1, d)
					}
				}
				extra := 0
				for seq := uint64(1); seq <= events; seq++ {
					n := h.times(seq)
					if n == 0 {
						t.Errorf("I4: event %d never came", seq)
					}
					extra += max(0, n-1)
				}
				if limit := events / 20; extra > limit { // reliability goals, R3: wire duplicates under 5 %
					t.Errorf("%d events more than once on the wire, want at most %d", extra, limit)
				}
				t.Logf("%d tries, %d events more than once on the wire", len(tries), extra)
			})
		})
	}
}
