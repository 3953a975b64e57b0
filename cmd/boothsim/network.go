package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// startBroker runs a broker on a free loopback port until close is called.
func startBroker() (addr string, close func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("starting broker: %w", err)
	}
	s := mqtt.New(&mqtt.Options{InlineClient: false, Logger: slog.New(slog.DiscardHandler)})
	if err := errors.Join(s.AddHook(new(door), nil), s.AddListener(listeners.NewNet("tcp", l))); err != nil {
		return "", nil, fmt.Errorf("starting broker: %w", err)
	}
	if err := s.Serve(); err != nil {
		return "", nil, fmt.Errorf("starting broker: %w", err)
	}
	return l.Addr().String(), s.Close, nil
}

// network is the line between booth and broker: it can be cut.
type network struct {
	addr string // what the booth dials
	to   string
	copy io.Writer // of every byte in either direction

	mu    sync.Mutex // the cutter and the connections
	down  bool
	conns map[net.Conn]bool
	all   sync.WaitGroup
	l     net.Listener
}

func newNetwork(to string, record io.Writer) (*network, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("laying a network: %w", err)
	}
	n := &network{addr: l.Addr().String(), to: to, copy: &whole{w: record}, conns: map[net.Conn]bool{}, l: l}
	n.all.Go(n.accept)
	return n, nil
}

// whole keeps the writes of two directions apart.
type whole struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *whole) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}

// cut takes the network down, or brings it back.
func (n *network) cut(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down = down; down {
		for c := range n.conns {
			_ = c.Close() // a cut line has no manners
		}
		clear(n.conns)
	}
}

func (n *network) close() {
	_ = n.l.Close()
	n.cut(true)
	n.all.Wait()
}

func (n *network) accept() {
	for {
		c, err := n.l.Accept()
		if err != nil {
			return
		}
		n.all.Go(func() { n.carry(c) })
	}
}

// keep notes a connection; false if the network is down.
func (n *network) keep(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		_ = c.Close()
		return false
	}
	n.conns[c] = true
	return true
}

func (n *network) carry(near net.Conn) {
	if !n.keep(near) {
		return
	}
	far, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", n.to)
	if err != nil || !n.keep(far) {
		_ = near.Close()
		return
	}
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(io.MultiWriter(pair[0], n.copy), pair[1]) // ends with either side
			_ = pair[0].Close()
			_ = pair[1].Close()
		})
	}
	both.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, near)
	delete(n.conns, far)
}
