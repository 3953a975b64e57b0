package main

import (
	"fmt"
	"time"

	"boothd/configs"
	"boothd/devices/relay"
	"boothd/devices/sim"
)

// board is one board of relays and inputs of the configuration, played.
type board struct {
	configs.Board
	sim   *relay.Sim
	cable *cable
}

// addBoard plays one more board. Its inputs are at rest.
func (h *hardware) addBoard(c configs.Board) (*board, error) {
	most := 8
	points := map[int]string{} // by relay
	for _, in := range c.In {
		most = max(most, in.Channel)
	}
	for point, out := range c.Out {
		most = max(most, out.Channel)
		points[out.Channel] = point
	}
	b := &board{Board: c, sim: &relay.Sim{Protocol: relay.Protocol(c.Protocol), Address: c.Address, Channels: most, Flash: c.Lapse.Duration > 0}}
	b.sim.Moved = func(channel int, on bool) {
		if told := h.moved.Load(); told != nil && points[channel] != "" {
			point := points[channel]
			(*told)(level{At: time.Now(), Lamp: point, On: on != c.Out[point].ActiveLow, Cause: sim.Driven})
		}
	}
	for _, in := range c.In {
		b.sim.SetInput(in.Channel, in.ActiveLow)
	}
	b.cable = &cable{path: c.Path, serve: b.sim.Serve}
	if err := b.cable.plug(); err != nil {
		return nil, fmt.Errorf("board %s: %w", c.Name, err)
	}
	h.boards = append(h.boards, b)
	return b, nil
}

// hangLamps hangs a lamp on every relay of a board that has a wire back.
func (b *board) hangLamps() {
	for name, out := range b.Out {
		if in, wired := b.In[name+configs.Lit]; wired {
			b.sim.Lamps(relay.SimLamp{Relay: out.Channel, AtRest: out.ActiveLow, Input: in.Channel, Low: in.ActiveLow})
		}
	}
}

// lamp has one fail, or mends it.
func (b *board) lamp(name, how string) error {
	switch how {
	case "stuck", "burnt", "sound":
		b.sim.Fail(b.Out[name].Channel, how == "stuck", how == "burnt")
		return nil
	}
	return fmt.Errorf("a lamp on a board cannot be %q; stuck, burnt and sound it can", how)
}
