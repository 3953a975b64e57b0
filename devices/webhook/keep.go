package webhook

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"boothd/devices"
)

// keepMost bounds the reads that are being kept at a time; more than connections
// are let in, since those whose camera gave up go on. Ours.
const keepMost = 2 * connsMost

var errBusy = errors.New("too many reads wait to be kept")

// owed is a read that must be kept before its camera may be told that all is
// well. Whoever repeats it owes it, too.
type owed struct {
	read devices.Read
	late bool
	turn chan struct{} // holds one while it is being kept
	kept bool          // belongs to who has the turn
}

func newOwed(r devices.Read, late bool) *owed {
	return &owed{read: r, late: late, turn: make(chan struct{}, 1)}
}

// report is one that was taken, for when it is posted again.
type report struct {
	digest [sha256.Size]byte
	owes   []*owed
}

// note remembers a read as long as the camera's window does its plate.
func (r *Reader) note(o *owed) {
	if o.read.Plate.NoRead {
		return
	}
	r.lately = slices.DeleteFunc(r.lately, func(was *owed) bool { return was.read.Plate.Text == o.read.Plate.Text })
	r.lately = append(r.lately[max(len(r.lately)-devices.GlancesMost+1, 0):], o)
}

// before finds the read that one repeats, and is the read itself if none is known.
func (r *Reader) before(o *owed) *owed {
	for _, was := range r.lately {
		if was.read.Plate.Text == o.read.Plate.Text {
			return was
		}
	}
	return o
}

// settle keeps a read, or waits for who is at it, until ctx ends. The keeping
// itself is not cut short: what becomes of it would be unknown, and when the
// report is posted again the read would be kept twice.
func (r *Reader) settle(ctx context.Context, o *owed) error {
	if r.cfg.Keep == nil {
		return nil
	}
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if o.kept {
		<-o.turn
		return nil
	}
	select {
	case r.keeping <- struct{}{}:
	default:
		<-o.turn
		return errBusy
	}
	done := make(chan error, 1)
	go func() {
		err := r.cfg.Keep(context.WithoutCancel(ctx), o.read, o.late)
		o.kept = err == nil
		<-r.keeping
		<-o.turn
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
