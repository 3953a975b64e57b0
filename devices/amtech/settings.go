package amtech

import (
	"fmt"
	"regexp"

	"boothd/devices"
)

// Settings are the keys of a configuration that such a reader has of its own
// (Amtech protocol, modes and error correcting protocol).
type Settings struct {
	Start        string   `toml:"start,omitempty"`                          // the character that begins a message, "#" (also if not written) or "!"
	Mode         string   `toml:"mode,omitempty" one:"basic inquiry ecp"`   // inquiry: it keeps its reports until it is asked; ecp: with check values and acknowledgements
	CRC          string   `toml:"crc,omitempty" one:"published xmodem"`     // of mode ecp; published if not written
	Commands     []string `toml:"commands,omitempty" json:",omitempty"`     // settings sent at start, such as "311"
	FirstAntenna int      `toml:"first_antenna,omitempty" json:",omitzero"` // the reader's number of its first antenna, 0 or 1
}

// Defaults are those of a reader of which nothing is written.
var Defaults = Settings{Mode: "basic"}

var command = regexp.MustCompile(`^[0-9A-Z]{1,40}$`)

// Check judges them.
func (s *Settings) Check(w devices.Written) {
	if w.Has("start") && s.Start != "#" && s.Start != "!" {
		w.Refuse("start", fmt.Sprintf("%.40q is not \"#\" or \"!\"", s.Start), "")
	}
	if w.Has("crc") && s.Mode != "ecp" {
		w.Refuse("crc", "only mode \"ecp\" has check values", "")
	}
	w.Count("first_antenna", s.FirstAntenna, 0, 1)
	if n := len(s.Commands); n > 16 {
		w.Refuse("commands", fmt.Sprintf("%d commands, at most 16", n), "")
	}
	for i, c := range s.Commands {
		if !command.MatchString(c) {
			w.Refuse(devices.Item("commands", i), fmt.Sprintf("%.40q is not a command: digits and capitals, such as \"311\"", c), "")
		}
	}
}

// Apply puts them into a driver's configuration.
func (s *Settings) Apply(c *Config) {
	c.Mode = map[string]Mode{"inquiry": Inquiry, "ecp": ECP}[s.Mode]
	c.Commands, c.FirstAntenna = s.Commands, s.FirstAntenna
	if s.Start != "" {
		c.Start = s.Start[0]
	}
	if s.CRC == "xmodem" {
		c.CRC = CRCXModem
	}
}
