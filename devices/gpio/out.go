package gpio

import (
	"fmt"
	"os"
	"sync"
)

// Out is one claimed output. Its methods may be called from any goroutine.
type Out struct {
	cfg  OutConfig
	wire wire

	mu        sync.Mutex // a Set must not come after Close has made the line safe
	retired   bool
	commanded bool
}

// Set drives the output to a logical level. With an error the level is
// unknown; the caller sets again.
func (o *Out) Set(on bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.retired {
		return fmt.Errorf("output %s: %w", o.cfg.Point, os.ErrClosed)
	}
	return o.drive(on)
}

// drive sets the line; the caller holds mu.
func (o *Out) drive(on bool) error {
	if err := o.wire.set(on); err != nil {
		return fmt.Errorf("output %s: setting line %s: %w", o.cfg.Point, o.cfg.Line, err)
	}
	o.commanded = on
	return nil
}

// Commanded tells the logical level that the line last took: the safe level
// until the first Set. It is memory, never a reading, since reading an output
// turns it into an input in some drivers.
func (o *Out) Commanded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.commanded
}

// retire makes the output safe for the last time.
func (o *Out) retire() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retired = true
	return o.drive(o.cfg.Safe)
}
