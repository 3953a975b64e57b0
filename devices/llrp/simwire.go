package llrp

import (
	"encoding/binary"
	"slices"
	"time"
)

// What the simulated reader says and hears is put together byte by byte here,
// by another hand than the driver's codec.

// simMessage is a whole message.
func simMessage(typ uint16, id uint32, body []byte) []byte {
	n := 10 + len(body)
	head := []byte{byte(4 | typ>>8), byte(typ), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n),
		byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
	return append(head, body...)
}

// simTLV is a whole parameter with a length.
func simTLV(typ uint16, body ...byte) []byte {
	n := 4 + len(body)
	return append([]byte{byte(typ >> 8), byte(typ), byte(n >> 8), byte(n)}, body...)
}

// stamp is a time of the reader's: its clock's, or since its start; the caller
// holds mu.
func (s *Sim) stamp(at time.Time) (us []byte) {
	n := at.UnixMicro()
	if s.Uptime {
		n = at.Sub(s.born.Add(s.Ahead)).Microseconds()
	}
	return binary.BigEndian.AppendUint64(nil, uint64(n))
}

// notice is an event; the caller holds mu.
func (s *Sim) notice(typ uint16, body []byte) []byte {
	clock := uint16(128)
	if s.Uptime {
		clock = 129
	}
	s.id++
	return simMessage(63, s.id, simTLV(246, slices.Concat(simTLV(clock, s.stamp(s.now())...), simTLV(typ, body...))...))
}

// report tells of tags; the caller holds mu.
func (s *Sim) report(id uint32, at time.Time, tags []SimTag) []byte {
	var all []byte
	for _, t := range tags {
		epc, tid := unhex(t.EPC), unhex(t.TID)
		b := append([]byte{0x80 | 13}, epc...)
		if len(epc) != 12 || s.EPCData {
			bits := 8 * len(epc)
			b = simTLV(241, append([]byte{byte(bits >> 8), byte(bits)}, epc...)...)
		}
		b = append(b, 0x80|1, byte(t.Antenna>>8), byte(t.Antenna), 0x80|7, 0, 1, 0x80|6, byte(t.RSSIDBm))
		clock := byte(2)
		if s.Uptime {
			clock = 3
		}
		b = append(append(b, 0x80|clock), s.stamp(at)...)
		b = append(b, 0x80|8, 0, 1, 0x80|12, byte(len(epc)/2<<3), 0)
		if len(tid) > 0 && s.access == 2 {
			b = append(b, simTLV(349, append([]byte{0, 0, 1, 0, byte(len(tid) / 2)}, tid...)...)...)
		}
		all = append(all, simTLV(240, b...)...)
	}
	return simMessage(61, id, all)
}

// simPowers is how many steps the power table has: from 10 dBm on by half a dBm.
const simPowers = 41

func (s *Sim) capabilities() []byte {
	antennas := s.Antennas
	if antennas == 0 {
		antennas = 4
	}
	general := []byte{0, byte(antennas), 0x40, 0, 0, 0, 0x65, 0x1A, 0, 0, 0, 1, 0, 3, 's', 'i', 'm'}
	general = append(general, simTLV(139, 0, 1, 0, 0)...) // receive sensitivity
	general = append(general, simTLV(141, 0, 4, 0, 4)...) // inputs and outputs
	for i := range antennas {
		general = append(general, simTLV(140, 0, byte(i+1), 0, 1, 1)...) // Gen2
	}
	var band []byte
	for i := range simPowers {
		v := 1000 + 50*i
		band = append(band, simTLV(145, 0, byte(i+1), byte(v>>8), byte(v))...)
	}
	hops := simTLV(147, 1, 0, 0, 2, 0, 0x0D, 0xF7, 0x32, 0, 0x0D, 0xF9, 0x26)
	band = append(band, simTLV(146, append([]byte{0x80}, hops...)...)...)
	mode := simTLV(329, 0, 0, 0, 1, 0, 2, 0, 2, 0, 0, 0xFA, 0, 0, 0, 7, 0xD0, 0, 0, 0x30, 0xD4, 0, 0, 0x61, 0xA8, 0, 0, 0, 0)
	band = append(band, simTLV(328, mode...)...)
	return slices.Concat(simTLV(137, general...),
		simTLV(142, 0x48, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0, 5, 0xE4, 0, 0, 0, 8), // of LLRP: how many ROSpecs
		simTLV(143, append([]byte{3, 0x48, 0, 1}, simTLV(144, band...)...)...),
		simTLV(327, 0x40, 0, 2)) // of Gen2
}

