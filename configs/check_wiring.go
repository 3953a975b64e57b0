package configs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

const maxDevices = 16

var deviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// bauds are the rates that a tty takes by name.
var bauds = []int{1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600}

func (c *checker) devices() {
	if n := len(c.cfg.Devices); n > maxDevices {
		c.refuse(item("device", maxDevices), fmt.Sprintf("%d devices, at most %d", n, maxDevices), "")
		c.cfg.Devices = c.cfg.Devices[:maxDevices] // the rest would only repeat it
	}
	first := map[string]place{} // "name x", "path x", "role x" → where first
	for i := range c.cfg.Boards {
		c.board(first, item("board", i), &c.cfg.Boards[i])
	}
	for i := range c.cfg.Devices {
		d, p := &c.cfg.Devices[i], item("device", i)
		c.need(sub(p, "name"), `name = "pre-read"`)
		c.need(sub(p, "driver"), "driver = "+listed(c.kinds.names()))
		c.need(sub(p, "role"), `role = "card", "plate.front", ...: what it is for`)
		of, _ := c.kinds.Of(d.Driver)
		if of.Pulses {
			c.need(sub(p, "data0"), `data0 = "GPIO20": the line that DATA0 is wired to`)
			c.need(sub(p, "data1"), `data1 = "GPIO21": the line that DATA1 is wired to`)
		} else {
			c.need(sub(p, "path"), `path = "/dev/serial/by-id/..."; boothctl ports lists them`)
		}
		if d.Name != "" && !deviceName.MatchString(d.Name) {
			c.refuse(sub(p, "name"), quoted(d.Name)+` is not a name: 1 to 32 of a-z, 0-9 and "-", not beginning with "-"`, "")
		}
		c.once(first, sub(p, "name"), d.Name)
		if !c.shares(p, i, of) {
			c.once(first, sub(p, "path"), string(d.Path))
		}
		if d.Role != RoleCard {
			c.once(first, sub(p, "role"), string(d.Role))
		}
		c.port(p, d, of)
		c.driver(p, d, of)
	}
	if c.cfg.Lane.Type != "" && !c.bad["lane.type"] && !c.bad["device"] {
		c.roles()
	}
}

// board checks one board of relays. A fault marks "board", so that what it may
// have wired is not told as missing.
func (c *checker) board(first map[string]place, p string, b *Board) {
	before := len(c.problems)
	c.need(sub(p, "name"), `name = "relays"`)
	c.need(sub(p, "protocol"), `protocol = "modbus", "lcus", ...: how it is spoken to`)
	c.need(sub(p, "path"), `path = "/dev/serial/by-id/..."; boothctl ports lists them`)
	if b.Name != "" && !deviceName.MatchString(b.Name) {
		c.refuse(sub(p, "name"), quoted(b.Name)+` is not a name: 1 to 32 of a-z, 0-9 and "-", not beginning with "-"`, "")
	}
	c.once(first, sub(p, "name"), b.Name)
	c.once(first, sub(p, "path"), string(b.Path))
	scheme := b.Path.Scheme()
	if scheme != "" && scheme != "tcp" {
		c.refuse(sub(p, "path"), fmt.Sprintf("a board is not at %s://", scheme), `write "tcp://host:port" or a device file`)
	}
	if scheme != "" && c.has(sub(p, "baud")) {
		c.refuse(sub(p, "baud"), "a tcp:// board has no baud rate", "")
	} else if scheme == "" && !slices.Contains(bauds, b.Baud) {
		c.refuse(sub(p, "baud"), fmt.Sprintf("%d is not one of %s", b.Baud, strings.Trim(fmt.Sprint(bauds), "[]")), "")
	}
	most := map[BoardProtocol]int{BoardModbus: 64, BoardRegisters: 64, BoardLCUS: 8, BoardLCUSReply: 8, BoardLCUSText: 8, BoardNumato: 32}[b.Protocol]
	modbus := b.Protocol == BoardModbus || b.Protocol == BoardRegisters
	if modbus {
		c.count(sub(p, "address"), b.Address, 1, 247)
	} else if c.has(sub(p, "address")) {
		c.refuse(sub(p, "address"), "only Modbus boards have an address", "")
	}
	c.lapse(p, b)
	if (b.Protocol == BoardLCUS || b.Protocol == BoardLCUSReply || b.Protocol == BoardLCUSText) && len(b.In) > 0 {
		c.refuse(sub(p, "in"), "these boards have no inputs", "wire them to the GPIO chip or another board")
	}
	if b.Protocol == BoardLCUS {
		c.warn(sub(p, "protocol"), "this board never answers: that a lamp is lit is only believed", "use a board that answers for traveller_green and the gate; boothctl probe tells whether this one does after all")
	}
	taken := map[string]map[int]string{"in": {}, "out": {}}
	channel := func(table, name string, known, others []string, n int) {
		path := sub(sub(p, table), name)
		switch was, twice := taken[table][n], taken[table][n] != ""; {
		case !c.point(path, name, known, others, "the other table"):
		case !c.has(sub(path, "channel")):
			c.refuse(sub(path, "channel"), "missing", "write { channel = 1 }")
		case n < 1 || n > most && most > 0:
			c.refuse(sub(path, "channel"), fmt.Sprintf("%d is not between 1 and %d", n, most), "")
		case twice:
			c.refuse(sub(path, "channel"), fmt.Sprintf("%d is taken by %s", n, was), "")
		default:
			taken[table][n] = name
			k := table + " point " + name
			if at, ok := first[k]; ok {
				c.refuse(path, fmt.Sprintf("%s is wired twice, first at %s", name, at), "")
			}
			first[k] = c.place(path)
			if c.has(sub(sub("gpio", table), name)) {
				c.refuse(path, fmt.Sprintf("%s is wired twice, also in [gpio.%s]", name, table), "")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.In)) {
		channel("in", name, inPoints, outPoints, b.In[name].Channel)
		c.debounce(sub(sub(sub(p, "in"), name), "debounce"), name, b.In[name].Debounce)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Out)) {
		channel("out", name, outPoints, inPoints, b.Out[name].Channel)
	}
	if len(b.In)+len(b.Out) == 0 {
		c.refuse(p, "nothing hangs on the board", "wire something to it in [board.out] or [board.in]")
	}
	c.bad["board"] = c.bad["board"] || len(c.problems) > before
}

