package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"boothd/cmd/boothhq/internal/authority"
)

// listsCmd are the verbs of the list office.
type listsCmd struct {
	Init      listsInitCmd      `cmd:"" help:"Make an authority: keys, first root, token key."`
	Build     listsBuildCmd     `cmd:"" help:"Build lists from CSV or NDJSON files; every bad row is told, nothing is half built."`
	Diff      listsDiffCmd      `cmd:"" help:"Tell what a new build would change, by list."`
	Publish   listsPublishCmd   `cmd:"" aliases:"sign" help:"Sign built lists and publish them: for a web server, to a folder or stick, to a broker."`
	Heartbeat listsHeartbeatCmd `cmd:"" help:"Sign a new timestamp: the published lists are still in force."`
	RotateKey listsRotateCmd    `cmd:"" help:"Replace a key; booths follow without being visited."`
	TokenKey  listsTokenKeyCmd  `cmd:"" name:"rotate-token-key" help:"Replace the key under which identifiers become tokens."`
	Send      listsSendCmd      `cmd:"" help:"Send the signed metadata, and the last deltas, to booths over MQTT."`
	Serve     listsServeCmd     `cmd:"" help:"Keep brokers in step with what is published, and send parts of lists that booths ask for; runs until stopped."`
	Booths    listsBoothsCmd    `cmd:"" help:"Tell which booth runs which generation, from what each left with the broker; exits 0 whatever is in force."`
	Status    listsStatusCmd    `cmd:"" help:"Tell what is published, until when it counts and, from what they left with the broker, which booths have it."`
}

// passphraseFlag says where the passphrase of the authority's keys lies.
type passphraseFlag struct {
	File string `name:"passphrase-file" help:"Read the passphrase of the keys from this file." default:"${passphrase}" placeholder:"FILE"`
}

// passphraseCredential is the default for --passphrase-file.
func passphraseCredential() string {
	return filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), "list-passphrase")
}

func (p passphraseFlag) read() ([]byte, error) {
	f, err := os.Open(p.File)
	if err != nil {
		return nil, &failure{fmt.Errorf("reading the passphrase: %w", err), "put a passphrase of 12 characters or more into a file and name it with --passphrase-file", exitFailure}
	}
	defer f.Close()
	phrase, err := authority.ReadPassphrase(f)
	if errors.Is(err, authority.ErrPassphrase) {
		return nil, &failure{fmt.Errorf("%s: %w", p.File, err), "head -c 24 /dev/urandom | base64 makes one", exitFailure}
	}
	return phrase, err
}

type listsInitCmd struct {
	Dir       string        `arg:"" help:"Folder of the authority; must not exist."`
	RootValid time.Duration `default:"8760h" help:"How long the root is valid."`
	passphraseFlag
}

// Run makes the authority.
func (c *listsInitCmd) Run(t *tool) error {
	phrase, err := c.read()
	if err != nil {
		return err
	}
	err = authority.Init(c.Dir, phrase, time.Now().Add(c.RootValid))
	switch {
	case errors.Is(err, fs.ErrExist):
		return &failure{fmt.Errorf("making authority %s: %w", c.Dir, err), "an authority is made once; name another folder", exitFailure}
	case err != nil:
		return fmt.Errorf("making authority %s: %w", c.Dir, err)
	}
	root, key := filepath.Join(c.Dir, "root.json"), filepath.Join(c.Dir, "token.key")
	if t.json {
		return t.print(struct {
			Dir      string `json:"dir"`
			Root     string `json:"root"`
			TokenKey string `json:"token_key"`
		}{c.Dir, root, key})
	}
	fmt.Fprintf(t.stdout, "made %s\n"+
		"  install %s on every booth as /etc/boothd/trust/root.json\n"+
		"  install %s on every booth as the credential token-key, and keep it secret\n"+
		"  take keys/root-1.key, root-2.key and root-3.key off this machine, to three places\n", c.Dir, root, key)
	return nil
}

