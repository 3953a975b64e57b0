// Command boothsim is the hardware, the network and the headquarters that are
// not there: it plays a lane's readers, camera, loops, buttons and lamps in
// their own bytes around an unmodified boothd.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Lane  lane     `cmd:"" help:"Only the hardware of a booth, moved by commands on standard input."`
	Demo  demo     `cmd:"" help:"A whole booth with headquarters: vehicles drive through until Ctrl-C."`
	Fleet fleetCmd `cmd:"" help:"Many booths at once, with faults, and a look at what headquarters has of them."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("boothsim"), kong.Description("Plays the world around a booth."))
	ctx, stop := untilStopped(context.Background())
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "boothsim:", err)
		os.Exit(1)
	}
}

// untilStopped ends with Ctrl-C and with a closed terminal: there are processes
// to stop and keys to take away. A broken pipe is an error of the write and no
// signal: to ask for the signal is to get it for every socket that a killed
// boothd, a cut network or a dead broker breaks. Who writes to standard output
// sees for himself that the reader has gone (boothsim demo | head).
func untilStopped(ctx context.Context) (context.Context, context.CancelFunc) {
	signal.Ignore(syscall.SIGPIPE)
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}
