package port

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// open gives the far end of a raw pty and the port opened on it.
func open(t *testing.T, s Spec) (master *os.File, p Port) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	s.Path, s.Baud = slave.Name(), 115200
	p, err = Open(t.Context(), s)
	slave.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return master, p
}

func TestReadSilenceThenBytes(t *testing.T) {
	master, p := open(t, Spec{})
	buf := make([]byte, 16)
	if n, err := p.Read(buf); n != 0 || err != nil {
		t.Errorf("silence: %d, %v, want 0, nil", n, err)
	}
	if n, err := p.Read(nil); n != 0 || err != nil {
		t.Errorf("empty buffer: %d, %v", n, err)
	}
	if _, err := master.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(buf); string(buf[:n]) != "abc" || err != nil {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	if n, err := p.Write([]byte("xyz")); n != 3 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	if n, err := master.Read(buf); string(buf[:n]) != "xyz" || err != nil {
		t.Errorf("far end read %q, %v", buf[:n], err)
	}
}

// An unplugged line is noticed within a second: within one Read or a few.
func TestUnplugIsGone(t *testing.T) {
	master, p := open(t, Spec{})
	master.Close()
	deadline := time.Now().Add(time.Second)
	for {
		_, err := p.Read(make([]byte, 16))
		if errors.Is(err, ErrGone) {
			return
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("after unplug: %v", err)
		}
	}
}

func TestOwnCloseIsNotGone(t *testing.T) {
	_, p := open(t, Spec{})
	p.Close()
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) || errors.Is(err, ErrGone) {
		t.Errorf("read after Close: %v", err)
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := Open(t.Context(), Spec{Path: "/dev/serial/by-id/none", Baud: 9600}); !errors.Is(err, ErrGone) {
		t.Errorf("missing device: %v", err)
	}
	if _, err := Open(t.Context(), Spec{Path: "/dev/null", Baud: 9600}); err == nil {
		t.Error("/dev/null opened as a serial port")
	}
}

// root ignores the kernel's exclusive flag, so the lock file must hold.
func TestSecondOpenIsBusyAndNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	spec := Spec{Path: slave.Name(), Baud: 9600, LockDir: dir}
	first, err := Open(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), spec)
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "pid") {
		t.Errorf("second open: %v, want busy with the holder's pid", err)
	}
	first.Close()
	// The flag outlives a holder on a pty while the far end is open; lift it as
	// the kernel does for a real line.
	if err := unix.IoctlSetInt(int(slave.Fd()), unix.TIOCNXCL, 0); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), spec)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	again.Close()
}

// A far end that reads nothing fills the line; the write is given up and the
// port says so.
func TestBlockedWriteIsGivenUp(t *testing.T) {
	_, p := open(t, Spec{})
	big := make([]byte, 1<<20)
	if _, err := p.Write(big); !errors.Is(err, ErrStuck) {
		t.Fatalf("write into a full line: %v", err)
	}
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, ErrStuck) {
		t.Errorf("read after a stuck write: %v", err)
	}
}

func TestTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	far := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			far <- c
		}
	}()
	p, err := Open(t.Context(), Spec{Path: "tcp://" + ln.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := <-far
	buf := make([]byte, 8)
	if n, err := p.Read(buf); n != 0 || err != nil {
		t.Errorf("silence: %d, %v", n, err)
	}
	if _, err := c.Write([]byte("hi")); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(buf); string(buf[:n]) != "hi" || err != nil {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	c.Close()
	if _, err := p.Read(buf); !errors.Is(err, ErrGone) {
		t.Errorf("far end gone: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Spec{Path: "tcp://" + ln.Addr().String()}); !errors.Is(err, ErrGone) {
		t.Errorf("cancelled dial: %v", err)
	}
}
