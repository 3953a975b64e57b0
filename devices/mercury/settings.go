package mercury

import (
	"fmt"

	"boothd/devices"
)

// Settings are the keys of a configuration that such a reader has of its own.
type Settings struct {
	// Region is lawful in Canada and the United States; the M6e Nano takes na2 or na3,
	// never na (Mercury serial protocol, regions).
	Region  string  `toml:"region,omitempty" one:"na na2 na3"`
	Power   float64 `toml:"power,omitempty"` // dBm, 5 to 31.5
	ReadTID bool    `toml:"read_tid,omitempty"`
}

// Defaults are those of a reader of which nothing is written.
var Defaults = Settings{Region: "na", Power: 27}

// Check judges them.
func (s *Settings) Check(w devices.Written) {
	if !(s.Power >= 5 && s.Power <= 31.5) {
		w.Refuse("power", fmt.Sprintf("%v dBm is not between 5 and 31.5", s.Power), "")
	}
}

// RegionCode is the region as the reader knows it (Mercury serial protocol,
// start-up).
func (s *Settings) RegionCode() byte {
	return map[string]byte{"na": 0x01, "na2": 0x0d, "na3": 0x0e}[s.Region]
}
