package nedap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/devices/line"
	"boothd/devices/port"
)

// A camera that cannot be understood is told once, and so is its end.
func TestFaults(t *testing.T) {
	good := (&Camera{Packets: true}).Report(1, time.Unix(1e9, 0), "AAA1", "ON", 1)
	for _, c := range []struct {
		name    string
		packets bool
		bad     []byte
		times   int
		want    error
	}{
		{"noise", false, bytes.Repeat([]byte{0x80, 0xFF}, 1030), 2, ErrNoise},
		{"open codes", false, bytes.Repeat([]byte{0x89, 0xAB, 0xCD, 0xEF}, 515), 2, ErrNoise},
		{"text that is no plate", false, (&Camera{}).frame(8, "\x01\x02"), 1, nil},
		{"noise for packets", true, bytes.Repeat([]byte{24, 0, 0, 0, 7}, 400), 3, ErrNoise},
		{"the other form", true, bytes.Repeat((&Camera{}).frame(8, "AAA1"), 90), 3, ErrNoise},
		{"packets without a plate", true, simPacket(0, score(3)), 3, errPlateless},
		{"packets that say a thing twice", true, simPacket(0, text(14004, 8, "A1"), text(14004, 8, "B2")), 3, errTwice},
	} {
		t.Run(c.name, func(t *testing.T) {
			cam := &Camera{Packets: c.packets}
			play(t, cam, Config{}, func(f *follow) {
				for i := range c.times {
					if len(f.faults) > 0 {
						f.Errorf("after %d: %v", i, f.faults)
					}
					f.do(cam.Raw(c.bad))
				}
				if told := len(f.faults) > 0; told != (c.want != nil) {
					f.Errorf("after %d: %v", c.times, f.faults)
				}
				for range 5 {
					f.do(cam.Raw(c.bad))
				}
				if c.want == nil && len(f.faults) != 0 || c.want != nil && (len(f.faults) != 1 || !errors.Is(f.faults[0], c.want)) {
					f.Errorf("faults %v, want %v", f.faults, c.want)
				}
				time.Sleep(5 * time.Second)
				if c.packets {
					f.do(cam.Raw(good))
				} else {
					f.do(cam.Raw(cam.frame(9, "AAA1-ON")))
				}
				if n := len(f.faults); c.want != nil && (n != 2 || f.faults[1] != nil) || f.texts() != "AAA1" {
					f.Errorf("faults %v, read %q", f.faults, f.texts())
				}
			})
		})
	}
}

// Text after text that is no plate is a fault, and none is sent again for it.
func TestUnreadableText(t *testing.T) {
	cam := &Camera{}
	f := play(t, cam, Config{Ack: "06"}, func(f *follow) {
		for n := range uint32(4) {
			f.do(cam.Raw(cam.frame(n+1, "??\x01")))
		}
	})
	if len(f.reads) != 0 || len(f.faults) != 1 || f.faults[0] == nil || f.r.Counters().CheckErrors != 4 || f.r.Counters().Frames != 4 {
		t.Errorf("%d reads, faults %v, %+v", len(f.reads), f.faults, f.r.Counters())
	}
}

// An error that the camera reports of itself stands until it reports none; the
// plate is read all the same.
func TestErrorOfTheCamera(t *testing.T) {
	cam := &Camera{Packets: true}
	plate := text(14003, 24, "AAA1-ON")
	play(t, cam, Config{Window: time.Nanosecond}, func(f *follow) {
		for range 4 {
			f.do(cam.Raw(simPacket(5)))
		}
		f.do(cam.Raw(simPacket(5, plate)))
		if len(f.faults) != 1 || f.faults[0].Error() != "camera reports error 5" || f.texts() != "AAA1" || f.r.Counters().CheckErrors != 0 {
			f.Errorf("faults %v, read %q, %+v", f.faults, f.texts(), f.r.Counters())
		}
		f.do(cam.Raw(simPacket(0, plate)))
		if len(f.faults) != 2 || f.faults[1] != nil || f.texts() != "AAA1 AAA1" {
			f.Errorf("faults %v, read %q", f.faults, f.texts())
		}
	})
}

