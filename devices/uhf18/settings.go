package uhf18

import (
	"fmt"

	"boothd/devices"
)

// Settings are the keys of a configuration that such a reader has of its own.
type Settings struct {
	Power float64 `toml:"power,omitempty"` // whole dBm, 1 to 30; none: left as it is
}

// Check judges them.
func (s *Settings) Check(w devices.Written) {
	if w.Has("power") && (s.Power != float64(int(s.Power)) || s.Power < 1 || s.Power > 30) {
		w.Refuse("power", fmt.Sprintf("%v is not a whole number of dBm from 1 to 30", s.Power), "leave it out to keep what the reader has")
	}
}
