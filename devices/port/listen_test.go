package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"boothd/test/freeport"

	"golang.org/x/sys/unix"
)

const device, stranger = "127.0.0.2", "127.0.0.3"

// free is an address of this machine where nobody listens.
func free(t *testing.T) string {
	t.Helper()
	at, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at)
}

// knock connects from an address, as soon as somebody listens.
func knock(t *testing.T, addr, from string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	for end := time.Now().Add(time.Minute); ; {
		c, err := d.DialContext(t.Context(), "tcp", addr)
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
			return c
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// opening opens a port that a device connects to.
func opening(t *testing.T, addr, from string) <-chan Port {
	t.Helper()
	out := make(chan Port, 1)
	go func() {
		defer close(out)
		p, err := Open(t.Context(), Spec{Path: "tcp://" + addr, From: from})
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = p.Close() })
		out <- p
	}()
	return out
}

// heard reads until there is so much, or an end.
func heard(t *testing.T, p Port, want int) (string, error) {
	t.Helper()
	var all []byte
	for end := time.Now().Add(time.Minute); len(all) < want; {
		b := make([]byte, 16)
		n, err := p.Read(b)
		if all = append(all, b[:n]...); err != nil {
			return string(all), err
		}
		if time.Now().After(end) {
			t.Fatalf("only %q came", all)
		}
	}
	return string(all), nil
}

func say(t *testing.T, c io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// dropped waits until the far end has closed a connection, unheard.
func dropped(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(make([]byte, 1))
	if slow := net.Error(nil); n != 0 || err == nil || errors.As(err, &slow) && slow.Timeout() {
		t.Errorf("it was let in: %d bytes, %v", n, err)
	}
}

// The device alone is let in; what others say is not read, before and after.
func TestOnlyTheDeviceMayConnect(t *testing.T) {
	addr := free(t)
	ports := opening(t, addr, device)
	for range 3 {
		dropped(t, knock(t, addr, stranger))
	}
	select {
	case <-ports:
		t.Fatal("open for a stranger")
	default:
	}
	c := knock(t, addr, device)
	p := <-ports
	if n, err := p.Read(make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("silence: %d, %v", n, err)
	}
	say(t, c, "ab")
	dropped(t, knock(t, addr, stranger))
	say(t, c, "cd")
	if got, err := heard(t, p, 4); got != "abcd" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if n, err := p.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	if err := p.SetBaud(9600); err != nil {
		t.Error(err)
	}
}

// A device that connects again has lost the connection before, which is given
// up; there is never more than one.
func TestDeviceThatConnectsAgain(t *testing.T) {
	addr := free(t)
	ports := opening(t, addr, device)
	first := knock(t, addr, device)
	p := <-ports
	say(t, first, "ab")
	if got, err := heard(t, p, 2); got != "ab" || err != nil {
		t.Fatalf("read %q, %v", got, err)
	}
	second := knock(t, addr, device)
	say(t, second, "cd")
	if got, err := heard(t, p, 2); got != "cd" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	dropped(t, first)
	third, fourth := knock(t, addr, device), knock(t, addr, device) // twice before anybody looks
	say(t, fourth, "ef")
	if got, err := heard(t, p, 2); got != "ef" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	dropped(t, second)
	dropped(t, third)
	if err := fourth.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := heard(t, p, 1); !errors.Is(err, ErrGone) {
		t.Errorf("after the device has left: %v", err)
	}
}

// A device that lost its power says nothing more: the kernel asks, and its
// connection is over after 20 s.
func TestDeadDeviceIsAskedFor(t *testing.T) {
	addr := free(t)
	ports := opening(t, addr, device)
	knock(t, addr, device)
	p := <-ports
	tcp, ok := p.(*call).socket().Conn.(*net.TCPConn)
	if !ok {
		t.Fatal("no TCP connection")
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		on, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		if err != nil || on == 0 {
			t.Errorf("nobody asks: %v", err)
		}
		var all [3]int
		for i, opt := range []int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT} {
			if all[i], err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, opt); err != nil {
				t.Error(err)
			}
		}
		if over := all[0] + all[1]*all[2]; over != 20 {
			t.Errorf("a dead device is over after %d s: %v", over, all)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// It waits as long as it may, gives everything back, and says why it cannot.
func TestListenEnds(t *testing.T) {
	addr := free(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Open(ctx, Spec{Path: "tcp://" + addr, From: device})
		ended <- err
	}()
	dropped(t, knock(t, addr, stranger)) // it listens
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	ports := opening(t, addr, device) // the port is free again
	c := knock(t, addr, device)
	p := <-ports
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
	dropped(t, c)
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) || errors.Is(err, ErrGone) {
		t.Errorf("read after Close: %v", err)
	}
	taken, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, v := range []struct {
		name string
		spec Spec
		want error
		text string
	}{
		{"taken", Spec{Path: "tcp://" + addr, From: device}, ErrBusy, ""},
		{"no address of this box", Spec{Path: "tcp://192.0.2.77:9", From: device}, ErrGone, ""},
		{"nobody", Spec{Path: "tcp://" + addr, From: "camera"}, nil, "camera"},
		{"no network", Spec{Path: "/dev/null", From: device}, nil, "device file"},
	} {
		if _, err := Open(t.Context(), v.spec); err == nil || v.want != nil && !errors.Is(err, v.want) || !strings.Contains(err.Error(), v.text) {
			t.Errorf("%s: %v", v.name, err)
		}
	}
}
