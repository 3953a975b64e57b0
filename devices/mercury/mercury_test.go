package mercury

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
	"boothd/devices/port"
	"boothd/devices/sim"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Host frames of the Mercury page, Vectors.
func TestCommandVectors(t *testing.T) {
	for _, tc := range []struct {
		op   byte
		data string
		want string
	}{
		// Published.
		{opVersion, "", "FF 00 03 1D 0C"},
		{opBootFW, "", "FF 00 04 1D 0B"},
		{opProtocol, "00 05", "FF 02 93 00 05 51 7D"},
		{opRegion, "08", "FF 01 97 08 4B B5"},
		{opTag, "01 F4", "FF 02 22 01 F4 E7 76"},
		{0x21, "03 E8", "FF 02 21 03 E8 D5 09"},
		{0x94, "09 C4", "FF 02 94 09 C4 28 5B"},
		{0x10, "00 00", "FF 02 10 00 00 F0 93"},
		{0x64, "01", "FF 01 64 01 B8 BC"},
		{opTag, "04 00 04 03 E8 00 00 00 00 00 00 00 78 08 34 01 0C 24 00 00 00 00 00 00 02 00 12 34 56 78", "FF 1E 22 04 00 04 03 E8 00 00 00 00 00 00 00 78 08 34 01 0C 24 00 00 00 00 00 00 02 00 12 34 56 78 AF 29"},
		{0x24, "03 E8 00 00 00 00 00 03 00 EE", "FF 0A 24 03 E8 00 00 00 00 00 03 00 EE 58 9D"}, // of a comment in the SparkFun library
		{0x62, "", "FF 00 62 1D 6D"},
		{0x61, "00", "FF 01 61 00 BD BD"},
		// Derived; the data of the last is published by SparkFun.
		{opRegion, "01", "FF 01 97 01 4B BC"},
		{opRegion, "0D", "FF 01 97 0D 4B B0"},
		{opPower, "0A 8C", "FF 02 92 0A 8C 4B D5"},
		{opAntennas, "02 01 01", "FF 03 91 02 01 01 42 C5"},
		{opAntennas, "02 01 01 02 02", "FF 05 91 02 01 01 02 02 2D C0"},
		{opParameter, "01 0C 00", "FF 03 9A 01 0C 00 A3 5D"},
		{opProgram, "", "FF 00 0C 1D 03"},
		{opTemp, "", "FF 00 72 1D 7D"},
		{opStream, "00 00 02", "FF 03 2F 00 00 02 5E 86"},
		{opStream, "00 00 01 22 00 00 05 07 22 10 00 1B 03 E8 01 FF", "FF 10 2F 00 00 01 22 00 00 05 07 22 10 00 1B 03 E8 01 FF DD 2B"},
	} {
		if got := appendCommand(nil, tc.op, unhex(t, tc.data)...); !bytes.Equal(got, unhex(t, tc.want)) {
			t.Errorf("command %02X %s = % X, want %s", tc.op, tc.data, got, tc.want)
		}
	}
}

const (
	sparkfun = "FF 28 22 00 00 10 00 1B 01 FF 01 01 C4 11 0E 16 40 00 00 01 27 00 00 05 00 00 0F 00 80 30 00 00 00 00 00 00 00 00 00 00 00 15 45 E9 4A 56 1D"
	gid      = "FF 28 22 00 00 10 00 1B 01 FF 01 01 D1 11 0D F7 32 00 00 03 2C 00 2D 05 00 00 0F 00 80 30 00 35 00 E8 6F 80 00 A9 E0 00 00 05 86 BE 19 D8 01"
)

