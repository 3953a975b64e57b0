package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"boothd/configs"
	"boothd/devices/sim"
)

// hardware is what stands around a booth, played: a card reader and a plate
// camera on ptys, and a GPIO chip with loops, buttons and lamps.
type hardware struct {
	chip   *sim.Chip
	cfg    *configs.Config
	reader sim.Mercury
	camera sim.Camera
	speed  float64
	pace   pace

	readerPath, cameraPath string
	rear                   sim.Camera
	hands                  map[string]*sim.PTY // scanner, seals, documents, printer
	paths                  map[string]string   // of the rear camera and of those
	matcher                *matcher            // of a kiosk
	receipts               *os.File
	served                 sync.WaitGroup // the printer's far end
	far                    []*sim.PTY
	links                  []string // to the ptys, to be taken away
}

// plugIn opens the ptys. The chip is played once the configuration has said
// which lines there are.
func plugIn(speed float64) (*hardware, error) {
	h := &hardware{speed: speed, pace: briskPace}
	reader, path, err := sim.OpenPTY()
	if err != nil {
		return nil, err
	}
	h.readerPath = path
	camera, path, err := sim.OpenPTY()
	if err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	h.cameraPath = path
	h.far = []*sim.PTY{reader, camera}
	h.camera = sim.Camera{Wire: camera, Template: "lumo"}
	h.reader.Every = max(time.Duration(float64(40*time.Millisecond)/speed), 10*time.Millisecond)
	go func() { _ = h.reader.Serve(reader) }() // ends when the pty is closed
	return h, nil
}

// serveChip plays the chip of a configuration. What nobody drives is pulled to
// where it is safe: red lights, all else is dark.
func (h *hardware) serveChip(ctx context.Context, cfg *configs.Config, socket string) error {
	h.cfg = cfg
	var lines []sim.ChipLine
	for _, in := range cfg.GPIO.In {
		lines = append(lines, sim.ChipLine{Name: in.Line, Pull: in.ActiveLow})
	}
	for name, out := range cfg.GPIO.Out {
		lines = append(lines, sim.ChipLine{Name: out.Line, Pull: (name == "traveller_red") != out.ActiveLow})
	}
	chip, err := sim.ServeChip(ctx, socket, lines)
	h.chip = chip
	return err
}

// free lets the next driver have the lines of one that was killed.
func (h *hardware) free() {
	for _, f := range h.far {
		_ = f.Free() // a line that is unplugged needs none
	}
}

func (h *hardware) unplug() error {
	for _, f := range h.far {
		_ = f.Close()
	}
	h.served.Wait()
	if h.receipts != nil {
		return h.receipts.Close()
	}
	return nil
}

// set gives an input its active level, or takes it away.
func (h *hardware) set(point string, active bool) error {
	in, ok := h.cfg.GPIO.In[point]
	if !ok {
		return fmt.Errorf("nothing is wired to %s", point)
	}
	return h.chip.Set(in.Line, active != in.ActiveLow)
}

// pause waits as long as a driver or an officer takes, sooner by the speed.
func (h *hardware) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(time.Duration(float64(d) / h.speed))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// press pushes a button and lets it go.
func (h *hardware) press(ctx context.Context, point string) error {
	if err := h.set(point, true); err != nil {
		return err
	}
	h.pause(ctx, h.pace.Hold)
	err := h.set(point, false)
	h.pause(ctx, h.pace.Hold)
	return err
}

// buttons of the officer's words.
var buttons = map[string]string{"release": "release", "refer": "refer", "toggle": "open_close",
	"count1": "count_1", "count2": "count_2", "count3": "count_3", "count4": "count_4",
	"trailer": "trailer", "empty": "empty", "declaration": "declaration",
	"goods": "declare_yes", "nogoods": "declare_no", "walk": "session_over"}

// drive sends one vehicle through the lane. decided waits until the booth has
// advice, since the officer never acts before it, and tells whether that is to
// refer: then the officer does, unless the scenario is of an override.
func (h *hardware) drive(ctx context.Context, v vehicle, decided func() (refer bool)) error {
	acts := v.kind.officer
	if acts[0] == "toggle" {
		if err := h.press(ctx, "open_close"); err != nil {
			return err
		}
		acts = acts[1:]
	}
	if h.cfg.Lane.Type == configs.NEXUSAir {
		return h.visit(ctx, v, acts, decided)
	}
	if err := h.approach(ctx, v); err != nil {
		return err
	}
	for _, act := range acts {
		if paper, ok := papers[act]; ok {
			if err := h.show(ctx, paper(v.load), act); err != nil {
				return err
			}
			continue
		}
		h.pause(ctx, h.pace.Officer)
		refer := decided()
		if act == "wait" || act == "toggle" {
			continue
		}
		if act == "release" && refer && len(slices.DeleteFunc(slices.Clone(acts), func(a string) bool { return a != "release" })) == 1 {
			act = "refer"
		}
		if err := h.press(ctx, buttons[act]); err != nil {
			return err
		}
	}
	h.pause(ctx, h.pace.Leave)
	if err := h.leave(ctx); err != nil {
		return err
	}
	if acts[len(acts)-1] == "toggle" {
		return h.press(ctx, "open_close")
	}
	return nil
}

