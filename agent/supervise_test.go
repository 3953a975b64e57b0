package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
