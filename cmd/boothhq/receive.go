package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"

	"boothd/agent/status"
	"boothd/cmd/boothhq/internal/receiver"
)

// databaseFlag is shared by everything that reads or writes events.
type databaseFlag struct {
	DB string `name:"db" default:"/var/lib/boothhq/events.db" help:"Database of events: an SQLite file, or postgres://USER@HOST/NAME?sslmode=verify-full. A password goes into the file of $$PGPASSFILE, never here." placeholder:"FILE|URL"`
}

type receiveCmd struct {
	databaseFlag
	brokerFlags
	NATS         []string `name:"nats" help:"Pull all that booths say from JetStream of these nats-server nodes, tls://host:port (or nats:// on this machine), instead of the broker; --broker then names their MQTT side." placeholder:"URL"`
	NATSReplicas int      `name:"nats-replicas" default:"3" help:"Copies of the stream, if this receiver makes it: 1 for one node, 3 for a cluster."`

	ClientID  string        `name:"client-id" default:"HQ-receiver" help:"MQTT client id and, where no certificate gives it, user name; one running receiver each."`
	Interval  time.Duration `default:"1s" help:"Least time between two receipts of a booth."`
	TotalRate float64       `name:"total-rate" default:"6000" help:"Backlog events a second, shared out among the booths."`
	BoothRate float64       `name:"booth-rate" default:"500" help:"The most of it for one booth."`
	Window    int           `default:"256" help:"Events a booth may have without receipt."`
	Listen    string        `help:"Serve /metrics (Prometheus) and /healthz here, on this machine alone: 127.0.0.1:9621 or unix:PATH." placeholder:"ADDRESS"`
	Print     bool          `help:"Write each event to standard output when it is kept, one per line; in rare cases twice. Who has to have all of them uses boothhq export: what is kept while this is killed is not written."`
}

// Run receives until it is told to stop.
func (c *receiveCmd) Run(t *tool) error {
	cfg, err := c.config(t)
	if err != nil {
		return err
	}
	store, err := receiver.Open(t.ctx, c.DB)
	if err != nil {
		return &failure{err, databaseHint(c.DB), exitFailure}
	}
	r, err := receiver.New(cfg, store)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	desk, err := receiver.OpenDesk(t.ctx, c.DB)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	ctx, stop := context.WithCancel(t.ctx)
	defer stop()
	var beside sync.WaitGroup
	var served error
	beside.Go(func() { desk.Watch(ctx, cfg.Log) })
	if c.Listen != "" {
		beside.Go(func() {
			defer stop() // who is watched must not go on unseen
			served = status.Serve(ctx, cfg.Log, c.Listen, receiverPages(r))
		})
	}
	err = r.Run(ctx)
	if ctx.Err() != nil {
		err = nil // told to stop
	}
	stop()
	beside.Wait()
	return errors.Join(exposed(served), err, desk.Close(), store.Close())
}

// databaseHint says what would open a database.
func databaseHint(db string) string {
	if strings.HasPrefix(db, "postgres") {
		return "its password belongs in the file of $PGPASSFILE (mode 0600); with certificates: sslcert=, sslkey= and sslrootcert= in the URL"
	}
	return "the folder of --db must be there and writable; a broken database is best moved aside, booths then send again what they keep"
}

func (c *receiveCmd) config(t *tool) (receiver.Config, error) {
	cfg := receiver.Config{
		Brokers: c.Broker, ClientID: c.ClientID, Username: c.ClientID, Interval: c.Interval, TotalRate: c.TotalRate,
		BoothRate: c.BoothRate, Window: c.Window, Log: slog.New(slog.NewTextHandler(t.stderr, nil)),
	}
	if c.Print {
		cfg.Kept = func(body []byte) error { return receiver.WriteLine(t.stdout, body) }
	}
	var err error
	if cfg.TLS, cfg.Password, err = c.secrets(); err != nil || len(c.NATS) == 0 {
		return cfg, err
	}
	for _, server := range c.NATS {
		if err := clearNATS(server, cfg.TLS != nil); err != nil {
			return cfg, &failure{err, "use tls://, with --ca, --cert and --key", exitUsage}
		}
	}
	cfg.NATS = &receiver.NATS{Servers: c.NATS, Replicas: c.NATSReplicas}
	return cfg, nil
}

// clearNATS refuses a server that is spoken to in clear over a network.
func clearNATS(server string, certified bool) error {
	u, err := url.Parse(server)
	switch {
	case err != nil || u.Port() == "":
		return fmt.Errorf("NATS server %q is not scheme://host:port", server)
	case u.Scheme == "nats" && !certified:
		return clear("tcp://" + u.Host)
	case u.Scheme == "tls" && certified:
		return nil
	}
	return fmt.Errorf("NATS server %s: tls:// goes with certificates, nats:// without", server)
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
