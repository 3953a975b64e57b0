package uplink_test

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
	"boothd/test/long"
)

// liars are brokers that do what none should, at each connection.
var liars = map[string]func(*uplinktest.Peer){
	"closes before CONNACK": func(p *uplinktest.Peer) { p.Read() },
	"closes after CONNACK":  func(p *uplinktest.Peer) { p.Accept() },
	"never answers":         swallow,
	"never acknowledges":    func(p *uplinktest.Peer) { p.Welcome(); swallow(p) },
	"acknowledges wrong ids": func(p *uplinktest.Peer) {
		p.Welcome()
		acknowledge(p, 30_000)
	},
	"acknowledges before it is asked": func(p *uplinktest.Peer) {
		p.Welcome()
		for id := range uint16(1000) {
			p.Puback(id)
		}
		swallow(p)
	},
	"floods with retained messages": func(p *uplinktest.Peer) {
		p.Welcome()
		for id := range uint16(300) {
			p.Publish("list/v1/tuf/targets", id+1, bytes.Repeat([]byte{'x'}, 2000))
		}
		swallow(p)
	},
	"sends packets over the limit": func(p *uplinktest.Peer) {
		p.Welcome()
		p.Publish("list/v1/tuf/targets", 1, make([]byte, contract.MaxPacket+1))
		swallow(p)
	},
	"names topics that are no UTF-8": func(p *uplinktest.Peer) {
		p.Welcome()
		for id := range uint16(100) {
			p.Publish("list/v1/\xff\xfe\x00", id+1, []byte("\xff"))
			p.Publish(contract.ReceiptTopic(booth), id+101, []byte("{\"epoch\":\"\xff\xc0\",\"upto\":3}"))
		}
		swallow(p)
	},
	"sends no MQTT": func(p *uplinktest.Peer) {
		p.Accept()
		p.Write([]byte("HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\n\r\n"))
		swallow(p)
	},
}

// swallow reads until the client has gone.
func swallow(p *uplinktest.Peer) {
	for p.Read() != nil {
	}
}

// acknowledge answers each PUBLISH with an id that is off by some.
func acknowledge(p *uplinktest.Peer, off uint16) {
	for {
		switch pk := p.Read().(type) {
		case *packets.PublishPacket:
			p.Puback(pk.MessageID + off)
		case nil:
			return
		}
	}
}

// I5: whatever a broker does for minutes (hours in the long run): it is tried at most once a second, no
// event is taken for receipted, memory stays what it was, and the first honest
// broker has everything.
func TestI5_ABrokerThatLiesIsOnlyABrokerThatIsAway(t *testing.T) {
	const events, grown = 300, 1 << 20 // bytes
	night := 12 * time.Minute
	if n := long.Times(); n > 0 {
		night = time.Duration(n) * 2 * time.Hour
	}
	for name, script := range liars {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				honest := uplinktest.NewBroker(t)
				h := headquarters(honest, 0)
				var mu sync.Mutex // of tries: the client library dials, the test counts
				var tries []time.Time
				over := time.Now().Add(night)
				dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
					mu.Lock()
					tries = append(tries, time.Now())
					mu.Unlock()
					if time.Now().After(over) {
						return honest.Dial(ctx, network, addr)
					}
					return uplinktest.NewScripted(t, script).Dial(ctx, network, addr)
				}
				in := make(chan uplink.Message, 4)
				l := start(t, dial, func(c *uplink.Config) { c.Inbound = []uplink.Subscription{{Filter: "list/v1/#", C: in}} })
				l.mem.Append(contract.ClassAudit, events, body)
				time.Sleep(night / 8)
				before := inUse()
				time.Sleep(night * 7 / 8)
				if now := inUse(); now > before+grown {
					t.Errorf("%d KiB in use at first, %d KiB at last", before>>10, now>>10)
				}
				if n := l.receipted(); n != 0 {
					t.Errorf("%d events are taken for receipted", n)
				}
				mu.Lock()
				made := len(tries)
				mu.Unlock()
				if n := strings.Count(l.logs.String(), "\n"); n > 2*made+4 {
					t.Errorf("%d lines in the log for %d tries", n, made)
				}
				time.Sleep(15 * time.Minute)
				if n := l.receipted(); n != events {
					t.Errorf("%d of %d receipted by an honest broker", n, events)
				}
				l.end()
				h.end()
				honest.Close()
				mu.Lock()
				defer mu.Unlock()
				for i := range tries[1:] {
					if d := tries[i+1].Sub(tries[i]); d < time.Second {
						t.Errorf("try %d came %v after the one before", i+1, d)
					}
				}
				t.Logf("%d tries, %d notices", len(tries), len(l.noticed()))
			})
		})
	}
}

// inUse is the heap once all that can go has gone, bytes.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A broker that takes everything and is cut off from headquarters is left for
// the next one after some minutes. When it is the only one it is connected to
// anew as seldom, and nothing counts as receipted.
func TestI4_ABrokerThatBringsNoReceiptsIsLeft(t *testing.T) {
	const events = 50
	for name, other := range map[string]bool{"the only broker": false, "the first of two": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				deaf, honest := uplinktest.NewBroker(t), uplinktest.NewBroker(t)
				h := headquarters(honest, 0)
				var mu sync.Mutex // of tries: the client library dials, the test counts
				var tries []time.Time
				dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
					mu.Lock()
					tries = append(tries, time.Now())
					mu.Unlock()
					if strings.HasPrefix(addr, "hq-a") {
						return deaf.Dial(ctx, network, addr)
					}
					return honest.Dial(ctx, network, addr)
				}
				l := start(t, dial, func(c *uplink.Config) {
					if other {
						c.Brokers = append(c.Brokers, "tcp://hq-b:1883")
					}
				})
				l.mem.Append(contract.ClassAudit, events, body)
				time.Sleep(10 * time.Minute)
				if n, want := l.receipted(), events*map[bool]int{true: 1}[other]; n != want {
					t.Errorf("%d receipted after ten minutes, want %d", n, want)
				}
				if owed := l.Status().Owed; owed.IsZero() != other {
					t.Errorf("a receipt is owed since %v", owed)
				}
				time.Sleep(50 * time.Minute)
				mu.Lock()
				if n := len(tries); n < 3 || n > 13 {
					t.Errorf("%d connections in an hour", n)
				}
				mu.Unlock()
				l.end()
				h.end()
				deaf.Close()
				honest.Close()
			})
		})
	}
}
