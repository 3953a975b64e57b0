package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"boothd/devices"
	"boothd/devices/gpio"
	"boothd/devices/port"
	"boothd/devices/wiegand"
)

// Pauses between two tries to open a device (device protocols, rules of every
// serial driver). The jitter keeps the devices of one hub from reopening in step.
const (
	pauseMin = 250 * time.Millisecond
	pauseMax = 15 * time.Second
	// retryMost bounds what a device may ask for.
	retryMost = time.Minute
	// replug is the longest pause while nothing is there, no device file or no
	// answer: a cable that is back is seen within 3 s.
	replug = time.Second
	// steady is how long a device must have worked before the next failure
	// starts again at the short pause.
	steady = 30 * time.Second
)

// supervise runs one device's life again and again until ctx ends. follow
// calls up() once the device works; what it returns is the reason it stopped.
// Only changes of state are logged: a cable out all night is two lines.
func supervise(ctx context.Context, log *slog.Logger, follow func(ctx context.Context, up func()) error, tell func(online bool, reason error)) {
	pause := pauseMin
	said := "" // the last state logged
	for ctx.Err() == nil {
		var since time.Time
		err := contain(func() error {
			return follow(ctx, func() {
				since = time.Now()
				if said != "online" {
					log.Info("device online")
					said = "online"
				}
				tell(true, nil)
			})
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("ended without a reason")
		}
		if said != "offline" {
			log.Warn("device offline", "err", err)
			said = "offline"
		}
		tell(false, err)
		if !since.IsZero() && time.Since(since) >= steady {
			pause = pauseMin
		}
		wait := pause/2 + rand.N(pause/2+1)
		var silent devices.Silent
		if errors.As(err, &silent) || errors.Is(err, port.ErrGone) || errors.Is(err, gpio.ErrNoChip) || errors.Is(err, gpio.ErrGone) ||
			errors.Is(err, wiegand.ErrLow) {
			wait = min(wait, replug) // nothing is there to be hammered
		}
		// Some say themselves when it makes sense to come again: a reader that
		// another program holds would be asked in vain.
		if later := (interface{ RetryAfter() time.Duration })(nil); errors.As(err, &later) {
			wait = max(wait, min(later.RetryAfter(), retryMost))
		}
		pause = min(2*pause, pauseMax)
		if !sleep(ctx, wait) {
			return
		}
	}
}

// contain turns a panic of one part into its error, so that no part's failure
// stops another (I5).
func contain(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run()
}

// sleep waits for d or for ctx; it tells whether d has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
