package osdp

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"strings"
	"time"

	"boothd/devices"
)

// Commands used.
const (
	cmdPoll      = 0x60
	cmdID        = 0x61
	cmdCap       = 0x62
	cmdStatus    = 0x64
	cmdInputs    = 0x65
	cmdOutputs   = 0x66
	cmdReaders   = 0x67
	cmdOut       = 0x68
	cmdLED       = 0x69
	cmdBuzzer    = 0x6A
	cmdText      = 0x6B
	cmdSettings  = 0x6E
	cmdKeySet    = 0x75
	cmdChallenge = 0x76
	cmdSCrypt    = 0x77
)

// Replies used.
const (
	repACK    = 0x40
	repNAK    = 0x41
	repID     = 0x45
	repCap    = 0x46
	repStatus = 0x48
	repIn     = 0x49
	repOut    = 0x4A
	repReader = 0x4B
	repRaw    = 0x50
	repText   = 0x51
	repKeys   = 0x53
	repCom    = 0x54
	repCCrypt = 0x76
	repRMACI  = 0x78
	repBusy   = 0x79
)

// Reasons of a refusal that are acted on.
const (
	nakCheck     = 1
	nakSequence  = 4
	nakCondition = 6 // not without a secure channel
)

// NAK is a refusal of the reader.
type NAK struct {
	Command byte
	Code    byte // 1 to 9; others have no meaning given
}

// refusal tells that an error is the reader's refusal of a command, and not a
// link out of step.
func refusal(err error) (n NAK, ok bool) {
	return n, errors.As(err, &n) && !errors.Is(err, errLost)
}

var nakWords = [...]string{"no error", "check value wrong", "length wrong", "command unknown", "sequence wrong",
	"secure channel not supported", "security condition not met", "biometric type not supported", "biometric format not supported", "record cannot be processed"}

// Error says what was refused and why.
func (n NAK) Error() string {
	why := "reason unknown"
	if int(n.Code) < len(nakWords) {
		why = nakWords[n.Code]
	}
	return fmt.Sprintf("reader refuses command %02X with NAK %d (%s)", n.Command, n.Code, why)
}

// answers tells whether a reply of this code can be the answer to a command; a
// NAK and BUSY are judged before. A poll may bring what we have no use for, as
// parts of a message in several; that is counted and goes no further.
func answers(cmd, code byte) bool {
	switch cmd {
	case cmdPoll:
		return code != repNAK && code != repBusy && code != repID && code != repCap && code != repCCrypt && code != repRMACI
	case cmdID:
		return code == repID
	case cmdCap:
		return code == repCap
	case cmdStatus:
		return code == repStatus
	case cmdInputs:
		return code == repIn
	case cmdOutputs:
		return code == repOut
	case cmdReaders:
		return code == repReader
	case cmdSettings:
		return code == repCom
	case cmdOut:
		return code == repACK || code == repOut
	case cmdChallenge:
		return code == repCCrypt
	case cmdSCrypt:
		return code == repRMACI
	}
	return code == repACK
}

var errFormat = errors.New("reply breaks the format")

// Identity is what a reader says that it is.
type Identity struct {
	Vendor         [3]byte // OUI, as sent: low byte first in readers seen
	Model, Version byte
	Serial         uint32
	Firmware       [3]byte // major, minor, build
}

func parseIdentity(b []byte) (Identity, error) {
	if len(b) != 12 {
		return Identity{}, errFormat
	}
	return Identity{Vendor: [3]byte(b), Model: b[3], Version: b[4], Serial: binary.LittleEndian.Uint32(b[5:]), Firmware: [3]byte(b[9:])}, nil
}

// Functions of the capability list that are used.
const (
	capInputs   = 1
	capOutputs  = 2
	capSecurity = 9
	capReceive  = 10
	capReaders  = 13
)

