package configs

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// checker judges what no single value can: ranges, what must be there, and
// what contradicts something else. It keeps quiet about a path that already
// has a fault.
type checker struct {
	*binder
	cfg      *Config
	file     string // the main file, for what is missing
	warnings Problems
	other    bool // the lane is looked at as one of its other types
}

func (c *checker) has(path string) bool { _, ok := c.nodes[path]; return ok }

// place is where the value of path stands, or else the nearest table that was
// written around it.
func (c *checker) place(path string) place {
	if n := c.nodes[path]; n != nil {
		return n.val
	}
	for p := path; ; {
		i := strings.LastIndexByte(p, '.')
		if i < 0 {
			return place{file: c.file}
		}
		p = p[:i]
		if n := c.nodes[p]; n != nil && n.key.line > 0 {
			return n.key
		}
	}
}

// refuse reports a fault at path unless it, an element of it or a table around
// it has one.
func (c *checker) refuse(path, msg, hint string) {
	for bad := range c.bad {
		if bad == path || strings.HasPrefix(bad, path+"[") || strings.HasPrefix(path, bad+".") {
			return
		}
	}
	c.fault(path, c.place(path), msg, hint)
}

// contradiction reports a fault that belongs to no one key.
func (c *checker) contradiction(msg, hint string) {
	c.problems = append(c.problems, Problem{File: c.file, Msg: msg, Hint: hint})
}

func (c *checker) warn(path, msg, hint string) {
	at := c.place(path)
	c.warnings = append(c.warnings, Problem{File: at.file, Line: at.line, Col: at.col, Key: shown(path), Msg: msg, Hint: hint})
}

// need reports a key that must be written.
func (c *checker) need(path, example string) {
	if !c.has(path) {
		c.refuse(path, "missing", "write "+example)
	}
}

func (c *checker) check() {
	c.need("schema", `schema = 1 at the top of the file`)
	if c.has("schema") && c.cfg.Schema != Schema {
		c.refuse("schema", fmt.Sprintf("this program reads schema %d only", Schema), "write schema = 1")
	}
	const sunPath = 107 // bytes of a unix socket's name on Linux, less the final zero
	if len(c.cfg.Socket) > sunPath {
		c.refuse("socket", fmt.Sprintf("longer than %d bytes", sunPath), "")
	}
	c.booth()
	c.lane()
	c.policy()
	c.lists()
	c.mqtt()
	c.commands()
	c.devices()
	c.gpio()
}

func (c *checker) booth() {
	b := c.cfg.Booth
	c.need("booth.id", `id = "pac-hwy-nexus-03"`)
	c.need("booth.port", `port = "CBSA/0813"`)
	c.need("booth.direction", `direction = "CA" or "US": whose rules apply`)
	if len(b.Site) > 64 || strings.ContainsFunc(b.Site, unicode.IsControl) {
		c.refuse("booth.site", "longer than 64 bytes, or with control characters", "")
	}
	if b.Port == "" || b.Direction == "" || c.bad["booth.port"] || c.bad["booth.direction"] {
		return
	}
	if a := b.Port.Agency(); (a == "CBSA") != (b.Direction == ToCanada) {
		c.refuse("booth.port", fmt.Sprintf("agency %s does not judge traffic in direction %q", a, b.Direction),
			`CBSA goes with "CA", CBP with "US"`)
	}
}

func (c *checker) lane() {
	l := c.cfg.Lane
	c.need("lane.type", `type = "nexus"`)
	c.fraction("lane.random_rate", l.RandomRate)
	if l.Type == NEXUSAir && l.LightMode == Staffed && !c.bad["lane.light_mode"] {
		c.refuse("lane.light_mode", "a kiosk has no officer beside it", `write "auto"`)
	}
	if (l.Type == Ready || l.Type == General) && l.LightMode == Auto && !c.bad["lane.light_mode"] {
		c.refuse("lane.light_mode", fmt.Sprintf("a %s lane never expedites: it needs an officer", l.Type), `write "staffed"`)
	}
	for i, t := range l.Others {
		switch path := item("lane.others", i); {
		case c.other || c.bad[path] || c.bad["lane.type"]: // told of the type itself
		case t == l.Type:
			c.refuse(path, fmt.Sprintf("%q is the lane's type", t), "take it out")
		case t == NEXUSAir || l.Type == NEXUSAir:
			c.refuse(path, "a kiosk does not change into a road, nor a road into a kiosk", "take it out")
		case slices.Contains(l.Others[:i], t):
			c.refuse(path, fmt.Sprintf("%q is given twice", t), "")
		}
	}
	k := c.cfg.Kiosk
	if l.Type != NEXUSAir && (k.Matcher != "" || k.MatcherKey != "") {
		c.refuse("kiosk", fmt.Sprintf("a lane of type %q is no kiosk", l.Type), "take [kiosk] out")
	}
}

