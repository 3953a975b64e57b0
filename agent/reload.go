package agent

import (
	"context"
	"fmt"
	"time"

	"boothd/configs"
)

// finishLimit is how long a reload waits for the passage that is going on. The
// lane is red while it restarts, so that a vehicle that stays can wait on.
const finishLimit = 30 * time.Second

// Reloaded is why Run ended: a new configuration was given and checked, and
// the passage is finished. The caller runs the booth again with it.
type Reloaded struct{ Config *configs.Config }

func (r *Reloaded) Error() string {
	return fmt.Sprintf("restarting with configuration %s", r.Config.Digest())
}

// reload waits for a new configuration and then for the lane to be free. It
// returns nil when ctx ends.
func (b *booth) reload(ctx context.Context) *Reloaded {
	var cfg *configs.Config
	select {
	case <-ctx.Done():
		return nil
	case cfg = <-b.world.Reload:
	}
	b.log.Info("new configuration taken, the passage is finished first", "digest", cfg.Digest())
	limit := time.Now().Add(finishLimit)
	for time.Now().Before(limit) {
		if p := b.bulletin.lane.Load(); p == nil || !p.Active {
			break
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return nil
		}
	}
	return &Reloaded{Config: cfg}
}
