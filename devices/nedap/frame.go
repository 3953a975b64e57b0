package nedap

import (
	"bytes"
	"encoding/binary"
	"time"

	"boothd/devices"
)

// A protocolled report: open code, id, length, text, xor of all before it, close
// code. (Licence plate readers, section 2.)
const (
	openCode  = 0x89ABCDEF
	closeCode = 0x12345678
	headSize  = 12
	tailSize  = 5
	textMost  = 4096 // bytes
	frameMost = headSize + textMost + tailSize
)

// report is one whole report of either form. Its text and tags are valid until
// emit returns.
type report struct {
	begun time.Time // arrival of its first byte

	// Of a protocolled one.
	order binary.ByteOrder
	id    uint32
	text  []byte

	tags *tags // of a packet
}

// emit takes a report.
type emit func(r report)

// tally is what a codec counts.
type tally struct {
	devices.Counters
	noise int // bytes since the last report that belong to none
}

// drop counts n bytes that belong to no report; a stretch of them is one resync.
func (t *tally) drop(n int) {
	if t.noise == 0 {
		t.Resyncs++
	}
	t.noise += n
}

// scanner finds protocolled reports. It holds at most one, and reads no clock.
type scanner struct {
	tally
	buf    []byte
	at     int       // of buf, already used
	begun  time.Time // arrival of the first byte that is not
	lastAt time.Time // of the last
}

// feed takes bytes that came at one time and hands on every whole report.
func (s *scanner) feed(b []byte, at time.Time, out emit) {
	if s.buf == nil {
		s.buf = make([]byte, 0, frameMost)
	}
	s.Bytes += uint64(len(b))
	for s.lastAt = at; len(b) > 0; {
		if s.buf, s.at = s.buf[:copy(s.buf, s.buf[s.at:])], 0; len(s.buf) == 0 {
			s.begun = at
		}
		n := min(len(b), frameMost-len(s.buf))
		s.buf, b = append(s.buf, b[:n]...), b[n:]
		s.scan(out)
	}
}

// quiet gives up half a report after a silence. A whole one may stand behind a
// false start.
func (s *scanner) quiet(out emit) {
	if len(s.buf) > s.at {
		s.Timeouts++
	}
	for len(s.buf) > s.at {
		s.give(1)
		s.scan(out)
	}
}

// scan hands on what is whole, and stops at what may become so.
func (s *scanner) scan(out emit) {
	for len(s.buf) > s.at {
		b := s.buf[s.at:]
		order, ok := begins(b)
		switch {
		case !ok:
			s.give(1 + start(b[1:]))
			continue
		case len(b) < headSize:
			return
		}
		n := order.Uint32(b[8:])
		if n > textMost {
			s.CheckErrors++
			s.give(1)
			continue
		}
		size := headSize + int(n) + tailSize
		switch {
		case len(b) < size:
			return
		case !sound(b[:size], order):
			s.CheckErrors++
			s.give(1) // never after the length, which may be what is wrong
			continue
		}
		s.Frames++
		s.noise = 0
		out(report{begun: s.begun, order: order, id: order.Uint32(b[4:]), text: b[headSize : headSize+n]})
		s.use(size)
	}
}

// give drops n bytes that begin no report.
func (s *scanner) give(n int) {
	s.drop(n)
	s.use(n)
}

// use takes n bytes off. What is left came with the last ones, or stood behind a
// false start and is timed by them.
func (s *scanner) use(n int) {
	s.at += n
	s.begun = s.lastAt
}

var opens = [...]struct {
	code  [4]byte
	order binary.ByteOrder
}{
	{[4]byte{0x89, 0xAB, 0xCD, 0xEF}, binary.BigEndian},
	{[4]byte{0xEF, 0xCD, 0xAB, 0x89}, binary.LittleEndian},
}

// begins tells whether bytes are the open code, or its begin, and its order: the
// maker does not say which it is, and the first byte does.
func begins(b []byte) (binary.ByteOrder, bool) {
	for _, o := range opens {
		if n := min(len(b), len(o.code)); bytes.Equal(b[:n], o.code[:n]) {
			return o.order, true
		}
	}
	return nil, false
}

// start is where in b a report may begin; its length if nowhere.
func start(b []byte) int {
	for i, c := range b {
		if c == opens[0].code[0] || c == opens[1].code[0] {
			return i
		}
	}
	return len(b)
}

// sound checks a frame's xor and its close code.
func sound(f []byte, order binary.ByteOrder) bool {
	end := len(f) - tailSize
	return xor(f[:end]) == f[end] && order.Uint32(f[end+1:]) == closeCode
}

func xor(b []byte) (x byte) {
	for _, c := range b {
		x ^= c
	}
	return x
}
