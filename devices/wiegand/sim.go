package wiegand

import (
	"fmt"
	"time"

	"boothd/devices"
)

// intervalUsual is from pulse to pulse (Wiegand, electrical and timing:
// typical).
const intervalUsual = time.Millisecond

// Sim is a card reader that is not there: it pulses two lines of a simulated
// chip.
type Sim struct {
	// Pulse sends pulses whose stamps count from now.
	Pulse    func([]devices.Pulse) error
	Interval time.Duration // from pulse to pulse; 0: 1 ms
}

// Card shows a card.
func (s *Sim) Card(f Format, facility, number uint64) error {
	w, err := f.Word(facility, number)
	if err != nil {
		return err
	}
	return s.Raw(string(w.digits()))
}

// Raw sends bits, which need not be a card: each "0" and "1" is a pulse, each
// "." a pulse's time of silence, and "x" both lines at once.
func (s *Sim) Raw(bits string) error {
	every := s.Interval
	if every == 0 {
		every = intervalUsual
	}
	var all []devices.Pulse
	for i, c := range bits {
		at := time.Duration(i) * every
		switch c {
		case '0', '1':
			all = append(all, devices.Pulse{Line: int(c - '0'), Stamp: at})
		case 'x':
			all = append(all, devices.Pulse{Stamp: at}, devices.Pulse{Line: 1, Stamp: at + 20*time.Microsecond})
		case '.':
		default:
			return fmt.Errorf("%q is no pulse", c)
		}
	}
	return s.Pulse(all)
}
