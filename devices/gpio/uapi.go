package gpio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes and offsets of the kernel's structures (linux/gpio.h, uAPI v2). The
// header pads every structure to 8 bytes, so that they are the same on 32 and
// 64 bit machines.
const (
	nameSize = 32 // GPIO_MAX_NAME_SIZE, the closing zero included

	chipInfoSize  = 68
	chipInfoLabel = 32
	chipInfoLines = 64

	lineInfoSize     = 256
	lineInfoConsumer = 32
	lineInfoOffset   = 64
	lineInfoFlags    = 72

	requestSize     = 592
	requestConsumer = 256 // after 64 offsets of 4 bytes
	requestFlags    = 288
	requestNumAttrs = 296
	requestAttrs    = 320 // 10 of attrSize
	requestNumLines = 560
	requestBuffer   = 564
	requestFD       = 588

	attrSize  = 24 // id, padding, value, mask
	attrValue = 8
	attrMask  = 16

	valuesSize = 16 // bits, mask

	eventSize = 48
)

// Flags of a line.
const (
	flagUsed      = 1 << 0
	flagActiveLow = 1 << 1
	flagInput     = 1 << 2
	flagOutput    = 1 << 3
	flagRising    = 1 << 4
	flagFalling   = 1 << 5
)

// bufferedEvents is how many edges the kernel keeps for a line before it
// drops the oldest: a quarter of a second of chatter at 1 kHz, 12 KiB. It
// takes 1024 at most; its own 16 are overrun by a relay that bounces.
const bufferedEvents = 256

// pairEvents is how many edges the kernel keeps for a pair of lines: the most
// that it takes for two, a fifth of a second of pulses at the shortest interval
// that Wiegand has, 48 KiB.
const pairEvents = 1024

// claim is what a line is asked for with, all of it in one request, so that
// the line never has another level, polarity or debounce than this.
type claim struct {
	offset    uint32
	point     string
	output    bool
	activeLow bool
	first     bool          // logical level from the first moment, outputs
	debounce  time.Duration // inputs; 0: none
}

// consumer is what the kernel shows beside a claimed line. It keeps 31 bytes.
func consumer(point string) string {
	s := "boothd:" + point
	return s[:min(len(s), nameSize-1)]
}

// encode writes the claim as a struct gpio_v2_line_request for one line.
func (c claim) encode() []byte {
	b := make([]byte, requestSize)
	ne := binary.NativeEndian
	ne.PutUint32(b, c.offset)
	copy(b[requestConsumer:requestConsumer+nameSize-1], consumer(c.point))
	ne.PutUint64(b[requestFlags:], c.flags())
	ne.PutUint32(b[requestNumLines:], 1)
	switch {
	case c.output:
		var v uint64
		if c.first {
			v = 1
		}
		putAttr(b, unix.GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES, func(at []byte) { ne.PutUint64(at, v) })
	default:
		ne.PutUint32(b[requestBuffer:], bufferedEvents)
		if us := c.debounce.Microseconds(); us > 0 {
			putAttr(b, unix.GPIO_V2_LINE_ATTR_ID_DEBOUNCE, func(at []byte) { ne.PutUint32(at, uint32(min(us, math.MaxUint32))) })
		}
	}
	return b
}

func (c claim) flags() uint64 {
	f := uint64(flagInput | flagRising | flagFalling)
	if c.output {
		f = flagOutput
	}
	if c.activeLow {
		f |= flagActiveLow
	}
	return f
}

// encodePair writes the claim for two lines, of which only falling edges are
// reported. That is on purpose: the kernel tells the direction of an edge from
// the level that it finds later, in a thread, where it was asked for both, and a
// pulse of 50 us may be over by then (gpiolib-cdev.c, edge_irq_thread).
func (c claim) encodePair(second uint32) []byte {
	b := c.encode()
	ne := binary.NativeEndian
	ne.PutUint32(b[4:], second)
	ne.PutUint64(b[requestFlags:], flagInput|flagFalling)
	ne.PutUint32(b[requestNumLines:], 2)
	ne.PutUint32(b[requestBuffer:], pairEvents)
	return b
}

// putAttr writes the request's only attribute, for its only line.
func putAttr(b []byte, id uint32, value func(at []byte)) {
	ne := binary.NativeEndian
	ne.PutUint32(b[requestNumAttrs:], 1)
	attr := b[requestAttrs : requestAttrs+attrSize]
	ne.PutUint32(attr, id)
	value(attr[attrValue:])
	ne.PutUint64(attr[attrMask:], 1)
}

