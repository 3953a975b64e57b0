package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// weather is what a line does to what goes over it.
type weather int

const (
	fair   weather = iota
	cut            // connections are reset, new ones as well
	silent         // nothing passes and nobody is told, as if packets were dropped
	crawl          // one byte a second each way
)

var errCut = errors.New("the line is cut")

// badLine is a stretch of network in front of a server: a listener on loopback
// whose connections go on to the server, as the weather lets them. While it is
// silent neither side learns what the other does, not even that it has ended;
// what was said meanwhile comes late, as TCP repeats what was dropped.
type badLine struct {
	addr   string // to be called in the server's place
	server string
	speak  dialect

	mu      sync.Mutex // the test changes what the connections ask
	now     weather
	changed chan struct{} // closed at a change
	legs    map[*leg]bool

	reset, held, crept atomic.Int64 // connections that were cut; waits in silence; bytes at one a second
}

// dialect is how bytes are carried between the two ends of a connection. Each
// way ends when an end does.
type dialect func(near, far net.Conn) (up, down func() error, err error)

// newLine opens a line.
func newLine(t *testing.T, server string, speak dialect) *badLine {
	t.Helper()
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &badLine{addr: in.Addr().String(), server: server, speak: speak, changed: make(chan struct{}), legs: make(map[*leg]bool)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := in.Accept()
			if err != nil {
				return
			}
			running.Go(func() { b.serve(&leg{Conn: c, line: b}) })
		}
	})
	t.Cleanup(func() {
		in.Close()
		b.become(cut)
		running.Wait()
	})
	return b
}

// become changes the weather.
func (b *badLine) become(w weather) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = w
	close(b.changed)
	b.changed = make(chan struct{})
	if w != cut {
		return
	}
	for l := range b.legs {
		l.abort()
		b.reset.Add(1)
	}
	b.legs = make(map[*leg]bool)
}

// serve is one connection, whole.
func (b *badLine) serve(l *leg) {
	b.mu.Lock()
	fine := b.now != cut
	b.legs[l] = fine
	b.mu.Unlock()
	defer func() {
		_, _ = b.pass(0) // in silence its end is not told either
		b.mu.Lock()
		delete(b.legs, l)
		b.mu.Unlock()
		l.abort()
	}()
	if !fine {
		return
	}
	far, err := net.Dial("tcp", b.server)
	if err != nil {
		return // nobody there: reset, as the server's own kernel would
	}
	defer far.Close()
	up, down, err := b.speak(l, far)
	if err != nil {
		return // both ends see for themselves
	}
	ended := make(chan error, 2)
	for _, way := range []func() error{up, down} {
		go func() { ended <- way() }()
	}
	<-ended
	_, _ = b.pass(0) // nor that the other end is gone
	l.abort()
	far.Close()
	<-ended
}

// pass waits until some of n bytes may pass, and tells how many.
func (b *badLine) pass(n int) (int, error) {
	for {
		b.mu.Lock()
		now, changed := b.now, b.changed
		b.mu.Unlock()
		switch now {
		case fair:
			return n, nil
		case cut:
			return 0, errCut
		case silent:
			b.held.Add(1)
			<-changed
		case crawl:
			select {
			case <-changed:
			case <-time.After(time.Second):
				b.crept.Add(int64(min(n, 1)))
				return min(n, 1), nil
			}
		}
	}
}

// leg is the caller's connection.
type leg struct {
	net.Conn
	line *badLine
	in   []byte // read, and not yet let through
	room [16 << 10]byte
}

// Read gives what the weather lets through.
func (l *leg) Read(p []byte) (int, error) {
	if len(l.in) == 0 {
		n, err := l.Conn.Read(l.room[:])
		if n == 0 {
			_, _ = l.line.pass(0)
			return 0, err
		}
		l.in = l.room[:n]
	}
	n, err := l.line.pass(min(len(p), len(l.in)))
	copy(p, l.in[:n])
	l.in = l.in[n:]
	return n, err
}

// Write sends what the weather lets through.
func (l *leg) Write(p []byte) (done int, err error) {
	for done < len(p) {
		n, err := l.line.pass(len(p) - done)
		if err == nil {
			n, err = l.Conn.Write(p[done : done+n])
		}
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// abort resets it.
func (l *leg) abort() {
	if c, ok := l.Conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // gone already, else
	}
	_ = l.Conn.Close() // likewise
}

// plain carries bytes as they are.
func plain(near, far net.Conn) (up, down func() error, err error) {
	carry := func(to, from net.Conn) func() error {
		return func() error {
			_, err := io.Copy(to, from)
			return err
		}
	}
	return carry(far, near), carry(near, far), nil
}
