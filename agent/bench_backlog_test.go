package agent

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
	"boothd/buffer/journal"
	"boothd/configs"
)

// backlog is a booth's journal full of events, a broker, and a headquarters that
// costs nothing: it has what the booth has written to the broker, and lets it
// send as fast as it can or hardly at all.
type backlog struct {
	hq     mqtt.Client
	booth  string
	epoch  string
	first  uint64       // receipted before
	events uint64       // of the backlog
	wrote  atomic.Int64 // bytes, to the broker
	each   int64        // bytes of one event on the wire
	drain  atomic.Bool
	last   func() uint64 // of the booth's journal
	live   uint64        // what it was at the receipt before: that has arrived
}

// metered counts what is written.
type metered struct {
	net.Conn
	n *atomic.Int64
}

func (c metered) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// drainRate is what headquarters asks of one booth at the most: the least that
// a drain has to bring (product design, section 9: P9).
const drainRate = 10_000

// waiting fills the rig's journal with so many events of the day before
// yesterday, and connects it to a broker.
func (r *rig) waiting(b *testing.B, events int) *backlog {
	b.Helper()
	w := &backlog{booth: string(r.cfg.Booth.ID), events: uint64(events)}
	if err := os.MkdirAll(filepath.Join(r.dir, "store"), 0o700); err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"pad":"` + strings.Repeat("0123456789", 59) + `"}`)
	j, _, err := journal.Open(b.Context(), journal.Config{Path: filepath.Join(r.dir, "store", "journal.db"), MaxBytes: r.cfg.Store.MaxBytes.Bytes})
	if err != nil {
		b.Fatal(err)
	}
	w.epoch, w.first = j.Epoch(), j.Last()
	entry := journal.Entry{Class: "crossing", At: time.Now().Add(-48 * time.Hour), Build: func(journal.Stamp) ([]byte, error) { return body, nil }}
	some := make([]journal.Entry, 50)
	for i := range some {
		some[i] = entry
	}
	for range events / len(some) {
		if _, err := j.Append(b.Context(), some...); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	const head = 1 + 2 + 2 + 2 // of a publication: type, length, length of the topic, identifier
	w.each = int64(head + len(contract.EventTopic(w.booth, "crossing")) + len(body))
	addr := plainBroker(b, aside)
	r.cfg.MQTT.Brokers = []configs.Broker{configs.Broker("tcp://" + addr)}
	dial := r.world.Dial
	r.world.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return metered{c, &w.wrote}, nil
	}
	w.hq = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("hq"))
	if t := w.hq.Connect(); t.Wait() && t.Error() != nil {
		b.Fatal(t.Error())
	}
	b.Cleanup(func() { w.hq.Disconnect(0) })
	w.receipt(b)
	return w
}

// run gives receipts until ctx ends.
func (w *backlog) run(ctx context.Context, b *testing.B) {
	for ctx.Err() == nil {
		w.receipt(b)
		sleep(ctx, 20*time.Millisecond)
	}
}

// sent is about how many events have been sent.
func (w *backlog) sent() uint64 { return uint64(w.wrote.Load() / w.each) }

func (w *backlog) receipt(b *testing.B) {
	const slack = 256 // messages that are no events
	c := contract.Receipt{Epoch: w.epoch, Upto: w.first, Rate: 1, Window: 4096, At: time.Now().UTC()}
	if n := w.sent(); n > slack {
		c.Upto += min(n-slack, w.events)
	}
	if w.last != nil {
		if w.live > w.first+w.events { // what was decided since: it would fill the window
			c.Have = [][2]uint64{{w.first + w.events + 1, w.live}}
		}
		w.live = w.last()
	}
	if w.drain.Load() {
		c.Rate = drainRate
	}
	body, err := contract.EncodeReceipt(c)
	if err != nil {
		b.Error(err)
		return
	}
	if t := w.hq.Publish(contract.ReceiptTopic(w.booth), 1, true, body); t.Wait() && t.Error() != nil {
		b.Error(t.Error())
	}
}
