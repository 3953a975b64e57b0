package nedap

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/devices/devicestest"
	"boothd/devices/line"
)

func unhexed(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Reports of the page's vectors, derived there from the published layout.
const (
	bigVector    = "89 AB CD EF 00 00 00 01 00 00 00 0A 34 36 48 56 52 39 2D 4E 4C 44 17 12 34 56 78"
	littleVector = "EF CD AB 89 01 00 00 00 0A 00 00 00 34 36 48 56 52 39 2D 4E 4C 44 17 78 56 34 12"
)

// framed is a protocolled report without what is only valid at once.
type framed struct {
	id     uint32
	little bool
	text   string
}

// scanned runs bytes through the scanner in pieces; quiet ends the stream.
func scanned(s *scanner, size int, quiet bool, b []byte) (got []framed) {
	out := func(r report) { got = append(got, framed{r.id, r.order == binary.LittleEndian, string(r.text)}) }
	for part := range slices.Chunk(b, size) {
		s.feed(part, time.Time{}, out)
	}
	if quiet {
		s.quiet(out)
	}
	return got
}

func TestFrameVectors(t *testing.T) {
	for _, c := range []struct {
		name, wire string
		want       framed
	}{
		{"big endian (page, derived)", bigVector, framed{1, false, "46HVR9-NLD"}},
		{"little endian (page, derived)", littleVector, framed{1, true, "46HVR9-NLD"}},
		{"no text (ours)", "89 AB CD EF 00 00 00 02 00 00 00 00 02 12 34 56 78", framed{2, false, ""}},
	} {
		b := unhexed(t, c.wire)
		for size := 1; size <= len(b); size++ {
			var s scanner
			got := scanned(&s, size, false, b)
			if len(got) != 1 || got[0] != c.want || s.CheckErrors != 0 || s.Resyncs != 0 || s.Frames != 1 || s.Bytes != uint64(len(b)) {
				t.Errorf("%s in pieces of %d: %+v, %+v", c.name, size, got, s.tally)
			}
		}
		if sim := (&Camera{Little: c.want.little}).frame(c.want.id, c.want.text); !bytes.Equal(sim, b) {
			t.Errorf("%s: the simulated camera sends % X", c.name, sim)
		}
	}
}

// What is no report. The good one behind it is found, at once or when the line
// has been silent. All are derived from the page's vectors.
func TestDamagedFrames(t *testing.T) {
	head, tail := bigVector[:35], bigVector[66:]
	for _, c := range []struct {
		name, wire string
		errors     uint64
		late       bool // the next report is found after a silence
	}{
		{"wrong xor", head + bigVector[35:66] + "16 12 34 56 78", 1, false},
		{"a bit of the text", head + " 35" + bigVector[38:], 1, false},
		{"a bit of the id", "89 AB CD EF 00 00 00 03" + bigVector[23:], 1, false},
		{"wrong close code", head + bigVector[35:66] + "17 12 34 56 79", 1, false},
		{"close code of the other order", head + bigVector[35:66] + "17 78 56 34 12", 1, false},
		{"open code of the other order", "EF CD AB 89" + bigVector[11:], 1, false}, // its length is 0A000000
		{"length one over the most", "89 AB CD EF 00 00 00 01 00 00 10 01 34", 1, false},
		{"the longest length that can be", "89 AB CD EF 00 00 00 01 FF FF FF FF", 1, false},
		{"too long, and cut", "89 AB CD EF 00 00 00 01 00 00 10 00 34 36", 0, true},
		{"shorter than it is", "89 AB CD EF 00 00 00 01 00 00 00 09" + bigVector[35:], 1, false},
		{"cut in the text", head + "34 36", 1, false},               // the next report's bytes make it whole, and wrong
		{"cut in the head", "89 AB CD EF 00 00", 1, false},          // the next one's open code makes its length
		{"an open code before the report", "89 AB CD EF", 1, false}, // an id and a length of 7 follow, and no close code
		{"half an open code", "89 AB CD", 0, false},
		{"other bytes", "12 34 56 78 00 FF 89 EF 89", 0, false},
		{"no open code", "88 AB CD EF" + bigVector[11:], 0, false},
		{"only the end", tail, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s scanner
			good := (&Camera{}).frame(7, "KAYAK7-ON")
			got := scanned(&s, 1, false, append(unhexed(t, c.wire), good...))
			if found := len(got) == 1; found == c.late {
				t.Errorf("before a silence: %+v", got)
			}
			got = append(got, scanned(&s, 1, true, nil)...)
			if want := (framed{7, false, "KAYAK7-ON"}); len(got) != 1 || got[0] != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			if s.CheckErrors < c.errors || c.errors == 0 && s.CheckErrors > 0 || s.Resyncs == 0 {
				t.Errorf("%+v, want %d check errors", s.tally, c.errors)
			}
			if len(s.buf) > s.at {
				t.Errorf("%d bytes are kept after a silence", len(s.buf)-s.at)
			}
		})
	}
}

