// Package devicestest is the contract that every driver of a reader keeps,
// whatever its protocol: whole reports are read in whatever pieces they come,
// damaged ones are not, and after any noise the next whole one is read again.
// It runs in virtual time on a pipe; the plug is pulled on a pty.
package devicestest

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
)

// Reader is a driver at work.
type Reader interface {
	io.Closer
	Reads(ctx context.Context) iter.Seq2[devices.Read, error]
	Counters() devices.Counters
}

// Wire is a line as a port gives it: Read returns 0, nil after 100 ms of
// silence.
type Wire interface {
	io.ReadWriteCloser
	SetBaud(baud int) error
}

// pipe is a wire in memory. It takes every speed.
type pipe struct{ net.Conn }

func (p pipe) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, err
}

func (pipe) SetBaud(int) error { return nil }

// Device is what the contract needs to know of a driver.
type Device struct {
	// Open opens the driver.
	Open func(ctx context.Context, w Wire) (Reader, error)
	// Play plays the device's side until the wire ends and gives a function
	// that writes bytes as the device would; nil: the far end is written to as
	// it is.
	Play func(far io.ReadWriter) (say func([]byte) error)
	// Restarted plays it from a loss of power on; nil: as Play.
	Restarted func(far io.ReadWriter) (say func([]byte) error)
	// Frame is report n, whole; numbers up to 999 give different reports.
	Frame func(n int) []byte
	// Is tells whether a read is that of report n.
	Is func(r devices.Read, n int) bool
	// Weak says that the protocol has no check: a flipped bit may read as
	// another report, and only what is cut off is sure to be seen.
	Weak bool
	// Pause is how long a line must be silent before a report that was cut off
	// is given up.
	Pause time.Duration
	// Posted says that what is said goes another way than the wire: over the
	// network.
	Posted bool
	// Spare is how many bytes at its end a report can do without: silence ends
	// it as well.
	Spare int
	// Linger is how long what the driver stands on needs after Close until its
	// goroutines have ended, in virtual time.
	Linger time.Duration
	// Offline is how long after a device has fallen silent its driver has ended; 0:
	// there is no way to tell a silent device from one that has nothing to say.
	Offline time.Duration
	// Ready tells whether the device that was played last has been set up; nil: it
	// needs no set-up.
	Ready func() bool
	// Dialled says that the driver is on the network: each life is another
	// connection, and the device at its end begins anew.
	Dialled bool
	// Replugs is how often the plug is pulled; 0: a hundred times, which is for
	// those that start at once.
	Replugs int
}

