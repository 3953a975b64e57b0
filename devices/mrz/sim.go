package mrz

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"boothd/devices"
)

// Sim is a document reader's side of a line: it writes the zone of what is put
// on it, framed by STX and ETX. Its fields are set before it is used; its
// methods may be called from any goroutine.
type Sim struct {
	Wire io.Writer
	XOR  bool // it sends a check byte after ETX

	mu   sync.Mutex // documents are written whole
	mute bool
}

// Show reads the lines of a zone.
func (s *Sim) Show(lines ...string) error {
	zone := []byte(strings.Join(lines, "\r") + "\r\x03")
	if s.XOR {
		var sum byte
		for _, b := range zone {
			sum ^= b
		}
		zone = append(zone, sum)
	}
	return s.Raw(append([]byte{0x02}, zone...))
}

// Unreadable is a document that the reader cannot read, and says so.
func (s *Sim) Unreadable() error { return s.Raw([]byte{0x15}) }

// Mute makes the reader fall silent, or speak again.
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
		return fmt.Errorf("playing a document reader: %w", err)
	}
	return nil
}

// SimTD1 is the zone of a card of that state and number, at most 9 characters,
// with right check digits.
//
// Source: ICAO 9303 machine readable zone, formats (TD1).
func SimTD1(issuer, number string) ([]string, error) {
	if len(issuer) != 3 || len(number) < 1 || len(number) > 9 || strings.Trim(issuer+number, simAlphabet) != "" {
		return nil, fmt.Errorf("document %q of %q: want 3 letters and at most 9 characters A-Z 0-9", number, issuer)
	}
	checked := func(field string) string { return field + simDigit(field) }
	pad := func(text string, width int) string { return text + strings.Repeat("<", width-len(text)) }
	one := pad("I<"+issuer+checked(pad(number, 9)), 30)
	two := pad(checked("800101")+"F"+checked("300101")+"UTO", 29)
	two += simDigit(one[5:] + two[:7] + two[8:15] + two[18:])
	return []string{one, two, pad("TRAVELLER<<TEST", 30)}, nil
}

// simAlphabet is in order of value.
const simAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// simDigit is a check digit, looked up in the alphabet so that it is another
// hand's than the driver's.
func simDigit(field string) string {
	sum := 0
	for i := range field {
		sum += max(strings.IndexByte(simAlphabet, field[i]), 0) * [...]int{7, 3, 1}[i%3]
	}
	return fmt.Sprint(sum % 10)
}

// Far is the reader as a lane is played with: it is shown cards, TD1.
func (s *Sim) Far() devices.Far {
	return devices.Far{Mute: s.Mute, Document: func(state, number string) error {
		zone, err := SimTD1(state, number)
		if err != nil {
			return err
		}
		return s.Show(zone...)
	}}
}
