package nedap

import (
	"bytes"
	"encoding/binary"
	"iter"
	"strconv"
	"time"
)

// A packet: a header of six numbers (its size, command, 0, 0, error, length of
// what follows), then records of tag, size and data that is padded to 4. All
// are little endian. (Licence plate readers, section 2; keepMost is ours: no
// text in its table is longer than 32 bytes.)
const (
	packetMost = 8 << 20 // bytes behind the header
	pair       = 8       // bytes of two numbers: error and length, tag and size
	keepMost   = 64
)

// begin is the part of a header that never changes. Wherever it stands, a packet
// begins: one that was cut off takes none behind it along.
var begin = [16]byte{24, 0, 0, 0, 0x40, 0x9C}

// kept are the tags that are read, in the order in which they are told, and the
// names of their fields. Where both plates are told, the one without a country
// counts. All else, images with it, is passed over and not kept.
var kept = [...]struct {
	tag    uint32
	name   string
	number bool
}{
	{tag: 14000, name: "date"},
	{tag: 14001, name: "time"},
	{tag: 14002, name: "camera"},
	{tag: 14003, name: "plate_country"},
	{tag: 14004, name: "plate"},
	{tag: 14005, name: "country"},
	{tag: 14022, name: "confidence", number: true}, // OCR score
}

const plateFirst, plateLast = 3, 4 // of kept

// tags is what is kept of a packet.
type tags struct {
	code   uint32 // the camera's error; 0: none
	twice  bool   // a tag came again: which of the two would be true?
	has    [len(kept)]bool
	values [len(kept)][keepMost]byte
	sizes  [len(kept)]int
}

// plated tells whether the packet says anything of a plate.
func (t *tags) plated() bool { return t.has[plateFirst] || t.has[plateLast] }

// parts gives the fields that are told, in text.
func (t *tags) parts() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i, k := range kept {
			if v := t.values[i][:t.sizes[i]]; t.has[i] && !yield(k.name, written(v, k.number)) {
				return
			}
		}
	}
}

// written is a value in text: a number in digits, a text up to its 00. What is
// no number is none.
func written(v []byte, number bool) []byte {
	if !number {
		text, _, _ := bytes.Cut(v, []byte{0})
		return text
	}
	if len(v) != 4 {
		return nil
	}
	return strconv.AppendUint(nil, uint64(binary.LittleEndian.Uint32(v)), 10)
}

// step is what of a packet comes next.
type step int

const (
	outside step = iota
	inHeader
	inRecord // its tag and size
	inData
)

// packets finds packets, byte by byte. It holds of one what is kept, and reads
// no clock.
type packets struct {
	tally
	step    step
	matched int // bytes of begin that were the last to come
	matchAt time.Time
	begun   time.Time

	part [pair]byte // two numbers that are collected
	have int        // bytes of them, or of a value
	left int        // bytes of the packet that are to come
	data int        // bytes of the record's data that are to come, padding with it
	size int        // of them without
	slot int        // of kept; -1: passed over
	now  tags
}

// feed takes bytes that came at one time and hands on every whole packet.
func (p *packets) feed(b []byte, at time.Time, out emit) {
	p.Bytes += uint64(len(b))
	for len(b) > 0 {
		if n := p.pass(b); n > 0 {
			b = b[n:]
			continue
		}
		c := b[0]
		b = b[1:]
		lost := p.match(c, at)
		switch {
		case p.matched == len(begin):
			if p.step != outside {
				p.Resyncs++ // the one before it was cut off
			}
			p.step, p.have, p.begun, p.matched = inHeader, 0, p.matchAt, 0
		case p.step == outside:
			if lost > 0 {
				p.drop(lost)
			}
		default:
			p.take(c, out)
		}
	}
}

// pass passes over bytes of an image that can begin nothing, all but the last
// of the record.
func (p *packets) pass(b []byte) int {
	if p.step != inData || p.slot >= 0 || p.matched > 0 {
		return 0
	}
	b = b[:min(len(b), p.data-1)]
	n := bytes.IndexByte(b, begin[0])
	if n < 0 {
		n = len(b)
	}
	p.data, p.left = p.data-n, p.left-n
	return n
}

// match follows begin, which no part of itself begins anew but its first byte.
// It tells how many bytes have turned out to be of none.
func (p *packets) match(c byte, at time.Time) (lost int) {
	if c != begin[p.matched] {
		lost, p.matched = p.matched, 0
	}
	if c != begin[p.matched] {
		return lost + 1
	}
	if p.matched == 0 {
		p.matchAt = at
	}
	p.matched++
	return lost
}

// take takes a byte of a packet.
func (p *packets) take(c byte, out emit) {
	if p.step != inHeader {
		p.left--
	}
	if p.step == inData {
		p.keep(c)
		if p.data > 0 {
			return
		}
		p.record(out)
		return
	}
	p.part[p.have] = c
	if p.have++; p.have < pair {
		return
	}
	first, second := binary.LittleEndian.Uint32(p.part[:]), binary.LittleEndian.Uint32(p.part[4:])
	p.have = 0
	if p.step == inHeader {
		p.header(first, second, out)
		return
	}
	p.open(first, second, out)
}

// header takes the error and the length.
func (p *packets) header(code, length uint32, out emit) {
	if length > packetMost || length%4 != 0 {
		p.fail()
		return
	}
	p.now = tags{code: code}
	p.left = int(length)
	p.record(out)
}

// record is at a record's begin, or at the packet's end.
func (p *packets) record(out emit) {
	switch {
	case p.left == 0:
		p.step = outside
		p.Frames++
		p.noise = 0
		out(report{begun: p.begun, tags: &p.now})
	case p.left < pair:
		p.fail()
	default:
		p.step = inRecord
	}
}

// open takes a record's tag and size.
func (p *packets) open(tag, size uint32, out emit) {
	if size > uint32(p.left) { // which is a multiple of 4, so that the padding fits too
		p.fail()
		return
	}
	p.size, p.data, p.slot = int(size), int(size+3)&^3, -1
	for i, k := range kept {
		if k.tag != tag || size > keepMost {
			continue
		}
		p.now.twice = p.now.twice || p.now.has[i]
		p.now.has[i], p.now.sizes[i], p.slot = true, int(size), i
	}
	if p.step = inData; p.data == 0 {
		p.record(out)
	}
}

// keep takes a byte of a record's data.
func (p *packets) keep(c byte) {
	if p.slot >= 0 && p.have < p.size {
		p.now.values[p.slot][p.have] = c
		p.have++
	}
	if p.data--; p.data == 0 {
		p.have = 0
	}
}

// fail gives a packet up: its records do not fit it, or it is too long.
func (p *packets) fail() {
	p.step, p.have = outside, 0
	p.CheckErrors++
}

// quiet gives up a packet that does not go on.
func (p *packets) quiet(emit) {
	if p.step != outside || p.matched > 0 {
		p.Timeouts++
	}
	p.step, p.have, p.matched = outside, 0, 0
}