// capabilities is what the driver uses of the capability list. It is sent in
// clear, so it is taken for a size and never as a reason to do without the
// secure channel.
type capabilities struct {
	aes     bool
	receive int // largest command taken; at least 128

	inputs, outputs, readers bool // it has some
}

// points are the commands that ask how what it has is.
func (c capabilities) points() (cmds []byte) {
	if c.inputs {
		cmds = append(cmds, cmdInputs)
	}
	if c.outputs {
		cmds = append(cmds, cmdOutputs)
	}
	if c.readers {
		cmds = append(cmds, cmdReaders)
	}
	return cmds
}

func parseCapabilities(b []byte) (capabilities, error) {
	c := capabilities{receive: receiveLeast}
	if len(b)%3 != 0 {
		return c, errFormat
	}
	for ; len(b) > 0; b = b[3:] {
		switch b[0] {
		case capSecurity:
			c.aes = b[1]&1 != 0
		case capReceive:
			c.receive = min(max(c.receive, int(binary.LittleEndian.Uint16(b[1:]))), longest)
		case capInputs:
			c.inputs = b[2] > 0
		case capOutputs:
			c.outputs = b[2] > 0
		case capReaders:
			c.readers = b[2] > 0
		}
	}
	return c, nil
}

const (
	receiveLeast = 128 // every reader takes as much
	bitsMost     = 256 // ours; the longest card format in use has 200
)

// Points are a reader's inputs that are active, or its outputs that are on: bit 0
// for number 0.
type Points uint64

// pointsMost bounds the inputs or outputs of a reader; ours, as readers have a
// handful.
const pointsMost = 64

// parsePoints takes a byte for each: 0 for none of it.
func parsePoints(b []byte) (p Points, err error) {
	if len(b) == 0 || len(b) > pointsMost {
		return 0, errFormat
	}
	for i, on := range b {
		if on != 0 {
			p |= 1 << i
		}
	}
	return p, nil
}

// All gives their numbers, upwards.
func (p Points) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for ; p != 0 && yield(bits.TrailingZeros64(uint64(p))); p &= p - 1 {
		}
	}
}

// card is a card as the reader sent it: bits left justified, the rest zero.
type card struct {
	reader byte
	format byte // 1: parity, data, parity
	bits   int
	data   []byte
}

func parseCard(b []byte) (card, error) {
	if len(b) < 5 {
		return card{}, errFormat
	}
	c := card{reader: b[0], format: b[1], bits: int(binary.LittleEndian.Uint16(b[2:])), data: b[4:]}
	if c.bits < 1 || c.bits > bitsMost || len(c.data) != (c.bits+7)/8 {
		return card{}, errFormat
	}
	return c, nil
}

func (c card) bit(i int) byte { return c.data[i/8] >> (7 - i%8) & 1 }

// doubtful tells that the bits are no number to go by: all alike, as of a line
// that is stuck, or a Wiegand word whose parity is wrong.
func (c card) doubtful() bool {
	ones := 0
	for i := range c.bits {
		ones += int(c.bit(i))
	}
	if ones == 0 || ones == c.bits {
		return true
	}
	if c.format != 1 || c.bits != 26 && c.bits != 34 {
		return false
	}
	var left, right byte
	for i := range c.bits / 2 {
		left ^= c.bit(i)
		right ^= c.bit(c.bits - 1 - i)
	}
	return left != 0 || right != 1
}

// ident is the number: the bits in hex, left justified, filled with zeros.
func (c card) ident() devices.Ident {
	b := append([]byte(nil), c.data...)
	if rest := c.bits % 8; rest != 0 {
		b[len(b)-1] &= 0xFF << (8 - rest)
	}
	return devices.Ident(strings.ToUpper(hex.EncodeToString(b)))
}

// parseKeys gives the keys struck, as 0 to 9, * and #; others are left as sent.
func parseKeys(b []byte) ([]byte, error) {
	if len(b) < 2 || len(b) != 2+int(b[1]) {
		return nil, errFormat
	}
	keys := b[2:]
	for i, k := range keys {
		switch k {
		case 0x7F:
			keys[i] = '*'
		case 0x0D:
			keys[i] = '#'
		}
	}
	return keys, nil
}