// approach brings it to the booth: loop, cards at the reader, plate, booth loop.
func (h *hardware) approach(ctx context.Context, v vehicle) error {
	if err := h.set("approach_loop", true); err != nil {
		return err
	}
	h.pause(ctx, h.pace.Approach)
	var tags []sim.Tag
	for _, c := range v.cards {
		tags = append(tags, sim.Tag{EPC: c.epc, RSSIDBm: -52, Antenna: 1, Damaged: c.word == "unreadable"})
	}
	h.reader.Present(tags...)
	var err error
	if v.noRead {
		err = h.camera.NoRead()
	} else {
		err = h.camera.Plate(v.plate, v.jurisdiction, v.confidence)
	}
	if err != nil {
		return err
	}
	if h.rear.Wire != nil && v.load.rear != "" {
		if err := h.rear.Plate(v.load.rear, "ON", 0.95); err != nil {
			return err
		}
	}
	h.pause(ctx, h.pace.Field)
	if err := h.set("approach_loop", false); err != nil {
		return err
	}
	h.pause(ctx, h.pace.Roll)
	h.reader.Present()
	err = h.set("booth_loop", true)
	h.pause(ctx, h.pace.Stop)
	return err
}

// leave drives it over the exit loop and away.
func (h *hardware) leave(ctx context.Context) error {
	for _, step := range []struct {
		point string
		on    bool
	}{{"exit_loop", true}, {"booth_loop", false}, {"exit_loop", false}} {
		if err := h.set(step.point, step.on); err != nil {
			return err
		}
		h.pause(ctx, h.pace.Leave)
	}
	return nil
}

// boothConfig writes the example of such a lane with this world's addresses in
// it.
func boothConfig(dir, lane, broker, listen string, h *hardware, speed float64) (*configs.Config, string, error) {
	debounce := max(time.Duration(float64(30*time.Millisecond)/speed), 3*time.Millisecond).Round(time.Millisecond).String()
	text, err := exampleOf(lane, map[string]string{
		`# socket = "/run/boothd/boothd.sock"`:   `socket = "` + filepath.Join(dir, "boothd.sock") + `"`,
		`# dir = "/var/lib/boothd"`:              `dir = "` + filepath.Join(dir, "store") + `"`,
		`"pinctrl-bcm2711"`:                      `"sim:` + filepath.Join(dir, "chip.sock") + `"`,
		`["ssl://hq-a:8883", "ssl://hq-b:8883"]`: `["tcp://` + broker + `"]`,
		`# root = "/etc/boothd/trust/root.json"`: `root = "` + filepath.Join(dir, "hq", "root.json") + `"`,
		`# key = "credential:token-key"`:         `key = "` + filepath.Join(dir, "hq", "token.key") + `"`,
		`# listen = "127.0.0.1:7080"`:            `listen = "` + listen + `"`,
		`# source = "kernel"`:                    `source = "host"`,
		`active_low = true }`:                    `active_low = true, debounce = "` + debounce + `" }`,
		"\nca = ":                                "\n# ca = ",
		"\ncert = ":                              "\n# cert = ",
		"\nkey = \"credential:mqtt-key\"":        "\n# key",
	})
	if err != nil {
		return nil, "", err
	}
	text = strings.NewReplacer(`debounce = "50ms" }`, `debounce = "`+debounce+`" }`,
		`# matcher = "/run/boothd/matcher.sock"`, `matcher = "`+filepath.Join(dir, "matcher.sock")+`"`,
		`# matcher_key = "credential:matcher-key"`, `matcher_key = "`+filepath.Join(dir, "matcher.key")+`"`,
		`template = "axxon"`, `template = "lumo"`, `# language = "escpos"`, `language = "plain"`).Replace(text)
	path := filepath.Join(dir, "boothd.toml")
	if err := os.WriteFile(path, []byte(h.at(text)), 0o600); err != nil {
		return nil, "", fmt.Errorf("writing configuration: %w", err)
	}
	cfg, err := configs.Load(path)
	return cfg, path, err
}

// exampleOf is the example that comes with the program, with some words of it
// exchanged. Each must be there: an example that has changed is noticed.
func exampleOf(lane string, words map[string]string) (string, error) {
	b, err := configs.Examples.ReadFile(lane + ".toml")
	if err != nil {
		return "", fmt.Errorf("reading the example: %w", err)
	}
	var pairs []string
	for old, word := range words {
		if !bytes.Contains(b, []byte(old)) {
			return "", fmt.Errorf("the example has no %q any more", old)
		}
		pairs = append(pairs, old, word)
	}
	return strings.NewReplacer(pairs...).Replace(string(b)), nil
}

var devicePath = regexp.MustCompile(`(?m)^path = "[^"]*"`)

// at gives every device of a configuration the pty that plays it, by its name;
// what nobody plays is left out.
func (h *hardware) at(text string) string {
	const table = "\n[[device]]\n"
	head, rest, _ := strings.Cut(text, table)
	devices, tail, _ := strings.Cut(rest, "\n[gpio]\n")
	var out strings.Builder
	out.WriteString(head)
	for _, d := range strings.Split(devices, table) {
		name := deviceName.FindStringSubmatch(d)[1]
		path := h.paths[name]
		switch name {
		case "pre-read", "card":
			path = h.readerPath
		case "front":
			path = h.cameraPath
		}
		if path != "" {
			out.WriteString(table + devicePath.ReplaceAllString(d, `path = "`+path+`"`))
		}
	}
	return out.String() + "\n[gpio]\n" + tail
}

var deviceName = regexp.MustCompile(`(?m)^name = "([^"]*)"`)
