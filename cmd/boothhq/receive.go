package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/pelletier/go-toml/v2"

	"boothd/cmd/boothhq/internal/receiver"
)

// databaseFlag is shared by everything that reads or writes events.
type databaseFlag struct {
	DB string `name:"db" default:"/var/lib/boothhq/events.db" help:"SQLite database of events." type:"path"`
}

type receiveCommand struct {
	databaseFlag
	Broker    []string      `required:"" help:"Broker as ssl://host:port (or tcp:// on this machine), in order of preference." placeholder:"URL"`
	ClientID  string        `name:"client-id" default:"boothhq" help:"MQTT client id; one running receiver each."`
	Username  string        `help:"MQTT user name, where the certificate does not give it."`
	CA        string        `name:"ca" type:"existingfile" help:"Certificates that sign the brokers'."`
	Cert      string        `type:"existingfile" help:"Certificate of this receiver."`
	Key       string        `type:"existingfile" help:"Its private key."`
	Interval  time.Duration `default:"1s" help:"Least time between two receipts of a booth."`
	TotalRate float64       `name:"total-rate" default:"6000" help:"Backlog events a second, shared out among the booths."`
	BoothRate float64       `name:"booth-rate" default:"500" help:"The most of it for one booth."`
	Window    int           `default:"256" help:"Events a booth may have without receipt."`
}

// Run receives until it is told to stop.
func (c *receiveCommand) Run(ctx context.Context) error {
	tlsConfig, err := c.tls()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	store, err := receiver.Open(ctx, c.DB)
	if err != nil {
		return err
	}
	r, err := receiver.New(receiver.Config{
		Brokers: c.Broker, ClientID: c.ClientID, Username: c.Username, TLS: tlsConfig, Interval: c.Interval,
		TotalRate: c.TotalRate, BoothRate: c.BoothRate, Window: c.Window, Log: log,
	}, store)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	err = r.Run(ctx)
	if ctx.Err() != nil {
		err = nil // told to stop
	}
	return errors.Join(err, store.Close())
}

// tls reads the files; nil without any, for brokers on this machine.
func (c *receiveCommand) tls() (*tls.Config, error) {
	if c.CA == "" && c.Cert == "" && c.Key == "" {
		for _, b := range c.Broker {
			if strings.HasPrefix(b, "ssl:") {
				return nil, fmt.Errorf("broker %s: needs --ca, --cert and --key", b)
			}
		}
		return nil, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("reading --ca: %w", err)
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca %s: no certificate in it", c.CA)
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("reading --cert and --key: %w", err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg, nil
}

type statusCommand struct {
	databaseFlag
	JSON bool `name:"json" help:"As one JSON object."`
}

// Run prints what is here of each booth.
func (c *statusCommand) Run(ctx context.Context) (err error) {
	r, err := receiver.OpenReport(ctx, c.DB)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s, err := r.Summary(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.MarshalWrite(os.Stdout, s, jsontext.WithIndent("  "))
	}
	printSummary(os.Stdout, s)
	return nil
}

func printSummary(w io.Writer, s receiver.Summary) {
	for _, b := range s.Booths {
		presence := b.Status
		if presence == "" {
			presence = "never heard"
		}
		fmt.Fprintf(w, "%-24s %s", b.Name, presence)
		if !b.At.IsZero() {
			fmt.Fprintf(w, " since %s, connection %d, version %s", b.At.Format(time.RFC3339), b.Conn, b.Version)
		}
		fmt.Fprintln(w)
		for _, e := range b.Epochs {
			fmt.Fprintf(w, "  epoch %s: %d events up to %d, %d missing, %d rejected, %d repeated, %d conflicting, %d doubled\n",
				e.Epoch, e.Events, e.Last, e.Missing, e.Rejected, e.Again, e.Conflicts, e.Doubled)
			for _, h := range e.Holes[:min(len(e.Holes), 5)] {
				fmt.Fprintf(w, "    missing %d to %d\n", h[0], h[1])
			}
		}
	}
	fmt.Fprintf(w, "%d events of %d booths, %d missing, %d doubled\n", s.Events, len(s.Booths), s.Missing, s.Doubled)
}

type exportCommand struct {
	databaseFlag
	Booth string `help:"Of this booth alone."`
	Epoch string `help:"Of this epoch alone."`
	From  uint64 `help:"From this sequence number."`
	To    uint64 `help:"Up to this one."`
}

// Run writes events to standard output.
func (c *exportCommand) Run(ctx context.Context) (err error) {
	r, err := receiver.OpenReport(ctx, c.DB)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	_, err = r.Export(ctx, os.Stdout, receiver.Selection{Booth: c.Booth, Epoch: c.Epoch, From: c.From, To: c.To})
	return err
}

// tomlFlags reads flags from a TOML file and refuses keys that are none.
func tomlFlags(r io.Reader) (kong.Resolver, error) {
	var values map[string]any
	if err := toml.NewDecoder(r).Decode(&values); err != nil {
		return nil, err
	}
	return fileFlags(values), nil
}

// fileFlags are flags from a file, by long name.
type fileFlags map[string]any

// Validate refuses a key that no flag of any command has.
func (f fileFlags) Validate(app *kong.Application) error {
	known := make(map[string]bool)
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[flag.Name] = true
		}
		return next(nil)
	})
	if err != nil {
		return err
	}
	for key := range f {
		if !known[key] {
			return fmt.Errorf("unknown key %q", key)
		}
	}
	return nil
}

// Resolve gives a flag's value.
func (f fileFlags) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	v, ok := f[flag.Name]
	if !ok {
		return nil, nil
	}
	return v, nil
}
