package mercury

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

// The reader keeps the contract of all drivers, behind its whole start-up.
func TestContract(t *testing.T) { devicestest.Run(t, device(t)) }

func BenchmarkLatency(b *testing.B) { devicestest.Latency(b, device(b)) }

func BenchmarkCodec(b *testing.B) {
	var s scanner
	devicestest.Codec(b, device(b).Frame(1), func(wire []byte) {
		s.feed(wire)
		m, ok := s.next()
		if tag, err := tagRecord(m.data); !ok || err != nil || tag.EPC == "" {
			b.Fatal(ok, err, m)
		}
	})
}

func device(t testing.TB) devicestest.Device {
	epc := func(n int) string { return fmt.Sprintf("E2801160600002000000%04X", n) }
	var m *Sim
	return devicestest.Device{
		Play: func(far io.ReadWriter) func([]byte) error {
			m = &Sim{}
			go func(m *Sim) { _ = m.Serve(far) }(m) // ends with the wire
			return m.Raw
		},
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) { return Open(ctx, w, config) },
		Frame: func(n int) []byte {
			b, err := SimTag{EPC: epc(n), RSSIDBm: -50, Antenna: 1}.Report()
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		Is:    func(r devices.Read, n int) bool { return r.Tag != nil && string(r.Tag.EPC.Reveal()) == epc(n) },
		Pause: 2 * time.Second,
		// Three polls, which are the ends of searches, the last of which may be late,
		// and a look at the port.
		Offline: 3*cycle + 200*time.Millisecond,
		Ready:   func() bool { return m.Streaming() },
	}
}
