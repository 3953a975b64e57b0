package keypad

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"boothd/devices/sim"

	"boothd/devices/devicestest"
)

// appendEvent appends an event as the kernel reports it, its time all ones, in
// structs of 16 or 24 bytes.
func appendEvent(b []byte, size int, kind, code uint16, value int32) []byte {
	b = append(b, bytes.Repeat([]byte{0xff}, size-8)...)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, code)
	return binary.NativeEndian.AppendUint32(b, uint32(value))
}

// struck appends keys going down and up, each with its scan code and report, as
// a USB keyboard's do.
func struck(b []byte, size int, codes ...uint16) []byte {
	for _, c := range codes {
		for _, value := range []int32{1, 2, 0} { // down, held, up
			b = appendEvent(b, size, 4, 4, 0x70000+int32(c))
			b = appendEvent(b, size, evKey, c, value)
			b = appendEvent(b, size, evSyn, 0, 0)
		}
	}
	return b
}

// codes are those of linux/input-event-codes.h, written out once more.
var codes = map[string]uint16{
	"esc": 1, "1": 2, "2": 3, "3": 4, "8": 9, "0": 11, "-": 12, "=": 13, "back": 14, "Q": 16, "O": 24, "P": 25, "enter": 28, "A": 30, "L": 38,
	"shift": 42, "Z": 44, "N": 49, "B": 48, "C": 46, "M": 50, ".": 52, "/": 53, "rshift": 54, "kp*": 55, "space": 57, "F1": 59, "F3": 61, "F10": 68,
	"kp7": 71, "kp9": 73, "kp-": 74, "kp4": 75, "kp6": 77, "kp+": 78, "kp1": 79, "kp3": 81, "kp0": 82, "kp.": 83, "F11": 87, "F12": 88,
	"kpenter": 96, "kp/": 98, "up": 103, "del": 111, "tel0": 0x200, "tel9": 0x209, "tel*": 0x20a, "tel#": 0x20b, "telA": 0x20c, "telD": 0x20f, "button": 0x110,
}

// TestEvents types by names of keys; "shift+3" is 3 with shift held.
func TestEvents(t *testing.T) {
	tests := []struct {
		name, keys string
		want       []string
	}{
		{"plate", "O N - A B C 1 2 3 enter", []string{"ON/ABC123"}},
		{"corners of the keyboard", "Q P A L Z M 1 0 enter", []string{"QPALZM10"}},
		{"number pad", "kp7 kp9 kp- kp4 kp6 kp1 kp3 kp0 kpenter", []string{"79-46130"}},
		{"telephone", "tel0 tel9 enter tel* tel#", []string{"09", "refer", "release"}},
		{"release and refer with shift", "shift+3 rshift+8", []string{"release", "refer"}},
		{"refer on a number pad", "kp*", []string{"refer"}},
		{"shift means nothing to letters, and no digit", "shift+A shift+1 B enter", []string{"AB"}},
		{"mend and erase", "A B back C enter A B del C enter A esc B enter", []string{"AC", "AC", "B"}},
		{"function keys", "F1 3 F3 F12", []string{"goods", "count_3", "open_close"}},
		{"keys that mean nothing", "A up space button = F10 F11 . / kp+ kp. 1 enter", []string{"A1"}},
	}
	for _, tt := range tests {
		for _, size := range []int{16, 24} {
			var b []byte
			for name := range strings.FieldsSeq(tt.keys) {
				shift, base, with := strings.Cut(name, "+")
				if !with || base == "" {
					b = struck(b, size, codes[name])
					continue
				}
				b = appendEvent(b, size, evKey, codes[shift], 1)
				b = struck(b, size, codes[base])
				b = appendEvent(b, size, evKey, codes[shift], 0)
			}
			for _, step := range []int{1, 7, 24, len(b)} {
				if got := events1(t, size, b, step); !slices.Equal(got, tt.want) {
					t.Errorf("%s, structs of %d in pieces of %d: %q, want %q", tt.name, size, step, got, tt.want)
				}
			}
		}
	}
}

func events1(t *testing.T, size int, b []byte, step int) (got []string) {
	t.Helper()
	cfg, err := Config{}.complete()
	if err != nil {
		t.Fatal(err)
	}
	k := with(nil, cfg, &events{size: size})
	for p := range slices.Chunk(b, step) {
		k.decoder.feed(p, k.strike)
	}
	for _, p := range k.presses {
		if p.refused {
			got = append(got, "refused")
			continue
		}
		got = append(got, say(p.Key))
	}
	return got
}

