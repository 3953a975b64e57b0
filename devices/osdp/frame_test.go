package osdp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Check values of SIA Annex E, as printed with goToMain/libosdp.
func TestCheckVectors(t *testing.T) {
	if got := crc(unhex(t, "53 7F 0D 00 04 6E 00 80 25 00 00")); got != 0x386E {
		t.Errorf("CRC 1 = %04X, want 386E", got)
	}
	if got := checksum(unhex(t, "53 7F 0C 00 00 6E 00 80 25 00 00")); got != 0x0F {
		t.Errorf("checksum 1 = %02X, want 0F", got)
	}
}

const (
	pdid    = "53 80 14 00 06 45 00 0E E3 10 10 00 00 74 97 23 06 06 1B 88"
	exchID  = "53 E5 14 00 05 45 69 7A 00 99 01 04 03 02 01 0B 0C 0D 3D 05"
	exchRaw = "53 E5 10 00 07 50 00 01 1A 00 96 B4 D2 C0 6D E2"
	exchLED = "53 65 16 00 05 69 00 00 02 05 05 02 01 32 00 01 01 00 01 00 42 DE"
)

// tests of goToMain/libosdp and OSDP.Net, captures of libosdp-conformance and
// an exchange with libosdp 3.2.0.
var clearVectors = []struct {
	wire string
	want frame
	data string
}{
	{"53 65 08 00 04 60 60 90", frame{addr: 0x65, crc: true, code: 0x60}, ""},
	{"53 65 09 00 04 61 00 D9 7A", frame{addr: 0x65, crc: true, code: 0x61}, "00"},
	{"53 65 07 00 00 60 E1", frame{addr: 0x65, code: 0x60}, ""},
	{"53 E5 07 00 01 40 80", frame{addr: 0x65, reply: true, seq: 1, code: 0x40}, ""},
	{"53 00 08 00 06 60 89 CC", frame{seq: 2, crc: true, code: 0x60}, ""},
	{"53 00 07 00 02 60 44", frame{seq: 2, code: 0x60}, ""},
	{"53 00 09 00 06 62 00 F3 5D", frame{seq: 2, crc: true, code: 0x62}, "00"},
	{"53 00 0D 00 06 6E 01 80 25 00 00 EC 7B", frame{seq: 2, crc: true, code: 0x6E}, "01 80 25 00 00"},
	{"53 00 0D 00 06 6A 00 02 02 02 01 59 92", frame{seq: 2, crc: true, code: 0x6A}, "00 02 02 02 01"},
	{pdid, frame{reply: true, seq: 2, crc: true, code: 0x45}, "00 0E E3 10 10 00 00 74 97 23 06 06"},
	{"53 00 08 00 05 60 DA 99", frame{seq: 1, crc: true, code: 0x60}, ""},
	{"53 80 08 00 05 40 68 9F", frame{reply: true, seq: 1, crc: true, code: 0x40}, ""},
	{"53 65 09 00 05 61 00 E9 4D", frame{addr: 0x65, seq: 1, crc: true, code: 0x61}, "00"},
	{exchID, frame{addr: 0x65, reply: true, seq: 1, crc: true, code: 0x45}, "69 7A 00 99 01 04 03 02 01 0B 0C 0D"},
	{"53 65 08 00 07 60 33 C5", frame{addr: 0x65, seq: 3, crc: true, code: 0x60}, ""},
	{exchRaw, frame{addr: 0x65, reply: true, seq: 3, crc: true, code: 0x50}, "00 01 1A 00 96 B4 D2 C0"},
	{exchLED, frame{addr: 0x65, seq: 1, crc: true, code: 0x69}, "00 00 02 05 05 02 01 32 00 01 01 00 01 00"},
	{"53 E5 08 00 05 40 E3 A5", frame{addr: 0x65, reply: true, seq: 1, crc: true, code: 0x40}, ""},
	{"53 E5 2A 00 09 03 12 01 76 10 11 12 13 14 15 16 17 18 19 1A 1B 1C 1D 1E 1F 20 21 22 23 24 25 26 27 28 29 2A 2B 2C 2D 2E 2F 19",
		frame{addr: 0x65, reply: true, seq: 1, scs: scsCCrypt, block: []byte{1}, code: 0x76},
		"10 11 12 13 14 15 16 17 18 19 1A 1B 1C 1D 1E 1F 20 21 22 23 24 25 26 27 28 29 2A 2B 2C 2D 2E 2F"},
}

