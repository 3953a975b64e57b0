package llrp

import (
	"fmt"

	"boothd/devices"
)

// Settings are the keys of a configuration that such a reader has of its own.
type Settings struct {
	Power   float64 `toml:"power,omitempty"` // dBm, 1 to 40; none: left as it is
	ReadTID bool    `toml:"read_tid,omitempty"`
}

// Check judges them.
func (s *Settings) Check(w devices.Written) {
	if w.Has("power") && !(s.Power >= 1 && s.Power <= 40) {
		w.Refuse("power", fmt.Sprintf("%v dBm is not between 1 and 40", s.Power), "leave it out to keep what the reader has")
	}
}