// obey takes one message of the host and tells whether it was the last.
func (s *Sim) obey(typ uint16, id uint32, body []byte) (bye bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, typ)
	if typ == 72 && id == s.alive {
		s.acks++
	}
	if s.deaf || typ == 72 {
		return false
	}
	code, refused := s.Refuses[typ]
	if !refused {
		code = s.execute(typ, body)
	}
	answer := map[uint16]uint16{1: 11, 3: 13, 14: 4, 20: 30, 21: 31, 24: 34, 25: 35, 40: 50, 41: 51, 42: 52}[typ]
	text := ""
	if code != 0 {
		text = "no"
	}
	if answer == 0 {
		answer, code, text = 100, 109, "message type unsupported"
	}
	b := simTLV(287, append([]byte{byte(code >> 8), byte(code), 0, byte(len(text))}, text...)...)
	if typ == 1 && code == 0 {
		b = append(b, s.capabilities()...)
	}
	s.say(simMessage(answer, id, b))
	return typ == 14
}

// execute does what the host says and gives the status.
func (s *Sim) execute(typ uint16, body []byte) (code uint16) {
	const parameterError, invalid = 100, 300
	switch typ {
	case 3:
		if len(body) == 10 && binary.BigEndian.Uint16(body[1:]) == 220 && body[5] == 1 {
			s.keepalive = time.Duration(binary.BigEndian.Uint32(body[6:])) * time.Millisecond
			s.nudge()
		}
	case 20:
		if s.spec != nil || !s.addSpec(body) {
			return parameterError
		}
	case 21:
		s.spec, s.enabled = nil, false
	case 24, 25:
		if s.spec == nil || len(body) != 4 || binary.BigEndian.Uint32(body) != binary.BigEndian.Uint32(s.spec[4:]) {
			return invalid
		}
		s.enabled = typ == 24
	case 40:
		if s.access != 0 {
			return parameterError
		}
		s.access = 1
	case 41:
		s.access = 0
	case 42:
		if s.access == 0 {
			return invalid
		}
		s.access = 2
	}
	return 0
}

// addSpec takes the antennas and their power out of a ROSpec: 4 bytes of head,
// 6 of fields, then its parameters.
func (s *Sim) addSpec(body []byte) bool {
	ai := simFind(body, 10, 183)
	if len(body) < 10 || binary.BigEndian.Uint16(body) != 177 || len(ai) < 6 {
		return false
	}
	n := int(binary.BigEndian.Uint16(ai[4:]))
	inventory := simFind(ai, 6+2*n, 186)
	if len(inventory) < 7 {
		return false
	}
	s.antennas = nil
	for i := range n {
		if a := binary.BigEndian.Uint16(ai[6+2*i:]); a != 0 {
			s.antennas = append(s.antennas, a)
		}
	}
	s.power = 0
	if tx := simFind(simFind(inventory, 7, 222), 6, 224); len(tx) == 10 {
		if tx[4] != 0 || tx[5] != 1 { // there is one hop table
			return false
		}
		s.power = int(binary.BigEndian.Uint16(tx[8:]))
	}
	s.spec = slices.Clone(body)
	return true
}

// simFind gives the first parameter of a type, with its head, from a place on.
func simFind(b []byte, from int, typ uint16) []byte {
	for at := from; at+4 <= len(b); {
		n := int(binary.BigEndian.Uint16(b[at+2:]))
		if n < 4 || at+n > len(b) {
			return nil
		}
		if binary.BigEndian.Uint16(b[at:]) == typ {
			return b[at : at+n]
		}
		at += n
	}
	return nil
}