func TestFrameVectors(t *testing.T) {
	for _, tc := range clearVectors {
		wire := unhex(t, tc.wire)
		tc.want.data = unhex(t, tc.data)
		if got := appendFrame(nil, tc.want, nil); !bytes.Equal(got, wire) {
			t.Errorf("%+v = % X, want % X", tc.want, got, wire)
		}
		var s scanner
		s.feed(append([]byte{mark, mark}, wire...))
		got, ok := s.next()
		if !ok || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tc.want) || s.partial() {
			t.Errorf("%s = %+v %t, want %+v", tc.wire, got, ok, tc.want)
		}
	}
}

// Frames to refuse: unit tests of goToMain/libosdp, and others that are
// derived. A good frame behind them is found all the same.
func TestFrameRefused(t *testing.T) {
	derived := func(b ...byte) string { return hex.EncodeToString(append(b, checksum(b))) }
	for _, tc := range []struct{ name, wire string }{
		{"security block type 19", "53 E5 09 00 09 02 19 40 5B"},
		{"absurd length", "53 E5 FF FF 04 40 E7 A1"},
		{"length below the least", "53 E5 06 00 00 40"},
		{"length over the most", "53 E5 01 02 00 40"},
		{"wrong CRC", "53 65 08 00 04 60 60 91"},
		{"wrong checksum", "53 65 07 00 00 60 E2"},
		{"garbage of the libosdp table", "01 02 03 53 53"},
		{"control bit 7", derived(som, 0xE5, 7, 0, 0x81, 0x40)},
		{"security block of no bytes", derived(som, 0xE5, 9, 0, 9, 0, 0x16, 0x40)},
		{"security block over the end", derived(som, 0xE5, 9, 0, 9, 9, 0x11, 0x40)},
		{"handshake block without a code", derived(som, 0xE5, 9, 0, 9, 3, 0x11, 1)},
		{"traffic block with data", derived(som, 0xE5, 0x0E, 0, 9, 3, 0x16, 1, 0x40, 0, 0, 0, 0)},
		{"traffic block without a MAC", derived(som, 0xE5, 9, 0, 9, 2, 0x16, 0x40)},
		{"no room for a code", derived(som, 0xE5, 7, 0, 0x0C, 0)},
	} {
		var s scanner
		s.feed(unhex(t, tc.wire))
		if f, ok := s.next(); ok {
			t.Errorf("%s: read as %+v", tc.name, f)
		}
		s.feed(unhex(t, exchRaw))
		f, ok := s.next()
		for !ok && s.partial() { // silence ends a false start that waits for more
			s.stale()
			f, ok = s.next()
		}
		if !ok || f.code != repRaw {
			t.Errorf("%s: good frame behind it lost", tc.name)
		}
	}
}

// Whatever surrounds them and however they are split, good frames come out.
func TestScannerSplitGarbageAndGlue(t *testing.T) {
	good := unhex(t, exchRaw)
	broken := bytes.Clone(good)
	broken[9] ^= 1
	stream := bytes.Join([][]byte{{0, som}, good, good, broken, {mark, mark}, good, {som, 0xE5, 0x09}, good}, nil)
	for _, chunk := range []int{1, 2, 7, 16, 17, len(stream)} {
		var s scanner
		frames := 0
		for rest := stream; len(rest) > 0; {
			n := s.feed(rest[:min(chunk, len(rest))])
			rest = rest[n:]
			for _, ok := s.next(); ok; _, ok = s.next() {
				frames++
			}
		}
		for s.partial() {
			s.stale()
			for _, ok := s.next(); ok; _, ok = s.next() {
				frames++
			}
		}
		if frames != 4 || s.count.Frames != 4 || s.count.CheckErrors == 0 || s.count.Bytes != uint64(len(stream)) {
			t.Errorf("chunks of %d: %d frames, %+v", chunk, frames, s.count)
		}
	}
}

// A flipped bit never gives another card: all that the check lets through is
// the frame as a checksum one, one in 256 of those, which the driver refuses
// since it spoke with a CRC.
func TestScannerEveryBitFlipped(t *testing.T) {
	for i := range 8 * len(unhex(t, exchRaw)) {
		b := unhex(t, exchRaw)
		b[i/8] ^= 1 << (i % 8)
		var s scanner
		s.feed(b)
		if f, ok := s.next(); ok && f.crc {
			t.Errorf("bit %d flipped read as %+v", i, f)
		}
	}
}

