package main

import (
	"fmt"
	"path/filepath"
	"time"

	"boothd/cmd/boothhq/internal/authority"
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
	if err := c.spread(t, office); err != nil {
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

// listsTokenKeyCmd replaces the token key.
type listsTokenKeyCmd struct {
	Dir     string        `arg:"" help:"Folder of the authority." type:"existingdir"`
	Overlap time.Duration `default:"24h" help:"How long the former key counts beside the new one; at most 24h."`
}

// Run makes the key and tells what is to be done with it.
func (c *listsTokenKeyCmd) Run(t *tool) error {
	office := &authority.Office{Dir: c.Dir, Now: time.Now().UTC()}
	fresh, former, until, err := office.RotateTokenKey(c.Overlap)
	if err != nil {
		return fmt.Errorf("replacing the token key: %w", err)
	}
	if t.json {
		return t.print(struct {
			Key    string    `json:"key"`
			Former string    `json:"former"`
			Until  time.Time `json:"until"`
		}{fresh, former, until})
	}
	_, err = fmt.Fprintf(t.stdout, "token key %s made; %s counts until %s\n"+
		"  1. install %s on every booth as the credential token-key, and restart boothd there\n"+
		"  2. build every list anew and publish: a booth without the new key refuses them and keeps what it has\n"+
		"  3. all of it before %s: lists under the former key are of no use then (214)\n",
		fresh, former, until.Format(time.RFC3339), filepath.Join(c.Dir, "token.key"), until.Format(time.RFC3339))
	return err
}