// once refuses a value that an earlier device has for the same key.
func (c *checker) once(first map[string]place, path, v string) {
	if v == "" || c.bad[path] {
		return
	}
	k := shown(path) + " " + v
	if at, ok := first[k]; ok {
		c.refuse(path, fmt.Sprintf("%s is taken, first at %s", quoted(v), at), "")
		return
	}
	first[k] = c.place(path)
}

// shares tells whether a device is a reader on an earlier one's line, where its kind
// lets several be, with one speed and an address each.
func (c *checker) shares(p string, i int, of Kind) bool {
	d := &c.cfg.Devices[i]
	if !of.Shares || d.Path == "" || c.bad[sub(p, "path")] {
		return false
	}
	shared := false
	for j := range c.cfg.Devices[:i] {
		o, op := &c.cfg.Devices[j], item("device", j)
		if o.Path != d.Path {
			continue
		}
		if o.Driver != d.Driver {
			return false
		}
		if o.Baud != d.Baud {
			c.refuse(sub(p, "baud"), fmt.Sprintf("%d, but the line is at %d, by %s", d.Baud, o.Baud, c.place(sub(op, "baud"))), "readers on one line have one speed")
		}
		if o.Address == d.Address {
			c.refuse(sub(p, "address"), fmt.Sprintf("%d is taken on this line, by %s", d.Address, c.place(sub(op, "address"))), "readers on one line have an address each")
		}
		shared = true
	}
	return shared
}

func (c *checker) port(p string, d *Device, of Kind) {
	baud := sub(p, "baud")
	if of.Pulses {
		for _, k := range []string{"path", "baud"} {
			if c.has(sub(p, k)) {
				c.refuse(sub(p, k), fmt.Sprintf("a reader of driver %q has lines of the GPIO chip in its place", d.Driver), `write data0 = "GPIO20" and data1 = "GPIO21", and the chip in [gpio]`)
			}
		}
		return
	}
	if scheme := d.Path.Scheme(); scheme != "" {
		if c.has(baud) {
			c.refuse(baud, fmt.Sprintf("a %s:// device has no baud rate", scheme), "")
		}
	} else if d.Driver != "" && !slices.Contains(bauds, d.Baud) && (d.Baud != 0 || c.has(baud)) {
		c.refuse(baud, fmt.Sprintf("%d is not one of %s", d.Baud, strings.Trim(fmt.Sprint(bauds), "[]")), "")
	}
	for _, unstable := range []string{"/dev/ttyUSB", "/dev/ttyACM"} {
		if strings.HasPrefix(string(d.Path), unstable) {
			c.warn(sub(p, "path"), fmt.Sprintf("%s may be another device after the next plug or start", quoted(string(d.Path))),
				"use its name in /dev/serial/by-id (boothctl ports lists them)")
		}
	}
}