// Payloads of OSDP.Net's tests.
func TestPayloadVectors(t *testing.T) {
	c, err := parseCard(unhex(t, "05 00 10 00 12 AB"))
	if err != nil || c.reader != 5 || c.bits != 16 || c.ident() != "12AB" {
		t.Errorf("RAW = %+v %v", c, err)
	}
	bits := ""
	for i := range c.bits {
		bits += fmt.Sprint(c.bit(i))
	}
	if bits != "0001001010101011" {
		t.Errorf("RAW bits %s", bits)
	}
	caps, err := parseCapabilities(unhex(t, "03 01 01 04 04 01 05 02 01 06 00 00 07 00 00 08 01 00 09 01 01 0A C2 01 0E 00 00 0F 00 00 10 01 00"))
	if want := (capabilities{aes: true, receive: 450}); err != nil || caps != want {
		t.Errorf("PDCAP = %+v %v", caps, err)
	}
	caps, err = parseCapabilities(unhex(t, "01 04 04 02 01 06 0D 00 01 0D 00 00 0A 50 00"))
	if want := (capabilities{receive: receiveLeast, inputs: true, outputs: true}); err != nil || caps != want { // the last word counts
		t.Errorf("PDCAP = %+v %v", caps, err)
	}
	for text, want := range map[string]Points{"00": 0, "00 01": 2, "01 00 00 FF": 9, strings.Repeat("00 ", 63) + "01": 1 << 63} {
		if p, err := parsePoints(unhex(t, text)); err != nil || p != want {
			t.Errorf("parsePoints(%s) = %b, %v, want %b", text, p, err, want)
		}
	}
	for _, text := range []string{"", strings.Repeat("00", 65)} {
		if p, err := parsePoints(unhex(t, text)); !errors.Is(err, errFormat) || p != 0 {
			t.Errorf("parsePoints of %d bytes = %b, %v", len(text)/2, p, err)
		}
	}
	if all := slices.Collect(Points(1<<63 | 9).All()); !slices.Equal(all, []int{0, 3, 63}) {
		t.Errorf("All = %v", all)
	}
	out := appendOutputs(nil, []Output{{3, 1, 250 * time.Second}, {5, 4, 1000 * time.Second}})
	if !bytes.Equal(out, unhex(t, "03 01 C4 09 05 04 10 27")) {
		t.Errorf("OUT = % X", out)
	}
	id, err := parseIdentity(unhex(t, pdid)[6:18])
	if want := (Identity{[3]byte{0, 0x0E, 0xE3}, 0x10, 0x10, 0x97740000, [3]byte{0x23, 0x06, 0x06}}); err != nil || id != want {
		t.Errorf("PDID = %+v %v", id, err)
	}
	if id, err = parseIdentity(unhex(t, exchID)[6:18]); err != nil || id != (Identity{[3]byte{0x69, 0x7A, 0}, 0x99, 1, 0x01020304, [3]byte{0x0B, 0x0C, 0x0D}}) {
		t.Errorf("PDID = %+v %v", id, err)
	}
	led := appendLights(nil, []Light{{Temp: &Blink{Green, Red, 500 * time.Millisecond, 500 * time.Millisecond}, Time: 5 * time.Second, Lasting: &Blink{On: Red}}})
	if !bytes.Equal(led, unhex(t, exchLED)[6:20]) {
		t.Errorf("LED = % X", led)
	}
	buzz := appendBuzz(nil, Buzz{On: 200 * time.Millisecond, Off: 150 * time.Millisecond, Times: 1})
	if !bytes.Equal(buzz, unhex(t, "00 02 02 02 01")) {
		t.Errorf("BUZ = % X", buzz)
	}
}

// Derived: what a payload may not be, and the edges of what it may.
func TestPayloadsDerived(t *testing.T) {
	for _, bad := range []string{"", "00 00 1A 00", "00 00 1A 00 96 B4 D2", "00 00 1A 00 96 B4 D2 C0 00", "00 00 00 00 00", "00 00 01 01 00", "00 00 FF FF 00"} {
		if c, err := parseCard(unhex(t, bad)); err == nil {
			t.Errorf("RAW %q read as %+v", bad, c)
		}
	}
	for _, bad := range []string{"", "00", "00 02 31", "00 01 31 32"} {
		if k, err := parseKeys(unhex(t, bad)); err == nil {
			t.Errorf("KEYPAD %q read as %q", bad, k)
		}
	}
	if k, err := parseKeys(unhex(t, "00 04 31 39 7F 0D")); err != nil || string(k) != "19*#" {
		t.Errorf("KEYPAD = %q %v", k, err)
	}
	for _, tc := range []struct {
		data  string
		ident devices.Ident
		doubt bool
	}{
		{"00 00 1A 00 96 B4 D2 C0", "96B4D2C0", false},
		{"00 00 1A 00 96 B4 D2 FF", "96B4D2C0", false}, // what is behind the bits is nothing
		{"00 01 1A 00 96 B4 D2 C0", "96B4D2C0", true},  // parity of 26 bits wrong
		{"00 01 1A 00 22 53 89 C0", "225389C0", false}, // Wiegand page: FC 68, CN 41551 (Z9)
		{"00 01 1A 00 22 53 8B C0", "22538BC0", true},
		{"00 01 22 00 01 F3 98 1C C0", "01F3981CC0", false}, // Wiegand page: 34 bits, FC 999, CN 12345
		{"00 01 22 00 01 F3 98 1C 80", "01F3981C80", true},
		{"00 00 08 00 FF", "FF", true},
		{"00 00 1A 00 00 00 00 3F", "00000000", true},
	} {
		c, err := parseCard(unhex(t, tc.data))
		if err != nil || c.ident() != tc.ident || c.doubtful() != tc.doubt {
			t.Errorf("RAW %s: %q doubtful %t %v", tc.data, c.ident().Reveal(), c.doubtful(), err)
		}
	}
	if c, err := parseCapabilities(unhex(t, "0A 10 00")); err != nil || c.receive != receiveLeast {
		t.Errorf("a receive size under the least: %+v %v", c, err)
	}
	if _, err := parseCapabilities(unhex(t, "09 01")); err == nil {
		t.Error("capabilities cut off were read")
	}
	if b := appendLights(nil, []Light{{Lasting: &Blink{On: Green}}}); !bytes.Equal(b, unhex(t, "00 00 01 00 00 00 00 00 00 01 01 00 02 00")) {
		t.Errorf("steady green = % X", b)
	}
	if b := appendText(nil, Text{Row: 1, Column: 2, For: 1500 * time.Millisecond, Text: "Gué"}); !bytes.Equal(b, unhex(t, "00 03 02 01 02 04 47 75 3F 3F")) {
		t.Errorf("text = % X", b)
	}
}

