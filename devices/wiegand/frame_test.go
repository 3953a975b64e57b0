package wiegand

import (
	"errors"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

// word reads bits as they are written in the protocol's vectors.
func word(bits string) (w Word) {
	for _, c := range bits {
		w = Word{w.Bits<<1 | uint64(c-'0'), w.N + 1}
	}
	return w
}

// The published vectors, and the derived ones (marked so).
var vectors = []struct {
	from     string
	format   Format
	bits     string
	facility uint64
	number   uint64
}{
	{"Z9", H10301, "00100010010100010010011111", 68, 41551},
	{"Z9", H10301, "00100010011110010110110101", 68, 62170},
	{"Z9", H10301, "10100010010111000010111101", 68, 47198},
	{"Z9", H10301, "10100010010110110000111011", 68, 46621},
	{"Z9", H10301, "00100010010010011000101111", 68, 37655},
	{"Z9", H10301, "00111111111101011111101100", 127, 60406},
	{"Z9", H10301, "10111001110010011110100011", 115, 37841},
	{"Z9", H10301, "11001000000100011001011011", 144, 9005},
	{"Z9", H10301, "10000000100000000000001011", 1, 5},
	{"Z9", H10301, "00000000100010100101000011", 1, 5281},
	{"Z9", H10301, "10111000100011011100111000", 113, 7068},
	{"wiegand-encoder", H10301, "00101101000000001010001000", 90, 324},
	{"proxmark3", H10301, "10111101100010001110101110", 123, 4567},
	{"derived", H10306, "0000000111110011100110000001110011", 999, 12345},
	{"derived", C1k35s, "11000001110110000000000110010000111", 118, 1603},
	{"derived", C1k35s, "10111111111111111111111111111111110", 4095, 1048575},
	{"derived", H10304, "1000001001101001000011011101110101010", 1234, 56789},
	{"derived", H10302, "0000000000000000000000000000000000010", 0, 1},
	{"derived", Raw26, "00100010010100010010011111", 0, 68<<16 | 41551},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		c, err := Parse(word(v.bits), []Format{v.format})
		if err != nil || c != (Card{v.format, v.facility, v.number}) {
			t.Errorf("%s %s: %+v, %v; want %d, %d", v.from, v.bits, c, err, v.facility, v.number)
		}
		if w, err := v.format.Word(v.facility, v.number); err != nil || w != word(v.bits) {
			t.Errorf("%s %d, %d is %s, %v; want %s", v.format, v.facility, v.number, w.digits(), err, v.bits)
		}
		// Every bit that is flipped breaks a parity; no format is without any.
		for i := range v.bits {
			w := word(v.bits)
			w.Bits ^= 1 << i
			if c, err := Parse(w, []Format{v.format}); err == nil {
				t.Errorf("%s with bit %d flipped: %+v", v.bits, i, c)
			}
		}
	}
}

func TestWordsThatNameNobody(t *testing.T) {
	for _, v := range []struct {
		bits    string
		formats []Format
		want    error
	}{
		{strings.Repeat("0", 26), []Format{H10301}, ErrUniform},
		{strings.Repeat("1", 26), []Format{H10301}, ErrUniform},
		{strings.Repeat("1", 64), Formats(), ErrUniform},
		{"00100010010100010010011110", []Format{H10301}, ErrParity},
		{"00100010010100010010011111", []Format{H10306, C1k35s}, ErrLength},
		{"0010001001010001001001111", Formats(), ErrLength},
	} {
		if _, err := Parse(word(v.bits), v.formats); !errors.Is(err, v.want) {
			t.Errorf("%s: %v, want %v", v.bits, err, v.want)
		}
	}
}

func TestNoSuchCard(t *testing.T) {
	for _, c := range []struct {
		format           Format
		facility, number uint64
	}{{H10301, 256, 1}, {H10301, 1, 65536}, {Raw26, 1, 1}, {H10302, 1, 1}, {H10302, 0, 1 << 35}, {C1k35s, 4096, 1}, {"h10300", 1, 1}} {
		if w, err := c.format.Word(c.facility, c.number); err == nil {
			t.Errorf("%+v is the word %s", c, w.digits())
		}
	}
}

