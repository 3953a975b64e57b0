package amtech

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
	"boothd/devices/sim"

	"golang.org/x/sys/unix"
)

// polled is a pty whose Read does not keep it open after Close: the kernel
// hangs up only when nobody reads any more, and a reader that is not spoken to
// reads for a minute.
type polled struct{ *sim.PTY }

func (p polled) Read(b []byte) (int, error) {
	conn, err := p.SyscallConn()
	for ready := 0; err == nil && ready == 0; {
		if e := conn.Control(func(fd uintptr) {
			ready, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20)
		}); e != nil {
			return 0, e
		}
		if errors.Is(err, unix.EINTR) {
			ready, err = 0, nil
		}
	}
	if err != nil {
		return 0, err
	}
	return p.PTY.Read(b)
}

func unblocked(far io.ReadWriter) io.ReadWriter {
	if p, ok := far.(*sim.PTY); ok {
		return polled{p}
	}
	return far
}

// The reader keeps the contract of all drivers, behind its whole start-up, in
// every mode.
func TestContract(t *testing.T) {
	id := func(n int) string { return fmt.Sprintf("KING %04d", n) }
	for name, far := range map[string]func() *Sim{
		"basic":      func() *Sim { return &Sim{} },
		"old basic":  func() *Sim { return &Sim{Start: '!', Parity: ParityOdd, Old: true} },
		"inquiry":    func() *Sim { return &Sim{Mode: Inquiry} },
		"ecp":        func() *Sim { return &Sim{Mode: ECP} },
		"ecp xmodem": func() *Sim { return &Sim{Mode: ECP, CRC: CRCXModem, Parity: ParityEven, Old: true} },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Name: "lane", Role: devices.RoleCard, Mode: far().Mode, Start: far().Start, CRC: far().CRC, Parity: far().Parity}
			devicestest.Run(t, devicestest.Device{
				Play: func(wire io.ReadWriter) func([]byte) error {
					s := far()
					go func() { _ = s.Serve(unblocked(wire)) }() // ends with the wire
					return s.Raw
				},
				Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) { return Open(ctx, w, cfg) },
				// Numbers go on with the reports, as a reader's do.
				Frame: func(n int) []byte { return far().Report(2*n, id(n)) },
				Is:    func(r devices.Read, n int) bool { return r.Tag != nil && r.Tag.EPC == ident([]byte(id(n))) },
				Weak:  cfg.Mode != ECP,
				Pause: 2 * time.Second,
			})
		})
	}
}
