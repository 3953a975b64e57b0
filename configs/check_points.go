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
	inPoints = []string{"approach_loop", "booth_loop", "exit_loop", "obstacle", "release", "refer", "open_close", "ack",
		"count_1", "count_2", "count_3", "count_4", "count_5", "count_6", "count_7", "count_8", "count_9",
		"declaration", "goods", "empty", "trailer", "other_class", "declare_yes", "declare_no", "session_over",
		"lane_nexus", "lane_fast", "lane_ready", "lane_general",
		"traveller_red_lit", "traveller_amber_lit", "traveller_green_lit",
		"officer_red_lit", "officer_amber_lit", "officer_green_lit"}
	outPoints = []string{"traveller_red", "traveller_amber", "traveller_green",
		"officer_green", "officer_amber", "officer_red", "officer_health", "buzzer", "gate_open", "gate_close", "reader_light", "reader_beeper"}
)

// InPoints lists the names that [gpio.in] may use.
func InPoints() []string { return slices.Clone(inPoints) }

// OutPoints lists the names that [gpio.out] may use.
func OutPoints() []string { return slices.Clone(outPoints) }

// Lit ends the name of an input that tells whether a lamp is lit: the lamp's
// own name is before it.
const Lit = "_lit"

// litMost is the longest debounce of feedback: it is seen only after that, and a
// conflict has to trip in 450 ms (reliability reference 1).
const litMost = 50 * time.Millisecond

// debounce checks the time for which an input must hold still.
func (c *checker) debounce(path, point string, d Duration) {
	most := time.Second
	if strings.HasSuffix(point, Lit) {
		most = litMost
	}
	c.span(path, d, time.Millisecond, most, "")
}

// at is where a point is wired.
func (c *checker) at(point string) string {
	for _, table := range []string{"in", "out"} {
		if p := sub(sub("gpio", table), point); c.has(p) {
			return p
		}
		for i := range c.cfg.Boards {
			if p := sub(sub(item("board", i), table), point); c.has(p) {
				return p
			}
		}
	}
	return "gpio"
}

// feedback asks that every wire back from a lamp has its lamp, and tells which
// heads are seen in part only.
func (c *checker) feedback() {
	for _, head := range []string{"traveller", "officer"} {
		var seen, unseen []string
		for _, colour := range []string{"_red", "_amber", "_green"} {
			lamp := head + colour
			switch back, out := c.cfg.HasIn(lamp+Lit), c.cfg.HasOut(lamp); {
			case back && !out:
				c.refuse(c.at(lamp+Lit), "nothing lights "+lamp, "wire the lamp in [gpio.out], or take this out")
			case back:
				seen = append(seen, lamp+Lit)
			case out:
				unseen = append(unseen, lamp+Lit)
			}
		}
		if len(seen) > 0 && len(unseen) > 0 {
			c.warn(c.at(seen[0]), fmt.Sprintf("the %s's head is seen in part: a fault of its other lamps is not noticed", head),
				"wire "+strings.Join(unseen, ", ")+" too")
		}
	}
}

// linePattern is what the kernel and a technician can both write.
var linePattern = regexp.MustCompile(`^[!-~]([ -~]{0,29}[!-~])?$`)

func (c *checker) gpio() {
	g := c.cfg.GPIO
	if g.Chip != "" || len(g.In)+len(g.Out) > 0 || c.pulsed() {
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
		c.debounce(sub(p, "debounce"), name, g.In[name].Debounce)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Out)) {
		if p := sub("gpio.out", name); c.point(p, name, outPoints, inPoints, "[gpio.in]") {
			c.wire(first, p, g.Out[name].Line)
		}
	}
	c.pulseLines(first)
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
	c.lineOf(first, path, line)
}

// lineOf checks the line that stands at a path.
func (c *checker) lineOf(first map[string]place, path, line string) {
	if c.bad[path] {
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
	if c.cfg.HasOut("gate_close") && !c.cfg.HasIn("exit_loop") && !c.cfg.HasIn("obstacle") && !c.bad["gpio.in.obstacle"] {
		c.warn(c.at("gate_close"), "nothing tells whether somebody stands under the gate", "wire the gate's beam to obstacle in [gpio.in]")
	}
	c.feedback()
}