// The longest text is read, and the byte order is each report's own.
func TestLongestFrameAndMixedOrders(t *testing.T) {
	long := strings.Repeat("A", textMost)
	big, little := &Camera{}, &Camera{Little: true}
	wire := slices.Concat(big.frame(1, long), little.frame(2, "B"), big.frame(3, "C"))
	for _, size := range []int{1, 511, len(wire)} {
		var s scanner
		got := scanned(&s, size, false, wire)
		if want := []framed{{1, false, long}, {2, true, "B"}, {3, false, "C"}}; !slices.Equal(got, want) || s.Resyncs != 0 {
			t.Errorf("in pieces of %d: %d reports, %+v", size, len(got), s.tally)
		}
		if cap(s.buf) > frameMost {
			t.Errorf("%d bytes are held", cap(s.buf))
		}
	}
}

// A report is timed by its first byte.
func TestFramesAreTimedByTheirFirstByte(t *testing.T) {
	first := time.Unix(1000, 0)
	var s scanner
	var p packets
	for name, c := range map[string]struct {
		codec codec
		wire  []byte
	}{"protocolled": {&s, unhexed(t, bigVector)}, "packet": {&p, simPacket(0, simRecord(14004, []byte("A1\x00\x00")))}} {
		var got []time.Time
		for round := range 2 {
			for i, b := range c.wire {
				c.codec.feed([]byte{b}, first.Add(time.Duration(round*100+i)*time.Second), func(r report) { got = append(got, r.begun) })
			}
		}
		if want := []time.Time{first, first.Add(100 * time.Second)}; !slices.Equal(got, want) {
			t.Errorf("%s: timed %v, want %v", name, got, want)
		}
	}
}

// One that begins behind another, in the same bytes, is timed by them.
func TestGluedFramesAreTimed(t *testing.T) {
	first := time.Unix(1000, 0)
	cam := &Camera{}
	wire := slices.Concat(cam.frame(1, "A1"), []byte("noise"), cam.frame(2, "B2"))
	cut := len(cam.frame(1, "A1")) + 5 + 3 // in the second one's open code
	var s scanner
	var got []time.Time
	for i, part := range [][]byte{wire[:7], wire[7:cut], wire[cut:]} {
		s.feed(part, first.Add(time.Duration(i)*time.Second), func(r report) { got = append(got, r.begun) })
	}
	if want := []time.Time{first, first.Add(time.Second)}; !slices.Equal(got, want) {
		t.Errorf("timed %v, want %v", got, want)
	}
}

