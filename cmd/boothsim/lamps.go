package main

import (
	"fmt"

	"boothd/configs"
	"boothd/devices/sim"
)

// hangLamps hangs a lamp on every output of the configuration that has a wire
// back on the same chip or board.
func (h *hardware) hangLamps() error {
	for _, b := range h.boards {
		b.hangLamps()
	}
	for name, out := range h.cfg.GPIO.Out {
		in, wired := h.cfg.GPIO.In[name+configs.Lit]
		if !wired {
			continue
		}
		if err := h.chip.Lamps(sim.ChipLamp{Out: out.Line, OutLow: out.ActiveLow, In: in.Line, InLow: in.ActiveLow}); err != nil {
			return err
		}
	}
	return nil
}

// onBoard gives the board that a lamp with a wire back is on; nil: none.
func (h *hardware) onBoard(name string) *board {
	for _, b := range h.boards {
		if _, lit := b.Out[name]; lit {
			if _, seen := b.In[name+configs.Lit]; seen {
				return b
			}
		}
	}
	return nil
}

// lamp has one fail, or mends it.
func (h *hardware) lamp(name, how string) error {
	if b := h.onBoard(name); b != nil {
		return b.lamp(name, how)
	}
	line, err := h.lampLine(name)
	if err != nil {
		return err
	}
	switch how {
	case "stuck":
		return h.chip.Fail(line, sim.LampStuck)
	case "burnt":
		return h.chip.Fail(line, sim.LampBurnt)
	case "cut":
		return h.chip.Tear(line, true)
	case "sound":
		if err := h.chip.Fail(line, sim.LampSound); err != nil {
			return err
		}
		return h.chip.Tear(line, false)
	}
	return fmt.Errorf("a lamp cannot be %q; stuck, burnt, cut and sound it can", how)
}

// swap exchanges the wires of two lamps; the same again puts them right.
func (h *hardware) swap(name, other string) error {
	if b := h.onBoard(name); b != nil && b == h.onBoard(other) {
		b.sim.Swap(b.Out[name].Channel, b.Out[other].Channel)
		return nil
	}
	a, err := h.lampLine(name)
	if err != nil {
		return err
	}
	b, err := h.lampLine(other)
	if err != nil {
		return err
	}
	return h.chip.Swap(a, b)
}

func (h *hardware) lampLine(name string) (string, error) {
	out, lit := h.cfg.GPIO.Out[name]
	if _, seen := h.cfg.GPIO.In[name+configs.Lit]; !lit || !seen {
		return "", fmt.Errorf("no lamp %q with a wire back: the inputs have to name %s%s", name, name, configs.Lit)
	}
	return out.Line, nil
}
