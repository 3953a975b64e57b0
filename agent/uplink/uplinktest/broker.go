// Package uplinktest holds far ends for tests of the uplink: a real broker over
// net.Pipe, a scripted one for what no honest broker does, and a journal in
// memory. Everything works inside a testing/synctest bubble.
package uplinktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// ErrDown is what Dial gives while the broker is down.
var ErrDown = errors.New("network is unreachable")

// Broker is an MQTT broker that clients reach through Dial alone.
type Broker struct {
	t      testing.TB
	server *broker.Server

	mu    sync.Mutex // Dial runs in the clients' goroutines
	down  bool
	conns map[net.Conn]bool
	dials int
	subs  int
	serve sync.WaitGroup
}

// openDoor lets everybody do everything. The library's own hook for that
// brings a YAML parser along.
//
// It also lets one packet at a time at what is retained: the library reads
// that for a subscription while another client's will changes it, and the race
// detector sees it.
type openDoor struct {
	broker.HookBase
	retained sync.Mutex
}

// ID names the hook.
func (*openDoor) ID() string { return "open-door" }

// Provides tells which questions the hook answers.
func (*openDoor) Provides(b byte) bool {
	switch b {
	case broker.OnConnectAuthenticate, broker.OnACLCheck, broker.OnPacketRead, broker.OnPacketProcessed, broker.OnWill, broker.OnWillSent:
		return true
	}
	return false
}

// onRetained tells whether a client's packet comes to what is retained, and
// will be told of when it is done.
func onRetained(cl *broker.Client, pk packets.Packet) bool {
	switch {
	case cl.Net.Inline:
		return false
	case pk.FixedHeader.Type == packets.Subscribe:
		return pk.SubscribeValidate() == packets.CodeSuccess
	default:
		return pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Retain && pk.PublishValidate(0) == packets.CodeSuccess
	}
}

// OnPacketRead is before a packet is looked at.
func (d *openDoor) OnPacketRead(cl *broker.Client, pk packets.Packet) (packets.Packet, error) {
	if onRetained(cl, pk) {
		d.retained.Lock()
	}
	return pk, nil
}

// OnPacketProcessed is after it.
func (d *openDoor) OnPacketProcessed(cl *broker.Client, pk packets.Packet, _ error) {
	if onRetained(cl, pk) {
		d.retained.Unlock()
	}
}

// OnWill is before a will is sent.
func (d *openDoor) OnWill(_ *broker.Client, w broker.Will) (broker.Will, error) {
	d.retained.Lock()
	return w, nil
}

// OnWillSent is after it.
func (d *openDoor) OnWillSent(*broker.Client, packets.Packet) { d.retained.Unlock() }

// OnConnectAuthenticate says yes.
func (*openDoor) OnConnectAuthenticate(*broker.Client, packets.Packet) bool { return true }

// OnACLCheck says yes.
func (*openDoor) OnACLCheck(*broker.Client, string, bool) bool { return true }

// NewBroker starts a broker; the test's clean-up stops it. Inside a bubble,
// call Close before the bubble ends.
func NewBroker(t testing.TB) *Broker {
	t.Helper()
	b := &Broker{t: t, conns: make(map[net.Conn]bool)}
	b.start()
	return b
}

func (b *Broker) start() {
	b.server = broker.New(&broker.Options{InlineClient: true, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := b.server.AddHook(new(openDoor), nil); err != nil {
		b.t.Fatal(err)
	}
	if err := b.server.Serve(); err != nil {
		b.t.Fatal(err)
	}
}

// Close stops the broker and cuts every connection.
func (b *Broker) Close() {
	b.Down(true)
	b.serve.Wait() // the server's own group does not take a connection that ends while it closes
	if err := b.server.Close(); err != nil {
		b.t.Errorf("closing the broker: %v", err)
	}
}

// Dial connects to the broker, whatever the address.
func (b *Broker) Dial(context.Context, string, string) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dials++
	if b.down {
		return nil, ErrDown
	}
	near, far := net.Pipe()
	b.conns[far] = true
	server := b.server
	b.serve.Go(func() {
		// The error is how a connection ended; the tests ask the other side.
		_ = server.EstablishConnection("pipe", far)
		far.Close()
		b.mu.Lock()
		delete(b.conns, far)
		b.mu.Unlock()
	})
	return near, nil
}

// Cut ends every connection without a word.
func (b *Broker) Cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		c.Close()
	}
}

// Down makes the broker unreachable (and cuts), or reachable again.
func (b *Broker) Down(down bool) {
	b.mu.Lock()
	b.down = down
	b.mu.Unlock()
	if down {
		b.Cut()
	}
}

// Wipe replaces the broker by an empty one: retained messages, sessions and
// everything acknowledged and not yet delivered are lost. Subscriptions of
// Listen are lost with it.
func (b *Broker) Wipe() {
	b.Down(true)
	b.serve.Wait() // the server's own group does not take a connection that ends while it closes
	if err := b.server.Close(); err != nil {
		b.t.Errorf("closing the broker: %v", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start()
	b.down = false
}

// Dials counts calls of Dial.
func (b *Broker) Dials() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dials
}

// Publish sends a message as headquarters would.
func (b *Broker) Publish(topic string, retain bool, payload []byte) {
	b.t.Helper()
	if err := b.server.Publish(topic, payload, retain, 1); err != nil {
		b.t.Errorf("publishing to %s: %v", topic, err)
	}
}

// Listen calls f for every message on the filter. f runs in the broker's
// goroutines and must not call the broker.
func (b *Broker) Listen(filter string, f func(topic string, payload []byte)) {
	b.t.Helper()
	b.mu.Lock()
	b.subs++
	id := b.subs
	b.mu.Unlock()
	err := b.server.Subscribe(filter, id, func(_ *broker.Client, _ packets.Subscription, pk packets.Packet) {
		f(pk.TopicName, pk.Payload)
	})
	if err != nil {
		b.t.Fatal(fmt.Errorf("subscribing to %s: %w", filter, err))
	}
}

// Retained gives the retained message of a topic, nil if there is none.
func (b *Broker) Retained(topic string) []byte {
	pk, ok := b.server.Topics.Retained.Get(topic)
	if !ok {
		return nil
	}
	return pk.Payload
}