// Colour is what an LED shows.
type Colour byte

// The colours. From Blue on a reader may have others or none.
const (
	Off Colour = iota
	Red
	Green
	Amber
	Blue
	Magenta
	Cyan
	White
)

// Blink is a pattern of an LED. Times are kept in steps of 100 ms, at most
// 25.5 s; a pattern whose OffFor is zero is steady.
type Blink struct {
	On, Off       Colour
	OnFor, OffFor time.Duration
}

// Light is what one LED of a reader is to show.
type Light struct {
	Reader, LED byte
	Temp        *Blink        // shown first, for Time; nil: whatever is shown temporarily ends
	Time        time.Duration // at most 6,553.5 s
	Lasting     *Blink        // shown from then on; nil: as before
}

// Buzz is a sound of a reader.
type Buzz struct {
	Reader  byte
	On, Off time.Duration // in steps of 100 ms
	Times   byte          // 0: until silenced
	Silence bool          // ends the sound; the rest says nothing
}

// Output is what one output of a reader is to do.
type Output struct {
	Number  byte
	Control byte          // 0 nothing, 1 off for good, 2 on for good, 3 off, 4 on after what is timed, 5 on for Time, 6 off for Time
	Time    time.Duration // in steps of 100 ms; at most 6,553.5 s
}

// Text is what a reader's display is to show.
type Text struct {
	Reader, Row, Column byte          // row and column count from 1
	For                 time.Duration // in steps of a second, at most 255 s; 0: until replaced
	Text                string        // ASCII; what is behind 32 characters is cut off
}

const textMost = 32 // ours: two rows of the displays that readers have

func appendText(dst []byte, t Text) []byte {
	text := t.Text[:min(len(t.Text), textMost)]
	how := byte(1) // lasting, not wrapped
	seconds := byte(min(max(0, (t.For+time.Second-1)/time.Second), 255))
	if seconds > 0 {
		how = 3
	}
	dst = append(dst, t.Reader, how, seconds, t.Row, t.Column, byte(len(text)))
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

// tenths is a span in 100 ms; a short one is not none.
func tenths(d time.Duration, most int64) int64 {
	return max(0, min(int64((d+99*time.Millisecond)/(100*time.Millisecond)), most))
}

func (b *Blink) append(dst []byte) []byte {
	on, off := tenths(b.OnFor, 255), tenths(b.OffFor, 255)
	if off == 0 {
		on = max(on, 1) // a steady pattern has to be on at all
	}
	return append(dst, byte(on), byte(off), byte(b.On), byte(b.Off))
}

func appendLights(dst []byte, lights []Light) []byte {
	for _, l := range lights {
		dst = append(dst, l.Reader, l.LED)
		if l.Temp != nil {
			dst = l.Temp.append(append(dst, 2))
			dst = binary.LittleEndian.AppendUint16(dst, uint16(tenths(l.Time, 65535)))
		} else {
			dst = append(dst, 1, 0, 0, 0, 0, 0, 0)
		}
		if l.Lasting != nil {
			dst = l.Lasting.append(append(dst, 1))
		} else {
			dst = append(dst, 0, 0, 0, 0, 0)
		}
	}
	return dst
}

func appendBuzz(dst []byte, b Buzz) []byte {
	if b.Silence {
		return append(dst, b.Reader, 1, 0, 0, 0)
	}
	return append(dst, b.Reader, 2, byte(tenths(b.On, 255)), byte(tenths(b.Off, 255)), b.Times)
}

func appendOutputs(dst []byte, outs []Output) []byte {
	for _, o := range outs {
		dst = binary.LittleEndian.AppendUint16(append(dst, o.Number, o.Control), uint16(tenths(o.Time, 65535)))
	}
	return dst
}
