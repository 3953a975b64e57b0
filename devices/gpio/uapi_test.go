package gpio

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestIoctlNumbers builds the numbers as linux/ioctl.h does for x86 and ARM:
// direction, size, type 0xB4, number.
func TestIoctlNumbers(t *testing.T) {
	const write, read = 1, 2
	for _, c := range []struct {
		name         string
		got          uint
		dir, size, n uint
	}{
		{"GPIO_GET_CHIPINFO_IOCTL", unix.GPIO_GET_CHIPINFO_IOCTL, read, chipInfoSize, 0x01},
		{"GPIO_V2_GET_LINEINFO_IOCTL", unix.GPIO_V2_GET_LINEINFO_IOCTL, read | write, lineInfoSize, 0x05},
		{"GPIO_V2_GET_LINE_IOCTL", unix.GPIO_V2_GET_LINE_IOCTL, read | write, requestSize, 0x07},
		{"GPIO_V2_LINE_GET_VALUES_IOCTL", unix.GPIO_V2_LINE_GET_VALUES_IOCTL, read | write, valuesSize, 0x0E},
		{"GPIO_V2_LINE_SET_VALUES_IOCTL", unix.GPIO_V2_LINE_SET_VALUES_IOCTL, read | write, valuesSize, 0x0F},
	} {
		if want := c.dir<<30 | c.size<<16 | 0xB4<<8 | c.n; c.got != want {
			t.Errorf("%s = %#x, want %#x", c.name, c.got, want)
		}
	}
}

// at is a piece of a structure; everything else in it must be zero, since the
// kernel refuses padding that is not.
type at struct {
	offset int
	hex    string
}

// TestClaimBytes holds the claims against struct gpio_v2_line_request as a C
// compiler lays out linux/gpio.h (the same on amd64, arm64 and 32-bit ARM).
func TestClaimBytes(t *testing.T) {
	tests := []struct {
		name  string
		claim claim
		want  []at
	}{
		{"active-high lamp, safe off", claim{offset: 17, point: "traveller_green", output: true}, []at{
			{0, "11000000"},
			{256, hex.EncodeToString([]byte("boothd:traveller_green"))},
			{288, "0800000000000000"},                                    // OUTPUT
			{296, "01000000"},                                            // one attribute
			{320, "02000000 00000000 0000000000000000 0100000000000000"}, // OUTPUT_VALUES: 0 in mask 1
			{560, "01000000"},
		}},
		{"active-low lamp, safe on", claim{offset: 3, point: "traveller_red", output: true, activeLow: true, first: true}, []at{
			{0, "03000000"},
			{256, hex.EncodeToString([]byte("boothd:traveller_red"))},
			{288, "0a00000000000000"}, // ACTIVE_LOW | OUTPUT
			{296, "01000000"},
			{320, "02000000 00000000 0100000000000000 0100000000000000"},
			{560, "01000000"},
		}},
		{"active-low loop, 50 ms", claim{offset: 0x010203, point: "booth_loop", activeLow: true, debounce: 50 * time.Millisecond}, []at{
			{0, "03020100"},
			{256, hex.EncodeToString([]byte("boothd:booth_loop"))},
			{288, "3600000000000000"}, // ACTIVE_LOW | INPUT | EDGE_RISING | EDGE_FALLING
			{296, "01000000"},
			{320, "03000000 00000000 50c3000000000000 0100000000000000"}, // DEBOUNCE: 50000 us
			{560, "01000000"},
			{564, "00010000"}, // 256 events
		}},
		{"plain input", claim{point: "release"}, []at{
			{256, hex.EncodeToString([]byte("boothd:release"))},
			{288, "3400000000000000"},
			{560, "01000000"},
			{564, "00010000"},
		}},
		{"a name longer than the kernel keeps", claim{point: strings.Repeat("x", 60)}, []at{
			{256, hex.EncodeToString([]byte("boothd:"+strings.Repeat("x", 24))) + "00"},
			{288, "3400000000000000"},
			{560, "01000000"},
			{564, "00010000"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := make([]byte, 592)
			for _, p := range tt.want {
				b, err := hex.DecodeString(strings.ReplaceAll(p.hex, " ", ""))
				if err != nil {
					t.Fatal(err)
				}
				copy(want[p.offset:], b)
			}
			got := tt.claim.encode()
			if len(got) != len(want) {
				t.Fatalf("claim is %d bytes, want %d", len(got), len(want))
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("byte %d is %#02x, want %#02x", i, got[i], want[i])
				}
			}
		})
	}
}