func TestResponseVectors(t *testing.T) {
	for _, tc := range []struct {
		frame  string
		op     byte
		status uint16
		data   int
	}{
		// Published.
		{"FF 02 62 00 00 09 C4 1F B7", 0x62, 0, 2},
		{"FF 02 61 00 00 01 02 4E 21", 0x61, 0, 2},
		{"FF 14 03 00 00 07 09 17 00 01 00 00 01 20 07 10 12 09 05 12 00 00 00 00 10 6B CC", 0x03, 0, 20},
		{"FF 05 28 00 00 03 11 11 22 22 10 BF", 0x28, 0, 5},
		{sparkfun, 0x22, 0, 40},
		// Derived.
		{"FF 03 2F 00 00 00 00 02 FC BE", 0x2F, 0, 3},
		{"FF 01 0C 00 00 12 63 43", 0x0C, 0, 1}, {"FF 01 0C 00 00 11 63 40", 0x0C, 0, 1},
		{"FF 01 72 00 00 25 48 22", 0x72, 0, 1},
		{"FF 00 22 04 00 84 E0", 0x22, 0x0400, 0}, {"FF 00 22 05 04 85 E4", 0x22, 0x0504, 0},
		{gid, 0x22, 0, 40},
	} {
		var s scanner
		s.feed(unhex(t, tc.frame))
		r, ok := s.next()
		if !ok || r.op != tc.op || r.status != tc.status || len(r.data) != tc.data || s.partial() {
			t.Errorf("%s: %+v %t", tc.frame, r, ok)
		}
	}
	// Errata of the manuals, kept as negative tests, and what they should be.
	for bad, right := range map[string]string{"FF 03 29 00 15 00 97 55": "E1 22", "FF 07 62 00 00 01 0B B8 0B B8 01 F4 1F B7": "7F 77"} {
		wire := unhex(t, bad)
		var s scanner
		s.feed(wire)
		if r, ok := s.next(); ok {
			t.Errorf("%s: accepted as %+v", bad, r)
		}
		if got := binary.BigEndian.AppendUint16(nil, crc(wire[1:len(wire)-2])); !bytes.Equal(got, unhex(t, right)) {
			t.Errorf("%s: its check value should be % X, want %s", bad, got, right)
		}
	}
}

func TestTagRecords(t *testing.T) {
	read := func(frame string) (devices.Tag, error) { return tagRecord(unhex(t, frame)[5:][:40]) }
	a, err := read(sparkfun)
	if want := (devices.Tag{EPC: "000000000000000000001545", RSSIDBm: -60, Antenna: 1, Gen2: true}); err != nil || a != want {
		t.Errorf("SparkFun record: %+v %q %v", a, a.EPC.Reveal(), err)
	}
	b, err := read(gid)
	if want := (devices.Tag{EPC: "3500E86F8000A9E000000586", RSSIDBm: -47, Antenna: 1, Gen2: true}); err != nil || b != want {
		t.Errorf("GID record: %+v %q %v", b, b.EPC.Reveal(), err)
	}
	withTID, err := SimTag{EPC: "AABB", TID: "E2003412012345", RSSIDBm: -70, Antenna: 3}.Record()
	if err != nil {
		t.Fatal(err)
	}
	if c, err := tagRecord(withTID); err != nil || c.TID != "E2003412012345" || c.EPC != "AABB" || c.Antenna != 3 || c.RSSIDBm != -70 {
		t.Errorf("with TID: %+v %v", c, err)
	}
	damaged, _ := SimTag{EPC: "AABB", TID: "E200", Damaged: true}.Record()
	if d, err := tagRecord(damaged); err != nil || !d.Unreadable || d.EPC != "" || d.TID != "" || d.Gen2 {
		t.Errorf("damaged: %+v %v", d, err)
	}
	blank, _ := SimTag{}.Record()
	if e, err := tagRecord(blank); err != nil || !e.Unreadable || !e.Gen2 || e.EPC != "" {
		t.Errorf("blank: %+v %v", e, err)
	}
	iso, _ := SimTag{EPC: "AABB"}.Record()
	body := iso[len(iso)-6 : len(iso)-2] // PC and number; the check value follows
	binary.BigEndian.PutUint16(body, 0x09A2)
	binary.BigEndian.PutUint16(iso[len(iso)-2:], tagCRC(body))
	if f, err := tagRecord(iso); err != nil || !f.ISO || !f.Gen2 || f.EPC != "AABB" {
		t.Errorf("ISO: %+v %v", f, err)
	}
	for n := range withTID { // truncated at every byte
		if _, err := tagRecord(withTID[:n]); err == nil {
			t.Errorf("record cut at %d was accepted", n)
		}
	}
}

// Whatever surrounds them and however they are split, good frames come out.
func TestScannerSplitGarbageAndGlue(t *testing.T) {
	good := unhex(t, gid)
	broken := bytes.Clone(good)
	broken[20] ^= 1
	stream := bytes.Join([][]byte{{0x00, 0x7F, start}, good, good, broken, {start, start, start}, good, {start, 5, 1}, good}, nil)
	for _, chunk := range []int{1, 2, 7, 46, 47, len(stream)} {
		var s scanner
		frames := 0
		take := func() {
			for {
				if r, ok := s.next(); !ok {
					return
				} else if r.op == opTag && len(r.data) == 40 {
					frames++
				}
			}
		}
		for rest := stream; len(rest) > 0; {
			n := s.feed(rest[:min(chunk, len(rest))])
			rest = rest[n:]
			take()
		}
		for s.partial() {
			s.stale()
			take()
		}
		if frames != 4 {
			t.Errorf("in chunks of %d: %d frames, want 4", chunk, frames)
		}
	}
}

