package configs

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// inPoints and outPoints are everything that a line can be wired to.
var (
	inPoints = []string{"approach_loop", "booth_loop", "exit_loop", "release", "refer", "open_close", "ack",
		"count_1", "count_2", "count_3", "count_4", "count_5", "count_6", "count_7", "count_8", "count_9",
		"declaration", "goods", "empty", "trailer", "other_class", "declare_yes", "declare_no", "session_over",
		"lane_nexus", "lane_fast", "lane_ready", "lane_general"}
	outPoints = []string{"traveller_red", "traveller_amber", "traveller_green",
		"officer_green", "officer_amber", "officer_red", "officer_health", "buzzer", "gate_open", "gate_close"}
)

// InPoints lists the names that [gpio.in] may use.
func InPoints() []string { return slices.Clone(inPoints) }

// OutPoints lists the names that [gpio.out] may use.
func OutPoints() []string { return slices.Clone(outPoints) }

const maxDevices = 16

var deviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// zonePattern is a zone's form. Whether this machine knows the zone is for
// boothctl check: the same file must decode alike everywhere.
var zonePattern = regexp.MustCompile(`^(UTC|[A-Z][A-Za-z_-]{1,31}(/[A-Z][A-Za-z_-]{1,31}){1,2})$`)

// bauds are the rates that a tty takes by name.
var bauds = []int{1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600}

