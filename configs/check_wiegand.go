package configs

import (
	"fmt"
	"slices"
	"time"
)

// pulsed tells whether a device hangs on two lines of the GPIO chip.
func (c *checker) pulsed() bool {
	return slices.ContainsFunc(c.cfg.Devices, func(d Device) bool { return d.Driver == Wiegand })
}

func (c *checker) completeWiegand(p string, d *Device) {
	if !c.has(sub(p, "silence")) {
		d.Silence = Duration{25 * time.Millisecond}
	}
}

// wiegand checks a card reader on two lines. That they are wired to nothing else
// is checked with all lines of the chip.
func (c *checker) wiegand(p string, d *Device) {
	c.need(sub(p, "data0"), `data0 = "GPIO20": the line that DATA0 is wired to`)
	c.need(sub(p, "data1"), `data1 = "GPIO21": the line that DATA1 is wired to`)
	c.need(sub(p, "formats"), `formats = ["h10301"]: of the cards in use, and no others`)
	if path := sub(p, "formats"); c.has(path) && len(d.Formats) == 0 {
		c.refuse(path, "empty: no card could be read", `write ["h10301"]`)
	}
	first := map[int]CardFormat{}
	for i, f := range d.Formats {
		path := item(sub(p, "formats"), i)
		bits, known := cardBits[f]
		switch was, twice := first[bits]; {
		case !known: // told already
		case twice && was == f:
			c.refuse(path, fmt.Sprintf("%q is given twice", f), "")
		case twice:
			c.refuse(path, fmt.Sprintf("%q has %d bits, as %q has: they cannot be told apart", f, bits, was), "write the one that is in use")
		default:
			first[bits] = f
		}
	}
	c.warn(sub(p, "driver"), "whoever reaches the two wires can be any card", `where cards decide, use a reader with driver = "osdp" and a key`)
	if len(first) > 1 {
		c.warn(sub(p, "formats"), "cards of several lengths: of pulses that were lost or added, one of four may make another card of them",
			"write only what is in use")
	}
	if path := sub(p, "silence"); c.has(path) {
		c.span(path, d.Silence, 10*time.Millisecond, 100*time.Millisecond, "a card is over after it")
	}
}

// pulseLines checks the lines of such readers beside the points of the lane.
func (c *checker) pulseLines(first map[string]place) {
	for i, d := range c.cfg.Devices {
		if d.Driver != Wiegand {
			continue
		}
		for _, w := range [][2]string{{"data0", d.Data0}, {"data1", d.Data1}} {
			if p := sub(item("device", i), w[0]); c.has(p) {
				c.lineOf(first, p, w[1])
			}
		}
	}
}
