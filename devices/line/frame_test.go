package line

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// texts runs bytes through the framer alone; quiet ends the stream.
func texts(f *framer, quiet bool, chunks ...string) (got []string) {
	out := func(r []byte, _ time.Time) { got = append(got, string(r)) }
	for _, c := range chunks {
		f.feed([]byte(c), time.Time{}, out)
	}
	if quiet {
		f.quiet(out)
	}
	return got
}

func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name    string
		f       framer
		in      string
		want    []string
		dropped uint64
	}{
		{"too long for a silence, and its tail is no report", framer{most: 8}, "AAAAAAAAAAAAAAAA", nil, 1},
		{"a start ends what only silence ends", framer{start: []byte("$"), most: 8}, "\r\n$AB$CD", []string{"AB", "CD"}, 0},
		{"too long after a start", framer{start: []byte("$"), end: []byte("#"), most: 8}, "$AAAAAAAAAAAA#$OK#", []string{"OK"}, 1},
		{"start of two bytes", framer{start: []byte("<<"), end: []byte(">>"), most: 8}, "<a<<A>>><<<B>>", []string{"A", "<B"}, 2},
		{"noise twice", framer{start: []byte("$"), end: []byte("#"), most: 8}, "xx yy$A#\r\nzz$B#", []string{"A", "B"}, 2},
		{"start twice", framer{start: []byte("$"), end: []byte("#"), most: 8}, "$$$A#", []string{"A"}, 0},
		{"blank is nothing", framer{end: []byte("\n"), most: 8}, "\n\nA\n\n", []string{"A"}, 0},
		{"blank is a report", framer{end: []byte("\n"), most: 8, blank: true}, "\nA\n", []string{"", "A"}, 0},
		{"cut off by a silence", framer{end: []byte("\n"), most: 8}, "A\nB", []string{"A"}, 1},
		{"exactly the most", framer{end: []byte("\n"), most: 3}, "ABC\nABCD\n", []string{"ABC"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole, single := c.f, c.f
			if got := texts(&whole, true, c.in); !slices.Equal(got, c.want) || whole.dropped != c.dropped {
				t.Errorf("got %q and %d dropped, want %q and %d", got, whole.dropped, c.want, c.dropped)
			}
			if got := texts(&single, true, strings.Split(c.in, "")...); !slices.Equal(got, c.want) {
				t.Errorf("byte by byte %q, want %q", got, c.want)
			}
		})
	}
}

// A bare check byte may be any byte: start and end too. All 256 are read.
func TestBareCheckByte(t *testing.T) {
	p := parserOf(t, Config{Start: "\x02", End: "\x03", Fields: []string{"plate"}, Checksum: bareCheck, Charset: "latin-1"})
	frame := func(body string) string {
		return "\x02" + body + string([]byte{byte(checksum(bareCheck, []byte(body)))}) + "\x03"
	}
	seen := map[uint16]bool{}
	for a := byte('0'); a < 0xff; a++ {
		for b := byte('0'); b < 0xff; b++ {
			body := string([]byte{'P', a, b})
			sum := checksum(bareCheck, []byte(body))
			if seen[sum] {
				continue
			}
			seen[sum] = true
			f := p.framer()
			body2 := "NEXT" + body
			if got := texts(&f, true, frame(body)+frame(body2)); len(got) != 2 || f.dropped != 0 {
				t.Errorf("check byte %02X: %q", sum, got)
			} else if b, err := uncheck(bareCheck, []byte(got[0])); err != nil || string(b) != body {
				t.Errorf("check byte %02X: %q %v", sum, b, err)
			}
		}
	}
	if !seen[2] || !seen[3] || len(seen) < 200 {
		t.Errorf("only %d check bytes were tried", len(seen))
	}
	// Damaged, then whole; and damaged as the last before a silence.
	f := p.framer()
	bad := "\x02PXX?\x03"
	if got := texts(&f, true, bad+frame("AB1")+bad); len(got) != 3 {
		t.Errorf("%q", got)
	}
	// One that was cut off, then whole.
	f = p.framer()
	if got := texts(&f, true, "\x02PX"+frame("AB1")); len(got) != 1 || f.dropped != 1 {
		t.Errorf("%q, %d dropped", got, f.dropped)
	}
}

// A report begins with its first byte, in whatever pieces it comes.
func TestReportsAreTimedByTheirFirstByte(t *testing.T) {
	for _, template := range []string{"axxon", "nedap-raw"} {
		p := parserOf(t, form(template, Config{}))
		f, first := p.framer(), time.Unix(1000, 0)
		var got time.Time
		for i, c := range []byte(p.cfg.Start + "2026070412345601AB" + p.cfg.End) {
			f.feed([]byte{c}, first.Add(time.Duration(i)*time.Second), func(_ []byte, begun time.Time) { got = begun })
		}
		if !got.Equal(first) {
			t.Errorf("%s: timed %v, want %v", template, got, first)
		}
	}
}

// Nothing is allocated for a byte, whatever the bytes are.
func TestNoAllocationPerByte(t *testing.T) {
	noise := bytes.Repeat([]byte("\x02\r\xff$A\x00B;,C"), 1000)
	for _, cfg := range []Config{form("axxon", Config{}), form("nedap-raw", Config{}), form("csv-generic", Config{}),
		{Silence: time.Millisecond, Fields: []string{"plate"}}, form("axxon", Config{Checksum: bareCheck})} {
		p := parserOf(t, cfg)
		f := p.framer()
		out := func([]byte, time.Time) {}
		f.feed(noise, time.Time{}, out) // its buffer grows once
		if n := testing.AllocsPerRun(10, func() { f.feed(noise, time.Time{}, out) }); n != 0 {
			t.Errorf("%+v: %v allocations", cfg, n)
		}
		if cap(f.buf) > 4*maxLength {
			t.Errorf("%+v: %d bytes held", cfg, cap(f.buf))
		}
	}
}