// keys that not every driver has.
var driverKeys = map[Driver][]string{
	Mercury: {"region", "power", "antennas", "read_tid"},
	LLRP:    {"power", "antennas", "read_tid"},
	UHF18:   {"power", "address"},
	OSDP:    {"address", "reader_key", "master", "clear", "bits"},
	Amtech:  {"start", "mode", "crc", "commands", "first_antenna"},
	Line: {"template", "start", "end", "silence", "separator", "fields", "no_read", "confidence_scale", "checksum",
		"heartbeat", "charset", "zone", "max_length", "window"},
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
		c.need(sub(p, "path"), `path = "/dev/serial/by-id/..."; boothctl ports lists them`)
		if d.Name != "" && !deviceName.MatchString(d.Name) {
			c.refuse(sub(p, "name"), quoted(d.Name)+` is not a name: 1 to 32 of a-z, 0-9 and "-", not beginning with "-"`, "")
		}
		c.once(first, sub(p, "name"), d.Name)
		c.once(first, sub(p, "path"), string(d.Path))
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
	if _, tcp := b.Path.TCP(); tcp && c.has(sub(p, "baud")) {
		c.refuse(sub(p, "baud"), "a tcp:// board has no baud rate", "")
	} else if !tcp && !slices.Contains(bauds, b.Baud) {
		c.refuse(sub(p, "baud"), fmt.Sprintf("%d is not one of %s", b.Baud, strings.Trim(fmt.Sprint(bauds), "[]")), "")
	}
	most := map[BoardProtocol]int{BoardModbus: 64, BoardRegisters: 64, BoardLCUS: 8, BoardLCUSReply: 8, BoardNumato: 32}[b.Protocol]
	modbus := b.Protocol == BoardModbus || b.Protocol == BoardRegisters
	if modbus {
		c.count(sub(p, "address"), b.Address, 1, 247)
	} else if c.has(sub(p, "address")) {
		c.refuse(sub(p, "address"), "only Modbus boards have an address", "")
	}
	if (b.Protocol == BoardLCUS || b.Protocol == BoardLCUSReply) && len(b.In) > 0 {
		c.refuse(sub(p, "in"), "these boards have no inputs", "wire them to the GPIO chip or another board")
	}
	if b.Protocol == BoardLCUS {
		c.warn(sub(p, "protocol"), "this board never answers: that a lamp is lit is only believed", "use a board that answers for traveller_green and the gate")
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
		c.span(sub(sub(sub(p, "in"), name), "debounce"), b.In[name].Debounce, time.Millisecond, time.Second, "")
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

func (c *checker) port(p string, d *Device) {
	baud := sub(p, "baud")
	if _, tcp := d.Path.TCP(); tcp {
		if c.has(baud) {
			c.refuse(baud, "a tcp:// device has no baud rate", "")
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
	case Amtech:
		c.amtech(p, d)
	case Line:
		c.line(p, d)
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
	if _, tcp := d.Path.TCP(); !tcp && d.Path != "" && !c.bad[sub(p, "path")] {
		c.refuse(sub(p, "path"), "an LLRP reader is on the network", `write path = "tcp://reader:5084"`)
	}
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
	if n := len(d.Antennas); n > most {
		c.refuse(sub(p, "antennas"), fmt.Sprintf("%d antennas, want 1 to %d", n, most), "")
	}
	for i, a := range d.Antennas {
		path := item(sub(p, "antennas"), i)
		c.count(path, a, 1, most)
		if slices.Index(d.Antennas, a) < i {
			c.refuse(path, fmt.Sprintf("antenna %d is given twice", a), "")
		}
	}
}

func (c *checker) line(p string, d *Device) {
	if d.Template == "" {
		c.refuse(sub(p, "template"), "missing", `write template = "axxon", or "custom" and its end and fields`)
	}
	if d.Template == TemplateCustom {
		if d.End == "" && d.Silence.Duration == 0 {
			c.refuse(sub(p, "end"), "missing", `a custom template needs end = "\r\n" or silence = "50ms"`)
		}
		if !slices.ContainsFunc(d.Fields, func(f Field) bool {
			return f == "plate" || strings.HasPrefix(string(f), "plate:") || strings.HasPrefix(string(f), "plate_country")
		}) {
			c.refuse(sub(p, "fields"), "a custom template needs the field \"plate\"", `write fields = ["plate"]`)
		}
	}
	framing := map[string]string{"start": d.Start, "end": d.End, "separator": d.Separator, "heartbeat": d.Heartbeat}
	for k, v := range framing {
		if path := sub(p, k); c.has(path) && (len(v) == 0 || len(v) > 32) {
			c.refuse(path, "want 1 to 32 bytes", "leave the key out for none")
		}
	}
	if path := sub(p, "confidence_scale"); c.has(path) && !slices.Contains([]int{1, 100, 1000}, d.ConfidenceScale) {
		c.refuse(path, fmt.Sprintf("%d is not one of 1 100 1000", d.ConfidenceScale), "")
	}
	if path := sub(p, "max_length"); c.has(path) {
		c.count(path, d.MaxLength, 16, 4096)
	}
	if path := sub(p, "silence"); c.has(path) {
		c.span(path, d.Silence, time.Millisecond, time.Second, "")
	}
	if path := sub(p, "window"); c.has(path) {
		c.span(path, d.Window, time.Millisecond, time.Minute, "")
	}
	if path := sub(p, "zone"); c.has(path) && !zonePattern.MatchString(d.Zone) {
		c.refuse(path, quoted(d.Zone)+` is not a time zone such as "America/Vancouver"`, "")
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

// linePattern is what the kernel and a technician can both write.
var linePattern = regexp.MustCompile(`^[!-~]([ -~]{0,29}[!-~])?$`)

func (c *checker) gpio() {
	g := c.cfg.GPIO
	if g.Chip != "" || len(g.In)+len(g.Out) > 0 {
		c.chip(g.Chip)
	}
	first := map[string]place{}
	for _, name := range slices.Sorted(maps.Keys(g.In)) {
		p := sub("gpio.in", name)
		if !c.point(p, name, inPoints, outPoints, "[gpio.out]") {
			continue
		}
		if t, ok := strings.CutPrefix(name, "lane_"); ok && LaneType(t) != c.cfg.Lane.Type && !slices.Contains(c.cfg.Lane.Others, LaneType(t)) {
			c.refuse(p, fmt.Sprintf("the lane cannot become of type %q", t), "name it in lane.others")
		}
		c.wire(first, p, g.In[name].Line)
		c.span(sub(p, "debounce"), g.In[name].Debounce, time.Millisecond, time.Second, "")
	}
	for _, name := range slices.Sorted(maps.Keys(g.Out)) {
		if p := sub("gpio.out", name); c.point(p, name, outPoints, inPoints, "[gpio.in]") {
			c.wire(first, p, g.Out[name].Line)
		}
	}
	c.wiring()
}

func (c *checker) chip(chip string) {
	path, sim := strings.CutPrefix(chip, "sim:")
	switch {
	case sim && !strings.HasPrefix(path, "/"):
		c.refuse("gpio.chip", quoted(chip)+" is not a simulated chip", `write "sim:/absolute/path"`)
	case sim:
		c.warn("gpio.chip", "a simulated chip: the booth says SIMULATED everywhere", "")
	case !linePattern.MatchString(chip):
		c.refuse("gpio.chip", quoted(chip)+` is not "/dev/gpiochip0", a chip's label or "sim:/path"`, "")
	case strings.HasPrefix(chip, "/") && (!strings.HasPrefix(chip, "/dev/") || filepath.Clean(chip) != chip):
		c.refuse("gpio.chip", quoted(chip)+" is not a device below /dev", "")
	}
}

// point checks a name against the vocabulary; the other direction's names earn
// a hint of their own.
func (c *checker) point(path, name string, known, others []string, home string) bool {
	if slices.Contains(known, name) {
		return true
	}
	hint := didYouMean(name, known)
	if slices.Contains(others, name) {
		hint = "it belongs in " + home
	}
	if near := nearest(name, known); near != "" {
		c.bad[strings.TrimSuffix(path, name)+near] = true
	}
	c.fault(path, c.nodes[path].key, "unknown point", hint)
	return false
}

// wire checks one line's name and that nothing else is wired to it.
func (c *checker) wire(first map[string]place, point, line string) {
	path := sub(point, "line")
	if c.bad[point] || c.bad[path] {
		return
	}
	if !c.has(path) {
		c.refuse(path, "missing", `write { line = "GPIO17" }`)
		return
	}
	if !linePattern.MatchString(line) {
		c.refuse(path, quoted(line)+" is not a line's name: 1 to 31 printable characters", "gpioinfo lists them")
		return
	}
	if at, ok := first[line]; ok {
		c.refuse(path, fmt.Sprintf("%s is wired twice, first at %s", quoted(line), at), "")
		return
	}
	first[line] = c.place(path)
}

// wiring asks for what the lane cannot work without.
func (c *checker) wiring() {
	l := c.cfg.Lane
	in := []string{"approach_loop", "booth_loop", "exit_loop"}
	out := []string{"traveller_red", "traveller_green"}
	if l.LightMode == Staffed {
		in = append(in, "release", "refer")
		out = append(out, "officer_green", "officer_amber", "officer_red", "officer_health")
	} else {
		out = append(out, "traveller_amber") // tells "see an officer" from "stop"
	}
	if l.Type == NEXUSAir {
		in = []string{"declare_yes", "declare_no", "count_1"} // a kiosk has no road
	}
	if c.bad["lane.light_mode"] {
		return
	}
	need := func(table string, points []string, missing func(string) bool) {
		var names []string
		for _, p := range points {
			if missing(p) && !c.bad[sub(table, p)] {
				names = append(names, p)
			}
		}
		if len(names) > 0 && !c.bad[table] && !c.bad["gpio"] {
			c.contradiction(fmt.Sprintf("a lane with light_mode = %q needs %s in [%s]", l.LightMode, strings.Join(names, ", "), table),
				"name the lines they are wired to")
		}
	}
	if c.bad["board"] {
		return // what is wrong there may be the point that seems missing
	}
	need("gpio.in", in, func(p string) bool { return !c.cfg.HasIn(p) })
	need("gpio.out", out, func(p string) bool { return !c.cfg.HasOut(p) })
	if c.cfg.HasOut("gate_close") && !c.cfg.HasOut("gate_open") && !c.bad["gpio.out.gate_open"] {
		c.refuse("gpio.out.gate_close", "closes a gate that nothing opens", "add gate_open")
	}
}
