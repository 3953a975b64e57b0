package mrz

import "boothd/devices"

// Settings are the keys of a configuration that a document reader has of its own.
type Settings struct {
	XOR bool `toml:"xor,omitempty"` // the reader sends a check byte after each document
}

// Check has nothing to judge.
func (s *Settings) Check(devices.Written) {}
