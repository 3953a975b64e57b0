package agent

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"boothd/configs"
	"boothd/devices"
)

// known are the files beside hardware.go that know a driver, each with its reason.
// Another driver needs none.
var known = map[string]string{
	"agent/agent.go osdp":                   "readers share a line",
	"agent/attend.go osdp":                  "a reader with another key is left alone",
	"agent/attend.go printer":               "a printer reports nothing",
	"agent/camera.go line":                  "a camera's text",
	"agent/camera.go nedap":                 "a camera's text",
	"agent/camera.go webhook":               "it listens",
	"agent/osdp.go osdp":                    "keys, windows and shared lines",
	"agent/printer.go printer":              "receipts",
	"agent/supervise.go wiegand":            "lines that are not there are told otherwise",
	"agent/token/scan.go barcode":           "what a scan says",
	"agent/wiegand.go wiegand":              "it claims lines of the chip",
	"agent/world.go keypad":                 "a USB keyboard is a way out of the process",
	"cmd/boothd/world.go keypad":            "a USB keyboard is a way out of the process",
	"cmd/boothctl/capture.go osdp":          "a secure line is not captured raw",
	"cmd/boothctl/check_network.go webhook": "how long a token is",
	"cmd/boothctl/move.go osdp":             "the one reader that is told to move",
	"cmd/boothctl/try_open.go keypad":       "a USB keyboard is a way out of the process",
	"cmd/boothctl/try_stage.go wiegand":     "lines that are not there are told otherwise",
	"cmd/boothsim/far.go osdp":              "readers share a line",
}

// A driver is its folder, an entry and cases in hardware.go and its example: no other
// file knows it, but for those that have a reason.
func TestADriverIsAFolderAndACase(t *testing.T) {
	used, files := map[string]bool{}, 0
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		switch {
		case err != nil:
			return err
		case e.IsDir() && (name == "devices" || name == "test" || e.Name() == "node_modules" || strings.HasPrefix(e.Name(), ".") && name != ".."):
			return fs.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range file.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			rest, of := strings.CutPrefix(p, "boothd/devices/")
			driver, _, _ := strings.Cut(rest, "/")
			if _, is := Drivers.Of(configs.Driver(driver)); !of || !is || name == "agent/hardware.go" {
				continue
			}
			if k := name + " " + driver; known[k] != "" {
				used[k] = true
			} else {
				t.Errorf("%s knows driver %s", name, driver)
			}
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("%d files, %v", files, err)
	}
	for k := range known {
		if !used[k] {
			t.Errorf("%s is an exception no more: take it out", k)
		}
	}
}

// turnstile are the own keys of a driver that there is not.
type turnstile struct {
	Arm   string `toml:"arm,omitempty" one:"left right"`
	Turns int    `toml:"turns,omitempty"`
	Seal  string `toml:"seal_key,omitempty" is:"ref"`
}

func (s *turnstile) Check(w devices.Written) { w.Count("turns", s.Turns, 1, 9) }

// A driver whose kind is given to the configuration is taken, completed, judged,
// written out and kept secret, and configs has not heard of it.
func TestAnotherDriverIsOneEntry(t *testing.T) {
	text, err := configs.Examples.ReadFile("nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	kinds := append(configs.Kinds{kind(configs.Kind{Driver: "turnstile", Roles: cards, Baud: 19200, ByHand: true}, turnstile{Arm: "left", Turns: 3})}, Drivers...)
	parse := func(keys string) (*configs.Config, error) {
		return kinds.Parse("x.toml", []byte(strings.Replace(string(text), "\n[gpio]\n", "\n[[device]]\nname = \"gate\"\ndriver = \"turnstile\"\nrole = \"card\"\npath = \"/dev/serial/by-id/usb-t\"\n"+keys+"\n[gpio]\n", 1)))
	}
	cfg, err := parse("arm = \"right\"\nat_booth = true\nseal_key = \"credential:seal\"\n")
	if err != nil {
		t.Fatal(err)
	}
	d := cfg.Devices[len(cfg.Devices)-1]
	if own, ok := d.Own.(*turnstile); !ok || *own != (turnstile{"right", 3, "credential:seal"}) || d.Baud != 19200 || !d.AtBooth {
		t.Errorf("%+v, own keys %+v", d, d.Own)
	}
	for _, c := range []*configs.Config{cfg, cfg.Redacted()} {
		out, err := c.TOML()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := kinds.Parse("again.toml", out); err != nil || again.Digest() != c.Digest() {
			t.Errorf("written out it is another: %v\n%s", err, out)
		}
		if told := strings.Contains(string(out), "credential:seal"); told != (c == cfg) {
			t.Errorf("it tells where the secret is: %v", told)
		}
	}
	if own := d.Own.(*turnstile); own.Seal != "credential:seal" {
		t.Error("what is redacted is the booth's own")
	}
	for keys, want := range map[string]string{
		"arm = \"up\"":             `device.arm: "up" is not one of "left", "right"`,
		"turns = 10":               "device.turns: 10 is not between 1 and 9",
		"turns = \"3\"":            "device.turns: want a whole number, have text in quotes",
		"\n[kiosk]\nturns = 3":     `kiosk.turns: unknown key; it belongs in [[device]]`,
		"turn = 3":                 `device.turn: unknown key; did you mean "turns"?`,
		"seal_key = \"x\"":         "device.seal_key: want where it is kept, never the secret itself",
		"antennas = [1]":           `device.antennas: only drivers "mercury", "llrp" have this key`,
		"[[device]]\narm = \"up\"": `device.arm: only driver "turnstile" has this key`,
	} {
		if strings.HasPrefix(keys, "[[") {
			keys = "\n[[device]]\nname = \"pre2\"\ndriver = \"mercury\"\nrole = \"card\"\npath = \"/dev/serial/by-id/usb-u\"\narm = \"up\""
		}
		if _, err := parse(keys + "\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", keys, err, want)
		}
	}
}
