package uhf18

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

var config = Config{Name: "lane", Role: devices.RoleCard}

// The reader keeps the contract of all drivers, behind its set-up; what the
// contract says takes the place of the answer to an inventory.
func TestContract(t *testing.T) {
	for name, addr := range map[string]byte{"address 0": 0, "address 7": 7, "whichever": broadcast} {
		t.Run(name, func(t *testing.T) {
			far := func() *Sim { return &Sim{Address: addr, ScanTime: 3} }
			devicestest.Run(t, devicestest.Device{
				Play: func(wire io.ReadWriter) func([]byte) error {
					s := far()
					go func() { _ = s.Serve(wire) }() // ends with the wire
					return s.Raw
				},
				Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
					return Open(ctx, w, Config{Name: "lane", Role: devices.RoleCard, Address: addr})
				},
				Frame: func(n int) []byte { return far().Report(statusAll, number(n)) },
				Is: func(r devices.Read, n int) bool {
					return r.Tag != nil && r.Tag.EPC.Reveal() == fmt.Sprintf("%X", number(n))
				},
				Pause: 2 * time.Second,
				// Three inventories, each of its scan time and half a second.
				Offline: 2500 * time.Millisecond,
			})
		})
	}
}

// BenchmarkLatency measures from the last byte of the answer to an inventory: how
// long the reader looks for tags is its own affair.
func BenchmarkLatency(b *testing.B) {
	far := &Sim{ScanTime: 255}
	devicestest.Latency(b, devicestest.Device{
		Play: func(wire io.ReadWriter) func([]byte) error {
			go func() { _ = far.Serve(wire) }() // ends with the wire
			return far.Raw
		},
		Open:  func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) { return Open(ctx, w, config) },
		Frame: func(n int) []byte { return far.Report(statusAll, number(n)) },
	})
}

func number(n int) []byte {
	return binary.BigEndian.AppendUint16([]byte{0xE2, 0x80, 0x11, 0x60, 0x60, 0, 2, 0, 0, 0}, uint16(n))
}
