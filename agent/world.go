package agent

import (
	"context"
	"log/slog"
	"net"
	"time"

	"boothd/agent/passage"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/keypad"
	"boothd/devices/port"
)

// World is every way out of the process. The daemon and the simulation run the
// same Run with another World.
type World struct {
	// OpenPort opens a serial line or a TCP port.
	OpenPort func(ctx context.Context, s port.Spec) (port.Port, error)
	// Listen opens a TCP port that cameras post to.
	Listen func(ctx context.Context, network, addr string) (net.Listener, error)
	// OpenKeys takes a USB keyboard for the booth alone.
	OpenKeys func(ctx context.Context, path string, c keypad.Config) (*keypad.Keypad, error)
	// OpenChip opens a GPIO chip by path, by label or as "sim:PATH".
	OpenChip func(ctx context.Context, name string) (*gpio.Chip, error)
	// Dial connects to a broker.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Clock tells how well the wall clock is disciplined and the largest error
	// it may have; the time itself is time.Now, which a test's bubble replaces.
	Clock func() (quality passage.Clock, most time.Duration)
	// Mono is the kernel's monotonic clock, the same in every process of one
	// boot.
	Mono func() time.Duration
	// Secret reads a credential or a key file, at most 64 KiB.
	Secret func(ref configs.Ref) ([]byte, error)
	// Notify tells the service manager ("READY=1", "WATCHDOG=1", ...).
	Notify func(state string)
	// Reload yields a new configuration that has been checked. Nil: never.
	Reload <-chan *configs.Config

	Log     *slog.Logger
	Version string // of the program
	// Program is the digest of the file that runs, sha256:HEX; "" if it cannot be
	// told. It may take a second the first time. Nil: nobody asks.
	Program func() string
	Built   time.Time // the wall clock cannot be before it (reason 202)
	Boot    string    // the kernel's boot id
	Board   string    // what the box is, for people
	OS      string
}
