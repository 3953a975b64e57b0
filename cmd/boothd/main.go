// Command boothd is the lane computer of one booth.
//
// It exits 78 on a bad configuration, 75 when another boothd has the booth's
// store, 1 on any other failure and 0 when it was told to stop. SIGTERM and
// SIGINT stop it, SIGHUP checks the configuration anew and restarts in place;
// a bad one changes nothing and is said aloud.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	_ "time/tzdata" // cameras' zones, on boxes without them

	"github.com/alecthomas/kong"

	"boothd/agent"
	"boothd/configs"
)

// Exit codes, as sysexits.h and systemd know them.
const (
	exitBusy   = 75 // EX_TEMPFAIL: a second boothd
	exitConfig = 78 // EX_CONFIG
)

var flags struct {
	Config  string           `arg:"" optional:"" default:"/etc/boothd/boothd.toml" help:"Configuration file."`
	Verbose bool             `short:"v" help:"Log more. Identifiers are never logged."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

func main() {
	kong.Parse(&flags, kong.Name("boothd"), kong.Description("The lane computer of one booth."),
		kong.Vars{"version": version()})
	level := slog.LevelInfo
	if flags.Verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	os.Exit(run(log))
}

func run(log *slog.Logger) int {
	cfg, err := agent.Drivers.Load(flags.Config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		fmt.Fprintf(os.Stderr, "boothd: hint: run boothctl check %s\n", flags.Config)
		return exitConfig
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	for {
		w := world(log, cfg)
		fresh := make(chan *configs.Config, 1)
		w.Reload = fresh
		watching, done := context.WithCancel(ctx)
		var watch sync.WaitGroup
		watch.Go(func() { reloads(watching, log, w.Notify, hup, fresh) })
		err := agent.Run(ctx, cfg, w)
		done()
		watch.Wait()
		var again *agent.Reloaded
		switch {
		case errors.As(err, &again):
			cfg = again.Config
		case err == nil || errors.Is(err, context.Canceled):
			return 0
		case errors.Is(err, agent.ErrSecond):
			log.Error("not started", "err", err)
			return exitBusy
		default:
			log.Error("stopped", "err", err)
			return 1
		}
	}
}

// reloads checks the configuration at each SIGHUP and hands a good one on.
func reloads(ctx context.Context, log *slog.Logger, notify func(string), hup <-chan os.Signal, fresh chan<- *configs.Config) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		notify(reloading())
		cfg, err := agent.Drivers.Load(flags.Config)
		if err != nil {
			log.Error("new configuration refused, the old one stays", "err", err)
			notify("READY=1\nSTATUS=new configuration refused, the old one stays")
			continue
		}
		select {
		case fresh <- cfg:
		case <-ctx.Done():
			return
		}
	}
}
