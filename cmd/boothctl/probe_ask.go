package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// question is a frame that a device of one protocol answers and that changes
// nothing in it, nor in a device of any other.
type question struct {
	name  string
	match // what an answer means
	send  []byte
	bauds []int // at which it is asked; none: at all of them
	wait  time.Duration
	// is looks for the answer and tells more of it: in words, and as settings
	// beside the match's own.
	is func(b []byte) (detail string, settings []string, ok bool)
}

// board is the name that a match has for boards of relays, which are no
// [[device]] but a [[board]].
const board = "board"

// askBauds are the speeds of polled devices, the likeliest first.
var askBauds = [...]int{9600, 115200, 19200, 38400, 57600, 230400, 460800, 921600, 4800, 2400}

var ordinary = []int{9600, 115200, 19200, 38400, 57600}

// questions in the order in which they are harmless. Bytes come before words,
// since a printer prints words and is found by then. OSDP's frame begins as one
// of Mercury's does that is 88 bytes long, and comes after Mercury has not
// answered at this speed. Nothing that can be switched is asked by switching it.
func (c *probeCmd) questions() []question {
	all := []question{{
		name: "printer status and paper", match: match{Driver: "printer", Settings: []string{`language = "escpos"`}},
		send: []byte{0x10, 0x04, 0x01, 0x10, 0x04, 0x04}, bauds: ordinary, wait: 150 * time.Millisecond,
		is: func(b []byte) (string, []string, bool) {
			return "", nil, len(b) == 2 && b[0]&0x93 == 0x12 && b[1]&0x93 == 0x12
		},
	}, {
		name: "Mercury version", match: match{Driver: "mercury"},
		send: []byte{0xFF, 0x00, 0x03, 0x1D, 0x0C}, wait: 150 * time.Millisecond,
		is: func(b []byte) (string, []string, bool) {
			for _, f := range mercuryFrames(b) {
				if f[2] == 0x03 {
					return versionOf(f), nil, true
				}
			}
			return "", nil, false
		},
	}}
	all = append(all, uhf18Question())
	for _, address := range append([]int{osdpAll}, c.Address...) {
		all = append(all, osdpQuestion(byte(address)))
	}
	for _, unit := range c.Unit {
		all = append(all, modbusQuestion(byte(unit)))
	}
	all = append(all, question{
		name: "LCUS state of all relays", match: match{Driver: board, Settings: []string{`protocol = "lcus-text"`}},
		send: []byte{0xFF}, bauds: []int{9600}, wait: 200 * time.Millisecond,
		is: func(b []byte) (string, []string, bool) { return "LCUS", nil, lcusText.Match(b) },
	})
	if c.LCUS {
		all = append(all, question{
			name: "LCUS state of relay 1", match: match{Driver: board, Settings: []string{`protocol = "lcus-answer"`}},
			send: []byte{0xA0, 0x01, 0x05, 0xA6}, bauds: []int{9600}, wait: 200 * time.Millisecond,
			is: func(b []byte) (string, []string, bool) {
				return "LCUS, with answers", nil, len(b) == 4 && b[0] == 0xA0 && b[1] == 1 && b[2] <= 3 && b[3] == b[0]+b[1]+b[2]
			},
		})
	}
	return append(all, question{
		name: "Numato prompt and relays", match: match{Driver: board, Settings: []string{`protocol = "numato"`}},
		send: []byte("\rrelay readall\r"), bauds: []int{9600, 115200, 19200}, wait: 300 * time.Millisecond,
		is: func(b []byte) (string, []string, bool) {
			f := numatoText.FindSubmatch(b)
			if f == nil {
				return "", nil, false
			}
			return fmt.Sprintf("Numato, %d relays or fewer", 4*len(f[1])), nil, true
		},
	}, amtechQuestion("505", false), amtechQuestion("505", true))
}

var (
	lcusText   = regexp.MustCompile(`(?i)CH ?[1-8]: ?O(?:N|FF)`)
	numatoText = regexp.MustCompile(`relay readall[\r\n]+([0-9a-fA-F]{2,8})[\r\n]+>`)
)

// uhf18Question asks whichever reader of the UHFReader18 family is on the line
// what it is.
func uhf18Question() question {
	return question{
		name: "UHFReader18 information", match: match{Driver: "uhf18"},
		send: []byte{0x04, 0xFF, 0x21, 0x19, 0x95}, bauds: ordinary, wait: 150 * time.Millisecond,
		is: func(b []byte) (string, []string, bool) {
			for i := range b {
				size := int(b[i]) + 1
				if size < 6 || size > 32 || i+size > len(b) || b[i+2] != 0x21 {
					continue
				}
				if f := b[i : i+size]; reflected(0x8408, f[:size-2]) == binary.LittleEndian.Uint16(f[size-2:]) {
					return fmt.Sprintf("address %d", f[1]), []string{fmt.Sprintf("address = %d", f[1])}, true
				}
			}
			return "", nil, false
		},
	}
}

