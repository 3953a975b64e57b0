package keypad

import (
	"slices"
	"strings"
	"testing"

	"boothd/devices/devicestest"
)

func TestStrokes(t *testing.T) {
	tests := []struct {
		name, keys string
		want       []string
	}{
		{"plate", "ABC123\r", []string{"ABC123"}},
		{"plate with jurisdiction", "ON-ABC123\r", []string{"ON/ABC123"}},
		{"in lower case, CR LF", "ny-abc1234\r\n", []string{"NY/ABC1234"}},
		{"a dash of the plate", "ABC-123\r", []string{"ABC-123"}},
		{"a dash of the plate after the jurisdiction", "QC-ABC-123\r", []string{"QC/ABC-123"}},
		{"no jurisdiction of ours", "ZZ-1234\r", []string{"ZZ-1234"}},
		{"two plates", "A1\rB2\r", []string{"A1", "B2"}},
		{"nothing entered", "\r\n\r\r", nil},
		{"release", "#", []string{"release"}},
		{"refer", "*", []string{"refer"}},
		{"release, twice", "##", []string{"release", "release"}},
		{"function keys", "\x1b[11~\x1b[12~\x1b[14~\x1b[15~\x1b[24~", []string{"goods", "declaration", "ack", "empty", "open_close"}},
		{"function keys of xterm", "\x1bOP\x1bOQ\x1bOS", []string{"goods", "declaration", "ack"}},
		{"count", "3\x1b[13~12\x1bOR", []string{"count_3", "count_12"}},
		{"count of none", "\x1b[13~", []string{"refused"}},
		{"count too high", "100\x1b[13~", []string{"refused"}},
		{"count of zero", "0\x1b[13~", []string{"refused"}},
		{"count of letters", "A\x1b[13~", []string{"refused"}},
		{"a button drops what was typed", "ABC#123\r", []string{"release", "123"}},
		{"back", "ABD\x08C\x7f\x7f\x7f\x7f\x7fX1\r", []string{"X1"}},
		{"erase", "ABC\x18X1\r", []string{"X1"}},
		{"ESC erases", "ABC\x1bX1\r", []string{"X1"}},
		{"ESC before a button", "ABC\x1b#", []string{"release"}},
		{"longest plate", "ON-ABCDE12345\r", []string{"ON/ABCDE12345"}},
		{"one longer", "ON-ABCDE123456\r", []string{"refused"}},
		{"one more than is held", strings.Repeat("A", maxTyped+1) + "\r", []string{"refused"}},
		{"endless", strings.Repeat("A", 1000) + "\rA1\r", []string{"refused", "A1"}},
		{"longer than is held cannot be mended", strings.Repeat("-", maxTyped+1) + strings.Repeat("\x08", maxTyped) + "A1\r", []string{"refused"}},
		{"what did not fit is not left out", "A" + strings.Repeat("-", maxTyped-1) + "1\r", []string{"refused"}},
		{"nor is it taken back", strings.Repeat("-", maxTyped+1) + strings.Repeat("\x08", maxTyped) + "\r", []string{"refused"}},
		{"jurisdiction alone", "ON-\r", []string{"refused"}},
		{"dashes alone", "---\r", []string{"refused"}},
		{"keys that mean nothing", "A?B C\t1\xe9!\r", []string{"ABC1"}},
		{"keys that are not bound", "A+1/2.3\x1b[17~\x1b[99~\x1bOT\r", []string{"A123"}},
		{"other sequences", "\x1b[A\x1b[3~\x1b[1;5P\x1b[99999~\x1b[?25h#", []string{"release"}},
		{"a sequence cut by another", "\x1b[1\x1b[11~", []string{"goods"}},
		{"a sequence cut by ESC O", "\x1bO\x1b#", []string{"release"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			play(t, Config{}, func(d *desk) {
				d.keys(tt.keys)
				d.want(tt.want...)
				for _, c := range []byte(tt.keys) { // the same, one byte at a time
					d.keys(string([]byte{c}))
				}
				d.want(tt.want...)
			})
		})
	}
}

