package llrp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

// The reader keeps the contract of all drivers, behind its whole set-up. On
// TCP nothing can be trusted behind bytes that are no message, or half of one:
// the driver gives the connection up, and the contract is kept by the life on
// the next one.
func TestContract(t *testing.T) { devicestest.Run(t, device()) }

func BenchmarkLatency(b *testing.B) { devicestest.Latency(b, device()) }

func device() devicestest.Device {
	epc := func(n int) string { return fmt.Sprintf("E2801160600002000000%04X", n) }
	var far *Sim
	return devicestest.Device{
		Play: func(wire io.ReadWriter) func([]byte) error {
			far = &Sim{}
			go func(s *Sim) { _ = s.Serve(wire) }(far) // ends with the wire
			return far.Raw
		},
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			r, err := Open(ctx, w, config)
			return &supervised{ctx: ctx, wire: w, far: far, life: r}, err
		},
		Frame: func(n int) []byte { return new(Sim).Report(uint32(n), SimTag{EPC: epc(n), RSSIDBm: -50, Antenna: 1}) },
		Is:    func(r devices.Read, n int) bool { return r.Tag != nil && r.Tag.EPC.Reveal() == epc(n) },
		Weak:  true, // TCP has the check
		Pause: 2 * byteGap,
		// Three polls, which are its keep-alives, and a look at the port.
		Offline: 3*keepalive + 100*time.Millisecond,
		Dialled: true,
		Ready:   func() bool { on, _, _ := far.Reading(); return on },
	}
}

var config = Config{Name: "lane", Role: devices.RoleCard}

// supervised connects again when the driver gives a connection up, as the
// booth does; the simulated reader greets it anew on the same wire.
type supervised struct {
	ctx    context.Context
	wire   devicestest.Wire
	far    *Sim
	mu     sync.Mutex // the contract asks for the counters at any time
	life   *Reader
	before devices.Counters
}

// kept is a wire that outlives a connection.
type kept struct{ devicestest.Wire }

func (kept) Close() error { return nil }

func (s *supervised) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		for {
			var end error
			for read, err := range s.life.Reads(ctx) {
				if end = err; err == nil && !yield(read, nil) {
					return
				}
			}
			if !errors.Is(end, ErrProtocol) && !errors.Is(end, ErrCut) {
				yield(devices.Read{}, end)
				return
			}
			s.far.Restart()
			r, err := Open(s.ctx, kept{s.wire}, config)
			if err != nil {
				yield(devices.Read{}, err)
				return
			}
			s.mu.Lock()
			s.before.Bytes += s.life.Counters().Bytes
			s.before.Frames += s.life.Counters().Frames
			s.life = r
			s.mu.Unlock()
		}
	}
}

func (s *supervised) Counters() devices.Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.life.Counters()
	c.Bytes += s.before.Bytes
	c.Frames += s.before.Frames
	return c
}

func (s *supervised) Close() error { return s.wire.Close() }