// At another speed nothing is read, and it is told.
func TestWrongSpeed(t *testing.T) {
	for _, cam := range []*Camera{{}, {Little: true}, {Packets: true}} {
		f := play(t, cam, Config{}, func(f *follow) {
			for n := range 400 {
				b := cam.Report(uint32(n+1), time.Unix(1e9, 0), plateOf(n), "ON", 0.9)
				for i := range b {
					b[i] = b[i]<<3 | 0x81
				}
				f.do(cam.Raw(b))
			}
		})
		if len(f.reads) != 0 || len(f.faults) != 1 || f.faults[0] != ErrNoise {
			t.Errorf("%d reads, faults %v", len(f.reads), f.faults)
		}
	}
}

// An answer that does not get through ends a reader, and the read before it is
// not lost.
func TestBlockedWrite(t *testing.T) {
	cam := &Camera{}
	f := play(t, cam, Config{Ack: stuckAck}, func(f *follow) {
		began := time.Now()
		defer func() {
			if took := time.Since(began); took > 1500*time.Millisecond { // of virtual time; a write is given up after one second
				f.Errorf("it took %v to end", took)
			}
		}()
		f.do(cam.Raw(slices.Concat(cam.frame(1, "AAA1"), cam.frame(2, "BBB2"))))
		<-f.over
	})
	if !errors.Is(f.err, port.ErrStuck) || f.texts() != "AAA1 BBB2" {
		t.Errorf("ended with %v, read %q", f.err, f.texts())
	}
}

func TestBadConfigurations(t *testing.T) {
	some := textOf(t, line.Config{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx context.Context
		cfg Config
	}{
		"acknowledgement":           {t.Context(), Config{Text: some, Ack: "ok"}},
		"acknowledgement of packet": {t.Context(), Config{Text: some, Packets: true, Ack: "06"}},
		"no text":                   {t.Context(), Config{}},
		"too late":                  {ended, Config{Text: some}},
	} {
		near, far := net.Pipe()
		_, err := Open(c.ctx, near, c.cfg)
		if _, gone := far.Read(make([]byte, 1)); err == nil || !errors.Is(gone, io.EOF) {
			t.Errorf("%s: %v; the port is %v", name, err, gone)
		}
	}
}

// I7: however a read, a fault or an error is printed, the plate is not in it.
func TestI7_NoPlateIsPrinted(t *testing.T) {
	const secret = "SECRET7"
	var printed strings.Builder
	log := slog.New(slog.NewJSONHandler(&printed, nil))
	show := func(v any) {
		fmt.Fprintf(&printed, "%v %+v %#v %s %q\n", v, v, v, v, v)
		log.Info("x", "v", v)
		if b, err := json.Marshal(v); err == nil {
			printed.Write(b)
		}
	}
	for _, cam := range []*Camera{{}, {Packets: true}} {
		bad := [][]byte{cam.frame(8, secret+"\x01"), cam.frame(9, secret+secret+secret+secret+secret+secret), simPacket(0, text(14004, 20, secret+"\x01")), simPacket(0, text(14004, 20, secret+"\xfc"))}
		f := play(t, cam, Config{}, func(f *follow) {
			f.do(cam.Plate(secret, "ON", 0.9))
			for _, b := range slices.Concat(bad, bad) {
				f.do(cam.Raw(b))
			}
		})
		show(f.err)
		for _, r := range f.reads {
			fmt.Fprintf(&printed, "%v %+v %#v", r, r, r)
			log.Info("x", "v", r)
			show(*r.Plate)
		}
		for _, err := range f.faults {
			show(err)
		}
		if len(f.reads) != 1 || len(f.faults) == 0 || f.r.Counters().CheckErrors == 0 {
			t.Errorf("%d reads, faults %v, %+v", len(f.reads), f.faults, f.r.Counters())
		}
	}
	if printed.Len() < 1000 || strings.Contains(printed.String(), secret) {
		t.Errorf("a plate in clear, or nothing printed:\n%s", &printed)
	}
}
