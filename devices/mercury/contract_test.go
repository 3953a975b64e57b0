package mercury

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
	"boothd/devices/sim"
)

// The reader keeps the contract of all drivers, behind its whole start-up.
func TestContract(t *testing.T) {
	epc := func(n int) string { return fmt.Sprintf("E2801160600002000000%04X", n) }
	devicestest.Run(t, devicestest.Device{
		Play: func(far io.ReadWriter) func([]byte) error {
			m := &sim.Mercury{}
			go func() { _ = m.Serve(far) }() // ends with the wire
			return m.Raw
		},
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) { return Open(ctx, w, config) },
		Frame: func(n int) []byte {
			b, err := sim.Report(sim.Tag{EPC: epc(n), RSSIDBm: -50, Antenna: 1})
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		Is:    func(r devices.Read, n int) bool { return r.Tag != nil && string(r.Tag.EPC.Reveal()) == epc(n) },
		Pause: 2 * time.Second,
	})
}
