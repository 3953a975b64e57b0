// Package gpio drives lamps, gates, loops and buttons through the kernel's
// GPIO character device, or through a simulated chip behind a unix socket.
//
// Levels are logical (active or not) wherever they are a bool; periph's Level
// is the electrical one. A line's direction, polarity, debounce and first
// level are in one claim, so an output is never anything but safe before the
// first Set. Times are the kernel's own stamp of the edge. An error means that
// the level is unknown: it is never "no vehicle" and never "off". A chip that
// went away is ErrGone from then on, and the caller opens again.
//
// What a line does after the process is killed is the board's business: the
// safe level must come from the wiring.
//
// Source: linux/gpio.h, uAPI v2 (kernel 5.10 and later); GPIO and relays,
// inputs and outputs.
package gpio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The ways a chip fails. A chip or line after Close gives os.ErrClosed.
var (
	ErrNoChip = errors.New("no such GPIO chip") // a booth without one still starts
	ErrNoLine = errors.New("no such GPIO line")
	ErrBusy   = errors.New("GPIO line in use") // the text names the consumer
	ErrGone   = errors.New("GPIO chip gone")
)

// driver is a chip, of silicon or simulated.
type driver interface {
	// claim takes a line by name, or by "@" and its offset on the chip.
	claim(ctx context.Context, line string, c claim) (wire, error)
	// pair takes two lines in one claim, as inputs whose falling edges are told.
	pair(ctx context.Context, lines [2]string, c claim) (pairWire, error)
	close() error
}

// wire is one claimed line. All but next may be called from any goroutine.
type wire interface {
	number() int
	// level tells the level and until when its edges are already in it.
	level() (active bool, stamp int64, err error)
	set(active bool) error
	// next waits for an edge; ok is false if there was none in time.
	next(ctx context.Context, wait time.Duration) (ev event, ok bool, err error)
	// at turns the chip's stamp into a time with a monotonic part.
	at(stamp int64) time.Time
	close() error
}

// Chip is an open GPIO chip. Its methods may be called from any goroutine.
type Chip struct {
	name string
	drv  driver
	sim  bool

	mu     sync.Mutex // claims and Close come from different goroutines of the agent
	closed bool
	ins    []*In
	outs   []*Out
	pairs  []*Pair
}

// OpenChip opens the chip at a path below /dev, with a label (which survives a
// kernel update, where the path may not), or at the socket in "sim:PATH". It
// is ErrNoChip if there is none.
func OpenChip(ctx context.Context, name string) (*Chip, error) {
	var (
		drv driver
		err error
	)
	path, sim := strings.CutPrefix(name, "sim:")
	switch {
	case sim:
		drv, err = dialSim(ctx, path)
	case filepath.IsAbs(name):
		drv, err = openDevice(kernel{}, name)
	default:
		drv, err = openLabel(kernel{}, "/dev", name)
	}
	if err != nil {
		return nil, fmt.Errorf("opening GPIO chip %s: %w", name, err)
	}
	return &Chip{name: name, drv: drv, sim: sim}, nil
}

// Simulated tells whether the chip is not real.
func (c *Chip) Simulated() bool { return c.sim }

// InConfig is one input.
type InConfig struct {
	Point     string // name in the configuration
	Line      string // the kernel's name, or "@12" for offset 12 on a chip without names
	ActiveLow bool
	Debounce  time.Duration // the level must hold this long; 0: not debounced
}

// In claims a line as an input.
func (c *Chip) In(cfg InConfig) (*In, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, err := c.claim(cfg.Line, claim{point: cfg.Point, activeLow: cfg.ActiveLow, debounce: cfg.Debounce})
	if err != nil {
		return nil, fmt.Errorf("claiming input %s on line %s of %s: %w", cfg.Point, cfg.Line, c.name, err)
	}
	in := &In{cfg: cfg, wire: w}
	c.ins = append(c.ins, in)
	return in, nil
}

// OutConfig is one output.
type OutConfig struct {
	Point     string // name in the configuration
	Line      string // as in InConfig
	ActiveLow bool
	Safe      bool // logical level from the first moment, and again at Close
}

// Out claims a line as an output, which is at its safe level from the claim on.
func (c *Chip) Out(cfg OutConfig) (*Out, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, err := c.claim(cfg.Line, claim{point: cfg.Point, activeLow: cfg.ActiveLow, output: true, first: cfg.Safe})
	if err != nil {
		return nil, fmt.Errorf("claiming output %s on line %s of %s: %w", cfg.Point, cfg.Line, c.name, err)
	}
	out := &Out{cfg: cfg, wire: w, commanded: cfg.Safe}
	c.outs = append(c.outs, out)
	return out, nil
}

// claimWait is how long a claim may take. The kernel answers at once; this is
// for the simulated chip.
const claimWait = 2 * time.Second

func (c *Chip) claim(line string, cl claim) (wire, error) {
	if c.closed {
		return nil, os.ErrClosed
	}
	ctx, cancel := context.WithTimeout(context.Background(), claimWait)
	defer cancel()
	return c.drv.claim(ctx, line, cl)
}

// Close drives every output to its safe level, those that are off at rest
// first, and then releases all lines. It tries all of them whatever fails.
func (c *Chip) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	var errs []error
	for _, on := range []bool{false, true} {
		for _, o := range c.outs {
			if o.cfg.Safe == on {
				errs = append(errs, o.retire())
			}
		}
	}
	for _, o := range c.outs {
		errs = append(errs, o.wire.close())
	}
	for _, i := range c.ins {
		errs = append(errs, i.wire.close())
	}
	for _, p := range c.pairs {
		errs = append(errs, p.wire.close())
	}
	errs = append(errs, c.drv.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing GPIO chip %s: %w", c.name, err)
	}
	return nil
}