// osdpAll is the address that every OSDP reader answers.
const osdpAll = 0x7F

// osdpQuestion asks who is there, with sequence 0: that a reader tells also
// where it will speak in its secure channel only, and, other than a poll, it
// takes no card from the reader's memory.
func osdpQuestion(address byte) question {
	f := []byte{0x53, address, 9, 0, 0x04, 0x61, 0x00}
	f = binary.LittleEndian.AppendUint16(f, osdpSum(f))
	to := fmt.Sprintf("address %d", address)
	if address == osdpAll {
		to = "all addresses"
	}
	return question{
		name: "OSDP identity, " + to, match: match{Driver: "osdp"},
		send: append([]byte{0xFF}, f...), bauds: []int{9600, 115200, 19200, 38400, 57600, 230400}, wait: 250 * time.Millisecond,
		is: func(b []byte) (string, []string, bool) {
			for _, f := range osdpFrames(b) {
				if f[1]&0x80 == 0 {
					continue
				}
				who := fmt.Sprintf("address %d", f[1]&0x7F)
				if at := 5; f[4]&8 == 0 && f[at] == 0x45 && len(f) >= at+13 {
					who += fmt.Sprintf(", vendor %X, model %d version %d, firmware %d.%d.%d", f[at+1:at+4], f[at+4], f[at+5], f[at+10], f[at+11], f[at+12])
				}
				return who, []string{fmt.Sprintf("address = %d", f[1]&0x7F), `reader_key = "credential:reader-key"`}, true
			}
			return "", nil, false
		},
	}
}

// modbusQuestion reads one coil. A board that has none refuses, and is found.
func modbusQuestion(unit byte) question {
	f := []byte{unit, 1, 0, 0, 0, 1}
	f = binary.LittleEndian.AppendUint16(f, modbusSum(f))
	return question{
		name: fmt.Sprintf("Modbus coil 0 of unit %d", unit), match: match{Driver: board},
		send: f, bauds: []int{9600, 115200, 19200, 38400, 57600, 4800}, wait: 300 * time.Millisecond,
		is: func(b []byte) (string, []string, bool) {
			settings := func(protocol string) []string {
				return []string{fmt.Sprintf("protocol = %q", protocol), fmt.Sprintf("address = %d", unit)}
			}
			switch {
			case len(b) >= 5 && b[0] == unit && b[1] == 0x81 && modbusSum(b[:3]) == binary.LittleEndian.Uint16(b[3:]):
				return fmt.Sprintf("Modbus, unit %d; coils are refused with exception %d: it may speak in registers", unit, b[2]), settings("modbus-registers"), true
			case len(b) >= 6 && b[0] == unit && b[1] == 1 && b[2] == 1 && modbusSum(b[:4]) == binary.LittleEndian.Uint16(b[4:]):
				return fmt.Sprintf("Modbus, unit %d, coils", unit), settings("modbus"), true
			}
			return "", nil, false
		},
	}
}

// amtechQuestion asks for the sign-on text. Older readers answer in command mode
// only, in which they report no tag: they are not brought there.
func amtechQuestion(command string, ecp bool) question {
	name, text := "Amtech sign-on", command
	if ecp {
		name, text = name+", ECP", "0"+command
		text += fmt.Sprintf("%04X", shifted(0, []byte(text)))
	}
	return question{
		name: name, match: match{Driver: "amtech"},
		send: []byte("#" + text + "\r"), bauds: ordinary, wait: 300 * time.Millisecond,
		is: func(b []byte) (string, []string, bool) {
			for f := range bytes.SplitSeq(b, []byte("\r\n")) {
				i := bytes.LastIndexByte(f, '#')
				if i < 0 || len(f) < i+5 || slices.ContainsFunc(f[i:], func(c byte) bool { return c < ' ' || c > '~' }) {
					continue
				}
				answer, good := f[i+1:], amtechSum(f[i+1:])
				switch {
				case ecp && good:
					return "ECP; " + string(answer[1:len(answer)-4]), []string{`mode = "ecp"`}, true
				case !ecp && !good && (bytes.HasPrefix(answer, []byte("Model")) || bytes.HasPrefix(answer, []byte("Error")) || bytes.HasPrefix(answer, []byte("Done"))):
					return "basic protocol; " + string(answer), nil, true
				}
			}
			return "", nil, false
		},
	}
}

// answer is what came back without the echo that a two-wire adapter gives of
// what is sent.
func (q question) answer(b []byte) []byte { return bytes.TrimPrefix(b, q.send) }
