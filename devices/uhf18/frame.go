package uhf18

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"

	"boothd/devices"
)

// Commands.
const (
	cmdInventory = 0x01
	cmdInfo      = 0x21
	cmdPower     = 0x2F
)

// Status of an answer. The first four of an inventory come with tags.
const (
	statusOK      = 0x00
	statusAll     = 0x01
	statusTimeOut = 0x02 // the scan time is over
	statusMore    = 0x03 // another frame follows
	statusFull    = 0x04 // no memory for more
	statusWeak    = 0xFA // a tag that is hard to hear
	statusNoTag   = 0xFB
	statusTag     = 0xFC // a tag says what is wrong
)

// Limits of a frame: its length byte counts what is behind it.
const (
	lenLeast  = 5 // address, command, status, check value
	frameMost = 256
	broadcast = 0xFF
	epcMost   = 62 // bytes: the length field of a tag's PC has 5 bits, of words
)

// errAnswer says that the data of an inventory are not a list of tags.
var errAnswer = errors.New("answer breaks the format")

// crc is CRC-16/MCRF4XX: polynomial 8408 reflected, initial FFFF.
func crc(b []byte) uint16 {
	r := uint16(0xFFFF)
	for _, c := range b {
		r ^= uint16(c)
		for range 8 {
			if r&1 != 0 {
				r = r>>1 ^ 0x8408
			} else {
				r >>= 1
			}
		}
	}
	return r
}

// appendCommand appends a frame of the host. Data are ours, and short.
func appendCommand(dst []byte, addr, cmd byte, data ...byte) []byte {
	from := len(dst)
	dst = append(append(dst, byte(4+len(data)), addr, cmd), data...)
	return binary.LittleEndian.AppendUint16(dst, crc(dst[from:]))
}

// answer is one frame of the reader. Its data are valid until the next feed.
type answer struct {
	addr, cmd, status byte
	data              []byte
}

// scanner finds the frames of one reader. A frame has no start byte: whatever
// stands where one could begin is tried, and after a wrong check value the next
// byte.
type scanner struct {
	addr  byte
	buf   []byte
	at    int // of buf, already used
	count devices.Counters
}

// feed adds bytes that arrived.
func (s *scanner) feed(b []byte) {
	s.count.Bytes += uint64(len(b))
	s.buf = append(s.buf[:copy(s.buf, s.buf[s.at:])], b...)
	s.at = 0
}

// partial tells whether there are bytes that may be the begin of a frame.
func (s *scanner) partial() bool { return len(s.buf) > s.at }

// stale gives up the byte at which a frame seemed to begin, after a silence.
func (s *scanner) stale() {
	if s.partial() {
		s.at++
		s.count.Resyncs++
	}
}

// next gives the next whole frame, if there is one.
func (s *scanner) next() (answer, bool) {
	for s.partial() {
		b := s.buf[s.at:]
		n := int(b[0])
		switch {
		case n < lenLeast, len(b) > 1 && s.addr != broadcast && b[1] != s.addr:
			s.stale()
			continue
		case len(b) < n+1:
			return answer{}, false
		}
		if end := n - 1; crc(b[:end]) != binary.LittleEndian.Uint16(b[end:]) {
			s.count.CheckErrors++
			s.stale()
			continue
		}
		s.at += n + 1
		s.count.Frames++
		return answer{b[1], b[2], b[3], b[4 : n-1 : n-1]}, true
	}
	return answer{}, false
}

// tags reads the list of an inventory: a count, and of each tag the length of
// its EPC and the EPC. A list that does not fit gives none.
func tags(data []byte) ([]devices.Tag, error) {
	if len(data) == 0 {
		return nil, errAnswer
	}
	out := make([]devices.Tag, 0, data[0])
	rest := data[1:]
	for range data[0] {
		if len(rest) == 0 {
			return nil, errAnswer
		}
		n := int(rest[0])
		if n > epcMost || n > len(rest)-1 {
			return nil, errAnswer
		}
		epc := devices.Ident(strings.ToUpper(hex.EncodeToString(rest[1 : 1+n])))
		out = append(out, devices.Tag{EPC: epc, Unreadable: n == 0, Gen2: true})
		rest = rest[1+n:]
	}
	if len(rest) > 0 {
		return nil, errAnswer
	}
	return out, nil
}
