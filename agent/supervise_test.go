package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/gpio"
	"boothd/devices/mercury"
	"boothd/devices/port"
	"boothd/devices/relay"
	"boothd/devices/webhook"
	"boothd/devices/wiegand"
)

func TestSuperviseLogsANightAsTwoLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Hour)
		defer cancel()
		var out bytes.Buffer
		morning := time.Now().Add(7 * time.Hour)
		online := 0
		supervise(ctx, slog.New(slog.NewTextHandler(&out, nil)), func(ctx context.Context, up func()) error {
			if time.Now().Before(morning) {
				return errors.New("no such device")
			}
			up()
			<-ctx.Done()
			return ctx.Err()
		}, func(on bool, _ error) {
			if on {
				online++
			}
		})
		if n := strings.Count(out.String(), "\n"); n != 2 || online != 1 {
			t.Errorf("wrote %d lines, online %d times, want 2 and 1:\n%s", n, online, &out)
		}
	})
}

// A cable replugged must be back within 3 s, however long it was out before:
// the pause is short again once the device has worked for a while.
func TestSuperviseReopensFastAfterSteadyWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var out bytes.Buffer
		var failed time.Time
		var pauses []time.Duration
		supervise(ctx, slog.New(slog.NewTextHandler(&out, nil)), func(ctx context.Context, up func()) error {
			if !failed.IsZero() {
				pauses = append(pauses, time.Since(failed))
			}
			if len(pauses) == 20 {
				cancel()
			}
			up()
			time.Sleep(time.Minute) // virtual
			failed = time.Now()
			return errors.New("unplugged")
		}, func(bool, error) {})
		for i, p := range pauses {
			if p < pauseMin/2 || p > pauseMin+time.Millisecond {
				t.Errorf("pause %d is %v, want at most %v", i, p, pauseMin)
			}
		}
	})
}

// What is not there is asked for every second, however long it has been away; a
// device that answers and fails is left alone for longer and longer.
func TestSuperviseLooksForWhatIsNotThere(t *testing.T) {
	for err, most := range map[error]time.Duration{port.ErrGone: replug, gpio.ErrNoChip: replug, gpio.ErrGone: replug, wiegand.ErrLow: replug,
		mercury.ErrSilent: replug, relay.ErrSilent: replug, webhook.ErrSilent: replug,
		errors.New("refused"): pauseMax} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			var last time.Time
			var longest time.Duration
			supervise(ctx, slog.New(slog.DiscardHandler), func(context.Context, func()) error {
				if !last.IsZero() {
					longest = max(longest, time.Since(last))
				}
				last = time.Now()
				return fmt.Errorf("door: %w", err)
			}, func(bool, error) {})
			if longest > most || longest < most/2 {
				t.Errorf("%v: tried again after %v at most, want %v", err, longest, most)
			}
		})
	}
}

func TestI5_APanicInOneDeviceIsItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var reasons []string
		supervise(ctx, slog.New(slog.DiscardHandler), func(context.Context, func()) error { panic("codec") }, func(on bool, err error) {
			if on {
				t.Error("online")
			} else {
				reasons = append(reasons, err.Error())
			}
		})
		if len(reasons) < 5 || !strings.Contains(reasons[0], "panic: codec") {
			t.Errorf("told %d times, first %.40q", len(reasons), reasons)
		}
	})
}
