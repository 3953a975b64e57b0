package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"

	"boothd/cmd/boothhq/internal/receiver"
)

// databaseFlag is shared by everything that reads or writes events.
type databaseFlag struct {
	DB string `name:"db" default:"/var/lib/boothhq/events.db" help:"SQLite database of events." type:"path"`
}

type receiveCmd struct {
	databaseFlag
	Broker       []string      `required:"" help:"Broker as ssl://host:port (or tcp:// on this machine), in order of preference." placeholder:"URL"`
	ClientID     string        `name:"client-id" default:"HQ-receiver" help:"MQTT client id; one running receiver each."`
	Username     string        `default:"HQ-receiver" help:"MQTT user name, where the certificate does not give it."`
	PasswordFile string        `help:"Read the MQTT password from this file, where there is one." type:"existingfile"`
	CA           string        `name:"ca" type:"existingfile" help:"Certificates that sign the brokers'."`
	Cert         string        `type:"existingfile" help:"Certificate of this receiver."`
	Key          string        `type:"existingfile" help:"Its private key."`
	Interval     time.Duration `default:"1s" help:"Least time between two receipts of a booth."`
	TotalRate    float64       `name:"total-rate" default:"6000" help:"Backlog events a second, shared out among the booths."`
	BoothRate    float64       `name:"booth-rate" default:"500" help:"The most of it for one booth."`
	Window       int           `default:"256" help:"Events a booth may have without receipt."`
	Print        bool          `help:"Write each event to standard output once it is kept, one per line."`
}

// Run receives until it is told to stop.
func (c *receiveCmd) Run(t *tool) error {
	cfg, err := c.config(t)
	if err != nil {
		return err
	}
	store, err := receiver.Open(t.ctx, c.DB)
	if err != nil {
		return &failure{err, "the folder of --db must be there and writable; a broken database is best moved aside, booths then send again what they keep", exitFailure}
	}
	r, err := receiver.New(cfg, store)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	err = r.Run(t.ctx)
	if t.ctx.Err() != nil {
		err = nil // told to stop
	}
	return errors.Join(err, store.Close())
}

func (c *receiveCmd) config(t *tool) (cfg receiver.Config, err error) {
	cfg = receiver.Config{
		Brokers: c.Broker, ClientID: c.ClientID, Username: c.Username, Interval: c.Interval, TotalRate: c.TotalRate,
		BoothRate: c.BoothRate, Window: c.Window, Log: slog.New(slog.NewTextHandler(t.stderr, nil)),
	}
	for _, b := range c.Broker {
		if err := clear(b); err != nil {
			return cfg, &failure{err, "use ssl://, with --ca, --cert and --key", exitUsage}
		}
	}
	if cfg.TLS, err = c.tls(); err != nil {
		return cfg, &failure{err, "--ca, --cert and --key go together", exitUsage}
	}
	if c.PasswordFile != "" {
		b, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return cfg, fmt.Errorf("reading --password-file: %w", err)
		}
		cfg.Password = strings.TrimSpace(string(b))
	}
	if c.Print {
		cfg.Kept = func(body []byte) error { return receiver.WriteLine(t.stdout, body) }
	}
	return cfg, nil
}

// clear refuses to speak in clear over a network: receipts decide what booths
// may throw away.
func clear(broker string) error {
	u, err := url.Parse(broker)
	if err != nil || u.Scheme != "tcp" || u.Hostname() == "localhost" {
		return nil // the receiver judges the rest
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("broker %s: in clear, and not on this machine", broker)
}

// tls reads the files; nil without any, for brokers on this machine.
func (c *receiveCmd) tls() (*tls.Config, error) {
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