func TestNoAllocationPerByte(t *testing.T) {
	var s scanner
	devicestest.NoAllocationPerByte(t, "\x53\x00\x08\x04", func(b []byte) {
		for len(b) > 0 {
			b = b[s.feed(b):]
			for _, ok := s.next(); ok; _, ok = s.next() {
				continue // by chance
			}
		}
	})
}

func FuzzScanner(f *testing.F) {
	for _, v := range clearVectors {
		f.Add(unhex(f, v.wire), 3)
	}
	f.Add(unhex(f, "53 00 0E 00 0E 02 15 60 4B 32 76 77 73 B6"), 1)
	f.Fuzz(func(t *testing.T, b []byte, chunk int) {
		chunk = min(max(chunk, 1), longest)
		devicestest.Frugal(t, func() (frames int) {
			var s scanner
			for rest := b; len(rest) > 0; {
				n := s.feed(rest[:min(chunk, len(rest))])
				rest = rest[n:]
				for fr, ok := s.next(); ok && n > 0; fr, ok = s.next() {
					frames++
					if c, err := parseCard(fr.data); err == nil {
						_ = c.ident()
					}
				}
				if n == 0 {
					return frames // told below
				}
			}
			return frames
		})
		var s scanner
		for len(b) > 0 {
			n := s.feed(b[:min(chunk, len(b))])
			if n == 0 {
				t.Fatal("a full buffer that gives no frame: the driver would spin")
			}
			b = b[n:]
			for fr, ok := s.next(); ok; fr, ok = s.next() {
				again := appendFrame(nil, fr, func() func([]byte) [macSize]byte {
					if fr.mac == nil {
						return nil
					}
					return func([]byte) [macSize]byte { return [macSize]byte(fr.mac) }
				}())
				if !intact(again) || len(again) > longest {
					t.Fatalf("frame does not survive a round trip: %+v", fr)
				}
				_, _ = parseIdentity(fr.data)
				_, _ = parseCapabilities(fr.data)
				_, _ = parseKeys(bytes.Clone(fr.data))
				_, _ = parsePoints(fr.data)
				_, _ = parseSettings(fr.data)
				if c, err := parseCard(fr.data); err == nil && len(c.ident()) != 2*((c.bits+7)/8) {
					t.Fatalf("%d bits gave %d digits", c.bits, len(c.ident()))
				}
			}
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	var s scanner
	b.Run("channel=clear", func(b *testing.B) {
		card := appendFrame(nil, frame{reply: true, crc: true, code: repRaw, data: number(7)}, nil)
		devicestest.Codec(b, card, func(wire []byte) {
			s.feed(wire)
			f, ok := s.next()
			if c, err := parseCard(f.data); !ok || err != nil || c.bits != 32 {
				b.Fatal(ok, err, f)
			}
		})
	})
	b.Run("channel=secure", func(b *testing.B) {
		ch := zero()
		card := replyOf(zero(), repRaw, number(7))
		devicestest.Codec(b, card, func(wire []byte) {
			ch.cmac = [16]byte{}
			s.feed(wire)
			f, ok := s.next()
			data, err := ch.reply(f)
			if c, wrong := parseCard(data); !ok || err != nil || wrong != nil || c.bits != 32 {
				b.Fatal(ok, err, wrong, f)
			}
		})
	})
}
