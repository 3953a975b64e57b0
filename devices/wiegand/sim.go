package wiegand

import (
	"fmt"
	"strings"
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

// Far is the reader as a lane is played with. A card is the first bits of its number, as
// many as the format has.
func (s *Sim) Far(f Format) devices.Far {
	return devices.Far{Lineless: true, Word: s.Raw, Present: devices.EachOnce(func(number []byte) error {
		var all strings.Builder
		for _, b := range number {
			fmt.Fprintf(&all, "%08b", b)
		}
		bits := f.Bits()
		if all.Len() < bits {
			return fmt.Errorf("card of %d bits: the reader's have %d", all.Len(), bits)
		}
		return s.Raw(all.String()[:bits])
	})}
}

// SimNumber is the number of a person's card with its parities, as lists have it.
func SimNumber(f Format, vehicle, person int) (string, error) {
	w, err := f.Word(uint64(person), uint64(vehicle))
	return string(w.Ident()), err
}
