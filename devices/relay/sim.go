package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Sim is the far end of a board's line. It is as strict as a board should be:
// a Modbus frame with a wrong check value or for another unit is not answered,
// and what it does not have is refused. Its fields are set before Serve; its
// methods may be called from any goroutine.
type Sim struct {
	Protocol Protocol
	Address  int  // Modbus unit
	Channels int  // relays, and as many inputs; 8 if not given
	Single   bool // does not know the write of several coils
	Stuck    int  // a relay that stays released whatever it is told; 0: none
	Flash    bool // has the command of Modbus boards that puts a relay on for a while
	Once     bool // and does not begin anew when it is told again meanwhile
	// Moved is told every change of a relay, in order. It must not call the
	// board's methods; nil: nobody is told.
	Moved func(channel int, on bool)

	mu     sync.Mutex // the methods come from other goroutines than Serve
	relays levels
	inputs levels
	lamps  []simLamp
	mute   bool // hears and does, and does not answer
	dead   bool // does not even hear
	garble int  // answers whose last byte is damaged, still to come
	wire   io.Writer
	held   []byte
	at     time.Time           // of the last byte
	until  map[int]*time.Timer // relays that are put on for a while
}

// simGap is the silence that ends a frame; longer than the standard's, since a
// pty has no speed and a test machine may be slow.
const simGap = 30 * time.Millisecond

// Relay tells whether a relay is driven; channels count from 1.
func (s *Sim) Relay(channel int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relays.on(channel)
}

// SetInput sets the level of an input.
func (s *Sim) SetInput(channel int, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inputs = s.inputs.with(channel, on)
}

// Reboot releases every relay, as a power cut does.
func (s *Sim) Reboot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drive(0)
	s.held = nil
}

// Mute makes the board do what it is told without an answer, or answer again.
func (s *Sim) Mute(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = on
}

// Die makes the board deaf as well, or brings it back with its relays released.
func (s *Sim) Die(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drive(0)
	s.dead, s.held = on, nil
}

// Garble damages the next n answers.
func (s *Sim) Garble(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.garble = n
}

// Raw puts bytes on the wire as they are.
func (s *Sim) Raw(b []byte) error {
	s.mu.Lock()
	wire := s.wire
	s.mu.Unlock()
	if wire == nil {
		return errors.New("simulated board is not serving")
	}
	_, err := wire.Write(b)
	return err
}

// Serve plays the board until the wire ends.
func (s *Sim) Serve(wire io.ReadWriter) error {
	s.mu.Lock()
	s.wire = wire
	if s.Channels == 0 {
		s.Channels = 8
	}
	s.mu.Unlock()
	var in [frameMost]byte
	for {
		n, err := wire.Read(in[:])
		for _, out := range s.hear(in[:n]) {
			if _, e := wire.Write(out); e != nil {
				return fmt.Errorf("simulated board: %w", e)
			}
		}
		if err != nil {
			return fmt.Errorf("simulated board: %w", err)
		}
	}
}

