package amtech

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/devices/devicestest"
)

// Derived in the page from the published algorithm, but for the text of XModem,
// which is the catalogue's own.
func TestCRCVectors(t *testing.T) {
	for text, want := range map[string]uint16{"4KING 1302": 0x9A91, "4@": 0x3440, "001": 0x0662, "0Done": 0xF781, "123456789": 0xBEEF} {
		if got := CRCPublished.sum([]byte(text)); got != want {
			t.Errorf("check value of %q = %04X, want %04X", text, got, want)
		}
		if got := simCRC(CRCPublished, []byte(text)); got != want {
			t.Errorf("the simulated reader's of %q = %04X, want %04X", text, got, want)
		}
	}
	if got := CRCXModem.sum([]byte("123456789")); got != 0x31C3 || simCRC(CRCXModem, []byte("123456789")) != got {
		t.Errorf("XModem check value = %04X, want 31C3", got)
	}
}

func TestHostFrameVectors(t *testing.T) {
	ecp, basic := framing{start: '#', ecp: true}, framing{start: '#'}
	for _, tc := range []struct {
		f      framing
		number byte
		text   string
		want   string
	}{
		{ecp, 4, "@", "#4@3440\r"},   // published without digits, these derived
		{ecp, 0, "01", "#0010662\r"}, // derived
		{basic, 0, "01", "#01\r"},    // published
		{basic, 0, "505", "#505\r"},  // published
		{framing{start: '!'}, 0, "505", "!505\r"},
	} {
		if got := string(tc.f.append(nil, tc.number, tc.text)); got != tc.want {
			t.Errorf("frame %d %q = %q, want %q", tc.number, tc.text, got, tc.want)
		}
	}
	// Parity: # has three bits, CR three, 0 two, 1 three; derived by hand.
	for p, want := range map[Parity]string{ParityEven: "\xa30\xb1\x8d", ParityOdd: "#\xb01\r"} {
		if got := string(framing{start: '#', parity: p}.append(nil, 0, "01")); got != want {
			t.Errorf("parity %d: %q, want %q", p, got, want)
		}
	}
}

// found is what a scanner found, in words.
func found(f framing, bytes string) (out []string) {
	s := scanner{framing: f}
	for rest := []byte(bytes); len(rest) > 0; {
		used, got, ok := s.take(rest)
		rest = rest[used:]
		switch {
		case ok && got.damaged:
			out = append(out, fmt.Sprintf("%X?", got.number))
		case ok && f.ecp:
			out = append(out, fmt.Sprintf("%X:%s", got.number, got.text))
		case ok:
			out = append(out, string(got.text))
		}
	}
	return out
}

