package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"boothd/devices/gpio/chipwire"
)

// ServeChip serves a chip at a unix socket (0600) until ctx ends or Break. A
// socket that nobody serves any more is replaced. Path and ".new" must fit
// into the 107 bytes of a socket's address.
func ServeChip(ctx context.Context, path string, lines []ChipLine) (*Chip, error) {
	c := NewChip(lines...)
	c.path, c.broken = path, true
	if err := c.Mend(); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, c.Break)
	return c, nil
}

// Break makes the chip vanish as if it were unplugged: every driver is hung
// up on, every output falls to its resistor, the socket is gone. It is also
// how a chip ends.
func (c *Chip) Break() {
	c.mu.Lock()
	c.broken = true
	for _, l := range c.lines {
		if l.held != nil {
			c.release(l, Broke)
		}
	}
	for p := range c.peers {
		p.conn.Close()
	}
	if c.ln != nil {
		c.ln.Close()
		os.Remove(c.path) // a socket left behind refuses connections, which is as good
		c.ln = nil
	}
	c.mu.Unlock()
	c.serve.Wait()
}

// Mend brings a broken chip back, with its trace and at the same socket.
func (c *Chip) Mend() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.broken {
		return nil
	}
	if c.path != "" {
		ln, err := listen(c.path)
		if err != nil {
			return fmt.Errorf("serving a simulated chip at %s: %w", c.path, err)
		}
		c.ln = ln
		c.serve.Go(func() { c.accept(ln) })
	}
	c.broken = false
	return nil
}

// listen makes the socket under another name first, so that it is never there
// with wider permissions.
func listen(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, errors.New("somebody serves it already")
	}
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

func (c *Chip) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return // closed by Break; nothing else ends a unix socket
		}
		c.serve.Go(func() { c.Serve(conn) }) // a driver's fault is its own, and it is hung up on
	}
}

// peer is one connected driver.
type peer struct {
	conn net.Conn
	out  chan []byte // to its writer; the chip's mutex guards sending and closing
}

// send queues a message. A driver that does not read is hung up on, since a
// chip waits for nobody. The caller holds the chip's mutex.
func (p *peer) send(m chipwire.Message) {
	b, err := chipwire.Append(nil, m)
	if err != nil {
		p.conn.Close()
		return
	}
	select {
	case p.out <- b:
	default:
		p.conn.Close()
	}
}

// Serve is the chip on one connection, until that ends; it closes conn. A
// driver that breaks the wire's rules is an error, one that hangs up is not.
func (c *Chip) Serve(conn net.Conn) error {
	defer conn.Close()
	p := &peer{conn: conn, out: make(chan []byte, unsent)}
	c.mu.Lock()
	if c.broken || len(c.peers) >= peersMost {
		c.mu.Unlock()
		return errors.New("simulated chip: broken, or too many drivers")
	}
	c.peers[p] = struct{}{}
	p.send(chipwire.Message{Op: chipwire.Hello, Version: chipwire.Version, Stamp: c.now()})
	c.mu.Unlock()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for b := range p.out {
			if _, err := conn.Write(b); err != nil {
				conn.Close() // ends the reader below, and so out
			}
		}
	}()
	err := c.obey(p)
	c.leave(p)
	conn.Close() // or the writer waits for a driver that has stopped reading
	<-written
	for _, end := range []error{io.EOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET} {
		if errors.Is(err, end) {
			return nil
		}
	}
	return err
}

// leave takes back what a driver had, as the kernel does for a dead process.
func (c *Chip) leave(p *peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.peers, p)
	for _, l := range c.lines {
		if l.held != nil && l.held.peer == p {
			c.release(l, Died)
		}
	}
	close(p.out)
}

// obey answers a driver's requests until it hangs up.
func (c *Chip) obey(p *peer) error {
	r := chipwire.NewReader(p.conn)
	for {
		m, err := r.Read()
		if err != nil {
			return err
		}
		c.mu.Lock()
		a, err := c.answer(p, m)
		if err == nil {
			a.ID = m.ID
			p.send(a)
		}
		c.mu.Unlock()
		if err != nil {
			return fmt.Errorf("simulated chip: %w", err)
		}
	}
}

// answer does what a driver asks. The caller holds mu.
func (c *Chip) answer(p *peer, m chipwire.Message) (chipwire.Message, error) {
	if m.Op == chipwire.Claim {
		if c.broken {
			return chipwire.Message{}, net.ErrClosed
		}
		return c.claim(p, m), nil
	}
	l := c.lines[m.Line]
	mine := l != nil && l.held != nil && l.held.peer == p
	done := chipwire.Message{Op: chipwire.Done}
	switch m.Op {
	case chipwire.Level:
		if mine {
			level := l.level
			if !l.held.output {
				level = l.held.settled
			}
			done.Active = level != l.held.activeLow
		}
	case chipwire.Set:
		if mine = mine && l.held.output; mine {
			c.drive(l, m.Active)
		}
	case chipwire.Release:
		if mine {
			c.release(l, Released)
		}
	default:
		return done, fmt.Errorf("unknown request %q", m.Op)
	}
	if !mine {
		return chipwire.Message{Op: chipwire.Refused, Why: chipwire.Unasked}, nil
	}
	done.Stamp = c.now()
	return done, nil
}
