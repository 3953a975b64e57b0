package llrp

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"boothd/devices"
)

// Types of parameters that are understood.
const (
	tvAntenna         = 1
	tvFirstUTC        = 2
	tvFirstUptime     = 3
	tvLastUTC         = 4
	tvLastUptime      = 5
	tvRSSI            = 6
	tvSeen            = 8
	tvPC              = 12
	tvEPC96           = 13
	parUTC            = 128
	parUptime         = 129
	parGeneral        = 137
	parRegulatory     = 143
	parUHF            = 144
	parPower          = 145
	parFrequencies    = 146
	parHopTable       = 147
	parTag            = 240
	parEPCData        = 241
	parEventData      = 246
	parOverflow       = 251
	parException      = 252
	parAntennaEvent   = 255
	parAttempt        = 256
	parClosed         = 257
	parStatus         = 287
	parReadResult     = 349
	epcMost           = 62                      // bytes: the length field of a tag's PC has 5 bits, of words
	textMost          = 120                     // characters kept of what a reader says in words; ours
	powersMost        = 256                     // entries of a power table; readers have up to 100
	utcMost           = 253_402_300_799_999_999 // us: the year 9999 ends; a later time has no text
	antennaMost       = 256                     // antennas; readers have up to 32, with hubs
	statusSuccess     = 0
	attemptSuccess    = 0
	attemptReaderHeld = 1
	attemptClientHeld = 2
	attemptAnother    = 4
)

