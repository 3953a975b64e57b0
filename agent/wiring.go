package agent

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"boothd/agent/signal"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/port"
	"boothd/devices/relay"
)

// wire is one output that may not be there: before the chip is open, or after
// it has gone.
type wire struct {
	mu  sync.Mutex // the lamps set, the goroutine of chip or board plugs and unplugs
	out output
}

var errNoChip = errors.New("no GPIO chip or relay board")

// Set drives the output, if there is one.
func (w *wire) Set(on bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out == nil {
		return errNoChip
	}
	return w.out.Set(on)
}

func (w *wire) plug(out output) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = out
}

// wires makes a wire for every lamp of the configuration.
func wires(cfg *configs.Config) map[signal.Lamp]*wire {
	out := make(map[signal.Lamp]*wire)
	for _, lamp := range signal.Lamps {
		if cfg.HasOut(string(lamp)) {
			out[lamp] = &wire{}
		}
	}
	return out
}

// inPoints lists the inputs of chip and boards.
func inPoints(cfg *configs.Config) []string {
	points := slices.Collect(maps.Keys(cfg.GPIO.In))
	for _, c := range cfg.Boards {
		points = slices.AppendSeq(points, maps.Keys(c.In))
	}
	return points
}

// chip keeps the GPIO chip open until ctx ends. Without it the lane sees
// nothing and shows nothing: out of service, and still running.
func (b *booth) chip(ctx context.Context) {
	tell := func(online bool, reason error) {
		b.inbox.tell(ctx, deviceNews{device: chipDevice, online: online, reason: reason, at: time.Now()})
	}
	supervise(ctx, b.log.With("device", chipDevice), func(ctx context.Context, up func()) error {
		c, err := b.world.OpenChip(ctx, b.cfg.GPIO.Chip)
		if err != nil {
			return err
		}
		defer func() {
			for lamp := range b.cfg.GPIO.Out {
				b.wires[signal.Lamp(lamp)].plug(nil)
			}
			b.blind(ctx, maps.Keys(b.cfg.GPIO.In))
			if err := c.Close(); err != nil {
				b.log.Warn("closing GPIO chip", "err", err)
			}
		}()
		ins, err := b.claim(c)
		if err != nil {
			return err
		}
		b.lamps.again()
		up()
		return b.watch(ctx, ins)
	}, tell)
}

// claim takes every wired line. Outputs come first and safe, so that a lamp is
// lit before a vehicle is seen (I9).
func (b *booth) claim(c *gpio.Chip) ([]input, error) {
	outs := make(map[signal.Lamp]*gpio.Out, len(b.wires))
	for _, lamp := range signal.Lamps {
		w, wired := b.cfg.GPIO.Out[string(lamp)]
		if !wired {
			continue
		}
		out, err := c.Out(gpio.OutConfig{Point: string(lamp), Line: w.Line, ActiveLow: w.ActiveLow, Safe: signal.Safe(lamp)})
		if err != nil {
			return nil, err
		}
		outs[lamp] = out
	}
	var ins []input
	for point, w := range b.cfg.GPIO.In {
		in, err := c.In(gpio.InConfig{Point: point, Line: w.Line, ActiveLow: w.ActiveLow, Debounce: w.Debounce.Duration})
		if err != nil {
			return nil, err
		}
		ins = append(ins, input{point, in})
	}
	for lamp, out := range outs {
		b.wires[lamp].plug(out)
	}
	return ins, nil
}

// relays keeps one board of relays and inputs at work until ctx ends. While it
// is away what hangs on it is dark and unseen, as the wiring has it.
func (b *booth) relays(ctx context.Context, c configs.Board) {
	tell := func(online bool, reason error) {
		b.inbox.tell(ctx, deviceNews{device: c.Name, online: online, reason: reason, at: time.Now()})
	}
	supervise(ctx, b.log.With("device", c.Name), func(ctx context.Context, up func()) error {
		p, err := b.frames.world(b.world, c.Name).OpenPort(ctx, port.Spec{Path: string(c.Path), Baud: c.Baud, LockDir: filepath.Dir(string(b.cfg.Socket))})
		if err != nil {
			return err
		}
		r, err := relay.Open(ctx, p, BoardConfig(c, func(err error) {
			b.log.Warn("relay board was started anew; it is driven again", "device", c.Name, "err", err)
		}))
		if err != nil {
			return err
		}
		defer func() {
			for lamp := range c.Out {
				b.wires[signal.Lamp(lamp)].plug(nil)
			}
			b.blind(ctx, maps.Keys(c.In))
			_ = r.Close() // the reason it ended for is the one to tell
		}()
		var ins []input
		for point := range c.In {
			in, err := r.In(point)
			if err != nil {
				return err
			}
			ins = append(ins, input{point, in})
		}
		for point := range c.Out {
			out, err := r.Out(point)
			if err != nil {
				return err
			}
			b.wires[signal.Lamp(point)].plug(out)
		}
		b.lamps.again()
		up()
		life, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		var over sync.WaitGroup
		over.Go(func() { cancel(r.Wait(life)) })
		err = b.watch(life, ins)
		cancel(err)
		over.Wait()
		return context.Cause(life)
	}, tell)
}

// BoardConfig hands a board's wiring to its driver, for the daemon and for the
// technician's tools. A board that was driven anew is told to restarted.
func BoardConfig(c configs.Board, restarted func(error)) relay.Config {
	out := relay.Config{Name: c.Name, Protocol: relay.Protocol(c.Protocol), Address: c.Address, Baud: c.Baud, Lapse: c.Lapse.Duration, Health: restarted}
	for point, w := range c.Out {
		out.Out = append(out.Out, relay.OutConfig{Point: point, Channel: w.Channel, ActiveLow: w.ActiveLow, Safe: signal.Safe(signal.Lamp(point)),
			Lapses: c.Lapse.Duration > 0 && slices.Contains(configs.Lapsing(), point)})
	}
	for point, w := range c.In {
		out.In = append(out.In, relay.InConfig{Point: point, Channel: w.Channel, ActiveLow: w.ActiveLow, Debounce: w.Debounce.Duration})
	}
	return out
}
