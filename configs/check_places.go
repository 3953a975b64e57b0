package configs

import (
	"fmt"
	"slices"
	"time"
)

// ports checks a list of a reader's antennas.
func (c *checker) ports(p string, list []int, most int) {
	if n := len(list); n > most {
		c.refuse(p, fmt.Sprintf("%d antennas, want 1 to %d", n, most), "")
	}
	for i, a := range list {
		path := item(p, i)
		c.count(path, a, 1, most)
		if slices.Index(list, a) < i {
			c.refuse(path, fmt.Sprintf("antenna %d is given twice", a), "")
		}
	}
}

// places checks what is said of where a reader's antennas look.
func (c *checker) places(p string, d *Device, most int) {
	booth, weakest := sub(p, "booth_antennas"), sub(p, "booth_weakest")
	if !c.has(booth) {
		if c.has(weakest) {
			c.refuse(weakest, "no antenna looks at the booth", "write booth_antennas = [2]: those that do")
		}
		return
	}
	if len(d.BoothAntennas) == 0 {
		c.refuse(booth, "empty", "leave it out where nothing is known of places")
	}
	c.ports(booth, d.BoothAntennas, most)
	for i, a := range d.BoothAntennas {
		if len(d.Antennas) > 0 && !slices.Contains(d.Antennas, a) && a >= 1 && a <= most {
			c.refuse(item(booth, i), fmt.Sprintf("antenna %d is not in use", a), "name it in antennas too")
		}
	}
	c.need(weakest, "booth_weakest = -55: dBm, as strong as a card at the booth is read and none behind it")
	if c.has(weakest) {
		c.count(weakest, d.BoothWeakest, -100, -20)
	}
	if c.has(sub(p, "weakest")) && c.has(weakest) && d.Weakest > d.BoothWeakest {
		c.refuse(weakest, fmt.Sprintf("%d dBm is weaker than weakest, and never taken", d.BoothWeakest), "write a stronger one")
	}
}

// lapse checks what a board is to put out by itself.
func (c *checker) lapse(p string, b *Board) {
	path := sub(p, "lapse")
	if !c.has(path) || c.bad[path] {
		return
	}
	if b.Protocol != BoardModbus {
		c.refuse(path, "only boards of protocol \"modbus\" have a command that lapses", "leave it out")
		return
	}
	c.span(path, b.Lapse, time.Second, 10*time.Second, "")
	if b.Lapse.Duration%(100*time.Millisecond) != 0 {
		c.refuse(path, fmt.Sprintf("%v is no number of tenths of a second", b.Lapse.Duration), `write "2s"`)
	}
	green := false
	for _, name := range Lapsing() {
		out, wired := b.Out[name]
		if green = green || wired; out.ActiveLow {
			c.refuse(sub(sub(sub(p, "out"), name), "active_low"), "it would be lit when the board releases it", "wire it to the relay's open contact")
		}
	}
	if !green {
		c.refuse(path, "nothing green hangs on this board", "leave it out")
	}
}

// Lapsing are the outputs that a board with a lapse puts out by itself.
func Lapsing() []string { return []string{"officer_green", "traveller_green"} }