// Nothing is allocated for a byte, whatever the bytes are.
func TestNoAllocationPerByte(t *testing.T) {
	var noise []byte
	for _, part := range []string{"89", "EF", "89 AB CD EF 00 00 00 01 00 00 10 01", bigVector, "18 00 00 00", "40 9C"} {
		noise = append(noise, bytes.Repeat(unhexed(t, part), 20)...)
	}
	noise = append(noise, (&Camera{Packets: true, Image: 100_000}).Report(1, time.Unix(1e9, 0), "A1", "ON", 1)...)
	for name, c := range map[string]codec{"protocolled": &scanner{}, "packets": &packets{}} {
		out := func(report) {}
		c.feed(noise, time.Time{}, out) // its buffer is made once
		if n := testing.AllocsPerRun(10, func() { c.feed(noise, time.Time{}, out) }); n != 0 {
			t.Errorf("%s: %v allocations for %d bytes", name, n, len(noise))
		}
	}
}

// plain checks that a text is read into a plate within its bounds, or not.
func plain(t *testing.T, text Text, r report) {
	t.Helper()
	p, err := text.Report(r.text)
	if r.tags != nil {
		p, err = text.Parts(r.tags.parts())
	}
	if err == nil && (len(p.Text) > 4*32 || len(p.Camera) > 64 || len(p.Jurisdiction) > 3 || p.Confidence > 1 || p.NoRead != (p.Text == "")) {
		t.Fatalf("%+v", p)
	}
}

// Whatever comes and however it is split, the same reports are found, each of
// them was sent, memory is bounded, and a good one behind a silence is found.
func FuzzScanner(f *testing.F) {
	f.Add(unhexed(f, bigVector), uint8(3))
	f.Add(unhexed(f, littleVector), uint8(0))
	f.Add(unhexed(f, "89 AB CD EF 00 00 00 01 00 00 10 01 34"), uint8(40))
	f.Add(unhexed(f, "89 AB CD EF 89 AB CD EF 00 00 00 02 00 00 00 00 02 12 34 56 78"), uint8(1))
	f.Add((&Camera{Little: true}).frame(9, strings.Repeat("A", 300)), uint8(200))
	text := textOf(f, line.Config{})
	f.Fuzz(func(t *testing.T, b []byte, chunk uint8) {
		devicestest.Frugal(t, func() (frames int) {
			var s scanner
			s.feed(b, time.Time{}, func(r report) {
				frames++
				_, _ = text.Report(r.text)
			})
			return frames
		})
		var whole, split scanner
		got := scanned(&whole, max(1, len(b)), false, b)
		if other := scanned(&split, int(chunk)+1, false, b); !slices.Equal(got, other) {
			t.Fatalf("%d reports at once, %d in pieces", len(got), len(other))
		}
		for _, r := range got {
			if sent := (&Camera{Little: r.little}).frame(r.id, r.text); !bytes.Contains(b, sent) {
				t.Fatalf("% X was not sent", sent)
			}
			plain(t, text, report{text: []byte(r.text)})
		}
		if cap(split.buf) > frameMost {
			t.Fatalf("%d bytes are held", cap(split.buf))
		}
		scanned(&split, 1, true, nil)
		if got = scanned(&split, 1, false, (&Camera{}).frame(1, "ZZZ")); len(got) != 1 || got[0].text != "ZZZ" {
			t.Fatalf("not resynchronised after % X", b)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	text := textOf(b, line.Config{})
	for name, c := range map[string]struct {
		codec codec
		cam   *Camera
	}{
		"protocolled": {&scanner{}, &Camera{}},
		"packets":     {&packets{}, &Camera{Packets: true}},
		"images":      {&packets{}, &Camera{Packets: true, Image: 100_000}},
	} {
		b.Run(fmt.Sprintf("form=%s", name), func(b *testing.B) {
			devicestest.Codec(b, c.cam.Report(1, time.Unix(1e9, 0), "46HVR9", "NLD", 0.97), func(wire []byte) {
				reports := 0
				c.codec.feed(wire, time.Time{}, func(r report) {
					reports++
					if r.tags == nil {
						_, _ = text.Report(r.text)
					} else {
						_, _ = text.Parts(r.tags.parts())
					}
				})
				if reports != 1 {
					b.Fatal("no report")
				}
			})
		})
	}
}