type listsBuildCmd struct {
	In       string `required:"" help:"Folder with members.csv, cards.csv, documents.csv, vehicles.csv, lookouts.csv, carriers.csv, importers.csv, tractors.csv, trips.csv, shipments.csv, containers.csv, as far as there are any, or the same as .ndjson." type:"existingdir"`
	Out      string `required:"" help:"Folder for the built lists; must not exist."`
	TokenKey string `required:"" help:"File with the port's token key, as init or rotate-token-key made it." type:"existingfile"`
}

// builtList is one line of what lists build prints.
type builtList struct {
	Kind   string `json:"kind"`
	Rows   uint64 `json:"rows"`
	Digest string `json:"digest"`
}

// Run builds the lists.
func (c *listsBuildCmd) Run(t *tool) error {
	tell, done := progress(t.stderr)
	heads, err := authority.Build(c.In, c.Out, c.TokenKey, tell)
	done()
	if err != nil {
		return fmt.Errorf("building lists from %s:\n%w", c.In, err)
	}
	built := []builtList{}
	for _, h := range heads {
		built = append(built, builtList{h.Kind, h.Rows, fmt.Sprintf("%x", h.Digest)})
	}
	if t.json {
		return t.print(built)
	}
	for _, b := range built {
		fmt.Fprintf(t.stdout, "%-10s %9d rows  %s\n", b.Kind, b.Rows, b.Digest[:16])
	}
	return nil
}

// officeFlags are those of every verb that signs.
type officeFlags struct {
	Dir       string        `arg:"" help:"Folder of the authority." type:"existingdir"`
	Timestamp time.Duration `default:"1h" help:"How long this heartbeat is valid; at most 24h."`
	To        string        `help:"Copy what booths read to this folder too: a web server's, or a stick." placeholder:"DIR"`
	Broker    []string      `help:"Send what is signed to this broker too, ssl://host:port (or tcp:// on this machine); several in order of preference. None is needed where lists serve runs." placeholder:"URL"`
	callerFlags
	clientFlag
	passphraseFlag
}

func (c officeFlags) office(valid time.Duration) (*authority.Office, error) {
	phrase, err := c.read()
	if err != nil {
		return nil, err
	}
	return &authority.Office{Dir: c.Dir, Phrase: phrase, Now: time.Now().UTC(), Valid: valid, Timestamp: c.Timestamp}, nil
}

// spread brings what is signed to where it is wanted.
func (c officeFlags) spread(t *tool, o *authority.Office) error {
	if c.To != "" {
		if err := o.Mirror(c.To); err != nil {
			return fmt.Errorf("copying to %s: %w", c.To, err)
		}
	}
	if len(c.Broker) == 0 {
		return nil
	}
	if err := send(t, &brokerFlags{c.Broker, c.callerFlags}, c.ClientID, post{dir: c.Dir}); err != nil {
		return &failure{err, "it is signed; boothhq lists send sends it again", exitFailure}
	}
	return nil
}

type listsPublishCmd struct {
	Lists string        `required:"" help:"Folder with built lists." type:"existingdir"`
	Force []string      `help:"Kinds that may shrink by more than 10 %, or be empty." placeholder:"KIND"`
	Valid time.Duration `default:"720h" help:"How long the publication is valid, heartbeats given."`
	officeFlags
}

// Run signs and publishes.
func (c *listsPublishCmd) Run(t *tool) error {
	o, err := c.office(c.Valid)
	if err != nil {
		return err
	}
	o.Copy = c.To
	var done func()
	o.Tell, done = progress(t.stderr)
	now, err := o.Publish(c.Lists, c.Force)
	done()
	if err == nil {
		err = c.spread(t, o)
	}
	switch {
	case errors.Is(err, authority.ErrShrunk):
		kind, _, _ := strings.Cut(err.Error(), ":")
		return &failure{fmt.Errorf("publishing %s: %w", c.Lists, err), "if it is right, add --force=" + kind, exitFailure}
	case errors.Is(err, authority.ErrLost):
		return &failure{fmt.Errorf("publishing %s: %w", c.Lists, err), "put the file back from a web server's folder or a stick (targets/, the same name), or lookouts.list of what was published then, " +
			"which may be built anew from the same rows under the same key; --to=DIR finds it in such a folder by itself", exitFailure}
	case err != nil:
		return fmt.Errorf("publishing %s: %w", c.Lists, err)
	case t.json:
		return t.print(now)
	}
	for _, l := range now {
		word := "unchanged"
		if l.Changed {
			word = "published"
		}
		fmt.Fprintf(t.stdout, "%-10s generation %d, %d rows, %s\n", l.Kind, l.Generation, l.Rows, word)
	}
	return nil
}

