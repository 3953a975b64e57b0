package llrp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"boothd/devices"
)

// Limits of a message (LLRP 1.0.1, message).
const (
	headerLen  = 10
	messageMax = 1 << 20 // bytes, whole; 20,000 tags in one report
	bufferKeep = 64 << 10
)

// Types of messages that are sent or understood.
const (
	msgGetCapabilities  = 1
	msgSetConfig        = 3
	msgCloseAnswer      = 4
	msgCapabilities     = 11
	msgSetConfigAnswer  = 13
	msgClose            = 14
	msgAddROSpec        = 20
	msgDeleteROSpec     = 21
	msgEnableROSpec     = 24
	msgDisableROSpec    = 25
	msgAddROSpecAnswer  = 30
	msgDelROSpecAnswer  = 31
	msgEnROSpecAnswer   = 34
	msgDisROSpecAnswer  = 35
	msgAddAccessSpec    = 40
	msgDeleteAccessSpec = 41
	msgEnableAccessSpec = 42
	msgAddAccessAnswer  = 50
	msgDelAccessAnswer  = 51
	msgEnAccessAnswer   = 52
	msgReport           = 61
	msgKeepalive        = 62
	msgEvent            = 63
	msgKeepaliveAck     = 72
	msgError            = 100
)

// ErrProtocol says that what came is no LLRP: on TCP nothing behind it can be
// trusted, and the connection is given up.
var ErrProtocol = errors.New("not an LLRP message")

// errMessage says that one message breaks the format within itself. The next
// one is found all the same.
var errMessage = errors.New("message breaks the format")

// message is one whole message. Its body is valid until the next feed.
type message struct {
	typ  uint16
	id   uint32
	body []byte
}

// scanner finds messages in a stream of bytes. The zero value is ready. Its
// memory grows with what has arrived, never with a length that is only claimed.
type scanner struct {
	buf   []byte
	at    int // of buf, already given out
	count devices.Counters
}

// feed adds bytes that arrived.
func (s *scanner) feed(b []byte) {
	s.count.Bytes += uint64(len(b))
	switch {
	case s.at == len(s.buf) && cap(s.buf) > bufferKeep:
		s.buf, s.at = nil, 0 // one giant does not cost memory for ever
	case s.at > 0:
		s.buf, s.at = s.buf[:copy(s.buf, s.buf[s.at:])], 0
	}
	s.buf = append(s.buf, b...)
}

// partial tells whether a message has begun and is not whole.
func (s *scanner) partial() bool { return len(s.buf) > s.at }

// next gives the next whole message, if there is one. After an error there is
// none for good.
func (s *scanner) next() (m message, ok bool, err error) {
	b := s.buf[s.at:]
	if len(b) >= 1 && (b[0]>>5 != 0 || b[0]>>2&7 != 1 && b[0]>>2&7 != 2) {
		return message{}, false, fmt.Errorf("%w: first byte %02X is of no version", ErrProtocol, b[0])
	}
	if len(b) < 6 {
		return message{}, false, nil
	}
	n := binary.BigEndian.Uint32(b[2:])
	if n < headerLen || n > messageMax {
		return message{}, false, fmt.Errorf("%w: length %d, want %d to %d", ErrProtocol, n, headerLen, messageMax)
	}
	if len(b) < int(n) {
		return message{}, false, nil
	}
	s.at += int(n)
	s.count.Frames++
	return message{binary.BigEndian.Uint16(b) & 0x3FF, binary.BigEndian.Uint32(b[6:]), b[headerLen:n:n]}, true, nil
}

// appendMessage appends a message of version 1.0.1. Bodies are ours, and small.
func appendMessage(dst []byte, typ uint16, id uint32, body []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, 1<<10|typ)
	dst = binary.BigEndian.AppendUint32(dst, uint32(headerLen+len(body)))
	dst = binary.BigEndian.AppendUint32(dst, id)
	return append(dst, body...)
}

// tlv appends a parameter: its fields and the parameters within it, in order.
func tlv(dst []byte, typ uint16, parts ...[]byte) []byte {
	n := 4
	for _, p := range parts {
		n += len(p)
	}
	dst = binary.BigEndian.AppendUint16(dst, typ)
	dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// tvLen is how long the value of each TV parameter is (LLRP 1.0.1, parameter
// tables; 15, and 19 and 20 of 1.1, from Wireshark's dissector); 0: there is no
// such parameter.
var tvLen = [21]int{1: 2, 2: 8, 3: 8, 4: 8, 5: 8, 6: 1, 7: 2, 8: 2, 9: 4, 10: 2, 11: 2, 12: 2, 13: 12, 14: 2, 15: 2, 16: 4, 17: 2, 18: 4, 19: 2, 20: 2}

// param is one parameter; typ is below 128 for a TV.
type param struct {
	typ  uint16
	body []byte
}

// cut takes the first parameter off b, which is not empty. A TLV that lies
// about its length is ErrProtocol. A TV that is not known has no length to
// skip it by: errMessage.
func cut(b []byte) (p param, rest []byte, err error) {
	if b[0]&0x80 != 0 {
		typ := int(b[0] & 0x7F)
		if typ >= len(tvLen) || tvLen[typ] == 0 {
			return param{}, nil, fmt.Errorf("%w: TV parameter %d is not known", errMessage, typ)
		}
		n := 1 + tvLen[typ]
		if n > len(b) {
			return param{}, nil, fmt.Errorf("%w: TV parameter %d of %d bytes has %d", ErrProtocol, typ, n, len(b))
		}
		return param{uint16(typ), b[1:n:n]}, b[n:], nil
	}
	if len(b) < 4 {
		return param{}, nil, fmt.Errorf("%w: %d bytes are no parameter", ErrProtocol, len(b))
	}
	head, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
	if head > 0x3FF || n < 4 || n > len(b) {
		return param{}, nil, fmt.Errorf("%w: parameter %d claims %d bytes of %d", ErrProtocol, head, n, len(b))
	}
	return param{head, b[4:n:n]}, b[n:], nil
}

// fields takes big-endian fields off a body; short is set for good when it ends
// early.
type fields struct {
	b     []byte
	short bool
}

func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.b) {
		f.short = true
		f.b = nil
		return nil
	}
	out := f.b[:n:n]
	f.b = f.b[n:]
	return out
}

func (f *fields) uint8() uint8 {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 {
	if b := f.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (f *fields) uint64() uint64 {
	if b := f.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// err is errMessage if the body of a parameter was too short for what it must
// hold.
func (f *fields) err(typ uint16) error {
	if f.short {
		return fmt.Errorf("%w: parameter %d ends early", errMessage, typ)
	}
	return nil
}
