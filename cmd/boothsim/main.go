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
	Lane lane `cmd:"" help:"Only the hardware of a booth, moved by commands on standard input."`
	Demo demo `cmd:"" help:"A whole booth with headquarters: vehicles drive through until Ctrl-C."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("boothsim"), kong.Description("Plays the world around a booth."))
	// A closed terminal and a reader that has gone (boothsim demo | head) end it
	// like Ctrl-C: it has processes to stop and keys to take away.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "boothsim:", err)
		os.Exit(1)
	}
}
