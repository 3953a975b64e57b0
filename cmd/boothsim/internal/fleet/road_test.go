package fleet

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
)

// echo is a far end that says everything back.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

type bytesOf struct{ up, down, lost atomic.Int64 }

func TestRoad(t *testing.T) {
	addr := echo(t)
	var n bytesOf
	r := newRoad(&n.up, &n.down, &n.lost)
	dial := func() net.Conn {
		t.Helper()
		c, err := r.dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	say := func(c net.Conn, word string) {
		t.Helper()
		if _, err := c.Write([]byte(word)); err != nil {
			t.Fatalf("saying %q: %v", word, err)
		}
	}
	hear := func(c net.Conn, word string) {
		t.Helper()
		b := make([]byte, len(word))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != word {
			t.Fatalf("heard %q, %v, want %q", b, err, word)
		}
	}
	dead := func(c net.Conn) {
		t.Helper()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("the line ends with %v", err)
		}
	}

	c := dial()
	say(c, "good")
	hear(c, "good")
	if n.up.Load() != 4 || n.down.Load() != 4 || n.lost.Load() != 0 {
		t.Errorf("%d up, %d down, %d lost", n.up.Load(), n.down.Load(), n.lost.Load())
	}

	r.become(HalfOpen)
	say(c, "nobody")
	say(dial(), "nobody") // a new connection comes to nothing either
	if n.lost.Load() != 12 || n.up.Load() != 4 {
		t.Errorf("half open: %d lost, %d up", n.lost.Load(), n.up.Load())
	}
	r.become("")
	dead(c)

	c = dial()
	r.become(Deaf)
	say(c, "heard there")
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 64))
		ended <- err
	}()
	for n.lost.Load() < 12+11 { // its echo comes this far, and no farther
		runtime.Gosched()
	}
	if n.up.Load() != 4+11 || n.down.Load() != 4 {
		t.Errorf("deaf: %d up, %d down", n.up.Load(), n.down.Load())
	}
	// Closed while bytes vanish: whoever reads is let go, the far end is not told.
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("who reads is let go with %v", err)
	}
	if !r.conns[c.(*lane)] {
		t.Error("the far end has been told")
	}
	r.become("")
	if len(r.conns) > 0 {
		t.Errorf("%d connections are left", len(r.conns))
	}

	c = dial()
	r.become(Closed)
	dead(c)
	if _, err := r.dial(t.Context(), "tcp", addr); !errors.Is(err, errClosed) {
		t.Errorf("dialling over a closed road: %v", err)
	}
	r.become("")
	c = dial()
	c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading from one that we closed: %v", err)
	}
}
