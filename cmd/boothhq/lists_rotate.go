package main

import (
	"fmt"
	"time"
)

// listsRotateCmd replaces a key, on a schedule or because it may be known.
type listsRotateCmd struct {
	officeFlags
	Role      string        `arg:"" help:"targets, snapshot, timestamp, root-1, root-2 or root-3."`
	RootKeys  []string      `name:"root-key" required:"" help:"File of a root key; two are wanted." placeholder:"FILE" type:"existingfile"`
	RootValid time.Duration `default:"8760h" help:"How long the new root is valid."`
	Valid     time.Duration `default:"720h" help:"How long the publication is valid, heartbeats given."`
}

// Run makes and publishes the new root.
func (c *listsRotateCmd) Run(t *tool) error {
	office, err := c.office(c.Valid)
	if err != nil {
		return err
	}
	version, err := office.Rotate(c.Role, c.RootKeys, time.Now().Add(c.RootValid))
	if err != nil {
		return &failure{fmt.Errorf("replacing key %s: %w", c.Role, err), "bring the files of two root keys, as init or the last rotate-key made them", exitFailure}
	}
	if err := c.mirror(office); err != nil {
		return err
	}
	if t.json {
		return t.print(struct {
			Role string `json:"role"`
			Root int64  `json:"root"`
		}{c.Role, version})
	}
	_, err = fmt.Fprintf(t.stdout, "key %s replaced, root %d published; booths follow with the next metadata\n", c.Role, version)
	return err
}