// encodeValues writes a struct gpio_v2_line_values for one line.
func encodeValues(active bool) []byte {
	b := make([]byte, valuesSize)
	if active {
		binary.NativeEndian.PutUint64(b, 1)
	}
	binary.NativeEndian.PutUint64(b[8:], 1)
	return b
}

func decodeValues(b []byte) bool { return binary.NativeEndian.Uint64(b)&1 == 1 }

// encodePairValues asks for the levels of two lines.
func encodePairValues() []byte {
	b := make([]byte, valuesSize)
	binary.NativeEndian.PutUint64(b[8:], 3)
	return b
}

func decodePairValues(b []byte) (active [2]bool) {
	v := binary.NativeEndian.Uint64(b)
	return [2]bool{v&1 == 1, v&2 == 2}
}

// errEvent says that the kernel reported what is not an edge.
var errEvent = errors.New("not a line event")

// event is one edge, as a chip reports it.
type event struct {
	stamp  int64 // ns of the chip's monotonic clock
	active bool
	seq    uint32 // counts from 1 with every edge of the claim, lost ones too
	line   int    // of a pair, 0 or 1
}

// decodeEvent reads one struct gpio_v2_line_event. With ACTIVE_LOW in the
// claim the kernel calls the edge to the active level rising.
func decodeEvent(b []byte) (event, error) {
	if len(b) < eventSize {
		return event{}, fmt.Errorf("%w: %d bytes", errEvent, len(b))
	}
	ne := binary.NativeEndian
	stamp, id := ne.Uint64(b), ne.Uint32(b[8:])
	if stamp > math.MaxInt64 || id != unix.GPIO_V2_LINE_EVENT_RISING_EDGE && id != unix.GPIO_V2_LINE_EVENT_FALLING_EDGE {
		return event{}, fmt.Errorf("%w: id %d", errEvent, id)
	}
	return event{stamp: int64(stamp), active: id == unix.GPIO_V2_LINE_EVENT_RISING_EDGE, seq: ne.Uint32(b[20:])}, nil
}

// decodePairEvent reads one of a pair, whose lines have these offsets. Its
// number is that of the request: edges of two lines may be reported out of
// order, since each line has a thread of its own, and the number, which is given
// where the time is taken, tells.
func decodePairEvent(b []byte, offsets [2]uint32) (event, error) {
	ev, err := decodeEvent(b)
	if err != nil {
		return event{}, err
	}
	ne := binary.NativeEndian
	ev.seq = ne.Uint32(b[16:])
	switch at := ne.Uint32(b[12:]); {
	case ev.active:
		return event{}, fmt.Errorf("%w: a rising edge, which nobody asked for", errEvent)
	case at == offsets[1]:
		ev.line = 1
	case at != offsets[0]:
		return event{}, fmt.Errorf("%w: of offset %d", errEvent, at)
	}
	return ev, nil
}

// chipInfo is what a chip says of itself.
type chipInfo struct {
	name, label string
	lines       uint32
}

func decodeChipInfo(b []byte) chipInfo {
	return chipInfo{
		name:  text(b[:nameSize]),
		label: text(b[chipInfoLabel : chipInfoLabel+nameSize]),
		lines: binary.NativeEndian.Uint32(b[chipInfoLines:]),
	}
}

// lineInfo is what a chip says of one line.
type lineInfo struct {
	name, consumer string
	flags          uint64
}

func encodeLineInfo(offset uint32) []byte {
	b := make([]byte, lineInfoSize)
	binary.NativeEndian.PutUint32(b[lineInfoOffset:], offset)
	return b
}

func decodeLineInfo(b []byte) lineInfo {
	return lineInfo{
		name:     text(b[:nameSize]),
		consumer: text(b[lineInfoConsumer : lineInfoConsumer+nameSize]),
		flags:    binary.NativeEndian.Uint64(b[lineInfoFlags:]),
	}
}

// text reads a name that a zero ends, if it is shorter than its field.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// requestFile is the descriptor of the claimed line, as the kernel wrote it
// into the request.
func requestFile(b []byte) int { return int(int32(binary.NativeEndian.Uint32(b[requestFD:]))) }
