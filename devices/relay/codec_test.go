package relay

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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

// Requests of the page on GPIO and relays, Vectors: Waveshare, the Modbus
// specification's example and a register-style board.
func TestModbusRequestVectors(t *testing.T) {
	for _, tc := range []struct {
		name          string
		unit, fn      byte
		address, word uint16
		want          string
	}{
		{"relay 0 on", 1, fnWriteCoil, 0, coilWord(true), "01 05 00 00 FF 00 8C 3A"},
		{"relay 0 off", 1, fnWriteCoil, 0, coilWord(false), "01 05 00 00 00 00 CD CA"},
		{"read 8 coils", 1, fnReadCoils, 0, 8, "01 01 00 00 00 08 3D CC"},
		{"read 8 inputs", 1, fnReadInputs, 0, 8, "01 02 00 00 00 08 79 CC"},
		{"flash relay 0 for 700 ms", 1, fnWriteCoil, 0x0200, 7, "01 05 02 00 00 07 8D B0"},
		{"all relays on", 1, fnWriteCoil, 0x00FF, coilWord(true), "01 05 00 FF FF 00 BC 0A"},
		{"read 3 registers of unit 17", 0x11, fnReadHolding, 0x6B, 3, "11 03 00 6B 00 03 76 87"},
		{"read input register 0", 1, fnReadRegisters, 0, 1, "01 04 00 00 00 01 31 CA"},
		{"register relay 0 on", 1, fnWriteRegister, 0, 1, "01 06 00 00 00 01 48 0A"},
	} {
		if got := appendRequest(nil, tc.unit, tc.fn, tc.address, tc.word); !bytes.Equal(got, unhex(t, tc.want)) {
			t.Errorf("%s: % X, want %s", tc.name, got, tc.want)
		}
	}
	// Derived: ten coils from 19 on, the specification's own example of function
	// 0F; the check value is computed.
	want := "11 0F 00 13 00 0A 02 CD 01 BF 0B"
	if got := appendWriteCoils(nil, 0x11, 0x13, 10, 0x1CD); !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("write of coils: % X, want %s", got, want)
	}
}

func TestModbusAnswerVectors(t *testing.T) {
	for _, tc := range []struct {
		name, request, answer string
		data                  string
		err                   error
	}{
		{"echo of a write", "01 05 00 00 FF 00 8C 3A", "01 05 00 00 FF 00 8C 3A", "", nil},
		{"all off", "01 01 00 00 00 08 3D CC", "01 01 01 00 51 88", "00", nil},
		{"inputs", "01 02 00 00 00 08 79 CC", "01 02 01 00 A1 88", "00", nil},
		{"coil 0 on", "01 01 00 00 00 08 3D CC", "01 01 01 01 90 48", "01", nil},
		{"input 2 on", "01 02 00 00 00 08 79 CC", "01 02 01 04 A0 4B", "04", nil},
		{"exception (derived)", "01 03 00 00 00 01 84 0A", "01 83 02 C0 F1", "", Exception{3, 2}},
		{"register relay 0 on", "01 06 00 00 00 01 48 0A", "01 06 00 00 00 01 48 0A", "", nil},
	} {
		request, answer := unhex(t, tc.request), unhex(t, tc.answer)
		data, used, err := modbusAnswer(request, answer)
		if used != len(answer) || !errors.Is(err, tc.err) || !bytes.Equal(data, unhex(t, tc.data)) {
			t.Errorf("%s: % X, used %d, %v", tc.name, data, used, err)
		}
		for n := range answer { // cut at every byte: more is asked for
			if _, used, err := modbusAnswer(request, answer[:n]); used != 0 || err != nil {
				t.Errorf("%s cut at %d: used %d, %v", tc.name, n, used, err)
			}
		}
		for i := range 8 * len(answer) { // every bit flipped: no answer
			bad := bytes.Clone(answer)
			bad[i/8] ^= 1 << (i % 8)
			if _, used, err := modbusAnswer(request, bad); used > 0 && !errors.Is(err, errStray) && !errors.Is(err, errDamaged) {
				t.Errorf("%s with bit %d flipped: used %d, %v", tc.name, i, used, err)
			}
		}
	}
}