// TestPairBytes holds the claim of a pair against the same structure.
func TestPairBytes(t *testing.T) {
	want := claim{point: "door"}.encode()
	for _, p := range []at{{0, "14000000 15000000"}, {288, "2400000000000000"}, {560, "02000000 00040000"}} { // INPUT | EDGE_FALLING; two lines; 1024 events
		b, err := hex.DecodeString(strings.ReplaceAll(p.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		copy(want[p.offset:], b)
	}
	if got := (claim{offset: 20, point: "door"}).encodePair(21); !bytes.Equal(got, want) {
		t.Errorf("a pair is claimed with\n% x, want\n% x", got, want)
	}
	if got := hex.EncodeToString(encodePairValues()); got != "00000000000000000300000000000000" {
		t.Errorf("levels of a pair are asked for with %s", got)
	}
	b, err := hex.DecodeString("15cd5b0700000000" + "02000000" + "15000000" + "2a000000" + "07000000" + strings.Repeat("00", 24))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodePairEvent(b, [2]uint32{20, 21}); err != nil || got != (event{stamp: 123456789, seq: 42, line: 1}) {
		t.Errorf("decodePairEvent = %+v, %v", got, err)
	}
	if got, err := decodePairEvent(b, [2]uint32{20, 22}); err == nil {
		t.Errorf("an edge of another line is %+v", got)
	}
	b[8] = 1
	if got, err := decodePairEvent(b, [2]uint32{20, 21}); err == nil {
		t.Errorf("a rising edge is %+v", got)
	}
}

func TestValuesBytes(t *testing.T) {
	for active, want := range map[bool]string{
		true:  "01000000000000000100000000000000",
		false: "00000000000000000100000000000000",
	} {
		b := encodeValues(active)
		if got := hex.EncodeToString(b); got != want {
			t.Errorf("encodeValues(%v) = %s, want %s", active, got, want)
		}
		if decodeValues(b) != active {
			t.Errorf("values of %v do not survive a round trip", active)
		}
	}
}

func TestInfoBytes(t *testing.T) {
	b := make([]byte, 68)
	copy(b, "gpiochip1")
	copy(b[32:], strings.Repeat("l", 32)) // no room for the closing zero
	b[64] = 16
	if got, want := decodeChipInfo(b), (chipInfo{"gpiochip1", strings.Repeat("l", 32), 16}); got != want {
		t.Errorf("decodeChipInfo = %+v, want %+v", got, want)
	}
	b = encodeLineInfo(0x0102)
	if len(b) != 256 || b[64] != 2 || b[65] != 1 {
		t.Errorf("encodeLineInfo(0x0102) asks with % x", b[60:70])
	}
	copy(b, "BTN_CALL")
	copy(b[32:], "kernel")
	b[72] = flagUsed | flagInput
	if got, want := decodeLineInfo(b), (lineInfo{"BTN_CALL", "kernel", flagUsed | flagInput}); got != want {
		t.Errorf("decodeLineInfo = %+v, want %+v", got, want)
	}
}

// encodeEvent writes a struct gpio_v2_line_event, as the kernel does.
func encodeEvent(ev event) []byte {
	b := make([]byte, 48)
	binary.NativeEndian.PutUint64(b, uint64(ev.stamp))
	b[8] = 2
	if ev.active {
		b[8] = 1
	}
	binary.NativeEndian.PutUint32(b[16:], ev.seq)
	binary.NativeEndian.PutUint32(b[20:], ev.seq)
	return b
}

func TestEventBytes(t *testing.T) {
	b, err := hex.DecodeString("15cd5b0700000000" + "01000000" + "05000000" + "2a000000" + "07000000" + strings.Repeat("00", 24))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeEvent(b); err != nil || got != (event{stamp: 123456789, active: true, seq: 7}) {
		t.Errorf("decodeEvent = %+v, %v", got, err)
	}
	b[8] = 2
	if got, err := decodeEvent(b); err != nil || got.active {
		t.Errorf("a falling edge is %+v, %v", got, err)
	}
}

// FuzzEvent: what is taken for an edge survives a round trip, and nothing but
// 48 bytes with one of the two kinds is taken.
func FuzzEvent(f *testing.F) {
	f.Add(encodeEvent(event{stamp: 1, active: true, seq: 1}))
	f.Add(encodeEvent(event{stamp: 1 << 62, seq: 1<<32 - 1}))
	f.Add(bytes.Repeat([]byte{0xFF}, 48))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		ev, err := decodeEvent(b)
		kind := uint32(0)
		if len(b) >= 48 {
			kind = binary.NativeEndian.Uint32(b[8:])
		}
		if err != nil {
			if ev != (event{}) {
				t.Fatalf("an error with the edge %+v", ev)
			}
			return
		}
		if kind != 1 && kind != 2 || ev.stamp < 0 {
			t.Fatalf("% x taken for the edge %+v", b, ev)
		}
		again, err := decodeEvent(encodeEvent(ev))
		if err != nil || again != ev {
			t.Fatalf("%+v does not survive a round trip: %+v, %v", ev, again, err)
		}
	})
}
