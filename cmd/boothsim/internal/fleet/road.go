package fleet

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errClosed is what a booth hears when its line is closed.
var errClosed = errors.New("network is unreachable")

// road is one booth's way to the broker: real TCP connections whose bytes can
// be made to vanish on this side of the kernel. A proxy of its own for each
// booth would do the same for three more descriptors, and thousands of booths
// have none to spare.
//
// A connection that has lost bytes is never mended, as a stream with a hole in
// it would be another fault; when the road is well again it is reset.
type road struct {
	up, down, lost *atomic.Int64 // bytes of the whole fleet

	mu    sync.Mutex // the plan, and the client's goroutines
	state Kind       // "" while all is well
	conns map[*lane]bool
}

func newRoad(up, down, lost *atomic.Int64) *road {
	return &road{up: up, down: down, lost: lost, conns: make(map[*lane]bool)}
}

// dial connects to the broker, unless the road is closed. While bytes vanish
// the connection is made, and nothing comes of it.
func (r *road) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if r.is(Closed) {
		return nil, errClosed
	}
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == Closed {
		_ = c.Close()
		return nil, errClosed
	}
	l := &lane{Conn: c, road: r}
	r.conns[l] = true
	return l, nil
}

func (r *road) is(k Kind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state == k
}

// become changes what the road does; "" is well. Whatever was on its way over
// the old road is cut, unless bytes begin to vanish: then nobody is told.
func (r *road) become(state Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = state
	if state == HalfOpen || state == Deaf {
		return
	}
	for l := range r.conns {
		_ = l.Conn.Close()
	}
	clear(r.conns)
}

// swallows tells whether bytes vanish now in this direction.
func (r *road) swallows(upwards bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state == HalfOpen || r.state == Deaf && !upwards
}

// lane is one connection on a road.
type lane struct {
	net.Conn
	road *road
	left atomic.Bool // its owner has closed it
}

// Read gives what came down, or waits on while it vanishes.
func (l *lane) Read(b []byte) (int, error) {
	for {
		n, err := l.Conn.Read(b)
		if n > 0 && err == nil && l.road.swallows(false) {
			l.road.lost.Add(int64(n))
			continue
		}
		l.road.down.Add(int64(n))
		return n, l.reset(err)
	}
}

// Write sends, or pretends to.
func (l *lane) Write(b []byte) (int, error) {
	if l.road.swallows(true) {
		l.road.lost.Add(int64(len(b)))
		return len(b), nil
	}
	n, err := l.Conn.Write(b)
	l.road.up.Add(int64(n))
	return n, l.reset(err)
}

// reset gives the error that a far end would have caused. The client library
// takes "use of closed network connection" for its own doing and says nothing.
func (l *lane) reset(err error) error {
	if errors.Is(err, net.ErrClosed) && !l.left.Load() {
		return syscall.ECONNRESET
	}
	return err
}

// Close ends the connection. While bytes vanish its last ones vanish too: the
// broker goes on to believe in it until the road is well again.
func (l *lane) Close() error {
	l.left.Store(true)
	l.road.mu.Lock()
	defer l.road.mu.Unlock()
	if l.road.conns[l] && (l.road.state == HalfOpen || l.road.state == Deaf) {
		return l.Conn.SetDeadline(time.Unix(1, 0)) // whoever reads or writes is let go
	}
	delete(l.road.conns, l)
	return l.Conn.Close()
}
