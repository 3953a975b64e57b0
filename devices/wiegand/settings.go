package wiegand

import (
	"fmt"
	"time"

	"boothd/devices"
)

// Settings are the keys of a configuration that such a reader has of its own.
type Settings struct {
	Formats []Format      `toml:"formats,omitempty" one:"h10301 raw26 d10202 h10306 c1k35s h10302 h10304"` // of the cards in use, one of each length
	Silence time.Duration `toml:"silence,omitempty"`                                                       // ends a card, 10 to 100 ms
}

// Defaults are those of a reader of which nothing is written.
var Defaults = Settings{Silence: 25 * time.Millisecond}

// Check judges them. That the reader's lines are wired to nothing else is checked
// with all lines of the chip.
func (s *Settings) Check(w devices.Written) {
	w.Need("formats", `formats = ["h10301"]: of the cards in use, and no others`)
	if w.Has("formats") && len(s.Formats) == 0 {
		w.Refuse("formats", "empty: no card could be read", `write ["h10301"]`)
	}
	first := map[int]Format{}
	for i, f := range s.Formats {
		if f == "" { // told already
			continue
		}
		key, bits := devices.Item("formats", i), f.Bits()
		switch was, twice := first[bits]; {
		case twice && was == f:
			w.Refuse(key, fmt.Sprintf("%q is given twice", string(f)), "")
		case twice:
			w.Refuse(key, fmt.Sprintf("%q has %d bits, as %q has: they cannot be told apart", string(f), bits, string(was)), "write the one that is in use")
		default:
			first[bits] = f
		}
	}
	w.Warn("driver", "whoever reaches the two wires can be any card", `where cards decide, use a reader with driver = "osdp" and a key`)
	if len(first) > 1 {
		w.Warn("formats", "cards of several lengths: of pulses that were lost or added, one of four may make another card of them",
			"write only what is in use")
	}
	if w.Has("silence") {
		w.Span("silence", s.Silence, 10*time.Millisecond, 100*time.Millisecond, "a card is over after it")
	}
}
