package configs

import (
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the messages of testdata/bad")

// The museum: each broken configuration earns exactly its message.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d broken configurations, want at least 25 (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := drivers.Parse(filepath.Base(file), b)
			if err == nil || cfg != nil {
				t.Fatalf("Parse = %v, %v, want problems alone", cfg, err)
			}
			if _, ok := errors.AsType[Problems](err); !ok {
				t.Errorf("error is a %T, want Problems", err)
			}
			golden := strings.TrimSuffix(file, ".toml") + ".want"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("says\n%swant\n%s", got, want)
			}
		})
	}
}

// What a message quotes may end in a log or a support archive.
func TestI7_NoMessageQuotesASecret(t *testing.T) {
	for _, name := range []string{"key-inline", "token-key-number", "broker-password", "webhook-password", "webhook-token-inline"} {
		b, err := os.ReadFile(filepath.Join("testdata/bad", name+".toml"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = drivers.Parse("x.toml", b)
		if err == nil || regexp.MustCompile(`SECRET|12345|hunter2`).MatchString(err.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func example(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestExamples(t *testing.T) {
	for _, tt := range []struct {
		file string
		lane LaneType
		mode LightMode
	}{{"nexus.toml", NEXUS, Staffed}, {"egate.toml", NEXUS, Auto}, {"fast.toml", FAST, Staffed},
		{"nexus-air.toml", NEXUSAir, Auto}, {"ready.toml", Ready, Staffed}, {"general.toml", General, Staffed}} {
		cfg, err := drivers.Load(tt.file)
		if err != nil {
			t.Errorf("%s: %v", tt.file, err)
			continue
		}
		if len(cfg.Warnings) > 0 {
			t.Errorf("%s: warnings\n%v", tt.file, cfg.Warnings)
		}
		if cfg.Lane.LightMode != tt.mode || cfg.Lane.Type != tt.lane {
			t.Errorf("%s: lane %+v", tt.file, cfg.Lane)
		}
		again(t, cfg)
	}
}

// again checks that a valid configuration, written out, is valid and the same.
func again(t testing.TB, cfg *Config) {
	t.Helper()
	b, err := cfg.TOML()
	if err != nil {
		t.Fatal(err)
	}
	back, err := drivers.Parse("again.toml", b)
	if err != nil {
		t.Fatalf("a valid configuration is not valid again: %v\n%s", err, b)
	}
	if back.Digest() != cfg.Digest() {
		t.Fatalf("digest changed by writing out\n%s", b)
	}
}

var examples = []string{"nexus.toml", "egate.toml", "fast.toml", "nexus-air.toml", "ready.toml", "general.toml", "hardware.toml"}

var commented = regexp.MustCompile(`(?m)^# ([a-z_]+ = )`)

// unwired is a point or a place that a lane may have, not one that it has by default.
var unwired = regexp.MustCompile(`^# (gate_|obstacle|traveller_\w+_lit|upload = )`)

// A default that is told in a comment of an example is the default in the code.
func TestExamplesTellTheDefaults(t *testing.T) {
	for _, file := range examples {
		plain, err := drivers.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		overrides := false
		for l := range strings.Lines(string(example(t, file))) {
			switch {
			case strings.Contains(l, "overrides its part"):
				overrides = true
			case strings.HasPrefix(l, "["):
				overrides = false
			}
			if !overrides && !unwired.MatchString(l) {
				l = commented.ReplaceAllString(l, "$1")
			}
			b.WriteString(l)
		}
		told, err := drivers.Parse(file, []byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		if told.Digest() != plain.Digest() {
			t.Errorf("%s tells other defaults:\n%+v\nwant\n%+v", file, told, plain)
		}
	}
}

// The examples are the manual: with every comment opened each is valid, and
// together they set every key that there is.
func TestExamplesAreComplete(t *testing.T) {
	set := map[string]bool{}
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		set[path] = true
		for k, inner := range n.table {
			walk(sub(path, k), inner)
		}
		for _, inner := range n.list {
			walk(path, inner)
		}
	}
	for _, file := range examples {
		b := commented.ReplaceAll(example(t, file), []byte("$1"))
		cfg, err := drivers.Parse(file, b)
		if err != nil {
			t.Fatal(err)
		}
		again(t, cfg)
		root, fault := parse(file, b)
		if fault != nil {
			t.Fatal(fault)
		}
		walk("", root)
	}
	keys := allKeys("", reflect.TypeFor[Config]())
	for _, k := range drivers {
		for _, key := range k.ownKeys() {
			keys = append(keys, sub("device", key))
		}
	}
	for _, key := range keys {
		if !set[key] {
			t.Errorf("no example shows %s", key)
		}
	}
}

func allKeys(path string, t reflect.Type) (keys []string) {
	for name, i := range fieldsOf(t) {
		p, f := sub(path, name), t.Field(i).Type
		if f.Kind() == reflect.Slice {
			f = f.Elem()
		}
		if f.Kind() == reflect.Struct && f.NumField() > 1 { // Duration and Size have one
			keys = append(keys, allKeys(p, f)...)
		}
		keys = append(keys, p)
	}
	slices.Sort(keys)
	return keys
}

// files writes a configuration folder and returns its main file.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "boothd.toml")
}

// split takes the part of the example from one line to another out of it.
func split(t *testing.T, text, from, to string) (rest, part string) {
	t.Helper()
	i := strings.Index(text, from)
	j := strings.Index(text[max(i, 0):], to)
	if i < 0 || j < 0 {
		t.Fatalf("no %q .. %q in the example", from, to)
	}
	return text[:i] + text[i+j:], text[i : i+j]
}

func TestConfDJoins(t *testing.T) {
	whole := string(example(t, "nexus.toml"))
	want, err := drivers.Parse("nexus.toml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	rest, card := split(t, whole, "[[device]]\nname", "[[device]]\nname = \"front\"")
	rest, camera := split(t, rest, "[[device]]\nname", "[gpio]")
	rest, booth := split(t, rest, "site =", "[lane]")
	path := files(t, map[string]string{
		"boothd.toml":           rest,
		"conf.d/10-card.toml":   card,
		"conf.d/20-camera.toml": camera,
		"conf.d/30-site.toml":   "[booth]\n" + booth,
		"conf.d/old.toml.dpkg":  "not read",
		"conf.d/.hidden.toml":   "not read",
	})
	cfg, err := drivers.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Digest() != want.Digest() {
		t.Errorf("digest depends on the split into files:\n%+v\nwant\n%+v", cfg, want)
	}
}

func TestConfDFaultsAreToldOfTheirFile(t *testing.T) {
	path := files(t, map[string]string{
		"boothd.toml":       string(example(t, "nexus.toml")),
		"conf.d/a.toml":     "[lane]\nlight_mode = \"auto\"\nrandom = 1\n[[device]]\nname = \"front\"\n",
		"conf.d/b.toml":     "[lane]\nlight_mode = \"staffed\"\n[gpio.in]\nack = { debounce = \"1ms\" }\n",
		"conf.d/c.toml":     "lane = 3\n",
		"conf.d/dir.d/none": "",
	})
	_, err := drivers.Load(path)
	got := strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", "")
	for _, want := range []string{
		`conf.d/a.toml:3:1: lane.random: unknown key`,
		`conf.d/a.toml:4:3: device.driver: missing; write driver = "mercury", "llrp", "uhf18"`,
		`conf.d/a.toml:5:8: device.name: "front" is taken, first at boothd.toml:`,
		`conf.d/b.toml:2:1: lane.light_mode: set twice, first at conf.d/a.toml:2:1; keep one of the two`,
		`conf.d/b.toml:4:1: gpio.in.ack: set twice, first at boothd.toml:`,
		`conf.d/c.toml:1:1: lane: set twice, first at boothd.toml:`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestConfDSyntaxIsToldAlone(t *testing.T) {
	path := files(t, map[string]string{"boothd.toml": "shcema = 1\n", "conf.d/a.toml": "[lane\n"})
	_, err := drivers.Load(path)
	if got, want := err.Error(), filepath.Dir(path)+"/conf.d/a.toml:1:6: "; !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
		t.Errorf("Load says %q, want only %q", got, want)
	}
}

func TestLoadMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "boothd.toml")
	cfg, err := drivers.Load(path)
	if cfg != nil || err == nil || err.Error() != path+": no such file or directory" {
		t.Errorf("Load = %v, %v", cfg, err)
	}
}

func TestTooLarge(t *testing.T) {
	_, err := drivers.Parse("big.toml", []byte(strings.Repeat("#\n", maxFile)))
	if err == nil || err.Error() != "big.toml: larger than 256 KiB" {
		t.Errorf("Parse = %v", err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 500 {
		b.WriteString("x" + strings.Repeat("y", i%50) + string(rune('a'+i%26)) + "_" + strings.Repeat("z", i/26) + " = 1\n")
	}
	_, err := drivers.Parse("x.toml", []byte(b.String()))
	ps, _ := errors.AsType[Problems](err)
	if len(ps) != maxProblems+1 || !regexp.MustCompile(`^and \d+ more$`).MatchString(ps[maxProblems].Msg) {
		t.Errorf("%d problems, last %v", len(ps), ps[len(ps)-1])
	}
}

func TestDefaults(t *testing.T) {
	cfg, err := drivers.Parse("nexus.toml", []byte(strings.NewReplacer(`"CA"`, `"US"`, "CBSA/0813", "CBP/3004").Replace(string(example(t, "nexus.toml")))))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Program{ProgramNEXUS, ProgramSENTRI}; !slices.Equal(cfg.Policy.AcceptedPrograms, want) {
		t.Errorf("into the US accepts %v, want %v", cfg.Policy.AcceptedPrograms, want)
	}
	if cfg.MQTT.Username != "pac-hwy-nexus-03" {
		t.Errorf("user name %q, want the booth's id", cfg.MQTT.Username)
	}
	if got := cfg.GPIO.In["exit_loop"].Debounce.Duration; got != 50*time.Millisecond {
		t.Errorf("exit_loop debounce %v, want 50ms", got)
	}
	if got := cfg.GPIO.In["release"].Debounce.Duration; got != 30*time.Millisecond {
		t.Errorf("release debounce %v, want 30ms", got)
	}
}

func TestWarnings(t *testing.T) {
	text := string(example(t, "nexus.toml"))
	rest, _ := split(t, text, "[[device]]\nname = \"front\"", "[gpio]")
	text = regexp.MustCompile(`"/dev/serial[^"]*"`).ReplaceAllString(rest, `"/dev/ttyUSB0"`)
	text = strings.Replace(text, `"pinctrl-bcm2711"`, `"sim:/run/boothsim/chip"`, 1)
	text = strings.Replace(text, "# ack_mode = \"receipt\"", "ack_mode = \"puback\"", 1)
	text = strings.Replace(text, "# anti_passback = true", "anti_passback = false", 1)
	cfg, err := drivers.Parse("b.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, w := range cfg.Warnings {
		keys = append(keys, w.Key)
		if w.Line == 0 {
			t.Errorf("warning without a place: %v", w)
		}
	}
	if want := []string{"policy.anti_passback", "mqtt.ack_mode", "device", "device.path", "gpio.chip"}; !slices.Equal(keys, want) {
		t.Errorf("warnings about %v, want %v\n%v", keys, want, cfg.Warnings)
	}
}

// A head whose lamps are not all seen, and a gate that sees nobody, work and
// deserve a word.
func TestI9_WarnsOfWhatIsNotSeen(t *testing.T) {
	lit := "traveller_red_lit = { line = \"GPIO12\" }\n"
	for _, tc := range []struct{ name, example, in, out, want string }{
		{"whole head", "nexus.toml", lit + "traveller_amber_lit = { line = \"GPIO16\" }\ntraveller_green_lit = { line = \"GPIO18\" }\n", "", ""},
		{"half a head", "nexus.toml", lit, "", "gpio.in.traveller_red_lit: the traveller's head is seen in part: a fault of its other lamps is not noticed; " +
			"wire traveller_amber_lit, traveller_green_lit too"},
		{"gate without eyes", "nexus-air.toml", "", "gate_open = { line = \"GPIO23\" }\ngate_close = { line = \"GPIO24\" }\n",
			"gpio.out.gate_close: nothing tells whether somebody stands under the gate; wire the gate's beam to obstacle in [gpio.in]"},
		{"gate with a beam", "nexus-air.toml", "obstacle = { line = \"GPIO14\" }\n", "gate_open = { line = \"GPIO23\" }\ngate_close = { line = \"GPIO24\" }\n", ""},
	} {
		text := strings.Replace(string(example(t, tc.example)), "\n[gpio.in]\n", "\n[gpio.in]\n"+tc.in, 1)
		text = strings.Replace(text, "\n[gpio.out]\n", "\n[gpio.out]\n"+tc.out, 1)
		cfg, err := drivers.Parse("b.toml", []byte(text))
		if err != nil {
			t.Fatal(tc.name, err)
		}
		got := ""
		if len(cfg.Warnings) > 0 {
			got = cfg.Warnings[0].String()
			_, got, _ = strings.Cut(got, ": ") // where it stands, changes with the example
		}
		if got != tc.want || len(cfg.Warnings) > 1 {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestDigest(t *testing.T) {
	text := string(example(t, "nexus.toml"))
	base, err := drivers.Parse("a.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]struct {
		old, new string
		same     bool
	}{
		"a comment":           {"# A staffed", "# One staffed", true},
		"a default written":   {"# soft_age", "soft_age", true},
		"another way to say":  {`# hard_age = "4h"  `, `hard_age = "240m"`, true},
		"another rate":        {"# random_rate = 0.02", "random_rate = 0.03", false},
		"another line":        {"GPIO25", "GPIO24", false},
		"another credential":  {"credential:mqtt-key", "credential:other", false},
		"an input turned":     {`{ line = "GPIO6", active_low = true }`, `{ line = "GPIO6" }`, false},
		"brokers in an order": {`"ssl://hq-a:8883", "ssl://hq-b:8883"`, `"ssl://hq-b:8883", "ssl://hq-a:8883"`, false},
	} {
		if !strings.Contains(text, edit.old) {
			t.Fatalf("%s: no %q in the example", name, edit.old)
		}
		cfg, err := drivers.Parse("b.toml", []byte(strings.Replace(text, edit.old, edit.new, 1)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if same := cfg.Digest() == base.Digest(); same != edit.same {
			t.Errorf("%s: same digest = %v, want %v", name, same, edit.same)
		}
	}
}

func TestRedacted(t *testing.T) {
	cfg, err := drivers.Load("nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	before := cfg.Digest()
	r := cfg.Redacted()
	if r.MQTT.Key != redactedRef || r.Lists.Key != redactedRef || r.MQTT.Username != "redacted" {
		t.Errorf("Redacted = %+v %+v", r.MQTT, r.Lists)
	}
	again(t, r)
	delete(r.GPIO.In, "ack")
	if cfg.Digest() != before {
		t.Error("Redacted shares what it returns with the original")
	}
}

func TestRef(t *testing.T) {
	for _, tt := range []struct {
		ref  Ref
		dir  string
		want string
	}{
		{"credential:token-key", "/run/credentials/boothd.service", "/run/credentials/boothd.service/token-key"},
		{"/etc/boothd/key", "", "/etc/boothd/key"},
	} {
		if got, err := tt.ref.File(tt.dir); err != nil || got != tt.want {
			t.Errorf("Ref(%q).File(%q) = %q, %v, want %q", tt.ref, tt.dir, got, err, tt.want)
		}
	}
	if _, err := Ref("credential:token-key").File(""); err == nil {
		t.Error("a credential without a credentials directory was found")
	}
}

func TestNearest(t *testing.T) {
	words := []string{"baud", "path", "random_rate", "nexus", "nexus-air"}
	for word, want := range map[string]string{"buad": "baud", "BAUD": "baud", "nexsu": "nexus", "randomrate": "random_rate",
		"xyz": "", "nexus_air": "nexus-air", strings.Repeat("b", 100): ""} {
		if got := nearest(word, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestPointNamesDiffer(t *testing.T) {
	all := append(InPoints(), OutPoints()...)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != len(inPoints)+len(outPoints) {
		t.Errorf("%d different points of %d", n, len(inPoints)+len(outPoints))
	}
}

// FuzzParse: no input panics, every fault has a file and words, and what is
// valid is valid again when written out.
func FuzzParse(f *testing.F) {
	seeds, _ := filepath.Glob("testdata/bad/*.toml")
	for _, name := range append(seeds, "nexus.toml", "egate.toml") {
		f.Add(example(f, name))
	}
	f.Add(commented.ReplaceAll(example(f, "nexus.toml"), []byte("$1")))
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg, err := drivers.Parse("f.toml", b)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", cfg, err)
		}
		if err == nil {
			again(t, cfg)
			return
		}
		ps, ok := errors.AsType[Problems](err)
		if !ok || len(ps) == 0 {
			t.Fatalf("error %T with %d problems", err, len(ps))
		}
		for _, p := range ps {
			if p.File != "f.toml" || p.Msg == "" || p.Line < 0 || p.Line > 0 && p.Col < 1 {
				t.Fatalf("problem without place or words: %+v", p)
			}
		}
	})
}

// Cut at any byte, the example is refused or says what it did; it never panics
// and a part of it that decodes is still checked whole.
func TestTruncatedAtEveryByte(t *testing.T) {
	b := example(t, "nexus.toml")
	whole, err := drivers.Parse("nexus.toml", b)
	if err != nil {
		t.Fatal(err)
	}
	lamps := slices.Sorted(maps.Keys(whole.GPIO.Out))
	for n := range len(b) {
		cfg, err := drivers.Parse("cut.toml", b[:n])
		if err == nil && len(cfg.GPIO.Out) < len(lamps)-1 {
			t.Fatalf("cut at byte %d is taken with lamps %v", n, slices.Sorted(maps.Keys(cfg.GPIO.Out)))
		}
	}
}

// A lane that may be of another type has that type's defaults in its place,
// and what was written for it where that is about it.
func TestOtherTypes(t *testing.T) {
	parse := func(lane, policy string) *Config {
		t.Helper()
		s := strings.Replace(string(example(t, "nexus.toml")), "type = \"nexus\"", lane, 1)
		s = strings.Replace(s, "[policy]", "[policy]\n"+policy, 1)
		cfg, err := drivers.Parse("x.toml", []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		again(t, cfg)
		return cfg
	}
	cfg := parse("type = \"nexus\"\nothers = [\"fast\", \"general\"]", "fast_port = true")
	for _, tt := range []struct {
		as       LaneType
		ok       bool
		programs []Program
		fast     FASTPolicy
	}{
		{NEXUS, true, []Program{ProgramNEXUS}, ""},
		{FAST, true, []Program{ProgramFAST, ProgramCDRP}, PIPOrBoth},
		{General, true, []Program{ProgramNEXUS, ProgramSENTRI, ProgramGlobalEntry, ProgramFAST, ProgramCDRP}, ""},
		{Ready, false, nil, ""},
		{NEXUSAir, false, nil, ""},
	} {
		got, ok := cfg.As(tt.as)
		if ok != tt.ok {
			t.Errorf("as %s: %v", tt.as, ok)
			continue
		}
		if ok && (got.Lane.Type != tt.as || !slices.Equal(got.Policy.AcceptedPrograms, tt.programs) || got.Policy.FASTPolicy != tt.fast || !got.Policy.FASTPort) {
			t.Errorf("as %s: %+v, %+v", tt.as, got.Lane, got.Policy)
		}
	}
	// Back again: what was an other type knows the first as one of its own.
	if fast, _ := cfg.As(FAST); !slices.Contains(fast.Lane.Others, NEXUS) || slices.Contains(fast.Lane.Others, FAST) {
		t.Errorf("%v", fast.Lane.Others)
	}
	// What a type misses is a doubt of that type.
	if w := cfg.Warnings; len(w) != 1 || !strings.HasPrefix(w[0].Msg, `as a lane of type "fast": no scanner`) {
		t.Errorf("warnings %v", w)
	}
	// A narrower programme stays narrow (I1).
	cfg = parse("type = \"general\"\nothers = [\"nexus\"]", "accepted_programs = [\"NEXUS\", \"FAST\"]")
	if got, _ := cfg.As(NEXUS); !slices.Equal(got.Policy.AcceptedPrograms, []Program{ProgramNEXUS}) {
		t.Errorf("%v", got.Policy.AcceptedPrograms)
	}
}

// Readers of driver osdp may share a line, with one speed and an address each;
// others on it are their own.
func TestReadersShareALine(t *testing.T) {
	b := example(t, "testdata/bad/osdp-line-baud.toml")
	good := strings.Replace(string(b), "baud = 19200", "baud = 9600", 1)
	third := strings.Replace(good, "[gpio.in]", "[[device]]\nname = \"c\"\ndriver = \"osdp\"\nrole = \"card\"\npath = \"/dev/serial/by-id/usb-a\"\naddress = 126\nclear = true\n[gpio.in]", 1)
	for name, text := range map[string]string{"two": good, "three": third,
		"on two lines, alike": strings.NewReplacer("address = 1", "address = 0", "usb-a\"\nclear = true\naddress", "usb-b\"\nclear = true\naddress").Replace(string(b))} {
		cfg, err := drivers.Parse("x.toml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := strings.Count(text, "[[device]]"); len(cfg.Devices) != n || n < 2 {
			t.Errorf("%s: %d devices of %d", name, len(cfg.Devices), n)
		}
	}
}
