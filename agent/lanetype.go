package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/renameio/v2"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/configs"
)

// lanePrefix begins the names of the buttons that change the lane's type.
const lanePrefix = "lane_"

// laneTypes is which type the lane is of, and which it may become. The lane
// changes it; others read what is in force.
type laneTypes struct {
	file string // keeps the type over a restart: the sign beside the road does too
	may  map[passage.LaneType]passage.Policy
	now  atomic.Pointer[passage.Policy]
}

// newLaneTypes takes the type that was in force last. An error says that this
// cannot be told: the lane is then of the configuration's type, and must stay
// closed until the officer has seen to it (I1).
func newLaneTypes(cfg *configs.Config) (*laneTypes, error) {
	t := &laneTypes{file: filepath.Join(string(cfg.Store.Dir), "lane-type"), may: make(map[passage.LaneType]passage.Policy)}
	for _, ty := range append([]configs.LaneType{cfg.Lane.Type}, cfg.Lane.Others...) {
		if c, ok := cfg.As(ty); ok {
			t.may[passage.LaneType(ty)] = policyOf(c)
		}
	}
	first := t.may[passage.LaneType(cfg.Lane.Type)]
	t.now.Store(&first)
	if len(t.may) == 1 {
		return t, nil
	}
	b, err := os.ReadFile(t.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t, nil // never changed
	case err != nil:
		return t, fmt.Errorf("which type the lane was of: %w", err)
	}
	was, ok := t.may[passage.LaneType(b)]
	if !ok {
		return t, fmt.Errorf("which type the lane was of: %s is not one of the configuration's", t.file)
	}
	t.now.Store(&was)
	return t, nil
}

// policy is the one in force.
func (t *laneTypes) policy() passage.Policy { return *t.now.Load() }

// keep puts a type into force and on disk.
func (t *laneTypes) keep(p passage.Policy) error {
	if err := renameio.WriteFile(t.file, []byte(p.Lane), 0o600); err != nil {
		return fmt.Errorf("keeping the lane's type: %w", err)
	}
	if err := syncFolder(t.file); err != nil {
		return fmt.Errorf("keeping the lane's type: %w", err)
	}
	t.now.Store(&p)
	return nil
}

// syncFolder makes the name of a file last.
func syncFolder(file string) error {
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// wishFor asks for another type from the next vehicle on; the present one
// takes a wish back.
func (l *lane) wishFor(to passage.LaneType) {
	if _, ok := l.types.may[to]; !ok {
		l.log.Warn("the lane cannot become of this type: name it in lane.others", "type", to)
		return
	}
	l.wish = to
	if to == l.policy.Lane {
		l.wish = ""
	}
	l.log.Info("another type of lane is asked for", "type", to, "now", l.policy.Lane)
}

// become fulfils the wish, between two vehicles. What decisions will stand on
// is recorded first; as long as it cannot be, the lane stays what it is.
func (l *lane) become(ctx context.Context, at time.Time) {
	if l.wish == "" {
		return
	}
	p := l.types.may[l.wish]
	digest := p.Digest()
	if !l.storeOK || !l.save(ctx, at, contract.PolicySet{Digest: digest, Policy: p, Clock: l.stamp(at)}) {
		return // the pulse tries again
	}
	if err := l.types.keep(p); err != nil {
		l.log.Error("the lane stays what it is", "type", l.policy.Lane, "err", err)
		return
	}
	l.log.Info("the lane is of another type now", "type", p.Lane, "was", l.policy.Lane)
	l.policy, l.digest, l.wish = p, digest, ""
	l.assess()
	l.display()
}