func TestNoAllocationPerByte(t *testing.T) {
	var s scanner
	devicestest.NoAllocationPerByte(t, "\xFF\x00\x05\x22", func(b []byte) {
		for len(b) > 0 {
			b = b[s.feed(b):]
			for _, ok := s.next(); ok; _, ok = s.next() {
				continue // by chance
			}
		}
	})
}

func FuzzScanner(f *testing.F) {
	for _, s := range []string{sparkfun, gid, "FF 00 22 04 00 84 E0", "FF FF FF 00", "FF 05 28 00"} {
		f.Add(unhex(f, s), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, chunk int) {
		if chunk < 1 || chunk > 64 {
			chunk = 1
		}
		devicestest.Frugal(t, func() (frames int) {
			var s scanner
			for rest := b; len(rest) > 0; {
				n := s.feed(rest[:min(chunk, len(rest))])
				if n == 0 {
					return frames // told below
				}
				rest = rest[n:]
				for r, ok := s.next(); ok; r, ok = s.next() {
					frames++
					_, _ = tagRecord(r.data)
				}
			}
			return frames
		})
		var s scanner
		used := 0
		for rest := b; len(rest) > 0; {
			n := s.feed(rest[:min(chunk, len(rest))])
			if n == 0 {
				t.Fatal("the scanner takes nothing more: it spins")
			}
			rest = rest[n:]
			for {
				r, ok := s.next()
				if !ok {
					break
				}
				used += len(r.data) + 7
				if again := appendCommand(nil, r.op, append([]byte{byte(r.status >> 8), byte(r.status)}, r.data...)...); len(again) != len(r.data)+7 {
					t.Fatalf("frame of %d bytes", len(again))
				}
				if r.op == opTag {
					if tag, err := tagRecord(r.data); err == nil && !tag.Unreadable && tag.EPC == "" {
						t.Fatal("a readable tag without a number")
					}
				}
			}
		}
		if used > len(b) {
			t.Fatalf("%d bytes of frames out of %d", used, len(b))
		}
	})
}

// pipe is a line for virtual time: a net.Pipe whose Read gives 0, nil on silence.
type pipe struct{ net.Conn }

func (p pipe) SetBaud(int) error { return nil }

func (p pipe) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

var config = Config{Name: "pre", Role: devices.RoleCard, Baud: 115200, Region: 1, Power: 2700, Antennas: []int{1, 2}, ReadTID: true}

// play runs a driver against a simulated reader in virtual time.
func play(t *testing.T, m *Sim, cfg Config, f func(ctx context.Context, r *Reader)) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- m.Serve(far) }()
		ctx, cancel := context.WithCancel(t.Context())
		r, err := Open(ctx, pipe{near}, cfg)
		if err != nil {
			t.Error(err)
		} else {
			f(ctx, r)
			r.Close()
		}
		cancel()
		near.Close()
		far.Close()
		<-served
	})
}

func TestReadsTags(t *testing.T) {
	m := &Sim{BootLoader: true}
	m.Present(SimTag{EPC: "3500E86F8000A9E000000586", TID: "E200341201", RSSIDBm: -51, Antenna: 2}, SimTag{EPC: "AABB", Damaged: true})
	play(t, m, config, func(ctx context.Context, r *Reader) {
		good, bad := 0, 0
		for read, err := range r.Reads(ctx) {
			if err != nil {
				t.Error(err)
				break
			}
			switch {
			case read.Tag.Unreadable:
				bad++
			case read.Tag.EPC == "3500E86F8000A9E000000586" && read.Tag.TID == "E200341201" && read.Tag.RSSIDBm == -51 && read.Tag.Antenna == 2 &&
				read.Device == "pre" && read.Role == devices.RoleCard && !read.At.IsZero():
				good++
			default:
				t.Errorf("read %+v", read.Tag)
			}
			if good > 3 && bad > 3 {
				break
			}
		}
		if c := r.Counters(); good < 3 || c.Frames == 0 || c.Bytes == 0 {
			t.Errorf("%d good, %d bad, %+v", good, bad, c)
		}
	})
}

// ends drives a reader until Reads ends and returns its error.
func ends(t *testing.T, m *Sim, cfg Config, act func()) (took time.Duration, err error) {
	play(t, m, cfg, func(ctx context.Context, r *Reader) {
		began := time.Now()
		go act()
		for _, e := range r.Reads(ctx) {
			if e != nil {
				err, took = e, time.Since(began)
			}
		}
	})
	return took, err
}

