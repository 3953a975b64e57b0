package line

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	gatherMost = 32 << 10 // bytes that wait, and one packet more
	// yields is how often the processor is given away for packets that come at
	// once: a microsecond or two beside a write of ten.
	yields = 2
)

// gatheringConn writes at once what is written within one turn of the processor.
// The client has one system call for each packet, which costs more than all else
// it does with it. Nothing waits for a time to pass.
//
// Write takes a whole packet and returns; what the network has to say of it
// comes with the next Write and with Read. DISCONNECT is the last packet, and is
// out when its Write returns. Close drops what is not out.
type gatheringConn struct {
	net.Conn
	mu      sync.Mutex
	taken   *sync.Cond // what waited, or the end has come
	waits   []byte     // whole packets
	parting bool       // DISCONNECT is the last of them
	over    bool       // ended is closed
	fresh   chan struct{}
	once    sync.Once
	closed  chan struct{}
	ended   chan struct{} // nothing more is written
	err     error         // why; set before ended is closed
}

// errParted is the end in order. The client is silent about net.ErrClosed.
var errParted = fmt.Errorf("behind DISCONNECT: %w", net.ErrClosed)

func newGatheringConn(c net.Conn) *gatheringConn {
	g := &gatheringConn{Conn: c, fresh: make(chan struct{}, 1), closed: make(chan struct{}), ended: make(chan struct{})}
	g.taken = sync.NewCond(&g.mu)
	go g.run()
	return g
}

// Write may be called from several goroutines: pings have one of their own.
func (g *gatheringConn) Write(p []byte) (int, error) {
	if !g.add(p) {
		return 0, g.err
	}
	select {
	case g.fresh <- struct{}{}:
	default:
	}
	if last(p) {
		if <-g.ended; g.err != errParted {
			return 0, g.err
		}
	}
	return len(p), nil
}

// add waits for room, and behind DISCONNECT for the end; not ok: nothing is written
// any more.
func (g *gatheringConn) add(p []byte) (ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for (len(g.waits) >= gatherMost || g.parting) && !g.over {
		g.taken.Wait()
	}
	if g.over {
		return false
	}
	g.waits, g.parting = append(g.waits, p...), last(p)
	return true
}

// Read ends with what ended the writing, if that came first.
func (g *gatheringConn) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if err != nil {
		select {
		case <-g.ended:
			err = g.err
		default:
		}
	}
	return n, err
}

// SetDeadline sets that of reading. Each write has its own.
func (g *gatheringConn) SetDeadline(t time.Time) error { return g.SetReadDeadline(t) }

// SetWriteDeadline does nothing, see SetDeadline.
func (g *gatheringConn) SetWriteDeadline(time.Time) error { return nil }

// Close closes the connection.
func (g *gatheringConn) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Conn.Close()
}

// run alone writes to the connection, until that fails or all is said.
func (g *gatheringConn) run() {
	err := g.writeAll()
	g.mu.Lock()
	g.err, g.over = err, true
	g.mu.Unlock()
	g.taken.Broadcast()
	close(g.ended)
	if !errors.Is(err, net.ErrClosed) {
		g.Conn.Close() // Read tells
	}
}

// writeAll returns errParted when all is said.
func (g *gatheringConn) writeAll() error {
	var b []byte
	for parting := false; !parting; {
		select {
		case <-g.fresh:
		case <-g.closed:
			return net.ErrClosed
		}
		for range yields {
			runtime.Gosched() // packets that come at once go at once
		}
		b, parting = g.take(b)
		if len(b) == 0 {
			continue
		}
		if err := g.write(b); err != nil {
			return err
		}
	}
	return errParted
}

// take gives what waits, in exchange for room.
func (g *gatheringConn) take(room []byte) (b []byte, parting bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, g.waits = g.waits, room[:0]
	g.taken.Broadcast()
	return b, g.parting
}

// last tells whether a packet is a DISCONNECT.
func last(p []byte) bool { return len(p) > 0 && p[0]>>4 == packets.Disconnect }

// write has a deadline. Between writes there is none, because TLS may have
// something to say by itself.
func (g *gatheringConn) write(b []byte) error {
	if err := g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := g.Conn.Write(b); err != nil {
		return err
	}
	return g.Conn.SetWriteDeadline(time.Time{})
}
