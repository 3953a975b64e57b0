package main

import (
	"fmt"

	"boothd/agent"
)

// configCmd is about the configuration.
type configCmd struct {
	Show configShowCmd `cmd:"" help:"Print it with every default filled in, all files in one."`
}

// configShowCmd prints the configuration as boothd takes it: what was left out,
// and what templates and models stand for, is written out. It holds the places of
// secrets and no secret.
type configShowCmd struct {
	File string `arg:"" optional:"" help:"Main configuration file; default: that of --config."`
}

// Run prints.
func (c *configShowCmd) Run(t *tool) error {
	file := c.File
	if file == "" {
		file = t.place.Config
	}
	cfg, err := agent.Drivers.Load(file)
	if err != nil {
		return badConfig(t, file, err)
	}
	if t.json {
		return t.print(cfg)
	}
	text, err := cfg.TOML()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(t.stdout, "# %s\n%s", cfg.Digest(), text); err != nil {
		return fmt.Errorf("printing the configuration: %w", err)
	}
	return nil
}
