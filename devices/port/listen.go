package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Limits of a port that a device connects to; ours.
const (
	// strangerPause is how long the door stays shut after somebody else has
	// knocked, so that knocking costs him more than us.
	strangerPause = 10 * time.Millisecond
	// A device that has lost power says nothing: it is known by probes that go
	// unanswered, after 20 s.
	callIdle, callEvery, callTries = 5 * time.Second, 5 * time.Second, 3
)

// listen waits until the device at from has connected to this box at addr. There
// is one connection: a device that connects again has lost the one before, which
// may look alive for long. Whoever else connects is let go at once and unheard.
func listen(ctx context.Context, addr, from string) (Port, error) {
	failed := func(err error) error { return fmt.Errorf("listening at tcp://%s for %s: %w", addr, from, err) }
	peer, err := netip.ParseAddr(from)
	if err != nil {
		return nil, failed(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, ctx.Err()
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, failed(fmt.Errorf("%w: %w", ErrBusy, err))
	case errors.Is(err, syscall.EADDRNOTAVAIL): // its network is not up
		return nil, failed(fmt.Errorf("%w: %w", ErrGone, err))
	case err != nil:
		return nil, failed(err)
	}
	c := &call{ln: ln, from: peer.Unmap().WithZone(""), calls: make(chan net.Conn, 1)}
	c.answering.Go(c.answer)
	select {
	case now, ok := <-c.calls:
		if !ok {
			return nil, errors.Join(failed(ErrGone), c.Close())
		}
		c.now = &socket{now}
		return c, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), c.Close())
	}
}

// call is the connection that a device has made to this box, or its next one.
type call struct {
	ln        net.Listener
	from      netip.Addr
	calls     chan net.Conn // holds one: the newest; closed when nobody can call any more
	answering sync.WaitGroup

	mu     sync.Mutex // Close comes from any goroutine while Read changes now
	now    *socket
	closed bool
}

// answer lets the device in, and nobody else, until the listener is closed.
func (c *call) answer() {
	defer close(c.calls)
	for {
		conn, err := c.ln.Accept()
		if err != nil {
			return
		}
		if at, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err != nil || at.Addr().Unmap().WithZone("") != c.from {
			_ = conn.Close() // it was not let in
			time.Sleep(strangerPause)
			continue
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: callIdle, Interval: callEvery, Count: callTries}) // the kernel's own will do
		}
		select {
		case old := <-c.calls:
			_ = old.Close() // it called again before anybody had looked
		default:
		}
		c.calls <- conn
	}
}

// next takes the connection that the device has made since; nil: none.
func (c *call) next() *socket {
	select {
	case conn, ok := <-c.calls:
		if !ok {
			return nil
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = c.now.Close() // the device has given it up
		if c.now = (&socket{conn}); c.closed {
			_ = c.now.Close() // likewise
		}
		return c.now
	default:
		return nil
	}
}

func (c *call) socket() *socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Read reads from the newest connection.
func (c *call) Read(p []byte) (int, error) {
	s := c.next()
	if s == nil {
		s = c.socket()
	}
	n, err := s.Read(p)
	if err != nil && !errors.Is(err, net.ErrClosed) && c.next() != nil {
		return n, nil // it has called again already
	}
	return n, err
}

// Write writes to it.
func (c *call) Write(p []byte) (int, error) { return c.socket().Write(p) }

// SetBaud does nothing.
func (c *call) SetBaud(int) error { return nil }

// Close gives up the listener and the connection.
func (c *call) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	err := c.ln.Close()
	if c.now != nil {
		err = errors.Join(err, c.now.Close())
	}
	c.mu.Unlock()
	c.answering.Wait()
	for conn := range c.calls {
		_ = conn.Close() // nobody has looked at it
	}
	if errors.Is(err, net.ErrClosed) { // it had ended by itself
		return nil
	}
	return err
}
