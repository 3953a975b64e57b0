// Package port opens the serial lines and TCP ports that devices speak on. It
// is the only place that knows the serial library and its traps.
//
// A Read that meets silence returns 0, nil after 100 ms. A line that went away
// is ErrGone within a second, whoever noticed it. A port that another process
// holds is ErrBusy, with its name. A Write that does not get through in time
// is ErrStuck and the port is of no more use: close it and open again.
//
// Source: GPIO, relays and serial ports, "Serial ports with go.bug.st/serial";
// device protocols, rules of every serial driver.
package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.bug.st/serial"
)

// Limits of a port.
const (
	readWait  = 100 * time.Millisecond // silence after which Read returns; shorter ones cost CPU (measured: 4x at 1 ms)
	writeWait = time.Second            // a 262-byte frame takes 0.28 s at 9600 baud
	dialWait  = 2 * time.Second        // the kernel calls again after 1 s; so that one that is back is back within 3 s
	lookEvery = 500 * time.Millisecond // how often a silent port's node is looked for
	// fdMost: the serial library selects with a set of 1024 and panics above.
	fdMost = 1000
)

// The ways a port fails.
var (
	ErrGone  = errors.New("line gone")
	ErrBusy  = errors.New("port in use")
	ErrStuck = errors.New("write does not get through")
)

// Spec says which port and how.
type Spec struct {
	Path    string // device file, by a stable name, or "tcp://host:port"
	From    string // the device connects to this box at Path, a tcp:// of its own, from this address alone; "": this box connects to it
	Baud    int    // 8N1; ignored for TCP
	LockDir string // where lock files are kept; empty: none
}

// Port is an open line. Read and Write belong to one goroutine each; Close may
// come from any.
type Port interface {
	io.ReadWriteCloser
	// SetBaud changes the speed, 8N1. It does nothing on TCP.
	SetBaud(baud int) error
}

// Open opens the port. It is exclusive: by the kernel's flag, which root
// ignores, and by a lock file, which root does not. Where the device connects, it
// waits for that until ctx ends.
func Open(ctx context.Context, s Spec) (Port, error) {
	if addr, ok := strings.CutPrefix(s.Path, "tcp://"); ok {
		if s.From != "" {
			return listen(ctx, addr, s.From)
		}
		return dial(ctx, addr)
	}
	if s.From != "" {
		return nil, fmt.Errorf("opening %s: nobody connects to a device file", s.Path)
	}
	lock, err := lockFor(s)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", s.Path, err)
	}
	if err := fdsLeft(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("opening %s: %w", s.Path, err)
	}
	sp, err := serial.Open(s.Path, &serial.Mode{BaudRate: s.Baud})
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("opening %s: %w", s.Path, explain(s.Path, err))
	}
	if err := sp.SetReadTimeout(readWait); err != nil {
		sp.Close()
		lock.Close()
		return nil, fmt.Errorf("opening %s: %w", s.Path, err)
	}
	l := &line{sp: sp, path: s.Path, lock: lock, out: make(chan []byte), sent: make(chan error, 1), done: make(chan struct{})}
	go l.writer()
	return l, nil
}

// explain turns the library's errors into ours.
func explain(path string, err error) error {
	var pe *serial.PortError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("%w: %w", ErrGone, err)
	case errors.As(err, &pe) && pe.Code() == serial.PortBusy, errors.Is(err, syscall.EBUSY):
		return busy(path)
	}
	return err
}

// line is a serial port.
type line struct {
	sp     serial.Port
	path   string
	lock   *os.File
	closed atomic.Bool // the library gives one error for our Close and for an unplug
	broken atomic.Bool // a write was given up
	out    chan []byte
	sent   chan error
	done   chan struct{}
	looked time.Time // owned by the reader
}

func (l *line) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // the library takes an empty buffer for a closed port
	}
	n, err := l.sp.Read(p)
	switch {
	case l.closed.Load():
		return 0, net.ErrClosed
	case l.broken.Load():
		return 0, fmt.Errorf("reading %s: %w", l.path, ErrStuck)
	case err != nil:
		return max(n, 0), fmt.Errorf("reading %s: %w", l.path, gone(err))
	case n == 0 && time.Since(l.looked) >= lookEvery:
		l.looked = time.Now()
		if _, err := os.Stat(l.path); errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("reading %s: %w: no such device", l.path, ErrGone)
		}
	}
	return n, nil
}