type listsHeartbeatCmd struct{ officeFlags }

// Run signs a new timestamp.
func (c *listsHeartbeatCmd) Run(t *tool) error {
	o, err := c.office(0)
	if err != nil {
		return err
	}
	version, err := o.Heartbeat()
	if err == nil {
		err = c.spread(t, o)
	}
	if err != nil {
		return fmt.Errorf("heartbeat of %s: %w", c.Dir, err)
	}
	expires := o.Now.Add(c.Timestamp).Truncate(time.Second)
	if t.json {
		return t.print(authority.Signed{Version: version, Expires: expires})
	}
	fmt.Fprintf(t.stdout, "timestamp %d, until %s\n", version, expires.Format(time.RFC3339))
	return nil
}

type listsStatusCmd struct {
	Dir    string   `arg:"" help:"Folder of the authority." type:"existingdir"`
	Broker []string `help:"Tell which booth runs which generation too, from what each has left with this broker, ssl://host:port (or tcp:// on this machine)." placeholder:"URL"`
	callerFlags
	clientFlag
	lookFlags
}

// officeState is what lists status prints.
type officeState struct {
	authority.State
	Booths []boothLists `json:"booths,omitzero"`
}

// Run tells what is published, and what of it booths have. It fails if booths
// would refuse it by now.
func (c *listsStatusCmd) Run(t *tool) error {
	s, err := authority.Status(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &failure{fmt.Errorf("status of %s: %w", c.Dir, err), "boothhq lists init makes an authority", exitFailure}
	} else if err != nil {
		return fmt.Errorf("status of %s: %w", c.Dir, err)
	}
	out := officeState{State: s}
	if len(c.Broker) > 0 {
		if out.Booths, err = c.booths(t.ctx, &brokerFlags{c.Broker, c.callerFlags}, c.ClientID, s.Lists); err != nil {
			return err
		}
	}
	if t.json {
		err = t.print(out)
	} else {
		printStatus(t, s)
		if len(c.Broker) > 0 {
			printBooths(t, out.Booths)
		}
	}
	return errors.Join(err, inForce(s, time.Now()))
}

func printStatus(t *tool, s authority.State) {
	for _, part := range []struct {
		name string
		authority.Signed
	}{{"root", s.Root}, {"timestamp", s.Timestamp}, {"snapshot", s.Snapshot}, {"targets", s.Targets}} {
		if part.Version == 0 {
			fmt.Fprintf(t.stdout, "%-10s none\n", part.name)
			continue
		}
		fmt.Fprintf(t.stdout, "%-10s version %d, until %s\n", part.name, part.Version, part.Expires.Format(time.RFC3339))
	}
	for _, l := range s.Lists {
		fmt.Fprintf(t.stdout, "%-10s generation %d, %d rows, %d bytes, key %s, %s\n", l.Kind, l.Generation, l.Rows, l.Bytes, l.Key, l.Digest[:min(16, len(l.Digest))])
	}
}

// inForce says what booths would refuse at a time, the gravest first.
func inForce(s authority.State, now time.Time) error {
	switch {
	case s.Root.Expired(now):
		return &failure{errors.New("the root has expired"), "make a new authority and install its root.json on every booth", exitFailure}
	case s.Timestamp.Version == 0:
		return &failure{errors.New("nothing is published"), "boothhq lists publish signs built lists", exitFailure}
	case s.Torn:
		return &failure{errors.New("a publication was broken off half way, or is being signed just now: booths without the one before it refuse what they find"), "boothhq lists publish signs it again", exitFailure}
	case s.Targets.Expired(now) || s.Snapshot.Expired(now):
		return &failure{errors.New("the publication has expired"), "boothhq lists publish signs it again", exitFailure}
	case s.Timestamp.Expired(now):
		return &failure{errors.New("the heartbeat has expired"), "boothhq lists heartbeat signs another; run it from a timer", exitFailure}
	}
	return nil
}
