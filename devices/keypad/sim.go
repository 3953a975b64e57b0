package keypad

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"boothd/devices"
)

// Sim is a serial pad's side of a line. Its fields are set before it is used;
// its methods may be called from any goroutine.
type Sim struct {
	Wire     io.Writer
	Template Template // strokes if not given

	mu   sync.Mutex // keys are written whole
	mute bool
}

// Type strikes characters and enters them, such as a plate: "ON-ABC123".
func (s *Sim) Type(text string) error { return s.Raw([]byte(text + "\r")) }

// Strike strikes one key by the name that buttons are bound to: "#", "F3".
func (s *Sim) Strike(key string) error {
	n, err := strconv.Atoi(strings.TrimPrefix(key, "F"))
	switch function := strings.HasPrefix(key, "F") && err == nil; {
	case s.Template == Lines:
		return s.Type(key)
	case function && n >= 1 && n <= len(simFunctions):
		return s.Raw([]byte("\x1b[" + simFunctions[n-1] + "~"))
	case function || len(key) != 1:
		return fmt.Errorf("playing a keypad: it has no key %q", key)
	}
	return s.Raw([]byte(key))
}

// simFunctions are the numbers that a VT220 sends of F1 to F12.
var simFunctions = strings.Fields("11 12 13 14 15 17 18 19 20 21 23 24")

// Mute makes the pad fall silent, or speak again.
func (s *Sim) Mute(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = on
}

// Raw puts bytes on the wire as they are.
func (s *Sim) Raw(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mute {
		return nil
	}
	if _, err := s.Wire.Write(b); err != nil {
		return fmt.Errorf("playing a keypad: %w", err)
	}
	return nil
}

// Far is the pad as a lane is played with.
func (s *Sim) Far() devices.Far { return devices.Far{Enter: s.Type, Strike: s.Strike, Mute: s.Mute} }