// gone marks the errors that mean an unplugged line.
func gone(err error) error {
	var pe *serial.PortError
	if errors.As(err, &pe) && pe.Code() == serial.PortClosed || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.EBADF) {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}

// Write hands all of p to the line, at most writeWait. The library's Write has
// no deadline and is not released by Close, so it runs in a goroutine of its
// own that is left behind if it hangs, until the kernel lets it go.
func (l *line) Write(p []byte) (int, error) {
	if l.closed.Load() {
		return 0, net.ErrClosed
	}
	t := time.NewTimer(writeWait)
	defer t.Stop()
	select {
	case l.out <- append([]byte(nil), p...):
	case <-t.C:
		l.broken.Store(true)
		return 0, fmt.Errorf("writing %s: %w", l.path, ErrStuck)
	case <-l.done:
		return 0, net.ErrClosed
	}
	select {
	case err := <-l.sent:
		if err != nil {
			return 0, fmt.Errorf("writing %s: %w", l.path, gone(err))
		}
		return len(p), nil
	case <-t.C:
		l.broken.Store(true)
		return 0, fmt.Errorf("writing %s: %w", l.path, ErrStuck)
	}
}

// writer is the one goroutine that writes to the line.
func (l *line) writer() {
	for {
		select {
		case <-l.done:
			return
		case p := <-l.out:
			var err error
			for len(p) > 0 && err == nil {
				var n int
				if n, err = l.sp.Write(p); n <= 0 && err == nil {
					err = io.ErrShortWrite
				}
				p = p[max(n, 0):]
			}
			l.sent <- err // holds one; a Write that gave up never asks again
			if l.broken.Load() {
				return
			}
		}
	}
}

func (l *line) SetBaud(baud int) error {
	if err := l.sp.SetMode(&serial.Mode{BaudRate: baud}); err != nil {
		return fmt.Errorf("setting %s to %d baud: %w", l.path, baud, gone(err))
	}
	return nil
}

func (l *line) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	close(l.done)
	err := l.sp.Close()
	l.lock.Close() // gives up the lock
	return err
}

// lockFor takes the lock file of a device node, whatever name it came by.
func lockFor(s Spec) (*os.File, error) {
	if s.LockDir == "" {
		return os.Open(os.DevNull)
	}
	node, err := filepath.EvalSymlinks(s.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	name := filepath.Join(s.LockDir, "port"+strings.ReplaceAll(node, "/", "-")+".lock")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, busy(s.Path)
	}
	return f, nil
}

// fdsLeft refuses early what would make the serial library panic.
func fdsLeft() error {
	f, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Fd() >= fdMost {
		return fmt.Errorf("too many open files (%d)", f.Fd())
	}
	return nil
}

// busy names the process that holds the port, if it can be seen.
func busy(path string) error {
	node, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ErrBusy
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ErrBusy
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == node {
			pid := strings.Split(fd, "/")[2]
			name, err := os.ReadFile("/proc/" + pid + "/comm")
			if err != nil {
				continue
			}
			return fmt.Errorf("%w: %s (pid %s) holds it", ErrBusy, strings.TrimSpace(string(name)), pid)
		}
	}
	return ErrBusy
}

// dial opens a TCP port with the manners of a serial one.
func dial(ctx context.Context, addr string) (Port, error) {
	d := net.Dialer{Timeout: dialWait, KeepAlive: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("opening tcp://%s: %w: %w", addr, ErrGone, err)
	}
	return &socket{c}, nil
}

type socket struct{ net.Conn }

func (s *socket) Read(p []byte) (int, error) {
	if err := s.SetReadDeadline(time.Now().Add(readWait)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Read(p)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, nil
	case errors.Is(err, net.ErrClosed):
		return n, net.ErrClosed
	case err != nil:
		return n, fmt.Errorf("reading tcp://%s: %w: %w", s.RemoteAddr(), ErrGone, err)
	}
	return n, nil
}

func (s *socket) Write(p []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrStuck
	}
	return n, err
}

func (s *socket) SetBaud(int) error { return nil }
