package uplinktest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Scripted is a broker that does exactly what its scripts say: one script per
// connection, in order. Without a script left, Dial fails.
type Scripted struct {
	t testing.TB

	mu      sync.Mutex // Dial runs in the client's goroutines
	scripts []func(*Peer)
	running sync.WaitGroup
}

// NewScripted makes a broker of the scripts.
func NewScripted(t testing.TB, scripts ...func(*Peer)) *Scripted {
	return &Scripted{t: t, scripts: scripts}
}

// Dial starts the next script at the far end of a pipe. The line is cut when
// the script returns.
func (s *Scripted) Dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.scripts) == 0 {
		return nil, ErrDown
	}
	script := s.scripts[0]
	s.scripts = s.scripts[1:]
	near, far := net.Pipe()
	s.running.Go(func() {
		defer far.Close()
		script(&Peer{t: s.t, conn: far})
	})
	return near, nil
}

// Wait waits until every script has returned.
func (s *Scripted) Wait() { s.running.Wait() }

// Peer is the broker's side of one connection.
type Peer struct {
	t    testing.TB
	conn net.Conn
}

// Read gives the next packet; nil when the client has gone.
func (p *Peer) Read() packets.ControlPacket {
	pk, err := packets.ReadPacket(p.conn)
	if err != nil {
		return nil
	}
	return pk
}

// Write sends raw bytes; an error only means that the client has gone.
func (p *Peer) Write(b []byte) { _, _ = p.conn.Write(b) }

// Accept answers CONNECT with success.
func (p *Peer) Accept() *packets.ConnectPacket {
	c, ok := p.Read().(*packets.ConnectPacket)
	if !ok {
		p.t.Error("the first packet is not CONNECT")
		return nil
	}
	p.send(packets.NewControlPacket(packets.Connack))
	return c
}

// Welcome answers CONNECT, SUBSCRIBE and the status, as an honest broker does.
func (p *Peer) Welcome() {
	p.Accept()
	for {
		switch pk := p.Read().(type) {
		case *packets.SubscribePacket:
			codes := make([]byte, len(pk.Topics))
			for i := range codes {
				codes[i] = 1
			}
			p.Suback(pk, codes...)
		case *packets.PublishPacket:
			p.Puback(pk.MessageID)
			return
		case nil:
			return
		}
	}
}

// Suback answers a subscription with one code per topic.
func (p *Peer) Suback(s *packets.SubscribePacket, codes ...byte) {
	a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	a.MessageID, a.ReturnCodes = s.MessageID, codes
	p.send(a)
}

// Puback acknowledges a publish.
func (p *Peer) Puback(id uint16) {
	a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	a.MessageID = id
	p.send(a)
}

// Publish sends a message at QoS 1.
func (p *Peer) Publish(topic string, id uint16, payload []byte) {
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.Qos, m.TopicName, m.MessageID, m.Payload = 1, topic, id, payload
	p.send(m)
}

func (p *Peer) send(pk packets.ControlPacket) { _ = pk.Write(p.conn) }
