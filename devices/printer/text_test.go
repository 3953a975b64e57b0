package printer

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCompose(t *testing.T) {
	long := strings.Repeat("0123456789", 4)
	tests := []struct {
		name  string
		cfg   Config
		lines []string
		want  string
	}{
		{"escpos", Config{Language: ESCPOS}, []string{"A"}, "\x1b@\x1da\x00A\n\x1bd\x04"},
		{"cut", Config{Language: ESCPOS, Cut: true}, []string{"A"}, "\x1b@\x1da\x00A\n\x1dVB\x00"},
		{"answers", Config{Language: ESCPOS, Answers: true}, []string{"A"}, "\x1b@\x1da\x00A\n\x1bd\x04\x1dr\x01"},
		{"latin1", Config{Language: ESCPOS, Charset: Latin1}, []string{"reçu"}, "\x1b@\x1da\x00\x1bt\x10re\xe7u\n\x1bd\x04"},
		{"plain", Config{Language: Plain}, []string{"A", "", "B"}, "A\r\n\r\nB\r\n\r\n\r\n\r\n\r\n"},
		{"nothing", Config{Language: Plain}, nil, "\r\n\r\n\r\n\r\n"},
		{"wrapped", Config{Language: Plain, Columns: 16}, []string{long}, "0123456789012345\r\n6789012345678901\r\n23456789\r\n\r\n\r\n\r\n\r\n"},
		{"as wide as the paper", Config{Language: Plain, Columns: 20}, []string{long}, long[:20] + "\r\n" + long[:20] + "\r\n\r\n\r\n\r\n\r\n"},
		{"no command comes through", Config{Language: Plain}, []string{"\x10\x04\x01\x1b@\x1dV\x00\n\x7f\u009b"}, "    @ V    \r\n\r\n\r\n\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := tt.cfg.complete()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := cfg.compose(tt.lines); string(got) != tt.want || err != nil {
				t.Errorf("compose(%q) = %q, %v, want %q", tt.lines, got, err, tt.want)
			}
		})
	}
}

func TestFold(t *testing.T) {
	for _, tt := range []struct{ in, ascii, latin1 string }{
		{"RECU A 16:00", "RECU A 16:00", "RECU A 16:00"},
		{"reçu, à l’agent – s’il vous plaît…", "recu, a l'agent - s'il vous plait...", "re\xe7u, \xe0 l'agent - s'il vous pla\xeet..."},
		{"ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß", "AAAAAAAECEEEEIIIIDNOOOOOxOUUUUYThss", ""},
		{"àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ", "aaaaaaaeceeeeiiiidnooooo/ouuuuythy", ""},
		{"e\u0301", "e", "e"}, {"“x” € œuvre ŒUVRE\u202f!", `"x" EUR oeuvre OEUVRE !`, `"x" EUR oeuvre OEUVRE !`},
		{"日本 \xff", "?? ?", "?? ?"}, {"«\u00a0oui\u00a0»", "< oui >", "\xab\xa0oui\xa0\xbb"},
	} {
		if got := fold(tt.in, ASCII); string(got) != tt.ascii {
			t.Errorf("fold(%q, ASCII) = %q, want %q", tt.in, got, tt.ascii)
		}
		if got := fold(tt.in, Latin1); tt.latin1 != "" && string(got) != tt.latin1 {
			t.Errorf("fold(%q, Latin1) = %q, want %q", tt.in, got, tt.latin1)
		}
	}
	for r := rune(0xa0); r <= 0xff; r++ { // every character has a likeness, and every one in Latin-1 itself
		if got := fold(string(r), Latin1); len(got) != 1 || got[0] != byte(r) {
			t.Errorf("fold(%q, Latin1) = %q", r, got)
		}
		if got := ascii(r); got == "" || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("ascii(%q) = %q", r, got)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers [questions]byte
		want    Faults
		ready   bool
	}{
		{"ready", [...]byte{0x12, 0x12, 0x12, 0x12}, 0, true},
		{"out of paper (hardless-http-dialects)", [...]byte{0x1a, 0x32, 0x12, 0x7e}, Offline | PaperOut | PaperLow, false},
		{"near the end (command reference)", [...]byte{0x12, 0x12, 0x12, 0x1e}, PaperLow, true},
		{"cover open (command reference)", [...]byte{0x1a, 0x16, 0x12, 0x12}, Offline | CoverOpen, false},
		{"cutter (command reference)", [...]byte{0x1a, 0x52, 0x1a, 0x12}, Offline | Cutter | Broken, false},
		{"drawer and feed button mean nothing", [...]byte{0x16, 0x1a, 0x12, 0x12}, 0, true},
		{"unrecoverable", [...]byte{0x1a, 0x52, 0x32, 0x12}, Offline | Broken, false},
		{"too hot", [...]byte{0x1a, 0x52, 0x52, 0x12}, Offline | Broken, false},
	} {
		var got Faults
		for i, b := range tt.answers {
			if !isStatus(b) {
				t.Errorf("%s: %02X is no status", tt.name, b)
			}
			got |= faultsOf(i+1, b)
		}
		if got != tt.want || got.Ready() != tt.ready {
			t.Errorf("%s: %s, ready %t, want %s", tt.name, got, got.Ready(), tt.want)
		}
	}
	for _, b := range []byte{0x11, 0x13, 0x00, 0x0f, 0x37, 0x25, 0xff, 0x92, 0x10} { // flow control, GS r, clear response, ASB, noise
		if isStatus(b) {
			t.Errorf("%02X is taken for a status", b)
		}
	}
	if all := (Offline | CoverOpen | PaperOut | PaperLow | Cutter | Broken).String(); all != "offline, cover open, paper out, paper low, cutter stuck, broken" {
		t.Errorf("all faults are %q", all)
	}
}

