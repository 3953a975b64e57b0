package mrz

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

// specimen is the n-th synthetic TD1, check digits and all.
func specimen(n int) string {
	field := func(s string) string { return s + string(sum([]byte(s))) }
	number := field(fmt.Sprintf("%09d", n))
	one := "INUTO" + number + "<<<<<<<<<<<<<<<"
	birth, expiry := field("800101"), field("300101")
	two := birth + "F" + expiry + "UTO<<<<<<<<<<<"
	composite := sum([]byte(one[5:]), []byte(two[:7]), []byte(two[8:15]), []byte(two[18:]))
	return one + "\r" + two + string(composite) + "\r" + "TRAVELLER<<TEST<<<<<<<<<<<<<<<" + "\r"
}

func BenchmarkLatency(b *testing.B) {
	devicestest.Latency(b, devicestest.Device{
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			return Open(ctx, w, Config{Name: "mrz", Role: devices.RoleDocument})
		},
		Frame: func(n int) []byte { return []byte("\x02" + specimen(n) + "\x03") },
	})
}

func TestContract(t *testing.T) {
	devicestest.Run(t, devicestest.Device{
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			return Open(ctx, w, Config{Name: "mrz", Role: devices.RoleDocument})
		},
		Frame: func(n int) []byte { return []byte("\x02" + specimen(n) + "\x03") },
		Is: func(r devices.Read, n int) bool {
			return r.Document != nil && r.Document.Number == devices.Ident(fmt.Sprintf("%09d", n)) && r.Document.Issuer == "UTO"
		},
		Weak: true, Pause: time.Second, Spare: len("\r\x03"),
	})
}

// Every document has the time of its own first byte, however they come: one by
// one with pauses between their lines, or two in one read.
func TestReadAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		r, err := Open(t.Context(), slow{near}, Config{Name: "mrz", Role: devices.RoleDocument})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			for _, part := range strings.SplitAfter(specimen(1), "\r") {
				_, _ = far.Write([]byte(part)) // the read below tells what came
				time.Sleep(Gap - 10*time.Millisecond)
			}
			time.Sleep(Gap)
			_, _ = far.Write([]byte(specimen(2)[:40]))
			time.Sleep(100 * time.Millisecond)
			_, _ = far.Write([]byte(specimen(2)[40:] + specimen(3)))
			_ = far.Close()
		}()
		var got []time.Duration
		for read, err := range r.Reads(t.Context()) {
			if err == nil {
				if read.Document.Unreadable {
					t.Error("a document is unreadable")
				}
				got = append(got, read.At.Sub(began))
			}
		}
		lines := 4 * (Gap - 10*time.Millisecond) // the last part is empty
		second := time.Second + lines + Gap
		if want := []time.Duration{time.Second, second, second + 100*time.Millisecond}; !slices.Equal(got, want) {
			t.Errorf("read at %v, want %v", got, want)
		}
	})
}

// slow is a port in memory: silence is 0, nil after 100 ms.
type slow struct{ net.Conn }

func (s slow) Read(b []byte) (int, error) {
	if err := s.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, err
}

func BenchmarkCodec(b *testing.B) {
	var f Frames
	devicestest.Codec(b, []byte("\x02"+specimen(1)+"\x03"), func(wire []byte) {
		n := 0
		f.Push(wire, func(d Document, err error) {
			if err == nil && d.Failed == 0 {
				n++
			}
		})
		if n != 1 {
			b.Fatal(n)
		}
	})
}
