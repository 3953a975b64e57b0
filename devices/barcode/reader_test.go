package barcode

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

func BenchmarkLatency(b *testing.B) {
	devicestest.Latency(b, devicestest.Device{
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			return Open(ctx, w, Config{Name: "scanner", Role: devices.RoleScan})
		},
		Frame: func(n int) []byte { return fmt.Appendf(nil, "]C01234PARS%05d\r", n) },
	})
}

func TestContract(t *testing.T) {
	number := func(n int) string { return fmt.Sprintf("1234PARS%05d", n) }
	for name, c := range map[string]struct {
		suffix Suffix
		end    string
	}{"cr": {CR, "\r"}, "cr lf": {CRLF, "\r\n"}, "lf": {LF, "\n"}, "etx": {ETX, "\x03"}} {
		t.Run(name, func(t *testing.T) {
			devicestest.Run(t, devicestest.Device{
				Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
					return Open(ctx, w, Config{Name: "scanner", Role: devices.RoleScan, Suffix: c.suffix})
				},
				Frame: func(n int) []byte { return []byte("]C0" + number(n) + c.end) },
				Is:    func(r devices.Read, n int) bool { return r.Scan != nil && r.Scan.Text == devices.Ident(number(n)) },
				Weak:  true, Pause: 2 * time.Second,
			})
		})
	}
}

// wire gives one piece a read, then the end.
type wire struct{ pieces []string }

func (w *wire) Read(b []byte) (int, error) {
	if len(w.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, w.pieces[0])
	w.pieces = w.pieces[1:]
	return n, nil
}
func (w *wire) Write(b []byte) (int, error) { return len(b), nil }
func (w *wire) Close() error                { return nil }

func readAll(t *testing.T, cfg Config, pieces ...string) (got []devices.Scan, r *Reader) {
	t.Helper()
	r, err := Open(t.Context(), &wire{pieces}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for read, err := range r.Reads(t.Context()) {
		if err != nil {
			break
		}
		got = append(got, *read.Scan)
	}
	return got, r
}

// Somebody held something to the scanner: it is told, and not what it was.
func TestUnreadableScanIsTold(t *testing.T) {
	got, r := readAll(t, Config{Name: "s"}, "12\x0134\r", "1234AB\r")
	if len(got) != 2 || !got[0].Unreadable || got[0].Text != "" || got[1].Text != "1234AB" {
		t.Errorf("%+v", got)
	}
	if c := r.Counters(); c.Frames != 1 || c.CheckErrors != 1 || c.Bytes != 13 {
		t.Errorf("%+v", c)
	}
}

// The same code held before the window is one scan.
func TestRepeatedScanIsOne(t *testing.T) {
	got, _ := readAll(t, Config{Name: "s"}, "1234AB\r\n", "1234AB\r\n", "1234AC\r", "1234AB\r")
	if len(got) != 3 {
		t.Errorf("%d scans", len(got))
	}
}

func TestOpenRefusesASuffixThatIsNone(t *testing.T) {
	near, far := net.Pipe()
	if _, err := Open(t.Context(), near, Config{Suffix: None + 1}); err == nil {
		t.Error("taken")
	}
	if _, err := far.Write([]byte{0}); err == nil {
		t.Error("the port was left open")
	}
}

func BenchmarkCodec(b *testing.B) {
	var f Frames
	devicestest.Codec(b, []byte("1234PARS56789\r"), func(wire []byte) {
		n := 0
		f.Push(wire, func(_ string, err error) {
			if err == nil {
				n++
			}
		})
		if n != 1 {
			b.Fatal(n)
		}
	})
}
