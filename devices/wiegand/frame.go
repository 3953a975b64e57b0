package wiegand

import (
	"errors"
	"time"

	"boothd/devices"
)

// Times and sizes of the signal (Wiegand, electrical and timing).
const (
	// apartLeast is how far pulses are apart at least. Readers leave 200 us and
	// more; half of that is left to an edge that was stamped late. Two lines that
	// fall within it were both low: a pulse is up to 100 us wide.
	apartLeast = 100 * time.Microsecond
	bitsMost   = 64
	// bitsLeast is what a word has at least: one pulse or three are a lamp that
	// was switched beside the cable. A key has four.
	bitsLeast = 4
)

// Why bits are no word.
var (
	errGlitch = errors.New("two pulses of one line nearer than any reader sends them")
	errBoth   = errors.New("both lines were low at once")
	errLong   = errors.New("more than 64 bits")
	errShort  = errors.New("under 4 bits")
	errLost   = errors.New("pulses were lost")
)

// Word is the bits of one frame, of which the first that was sent is the most
// significant of N.
type Word struct {
	Bits uint64
	N    int // 1 to 64
}

// bit gives bit i, counted from 0 as it was sent.
func (w Word) bit(i int) uint64 { return w.Bits >> (w.N - 1 - i) & 1 }

// span gives the number that bits from..to are, both ends included.
func (w Word) span(from, to int) uint64 {
	return w.Bits >> (w.N - 1 - to) & (1<<(to-from+1) - 1)
}

// digits gives the bits as they were sent: a card's number, in clear.
func (w Word) digits() []byte {
	b := make([]byte, w.N)
	for i := range b {
		b[i] = '0' + byte(w.bit(i))
	}
	return b
}

// frame is what one silence and the next have between them.
type frame struct {
	word  Word
	begun time.Time // of the first pulse
	err   error     // why it is no word
}

// scanner puts pulses together to frames.
type scanner struct {
	gap   time.Duration // of silence that ends a frame
	begun bool
	first time.Duration // stamp of the frame's first pulse
	last  time.Duration // and of the last one
	line  int           // that had it
	now   frame
}

// take is given the next pulse; ok tells that a frame had ended before it.
func (s *scanner) take(p devices.Pulse) (f frame, ok bool) {
	if s.begun && p.Stamp-s.last > s.gap {
		f, ok = s.end()
	}
	switch {
	case !s.begun:
		s.begun, s.first, s.now = true, p.Stamp, frame{begun: p.At}
	case p.Stamp-s.last >= apartLeast:
	case p.Line == s.line:
		s.spoil(errGlitch)
	default:
		s.spoil(errBoth)
	}
	if p.Lost {
		s.spoil(errLost)
	}
	if s.now.word.N == bitsMost {
		s.spoil(errLong)
	} else {
		s.now.word = Word{s.now.word.Bits<<1 | uint64(p.Line), s.now.word.N + 1}
	}
	s.line, s.last = p.Line, p.Stamp
	return f, ok
}

// lasts is how long the frame has been coming.
func (s *scanner) lasts() time.Duration {
	if !s.begun {
		return 0
	}
	return s.last - s.first
}

// end is told that there was silence; ok tells that it ended a frame.
func (s *scanner) end() (f frame, ok bool) {
	f, ok = s.now, s.begun
	if ok && f.err == nil && f.word.N < bitsLeast {
		f.err = errShort
	}
	s.now, s.begun = frame{}, false
	return f, ok
}

func (s *scanner) spoil(why error) {
	if s.now.err == nil {
		s.now.err = why
	}
}
