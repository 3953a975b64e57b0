// Command boothhq is the reference headquarters: it receives the booths'
// events, and builds and publishes the lists they decide by. Central systems
// may use it, or the contract alone.
//
// It exits 0 when it has done what it was told, 1 on a failure, and 80 on a
// wrong command line. Standard output carries results and nothing else.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"boothd/cmd/boothhq/internal/authority"
)

// commands is the command line.
type commands struct {
	Config  kong.ConfigFlag  `help:"Take flags from a TOML file; keys are the long names." placeholder:"FILE"`
	Version kong.VersionFlag `help:"Print the version and exit."`

	Receive receiveCommand `cmd:"" help:"Receive events from a broker, keep them, and send receipts."`
	Status  statusCommand  `cmd:"" help:"Tell what is here of each booth: presence, mark, holes, counts."`
	Export  exportCommand  `cmd:"" help:"Write events as their exact bytes, one per line."`

	authority.Commands
}

func main() {
	var c commands
	k := kong.Parse(&c, kong.Name("boothhq"), kong.Description("The reference headquarters of boothd."),
		kong.Configuration(tomlFlags), kong.Vars{"version": version()})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "boothhq: %v\n", err)
		os.Exit(1)
	}
}

func version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.Main.Version
	}
	return "unknown"
}
