package barcode

import (
	"fmt"
	"io"
	"sync"

	"boothd/devices"
)

// Sim is a scanner's side of a line: it writes what is held to it, with the
// suffix that it is set to. Its fields are set before it is used; its methods
// may be called from any goroutine.
type Sim struct {
	Wire   io.Writer
	Suffix Suffix
	AIM    string // before every scan, such as "]C0"; none: it is set to send none

	mu   sync.Mutex // scans are written whole
	mute bool
}

// simSuffix is what a scanner of each setting sends.
var simSuffix = map[Suffix]string{CR: "\r", CRLF: "\r\n", LF: "\n", ETX: "\x03"}

// Scan reads one bar code.
func (s *Sim) Scan(text string) error { return s.Raw([]byte(s.AIM + text + simSuffix[s.Suffix])) }

// Mute makes the scanner fall silent, or speak again.
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
		return fmt.Errorf("playing a scanner: %w", err)
	}
	return nil
}

// Far is the scanner as a lane is played with.
func (s *Sim) Far() devices.Far { return devices.Far{Scan: s.Scan, Mute: s.Mute} }
