package amtech

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

func BenchmarkLatency(b *testing.B) {
	devicestest.Latency(b, devicestest.Device{
		Play: func(wire io.ReadWriter) func([]byte) error {
			s := &Sim{}
			go func() { _ = s.Serve(wire) }() // ends with the wire
			return s.Raw
		},
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			return Open(ctx, w, Config{Name: "lane", Role: devices.RoleCard})
		},
		Frame: func(n int) []byte { return (&Sim{}).Report(2*n, fmt.Sprintf("KING %04d", n)) },
	})
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
			var s *Sim
			cfg := Config{Name: "lane", Role: devices.RoleCard, Mode: far().Mode, Start: far().Start, CRC: far().CRC, Parity: far().Parity}
			play := func(wire io.ReadWriter, fresh bool) func([]byte) error {
				s = far()
				s.Fresh = fresh
				go func(s *Sim) { _ = s.Serve(wire) }(s) // ends with the wire
				return s.Raw
			}
			devicestest.Run(t, devicestest.Device{
				Play:      func(wire io.ReadWriter) func([]byte) error { return play(wire, false) },
				Restarted: func(wire io.ReadWriter) func([]byte) error { return play(wire, true) },
				Open:      func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) { return Open(ctx, w, cfg) },
				// Numbers go on with the reports, as a reader's do.
				Frame: func(n int) []byte { return far().Report(2*n, id(n)) },
				Is:    func(r devices.Read, n int) bool { return r.Tag != nil && r.Tag.EPC == ident([]byte(id(n))) },
				Weak:  cfg.Mode != ECP,
				Pause: 2 * time.Second,
				// Three polls, after the minute in which it may not be asked, and a look at the port.
				Offline: idleMost + tries*answerWait + 100*time.Millisecond,
				Ready:   func() bool { return s.Ready() },
			})
		})
	}
}
