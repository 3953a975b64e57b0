// Package authority is headquarters' list office: it makes the keys, builds
// lists from CSV files, signs and publishes them, and gives the heartbeat that
// the age of lists counts from.
//
// An authority is one folder:
//
//	keys/<role>.key   private keys, encrypted under a passphrase
//	token.key         the port's token key, for building and for the booths' credential
//	root.json         whom booths trust; install it as /etc/boothd/trust/root.json
//	repository/       what booths read: serve it, or carry it on a stick
//
// The root role needs two of three keys, which are to be taken off this machine
// after init; the other roles need one each. Raw identifiers are read from CSV
// and leave as keyed tokens; no message quotes one.
//
// Source: product design, section 4; domain reference, sections 2, 6 and 10.
package authority

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Commands are the verbs of boothhq that this package provides; embed it in
// the command line's struct. Each Run takes the parsed *kong.Context, which
// kong binds by itself, and writes to its Stdout.
type Commands struct {
	Lists Lists `cmd:"" help:"Make, sign and publish eligibility lists."`
}

// Lists are the verbs of the list office.
type Lists struct {
	Init      Init      `cmd:"" help:"Make an authority: keys, first root, token key."`
	Build     Build     `cmd:"" help:"Build lists from CSV files; every bad row is told, nothing is half built."`
	Publish   Publish   `cmd:"" help:"Sign built lists and publish them."`
	Heartbeat Heartbeat `cmd:"" help:"Sign a new timestamp: the published lists are still in force."`
}

// Init is "lists init DIR".
type Init struct {
	Dir        string        `arg:"" help:"Folder of the authority; must not exist."`
	RootValid  time.Duration `default:"8760h" help:"How long the root is valid."`
	Passphrase `embed:""`
}

// Build is "lists build".
type Build struct {
	In       string `required:"" help:"Folder with cards.csv, members.csv, lookouts.csv, vehicles.csv, as far as there are any." type:"existingdir"`
	Out      string `required:"" help:"Folder for the built lists; must not exist."`
	TokenKey string `required:"" help:"The port's token key: 64 hex digits in a file." type:"existingfile"`
}

// Publish is "lists publish DIR".
type Publish struct {
	Dir        string        `arg:"" help:"Folder of the authority."`
	Lists      string        `required:"" help:"Folder with built lists." type:"existingdir"`
	Force      []string      `help:"Kinds that may shrink by more than 10 %, or be empty."`
	Valid      time.Duration `default:"720h" help:"How long the publication is valid, heartbeats given."`
	Timestamp  time.Duration `default:"1h" help:"How long the first heartbeat is valid; at most the booths' hard age."`
	Passphrase `embed:""`
}

// Heartbeat is "lists heartbeat DIR".
type Heartbeat struct {
	Dir        string        `arg:"" help:"Folder of the authority."`
	Timestamp  time.Duration `default:"1h" help:"How long this heartbeat is valid; at most the booths' hard age."`
	Passphrase `embed:""`
}

// Passphrase says where the passphrase comes from. It is never an argument:
// every user of the machine can read those.
type Passphrase struct {
	File string `name:"passphrase-file" help:"Read the passphrase from this file." xor:"passphrase" required:""`
	FD   int    `name:"passphrase-fd" help:"Read the passphrase from this open file descriptor." xor:"passphrase" required:""`
}

// Limits of a passphrase, in bytes.
const (
	minPassphrase = 12
	maxPassphrase = 1024
)

// read gives the passphrase, white space around it cut.
func (p Passphrase) read() ([]byte, error) {
	var f *os.File
	var err error
	if p.File != "" {
		if f, err = os.Open(p.File); err != nil {
			return nil, fmt.Errorf("reading passphrase: %w", err)
		}
	} else if f = os.NewFile(uintptr(max(p.FD, 0)), "passphrase"); f == nil || p.FD <= 0 {
		return nil, fmt.Errorf("reading passphrase: descriptor %d is none; use --passphrase-file", p.FD)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPassphrase+1))
	if err != nil {
		return nil, fmt.Errorf("reading passphrase: %w", err)
	}
	phrase := strings.TrimSpace(string(b))
	if len(b) > maxPassphrase || len(phrase) < minPassphrase {
		return nil, fmt.Errorf("reading passphrase: want %d to %d characters", minPassphrase, maxPassphrase)
	}
	return []byte(phrase), nil
}

// Run makes the authority.
func (c *Init) Run(k *kong.Context) error {
	phrase, err := c.read()
	if err != nil {
		return err
	}
	if err := initialise(c.Dir, phrase, time.Now().Add(c.RootValid)); err != nil {
		return fmt.Errorf("making authority %s: %w", c.Dir, err)
	}
	fmt.Fprintf(k.Stdout, "made %s\n  install root.json on every booth as /etc/boothd/trust/root.json\n"+
		"  install token.key on every booth as the credential token-key, and keep it secret\n"+
		"  take keys/root-1.key, root-2.key and root-3.key off this machine, to three places\n", c.Dir)
	return nil
}

// Run builds the lists.
func (c *Build) Run(k *kong.Context) error {
	built, err := buildLists(c.In, c.Out, c.TokenKey)
	if err != nil {
		return fmt.Errorf("building lists from %s:\n%w", c.In, err)
	}
	for _, h := range built {
		fmt.Fprintf(k.Stdout, "%-10s %9d rows  %x\n", h.Kind, h.Rows, h.Digest[:8])
	}
	return nil
}

// Run signs and publishes.
func (c *Publish) Run(k *kong.Context) error {
	phrase, err := c.read()
	if err != nil {
		return err
	}
	p := publication{dir: c.Dir, phrase: phrase, now: time.Now().UTC(), valid: c.Valid, timestamp: c.Timestamp}
	done, err := p.publish(c.Lists, c.Force)
	if err != nil {
		return fmt.Errorf("publishing %s: %w", c.Lists, err)
	}
	for _, d := range done {
		fmt.Fprintln(k.Stdout, d)
	}
	return nil
}

// Run signs a new timestamp.
func (c *Heartbeat) Run(k *kong.Context) error {
	phrase, err := c.read()
	if err != nil {
		return err
	}
	p := publication{dir: c.Dir, phrase: phrase, now: time.Now().UTC(), timestamp: c.Timestamp}
	version, err := p.heartbeat()
	if err != nil {
		return fmt.Errorf("heartbeat of %s: %w", c.Dir, err)
	}
	fmt.Fprintf(k.Stdout, "timestamp %d\n", version)
	return nil
}
