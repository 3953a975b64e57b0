package keypad

import "strconv"

const escape = 0x1b

// maxSequence bounds the parameters of a function key's sequence; the longest
// in use are of two digits.
const maxSequence = 4

// strokes decodes a pad that sends each key as it is struck: characters, CR for
// enter, BS or DEL, ESC or CAN to erase, and function keys as VT220 or xterm
// send them (ESC [ 11 ~ to ESC [ 24 ~, ESC O P to ESC O S).
type strokes struct {
	state  byte // 0, escape, '[' or 'O'
	number int
	digits int
}

func (s *strokes) feed(b []byte, strike func(key)) {
	for _, c := range b {
		s.one(c, strike)
	}
}

// quiet is a pause of the line: an ESC that nothing followed was a key.
func (s *strokes) quiet(strike func(key)) {
	if s.state == escape {
		strike(erase)
	}
	*s = strokes{}
}

func (s *strokes) one(c byte, strike func(key)) {
	switch s.state {
	case escape:
		if c == '[' || c == 'O' {
			*s = strokes{state: c}
			return
		}
		*s = strokes{}
		strike(erase)
		s.one(c, strike)
	case '[':
		s.csi(c, strike)
	case 'O':
		*s = strokes{}
		if 'P' <= c && c <= 'S' {
			strike(function(int(c-'P') + 1))
		}
	default:
		if c == escape {
			s.state = escape
			return
		}
		if k, ok := character(c); ok {
			strike(k)
		}
	}
}

// csi is a byte of ESC [ number ~. What is no such sequence is passed over up
// to its last byte.
func (s *strokes) csi(c byte, strike func(key)) {
	switch {
	case c == escape:
		*s = strokes{state: escape}
	case '0' <= c && c <= '9' && s.digits < maxSequence:
		s.number, s.digits = 10*s.number+int(c-'0'), s.digits+1
	case c >= 0x40 || s.digits == maxSequence:
		n := s.number
		*s = strokes{}
		if c == '~' {
			strike(vt220(n))
		}
	default:
		s.digits = maxSequence // another parameter: no function key
		s.number = 0
	}
}

// vt220 is the function key of a number; "" if it is none.
func vt220(n int) key {
	switch {
	case n >= 11 && n <= 15: // F1 to F5
		return function(n - 10)
	case n >= 17 && n <= 21: // F6 to F10
		return function(n - 11)
	case n == 23 || n == 24: // F11, F12
		return function(n - 12)
	}
	return ""
}

func function(n int) key { return key("F" + strconv.Itoa(n)) }

// character is the key of one character.
func character(c byte) (key, bool) {
	switch c {
	case '\r', '\n': // the LF of CR LF enters nothing
		return enter, true
	case 0x08, 0x7f:
		return back, true
	case 0x18:
		return erase, true
	case '#', '*', '+', '/', '.', '-':
		return keyOf(c), true
	}
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	if plate(c) {
		return keyOf(c), true
	}
	return "", false
}

// keyOf is the key of one character. A string of one byte costs no memory.
func keyOf(c byte) key { return key(string([]byte{c})) }

// lines decodes a pad that has a display of its own and sends whole lines, ended
// by CR, LF or both: a plate, a key's name, or a number and the name of a key
// that takes one.
type lines struct {
	keys   map[string]bool // names of bound keys; true: it takes a number
	held   [maxTyped + 4]byte
	n      int
	spoilt bool // longer than any, or a character that is no plate's
}

func (l *lines) feed(b []byte, strike func(key)) {
	for _, c := range b {
		switch {
		case c == '\r' || c == '\n':
			l.end(strike)
			l.wipe()
		case c == ' ': // pads fill their display
		case l.n == len(l.held):
			l.spoilt = true
		default:
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			l.held[l.n] = c
			l.n++
		}
	}
}

// quiet is no end of a line: a pad may send slowly.
func (l *lines) quiet(func(key)) {}

// wipe forgets half a line, and tells whether there was one.
func (l *lines) wipe() bool {
	was := l.n > 0
	clear(l.held[:])
	l.n, l.spoilt = 0, false
	return was
}

// end strikes the keys of a line. "F1" alone is the key, where it is bound, and
// never a plate; "12F3" is the number 12, then F3, where F3 takes a number.
func (l *lines) end(strike func(key)) {
	if l.n == 0 {
		return
	}
	text, last := l.name(l.held[:l.n])
	for _, c := range text {
		l.spoilt = l.spoilt || !plate(c)
	}
	if l.spoilt {
		strike(lost)
		return
	}
	for _, c := range text {
		strike(keyOf(c))
	}
	strike(last)
}

// name takes the name of a key off the end of a line.
func (l *lines) name(text []byte) ([]byte, key) {
	if _, bound := l.keys[string(text)]; bound {
		return nil, key(text)
	}
	for i, c := range text {
		if l.keys[string(text[i:])] {
			return text[:i], key(text[i:])
		}
		if c < '0' || c > '9' {
			break
		}
	}
	return text, enter
}
