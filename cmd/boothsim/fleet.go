package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"boothd/cmd/boothsim/internal/fleet"
)

// fleetCmd is the verb.
type fleetCmd struct {
	Booths  int           `help:"How many." default:"20"`
	For     time.Duration `help:"How long vehicles come and things go wrong." default:"1m"`
	JSON    bool          `name:"json" help:"Print one JSON object at the end."`
	Seed    uint64        `help:"Of vehicles and faults: the same seed, the same faults." default:"1"`
	Rate    float64       `help:"Events an hour and booth. A busy lane has 720." default:"3600"`
	Broker  []string      `help:"embedded, mosquitto (a child, killed now and then), nats (three of them, killed in turn), or brokers that are there: tcp://host:port." default:"embedded" placeholder:"URL"`
	Calm    time.Duration `help:"At most so long until all is receipted, after the last fault." default:"3m"`
	Quiet   bool          `help:"Nothing goes wrong."`
	Pauses  string        `help:"Of the booths between connections: ${enum}; real ones are up to a minute." enum:"short,real" default:"short"`
	Dir     string        `help:"Keep everything in this new folder." type:"path"`
	Bin     string        `help:"Where boothhq is; default: beside boothsim." type:"existingdir"`
	DB      string        `name:"db" help:"Headquarters' database, as boothhq takes it; default: a new SQLite file." placeholder:"DB"`
	Receive string        `name:"receive-args" help:"More flags for boothhq receive, separated by spaces: --receive-args=\"--interval 200ms\"." placeholder:"ARGS"`

	dir     string
	boothhq string
	hq      *child
	urls    []string
	pull    []string                    // where headquarters pulls from; nil: it subscribes
	killed  func(context.Context) error // kills the broker; nil: it is not ours
	settled func(context.Context) error // for tests that spoil what is stored
	stopped []func() error              // in the order of building
	out     io.Writer                   // of the result; nil: standard output
}

// Run builds the world around the fleet, runs it, and judges.
func (c *fleetCmd) Run(ctx context.Context) (err error) {
	defer func() {
		for i := len(c.stopped) - 1; i >= 0; i-- {
			err = errors.Join(err, c.stopped[i]())
		}
	}()
	if err := c.build(ctx); err != nil {
		return err
	}
	cfg := fleet.Config{
		Dir: filepath.Join(c.dir, "booths"), Booths: c.Booths, For: c.For, Rate: c.Rate, Seed: c.Seed, Brokers: c.urls, Calm: c.Calm, Quiet: c.Quiet,
		Kill:   map[fleet.Kind]func(context.Context) error{fleet.KillHQ: func(context.Context) error { return c.hq.kill() }},
		Export: c.export, Report: c.report, Settled: c.settled, Say: c.say,
	}
	if c.Pauses != "real" {
		cfg.Pauses = fleet.Short()
	}
	if c.killed != nil {
		cfg.Kill[fleet.KillBroker] = c.killed
	}
	res, err := fleet.Run(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%w\nboothhq:%s", err, tail(c.hq.log))
	}
	if c.out == nil {
		c.out = os.Stdout
	}
	if err := errors.Join(c.hq.dead(), c.print(c.out, res)); err != nil {
		return err
	}
	return verdictOf(res)
}

// verdictOf is an error if the run shows a fault.
func verdictOf(r fleet.Result) error {
	err := r.Clean()
	switch {
	case !r.Settled:
		err = errors.Join(fmt.Errorf("not all was receipted after %.0f s of calm", r.Calm), err)
	case r.Stored == 0:
		err = errors.Join(errors.New("no event was stored: a run of nothing proves nothing"), err)
	}
	return err
}

// say tells how it goes, beside the result.
func (c *fleetCmd) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "-- "+format+"\n", args...)
}

func (c *fleetCmd) later(f func() error) { c.stopped = append(c.stopped, f) }

// build makes the folder and starts broker and headquarters.
func (c *fleetCmd) build(ctx context.Context) (err error) {
	if c.boothhq, err = program(c.Bin, "boothhq"); err != nil {
		return err
	}
	if c.Dir != "" {
		c.dir = c.Dir
		err = os.Mkdir(c.dir, 0o700)
	} else if c.dir, err = os.MkdirTemp("", "boothsim-fleet-"); err == nil {
		c.later(func() error { return os.RemoveAll(c.dir) })
	}
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(c.dir, "booths"), 0o700); err != nil {
		return err
	}
	if c.DB == "" {
		c.DB = filepath.Join(c.dir, "events.db")
	}
	if err := c.startBroker(ctx); err != nil {
		return err
	}
	c.hq = &child{name: "boothhq", log: filepath.Join(c.dir, "boothhq.log"), make: func() *exec.Cmd {
		args := []string{"receive", "--db", c.DB}
		for _, url := range c.urls {
			args = append(args, "--broker", url)
		}
		for _, url := range c.pull {
			args = append(args, "--nats", url)
		}
		return exec.Command(c.boothhq, append(args, strings.Fields(c.Receive)...)...)
	}}
	if err := c.hq.start(); err != nil {
		return err
	}
	c.later(c.hq.stop)
	return nil
}

// export writes headquarters' events, one a line.
func (c *fleetCmd) export(ctx context.Context, w io.Writer) error {
	log := filepath.Join(c.dir, "export.log")
	stderr, err := os.Create(log)
	if err != nil {
		return err
	}
	defer stderr.Close()
	cmd := exec.CommandContext(ctx, c.boothhq, "export", "--db", c.DB)
	cmd.Stdout, cmd.Stderr = w, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("boothhq export: %w%s", err, tail(log))
	}
	return nil
}

// report asks headquarters for what only it can count.
func (c *fleetCmd) report(ctx context.Context) (out fleet.Report, err error) {
	b, err := once(ctx, nil, c.boothhq, "report", "--db", c.DB, "--json")
	if err != nil {
		return out, err
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		return out, fmt.Errorf("reading headquarters' report: %w", err)
	}
	out = fleet.Report{Doubled: r.Doubled, Conflicts: r.Conflicts, Rejected: r.Rejected}
	for _, b := range r.Booths {
		for _, e := range b.Epochs {
			out.Again += e.Again
		}
	}
	return out, nil
}
