package osdp

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
	"boothd/devices/osdp/pd"
)

var testKey = Key{0xC0, 0xFF, 0xEE, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// The reader keeps the contract of all drivers, in clear and in the channel.
// The poll interval is below the contract's millisecond, so that a report is
// asked for within it.
func TestContract(t *testing.T) {
	for _, tc := range []struct {
		name string
		key  Key
	}{{"clear", Key{}}, {"secure", testKey}} {
		t.Run(tc.name, func(t *testing.T) {
			var p *polled
			devicestest.Run(t, devicestest.Device{
				Play: func(far io.ReadWriter) func([]byte) error {
					p = &polled{device: &pd.Device{Key: tc.key}}
					p.device.Wire = p.wire
					go func(p *polled) { _ = p.device.Serve(far) }(p) // ends with the wire
					return p.say
				},
				Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
					return Open(ctx, w, Config{Name: "r", Role: devices.RoleCard, Key: tc.key, Clear: tc.key == Key{}, Poll: 900 * time.Microsecond})
				},
				Frame: func(n int) []byte {
					return appendFrame(nil, frame{reply: true, crc: true, code: repRaw, data: number(n)}, nil)
				},
				Is: func(r devices.Read, n int) bool {
					return r.Tag != nil && !r.Tag.Unreadable && r.Tag.EPC.Reveal() == fmt.Sprintf("96B4%04X", n)
				},
				Pause: time.Second,
				// A poll and three repeats of 200 ms: sooner than the 8 s after which it
				// must be offline.
				Offline: time.Second,
				Ready:   func() bool { return tc.key == Key{} || p.device.Secure() },
			})
		})
	}
}

// BenchmarkLatency has the last byte of a card's reply withheld: what is measured
// is not the wait for the poll that asks for it, 25 ms of 50 in the middle.
func BenchmarkLatency(b *testing.B) {
	for name, key := range map[string]Key{"clear": {}, "secure": testKey} {
		b.Run("channel="+name, func(b *testing.B) {
			begun, last := make(chan struct{}), make(chan struct{})
			var waits atomic.Bool // a card, to be reported
			n := 0
			devicestest.Latency(b, devicestest.Device{
				Play: func(far io.ReadWriter) func([]byte) error {
					d := &pd.Device{Key: key}
					d.Wire = func(reply []byte, _ bool) []byte {
						if len(reply) < 16 || !waits.CompareAndSwap(true, false) { // no card
							return reply
						}
						if _, err := far.Write(reply[:len(reply)-1]); err != nil {
							return nil // Serve ends too, and says why
						}
						begun <- struct{}{}
						<-last
						return reply[len(reply)-1:]
					}
					go func() { _ = d.Serve(far) }() // ends with the wire
					return func(p []byte) error {
						if len(p) == 1 {
							last <- struct{}{}
							return nil
						}
						waits.Store(true)
						d.Card(0, 32, number(n)[4:])
						n++
						<-begun
						return nil
					}
				},
				Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
					return Open(ctx, w, Config{Name: "r", Role: devices.RoleCard, Key: key, Clear: key == Key{}})
				},
				Frame: func(n int) []byte {
					return appendFrame(nil, frame{reply: true, crc: true, code: repRaw, data: number(n)}, nil)
				},
			})
		})
	}
}

// number is the data of a card report.
func number(n int) []byte {
	return binary.BigEndian.AppendUint16([]byte{0, 0, 32, 0, 0x96, 0xB4}, uint16(n))
}

// polled turns what the contract says into what a polled device does: whole
// reports wait to be asked for, and what is damaged takes the place of a reply
// of its own, once; asked again, the device gives that reply.
type polled struct {
	device *pd.Device
	mu     sync.Mutex // say and the device share noise
	noise  []byte
}

func (p *polled) say(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noise = append(p.noise, b...)
	var s scanner
	for rest := p.noise; len(rest) > 0; {
		rest = rest[s.feed(rest):]
		for f, ok := s.next(); ok; f, ok = s.next() {
			p.device.Card(f.data[1], int(binary.LittleEndian.Uint16(f.data[2:])), append([]byte(nil), f.data[4:]...))
			p.noise = nil
		}
	}
	return nil
}

func (p *polled) wire(reply []byte, again bool) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.noise) == 0 || again {
		return reply
	}
	out := p.noise
	p.noise = nil
	return out
}
