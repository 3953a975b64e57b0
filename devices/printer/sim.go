package printer

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"boothd/devices"
)

// Sim is the far end of a printer's line: it answers as a printer does and
// renders what it prints back to lines, for tests and simulations. Its fields
// are set before Serve; its methods may be called from any goroutine.
type Sim struct {
	Language Language
	Mute     bool // never answers
	// Printed is given every receipt when it is cut or pushed out: its lines in
	// UTF-8. It is called from Serve.
	Printed func(lines []string)

	mu     sync.Mutex // Set comes from another goroutine than Serve
	faults Faults
	held   []byte // arrived, not yet printed
	line   []byte
	lines  []string
	wire   io.Writer
}

// simHeld bounds what the simulated printer takes while it cannot print.
const simHeld = 8 << 10

// Set changes what is wrong with the printer. What waits is printed when
// nothing is.
func (s *Sim) Set(f Faults) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
	return s.print()
}

// off switches it off, or on again with nothing in its memory.
func (s *Sim) off(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Mute, s.held, s.line, s.lines = on, nil, nil, nil
}

// Serve plays the printer until the wire ends.
func (s *Sim) Serve(wire io.ReadWriter) error {
	s.mu.Lock()
	s.wire = wire
	s.mu.Unlock()
	var in [512]byte
	for {
		n, err := wire.Read(in[:])
		if e := s.take(in[:n]); e != nil {
			return e
		}
		if err != nil {
			return fmt.Errorf("simulated printer: %w", err)
		}
	}
}

func (s *Sim) take(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range b {
		s.held = append(s.held, c)
		if len(s.held) > simHeld {
			return fmt.Errorf("simulated printer: more than %d bytes wait", simHeld)
		}
		if err := s.realTime(); err != nil {
			return err
		}
	}
	return s.print()
}

// realTime obeys at once, printing or not, what was sent with DLE.
func (s *Sim) realTime() error {
	if s.Language == Plain {
		return nil
	}
	if bytes.HasSuffix(s.held, []byte(clearBuffers)) {
		s.held, s.line, s.lines = s.held[:0], s.line[:0], nil
		return s.answer(0x37, 0x25, 0)
	}
	n := len(s.held)
	if n < 3 || s.held[n-3] != dle || s.held[n-2] != eot {
		return nil
	}
	which := int(s.held[n-1])
	s.held = s.held[:n-3]
	if which < 1 || which > questions {
		return nil
	}
	return s.answer(answerOf(which, s.faults))
}

func (s *Sim) answer(b ...byte) error {
	if s.Mute {
		return nil
	}
	if _, err := s.wire.Write(b); err != nil {
		return fmt.Errorf("simulated printer: %w", err)
	}
	return nil
}

// print prints what waits, but for a command that has not come whole.
func (s *Sim) print() error {
	for len(s.held) > 0 && s.faults.Ready() {
		n := s.length()
		if n > len(s.held) {
			return nil
		}
		command := s.held[:n]
		if err := s.obey(command); err != nil {
			return err
		}
		s.held = append(s.held[:0], s.held[n:]...)
	}
	return nil
}

// length is how long the first command in the buffer is.
func (s *Sim) length() int {
	switch c := s.held[0]; {
	case c == dle:
		return len(clearBuffers) // real-time commands are taken out when whole
	case c != esc && c != gs:
		return 1
	case len(s.held) < 2:
		return 2
	case c == esc && s.held[1] == '@':
		return 2
	case c == gs && s.held[1] == 'V' && (len(s.held) < 3 || s.held[2] >= 'A'):
		return 4
	}
	return 3
}

func (s *Sim) obey(command []byte) error {
	switch {
	case len(command) == 1 && command[0] == '\n':
		s.endLine()
	case len(command) == 1 && command[0] >= 0x20:
		s.line = append(s.line, command[0])
	case len(command) == 1: // CR, and what means nothing
	case command[0] == gs && command[1] == 'V', command[0] == esc && command[1] == 'd':
		if len(s.line) > 0 {
			s.endLine()
		}
		s.out()
	case command[0] == gs && command[1] == 'r':
		var b byte
		if s.faults&PaperLow != 0 {
			b = 0x03
		}
		return s.answer(b)
	}
	return nil
}

func (s *Sim) endLine() {
	var text []rune
	for _, c := range s.line {
		text = append(text, rune(c)) // Latin-1
	}
	s.line = s.line[:0]
	if s.Language == Plain && len(s.lines) == 0 && len(text) == 0 {
		return // still the feed of the one before
	}
	s.lines = append(s.lines, string(text))
	if n := len(s.lines) - feed; s.Language == Plain && n >= 0 {
		for _, l := range s.lines[n:] {
			if l != "" {
				return
			}
		}
		s.lines = s.lines[:n]
		s.out()
	}
}

func (s *Sim) out() {
	if s.Printed != nil {
		s.Printed(s.lines)
	}
	s.lines = nil
}

// Far is the printer as a lane is played with.
func (s *Sim) Far() devices.Far { return devices.Far{Serve: s.Serve} }
