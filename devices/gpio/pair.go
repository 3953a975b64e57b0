package gpio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"boothd/devices"
)

// How far edges of a pair may be out of order: a thread of the kernel for each
// line reports them, and it may have to wait for a processor. Both are ours.
const (
	lateMost  = 2 * time.Millisecond
	earlyMost = 16 // edges that wait for one that is missing
)

// PairConfig is two inputs that belong together.
type PairConfig struct {
	Point string    // name in the configuration
	Lines [2]string // as in InConfig
}

// Pair is two inputs in one claim, so that the order of their edges is kept.
// Only falling edges are told, undebounced; levels are electrical. Low may be
// called from any goroutine; Next belongs to one. It ends with its chip.
type Pair struct {
	cfg   PairConfig
	wire  pairWire
	seq   uint32  // of the last edge handed on
	early []event // that came before one that is missing, in order
}

// pairWire is two claimed lines. All but next may be called from any goroutine.
type pairWire interface {
	// next waits for a falling edge; ok is false if there was none in time. The
	// numbers of edges tell their order.
	next(ctx context.Context, wait time.Duration) (ev event, ok bool, err error)
	low() ([2]bool, error)
	at(stamp int64) time.Time
	close() error
}

// Pair claims two lines of the chip.
func (c *Chip) Pair(cfg PairConfig) (*Pair, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, err := c.claimPair(cfg)
	if err != nil {
		return nil, fmt.Errorf("claiming inputs %s on lines %s and %s of %s: %w", cfg.Point, cfg.Lines[0], cfg.Lines[1], c.name, err)
	}
	p := &Pair{cfg: cfg, wire: w}
	c.pairs = append(c.pairs, p)
	return p, nil
}

func (c *Chip) claimPair(cfg PairConfig) (pairWire, error) {
	switch {
	case c.closed:
		return nil, os.ErrClosed
	case cfg.Lines[0] == cfg.Lines[1]:
		return nil, errors.New("they are one line")
	}
	ctx, cancel := context.WithTimeout(context.Background(), claimWait)
	defer cancel()
	return c.drv.pair(ctx, cfg.Lines, claim{point: cfg.Point})
}

// Low tells which of the lines are low. With an error it is unknown.
func (p *Pair) Low() ([2]bool, error) {
	low, err := p.wire.low()
	if err != nil {
		return low, p.failed(err)
	}
	return low, nil
}

// Next waits for the next pulse, in the order in which they happened; ok is
// false if there was none within wait. The error of ctx is returned bare.
func (p *Pair) Next(ctx context.Context, wait time.Duration) (pulse devices.Pulse, ok bool, err error) {
	for {
		ev, lost, ok := p.due(false)
		if ok {
			return p.pulse(ev, lost), true, nil
		}
		most := wait
		if len(p.early) > 0 {
			most = lateMost
		}
		ev, ok, err := p.wire.next(ctx, most)
		switch {
		case ctx.Err() != nil:
			return pulse, false, ctx.Err()
		case err != nil:
			return pulse, false, p.failed(err)
		case ok:
			i, _ := slices.BinarySearchFunc(p.early, ev, func(a, b event) int { return int(int32(a.seq - b.seq)) })
			p.early = slices.Insert(p.early, i, ev)
			continue
		}
		if ev, lost, ok = p.due(true); ok { // what is missing does not come
			return p.pulse(ev, lost), true, nil
		}
		return pulse, false, nil
	}
}

// due takes the edge whose turn it is. Those before it were lost if nobody waits
// for them any more, or there is no more room to wait.
func (p *Pair) due(now bool) (ev event, lost, ok bool) {
	if len(p.early) == 0 {
		return event{}, false, false
	}
	ev = p.early[0]
	ahead := int32(ev.seq - p.seq)
	if ahead > 1 && !now && len(p.early) < earlyMost {
		return event{}, false, false
	}
	p.early = append(p.early[:0], p.early[1:]...)
	if ahead > 0 { // else it comes later than it was waited for
		p.seq = ev.seq
	}
	return ev, ahead != 1, true
}

func (p *Pair) pulse(ev event, lost bool) devices.Pulse {
	return devices.Pulse{Line: ev.line, Stamp: time.Duration(ev.stamp), At: p.wire.at(ev.stamp), Lost: lost}
}

func (p *Pair) failed(err error) error {
	return fmt.Errorf("inputs %s: lines %s and %s: %w", p.cfg.Point, p.cfg.Lines[0], p.cfg.Lines[1], err)
}