func TestReaderEnds(t *testing.T) {
	m := &Sim{}
	if _, err := ends(t, m, config, func() { m.Reboot() }); !errors.Is(err, ErrReboot) {
		t.Errorf("after a reboot: %v", err)
	}
	m = &Sim{}
	if took, err := ends(t, m, config, func() { m.Mute(true) }); !errors.Is(err, ErrSilent) || took > 9*time.Second {
		t.Errorf("silent reader: %v after %v", err, took)
	}
	m = &Sim{}
	if _, err := ends(t, m, config, func() { m.Fault(statusNoRF) }); !errors.Is(err, ErrSetUp) {
		t.Errorf("lost set-up: %v", err)
	}
}

func TestHotReaderPausesAndComesBack(t *testing.T) {
	m := &Sim{}
	m.Present(SimTag{EPC: "AABB"})
	m.Temperature(80)
	var faults []uint16
	cfg := config
	cfg.Health = func(f Fault) { faults = append(faults, f.Code) }
	play(t, m, cfg, func(ctx context.Context, r *Reader) {
		go func() {
			m.Fault(statusHot)
			time.Sleep(10 * time.Second)
			m.Temperature(40)
		}()
		began := time.Now()
		for _, err := range r.Reads(ctx) {
			if err != nil {
				t.Error(err)
			}
			if time.Since(began) > 15*time.Second {
				break
			}
		}
	})
	if len(faults) != 2 || faults[0] != statusHot || faults[1] != 0 {
		t.Errorf("faults %04X, want hot and then over", faults)
	}
}

func TestGarbageBetweenFramesIsSkipped(t *testing.T) {
	m := &Sim{}
	m.Present(SimTag{EPC: "AABB"})
	play(t, m, config, func(ctx context.Context, r *Reader) {
		reads := 0
		for _, err := range r.Reads(ctx) {
			if err != nil {
				t.Error(err)
			}
			if reads++; reads > 20 {
				break
			}
			if reads%3 == 0 {
				go m.Raw([]byte{start, 200, opTag, 0, 0, 1, 2, 3}) // a half frame that claims 200 bytes
			}
		}
		if reads <= 20 {
			t.Errorf("%d reads", reads)
		}
	})
}

func TestNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		drained := make(chan struct{})
		go func() { io.Copy(io.Discard, far); close(drained) }()
		if _, err := Open(t.Context(), pipe{near}, config); !errors.Is(err, ErrSilent) {
			t.Errorf("Open = %v, want silence", err)
		}
		far.Close()
		<-drained
	})
}

// The whole road, on the kernel's line: pty, serial library, driver; then the
// cable is pulled.
func TestOverAPTY(t *testing.T) {
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	m := &Sim{Every: 5 * time.Millisecond}
	m.Present(SimTag{EPC: "3500E86F8000A9E000000586", RSSIDBm: -40})
	served := make(chan error, 1)
	go func() { served <- m.Serve(far) }()
	p, err := port.Open(t.Context(), port.Spec{Path: path, Baud: 115200})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), p, config)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	reads := 0
	for _, err := range r.Reads(t.Context()) {
		if err != nil {
			if !errors.Is(err, port.ErrGone) {
				t.Errorf("after the unplug: %v", err)
			}
			break
		}
		if reads++; reads == 10 {
			far.Close()
		}
	}
	<-served
	if reads < 10 {
		t.Errorf("%d reads", reads)
	}
}

// overheard is a line whose host is listened to.
type overheard struct {
	pipe
	said *[][]byte
}

func (o overheard) Write(b []byte) (int, error) {
	*o.said = append(*o.said, bytes.Clone(b))
	return o.pipe.Write(b)
}

// The kill and access passwords are never read or written (EPC Gen2, bank 00):
// of a tag's memory nothing is asked for but the chip number, and nothing of it is
// written, locked or killed.
func TestPasswordsAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		m := &Sim{}
		served := make(chan error, 1)
		go func() { served <- m.Serve(far) }()
		line := overheard{pipe{near}, &[][]byte{}}
		r, err := Open(t.Context(), line, config)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		_ = far.Close()
		<-served
		harmless := []byte{opVersion, opBootFW, opBaud, opProgram, opClear, opStream, opAntennas, opPower, opProtocol, opRegion, opParameter, opAutonomy, opTemp}
		reads := 0
		for _, f := range *line.said {
			f = bytes.TrimLeft(f, "\xFF") // the start, and what ends a former owner's frame
			if !bytes.Contains(harmless, f[1:2]) {
				t.Errorf("command %02X: % X", f[1], f)
			}
			if i := bytes.IndexByte(f, opReadData); f[1] == opStream && i > 0 {
				if reads++; f[i+4] != 2 {
					t.Errorf("bank %d is read: % X", f[i+4], f)
				}
			}
		}
		if reads == 0 {
			t.Error("the chip number was not asked for: nothing was tried")
		}
	})
}
