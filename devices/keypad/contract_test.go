package keypad

import (
	"context"
	"fmt"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

func BenchmarkLatency(b *testing.B) {
	for _, template := range []Template{Strokes, Lines} {
		b.Run("template="+string(template), func(b *testing.B) {
			devicestest.Latency(b, devicestest.Device{
				Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
					return Open(ctx, w, Config{Name: "desk", Role: devices.RoleKeypad, Template: template})
				},
				Frame: func(n int) []byte { return fmt.Appendf(nil, "ON-ABC%03d\r", n) },
			})
		})
	}
}

func BenchmarkCodec(b *testing.B) {
	for _, template := range []Template{Strokes, Lines} {
		b.Run("template="+string(template), func(b *testing.B) {
			cfg, err := Config{Template: template}.complete()
			if err != nil {
				b.Fatal(err)
			}
			k := with(nil, cfg, cfg.decoder())
			devicestest.Codec(b, []byte("ON-ABC123\r"), func(wire []byte) {
				if k.decoder.feed(wire, k.strike); len(k.presses) != 1 || k.presses[0].Plate == "" {
					b.Fatalf("%+v", k.presses)
				}
				k.presses = k.presses[:0]
			})
		})
	}
}

// A pad keeps the contract of all readers. Cut off, a plate is forgotten after
// the idle time; a line of the template lines is whole only with its end, and
// what is cut off before it is no plate of any vehicle.
func TestContract(t *testing.T) {
	plate := func(n int) string { return fmt.Sprintf("ABC%03d", n) }
	for _, template := range []Template{Strokes, Lines} {
		t.Run(string(template), func(t *testing.T) {
			devicestest.Run(t, devicestest.Device{
				Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
					return Open(ctx, w, Config{Name: "desk", Role: devices.RoleKeypad, Template: template, Idle: time.Second})
				},
				Frame: func(n int) []byte { return []byte("ON-" + plate(n) + "\r") },
				Is: func(r devices.Read, n int) bool {
					return r.Key != nil && r.Key.Button == "" && string(r.Key.Plate) == plate(n) && r.Key.Jurisdiction == "ON"
				},
				Weak: true, Pause: 2 * time.Second,
			})
		})
	}
}