// each calls do with every parameter of a body.
func each(b []byte, do func(p param) error) error {
	for len(b) > 0 {
		p, rest, err := cut(b)
		if err != nil {
			return err
		}
		if err := do(p); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// report is what a reader says of one tag. The slices are the message's.
type report struct {
	epc     []byte
	bits    int // of epc
	tid     []byte
	antenna int
	rssi    int // dBm; 0 if not told
	seen    int
	pc      uint16
	utc     uint64 // when it was last seen, us of the reader's clock; 0 if not told
	uptime  uint64 // the same, since the reader's start
}

// tag is the report in the words of devices.
func (r report) tag() devices.Tag {
	id := r.epc
	if extra := r.bits % 8; extra > 0 { // what fills the last byte is no part of it
		id = append([]byte(nil), id...)
		id[len(id)-1] &= 0xFF << (8 - extra)
	}
	tag := devices.Tag{EPC: hexOf(id), TID: hexOf(r.tid), RSSIDBm: r.rssi, Antenna: r.antenna, Unreadable: r.bits == 0, Gen2: true, ISO: r.pc&0x0100 != 0}
	if r.utc > 0 && r.utc <= utcMost {
		tag.DeviceAt = time.UnixMicro(int64(r.utc)).UTC()
	}
	return tag
}

func hexOf(b []byte) devices.Ident { return devices.Ident(strings.ToUpper(hex.EncodeToString(b))) }

// checkReports walks through an RO_ACCESS_REPORT: a message with a fault in it
// gives none of its tags. They are then cut off one by one, since a list of what
// may be 100,000 would cost many times the message.
func checkReports(body []byte) (err error) {
	for len(body) > 0 && err == nil {
		_, body, _, err = cutTag(body)
	}
	return err
}

// cutTag takes the first tag off the body of an RO_ACCESS_REPORT, if there is one.
func cutTag(body []byte) (r report, rest []byte, ok bool, err error) {
	for len(body) > 0 {
		var p param
		if p, body, err = cut(body); err != nil {
			return report{}, nil, false, err
		}
		if p.typ == parTag {
			r, err = readTag(p.body)
			return r, body, err == nil, err
		}
	}
	return report{}, nil, false, nil
}

func readTag(body []byte) (report, error) {
	var r report
	named := false
	err := each(body, func(p param) error {
		f := fields{b: p.body}
		switch p.typ {
		case tvEPC96:
			r.epc, r.bits, named = p.body, 96, true
		case parEPCData:
			r.bits, named = int(f.uint16()), true
			if r.epc = f.take((r.bits + 7) / 8); len(r.epc) > epcMost {
				return fmt.Errorf("%w: an EPC of %d bits", errMessage, r.bits)
			}
		case tvAntenna:
			r.antenna = int(f.uint16())
		case tvRSSI:
			r.rssi = int(int8(f.uint8()))
		case tvSeen:
			r.seen = int(f.uint16())
		case tvPC:
			r.pc = f.uint16()
		case tvFirstUTC, tvLastUTC:
			r.utc = max(r.utc, f.uint64())
		case tvFirstUptime, tvLastUptime:
			r.uptime = max(r.uptime, f.uint64())
		case parReadResult:
			if f.uint8() == statusSuccess && f.uint16() == tidOp {
				if r.tid = f.take(2 * int(f.uint16())); len(r.tid) > epcMost {
					return fmt.Errorf("%w: a TID of %d bytes", errMessage, len(r.tid))
				}
			}
		}
		return f.err(p.typ)
	})
	if err == nil && !named {
		err = fmt.Errorf("%w: a tag report without an EPC", errMessage)
	}
	return r, err
}

// event is a READER_EVENT_NOTIFICATION. Only one of its kinds is in a message.
type event struct {
	utc, uptime uint64 // us
	attempt     int    // status of the connection attempt; negative: not of it
	closed      bool
	antenna     int // 0: not of an antenna
	connected   bool
	trouble     string // the reader's words, or ours
}

func readEvent(body []byte) (event, error) {
	e := event{attempt: -1}
	found := false
	err := each(body, func(p param) error {
		if p.typ != parEventData {
			return nil
		}
		found = true
		return each(p.body, e.read)
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: an event without data", errMessage)
	}
	return e, err
}

func (e *event) read(p param) error {
	f := fields{b: p.body}
	switch p.typ {
	case parUTC:
		e.utc = f.uint64()
	case parUptime:
		e.uptime = f.uint64()
	case parAttempt:
		e.attempt = int(f.uint16())
	case parClosed:
		e.closed = true
	case parAntennaEvent:
		e.connected = f.uint8() == 1
		e.antenna = int(f.uint16())
	case parOverflow:
		e.trouble = "report buffer overflow"
	case parException:
		e.trouble = "exception: " + words(f.take(int(f.uint16())))
	}
	return f.err(p.typ)
}

// words makes what a reader says fit for a log: short, and nothing but what can
// be printed.
func words(b []byte) string {
	b = b[:min(len(b), textMost)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(b))
}

// readStatus reads the LLRPStatus that every answer carries.
func readStatus(m message) (Status, error) {
	s := Status{Message: m.typ}
	found := false
	err := each(m.body, func(p param) error {
		if p.typ != parStatus {
			return nil
		}
		found = true
		f := fields{b: p.body}
		s.Code = f.uint16()
		s.Text = words(f.take(int(f.uint16())))
		return f.err(p.typ)
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: an answer without a status", errMessage)
	}
	return s, err
}

// capabilities is what is used of a reader's.
type capabilities struct {
	antennas int // 0: not told
	powers   []power
	hops     bool // it hops, by the table with the number hopTable
	hopTable uint16
}

// power is one entry of the table of transmit powers.
type power struct {
	index uint16
	value int // hundredths of a dBm
}

func readCapabilities(body []byte) (capabilities, error) {
	var c capabilities
	err := each(body, func(p param) error {
		f := fields{b: p.body}
		switch p.typ {
		case parGeneral:
			c.antennas = int(f.uint16())
		case parRegulatory:
			f.take(4) // country, standard
			return each(f.b, func(p param) error {
				if p.typ != parUHF {
					return nil
				}
				return each(p.body, c.band)
			})
		}
		return f.err(p.typ)
	})
	return c, err
}

func (c *capabilities) band(p param) error {
	f := fields{b: p.body}
	switch p.typ {
	case parPower:
		if len(c.powers) < powersMost {
			c.powers = append(c.powers, power{f.uint16(), int(int16(f.uint16()))})
		}
	case parFrequencies:
		c.hops = f.uint8()&0x80 != 0
		return each(f.b, func(p param) error {
			if p.typ == parHopTable && c.hopTable == 0 && len(p.body) > 0 {
				c.hopTable = uint16(p.body[0])
			}
			return nil
		})
	}
	return f.err(p.typ)
}

// transmit is the entry of the highest power that is not above most, in
// hundredths of a dBm.
func (c capabilities) transmit(most int) (best power, ok bool) {
	for _, p := range c.powers {
		if p.value <= most && (!ok || p.value > best.value) {
			best, ok = p, true
		}
	}
	return best, ok
}
