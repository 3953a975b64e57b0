package barcode

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/devices/devicestest"
)

// scans feeds pieces and tells what came, errors as their kind.
func scans(f *Frames, pieces ...string) (got []string) {
	for _, p := range pieces {
		f.Push([]byte(p), func(s string, err error) { got = append(got, kind(s, err)) })
	}
	return got
}

func kind(s string, err error) string {
	switch {
	case errors.Is(err, ErrLong):
		return "long"
	case errors.Is(err, ErrCharset):
		return "charset"
	}
	return s
}

// TestFrames has every suffix of the page, whole, split and damaged; the bytes
// are derived.
func TestFrames(t *testing.T) {
	full := strings.Repeat("x", maxScan)
	tests := []struct {
		name   string
		suffix Suffix
		pieces []string
		want   []string
	}{
		{"CR", CR, []string{"1234PARS56789\r"}, []string{"1234PARS56789"}},
		{"CR, split", CR, []string{"1234", "", "PARS", "56789", "\r"}, []string{"1234PARS56789"}},
		{"CR, two at once", CR, []string{"A\rB\rC"}, []string{"A", "B"}},
		{"CR with LF after", CR, []string{"A\r", "\nB\r\n"}, []string{"A", "B"}},
		{"CR, LF inside", CR, []string{"A\nB\r"}, []string{"charset"}},
		{"CR, empty", CR, []string{"\r\r"}, nil},
		{"CR LF", CRLF, []string{"A\r\nB\r", "\n"}, []string{"A", "B"}},
		{"CR LF, a CR alone", CRLF, []string{"A\rB\r\n"}, []string{"charset"}},
		{"CR LF, a LF alone", CRLF, []string{"A\nB\r\n"}, []string{"charset"}},
		{"CR LF, LF first", CRLF, []string{"\r\n\r\n"}, nil},
		{"LF", LF, []string{"A\nB\n"}, []string{"A", "B"}},
		{"LF, CR inside", LF, []string{"A\r\n"}, []string{"charset"}},
		{"STX and ETX", ETX, []string{"\x02A\x03\x02B", "\x03"}, []string{"A", "B"}},
		{"STX cuts what was left", CR, []string{"123", "\x02456\r"}, []string{"456"}},
		{"AIM id stays", CR, []string{"]C0A\r"}, []string{"]C0A"}},
		{"high byte", CR, []string{"A\xe9\rB\r"}, []string{"charset", "B"}},
		{"DEL", CR, []string{"A\x7f\r"}, []string{"charset"}},
		{"longest", CR, []string{full + "\rB\r"}, []string{full, "B"}},
		{"longest with CR LF", CRLF, []string{full, "\r", "\nB\r\n"}, []string{full, "B"}},
		{"one longer", CR, []string{full, "x", "\rB\r"}, []string{"long", "B"}},
		{"two longer", CR, []string{full, "xx", "\rB\r"}, []string{"long", "B"}},
		{"one longer with CR LF", CRLF, []string{full, "x\r\nB\r\n"}, []string{"long", "B"}},
		{"much longer with CR LF", CRLF, []string{full, full, "\r\nB\r\n"}, []string{"long", "B"}},
		{"no suffix", None, []string{"A", "B"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := scans(&Frames{Suffix: tt.suffix}, tt.pieces...); !slices.Equal(got, tt.want) {
				t.Errorf("Push(%.40q) = %.40q, want %.40q", tt.pieces, got, tt.want)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	f := Frames{Suffix: None}
	scans(&f, "1234", "PARS5")
	var got []string
	add := func(s string, err error) { got = append(got, kind(s, err)) }
	f.Silence(add)
	f.Silence(add)
	if want := []string{"1234PARS5"}; !slices.Equal(got, want) {
		t.Errorf("Silence = %q, want %q, once", got, want)
	}
	scans(&f, "abc")
	if n := f.Drop(); n != 3 || f.Drop() != 0 {
		t.Errorf("Drop = %d, want 3, then 0", n)
	}
}

func TestRepeats(t *testing.T) {
	var r Repeats
	start := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	for i, tt := range []struct {
		scan  string
		after time.Duration
		want  bool
	}{
		{"A", 0, false},
		{"A", 2 * time.Second, true},
		{"A", 4 * time.Second, true}, // held before the window
		{"A", 6*time.Second + 1, false},
		{"B", 7 * time.Second, false},
		{"A", 7 * time.Second, false},
		{"A", 6 * time.Second, false}, // a clock that went back proves nothing
	} {
		if got := r.Seen(tt.scan, start.Add(tt.after)); got != tt.want {
			t.Errorf("step %d: Seen(%q, %s) = %t, want %t", i, tt.scan, tt.after, got, tt.want)
		}
	}
}

func TestNoAllocationPerByte(t *testing.T) {
	for _, suffix := range []Suffix{CR, CRLF, LF, ETX, None} {
		f, out := Frames{Suffix: suffix}, func(string, error) {}
		devicestest.NoAllocationPerByte(t, "9X", func(b []byte) { f.Push(b, out) })
	}
}

// FuzzFrames shows that it does not matter how the bytes were split, and that
// what is held is bounded.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("1234PARS56789\r"), 0, uint8(3))
	f.Add([]byte("\x02A\x03\x02B\x03"), 3, uint8(1))
	f.Add([]byte("A\r\nB\r\n\xe9\r\n"), 1, uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, suffix int, step uint8) {
		devicestest.Frugal(t, func() (frames int) {
			f := Frames{Suffix: Suffix(suffix)}
			f.Push(b, func(string, error) { frames++ })
			return frames
		})
		whole, split := Frames{Suffix: Suffix(suffix)}, Frames{Suffix: Suffix(suffix)}
		want, got := scans(&whole, string(b)), []string(nil)
		for p := range slices.Chunk(b, int(step)+1) {
			got = append(got, scans(&split, string(p))...)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("split every %d: %.80q, whole: %.80q", int(step)+1, got, want)
		}
		for _, s := range got {
			if s == "" || len(s) > maxScan || !printable(s) {
				t.Fatalf("no scan: %.80q", s)
			}
		}
		if n := whole.Drop(); n > maxScan+1 {
			t.Fatalf("holds %d bytes", n)
		}
	})
}
