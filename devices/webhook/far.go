package webhook

import (
	"context"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Times of a camera that posts.
const (
	postEvery = 200 * time.Millisecond // between two tries, as long as the booth does not answer
	postMost  = 5 * time.Second        // then the report is given up
)

// posting is a camera that posts. It tries again while the booth is not there,
// as cameras do.
type posting struct {
	*Camera
	life   context.Context // of the lane: nobody waits for a camera after it
	silent atomic.Bool     // the scenario mutes, the beat's goroutine looks
}

// Far is the camera as a lane is played with, until life ends. It says that it is
// there three times in the time for which it may be quiet; 0: never.
func (c *Camera) Far(life context.Context, quiet time.Duration) devices.Far {
	p := &posting{Camera: c, life: life}
	far := devices.Far{Lineless: true, Mute: p.silent.Store, NoRead: func() error { return p.try(c.NoRead) },
		Plate: func(text, jurisdiction string, confidence float64) error {
			return p.try(func(ctx context.Context) error { return c.Plate(ctx, text, jurisdiction, confidence) })
		}}
	if quiet > 0 {
		far.Run = func(ctx context.Context) { p.beat(ctx, quiet/3) }
	}
	return far
}

func (p *posting) try(post func(context.Context) error) error {
	if p.silent.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(p.life, postMost)
	defer cancel()
	for {
		err := post(ctx)
		if err == nil || !wait(ctx, postEvery) {
			return err
		}
	}
}

// beat says now and then that the camera is there, and at once that it is.
func (p *posting) beat(ctx context.Context, every time.Duration) {
	for ctx.Err() == nil {
		err := error(nil)
		if !p.silent.Load() {
			err = p.Beat(ctx)
		}
		if err != nil {
			wait(ctx, postEvery)
			continue
		}
		wait(ctx, every)
	}
}

// wait tells whether ctx lived so long.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
