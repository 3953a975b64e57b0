package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// meddler stands in the middle of MQTT connections, as whoever each end says it
// is, and repeats and reorders what is published at QoS 1, both ways. Nothing
// is lost here, and no end hears two PUBACKs for one PUBLISH.
type meddler struct {
	server *tls.Config
	as     map[string]*tls.Config // how to call the broker for each name

	seen, doubled, overtaken atomic.Int64
}

// Every so many PUBLISHes one goes twice, or waits for others to overtake it.
const (
	doubleEvery = 7
	holdEvery   = 5
	heldMost    = 4
	heldFor     = 20 * time.Millisecond
)

// speak is the dialect of the line.
func (m *meddler) speak(near, far net.Conn) (up, down func() error, err error) {
	caller := tls.Server(near, m.server)
	if err := caller.Handshake(); err != nil {
		return nil, nil, err
	}
	name := caller.ConnectionState().PeerCertificates[0].Subject.CommonName
	cfg := m.as[name]
	if cfg == nil {
		return nil, nil, fmt.Errorf("nobody knows %s", name)
	}
	cfg = cfg.Clone()
	cfg.ServerName = "127.0.0.1"
	broker := tls.Client(far, cfg)
	if err := errors.Join(far.SetDeadline(time.Now().Add(time.Minute)), broker.Handshake(), far.SetDeadline(time.Time{})); err != nil {
		return nil, nil, err
	}
	var sent, got copies
	return func() error { return m.carry(broker, caller, &sent, &got) }, func() error { return m.carry(caller, broker, &got, &sent) }, nil
}

// copies counts what went twice one way, by packet id, until its first PUBACK
// comes the other way.
type copies struct {
	mu  sync.Mutex // both ways
	ids map[uint16]int
}

func (c *copies) add(id uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil {
		c.ids = make(map[uint16]int)
	}
	c.ids[id]++
}

// swallow tells whether a PUBACK is one too many.
func (c *copies) swallow(id uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids[id] == 0 {
		return false
	}
	c.ids[id]--
	return true
}

// carry carries packets one way. own are the copies it sends, back those whose
// PUBACKs it meets.
func (m *meddler) carry(to io.Writer, from io.Reader, own, back *copies) error {
	in, end := make(chan []byte), make(chan error, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		r := bufio.NewReader(from)
		for {
			p, err := readPacket(r)
			if err != nil {
				end <- err
				return
			}
			select {
			case in <- p:
			case <-done:
				return
			}
		}
	}()
	var held [][]byte
	flush := func() (err error) { // the last first
		for len(held) > 0 && err == nil {
			_, err = to.Write(held[len(held)-1])
			held = held[:len(held)-1]
		}
		return err
	}
	tick := time.NewTicker(heldFor)
	defer tick.Stop()
	for {
		select {
		case err := <-end:
			return errors.Join(flush(), err)
		case <-tick.C:
			if err := flush(); err != nil {
				return err
			}
			continue
		case p := <-in:
			now, later := m.judge(p, own, back)
			if !published(p) && p[0]>>4 != puback { // nothing waits behind what is not a PUBLISH
				if err := flush(); err != nil {
					return err
				}
			}
			if now != nil {
				if _, err := to.Write(now); err != nil {
					return err
				}
				if published(p) {
					m.overtaken.Add(int64(len(held)))
				}
			}
			if later != nil {
				held = append(held, later)
			}
			if len(held) == heldMost {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
}

// judge says what goes now and what goes later of a packet.
func (m *meddler) judge(p []byte, own, back *copies) (now, later []byte) {
	switch {
	case p[0]>>4 == puback && back.swallow(packetID(p)):
		return nil, nil
	case !published(p):
		return p, nil
	}
	switch n := m.seen.Add(1); {
	case n%doubleEvery == 0:
		own.add(packetID(p))
		m.doubled.Add(1)
		again := append([]byte{p[0] | 0x08}, p[1:]...) // DUP
		return p, again
	case n%holdEvery == 0:
		return nil, p
	}
	return p, nil
}

const puback = 4

// published tells a PUBLISH at QoS 1.
func published(p []byte) bool { return p[0]>>4 == 3 && p[0]>>1&3 == 1 }

// packetID is that of a PUBLISH at QoS 1, or of a PUBACK.
func packetID(p []byte) uint16 {
	_, n := binary.Uvarint(p[1:])
	body := p[1+n:]
	if p[0]>>4 == puback {
		return binary.BigEndian.Uint16(body)
	}
	return binary.BigEndian.Uint16(body[2+binary.BigEndian.Uint16(body):])
}

// readPacket reads one packet, whole.
func readPacket(r *bufio.Reader) ([]byte, error) {
	first, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if size > 1<<20 {
		return nil, fmt.Errorf("a packet of %d bytes", size)
	}
	p := binary.AppendUvarint([]byte{first}, size)
	head := len(p)
	p = append(p, make([]byte, size)...)
	_, err = io.ReadFull(r, p[head:])
	return p, err
}