func TestPlacesOfBoundKeys(t *testing.T) {
	for name, want := range map[string]key{"telA": "A", "telD": "D", "kp+": "+", "kp/": "/", "/": "/", "kp.": ".", ".": ".", "F10": "F10", "F11": "F11"} {
		if got := place(codes[name], false); got != want {
			t.Errorf("key %s is %q, want %q", name, got, want)
		}
	}
	if got := place(codes["="], true); got != "+" {
		t.Errorf("shift and = is %q, want +", got)
	}
	for code := range uint16(0x300) { // no code is out of a table's bounds, and every key is one
		for _, shift := range []bool{false, true} {
			k := place(code, shift)
			if k == "" || k == enter || k == back || k == erase || len(k) == 1 && plate(k[0]) || slices.Contains(keyNames(), string(k)) {
				continue
			}
			t.Errorf("code %d is %q", code, k)
		}
	}
}

// TestEventOfTheKernel is a 64-bit event as evtest shows it: EV_KEY, KEY_A, down.
// Derived from linux/input.h; on a big-endian machine it would read otherwise.
func TestEventOfTheKernel(t *testing.T) {
	b, err := hex.DecodeString("6f1d2a6700000000" + "a0bb0d0000000000" + "0100" + "1e00" + "01000000")
	if err != nil {
		t.Fatal(err)
	}
	var got []key
	(&events{size: 24}).feed(b, func(k key) { got = append(got, k) })
	if !slices.Equal(got, []key{"A"}) {
		t.Errorf("struck %q, want A", got)
	}
}

// When the kernel's buffer ran over, what was typed is not what was struck.
func TestI1_LostKeysAreNoPlate(t *testing.T) {
	b := struck(nil, 24, codes["A"], codes["1"])
	b = appendEvent(b, 24, evSyn, synDropped, 0)
	b = appendEvent(b, 24, evKey, codes["2"], 1) // of no use up to the report
	b = appendEvent(b, 24, evKey, codes["enter"], 1)
	b = appendEvent(b, 24, evSyn, 0, 0)
	b = struck(b, 24, codes["3"], codes["enter"])
	if got := events1(t, 24, b, len(b)); !slices.Equal(got, []string{"refused", "3"}) {
		t.Errorf("pressed %q, want the first refused", got)
	}
	b = appendEvent(nil, 24, evKey, codes["shift"], 1)
	b = appendEvent(b, 24, evSyn, synDropped, 0) // shift may be up by now
	b = appendEvent(b, 24, evSyn, 0, 0)
	b = struck(b, 24, codes["3"], codes["enter"])
	if got := events1(t, 24, b, len(b)); !slices.Equal(got, []string{"refused", "3"}) {
		t.Errorf("pressed %q, want no release", got)
	}
}

// TestInputReads plays the kernel on a named pipe: what a device file gives, by
// the same Read, its silence and its end.
func TestInputReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "event0")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	in := &input{f}
	if n, err := in.Read(make([]byte, 64)); n != 0 || err != nil {
		t.Errorf("Read = %d, %v on silence, want 0, nil", n, err)
	}
	cfg, err := Config{Name: "usb"}.complete()
	if err != nil {
		t.Fatal(err)
	}
	k := with(in, cfg, &events{size: eventSize})
	if _, err := f.Write(struck(nil, eventSize, codes["A"], codes["1"], codes["kpenter"])); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	for p, err := range k.Reads(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Reads ended with %v", err)
			}
			continue
		}
		got = append(got, say(*p.Key))
		cancel()
	}
	if !slices.Equal(got, []string{"A1"}) {
		t.Errorf("pressed %q, want A1", got)
	}
	_ = k.Close() // Reads has closed it, or is about to
	if _, err := in.Read(make([]byte, 64)); err == nil {
		t.Error("Read gives no error after the end")
	}
}

// What cannot be taken for this process alone is not opened.
func TestOpenInputRefuses(t *testing.T) {
	if _, err := OpenInput(t.Context(), filepath.Join(t.TempDir(), "none"), Config{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenInput(none) = %v, want %v", err, fs.ErrNotExist)
	}
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if _, err := OpenInput(t.Context(), path, Config{}); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("OpenInput(a terminal) = %v, want %v", err, unix.ENOTTY)
	}
	if _, err := OpenInput(t.Context(), path, Config{Template: "morse"}); err == nil || errors.Is(err, unix.ENOTTY) {
		t.Errorf("OpenInput(unknown template) = %v", err)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add(struck(nil, 24, 30, 2, 28), uint8(5), true)
	f.Add(struck(nil, 16, 42, 4, 55, 61), uint8(16), false)
	f.Add(appendEvent(appendEvent(nil, 24, evSyn, synDropped, 0), 24, evSyn, 0, 0), uint8(1), true)
	f.Fuzz(func(t *testing.T, b []byte, step uint8, wide bool) {
		size := 16
		if wide {
			size = 24
		}
		devicestest.Frugal(t, func() (keys int) {
			(&events{size: size}).feed(b, func(key) { keys++ })
			return keys
		})
		want := events1(t, size, b, max(len(b), 1))
		if got := events1(t, size, b, int(step)+1); !slices.Equal(got, want) {
			t.Fatalf("split every %d: %q, whole: %q", int(step)+1, got, want)
		}
	})
}
