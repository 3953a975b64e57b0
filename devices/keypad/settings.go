package keypad

import "boothd/devices"

// Settings are the keys of a configuration that a keypad has of its own: none.
type Settings struct{}

// Check has nothing to judge.
func (s *Settings) Check(devices.Written) {}