func TestReaderFrames(t *testing.T) {
	ecp, basic := framing{start: '#', ecp: true}, framing{start: '#'}
	long := strings.Repeat("x", textMost)
	for _, tc := range []struct {
		name string
		f    framing
		said string
		want []string
	}{
		{"tag (published)", basic, "#KING 1302\r\n", []string{"KING 1302"}},
		{"done (published)", basic, "#Done\r\n", []string{"Done"}},
		{"sign-on (published)", basic, "#Model eGo2000 Series Ver X.0X SN97001P\r\n", []string{"Model eGo2000 Series Ver X.0X SN97001P"}},
		{"answer to 549 (published)", basic, "#A4 0A 0005014202024133\r\n", []string{"A4 0A 0005014202024133"}},
		{"tag with ECP (derived digits)", ecp, "#4KING 13029A91\r\n", []string{"4:KING 1302"}},
		{"done with ECP (derived)", ecp, "#0DoneF781\r\n", []string{"0:Done"}},
		{"lower-case check value", ecp, "#4KING 13029a91\r\n", []string{"4:KING 1302"}},
		{"answer to #549 (published)", basic, "#A4 0A 0005014202024133\r\n", []string{"A4 0A 0005014202024133"}},
		{"acknowledgement by hand (published), with the wild card #x@````", ecp, "#x@````\r\n", nil},
		{"wild card", ecp, "#4KING 1302````\r\n", []string{"4?"}},
		{"wrong check value", ecp, "#4KING 13029A92\r\n", []string{"4?"}},
		{"wrong check value, no number", ecp, "#xKING 13029A91\r\n", nil},
		{"too short for a check value", ecp, "#4@3\r\n", nil},
		{"glued", basic, "#A\r\n#B\r\n", []string{"A", "B"}},
		{"lone ends of lines", basic, "\r\n\n\r#A\r\n\r\n", []string{"A"}},
		{"the end was lost", basic, "#KING 13#KING 1302\r\n", []string{"KING 1302"}},
		{"the line feed was lost", basic, "#A\r#B\r\n", []string{"B"}},
		{"a lone CR within", basic, "#A\rB\r\n#C\r\n", []string{"C"}},
		{"a lone LF within", basic, "#A\nB\r\n#C\r\n", []string{"C"}},
		{"what cannot be printed", basic, "#A\x00B\r\n#A\x7f\r\n#\xc1\r\n#C\r\n", []string{"C"}},
		{"nothing", basic, "#\r\n", nil},
		{"longest", basic, "#" + long + "\r\n", []string{long}},
		{"too long", basic, "#" + long + "x\r\n#C\r\n", []string{"C"}},
		{"no end", basic, "#" + strings.Repeat(long, 9) + "\r\n#C\r\n", []string{"C"}},
		{"another start", framing{start: '!'}, "#A\r\n!B\r\n", []string{"B"}},
		{"even parity", framing{start: '#', parity: ParityEven}, "\xa3\xb1\x8d\x0a", []string{"1"}},
		{"wrong parity", framing{start: '#', parity: ParityEven}, "\xa31\x8d\x0a\xa3\xb1\x8d\x0a", []string{"1"}},
	} {
		if got := found(tc.f, tc.said); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestMessages(t *testing.T) {
	for _, tc := range []struct {
		text    string
		kind    kind
		id      string
		antenna int
	}{
		{"KING 1302", kindTag, "KING 1302", -1},
		{"A4 0A 0005014202024133", kindNothing, "", 0}, // answers #549, and is longer than any tag
		{"KING 1302&12:34:56.78 11/23/26", kindTag, "KING 1302", -1},
		{"KING 1302&EAC&12:34:56.78 11/23/26%0A-1-1F-3", kindTag, "KING 1302", 1},
		{"KING 1302%00-0-00-0", kindTag, "KING 1302", 0},
		{"KING 1302%00-0-00-4", kindNothing, "", 0}, // no such inputs
		{"KING 1302%00-0-00", kindNothing, "", 0},
		{"KING 1302%0x-0-00-0", kindNothing, "", 0},
		{"KING%1302%00-0-00-0", kindNothing, "", 0},
		{"12345678901234567890", kindTag, "12345678901234567890", -1},
		{"123456789012345678901", kindNothing, "", 0},
		{"&12:34:56.78 11/23/26", kindNothing, "", 0},
		{"   ", kindNothing, "", 0},
		{"", kindNothing, "", 0},
		{"Done", kindDone, "", 0},
		{"Error", kindRefused, "", 0},
		{"Error06", kindAlarm, "", 0}, {"Error11", kindAlarm, "", 0},
		{"Model eGo2000 Series Ver X.0X SN97001P", kindSignOn, "", 0},
		{"SSTC E0 M0", kindStatus, "", 0}, {"IOST C0 O2 I0 D24", kindStatus, "", 0}, {"PWRB 1", kindStatus, "", 0}, {"HDSH 12", kindStatus, "", 0},
		{"IOST 1302", kindTag, "IOST 1302", -1}, // an owner may be called so
	} {
		m := read([]byte(tc.text))
		if m.kind != tc.kind || string(m.id) != tc.id || m.kind == kindTag && m.antenna != tc.antenna {
			t.Errorf("%q: kind %d, id %q, antenna %d", tc.text, m.kind, m.id, m.antenna)
		}
	}
	its := time.Date(2026, 11, 23, 12, 34, 56, 780_000_000, time.UTC)
	for text, want := range map[string]time.Time{
		"KING 1302&12:34:56.78 11/23/26":               its,
		"KING 1302&EAC&12:34:56.78 11/23/26%0A-1-1F-3": its,
		"KING 1302&EAC":                  {},
		"KING 1302&24:34:56.78 11/23/26": {},
		"KING 1302&12:34:56.78 00/00/00": {}, // not set
		"KING 1302":                      {},
	} {
		if m := read([]byte(text)); m.kind != kindTag || m.at != want {
			t.Errorf("%q: kind %d at %v, want %v", text, m.kind, m.at, want)
		}
	}
	if got := read([]byte("Error08")).alarm; got != 8 {
		t.Errorf("alarm %d, want 8", got)
	}
	if got := ident([]byte("KING 1302")).Reveal(); got != "4B494E472031333032" {
		t.Errorf("ident %s", got)
	}
}

func TestNoAllocationPerByte(t *testing.T) {
	for _, ecp := range []bool{false, true} {
		s := scanner{framing: framing{start: '#', ecp: ecp}}
		devicestest.NoAllocationPerByte(t, "#\r\n4A", func(b []byte) {
			for len(b) > 0 {
				used, _, _ := s.take(b)
				b = b[used:]
			}
		})
	}
}

// Whatever comes and however it is split, frames are whole, printable and
// bounded, and the next good one is found.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{"#KING 1302\r\n", "#4KING 13029A91\r\n", "#4KING#4KING 13029a91\r\n", "#Done\r\n\r\n#\r\n", "\xa3\xb1\x8d\x0a"} {
		f.Add([]byte(s), true, uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, ecp bool, chunk uint8) {
		devicestest.Frugal(t, func() (frames int) {
			s := scanner{framing: framing{start: '#', ecp: ecp}}
			for rest := b; len(rest) > 0; {
				used, got, ok := s.take(rest)
				if rest = rest[used:]; ok && !got.damaged {
					frames++
					_ = ident(read(got.text).id)
				}
			}
			return frames
		})
		size := int(chunk%64) + 1
		good := []byte("#KING 1302\r\n")
		if ecp {
			good = []byte("#4KING 13029A91\r\n")
		}
		s := scanner{framing: framing{start: '#', ecp: ecp}}
		last := ""
		for rest := append(bytes.Clone(b), good...); len(rest) > 0; {
			piece := rest[:min(size, len(rest))]
			used, got, ok := s.take(piece)
			if used < 1 || used > len(piece) {
				t.Fatalf("used %d of %d", used, len(piece))
			}
			rest = rest[used:]
			if !ok || got.damaged {
				continue
			}
			if len(got.text) > textMost || bytes.ContainsFunc(got.text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("text %q", got.text)
			}
			if m := read(got.text); m.kind == kindTag && (len(m.id) == 0 || len(m.id) > idMost) {
				t.Fatalf("tag of %d characters", len(m.id))
			}
			last = string(got.text)
		}
		if last != "KING 1302" {
			t.Fatalf("the last frame is %q", last)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	for name, f := range map[string]framing{"basic": {start: '#'}, "ecp": {start: '#', ecp: true}} {
		b.Run("mode="+name, func(b *testing.B) {
			mode := Basic
			if f.ecp {
				mode = ECP
			}
			sim := Sim{Mode: mode}
			report := sim.Report(4, "KING 1302&12:34:56.78 11/23/26%0A-1-1F-3")
			s := scanner{framing: f}
			devicestest.Codec(b, report, func(wire []byte) {
				if _, got, ok := s.take(wire); !ok || read(got.text).kind != kindTag {
					b.Fatal("no tag")
				}
			})
		})
	}
}
