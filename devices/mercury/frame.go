package mercury

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"boothd/devices"
)

const (
	start   = 0xFF
	lenMost = 250         // a larger LEN is no frame start
	longest = lenMost + 7 // response: FF, LEN, opcode, status 2, data, CRC 2
)

// crcTable is the nibble table of polynomial 1021.
var crcTable = [16]uint16{0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
	0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF}

// crc is the reader's check value over LEN..last data. The message is shifted
// in at the low end, so it is not the common CCITT-FALSE of the same bytes.
func crc(b []byte) uint16 {
	c := uint16(0xFFFF)
	for _, x := range b {
		c = (c<<4 | uint16(x>>4)) ^ crcTable[c>>12]
		c = (c<<4 | uint16(x&15)) ^ crcTable[c>>12]
	}
	return c
}

// tagCRC is the tag's own check value, over PC and EPC (Gen2: polynomial 1021,
// initial FFFF, final xor FFFF).
func tagCRC(b []byte) uint16 {
	c := uint16(0xFFFF)
	for _, x := range b {
		c ^= uint16(x) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
	}
	return ^c
}

// appendCommand appends a host frame. Data over 250 bytes is a mistake of ours.
func appendCommand(dst []byte, op byte, data ...byte) []byte {
	if len(data) > lenMost {
		panic(fmt.Sprintf("mercury: command %02X with %d bytes", op, len(data)))
	}
	at := len(dst)
	dst = append(dst, start, byte(len(data)), op)
	dst = append(dst, data...)
	return binary.BigEndian.AppendUint16(dst, crc(dst[at+1:]))
}

// response is one frame of the reader. Data is valid until the next call.
type response struct {
	op     byte
	status uint16
	data   []byte
}

// scanner finds frames in a byte stream, in bounded memory.
type scanner struct {
	buf      [4 * longest]byte
	from, to int
	count    devices.Counters
}

// feed takes what fits of p and tells how much that was. Frames must be taken
// out by next before more fits.
func (s *scanner) feed(p []byte) int {
	if s.from > 0 {
		copy(s.buf[:], s.buf[s.from:s.to])
		s.from, s.to = 0, s.to-s.from
	}
	n := copy(s.buf[s.to:], p)
	s.to += n
	s.count.Bytes += uint64(n)
	return n
}

// next gives the next whole frame. After a check error the search goes on one
// byte after the false start: a damaged length must not swallow good frames.
func (s *scanner) next() (response, bool) {
	for s.from < s.to {
		b := s.buf[s.from:s.to]
		if b[0] != start {
			s.from++
			continue
		}
		if len(b) < 2 {
			break
		}
		if b[1] > lenMost { // FF FF too: prefer the later FF
			s.from++
			continue
		}
		size := int(b[1]) + 7
		if len(b) < size {
			break
		}
		if binary.BigEndian.Uint16(b[size-2:]) != crc(b[1:size-2]) {
			s.count.CheckErrors++
			s.count.Resyncs++
			s.from++
			continue
		}
		s.from += size
		s.count.Frames++
		return response{op: b[2], status: binary.BigEndian.Uint16(b[3:]), data: b[5 : size-2]}, true
	}
	return response{}, false
}

// partial tells whether a frame has begun and is not whole.
func (s *scanner) partial() bool { return s.from < s.to }

// stale drops the frame that has begun, because no byte came for too long, and
// lets the search go on behind its first byte.
func (s *scanner) stale() {
	if s.partial() {
		s.from++
		s.count.Timeouts++
	}
}

// reset forgets everything received.
func (s *scanner) reset() { s.from, s.to = 0, 0 }

// Metadata flags of a tag record, in the order of their fields.
const (
	metaCount    = 0x0001
	metaRSSI     = 0x0002
	metaAntenna  = 0x0004
	metaFreq     = 0x0008
	metaTime     = 0x0010
	metaPhase    = 0x0020
	metaProtocol = 0x0040
	metaData     = 0x0080
	metaGPIO     = 0x0100
)

// Types of a streaming answer to opcode 22 with option 10.
const (
	streamEnd    = 0x00
	streamTag    = 0x01
	streamStatus = 0x02
)

var errRecord = errors.New("tag record breaks the format")

// tagRecord reads a streaming tag record from the data of a response 22. A
// record whose EPC fails the tag's own check value is an unreadable tag: it
// was there, its number is not known.
func tagRecord(data []byte) (devices.Tag, error) {
	if len(data) < 6 || data[0] != 0x10 || data[5] != streamTag {
		return devices.Tag{}, errRecord
	}
	flags := binary.BigEndian.Uint16(data[3:])
	r := fields{b: data[6:]}
	var t devices.Tag
	r.skip(flags, metaCount, 1)
	if flags&metaRSSI != 0 {
		t.RSSIDBm = int(int8(r.byte()))
	}
	if flags&metaAntenna != 0 {
		if t.Antenna = int(r.byte() >> 4); t.Antenna == 0 {
			t.Antenna = 16
		}
	}
	r.skip(flags, metaFreq, 3)
	r.skip(flags, metaTime, 4)
	r.skip(flags, metaPhase, 2)
	r.skip(flags, metaProtocol, 1)
	if flags&metaData != 0 {
		bits := int(r.uint16())
		t.TID = hexOf(r.take((bits + 7) / 8))
	}
	r.skip(flags, metaGPIO, 1)
	epc := r.take(int(r.uint16()) / 8)
	if r.short || len(epc) < 4 {
		return devices.Tag{}, errRecord
	}
	body, check := epc[:len(epc)-2], binary.BigEndian.Uint16(epc[len(epc)-2:])
	if tagCRC(body) != check {
		t.Unreadable, t.TID = true, ""
		return t, nil
	}
	pc, id := binary.BigEndian.Uint16(body), body[2:]
	t.Gen2, t.ISO = true, pc&0x0100 != 0
	if pc&0x0200 != 0 { // XPC_W1, and with its top bit XPC_W2
		x := 2
		if len(id) >= 2 && id[0]&0x80 != 0 {
			x = 4
		}
		if len(id) < x {
			return devices.Tag{}, errRecord
		}
		id = id[x:]
	}
	t.EPC = hexOf(id)
	t.Unreadable = len(id) == 0 // a blank tag has no number
	return t, nil
}

func hexOf(b []byte) devices.Ident { return devices.Ident(strings.ToUpper(hex.EncodeToString(b))) }

// fields reads a record from the front; short is set for good when it ends early.
type fields struct {
	b     []byte
	short bool
}

func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.b) {
		f.short = true
		return nil
	}
	out := f.b[:n]
	f.b = f.b[n:]
	return out
}

func (f *fields) skip(flags, flag uint16, n int) {
	if flags&flag != 0 {
		f.take(n)
	}
}

func (f *fields) byte() byte {
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
