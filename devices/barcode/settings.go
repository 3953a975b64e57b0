package barcode

import "boothd/devices"

// Settings are the keys of a configuration that a scanner has of its own.
type Settings struct {
	Suffix string `toml:"suffix,omitempty" one:"cr crlf lf etx none"` // what ends a scan; with none only silence does
}

// Defaults are those of a scanner of which nothing is written.
var Defaults = Settings{Suffix: "cr"}

// Check has nothing to judge.
func (s *Settings) Check(devices.Written) {}

// Ends is the suffix as the driver has it.
func (s *Settings) Ends() Suffix {
	return map[string]Suffix{"cr": CR, "crlf": CRLF, "lf": LF, "etx": ETX, "none": None}[s.Suffix]
}
