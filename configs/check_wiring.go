package configs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const maxDevices = 16

var deviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// bauds are the rates that a tty takes by name.
var bauds = []int{1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600}

// keys that not every driver has.
var driverKeys = map[Driver][]string{
	Mercury: {"region", "power", "antennas", "read_tid", "weakest", "booth_antennas", "booth_weakest"},
	LLRP:    {"power", "antennas", "read_tid", "weakest", "booth_antennas", "booth_weakest", "ca", "fingerprint"},
	UHF18:   {"power", "address"},
	OSDP:    {"address", "reader_key", "master", "clear", "bits", "at_booth"},
	Wiegand: {"data0", "data1", "formats", "silence", "at_booth"},
	Amtech:  {"start", "mode", "crc", "commands", "first_antenna"},
	Line: {"template", "start", "end", "silence", "separator", "fields", "no_read", "confidence_scale", "checksum",
		"checksum_end", "heartbeat", "quiet", "charset", "zone", "max_length", "window", "ack", "nak"},
	Nedap:   {"template", "separator", "fields", "no_read", "confidence_scale", "charset", "zone", "ack", "window", "from"},
	Webhook: {"template", "window", "token", "cert", "key", "ca", "quiet"},
	Barcode: {"suffix"},
	MRZ:     {"xor"},
	Printer: {"language", "columns", "answers"},
}

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
		c.need(sub(p, "driver"), "driver = "+listed(driverNames()))
		c.need(sub(p, "role"), `role = "card", "plate.front", ...: what it is for`)
		if d.Driver != Wiegand {
			c.need(sub(p, "path"), `path = "/dev/serial/by-id/..."; boothctl ports lists them`)
		}
		if d.Name != "" && !deviceName.MatchString(d.Name) {
			c.refuse(sub(p, "name"), quoted(d.Name)+` is not a name: 1 to 32 of a-z, 0-9 and "-", not beginning with "-"`, "")
		}
		c.once(first, sub(p, "name"), d.Name)
		if !c.shares(p, i) {
			c.once(first, sub(p, "path"), string(d.Path))
		}
		if d.Role != RoleCard {
			c.once(first, sub(p, "role"), string(d.Role))
		}
		c.port(p, d)
		c.driver(p, d)
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

// shares tells whether a device is a reader on an earlier one's line. Of driver
// osdp alone several may be, with one speed and an address each.
func (c *checker) shares(p string, i int) bool {
	d := &c.cfg.Devices[i]
	if d.Driver != OSDP || d.Path == "" || c.bad[sub(p, "path")] {
		return false
	}
	shared := false
	for j := range c.cfg.Devices[:i] {
		o, op := &c.cfg.Devices[j], item("device", j)
		if o.Path != d.Path {
			continue
		}
		if o.Driver != OSDP {
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

func (c *checker) port(p string, d *Device) {
	baud := sub(p, "baud")
	if d.Driver == Wiegand {
		for _, k := range []string{"path", "baud"} {
			if c.has(sub(p, k)) {
				c.refuse(sub(p, k), "a Wiegand reader has lines of the GPIO chip in its place", `write data0 = "GPIO20" and data1 = "GPIO21", and the chip in [gpio]`)
			}
		}
		return
	}
	if scheme := d.Path.Scheme(); scheme != "" {
		if c.has(baud) {
			c.refuse(baud, fmt.Sprintf("a %s:// device has no baud rate", scheme), "")
		}
	} else if d.Driver != "" && !slices.Contains(bauds, d.Baud) && (d.Driver != Keypad || d.Baud != 0) {
		c.refuse(baud, fmt.Sprintf("%d is not one of %s", d.Baud, strings.Trim(fmt.Sprint(bauds), "[]")), "")
	}
	for _, unstable := range []string{"/dev/ttyUSB", "/dev/ttyACM"} {
		if strings.HasPrefix(string(d.Path), unstable) {
			c.warn(sub(p, "path"), fmt.Sprintf("%s may be another device after the next plug or start", quoted(string(d.Path))),
				"use its name in /dev/serial/by-id (boothctl ports lists them)")
		}
	}
}

func (c *checker) driver(p string, d *Device) {
	if d.Driver == "" || c.bad[sub(p, "driver")] {
		return
	}
	for _, other := range Drivers() {
		for _, k := range driverKeys[other] {
			if slices.Contains(driverKeys[d.Driver], k) || !c.has(sub(p, k)) || c.bad[sub(p, k)] {
				continue
			}
			c.refuse(sub(p, k), "only "+whoHas(k)+" this key", "")
		}
	}
	c.network(p, d)
	c.template(p, d)
	if roles := rolesOf[d.Driver]; d.Role != "" && !slices.Contains(roles, d.Role) {
		words := make([]string, len(roles))
		for i, r := range roles {
			words[i] = string(r)
		}
		c.refuse(sub(p, "role"), fmt.Sprintf("driver %q cannot be %q", d.Driver, d.Role), "its role is "+strings.Join(words, " or "))
	}
	switch d.Driver {
	case Mercury:
		c.mercury(p, d)
	case LLRP:
		c.llrp(p, d)
	case UHF18:
		c.count(sub(p, "address"), d.Address, 0, 255)
		if c.has(sub(p, "power")) && (d.Power != float64(int(d.Power)) || d.Power < 1 || d.Power > 30) {
			c.refuse(sub(p, "power"), fmt.Sprintf("%v is not a whole number of dBm from 1 to 30", d.Power), "leave it out to keep what the reader has")
		}
	case OSDP:
		c.osdp(p, d)
	case Wiegand:
		c.wiegand(p, d)
	case Amtech:
		c.amtech(p, d)
	case Line:
		c.line(p, d)
	case Nedap:
		c.nedap(p, d)
	case Webhook:
		c.webhook(p, d)
	case Printer:
		c.count(sub(p, "columns"), d.Columns, 16, 80)
		if d.Language == Plain && d.Answers {
			c.refuse(sub(p, "answers"), "a printer of plain text cannot answer", "write false, or leave it out")
		}
	}
}

// whoHas names the drivers that have a key: `driver "x" has`.
func whoHas(key string) string {
	var names []string
	for _, d := range Drivers() {
		if slices.Contains(driverKeys[d], key) {
			names = append(names, fmt.Sprintf("%q", d))
		}
	}
	if len(names) == 1 {
		return "driver " + names[0] + " has"
	}
	return "drivers " + strings.Join(names, ", ") + " have"
}

func (c *checker) llrp(p string, d *Device) {
	if c.has(sub(p, "power")) && !(d.Power >= 1 && d.Power <= 40) {
		c.refuse(sub(p, "power"), fmt.Sprintf("%v dBm is not between 1 and 40", d.Power), "leave it out to keep what the reader has")
	}
	c.antennas(p, d, 32)
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

func driverNames() (names []string) {
	for _, d := range Drivers() {
		names = append(names, string(d))
	}
	return names
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
