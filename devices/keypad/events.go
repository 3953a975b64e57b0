package keypad

import (
	"encoding/binary"
	"math/bits"
)

// Event types, codes and values of the kernel's input subsystem
// (linux/input-event-codes.h).
const (
	evSyn      = 0
	evKey      = 1
	synDropped = 3

	keyLeftShift  = 42
	keyRightShift = 54
)

// eventSize is the size of struct input_event on this machine: two longs of
// time, type, code and value. 24 bytes on 64 bits, 16 on 32.
const eventSize = 2*bits.UintSize/8 + 8

// events decodes a keyboard's input_event structs. Keys are taken by their place
// on a US keyboard, since an officer's pad is no typewriter.
type events struct {
	size  int // of a struct
	held  [24]byte
	n     int
	shift [2]bool // left, right
	// dropped: the kernel's buffer ran over; what follows up to the next report
	// is of no use.
	dropped bool
}

func (e *events) feed(b []byte, strike func(key)) {
	for _, c := range b {
		e.held[e.n] = c
		if e.n++; e.n == e.size {
			e.event(e.held[e.size-8:e.size], strike)
			clear(e.held[:])
			e.n = 0
		}
	}
}

// quiet means nothing: the kernel hands out whole structs.
func (e *events) quiet(func(key)) {}

// event takes type, code and value.
func (e *events) event(b []byte, strike func(key)) {
	kind, code, value := binary.NativeEndian.Uint16(b), binary.NativeEndian.Uint16(b[2:]), int32(binary.NativeEndian.Uint32(b[4:]))
	switch {
	case kind == evSyn && code == synDropped:
		e.dropped, e.shift = true, [2]bool{}
	case kind == evSyn && e.dropped:
		e.dropped = false
		strike(lost)
	case kind != evKey || e.dropped:
	case code == keyLeftShift:
		e.shift[0] = value != 0
	case code == keyRightShift:
		e.shift[1] = value != 0
	case value == 1: // 0 is up, 2 a key held down
		if k := place(code, e.shift[0] || e.shift[1]); k != "" {
			strike(k)
		}
	}
}

// place is the key of a code; "" if it means nothing here.
func place(code uint16, shift bool) key {
	switch {
	case code >= 2 && code <= 11: // the row of digits
		return digitRow(code, shift)
	case code >= 16 && code <= 25:
		return key("QWERTYUIOP"[code-16 : code-15])
	case code >= 30 && code <= 38:
		return key("ASDFGHJKL"[code-30 : code-29])
	case code >= 44 && code <= 50:
		return key("ZXCVBNM"[code-44 : code-43])
	case code >= 59 && code <= 68: // F1 to F10
		return function(int(code) - 58)
	case code == 87 || code == 88: // F11, F12
		return function(int(code) - 76)
	case code >= 71 && code <= 83: // the block of digits, whatever NumLock says
		return key("789-456+1230."[code-71 : code-70])
	case code >= 0x200 && code <= 0x20b: // a telephone's keys
		return key("0123456789*#"[code-0x200 : code-0x1ff])
	case code >= 0x20c && code <= 0x20f: // and its A to D
		return key("ABCD"[code-0x20c : code-0x20b])
	}
	switch code {
	case 28, 96: // enter, keypad enter
		return enter
	case 14, 111: // backspace, delete
		return back
	case 1: // escape
		return erase
	case 12:
		return "-"
	case 13: // equals
		if shift {
			return "+"
		}
	case 55:
		return "*"
	case 98, 53: // keypad slash, slash
		return "/"
	case 52:
		return "."
	}
	return ""
}

func digitRow(code uint16, shift bool) key {
	if !shift {
		return key("1234567890"[code-2 : code-1])
	}
	switch code {
	case 4:
		return "#"
	case 9:
		return "*"
	}
	return ""
}
