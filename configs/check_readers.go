package configs

import (
	"fmt"
	"regexp"
)

func (c *checker) completeMercury(p string, d *Device) {
	if d.Region == "" {
		d.Region = RegionNA
	}
	if !c.has(sub(p, "power")) {
		d.Power = 27
	}
	if !c.has(sub(p, "antennas")) {
		d.Antennas = []int{1}
	}
}

func (c *checker) mercury(p string, d *Device) {
	if !(d.Power >= 5 && d.Power <= 31.5) {
		c.refuse(sub(p, "power"), fmt.Sprintf("%v dBm is not between 5 and 31.5", d.Power), "")
	}
	if len(d.Antennas) == 0 {
		c.refuse(sub(p, "antennas"), "0 antennas, want 1 to 16", "")
	}
	c.antennas(p, d, 16)
}

func (c *checker) antennas(p string, d *Device, most int) {
	if c.has(sub(p, "weakest")) {
		c.count(sub(p, "weakest"), d.Weakest, -100, -20)
	}
	c.ports(sub(p, "antennas"), d.Antennas, most)
	c.places(p, d, most)
}

func (c *checker) llrp(p string, d *Device) {
	if c.has(sub(p, "power")) && !(d.Power >= 1 && d.Power <= 40) {
		c.refuse(sub(p, "power"), fmt.Sprintf("%v dBm is not between 1 and 40", d.Power), "leave it out to keep what the reader has")
	}
	c.antennas(p, d, 32)
}

func (c *checker) uhf18(p string, d *Device) {
	c.count(sub(p, "address"), d.Address, 0, 255)
	if c.has(sub(p, "power")) && (d.Power != float64(int(d.Power)) || d.Power < 1 || d.Power > 30) {
		c.refuse(sub(p, "power"), fmt.Sprintf("%v is not a whole number of dBm from 1 to 30", d.Power), "leave it out to keep what the reader has")
	}
}

func (c *checker) osdp(p string, d *Device) {
	c.count(sub(p, "address"), d.Address, 0, 126)
	switch {
	case d.Clear && d.ReaderKey != "":
		c.refuse(sub(p, "clear"), "a reader with a key is not read in clear", "take one of them out")
	case d.Clear:
		c.warn(sub(p, "clear"), "without a secure channel whoever reaches the line can be any card", `give the reader a key: reader_key = "credential:reader-key"`)
	case d.ReaderKey == "" && !c.bad[sub(p, "reader_key")]:
		c.refuse(sub(p, "reader_key"), "missing", `write reader_key = "credential:reader-key", 32 hex digits`)
	}
	for i, n := range d.Bits {
		c.count(item(sub(p, "bits"), i), n, 1, 256)
	}
}

func completeAmtech(_ *checker, _ string, d *Device) {
	if d.Mode == "" {
		d.Mode = AmtechBasic
	}
}

func (c *checker) amtech(p string, d *Device) {
	if c.has(sub(p, "start")) && d.Start != "#" && d.Start != "!" {
		c.refuse(sub(p, "start"), quoted(d.Start)+` is not "#" or "!"`, "")
	}
	if c.has(sub(p, "crc")) && d.Mode != AmtechECP {
		c.refuse(sub(p, "crc"), "only mode \"ecp\" has check values", "")
	}
	c.count(sub(p, "first_antenna"), d.FirstAntenna, 0, 1)
	if n := len(d.Commands); n > 16 {
		c.refuse(sub(p, "commands"), fmt.Sprintf("%d commands, at most 16", n), "")
	}
	for i, cmd := range d.Commands {
		if !amtechCommand.MatchString(cmd) {
			c.refuse(item(sub(p, "commands"), i), quoted(cmd)+" is not a command: digits and capitals, such as \"311\"", "")
		}
	}
}

var amtechCommand = regexp.MustCompile(`^[0-9A-Z]{1,40}$`)
