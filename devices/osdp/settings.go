package osdp

import (
	"slices"

	"boothd/devices"
)

// Settings are the keys of a configuration that such a reader has of its own.
type Settings struct {
	ReaderKey string `toml:"reader_key,omitempty" is:"ref"` // where the key of the secure channel is, 32 hex digits
	Master    bool   `toml:"master,omitempty"`              // reader_key is the one that each reader's own is derived from
	Clear     bool   `toml:"clear,omitempty"`               // read without a secure channel: anybody on the line can be a card
	Bits      []int  `toml:"bits,omitempty"`                // lengths of the cards in use; none: any
}

// Check judges them.
func (s *Settings) Check(w devices.Written) {
	switch {
	case s.Clear && s.ReaderKey != "":
		w.Refuse("clear", "a reader with a key is not read in clear", "take one of them out")
	case s.Clear:
		w.Warn("clear", "without a secure channel whoever reaches the line can be any card", `give the reader a key: reader_key = "credential:reader-key"`)
	case s.ReaderKey == "":
		w.Refuse("reader_key", "missing", `write reader_key = "credential:reader-key", 32 hex digits`)
	}
	for i, n := range s.Bits {
		w.Count(devices.Item("bits", i), n, 1, 256)
	}
}

// SimBits is how long the cards of a played reader are: as long as may be.
func (s *Settings) SimBits() int {
	if len(s.Bits) == 0 {
		return 32
	}
	return slices.Max(s.Bits)
}