func TestLines(t *testing.T) {
	tests := []struct {
		name, keys string
		want       []string
	}{
		{"plate", "ABC123\r", []string{"ABC123"}},
		{"CR LF", "on-abc123\r\n#\r\n", []string{"ON/ABC123", "release"}},
		{"filled with blanks", "  ABC 123   \n", []string{"ABC123"}},
		{"buttons", "#\r*\rF1\rF12\r", []string{"release", "refer", "goods", "open_close"}},
		{"count", "3F3\r12F3\r", []string{"count_3", "count_12"}},
		{"count of none", "F3\r", []string{"refused"}},
		{"count too high", "100F3\r", []string{"refused"}},
		{"a key that takes no number", "12F1\r", []string{"12F1"}},
		{"a key that is not bound", "F6\r", []string{"F6"}},
		{"a button within a plate presses nothing", "AB#12\r", []string{"refused"}},
		{"a character that is none", "AB?12\r?\r", []string{"refused", "refused"}},
		{"blank lines", "\r\n   \r", nil},
		{"longer than is held", strings.Repeat("A", 500) + "\rA1\r", []string{"refused", "A1"}},
		{"longer than a plate", "ABCDE123456\r", []string{"refused"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			play(t, Config{Template: Lines}, func(d *desk) {
				d.keys(tt.keys)
				d.want(tt.want...)
				for _, c := range []byte(tt.keys) {
					d.keys(string([]byte{c}))
				}
				d.want(tt.want...)
			})
		})
	}
}

func TestMatrixAndBindings(t *testing.T) {
	play(t, Config{Template: Matrix}, func(d *desk) {
		d.keys("4A#*BCD17\r")
		d.want("count_4", "release", "refer", "goods", "declaration", "ack", "17")
	})
	play(t, Config{Buttons: map[string]string{"+": "release", "#": "", "F4": "other_class"}}, func(d *desk) {
		d.keys("+#\x1b[14~*")
		d.want("release", "other_class", "refer")
	})
	play(t, Config{Jurisdictions: []string{"MEX"}}, func(d *desk) {
		d.keys("MEX-A1\rON-A1\r")
		d.want("MEX/A1", "ON-A1")
	})
}

// FuzzKeys: whatever a pad sends, in whatever pieces, gives the same presses,
// each one thing, within bounds, and nothing stays behind an erase.
func TestNoAllocationPerByte(t *testing.T) {
	for _, template := range []Template{Strokes, Lines, Matrix} {
		cfg, err := Config{Template: template}.complete()
		if err != nil {
			t.Fatal(err)
		}
		d := cfg.decoder()
		devicestest.NoAllocationPerByte(t, "A1#\x08\x7f", func(b []byte) { d.feed(b, func(key) {}) })
	}
}

func FuzzKeys(f *testing.F) {
	for _, s := range []string{"ON-ABC123\r", "3\x1b[13~#*", "\x1bOP\x1b\x1b[24~", "12F3\r\n", "AB\x08\x18-\r", strings.Repeat("A", 40) + "\r"} {
		f.Add([]byte(s), uint8(2), uint8(len(s)))
	}
	f.Fuzz(func(t *testing.T, b []byte, step, which uint8) {
		cfg, err := Config{Template: []Template{Strokes, Lines, Matrix}[which%3]}.complete()
		if err != nil {
			t.Fatal(err)
		}
		devicestest.Frugal(t, func() (keys int) {
			cfg.decoder().feed(b, func(key) { keys++ })
			return keys
		})
		whole, split := with(nil, cfg, cfg.decoder()), with(nil, cfg, cfg.decoder())
		whole.decoder.feed(b, whole.strike)
		for p := range slices.Chunk(b, int(step)+1) {
			split.decoder.feed(p, split.strike)
		}
		if !slices.Equal(whole.presses, split.presses) {
			t.Fatalf("split every %d: %v, whole: %v", int(step)+1, split.presses, whole.presses)
		}
		for _, p := range whole.presses {
			check(t, p)
		}
		whole.forget()
		if whole.editor.typed != [maxTyped]byte{} {
			t.Fatal("something stays")
		}
	})
}

func check(t *testing.T, p press) {
	t.Helper()
	things := 0
	for _, is := range []bool{p.Button != "", p.Plate != "", p.refused} {
		if is {
			things++
		}
	}
	signs := len(strings.ReplaceAll(string(p.Plate), "-", ""))
	if things != 1 || p.Button == Count || p.Plate != "" && (signs < 1 || signs > maxPlate) {
		t.Fatalf("%+v is no press", p)
	}
}
