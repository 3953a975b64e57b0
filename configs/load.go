package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Limits of what is read. The fullest example is under 8 KiB.
const (
	maxFile  = 256 << 10 // bytes of one file
	maxFiles = 64        // files in conf.d
)

// source is one file's name and content.
type source struct {
	name string
	data []byte
}

// Load reads the file at path and every conf.d/*.toml beside it, in order of
// name. Tables of several files join, [[device]] tables are appended, and a
// key set twice is a fault. The error is always Problems, with every fault of
// every file. It does not look whether the files it names are there.
func (ks Kinds) Load(path string) (*Config, error) {
	main, err := read(path)
	if err != nil {
		return nil, Problems{{File: path, Msg: reason(err)}}
	}
	sources := []source{main}
	var problems Problems
	dir := filepath.Join(filepath.Dir(path), "conf.d")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		problems = append(problems, Problem{File: dir, Msg: reason(err)})
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !strings.HasSuffix(name, ".toml") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if len(sources) > maxFiles {
			problems = append(problems, Problem{File: dir, Msg: fmt.Sprintf("more than %d files", maxFiles)})
			break
		}
		s, err := read(name)
		if err != nil {
			problems = append(problems, Problem{File: name, Msg: reason(err)})
			continue
		}
		sources = append(sources, s)
	}
	return ks.build(sources, problems)
}

// Parse takes one file's content; name is what problems call it. The error is
// always Problems.
func (ks Kinds) Parse(name string, content []byte) (*Config, error) {
	return ks.build([]source{{name, content}}, nil)
}