func (c *checker) policy() {
	p := c.cfg.Policy
	c.fraction("policy.plate_confidence", p.PlateConfidence)
	c.span("policy.anti_passback_window", p.AntiPassbackWindow, time.Second, day, "tokens are kept for 24h")
	c.count("policy.reader_capacity", p.ReaderCapacity, 1, 64)
	if len(p.AcceptedPrograms) == 0 {
		c.refuse("policy.accepted_programs", "empty: nobody could pass", `write ["NEXUS"]`)
	}
	seen := map[Program]bool{}
	for i, prog := range p.AcceptedPrograms {
		path := item("policy.accepted_programs", i)
		switch {
		case c.bad[path]:
		case seen[prog]:
			c.refuse(path, fmt.Sprintf("%q is given twice", prog), "")
		case c.cfg.Lane.Type == NEXUS && (prog == ProgramFAST || prog == ProgramCDRP):
			c.refuse(path, fmt.Sprintf("%q is for drivers of trucks, not for a nexus lane", prog), "")
		case c.cfg.Lane.Type == FAST && prog != ProgramFAST && prog != ProgramCDRP:
			c.refuse(path, fmt.Sprintf("%q is not for drivers of trucks", prog), `write ["FAST"], into Canada also "CDRP"`)
		case c.cfg.Lane.Type == FAST && c.cfg.Booth.Direction == ToUS && prog == ProgramCDRP:
			c.refuse(path, `"CDRP" is accepted into Canada only`, `write ["FAST"]`)
		case (c.cfg.Lane.Type == NEXUS || c.cfg.Lane.Type == NEXUSAir) && c.cfg.Booth.Direction == ToCanada && (prog == ProgramSENTRI || prog == ProgramGlobalEntry):
			c.refuse(path, fmt.Sprintf("%q is not accepted into Canada", prog), `only where direction = "US"`)
		}
		seen[prog] = true
	}
	c.trade(p)
	if c.has("policy.verdict_age") {
		c.span("policy.verdict_age", p.VerdictAge, time.Second, 30*time.Second, "an older verdict may be of another traveller")
	}
	for i, r := range p.LookoutRegions {
		if path := item("policy.lookout_regions", i); r == "" || len(r) > 32 || strings.ContainsFunc(r, unicode.IsControl) {
			c.refuse(path, "not a region: 1 to 32 characters", "")
		}
	}
	c.reasons("policy.primary_on", p.PrimaryOn)
	c.reasons("policy.refer_on", p.ReferOn)
	if !p.AntiPassback {
		c.warn("policy.anti_passback", "off: a copied card is not noticed (413, 414)", "")
	}
}

// reasons checks codes that a port may make weigh more. A lookout's would give
// it away, and the officer's and the draw's are what they are.
func (c *checker) reasons(path string, codes []int) {
	for i, n := range codes {
		switch at := item(path, i); {
		case c.bad[at]:
		case n >= 300 && n <= 303:
			c.refuse(at, fmt.Sprintf("%d is a lookout's reason: to treat it otherwise would give it away", n), "take it out")
		case !slices.Contains(StricterReasons, n):
			c.refuse(at, fmt.Sprintf("%d is no reason that can weigh more", n), "docs/lanes.md lists the reasons; 1xx and 9xx stay as they are")
		case slices.Contains(codes[:i], n):
			c.refuse(at, fmt.Sprintf("%d is given twice", n), "")
		}
	}
}

// trade checks what only a FAST lane is asked.
func (c *checker) trade(p Policy) {
	if c.cfg.Lane.Type == FAST {
		if p.FASTPolicy == CTPAT && c.cfg.Booth.Direction == ToCanada || p.FASTPolicy != "" && p.FASTPolicy != CTPAT && c.cfg.Booth.Direction == ToUS {
			c.refuse("policy.fast_policy", fmt.Sprintf("%q is not what direction %q asks for", p.FASTPolicy, c.cfg.Booth.Direction),
				`"CTPAT" goes with "US", the others with "CA"`)
		}
		if !p.FASTPort {
			c.warn("policy.fast_port", "false: no truck is expedited (709)", "write true if the port takes part in FAST")
		}
		return
	}
	for _, key := range []string{"policy.fast_policy", "policy.fast_port", "policy.allow_empty"} {
		if c.has(key) && c.cfg.Lane.Type != "" && c.cfg.Lane.Type != Ready && c.cfg.Lane.Type != General && !slices.Contains(c.cfg.Lane.Others, FAST) {
			c.refuse(key, fmt.Sprintf("a lane of type %q has no trade", c.cfg.Lane.Type), "take it out")
		}
	}
}