// A late answer to an earlier request is not the answer to this one.
func TestModbusStrayAnswers(t *testing.T) {
	request := unhex(t, "01 05 00 00 FF 00 8C 3A")
	for name, stray := range map[string]string{
		"another coil":     "01 05 00 FF FF 00 BC 0A",
		"the other level":  "01 05 00 00 00 00 CD CA",
		"another function": "01 01 01 00 51 88",
		"another unit":     "11 03 00 6B 00 03 76 87",
		"another's no":     "01 83 02 C0 F1",
	} {
		if _, used, err := modbusAnswer(request, unhex(t, stray)); used == 0 || !errors.Is(err, errStray) {
			t.Errorf("%s: used %d, %v", name, used, err)
		}
	}
	read := unhex(t, "01 01 00 00 00 08 3D CC")
	if _, used, err := modbusAnswer(read, unhex(t, "01 01 02 00 00 B9 FC")); used != 1 || !errors.Is(err, errStray) {
		t.Errorf("an answer of another length: used %d, %v", used, err)
	}
}

func TestLevelsOfAnswers(t *testing.T) {
	if got := coilLevels([]byte{0xFF, 0xFF}, 10); got != 0x3FF {
		t.Errorf("padding bits are taken: %#x", got)
	}
	if got := registerLevels([]byte{0, 1, 0, 0, 1, 0, 0}); got != 5 {
		t.Errorf("registers: %#x, want 0x5", got)
	}
	if l := levels(0b0110); !l.contiguous() || l.lowest() != 2 || l.highest() != 3 || levels(0b0101).contiguous() {
		t.Errorf("channels of %#x", l)
	}
	if first(64) != ^levels(0) || first(3) != 7 {
		t.Errorf("first channels: %#x, %#x", first(64), first(3))
	}
}

// Modbus-RTU, silent interval: 3.5 characters of 11 bits, and 1.75 ms above
// 19200 baud.
func TestSilence(t *testing.T) {
	for baud, want := range map[int]time.Duration{9600: 4_010_416, 19200: 2_005_208, 38400: 1_750_000, 115200: 1_750_000} {
		if got := silence(baud); got != want {
			t.Errorf("silence(%d) = %v, want %v", baud, got, want)
		}
	}
}

// LCUS vendor pages.
func TestLCUSVectors(t *testing.T) {
	if got := appendLCUS(nil, 1, lcusOp(true, false)); !bytes.Equal(got, unhex(t, "A0 01 01 A2")) {
		t.Errorf("on: % X", got)
	}
	if got := appendLCUS(nil, 1, lcusOp(false, false)); !bytes.Equal(got, unhex(t, "A0 01 00 A1")) {
		t.Errorf("off: % X", got)
	}
}

// Derived from the published layout.
func TestLCUSAnswers(t *testing.T) {
	for _, tc := range []struct {
		bytes string
		on    bool
		used  int
		err   error
	}{
		{"A0 02 01 A3", true, 4, nil}, {"A0 02 00 A2", false, 4, nil}, {"A0 02 03 A5", true, 4, nil}, {"A0 02 02 A4", false, 4, nil},
		{"A0 02 01", false, 0, nil}, {"", false, 0, nil},
		{"A0 02 01 A4", false, 1, errDamaged}, {"A0 01 01 A2", false, 4, errStray}, {"A0 02 05 A7", false, 4, errStray}, {"00 A0", false, 1, errStray},
	} {
		if on, used, err := lcusAnswer(2, unhex(t, tc.bytes)); on != tc.on || used != tc.used || !errors.Is(err, tc.err) {
			t.Errorf("%s: %t, used %d, %v", tc.bytes, on, used, err)
		}
	}
}

