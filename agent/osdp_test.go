package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/osdp"
)

// A reader with another key is left alone for ten minutes, unless a technician
// opens a window for its own.
func TestWrongKeyIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var i installs
		hold := func(ctx context.Context) (time.Duration, error) {
			from := time.Now()
			err := i.hold(ctx, "door")
			return time.Since(from), err
		}
		if took, err := hold(t.Context()); took != 0 || err != nil {
			t.Errorf("held for %v, %v, before it was asked", took, err)
		}
		i.refused("door")
		if took, err := hold(t.Context()); took != osdp.WrongKeyPause || err != nil {
			t.Errorf("held for %v, %v, want %v", took, err, osdp.WrongKeyPause)
		}
		i.refused("door")
		i.refused("gate") // another's
		go func() {
			time.Sleep(90 * time.Second)
			i.open("door", time.Now().Add(installFor))
		}()
		if took, err := hold(t.Context()); took > 91*time.Second || err != nil {
			t.Errorf("held for %v, %v, though a window is open", took, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		j := installs{wrong: i.wrong}
		if err := j.hold(ctx, "door"); !errors.Is(err, context.Canceled) {
			t.Errorf("held on: %v", err)
		}
	})
}
