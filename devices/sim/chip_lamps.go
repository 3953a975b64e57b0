package sim

import "fmt"

// ChipLamp is a lamp on an output of a simulated chip, with a wire back to an
// input that tells whether it is lit, as a current relay does.
type ChipLamp struct {
	Out    string // line that feeds the lamp
	OutLow bool   // it is lit while Out is low
	In     string // line of the wire back
	InLow  bool   // it is low while the lamp is lit
}

// LampFault is what is wrong with a lamp or what feeds it.
type LampFault uint8

// The faults of a lamp.
const (
	LampSound LampFault = iota
	LampStuck           // lit whatever its output is: a welded contact
	LampBurnt           // dark whatever its output is
)

// chipLamp is one lamp; the chip's mutex guards it.
type chipLamp struct {
	ChipLamp
	feed  string // the output that its wire is on
	low   bool   // lit while feed is low
	fault LampFault
	torn  bool // the wire back
}

// Lamps hangs lamps on the chip. Their inputs follow them from now on.
func (c *Chip) Lamps(lamps ...ChipLamp) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lamps == nil {
		c.lamps = map[string]*chipLamp{}
	}
	for _, l := range lamps {
		if c.lines[l.Out] == nil || c.lines[l.In] == nil {
			return fmt.Errorf("simulated chip: lamp on %q and %q: no such line", l.Out, l.In)
		}
		c.lamps[l.Out] = &chipLamp{ChipLamp: l, feed: l.Out, low: l.OutLow}
	}
	c.reflect()
	return nil
}

// Fail breaks the lamp that was hung on an output, or mends it.
func (c *Chip) Fail(out string, f LampFault) error {
	return c.lamp(out, func(l *chipLamp) { l.fault = f })
}

// Tear cuts the wire back of a lamp, whose input is then at its resistor's
// level, or mends it.
func (c *Chip) Tear(out string, torn bool) error {
	return c.lamp(out, func(l *chipLamp) { l.torn = torn })
}

// Swap exchanges the wires of two lamps: each is lit when the other should be.
func (c *Chip) Swap(out, other string) error {
	return c.lamp(out, func(a *chipLamp) {
		if b := c.lamps[other]; b != nil {
			a.feed, a.low, b.feed, b.low = b.feed, b.low, a.feed, a.low
		}
	})
}

// Lit tells whether the lamp on an output shines, whatever the output is.
func (c *Chip) Lit(out string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lamps[out]
	return l != nil && c.shines(l)
}

func (c *Chip) lamp(out string, change func(*chipLamp)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lamps[out]
	if l == nil {
		return fmt.Errorf("simulated chip: no lamp on %q", out)
	}
	change(l)
	c.reflect()
	return nil
}

// shines is what an eye sees. The caller holds mu.
func (c *Chip) shines(l *chipLamp) bool {
	switch l.fault {
	case LampStuck:
		return true
	case LampBurnt:
		return false
	}
	return c.lines[l.feed].level != l.low
}

// reflect brings every lamp's input to what the lamp shows. The caller holds
// mu.
func (c *Chip) reflect() {
	for _, l := range c.lamps {
		in, level := c.lines[l.In], c.shines(l) != l.InLow
		if l.torn {
			level = in.Pull
		}
		if in.level == level {
			continue
		}
		if in.level = level; in.held != nil && !in.held.output {
			c.moved(in)
		}
	}
}
