package osdp

import (
	"bytes"
	"encoding/binary"

	"boothd/devices"
)

const (
	som     = 0x53
	mark    = 0xFF // idles the line before a frame; belongs to none
	replied = 0x80 // of the address: a reader speaks

	ctlSeq  = 0x03
	ctlCRC  = 0x04
	ctlSCB  = 0x08
	ctlRest = 0xF0 // no meaning given: a frame with one of these is not ours

	least   = 7   // SOM, address, length 2, control, code, checksum
	longest = 512 // ours: four times the 128 bytes that every reader takes; the longest reply used has 100
	macSize = 4   // sent of the 16
)

// Security block types.
const (
	scsChallenge  = 0x11
	scsCCrypt     = 0x12
	scsSCrypt     = 0x13
	scsRMACI      = 0x14
	scsCommand    = 0x15 // no data
	scsReply      = 0x16
	scsCommandEnc = 0x17 // data encrypted
	scsReplyEnc   = 0x18
)

// crcTable is for polynomial 1021, not reflected, a byte at a time.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

func crc(b []byte) uint16 {
	c := uint16(0x1D0F)
	for _, x := range b {
		c = c<<8 ^ crcTable[byte(c>>8)^x]
	}
	return c
}

// checksum is the two's complement of the sum.
func checksum(b []byte) byte {
	var sum byte
	for _, x := range b {
		sum -= x
	}
	return sum
}

// frame is one frame of either side. Its slices are valid until the scanner is
// fed again.
type frame struct {
	addr   byte // without the reply bit
	reply  bool
	seq    byte
	crc    bool
	scs    byte   // security block type; 0: in clear
	block  []byte // data of the security block
	code   byte
	data   []byte // as on the line: still encrypted in types 17 and 18
	mac    []byte // types 15 to 18 only
	signed []byte // what the MAC is over
}

// appendFrame appends f in its wire form, check value included. The MAC is
// asked for once all before it is final, length included.
func appendFrame(dst []byte, f frame, mac func(signed []byte) [macSize]byte) []byte {
	at := len(dst)
	ctl, addr := f.seq&ctlSeq, f.addr
	if f.crc {
		ctl |= ctlCRC
	}
	if f.scs != 0 {
		ctl |= ctlSCB
	}
	if f.reply {
		addr |= replied
	}
	dst = append(dst, som, addr, 0, 0, ctl)
	if f.scs != 0 {
		dst = append(dst, byte(2+len(f.block)), f.scs)
		dst = append(dst, f.block...)
	}
	dst = append(dst, f.code)
	dst = append(dst, f.data...)
	size := len(dst) - at + 1
	if f.crc {
		size++
	}
	if mac != nil {
		size += macSize
	}
	binary.LittleEndian.PutUint16(dst[at+2:], uint16(size))
	if mac != nil {
		m := mac(dst[at:])
		dst = append(dst, m[:]...)
	}
	if f.crc {
		return binary.LittleEndian.AppendUint16(dst, crc(dst[at:]))
	}
	return append(dst, checksum(dst[at:]))
}

// parse takes one whole frame apart whose check value is right.
func parse(b []byte) (frame, bool) {
	f := frame{addr: b[1] &^ replied, reply: b[1]&replied != 0, seq: b[4] & ctlSeq, crc: b[4]&ctlCRC != 0}
	if b[4]&ctlRest != 0 {
		return frame{}, false
	}
	end := len(b) - 1
	if f.crc {
		end--
	}
	at := 5
	if b[4]&ctlSCB != 0 {
		n, ok := blockSize(b[at:end])
		if !ok {
			return frame{}, false
		}
		f.scs, f.block = b[at+1], b[at+2:at+n]
		at += n
	}
	if f.scs >= scsCommand {
		end -= macSize
		if at >= end {
			return frame{}, false
		}
		f.mac, f.signed = b[end:end+macSize], b[:end]
	}
	if at >= end {
		return frame{}, false
	}
	f.code, f.data = b[at], b[at+1:end]
	return f, true
}

// blockSize gives the size of the security block at the front of b: handshake
// types carry one byte of data, traffic none, and there are no others.
func blockSize(b []byte) (int, bool) {
	if len(b) < 3 {
		return 0, false
	}
	switch n, scs := int(b[0]), b[1]; {
	case scs >= scsChallenge && scs <= scsRMACI:
		return n, n == 3 && len(b) > 3
	case scs >= scsCommand && scs <= scsReplyEnc:
		return n, n == 2
	}
	return 0, false
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

// next gives the next whole frame. After a false start the search goes on one
// byte behind it: a damaged length must not swallow good frames.
func (s *scanner) next() (frame, bool) {
	for {
		i := bytes.IndexByte(s.buf[s.from:s.to], som)
		if i < 0 {
			s.from = s.to
			return frame{}, false
		}
		s.from += i
		b := s.buf[s.from:s.to]
		if len(b) < 5 {
			return frame{}, false
		}
		size := int(binary.LittleEndian.Uint16(b[2:]))
		if size < least || size > longest {
			s.falseStart()
			continue
		}
		if len(b) < size {
			return frame{}, false
		}
		if !intact(b[:size]) {
			s.count.CheckErrors++
			s.falseStart()
			continue
		}
		s.from += size
		f, ok := parse(b[:size:size])
		if !ok { // whole, but not of this protocol as we know it
			s.count.CheckErrors++
			continue
		}
		s.count.Frames++
		return f, true
	}
}

func intact(b []byte) bool {
	n := len(b)
	if b[4]&ctlCRC != 0 {
		return binary.LittleEndian.Uint16(b[n-2:]) == crc(b[:n-2])
	}
	return b[n-1] == checksum(b[:n-1])
}

func (s *scanner) falseStart() {
	s.from++
	s.count.Resyncs++
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
