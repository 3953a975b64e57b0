package line

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	gatherMost  = 32 << 10 // bytes of one write, and one packet more
	packetsMost = 64       // that wait for the write before
	// yieldMost is how often in a row the processor is given away for packets that
	// do not come: a microsecond or two beside a write of ten.
	yieldMost = 2
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
	packets chan []byte
	once    sync.Once
	closed  chan struct{}
	ended   chan struct{} // nothing more is written
	err     error         // why; set before ended is closed
}

// errParted is the end in order. The client is silent about net.ErrClosed.
var errParted = fmt.Errorf("behind DISCONNECT: %w", net.ErrClosed)

func newGatheringConn(c net.Conn) *gatheringConn {
	g := &gatheringConn{Conn: c, packets: make(chan []byte, packetsMost), closed: make(chan struct{}), ended: make(chan struct{})}
	go g.run()
	return g
}

// Write may be called from several goroutines: pings have one of their own.
func (g *gatheringConn) Write(p []byte) (int, error) {
	select {
	case <-g.ended: // also when there is room
		return 0, g.err
	default:
	}
	select {
	case <-g.ended:
		return 0, g.err
	case g.packets <- bytes.Clone(p):
	}
	if last(p) {
		if <-g.ended; g.err != errParted {
			return 0, g.err
		}
	}
	return len(p), nil
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
	g.err = g.writeAll()
	close(g.ended)
	if !errors.Is(g.err, net.ErrClosed) {
		g.Conn.Close() // Read tells
	}
}

// writeAll returns errParted when all is said.
func (g *gatheringConn) writeAll() error {
	var b []byte
	for done := false; !done; {
		select {
		case p := <-g.packets:
			b, done = g.gather(append(b[:0], p...), last(p))
		case <-g.closed:
			return net.ErrClosed
		}
		if err := g.write(b); err != nil {
			return err
		}
	}
	return errParted
}

// gather adds the packets that are there and those that come while others run,
// up to the last one.
func (g *gatheringConn) gather(b []byte, done bool) ([]byte, bool) {
	for yielded := 0; len(b) < gatherMost && yielded <= yieldMost && !done; {
		select {
		case p := <-g.packets:
			b, yielded, done = append(b, p...), 0, last(p)
		default:
			yielded++
			runtime.Gosched()
		}
	}
	return b, done
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
