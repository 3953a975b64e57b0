package amtech

import (
	"math/bits"

	"boothd/devices"
)

// Bytes of the framing (Amtech ASCII host protocol, framing).
const (
	enquiry = 0x05 // asks a reader that buffers for one message
	ack     = '@'
	nak     = '?'
	cr      = '\r'
	lf      = '\n'
)

// Limits of a frame, from the same page.
const (
	textMost    = 72  // characters of data
	frameMost   = 100 // characters within which CR LF must come
	commandMost = 4 + 20
	crcDigits   = 4
)

// CRC says how the check value of ECP is computed.
type CRC int

// The variants.
const (
	CRCPublished CRC = iota // polynomial 1021, message shifted in at the low end, no augmentation
	CRCXModem               // polynomial 1021, message at the high end, as IT2410-class devices
)

// Parity says what the eighth bit of each character is. The port stays 8N1.
type Parity int

// The parities.
const (
	ParityNone Parity = iota
	ParityEven
	ParityOdd
)

// wrap puts the parity bit on a character.
func (p Parity) wrap(c byte) byte {
	c &= 0x7F
	if p == ParityNone || bits.OnesCount8(c)&1 == int(p-ParityEven) {
		return c
	}
	return c | 0x80
}

// framing is how frames look on one line. The zero value is not used: start is
// set by the configuration.
type framing struct {
	start  byte
	ecp    bool
	crc    CRC
	parity Parity
}

// crcTable is the remainder of each half byte, polynomial 1021.
var crcTable = [16]uint16{0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
	0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF}

// sum is the check value of the bytes between the start character and it.
func (c CRC) sum(b []byte) uint16 {
	var r uint16
	for _, x := range b {
		if c == CRCXModem {
			r = r<<4 ^ crcTable[r>>12^uint16(x>>4)]
			r = r<<4 ^ crcTable[r>>12^uint16(x&15)]
			continue
		}
		r = (r<<4 | uint16(x>>4)) ^ crcTable[r>>12]
		r = (r<<4 | uint16(x&15)) ^ crcTable[r>>12]
	}
	return r
}

// append appends a frame of the host: start, with ECP the number, text, with
// ECP the check value, CR. Text is ours, and never longer than a command.
func (f framing) append(dst []byte, number byte, text string) []byte {
	dst = append(dst, f.parity.wrap(f.start))
	from := len(dst)
	if f.ecp {
		dst = append(dst, f.parity.wrap(hexDigit(number)))
	}
	for i := range len(text) {
		dst = append(dst, f.parity.wrap(text[i]))
	}
	if f.ecp {
		sum := f.crc.sum(dst[from:])
		for shift := 12; shift >= 0; shift -= 4 {
			dst = append(dst, f.parity.wrap(hexDigit(byte(sum>>shift))))
		}
	}
	return append(dst, f.parity.wrap(cr))
}

func hexDigit(n byte) byte { return "0123456789ABCDEF"[n&15] }

// unhexDigit gives the value of a digit of either case.
func unhexDigit(c byte) (n byte, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// frame is one frame of a reader. text is valid until the next call of take.
type frame struct {
	number  byte // ECP
	text    []byte
	damaged bool // its check value is wrong; number is what stands there
}

// scanner finds frames in a byte stream, in bounded memory. A start character
// begins a frame wherever it comes: the end of the one before was lost.
type scanner struct {
	framing
	raw   [frameMost]byte // as received, for the check value
	text  [frameMost]byte // without parity
	n     int
	open  bool // a frame has begun
	ended bool // CR was seen
	bad   bool // a character of it cannot be
	count devices.Counters

	starts uint64 // frames begun
}

// take reads p up to the end of the first frame, and tells how much that was.
// All of p is taken if ok is false.
func (s *scanner) take(p []byte) (used int, f frame, ok bool) {
	for i, raw := range p {
		s.count.Bytes++
		if f, ok = s.add(raw); ok {
			return i + 1, f, true
		}
	}
	return len(p), frame{}, false
}

func (s *scanner) add(raw byte) (frame, bool) {
	c := raw
	if s.parity != ParityNone {
		c &= 0x7F
	}
	wrong := s.parity.wrap(c) != raw
	switch {
	case c == s.start && !wrong:
		if s.open {
			s.count.Resyncs++
		}
		s.open, s.n, s.ended, s.bad = true, 0, false, false
		s.starts++
	case !s.open: // lone ends of lines too
	case s.ended && c == lf && !wrong:
		return s.whole()
	case s.ended || s.n == frameMost:
		s.drop()
	case c == cr && !wrong:
		s.ended = true
	default:
		s.raw[s.n], s.text[s.n] = raw, c
		s.n++
		s.bad = s.bad || wrong || c < ' ' || c > '~'
	}
	return frame{}, false
}

// whole checks the frame that has just ended.
func (s *scanner) whole() (frame, bool) {
	s.open = false
	text, raw := s.text[:s.n], s.raw[:s.n]
	if !s.ecp {
		if s.bad || s.n > textMost || s.n == 0 {
			s.drop()
			return frame{}, false
		}
		s.count.Frames++
		return frame{text: text}, true
	}
	if s.n < 1+crcDigits || s.n > 1+textMost+crcDigits {
		s.drop()
		return frame{}, false
	}
	number, ok := unhexDigit(text[0])
	if !ok {
		s.drop()
		s.count.CheckErrors++
		return frame{}, false
	}
	body := s.n - crcDigits
	var sum uint16
	for _, c := range text[body:] {
		n, ok := unhexDigit(c)
		s.bad = s.bad || !ok // the wild card of four grave accents too
		sum = sum<<4 | uint16(n)
	}
	if s.bad || sum != s.crc.sum(raw[:body]) {
		s.count.CheckErrors++
		return frame{number: number, damaged: true}, true
	}
	s.count.Frames++
	return frame{number: number, text: text[1:body]}, true
}

// partial tells whether a frame has begun and is not whole.
func (s *scanner) partial() bool { return s.open }

// drop gives up the frame that has begun.
func (s *scanner) drop() {
	s.open = false
	s.count.Resyncs++
}

// stale drops the frame that has begun, because nothing came for too long.
func (s *scanner) stale() {
	s.drop()
	s.count.Timeouts++
}
