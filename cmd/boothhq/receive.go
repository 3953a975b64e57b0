package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
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
	brokerFlags
	ClientID  string        `name:"client-id" default:"HQ-receiver" help:"MQTT client id and, where no certificate gives it, user name; one running receiver each."`
	Interval  time.Duration `default:"1s" help:"Least time between two receipts of a booth."`
	TotalRate float64       `name:"total-rate" default:"6000" help:"Backlog events a second, shared out among the booths."`
	BoothRate float64       `name:"booth-rate" default:"500" help:"The most of it for one booth."`
	Window    int           `default:"256" help:"Events a booth may have without receipt."`
	Print     bool          `help:"Write each event to standard output once it is kept, one per line."`
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
	desk, err := receiver.OpenDesk(t.ctx, c.DB)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	watching, stop := context.WithCancel(t.ctx)
	var watch sync.WaitGroup
	watch.Go(func() { desk.Watch(watching, cfg.Log) })
	err = r.Run(t.ctx)
	stop()
	watch.Wait()
	if t.ctx.Err() != nil {
		err = nil // told to stop
	}
	return errors.Join(err, desk.Close(), store.Close())
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
	cfg.TLS, cfg.Password, err = c.secrets()
	return cfg, err
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
