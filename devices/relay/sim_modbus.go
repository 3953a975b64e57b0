package relay

import (
	"encoding/binary"
	"time"
)

// Exception codes that a simulated board gives.
const (
	simNoFunction = 1
	simNoAddress  = 2
	simNoValue    = 3
)

// modbusPDU does what a request asks, and gives the answer without unit and
// check value, or the code of an exception.
func (s *Sim) modbusPDU(p []byte) (answer []byte, exception byte) {
	address, word := int(binary.BigEndian.Uint16(p[1:])), int(binary.BigEndian.Uint16(p[3:]))
	registers := s.Protocol == ModbusRegisters
	switch {
	case p[0] == 0x01 && !registers:
		return s.readBits(p[0], s.relays, address, word)
	case p[0] == 0x02 && !registers:
		return s.readBits(p[0], s.seen(), address, word)
	case p[0] == 0x03 && registers:
		return s.readWords(p[0], s.relays, address, word)
	case p[0] == 0x04 && registers:
		return s.readWords(p[0], s.seen(), address, word)
	case p[0] == 0x05 && !registers:
		return s.writeCoil(p, address, word)
	case p[0] == 0x06 && registers:
		if address >= s.Channels {
			return nil, simNoAddress
		}
		s.set(address+1, word != 0)
		return p, 0
	case p[0] == 0x0F && !registers && !s.Single:
		return s.writeCoils(p, address, word)
	}
	return nil, simNoFunction
}

// fits tells what is wrong with a range of channels.
func (s *Sim) fits(address, count int) (exception byte) {
	switch {
	case count < 1 || count > 125:
		return simNoValue
	case address+count > s.Channels:
		return simNoAddress
	}
	return 0
}

func (s *Sim) readBits(function byte, from levels, address, count int) ([]byte, byte) {
	if e := s.fits(address, count); e != 0 {
		return nil, e
	}
	answer := append([]byte{function, byte((count + 7) / 8)}, make([]byte, (count+7)/8)...)
	for i := range count {
		if from.on(address + i + 1) {
			answer[2+i/8] |= 1 << (i % 8)
		}
	}
	return answer, 0
}

func (s *Sim) readWords(function byte, from levels, address, count int) ([]byte, byte) {
	if e := s.fits(address, count); e != 0 {
		return nil, e
	}
	answer := []byte{function, byte(2 * count)}
	for i := range count {
		word := []byte{0, 0}
		if from.on(address + i + 1) {
			word[1] = 1
		}
		answer = append(answer, word...)
	}
	return answer, 0
}

// writeCoil knows the address for all relays of the Waveshare boards, too.
func (s *Sim) writeCoil(p []byte, address, word int) ([]byte, byte) {
	if s.Flash && address >= 0x200 && address < 0x200+s.Channels {
		s.flash(address-0x200+1, time.Duration(word)*100*time.Millisecond)
		return p, 0
	}
	if word != 0 && word != 0xFF00 {
		return nil, simNoValue
	}
	switch {
	case address == 0xFF:
		for i := range s.Channels {
			s.set(i+1, word != 0)
		}
	case address >= s.Channels:
		return nil, simNoAddress
	default:
		s.set(address+1, word != 0)
	}
	return p, 0
}

// flash puts a relay on for a while. The caller holds mu.
func (s *Sim) flash(channel int, long time.Duration) {
	if s.until[channel] != nil && s.Once {
		return
	}
	s.set(channel, true)
	if s.until == nil {
		s.until = make(map[int]*time.Timer)
	}
	var t *time.Timer
	t = time.AfterFunc(long, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.until[channel] == t { // it was not told otherwise meanwhile
			s.set(channel, false)
		}
	})
	s.until[channel] = t
}

func (s *Sim) writeCoils(p []byte, address, count int) ([]byte, byte) {
	if e := s.fits(address, count); e != 0 {
		return nil, e
	}
	if int(p[5]) != (count+7)/8 || len(p) != 6+int(p[5]) {
		return nil, simNoValue
	}
	for i := range count {
		s.set(address+i+1, p[6+i/8]>>(i%8)&1 == 1)
	}
	return p[:5], 0
}