// hear takes bytes and gives the answers to them.
func (s *Sim) hear(b []byte) (answers [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead || len(b) == 0 {
		return nil
	}
	now := time.Now()
	if s.Protocol != Numato && now.Sub(s.at) >= simGap {
		s.held = s.held[:0] // the rest of it will not come
	}
	s.at = now
	s.held = append(s.held, b...)
	for {
		answer, used := s.step()
		if used == 0 {
			break
		}
		s.held = s.held[used:]
		if len(answer) == 0 || s.mute {
			continue
		}
		if s.garble > 0 {
			s.garble--
			answer[len(answer)-1] ^= 0x10
		}
		answers = append(answers, answer)
	}
	if len(s.held) > frameMost {
		s.held = nil
	}
	return answers
}

func (s *Sim) step() (answer []byte, used int) {
	switch s.Protocol {
	case Modbus, ModbusRegisters:
		return s.stepModbus()
	case Numato:
		return s.stepNumato()
	}
	return s.stepLCUS()
}

// set drives one relay.
func (s *Sim) set(channel int, on bool) {
	if t := s.until[channel]; t != nil {
		t.Stop()
		delete(s.until, channel)
	}
	if on && s.Stuck == channel {
		return
	}
	s.drive(s.relays.with(channel, on))
}

// drive brings the relays to where they shall be. The caller holds mu.
func (s *Sim) drive(to levels) {
	moved := s.relays ^ to
	s.relays = to
	if s.Moved == nil {
		return
	}
	for channel := range moved.each {
		s.Moved(channel, to.on(channel))
	}
}

func (s *Sim) stepLCUS() (answer []byte, used int) {
	b := s.held
	if len(b) > 0 && b[0] == 0xFF && s.Protocol == LCUSText {
		var text strings.Builder
		for channel := 1; channel <= s.Channels; channel++ {
			fmt.Fprintf(&text, "CH%d: %s\r\n", channel, map[bool]string{true: "ON", false: "OFF"}[s.relays.on(channel)])
		}
		return []byte(text.String()), 1
	}
	if len(b) > 0 && b[0] != 0xA0 {
		return nil, 1
	}
	if len(b) < 4 {
		return nil, 0
	}
	channel, op := int(b[1]), b[2]
	if (int(b[0])+channel+int(op))&0xFF != int(b[3]) || channel < 1 || channel > s.Channels {
		return nil, 1
	}
	answers := s.Protocol == LCUSAnswer
	switch {
	case op <= 1 || op <= 3 && answers:
		s.set(channel, op&1 == 1)
	case op == 4 && answers:
		s.set(channel, !s.relays.on(channel))
	}
	if op < 2 || op > 5 || !answers {
		return nil, 4
	}
	state := byte(0)
	if s.relays.on(channel) {
		state = 1
	}
	return []byte{0xA0, b[1], state, 0xA0 + b[1] + state}, 4
}

func (s *Sim) stepNumato() (answer []byte, used int) {
	end := strings.IndexByte(string(s.held), '\r')
	if end < 0 {
		return nil, 0
	}
	line := string(s.held[:end])
	return []byte(line + "\r\n" + s.numatoText(strings.Fields(line)) + ">"), end + 1
}

func (s *Sim) numatoText(words []string) string {
	channel := func(name string) int {
		if len(name) != 1 {
			return 0
		}
		c := 1 + strings.Index("0123456789ABCDEFGHIJKLMNOPQRSTUV", name)
		if c > s.Channels {
			return 0
		}
		return c
	}
	switch {
	case len(words) == 0:
		return ""
	case len(words) == 2 && words[0] == "relay" && words[1] == "readall":
		return fmt.Sprintf("%0*x\n\r", (s.Channels+7)/8*2, uint64(s.relays))
	case len(words) != 3 || channel(words[2]) == 0:
	case words[0] == "relay" && (words[1] == "on" || words[1] == "off"):
		s.set(channel(words[2]), words[1] == "on")
		return ""
	case words[0] == "relay" && words[1] == "read":
		return map[bool]string{true: "on", false: "off"}[s.relays.on(channel(words[2]))] + "\n\r"
	case words[0] == "gpio" && words[1] == "read":
		return map[bool]string{true: "1", false: "0"}[s.seen().on(channel(words[2]))] + "\n\r"
	}
	return "Command error\n\r"
}

// stepModbus answers the frame that is held, if it is whole.
func (s *Sim) stepModbus() (answer []byte, used int) {
	b := s.held
	if len(b) < 8 {
		return nil, 0
	}
	size := 8
	if b[1] == 0x0F || b[1] == 0x10 {
		size = 9 + int(b[6])
	}
	if len(b) < size {
		return nil, 0
	}
	if simCRC(b[:size-2]) != binary.LittleEndian.Uint16(b[size-2:]) {
		return nil, len(b) // a board waits for silence and the next frame
	}
	if int(b[0]) != s.Address && b[0] != 0 {
		return nil, size
	}
	pdu, code := s.modbusPDU(b[1 : size-2])
	if code != 0 {
		pdu = []byte{b[1] | 0x80, code}
	}
	if b[0] == 0 {
		return nil, size // a broadcast is done and not answered
	}
	answer = append([]byte{b[0]}, pdu...)
	return binary.LittleEndian.AppendUint16(answer, simCRC(answer)), size
}

// simCRC is the check value bit by bit, so that it is another hand's than the
// driver's.
func simCRC(b []byte) uint16 {
	c := uint16(0xFFFF)
	for _, x := range b {
		c ^= uint16(x)
		for range 8 {
			low := c & 1
			if c >>= 1; low == 1 {
				c ^= 0xA001
			}
		}
	}
	return c
}