// Run runs the whole contract.
func Run(t *testing.T, d Device) {
	t.Run("whole", func(t *testing.T) {
		d.play(t, func(s *session) { s.say(d.Frame(1)); s.want(1) })
	})
	t.Run("byte by byte", func(t *testing.T) {
		d.play(t, func(s *session) {
			for _, b := range d.Frame(2) {
				s.say([]byte{b})
			}
			s.want(2)
		})
	})
	t.Run("glued", func(t *testing.T) {
		d.play(t, func(s *session) { s.say(slices.Concat(d.Frame(3), d.Frame(4), d.Frame(5))); s.want(3, 4, 5) })
	})
	t.Run("cut at every byte", func(t *testing.T) {
		for cut := 1; cut < len(d.Frame(6))-d.Spare; cut++ {
			d.play(t, func(s *session) {
				s.say(d.Frame(6)[:cut])
				s.pause()
				s.say(d.Frame(7))
				s.want(7)
			})
		}
	})
	t.Run("noise", func(t *testing.T) {
		dice := rand.New(rand.NewPCG(1, 2))
		d.play(t, func(s *session) {
			for range 20 {
				b := make([]byte, 1+dice.IntN(300))
				for i := range b {
					b[i] = byte(dice.Uint32())
				}
				s.say(b)
			}
			s.pause()
			s.forget() // a protocol without a check may have read something
			s.say(d.Frame(8))
			s.want(8)
		})
	})
	t.Run("every bit flipped", func(t *testing.T) {
		if d.Weak {
			return // nothing in the protocol could tell
		}
		d.play(t, func(s *session) {
			for i := range 8 * len(d.Frame(9)) {
				b := slices.Clone(d.Frame(9))
				b[i/8] ^= 1 << (i % 8)
				s.say(b)
				s.pause()
			}
			for _, r := range s.reads { // a bit that means nothing may be any
				if !nobody(r) && !d.Is(r, 9) {
					t.Errorf("a flipped bit read as %+v", r)
				}
			}
			s.forget()
			s.say(d.Frame(10))
			s.want(10)
		})
	})
	t.Run("flood", func(t *testing.T) {
		d.play(t, func(s *session) {
			var want []int
			for n := range 500 {
				s.say(d.Frame(n))
				want = append(want, n)
			}
			s.want(want...)
		})
	})
	t.Run("cancel", func(t *testing.T) {
		d.play(t, func(s *session) {
			s.cancel()
			if <-s.over; !errors.Is(s.err, context.Canceled) {
				t.Errorf("Reads ended with %v", s.err)
			}
		})
	})
	t.Run("silent", d.silent)
	t.Run("at another speed", d.garbled)
	t.Run("takes nothing", d.blocked)
	t.Run("cut off and back", d.outages)
	t.Run("restarted in the middle", d.restarts)
	t.Run("babbles without end", d.babbles)
	t.Run("unplugged and plugged in again", d.replug)
	t.Run("gone", func(t *testing.T) {
		d.play(t, func(s *session) {
			_ = s.far.Close() // the plug is pulled
			if <-s.over; s.err == nil {
				t.Error("Reads ended without a reason")
			}
		})
	})
}

// session is a driver at work on a pipe.
type session struct {
	t      *testing.T
	d      Device
	far    net.Conn
	write  func([]byte) error
	cancel context.CancelFunc
	reads  []devices.Read
	over   chan struct{}
	err    error // why Reads ended; read after over
}

func (d Device) play(t *testing.T, act func(s *session)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		s := &session{t: t, d: d, far: far, cancel: cancel, over: make(chan struct{})}
		s.write = func(b []byte) error { _, err := far.Write(b); return err }
		if d.Play != nil {
			s.write = d.Play(far)
		}
		r, err := d.Open(ctx, pipe{near})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close(s.over)
			for read, err := range r.Reads(ctx) {
				if err != nil {
					s.err = err
					continue
				}
				s.reads = append(s.reads, read)
			}
		}()
		synctest.Wait()
		act(s)
		cancel()
		<-s.over
		_ = r.Close() // it may be closed already
		_ = far.Close()
		time.Sleep(d.Linger)
		synctest.Wait()
	})
}

// say writes as the device would, and lets the driver read it.
func (s *session) say(b []byte) {
	s.t.Helper()
	if err := s.write(b); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
}

// pause is the silence after which what was cut off is given up, and seen to be.
func (s *session) pause() {
	time.Sleep(s.d.Pause)
	synctest.Wait() // what ends by silence may end just now
}

func (s *session) forget() { s.reads = nil }

// want compares what was read, in order and nothing else. A driver may say
// besides that something could not be read: that names nobody.
func (s *session) want(ns ...int) {
	s.t.Helper()
	time.Sleep(time.Millisecond)
	synctest.Wait()
	s.reads = slices.DeleteFunc(s.reads, nobody)
	if len(s.reads) != len(ns) {
		s.t.Errorf("%d reads, want %d: %v", len(s.reads), len(ns), s.reads)
		return
	}
	for i, n := range ns {
		if !s.d.Is(s.reads[i], n) {
			s.t.Errorf("read %d is %+v, want report %d", i, s.reads[i], n)
		}
	}
}

// nobody tells of a read that something was there and could not be read.
func nobody(r devices.Read) bool {
	return r.Tag != nil && r.Tag.Unreadable && r.Tag.EPC == "" || r.Document != nil && (r.Document.Unreadable || r.Document.CheckFailed) ||
		r.Scan != nil && r.Scan.Unreadable
}
