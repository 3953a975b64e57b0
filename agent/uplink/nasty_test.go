package uplink_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
)

func TestI4_NoPubackIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The first broker takes every event and closes without a PUBACK: the
		// usual client settings call that success.
		swallowed := 0
		s := uplinktest.NewScripted(t,
			func(p *uplinktest.Peer) {
				p.Welcome()
				for swallowed < 8 {
					pk, ok := p.Read().(*packets.PublishPacket)
					if !ok {
						return
					}
					if strings.Contains(pk.TopicName, "/evt/") {
						swallowed++
					} else {
						p.Puback(pk.MessageID)
					}
				}
			})
		l := start(t, s.Dial, func(c *uplink.Config) { c.AckMode = uplink.Puback })
		l.mem.Append(contract.ClassAudit, 8, body)
		time.Sleep(2 * time.Minute)
		if got := l.Status(); swallowed != 8 || got.Sent != 0 || got.Connected || l.receipted() != 0 {
			t.Errorf("%d swallowed; sent %d, receipted %d, connected %v, want 8, 0, 0, false", swallowed, got.Sent, l.receipted(), got.Connected)
		}
		l.end()
		s.Wait()
	})
}

func TestI4_WrongPubacksStopTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		published := 0
		s := uplinktest.NewScripted(t, func(p *uplinktest.Peer) {
			p.Welcome()
			for {
				pk, ok := p.Read().(*packets.PublishPacket)
				if !ok {
					return
				}
				if strings.Contains(pk.TopicName, "/evt/") {
					published++
				}
				p.Puback(pk.MessageID + 30_000)
			}
		})
		l := start(t, s.Dial, func(c *uplink.Config) { c.AckMode = uplink.Puback })
		l.mem.Append(contract.ClassAudit, 1000, body)
		time.Sleep(20 * time.Second)
		if got := l.Status(); got.Sent != 0 || got.InFlight != 64 {
			t.Errorf("sent %d, in flight %d, want 0 and 64", got.Sent, got.InFlight)
		}
		time.Sleep(time.Minute)
		if got := l.Status(); got.Connected || !strings.Contains(l.logs.String(), "no PUBACK within") {
			t.Errorf("after the time-out: connected %v; log:\n%s", got.Connected, l.logs)
		}
		if published > 64 {
			t.Errorf("published %d without one good PUBACK, want at most 64", published)
		}
		l.end()
		s.Wait()
	})
}

func TestForeignReceiptsAreIgnoredAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		l := start(t, b.Dial, nil)
		time.Sleep(2 * time.Second)
		l.mem.Append(contract.ClassAudit, 3, body)
		for _, text := range []string{
			`{"epoch":"another","upto":3,"at":"2026-11-23T07:15:02Z"}`,
			`{"epoch":"` + epoch + `","upto":4,"at":"2026-11-23T07:15:02Z"}`,
			`{"epoch":"` + epoch + `","upto":0,"have":[[2,9]],"at":"2026-11-23T07:15:02Z"}`,
			`{"epoch":"` + epoch + `","upto":3`,
			``,
		} {
			b.Publish(contract.ReceiptTopic(booth), false, []byte(text))
			time.Sleep(time.Second)
		}
		if n := l.receipted(); n != 0 {
			t.Errorf("%d events receipted by foreign receipts", n)
		}
		want := []string{"receipt_epoch", "receipt_beyond", "receipt_malformed"}
		if got := l.noticed(); !slices.Equal(got, want) {
			t.Errorf("notices = %v, want %v, once each", got, want)
		}
		b.Publish(contract.ReceiptTopic(booth), false, []byte(`{"epoch":"`+epoch+`","upto":1,"reject":[{"seq":3,"code":"schema"}],"at":"2026-11-23T07:15:02Z"}`))
		time.Sleep(time.Second)
		if l.receipted() != 1 || l.mem.Rejected(3) != "schema" || l.Status().Unreceipt != 1 {
			t.Errorf("receipted %d, seq 3 %q, in the air %d, want 1, schema, 1", l.receipted(), l.mem.Rejected(3), l.Status().Unreceipt)
		}
		l.end()
		b.Close()
	})
}

func TestRefusedReceiptsAreAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := uplinktest.NewScripted(t, func(p *uplinktest.Peer) {
			p.Accept()
			if sub, ok := p.Read().(*packets.SubscribePacket); ok {
				p.Suback(sub, 0x80)
			}
			for p.Read() != nil {
			}
		})
		l := start(t, s.Dial, func(c *uplink.Config) { // no second call while we look
			c.BackoffFirst, c.BackoffMost = 1000*time.Hour, 1000*time.Hour
		})
		time.Sleep(100 * time.Millisecond)
		if got := l.Status(); got.Connected || !strings.Contains(got.LastError, "refuses the subscription") {
			t.Errorf("connected %v, last error %q, want the refusal", got.Connected, got.LastError)
		}
		l.end()
		s.Wait()
	})
}

func TestTwinsBackOffHard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		drop := func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			s := uplinktest.NewScripted(t, func(p *uplinktest.Peer) { p.Accept() })
			return s.Dial(t.Context(), "", "")
		}
		l := start(t, drop, nil)
		time.Sleep(time.Hour)
		if n := dials.Load(); n > 26 || n < 10 { // 2.5 to 5 min apart
			t.Errorf("%d connections in an hour against a twin, want 12 to 25", n)
		}
		if got := l.noticed(); !slices.Equal(got, []string{"twin"}) {
			t.Errorf("notices = %v, want one of a twin", got)
		}
		l.end()
	})
}

func TestAFloodNeverBlocksTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := make(chan uplink.Message, 4)
		b := uplinktest.NewBroker(t)
		for i := range 1000 {
			b.Publish(fmt.Sprintf("list/v1/tuf/root/%d", i), true, bytes.Repeat([]byte{'x'}, 1000))
		}
		h := headquarters(b, 0)
		l := start(t, b.Dial, func(cfg *uplink.Config) {
			cfg.Inbound = []uplink.Subscription{{Filter: "list/v1/#", C: c}}
		})
		time.Sleep(5 * time.Second)
		l.mem.Append(contract.ClassAudit, 10, body)
		time.Sleep(5 * time.Second)
		if n := l.receipted(); n != 10 {
			t.Errorf("%d of 10 receipted behind a flood", n)
		}
		if got := l.Status().Dropped; got != 996 || len(c) != 4 {
			t.Errorf("dropped %d, kept %d, want 996 and 4", got, len(c))
		}
		l.end()
		h.end()
		b.Close()
	})
}

func TestAHugePacketEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := uplinktest.NewScripted(t, func(p *uplinktest.Peer) {
			p.Welcome()
			p.Write([]byte{0x32, 0xff, 0xff, 0xff, 0x7f}) // 256 MiB are coming
			for p.Read() != nil {
			}
		})
		l := start(t, s.Dial, nil)
		time.Sleep(time.Minute)
		if got := l.Status(); got.Connected || got.LastError == "" {
			t.Errorf("connected %v, last error %q", got.Connected, got.LastError)
		}
		l.end()
		s.Wait()
	})
}