func read(path string) (source, error) {
	f, err := os.Open(path)
	if err != nil {
		return source{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return source{}, err
	}
	return source{path, b}, nil
}

// reason is an error without the operation and path that the line begins with.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// build goes from text to a checked Config. Faults of syntax are told alone,
// since everything after one would be a guess.
func (ks Kinds) build(sources []source, problems Problems) (*Config, error) {
	files := make([]string, len(sources))
	roots := make([]*node, 0, len(sources))
	for i, s := range sources {
		files[i] = s.name
		if len(s.data) > maxFile {
			problems = append(problems, Problem{File: s.name, Msg: fmt.Sprintf("larger than %d KiB", maxFile>>10)})
			continue
		}
		root, fault := parse(s.name, s.data)
		if fault != nil {
			problems = append(problems, *fault)
			continue
		}
		roots = append(roots, root)
	}
	if len(problems) > 0 {
		return nil, problems.sorted(files)
	}

	root := roots[0]
	for _, r := range roots[1:] {
		merge(root, r, "", func(p Problem) { problems = append(problems, p) })
	}
	fill(root)
	cfg, found := ks.bind(root, files[0], "")
	problems = append(problems, found...)
	for _, t := range cfg.Lane.Others {
		if len(problems) > 0 {
			break // each would be told again
		}
		other, found := ks.bind(root, files[0], t)
		for _, p := range found {
			p.Msg = fmt.Sprintf("as a lane of type %q: %s", t, p.Msg)
			problems = append(problems, p)
		}
		for _, w := range other.Warnings {
			if !slices.Contains(cfg.Warnings, w) {
				w.Msg = fmt.Sprintf("as a lane of type %q: %s", t, w.Msg)
				cfg.Warnings = append(cfg.Warnings, w)
			}
		}
		if cfg.as == nil {
			cfg.as = make(map[LaneType]*Config)
		}
		cfg.as[t] = other
	}
	if len(problems) > 0 {
		return nil, problems.sorted(files)
	}
	if len(cfg.Warnings) > 0 {
		cfg.Warnings = cfg.Warnings.sorted(files)
	}
	return cfg, nil
}

// bind makes a checked Config of what was written; as another type than the
// lane's if as is one, which is then among its others in the other's place.
func (ks Kinds) bind(root *node, file string, as LaneType) (*Config, Problems) {
	b := newBinder(ks)
	cfg := defaults()
	b.table("", root, reflect.ValueOf(&cfg).Elem())
	if as != "" {
		others := slices.DeleteFunc(slices.Clone(cfg.Lane.Others), func(t LaneType) bool { return t == as })
		cfg.Lane.Type, cfg.Lane.Others = as, append(others, cfg.Lane.Type)
	}
	c := checker{binder: b, cfg: &cfg, file: file, other: as != ""}
	c.complete()
	c.check()
	cfg.Warnings = c.warnings
	return &cfg, b.problems
}

// defaults are the values that do not depend on others. What has none here and
// is not filled in by complete must be written.
func defaults() Config {
	return Config{
		Socket: "/run/boothd/boothd.sock",
		Booth:  Booth{SigningKey: "credential:booth-key"},
		Lane:   Lane{LightMode: Staffed, RandomRate: 0.02},
		Policy: Policy{
			AntiPassback:       true,
			AntiPassbackWindow: Duration{10 * time.Minute},
			PlateConfidence:    0.8,
			PlateJurisdiction:  true,
			ReaderCapacity:     8,
		},
		Lists: Lists{
			SoftAge: Duration{15 * time.Minute},
			HardAge: Duration{4 * time.Hour},
			Root:    "/etc/boothd/trust/root.json",
			Key:     "credential:token-key",
			Spread:  Duration{5 * time.Minute},
		},
		Store: Store{Dir: "/var/lib/boothd", MaxBytes: Size{2 << 30}, Retain: Duration{7 * day}},
		MQTT:  MQTT{AckMode: AckReceipt},
		Commands: Commands{
			Allow: []CommandName{CommandListRefresh, CommandOutboxResend, CommandIdentify},
			Keys:  "/etc/boothd/trust/command-keys.pem",
		},
		Status: Status{Listen: "127.0.0.1:7080"},
		Clock:  Clock{Source: ClockKernel},
	}
}

// complete fills in the defaults that depend on what was written.
func (c *checker) complete() {
	written := c.cfg.Policy.AcceptedPrograms
	if c.other || !c.has("policy.accepted_programs") {
		c.cfg.Policy.AcceptedPrograms = []Program{ProgramNEXUS}
		if c.cfg.Booth.Direction == ToUS {
			// SENTRI members may use NEXUS lanes into the US, not into Canada.
			c.cfg.Policy.AcceptedPrograms = append(c.cfg.Policy.AcceptedPrograms, ProgramSENTRI)
		}
		if p, ok := programs(c.cfg.Lane.Type, c.cfg.Booth.Direction); ok {
			c.cfg.Policy.AcceptedPrograms = p
		}
	}
	if c.other && (c.cfg.Lane.Type == NEXUS || c.cfg.Lane.Type == FAST) {
		// What was written narrows a type that expedites, if it is about it.
		narrow := slices.DeleteFunc(slices.Clone(c.cfg.Policy.AcceptedPrograms), func(p Program) bool { return !slices.Contains(written, p) })
		if len(narrow) > 0 {
			c.cfg.Policy.AcceptedPrograms = narrow
		}
	}
	if c.cfg.Lane.Type == FAST && !c.has("policy.fast_policy") {
		c.cfg.Policy.FASTPolicy = PIPOrBoth
		if c.cfg.Booth.Direction == ToUS {
			c.cfg.Policy.FASTPolicy = CTPAT
		}
	}
	if c.cfg.Lane.Type == NEXUSAir {
		c.kioskDefaults()
	}
	if !c.has("mqtt.username") {
		c.cfg.MQTT.Username = string(c.cfg.Booth.ID)
	}
	for i := range c.cfg.Devices {
		d, p := &c.cfg.Devices[i], item("device", i)
		of, _ := c.kinds.Of(d.Driver)
		if _, network := d.Path.Network(); !c.has(sub(p, "baud")) && !network && !strings.HasPrefix(string(d.Path), "/dev/input/") {
			d.Baud = of.Baud
		}
		if !c.has(sub(p, "antennas")) {
			d.Antennas = slices.Clone(of.FirstAntennas)
		}
		if of.sees() && !c.has(sub(p, "window")) {
			d.Window = Duration{10 * time.Second}
		}
	}
	if (len(c.cfg.Boards) == 0 || c.pulsed()) && !c.has("gpio.chip") {
		c.cfg.GPIO.Chip = "/dev/gpiochip0"
	}
	for i := range c.cfg.Boards {
		b, p := &c.cfg.Boards[i], item("board", i)
		if _, tcp := b.Path.Network(); !c.has(sub(p, "baud")) && !tcp {
			b.Baud = 9600
		}
		if !c.has(sub(p, "address")) && (b.Protocol == BoardModbus || b.Protocol == BoardRegisters) {
			b.Address = 1
		}
		for name, in := range b.In {
			if !c.has(sub(sub(sub(p, "in"), name), "debounce")) {
				in.Debounce = Duration{debounceOf(name)}
				b.In[name] = in
			}
		}
	}
	for name, in := range c.cfg.GPIO.In {
		if !c.has(sub(sub("gpio.in", name), "debounce")) {
			in.Debounce = Duration{debounceOf(name)}
			c.cfg.GPIO.In[name] = in
		}
	}
}

// programs are the default programmes of a lane other than NEXUS: whose drivers
// may use a FAST lane (domain reference, section 3), and every one where nobody
// is expedited.
func programs(lane LaneType, direction Direction) ([]Program, bool) {
	switch {
	case lane == FAST && direction == ToCanada:
		return []Program{ProgramFAST, ProgramCDRP}, true
	case lane == FAST:
		return []Program{ProgramFAST}, true
	case lane == NEXUSAir:
		return []Program{ProgramNEXUS}, true
	case lane == Ready || lane == General:
		return []Program{ProgramNEXUS, ProgramSENTRI, ProgramGlobalEntry, ProgramFAST, ProgramCDRP}, true
	}
	return nil, false
}

func (c *checker) kioskDefaults() {
	if !c.has("policy.verdict_age") {
		c.cfg.Policy.VerdictAge = Duration{30 * time.Second}
	}
	if !c.has("kiosk.matcher") {
		c.cfg.Kiosk.Matcher = "/run/boothd/matcher.sock"
	}
	if !c.has("kiosk.matcher_key") {
		c.cfg.Kiosk.MatcherKey = "credential:matcher-key"
	}
	if !c.has("lane.light_mode") {
		c.cfg.Lane.LightMode = Auto
	}
}

// debounceOf is the usual time of a point (GPIO through periph, inputs).
func debounceOf(point string) time.Duration {
	switch {
	case strings.HasSuffix(point, "_loop"):
		return 50 * time.Millisecond
	case point == "obstacle", strings.HasSuffix(point, Lit):
		return 20 * time.Millisecond
	}
	return 30 * time.Millisecond
}