func (c *checker) lists() {
	l, s := c.cfg.Lists, c.cfg.Store
	c.span("lists.hard_age", l.HardAge, time.Minute, day, "a cancelled membership must not live longer")
	c.span("lists.soft_age", l.SoftAge, time.Second, day, "")
	if l.SoftAge.Duration >= l.HardAge.Duration && !c.bad["lists.hard_age"] {
		path := "lists.soft_age"
		if !c.has(path) {
			path = "lists.hard_age"
		}
		c.refuse(path, fmt.Sprintf("soft_age %s is not under hard_age %s", l.SoftAge, l.HardAge), "")
	}
	c.span("lists.spread", l.Spread, time.Millisecond, 12*time.Hour, "a new list has to arrive within the day")
	const urls = 4
	if len(l.URLs) > urls {
		c.refuse("lists.urls", fmt.Sprintf("%d addresses, want at most %d", len(l.URLs), urls), "")
	}
	for i, u := range l.URLs {
		if path := item("lists.urls", i); slices.Contains(l.URLs[:i], u) && !c.bad[path] {
			c.refuse(path, fmt.Sprintf("%q is given twice", u), "")
		}
	}
	c.span("store.retain", s.Retain, day, 7*day, "personal data is kept no longer")
	const least, most = 64 << 20, 1 << 40
	if s.MaxBytes.Bytes < least || s.MaxBytes.Bytes > most {
		c.refuse("store.max_bytes", fmt.Sprintf("%s is not between %s and %s", s.MaxBytes, Size{least}, Size{most}), "")
	}
	// A day of a busy lane is 20,000 events. What is thinned leaves an event for
	// each tenth of the limit, so that a smaller one would soon hold little else.
	const leastRows, mostRows = 20_000, 1_000_000_000
	if s.MaxRows != 0 && (s.MaxRows < leastRows || s.MaxRows > mostRows) {
		c.refuse("store.max_rows", fmt.Sprintf("%d is neither 0, no limit, nor between %d and %d", s.MaxRows, leastRows, mostRows), "")
	}
}

func (c *checker) mqtt() {
	m := c.cfg.MQTT
	const most = 8
	tls := false
	seen := map[Broker]bool{}
	for i, k := range m.Brokers {
		tls = tls || k.TLS()
		if path := item("mqtt.brokers", i); seen[k] && !c.bad[path] {
			c.refuse(path, fmt.Sprintf("%q is given twice", k), "")
		}
		seen[k] = true
	}
	switch {
	case !c.has("mqtt.brokers"):
		c.need("mqtt.brokers", `brokers = ["ssl://hq-a:8883"] in [mqtt]`)
	case len(m.Brokers) == 0 || len(m.Brokers) > most:
		c.refuse("mqtt.brokers", fmt.Sprintf("%d brokers, want 1 to %d", len(m.Brokers), most), "")
	}
	for _, u := range c.cfg.Lists.URLs {
		tls = tls || u.TLS() // the booth shows the same certificate there
	}
	if tls || c.cfg.Commands.Upload != "" {
		c.need("mqtt.ca", `ca = "/etc/boothd/tls/ca.pem"`)
		c.need("mqtt.cert", `cert = "/etc/boothd/tls/booth.pem"`)
		c.need("mqtt.key", `key = "credential:mqtt-key"`)
	}
	if m.Username == "" && c.cfg.Booth.ID != "" || len(m.Username) > 64 || strings.ContainsFunc(m.Username, unicode.IsControl) {
		c.refuse("mqtt.username", "empty, longer than 64 bytes, or with control characters", "leave it out: the booth's id is used")
	}
	if m.AckMode == AckPuback {
		c.warn("mqtt.ack_mode", `"puback" trusts the broker: what it loses is lost`, `"receipt" where headquarters has a receiver`)
	}
}

// fraction checks a rate or confidence; NaN fails it too.
func (c *checker) fraction(path string, v float64) {
	if v >= 0 && v <= 1 {
		return
	}
	hint := ""
	if v > 1 && v <= 100 {
		hint = fmt.Sprintf("%v %% is written %v", v, v/100)
	}
	c.refuse(path, fmt.Sprintf("%v is not between 0 and 1", v), hint)
}

func (c *checker) count(path string, v, least, most int) {
	if v < least || v > most {
		c.refuse(path, fmt.Sprintf("%d is not between %d and %d", v, least, most), "")
	}
}

func (c *checker) span(path string, v Duration, least, most time.Duration, why string) {
	if v.Duration < least || v.Duration > most {
		c.refuse(path, fmt.Sprintf("%s is not between %s and %s", v, Duration{least}, Duration{most}), why)
	}
}