// The text is from memory in the page; derived for more relays than one.
func TestLCUSLines(t *testing.T) {
	const four = "CH1: OFF\r\nCH2: ON\r\nCH3: OFF\r\nCH4: ON\r\n"
	for _, tc := range []struct {
		said    string
		highest int
		got     levels
		used    int
		err     error
	}{
		{four, 4, 0b1010, len(four), nil},
		{four, 2, 0b1010, len(four), nil}, // a board has more relays than are used
		{"CH1:ON\r\n", 1, 1, 8, nil},
		{four + four, 4, 0b1010, len(four), nil},
		{four, 5, 0, 0, nil}, // the fifth may come yet
		{four[:len(four)-1], 4, 0, 0, nil},
		{"CH1: O", 1, 0, 0, nil},
		{"", 1, 0, 0, nil},
		{four[10:], 4, 0, 1, errStray}, // its beginning was lost
		{"CH1: OF\r\nCH2: ON\r\n", 2, 0, 1, errStray},
		{"CH2: ON\r\nCH1: ON\r\n", 2, 0, 1, errStray},
		{"\xA0\x01\x01\xA2", 1, 0, 1, errStray},
	} {
		if got, used, err := lcusLines(tc.highest, []byte(tc.said)); got != tc.got || used != tc.used || !errors.Is(err, tc.err) {
			t.Errorf("%q of %d: %b, used %d, %v", tc.said, tc.highest, got, used, err)
		}
	}
	for bit := range 8 * len(four) { // no check value, but no bit makes ON of OFF
		said := []byte(four)
		said[bit/8] ^= 1 << (bit % 8)
		if got, used, err := lcusLines(4, said); used > 1 && err == nil && got != 0b1010 {
			t.Errorf("bit %d: %b of %q", bit, got, said)
		}
	}
}

func FuzzLCUSLines(f *testing.F) {
	f.Add([]byte("CH1: OFF\r\nCH2: ON\r\n"), 2)
	f.Add([]byte("xCH1:ON\r\nCH2"), 1)
	f.Fuzz(func(t *testing.T, b []byte, highest int) {
		highest = 1 + highest&7
		got, used, err := lcusLines(highest, b)
		switch {
		case used < 0 || used > len(b), err != nil && (used != 1 || got != 0), used == 0 && got != 0:
			t.Fatalf("used %d of %d, %b, %v", used, len(b), got, err)
		case used > 1:
			said := ""
			for channel := 1; len(said) < used; channel++ {
				said += fmt.Sprintf("CH%d:%s\r\n", channel, map[bool]string{true: "ON", false: "OFF"}[got.on(channel)])
				if channel > lcusChannels {
					break
				}
			}
			if compact := strings.ReplaceAll(string(b[:used]), " ", ""); !strings.HasPrefix(said, compact) {
				t.Fatalf("%b of %q", got, b[:used])
			}
		}
	})
}

func TestNumatoWords(t *testing.T) {
	if got := string(appendNumato(nil, numatoRelay, onOff(true), numatoName(11))); got != "relay on A\r" {
		t.Errorf("command %q", got)
	}
	if a, v := numatoName(1), numatoName(32); a != "0" || v != "V" {
		t.Errorf("names %s and %s", a, v)
	}
	read := []byte("relay read 0\r")
	for _, tc := range []struct {
		said, text string
		used       int
		err        error
	}{
		{"relay read 0\r\non\n\r>", "on", 19, nil},
		{"relay read 0\n\roff\n\r>", "off", 20, nil},
		{"relay read 0\r\n>", "", 15, nil},
		{"relay read 0\r\non\n\r", "", 0, nil},
		{"relay read 1\r\non\n\r>", "", 19, errStray},
		{">", "", 1, errStray},
		{"relay read 0\r\non\n\roff\n\r>", "", 24, errStray},
		{strings.Repeat("x", numatoMost), "", numatoMost, errStray},
	} {
		if text, used, err := numatoAnswer(read, []byte(tc.said)); string(text) != tc.text || used != tc.used || !errors.Is(err, tc.err) {
			t.Errorf("%q: %q, used %d, %v", tc.said, text, used, err)
		}
	}
	for text, want := range map[string]levels{"05": 5, "8000000F": 0x8000000F, "ff": 255} {
		if got, ok := numatoLevels([]byte(text)); !ok || got != want {
			t.Errorf("levels %q = %#x, %t", text, got, ok)
		}
	}
	for _, bad := range []string{"", "x", "123456789", "-1", "on"} {
		if got, ok := numatoLevels([]byte(bad)); ok {
			t.Errorf("levels %q = %#x", bad, got)
		}
	}
}