// FuzzReceipt: whatever is to be printed, a printer of either language prints
// it, in lines that fit, and no byte of it is a command.
func FuzzReceipt(f *testing.F) {
	f.Add("NEXUS-Air\n2026-11-23\nA", uint8(32), true)
	f.Add("reçu\x1b@\x10\x04\x01 日本", uint8(16), false)
	f.Add("\n\n\n\n\nA\n\n", uint8(16), true)
	f.Fuzz(func(t *testing.T, text string, columns uint8, latin1 bool) {
		lines := strings.Split(text, "\n")
		for _, language := range []Language{ESCPOS, Plain} {
			cfg := Config{Language: language, Columns: int(columns), Charset: ASCII}
			if latin1 {
				cfg.Charset = Latin1
			}
			cfg, err := cfg.complete()
			if err != nil {
				return
			}
			b, err := cfg.compose(lines)
			if err != nil {
				if !errors.Is(err, ErrTooLong) {
					t.Fatal(err)
				}
				return
			}
			var printed [][]string
			s := &Sim{Language: language, Printed: func(l []string) { printed = append(printed, l) }}
			if err := s.Serve(struct {
				io.Reader
				io.Writer
			}{bytes.NewReader(b), io.Discard}); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if len(s.held)+len(s.line) > 0 {
				t.Fatalf("%q is left in the printer", s.held)
			}
			if language == Plain {
				continue // blank lines are its only end
			}
			if len(printed) != 1 {
				t.Fatalf("%d receipts, want 1", len(printed))
			}
			var want []string
			for _, l := range lines {
				chars := []rune{}
				for _, c := range fold(l, cfg.Charset) {
					chars = append(chars, rune(c))
				}
				if len(chars) == 0 {
					want = append(want, "")
				}
				for part := range slices.Chunk(chars, cfg.Columns) {
					want = append(want, string(part))
				}
			}
			if !slices.Equal(printed[0], want) {
				t.Fatalf("printed %q, want %q", printed[0], want)
			}
			for _, l := range printed[0] {
				if utf8.RuneCountInString(l) > cfg.Columns {
					t.Fatalf("a line of %d columns", utf8.RuneCountInString(l))
				}
			}
		}
	})
}
