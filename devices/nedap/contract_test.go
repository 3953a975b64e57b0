package nedap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
	"boothd/devices/line"
	"boothd/devices/port"
	"boothd/devices/sim"
)

func plateOf(n int) string { return fmt.Sprintf("AB%03dX", n) }

// textOf reads text as the daemon's cameras have it read.
func textOf(t testing.TB, cfg line.Config) Text {
	t.Helper()
	text, err := line.NewText(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The cameras keep the contract of all drivers, in each form and byte order, and
// when they are answered. Packets have no check value.
func TestContract(t *testing.T) {
	for name, c := range map[string]struct {
		cam *Camera
		ack string
	}{
		"big endian":        {&Camera{}, ""},
		"little endian":     {&Camera{Little: true}, ""},
		"answered":          {&Camera{}, "{open} {id} {xor} {close}"},
		"packets":           {&Camera{Packets: true}, ""},
		"packets of images": {&Camera{Packets: true, Image: 41}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Name: "front", Role: devices.RolePlateFront, Packets: c.cam.Packets, Ack: c.ack, Text: textOf(t, line.Config{})}
			d := devicestest.Device{
				Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) { return Open(ctx, w, cfg) },
				Frame: func(n int) []byte {
					return c.cam.Report(uint32(n+1), time.Unix(1e9, 0), plateOf(n), "ON", 0.93)
				},
				Is: func(r devices.Read, n int) bool {
					return r.Plate != nil && r.Plate.Text.Reveal() == plateOf(n) && r.Plate.Jurisdiction == "ON" && r.Role == devices.RolePlateFront && r.Device == "front"
				},
				Weak: c.cam.Packets, Pause: 4 * time.Second,
			}
			if c.ack != "" {
				d.Play = func(far io.ReadWriter) func([]byte) error {
					go func() { _, _ = io.Copy(io.Discard, far) }() // takes the answers; ends with the wire
					return func(b []byte) error { _, err := far.Write(b); return err }
				}
			}
			devicestest.Run(t, d)
		})
	}
}

// On a real line: babble, a report cut by a restart, glue, and the plug pulled
// in the middle of one.
func TestOverAPTY(t *testing.T) {
	for _, cam := range []*Camera{{}, {Little: true}, {Packets: true, Image: 700}} {
		far, path, err := sim.OpenPTY()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		p, err := port.Open(t.Context(), port.Spec{Path: path, Baud: 9600})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), p, Config{Name: "rear", Role: devices.RolePlateRear, Packets: cam.Packets, Text: textOf(t, line.Config{})})
		if err != nil {
			t.Fatal(err)
		}
		report := func(n uint32, text string) []byte { return cam.Report(n, time.Unix(1e9, 0), text, "ON", 0.9) }
		wire := slices.Concat([]byte("babble\x89\xAB\x18\x00\x00"), report(7, "AAA1"), report(8, "BBB2"), []byte{0xEF, 0xCD}, report(1, "CCC3"))
		if _, err := far.Write(wire); err != nil {
			t.Fatal(err)
		}
		var got []string
		for read, err := range r.Reads(t.Context()) {
			if err != nil {
				if !errors.Is(err, port.ErrGone) {
					t.Error(err)
				}
				break
			}
			if got = append(got, read.Plate.Text.Reveal()); read.Device != "rear" || read.Role != devices.RolePlateRear {
				t.Errorf("%+v", read)
			}
			if len(got) == 3 {
				if _, err := far.Write(report(2, "HALF")[:20]); err != nil {
					t.Fatal(err)
				}
				if err := far.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if s := strings.Join(got, " "); s != "AAA1 BBB2 CCC3" {
			t.Errorf("read %q, %+v", s, r.Counters())
		}
	}
}

func BenchmarkLatency(b *testing.B) {
	devicestest.Latency(b, devicestest.Device{
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			return Open(ctx, w, Config{Text: textOf(b, line.Config{})})
		},
		Frame: func(n int) []byte { return (&Camera{}).frame(uint32(n+1), plateOf(n)) },
	})
}