// The table of numbers in docs/hardware.md is what a booth reads.
func TestDocumentedNumbers(t *testing.T) {
	text, err := os.ReadFile("../../docs/hardware.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\d+) \\| (\\d+|-) \\| (\\d+) \\| `([0-9A-F]+)`").FindAllStringSubmatch(string(text), -1) {
		facility, _ := strconv.ParseUint(strings.Trim(row[3], "-"), 10, 64) // 0 where there is none
		number, err := strconv.ParseUint(row[4], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		w, err := Format(row[1]).Word(facility, number)
		if err != nil || w.Ident().Reveal() != row[5] || strconv.Itoa(w.N) != row[2] {
			t.Errorf("%q: %s of %d bits, %v", row[0], w.Ident().Reveal(), w.N, err)
		}
		seen++
	}
	if seen != len(Formats()) {
		t.Errorf("%d formats are documented, want %d", seen, len(Formats()))
	}
}

func TestIdent(t *testing.T) {
	for bits, want := range map[string]string{
		"00100010010100010010011111":            "225127C0",
		"1":                                     "80",
		"0000000000000000000000000000000000010": "0000000010",
		strings.Repeat("10", 32):                "AAAAAAAAAAAAAAAA",
	} {
		if got := word(bits).Ident().Reveal(); got != want {
			t.Errorf("%s: %s, want %s", bits, got, want)
		}
	}
}

func TestKey(t *testing.T) {
	for bits, want := range map[string]byte{"0000": '0', "1001": '9', "1010": '*', "1011": '#', "1100": 0, "11110000": '0', "01011010": '*',
		"01011011": 0, "11110001": 0, "00001111": 0, "101": 0} {
		if got, ok := Key(word(bits)); got != want || ok != (want != 0) {
			t.Errorf("%s: %q %v, want %q", bits, got, ok, want)
		}
	}
}

const us = time.Microsecond

// pulses is the pulses of a word, from a time on.
func pulses(bits string, at time.Duration) (out []devices.Pulse) {
	for i, c := range bits {
		out = append(out, devices.Pulse{Line: int(c - '0'), Stamp: at + time.Duration(i)*1000*us})
	}
	return out
}

// heard is every frame of pulses.
func heard(all []devices.Pulse) (out []frame) {
	s := scanner{gap: 25 * time.Millisecond}
	for _, p := range all {
		p.At = time.Unix(0, int64(p.Stamp))
		if f, ok := s.take(p); ok {
			out = append(out, f)
		}
	}
	if f, ok := s.end(); ok {
		out = append(out, f)
	}
	return out
}

func TestFrames(t *testing.T) {
	card := vectors[0].bits
	many := strings.Repeat("10", 32)
	at := func(line int, stamp time.Duration) devices.Pulse { return devices.Pulse{Line: line, Stamp: stamp} }
	lost := pulses("1010", 0)
	lost[2].Lost = true
	for _, v := range []struct {
		name   string
		pulses []devices.Pulse
		want   []frame
	}{
		{"one", pulses(card, 0), []frame{{word: word(card)}}},
		{"two", append(pulses(card, 0), pulses("1010", 100*time.Millisecond)...), []frame{{word: word(card)}, {word: word("1010"), begun: time.Unix(0, 1e8)}}},
		{"25 ms is one frame still", append(pulses("1000", 0), pulses("1", 28*time.Millisecond)...), []frame{{word: word("10001")}}},
		{"a little more is two", append(pulses("1000", 0), pulses("1001", 28*time.Millisecond+us)...),
			[]frame{{word: word("1000")}, {word: word("1001"), begun: time.Unix(0, int64(28*time.Millisecond+us))}}},
		{"glued", pulses(card+card, 0), []frame{{word: word(card + card)}}},
		{"100 us is a pulse", []devices.Pulse{at(1, 0), at(1, 100*us), at(0, 200*us), at(0, 300*us)}, []frame{{word: word("1100")}}},
		{"a glitch", []devices.Pulse{at(1, 0), at(1, 99*us), at(0, 300*us), at(0, 600*us)}, []frame{{word: word("1100"), err: errGlitch}}},
		{"both low", []devices.Pulse{at(1, 0), at(0, 20*us), at(0, 300*us), at(0, 600*us)}, []frame{{word: word("1000"), err: errBoth}}},
		{"out of order", []devices.Pulse{at(1, 300*us), at(0, 20*us), at(0, 400*us), at(0, 600*us)}, []frame{{word: word("1000"), err: errBoth, begun: time.Unix(0, 300_000)}}},
		{"lost", lost, []frame{{word: word("1010"), err: errLost}}},
		{"64 bits", pulses(many, 0), []frame{{word: word(many)}}},
		{"65 bits", pulses(many+"1", 0), []frame{{word: word(many), err: errLong}}},
		{"a lamp is switched", pulses("101", 0), []frame{{word: word("101"), err: errShort}}},
		{"nothing", nil, nil},
	} {
		for i := range v.want {
			if v.want[i].begun.IsZero() {
				v.want[i].begun = time.Unix(0, 0)
			}
		}
		if got := heard(v.pulses); !slices.Equal(got, v.want) {
			t.Errorf("%s: %+v, want %+v", v.name, got, v.want)
		}
	}
}

// Whatever pulses come: frames of 1 to 64 bits, or a reason; what is read has
// the bits of one of the formats; and after silence the next card is read.
func FuzzFrames(f *testing.F) {
	for _, v := range vectors {
		b := make([]byte, 0, 2*len(v.bits))
		for _, c := range v.bits {
			b = append(b, byte(c-'0'), 100)
		}
		f.Add(b)
	}
	f.Add([]byte{1, 50, 0, 4, 3, 50, 2, 50, 129, 70})
	f.Add(slices.Repeat([]byte{1, 100, 0, 20}, 70))
	dice := rand.New(rand.NewPCG(26, 37))
	noise := make([]byte, 300)
	for i := range noise {
		noise[i] = byte(dice.Uint32())
	}
	f.Add(noise)
	f.Fuzz(func(t *testing.T, b []byte) {
		var all []devices.Pulse
		at := time.Duration(0)
		for p := range slices.Chunk(b, 2) {
			if len(p) == 2 {
				at += time.Duration(p[1]) * time.Duration(p[1]) * us // up to 65 ms
			}
			all = append(all, devices.Pulse{Line: int(p[0] & 1), Lost: p[0]>>7 == 1, Stamp: at})
		}
		devicestest.Frugal(t, func() (frames int) {
			s := scanner{gap: 25 * time.Millisecond}
			for _, p := range all {
				if fr, ok := s.take(p); ok {
					frames++
					_, _ = Parse(fr.word, Formats())
				}
			}
			return frames
		})
		for _, fr := range heard(all) {
			if fr.word.N < 1 || fr.word.N > bitsMost || fr.word.N < 64 && fr.word.Bits>>fr.word.N != 0 || fr.err == nil && fr.word.N < bitsLeast {
				t.Fatalf("%+v", fr)
			}
			c, err := Parse(fr.word, Formats())
			if err != nil {
				continue
			}
			if again, err := c.Format.Word(c.Facility, c.Number); err != nil || again != fr.word {
				t.Fatalf("%+v of %+v is the word %+v, %v", c, fr.word, again, err)
			}
		}
		got := heard(append(all, pulses(vectors[0].bits, at+time.Second)...))
		if last := got[len(got)-1]; last.err != nil || last.word != word(vectors[0].bits) {
			t.Fatalf("the card behind it: %+v", last)
		}
	})
}

// A pulse counts as a byte of the wire: ten bits at 921,600 baud, which is 18
// times as fast as a reader may pulse.
func BenchmarkCodec(b *testing.B) {
	for _, v := range vectors {
		if v.from != "derived" && v.number != 41551 {
			continue
		}
		b.Run("format="+string(v.format), func(b *testing.B) {
			all, s := pulses(v.bits, 0), scanner{gap: 25 * time.Millisecond}
			formats := []Format{v.format}
			devicestest.Codec(b, []byte(v.bits), func([]byte) {
				for _, p := range all {
					s.take(p)
				}
				f, ok := s.end()
				if c, err := Parse(f.word, formats); !ok || err != nil || c.Number != v.number {
					b.Fatal(c, err)
				}
			})
		})
	}
}
