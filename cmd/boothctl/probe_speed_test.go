package main

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"boothd/devices/line"
	"boothd/devices/mercury"
	"boothd/devices/sim"
)

// A pty carries every byte at any speed, but it knows what it was set to: the
// far end here looks, and is understood at its own speed only, as on a real
// line.

// speeds are what the kernel calls them.
var speeds = map[uint32]int{unix.B1200: 1200, unix.B2400: 2400, unix.B4800: 4800, unix.B9600: 9600, unix.B19200: 19200, unix.B38400: 38400,
	unix.B57600: 57600, unix.B115200: 115200, unix.B230400: 230400, unix.B460800: 460800, unix.B921600: 921600}

// speed is what the near end is set to; 0: it cannot be told any more.
func speed(fd int) int {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return 0
	}
	return speeds[t.Cflag&(unix.CBAUD|unix.CBAUDEX)]
}

// tuned is the wire of a device that has one speed. At another, it gets
// nothing whole.
type tuned struct {
	*sim.PTY
	fd   int // asked for once: the file may be closed meanwhile
	baud int
}

func (w tuned) Read(b []byte) (int, error) {
	n, err := w.PTY.Read(b)
	if speed(w.fd) != w.baud {
		for i := range b[:n] {
			b[i] ^= 0x55
		}
	}
	return n, err
}

func (w tuned) Write(b []byte) (int, error) {
	if speed(w.fd) == w.baud {
		return w.PTY.Write(b)
	}
	garbled := make([]byte, len(b))
	for i, c := range b {
		garbled[i] = c<<3 | 0x81
	}
	return w.PTY.Write(garbled)
}

func TestProbeFindsTheSpeedByAsking(t *testing.T) {
	for _, baud := range []int{115200, 57600} {
		t.Run(fmt.Sprint(baud), func(t *testing.T) {
			t.Parallel()
			wire, path := pty(t)
			w := tuned{wire, int(wire.Fd()), baud}
			go func() { _ = (&mercury.Sim{}).Serve(w) }() // ends with the pty
			out, _ := probe(t, 0, path)
			holds(t, out, fmt.Sprintf(": mercury at %d baud (Mercury version)", baud), fmt.Sprintf("baud = %d", baud))
		})
	}
}

// A camera that reports again and again is understood at the third speed, after
// noise at the first two.
func TestProbeFindsTheSpeedByListening(t *testing.T) {
	wire, path := pty(t)
	fd := int(wire.Fd())
	camera := line.Lumo(tuned{wire, fd, 19200})
	over, done := make(chan struct{}), make(chan struct{})
	defer func() { close(over); <-done }()
	go func() {
		defer close(done)
		for last := 0; ; {
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
			}
			if now := speed(fd); now != last {
				if last = now; camera.Plate("KAYAK7", "ON", 0.9) != nil {
					return
				}
			}
		}
	}()
	out, _ := boothctl(t, 0, "probe", path, "--config", "nowhere.toml", "--quiet", "--listen", "1m")
	holds(t, out, "at 9600 baud that fit nothing", "at 115200 baud that fit nothing", ": line at 19200 baud (heard)", `template = "lumo"`)
}
