package line

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

// The window is none: a run reads the same plates again and again.
func BenchmarkLatency(b *testing.B) {
	devicestest.Latency(b, devicestest.Device{
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			return Open(ctx, w, form("lumo", Config{Window: time.Nanosecond}))
		},
		Frame: func(n int) []byte { return fmt.Appendf(nil, "AB%03dX;ON;97;IN\r\n", n) },
	})
}

// Every template keeps the contract of all drivers; nedap-raw also behind a
// CRC, which finds every flipped bit.
func TestContract(t *testing.T) {
	plate := func(n int) string { return fmt.Sprintf("AB%03dX", n) }
	for name, c := range map[string]struct {
		cfg   Config
		frame func(n int) string
	}{
		"axxon":       {form("axxon", Config{}), func(n int) string { return "\x022026070412345601" + plate(n) + "\x03" }},
		"nedap-raw":   {form("nedap-raw", Config{}), func(n int) string { return plate(n) + "\r\n" }},
		"lumo":        {form("lumo", Config{}), func(n int) string { return plate(n) + ";ON;97;IN\r\n" }},
		"csv-generic": {form("csv-generic", Config{}), func(n int) string { return "x," + plate(n) + ",97,01\n" }},
		"crc": {Config{Start: "\x02", End: "\x03", Fields: []string{"plate"}, Checksum: "crc16-ccitt-false"},
			func(n int) string {
				return fmt.Sprintf("\x02%s%04X\x03", plate(n), checksum("crc16-ccitt-false", []byte(plate(n))))
			}},
		"crc over the end": {Config{Start: "\x02", End: "\x03", Fields: []string{"plate"}, Checksum: "crc16-ibm", ChecksumEnd: true},
			func(n int) string {
				return fmt.Sprintf("\x02%s\x03%04X", plate(n), checksum("crc16-ibm", []byte(plate(n)+"\x03")))
			}},
	} {
		t.Run(name, func(t *testing.T) {
			devicestest.Run(t, devicestest.Device{
				Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
					return Open(ctx, w, c.cfg)
				},
				Frame: func(n int) []byte { return []byte(c.frame(n)) },
				Is:    func(r devices.Read, n int) bool { return r.Plate != nil && r.Plate.Text == devices.Ident(plate(n)) },
				Weak:  !strings.HasPrefix(name, "crc"), Pause: 2 * time.Second,
			})
		})
	}
}

// A camera with heartbeats is missed when they stop, and is back with the next.
func TestContractWithHeartbeats(t *testing.T) {
	const beat = time.Second
	devicestest.Run(t, devicestest.Device{
		Play: func(far io.ReadWriter) func([]byte) error {
			var mu sync.Mutex // reports and beats are written whole
			say := func(b []byte) error {
				mu.Lock()
				defer mu.Unlock()
				_, err := far.Write(b)
				return err
			}
			go func() { // ends with the wire
				for time.Sleep(beat); say([]byte("ALIVE\r\n")) == nil; time.Sleep(beat) {
					continue
				}
			}()
			return say
		},
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			return Open(ctx, w, form("nedap-raw", Config{Heartbeat: "ALIVE", Quiet: 3 * beat}))
		},
		Frame: func(n int) []byte { return fmt.Appendf(nil, "AB%03dX\r\n", n) },
		Is: func(r devices.Read, n int) bool {
			return r.Plate != nil && string(r.Plate.Text) == fmt.Sprintf("AB%03dX", n)
		},
		Weak: true, Pause: 2 * time.Second,
		Offline: 3*beat + 200*time.Millisecond,
		Linger:  2 * beat,
	})
}