// Whatever is heard, the search ends, takes no more than there is, and finds
// the answer behind it.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{"01 01 01 00 51 88", "01 81 02 C1 91", "A0 01 01 A2", "FF", "01 01 01 01 01"} {
		f.Add(unhex(f, s))
	}
	f.Add([]byte("relay readall\r\n05\n\r>"))
	request := unhex(f, "01 01 00 00 00 08 3D CC")
	good := unhex(f, "01 01 01 01 90 48")
	command := appendNumato(nil, numatoRelay, "readall")
	f.Fuzz(func(t *testing.T, b []byte) {
		devicestest.Frugal(t, func() (answers int) {
			look := func(parse func(b []byte) (int, error)) {
				for rest := b; ; {
					used, err := parse(rest)
					if used == 0 {
						return
					}
					if rest = rest[used:]; err == nil {
						answers++
					}
				}
			}
			look(func(b []byte) (int, error) { _, used, err := modbusAnswer(request, b); return used, err })
			look(func(b []byte) (int, error) { _, used, err := lcusAnswer(1, b); return used, err })
			look(func(b []byte) (int, error) {
				text, used, err := numatoAnswer(command, b)
				_, _ = numatoLevels(text)
				return used, err
			})
			return answers
		})
		search := func(b []byte, look func(b []byte) (int, error)) (found bool) {
			for {
				used, err := look(b)
				switch {
				case used < 0 || used > len(b):
					t.Fatalf("used %d of %d bytes", used, len(b))
				case used == 0 && err != nil:
					t.Fatalf("%v, and nothing used: it spins", err)
				case used == 0:
					return found
				case !errors.Is(err, errStray) && !errors.Is(err, errDamaged):
					found = true
				}
				b = b[used:]
			}
		}
		modbus := func(b []byte) (int, error) {
			data, used, err := modbusAnswer(request, b)
			if err == nil && used > 0 && len(data) != 1 {
				t.Fatalf("%d bytes of data", len(data))
			}
			return used, err
		}
		search(b, modbus)
		if !search(append(bytes.Clone(b), good...), modbus) {
			t.Fatalf("the answer behind % X is not found", b)
		}
		search(b, func(b []byte) (int, error) { _, used, err := lcusAnswer(1, b); return used, err })
		search(b, func(b []byte) (int, error) {
			text, used, err := numatoAnswer(command, b)
			if l, ok := numatoLevels(text); err == nil && ok && l>>numatoChannels != 0 {
				t.Fatalf("levels %#x", l)
			}
			return used, err
		})
	})
}

func BenchmarkCodec(b *testing.B) {
	request, answer := unhex(b, "01 01 00 00 00 08 3D CC"), unhex(b, "01 01 01 01 90 48")
	b.Run("protocol=modbus", func(b *testing.B) {
		devicestest.Codec(b, answer, func(wire []byte) {
			if _, _, err := modbusAnswer(request, wire); err != nil {
				b.Fatal(err)
			}
		})
	})
	command, said := appendNumato(nil, numatoRelay, "readall"), []byte("relay readall\r\n05\n\r>")
	b.Run("protocol=numato", func(b *testing.B) {
		devicestest.Codec(b, said, func(wire []byte) {
			if _, _, err := numatoAnswer(command, wire); err != nil {
				b.Fatal(err)
			}
		})
	})
	frame := unhex(b, "A0 01 01 A2")
	b.Run("protocol=lcus", func(b *testing.B) {
		devicestest.Codec(b, frame, func(wire []byte) {
			if _, _, err := lcusAnswer(1, wire); err != nil {
				b.Fatal(err)
			}
		})
	})
}
