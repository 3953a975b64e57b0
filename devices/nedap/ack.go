package nedap

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// ackMost bounds what is sent for one report, in bytes. Ours.
const ackMost = 64

// Places in an acknowledgement. Numbers are of 4 bytes in the camera's order.
const (
	placeOpen  = "{open}"
	placeID    = "{id}"
	placeClose = "{close}"
	placeXor   = "{xor}" // of all before it
)

// ack is what a camera that waits is answered: bytes in hex and places, one
// after another. None: nothing is sent.
type ack []ackPart

// ackPart is a place, or bytes.
type ackPart struct {
	place string
	bytes []byte
}

// parseAck reads hex digits and places between blanks.
func parseAck(text string) (a ack, err error) {
	size := 0
	for _, f := range strings.Fields(text) {
		part := ackPart{place: f}
		switch f {
		case placeOpen, placeID, placeClose:
			size += 4
		case placeXor:
			size++
		default:
			b, err := hex.DecodeString(f)
			if err != nil {
				return nil, fmt.Errorf("acknowledgement: %q is neither bytes in hex nor %s, %s, %s or %s", f, placeOpen, placeID, placeXor, placeClose)
			}
			size += len(b)
			part = ackPart{bytes: b}
		}
		a = append(a, part)
	}
	if size > ackMost {
		return nil, fmt.Errorf("acknowledgement: %d bytes, at most %d", size, ackMost)
	}
	return a, nil
}

// to is what a report is answered; nil: nothing.
func (a ack) to(r report) []byte {
	if len(a) == 0 {
		return nil
	}
	b := make([]byte, 0, ackMost)
	number := func(n uint32) {
		b = append(b, 0, 0, 0, 0)
		r.order.PutUint32(b[len(b)-4:], n)
	}
	for _, f := range a {
		switch f.place {
		case placeOpen:
			number(openCode)
		case placeID:
			number(r.id)
		case placeClose:
			number(closeCode)
		case placeXor:
			b = append(b, xor(b))
		default:
			b = append(b, f.bytes...)
		}
	}
	return b
}
