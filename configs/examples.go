package configs

import "embed"

// Examples holds the complete, commented configurations that come with the
// program, such as nexus.toml.
//
//go:embed *.toml
var Examples embed.FS