func (c *checker) driver(p string, d *Device, of Kind) {
	if d.Driver == "" || c.bad[sub(p, "driver")] {
		return
	}
	keys := of.keys()
	for _, other := range c.kinds {
		for _, k := range other.keys() {
			if slices.Contains(keys, k) || !c.has(sub(p, k)) || c.bad[sub(p, k)] {
				continue
			}
			who, verb := c.kinds.named(func(o Kind) bool { return slices.Contains(o.keys(), k) }), " has"
			if strings.Contains(who, ",") {
				verb = " have"
			}
			c.refuse(sub(p, k), "only "+who+verb+" this key", "")
		}
	}
	c.network(p, d, of)
	if keys := func(k Kind) bool { return slices.Contains(k.Roles, RoleKeypad) }; strings.HasPrefix(string(d.Path), "/dev/input/") && !keys(of) {
		c.refuse(sub(p, "path"), fmt.Sprintf("driver %q does not read a USB keyboard", d.Driver), "only "+c.kinds.named(keys)+" does")
	}
	c.named(p, d, of)
	if roles := of.Roles; d.Role != "" && !slices.Contains(roles, d.Role) {
		words := make([]string, len(roles))
		for i, r := range roles {
			words[i] = string(r)
		}
		c.refuse(sub(p, "role"), fmt.Sprintf("driver %q cannot be %q", d.Driver, d.Role), "its role is "+strings.Join(words, " or "))
	}
	c.shared(p, d, of)
	if of.Check != nil {
		of.Check(d, Keys{c, p})
	}
}

// shared checks the keys that several drivers have in common.
func (c *checker) shared(p string, d *Device, of Kind) {
	if of.Address > 0 {
		c.count(sub(p, "address"), d.Address, 0, of.Address)
	}
	if of.Antennas > 0 {
		if c.has(sub(p, "weakest")) {
			c.count(sub(p, "weakest"), d.Weakest, -100, -20)
		}
		if len(d.Antennas) == 0 && of.FirstAntennas != nil {
			c.refuse(sub(p, "antennas"), fmt.Sprintf("0 antennas, want 1 to %d", of.Antennas), "")
		}
		c.ports(sub(p, "antennas"), d.Antennas, of.Antennas)
		c.places(p, d, of.Antennas)
	}
	if path := sub(p, "window"); c.has(path) {
		c.span(path, d.Window, time.Millisecond, time.Minute, "")
	}
	if path := sub(p, "confidence_scale"); c.has(path) && !slices.Contains([]int{1, 100, 1000}, d.ConfidenceScale) {
		c.refuse(path, fmt.Sprintf("%d is not one of 1 100 1000", d.ConfidenceScale), "")
	}
	if path := sub(p, "zone"); c.has(path) && !zonePattern.MatchString(d.Zone) {
		c.refuse(path, quoted(d.Zone)+` is not a time zone such as "America/Vancouver"`, "")
	}
}

// zonePattern is a zone's form. Whether this machine knows the zone is for
// boothctl check: the same file must decode alike everywhere.
var zonePattern = regexp.MustCompile(`^(UTC|[A-Z][A-Za-z_-]{1,31}(/[A-Z][A-Za-z_-]{1,31}){1,2})$`)

// pulsed tells whether a device hangs on two lines of the GPIO chip.
func (c *checker) pulsed() bool {
	return slices.ContainsFunc(c.cfg.Devices, func(d Device) bool { of, _ := c.kinds.Of(d.Driver); return of.Pulses })
}

// pulseLines checks the lines of such readers beside the points of the lane.
func (c *checker) pulseLines(first map[string]place) {
	for i, d := range c.cfg.Devices {
		if of, _ := c.kinds.Of(d.Driver); !of.Pulses {
			continue
		}
		for _, w := range [][2]string{{"data0", d.Data0}, {"data1", d.Data1}} {
			if p := sub(item("device", i), w[0]); c.has(p) {
				c.lineOf(first, p, w[1])
			}
		}
	}
}

// roles: what kind of lane is nothing without which device, and slow without
// which.
func (c *checker) roles() {
	have := func(roles ...Role) bool {
		for i, d := range c.cfg.Devices {
			if slices.Contains(roles, d.Role) || c.bad[sub(item("device", i), "role")] {
				return true
			}
		}
		return false
	}
	l := c.cfg.Lane.Type
	expedites := l == NEXUS || l == FAST || l == NEXUSAir
	if l != NEXUSAir && !have(RolePlateFront, RolePlateRear) {
		c.warn("device", "no plate camera: the officer keys every plate", `add one with role = "plate.front"`)
	}
	if l == FAST && !have(RoleScan) {
		c.warn("device", "no scanner: nobody can present a carrier or a cargo control number (700, 704)", `add one with role = "scan"`)
	}
	if l == NEXUSAir && !have(RoleReceipt) {
		c.warn("device", "no printer: travellers get no receipt", `add one with driver = "printer"`)
	}
	if l == Ready && !have(RoleCard) {
		c.warn("device", "no card reader in a Ready lane", `add one with role = "card"`)
	}
	for i, d := range c.cfg.Devices {
		if d.Role == RoleReceipt && l != NEXUSAir {
			c.refuse(sub(item("device", i), "role"), fmt.Sprintf("a lane of type %q has no use for a printer", l), "only a kiosk prints receipts")
		}
	}
	if expedites && !have(RoleCard) {
		c.contradiction(fmt.Sprintf("lane type %q needs a device with role = \"card\"", l), "add one [[device]]")
	}
}
