package eligibility

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Pace says how hard an import may drive the disk. An import as fast as it
// goes makes a durable commit in the journal wait 60 times as long; at half
// duty with the write-back spread it is 9 ms at p99.9 (measured limits, 2d).
type Pace struct {
	// Duty is the part of the time spent writing, above 0 up to 1. Zero is
	// the gentle default of 0.5; 1 is as fast as it goes.
	Duty float64
	// Aside gives what building and checking have to wait for before they go on:
	// until it closes they do nothing. nil, or nil from it: nothing.
	Aside func() <-chan struct{}
}

// paceBytes is how much is written between two pauses: some milliseconds of one
// processor, of which a small box has two.
const paceBytes = 128 << 10

// pacer starts write-back early and in small parts, and rests between them.
type pacer struct {
	f       *os.File
	duty    float64
	aside   func() <-chan struct{}
	pending int
	from    time.Time
}

func newPacer(path string, p Pace) (*pacer, error) {
	w, err := newRest(p)
	if err != nil || w.duty == 1 {
		return w, err
	}
	w.f, err = os.OpenFile(path, os.O_RDWR, 0)
	return w, err
}

// newRest only rests, for reading.
func newRest(p Pace) (*pacer, error) {
	if p.Duty == 0 {
		p.Duty = 0.5
	}
	if !(p.Duty > 0 && p.Duty <= 1) {
		return nil, fmt.Errorf("duty %v is not within 0 and 1", p.Duty)
	}
	return &pacer{duty: p.Duty, aside: p.Aside, from: time.Now()}, nil
}

// wrote is told of n bytes more; every paceBytes it pushes them out and rests.
func (p *pacer) wrote(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.standAside(ctx); err != nil {
		return err
	}
	p.pending += n
	if p.duty < 1 {
		runtime.Gosched() // whoever waits for this processor is the lane, perhaps
	}
	if p.duty == 1 || p.pending < paceBytes {
		return nil
	}
	p.pending = 0
	if err := p.push(); err != nil {
		return fmt.Errorf("starting write-back: %w", err)
	}
	worked := time.Since(p.from)
	rest := time.NewTimer(time.Duration(float64(worked) * (1 - p.duty) / p.duty))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.from = time.Now()
	return nil
}

// standAside waits while it is asked to. It is no work that a rest is owed for.
func (p *pacer) standAside(ctx context.Context) error {
	if p.aside == nil {
		return nil
	}
	over := p.aside()
	if over == nil {
		return nil
	}
	began := time.Now()
	select {
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.from = p.from.Add(time.Since(began))
	return nil
}

// push starts write-back once that of the part before has ended, so that no more
// than one part is ever on its way and a commit in the journal has little to
// wait for. Some file systems do not know it; there the pause alone has to do.
func (p *pacer) push() error {
	if p.f == nil {
		return nil
	}
	err := unix.SyncFileRange(int(p.f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ESPIPE) {
		return nil
	}
	return err
}

func (p *pacer) close() error {
	if p.f == nil {
		return nil
	}
	return p.f.Close()
}
