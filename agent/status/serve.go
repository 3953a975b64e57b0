package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits of the server.
const (
	// maxConns keeps the page far from the 1,023 file descriptors above which
	// the serial library panics; 16 viewers and some tools need no more.
	maxConns    = 64
	headerLimit = 5 * time.Second
	idleLimit   = 30 * time.Second
	maxHeader   = 8 << 10 // bytes
	// closeLimit is what answers in flight get when the daemon stops.
	closeLimit = 300 * time.Millisecond
	// socketMode lets the boothd group in, and nobody else.
	socketMode = 0o660
)

// ErrExposed refuses an address that other machines could reach.
var ErrExposed = errors.New("not a loopback address or unix socket")

// Serve answers on address until ctx ends, and then within a second: all its
// goroutines have ended when it returns. The address is a loopback IP and port
// such as "127.0.0.1:7080", or "unix:" and a path; anything else is ErrExposed.
// A socket left by a dead process is replaced, one in use is an error. The
// error is nil if ctx ended it.
func (b *Board) Serve(ctx context.Context, address string) error {
	return Serve(ctx, b.log, address, b.Handler())
}

// Serve answers by h as Board.Serve does by the board: for a socket that offers
// more than the page.
func Serve(ctx context.Context, log *slog.Logger, address string, h http.Handler) error {
	l, err := listen(ctx, address)
	if err == nil {
		err = serve(ctx, log, l, h)
	}
	if err != nil {
		return fmt.Errorf("serving %s: %w", address, err)
	}
	return nil
}

func serve(ctx context.Context, log *slog.Logger, l net.Listener, h http.Handler) error {
	var conns sync.WaitGroup
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerLimit,
		ReadTimeout:       headerLimit,
		WriteTimeout:      2 * headerLimit, // the event stream sets its own, message by message
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew: // said by srv.Serve, so before it returns
				conns.Add(1)
			case http.StateClosed: // said by the connection's goroutine, last
				conns.Done()
			}
		},
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close() // the listener is closed already; connections have no error worth telling
		}
	})
	err := srv.Serve(newBounded(l))
	if stop() { // the listener failed by itself
		_ = srv.Close()
	} else {
		<-stopped
		err = nil
	}
	conns.Wait()
	return err
}

// listen opens the address, if no other machine can reach it.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenUnix(ctx, &lc, path)
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return nil, ErrExposed
	}
	return lc.Listen(ctx, "tcp", address)
}

func listenUnix(ctx context.Context, lc *net.ListenConfig, path string) (net.Listener, error) {
	l, err := lc.Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeDead(ctx, path); err != nil {
			return nil, err
		}
		l, err = lc.Listen(ctx, "unix", path)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeDead removes a socket that nobody answers at: what a killed daemon left.
func removeDead(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is not a socket", path)
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("%s is served by another process", path), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// bounded is a listener with a limit of open connections; the others wait in
// the kernel's queue.
type bounded struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newBounded(l net.Listener) *bounded {
	return &bounded{Listener: l, places: make(chan struct{}, maxConns), closed: make(chan struct{})}
}

// Accept waits for a place and then for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.places <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.places
		return nil, err
	}
	return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { <-b.places })}, nil
}

// Close closes the listener; connections stay.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close closes the connection and gives its place back.
func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
