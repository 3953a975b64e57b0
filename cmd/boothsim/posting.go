package main

import (
	"context"
	"sync/atomic"
	"time"

	"boothd/devices/webhook"
)

// Times of a camera that posts.
const (
	postEvery = 200 * time.Millisecond // between two tries, as long as the booth does not answer
	postMost  = 5 * time.Second        // then the report is given up
)

// posting is a camera that posts. It tries again while the booth is not there,
// as cameras do.
type posting struct {
	camera webhook.Camera
	life   context.Context // of the run: nobody waits for a camera after it
	silent atomic.Bool     // the scenario mutes, the beat's goroutine looks
}

func (p *posting) mute(on bool) { p.silent.Store(on) }

func (p *posting) plate(text, jurisdiction string, confidence float64) error {
	return p.try(func(ctx context.Context) error { return p.camera.Plate(ctx, text, jurisdiction, confidence) })
}

func (p *posting) noRead() error { return p.try(p.camera.NoRead) }

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
func (p *posting) beat(every time.Duration) {
	for p.life.Err() == nil {
		err := error(nil)
		if !p.silent.Load() {
			err = p.camera.Beat(p.life)
		}
		if err != nil {
			wait(p.life, postEvery)
			continue
		}
		wait(p.life, every)
	}
}
