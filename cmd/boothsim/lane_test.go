package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/configs"
	"boothd/devices/gpio"
)

// laidLane is the lane of the NEXUS example in a folder.
func laidLane(t *testing.T) (h *hardware, dir string) { return laidLaneWith(t, "", "") }

// laidLaneWith has more devices and inputs.
func laidLaneWith(t *testing.T, devices, ins string) (h *hardware, dir string) {
	t.Helper()
	dir = t.TempDir()
	text, err := exampleOf("nexus", map[string]string{
		"\n[gpio.in]\n":     "\n" + devices + "[gpio.in]\n" + ins,
		`"pinctrl-bcm2711"`: `"sim:` + filepath.Join(dir, "chip.sock") + `"`,
		`/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0`:                  filepath.Join(dir, "reader"),
		`/dev/serial/by-id/usb-Prolific_Technology_Inc._USB-Serial_Controller-if00-port0`: filepath.Join(dir, "camera"),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "boothd.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err = layLane(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.unplug(); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"reader", "camera"} {
			if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
				t.Errorf("%s is left behind", name)
			}
		}
	})
	if err := h.serveChip(t.Context(), h.cfg, strings.TrimPrefix(h.cfg.GPIO.Chip, "sim:")); err != nil {
		t.Fatal(err)
	}
	return h, dir
}

func TestLaneObeys(t *testing.T) {
	h, dir := laidLane(t)
	chip, err := gpio.OpenChip(t.Context(), h.cfg.GPIO.Chip)
	if err != nil {
		t.Fatal(err)
	}
	defer chip.Close()
	in := h.cfg.GPIO.In["booth_loop"]
	loop, err := chip.In(gpio.InConfig{Point: "booth_loop", Line: in.Line, ActiveLow: in.ActiveLow})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	script := "# a vehicle\n\non booth_loop\ntags E28011606000000001000001 E28011606000000001000002!\nplate BX00001 ON 0.97\nlamps\nwait 1ms\nquit\noff booth_loop\n"
	camera, err := os.Open(filepath.Join(dir, "camera")) // a pty keeps what comes before it is opened
	if err != nil {
		t.Fatal(err)
	}
	defer camera.Close()
	if err := h.obey(t.Context(), strings.NewReader(script), &out); err != nil {
		t.Fatal(err)
	}
	if want := "ok\nok\nok\n{}\nok\n"; out.String() != want {
		t.Errorf("answers\n%swant\n%s", &out, want)
	}
	if on, err := loop.Level(); err != nil || !on {
		t.Errorf("booth_loop is %t, %v", on, err)
	}
	b := make([]byte, 256)
	if n, err := camera.Read(b); err != nil || !bytes.Contains(b[:n], []byte("BX00001")) {
		t.Errorf("the camera says %q, %v", b[:n], err)
	}
}

// Lamps that have wires back fail on command, as the driver sees them.
func TestLaneFailsLamps(t *testing.T) {
	h, _ := laidLaneWith(t, "", "traveller_red_lit = { line = \"RED\", active_low = true }\ntraveller_green_lit = { line = \"GREEN\" }\n")
	chip, err := gpio.OpenChip(t.Context(), h.cfg.GPIO.Chip)
	if err != nil {
		t.Fatal(err)
	}
	defer chip.Close()
	ins := map[string]*gpio.In{}
	for _, lamp := range []string{"traveller_red", "traveller_green"} {
		out, in := h.cfg.GPIO.Out[lamp], h.cfg.GPIO.In[lamp+configs.Lit]
		if _, err := chip.Out(gpio.OutConfig{Point: lamp, Line: out.Line, Safe: lamp == "traveller_red"}); err != nil {
			t.Fatal(err)
		}
		if ins[lamp], err = chip.In(gpio.InConfig{Point: lamp, Line: in.Line, ActiveLow: in.ActiveLow}); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		line       string
		red, green bool
	}{
		{"wait 1ms", true, false},
		{"lamp traveller_green stuck", true, true},
		{"lamp traveller_red burnt", false, true},
		{"lamp traveller_green sound", false, false},
		{"lamp traveller_red sound", true, false},
		{"swap traveller_red traveller_green", false, true},
		{"swap traveller_green traveller_red", true, false},
		{"lamp traveller_red cut", false, false},
		{"lamp traveller_red sound", true, false},
		{"lamp traveller_green cut", true, true},
		{"lamp traveller_green sound", true, false},
	} {
		var out bytes.Buffer
		if err := h.obey(t.Context(), strings.NewReader(step.line), &out); err != nil || out.String() != "ok\n" {
			t.Fatalf("%s: %q, %v", step.line, &out, err)
		}
		red, err := ins["traveller_red"].Level()
		green, err2 := ins["traveller_green"].Level()
		if err != nil || err2 != nil || red != step.red || green != step.green {
			t.Errorf("%s: red %t, green %t, want %t and %t (%v, %v)", step.line, red, green, step.red, step.green, err, err2)
		}
	}
	var out bytes.Buffer
	if err := h.obey(t.Context(), strings.NewReader("lamp traveller_red dim"), &out); err != nil || !strings.Contains(out.String(), `a lamp cannot be "dim"`) {
		t.Errorf("%q, %v", &out, err)
	}
}

// A Wiegand reader on the chip sends what it is told to.
func TestLaneSendsWords(t *testing.T) {
	h, _ := laidLaneWith(t, "[[device]]\nname = \"door\"\ndriver = \"wiegand\"\nrole = \"card\"\ndata0 = \"D0\"\ndata1 = \"D1\"\nformats = [\"h10301\"]\n", "")
	chip, err := gpio.OpenChip(t.Context(), h.cfg.GPIO.Chip)
	if err != nil {
		t.Fatal(err)
	}
	defer chip.Close()
	pair, err := chip.Pair(gpio.PairConfig{Point: "door", Lines: [2]string{"D0", "D1"}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := h.obey(t.Context(), strings.NewReader("word 0110\nword 012\n"), &out); err != nil || !strings.HasPrefix(out.String(), "ok\nerror: ") {
		t.Fatalf("%q, %v", &out, err)
	}
	for i, want := range []int{0, 1, 1, 0} {
		if p, ok, err := pair.Next(t.Context(), 10*time.Second); err != nil || !ok || p.Line != want {
			t.Errorf("pulse %d: %+v, %v, %v", i, p, ok, err)
		}
	}
}

func TestLaneSaysWhatIsWrong(t *testing.T) {
	h, _ := laidLane(t)
	for line, want := range map[string]string{
		"dance":              `no command "dance"; there are at, chip, document, free, help, key, lamp, lamps,`,
		"on":                 "on takes 1 words, not 0",
		"on gate":            "nothing is wired to gate",
		"tags XYZ":           `tags XYZ: tag: EPC of 3 digits`,
		"word 0123":          "the lane has no device for word",
		"plate A ON much":    `confidence "much" is not from 0 to 1`,
		"plate A ON NaN":     `confidence "NaN" is not from 0 to 1`,
		"mute everything":    `no device "everything"; there are pre-read, front`,
		"scan ABC":           `the lane has no device for scan`,
		"at front tags AB":   `front is no device for "tags"`,
		"at front plate A":   "plate takes 3 words, not 1",
		"at front dance":     `front is no device for "dance"`,
		"at front":           "at takes a device, a command and its words",
		"reboot front":       "front cannot be told to reboot",
		"raw front XYZ":      "invalid byte",
		"plug front":         "it is plugged in",
		"chip dance":         `the chip cannot "dance"`,
		"wait soon":          `invalid duration "soon"`,
		"lamp buzzer stuck":  `no lamp "buzzer" with a wire back`,
		"swap buzzer gate":   `no lamp "buzzer" with a wire back`,
		"press nothing":      "nothing is wired to nothing",
		"lamps now":          "lamps takes 0 words, not 1",
		"plate A ON 0.9 0.9": "plate takes 3 words, not 4",
	} {
		var out bytes.Buffer
		if err := h.obey(t.Context(), strings.NewReader(line), &out); err != nil || !strings.HasPrefix(out.String(), "error: ") || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q, %v, want %q", line, &out, err, want)
		}
	}
}

// A real device, or a real board, is never touched.
func TestLaneLeavesWhatIsThere(t *testing.T) {
	h, dir := laidLane(t)
	there := filepath.Join(dir, "real")
	if err := os.WriteFile(there, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := link(string(h.far[0].cable.at), there); err == nil {
		t.Error("a link took the place of a file")
	}
	b, err := os.ReadFile(there)
	if err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	stale := filepath.Join(dir, "stale")
	if err := os.Symlink("/dev/pts/999999", stale); err != nil {
		t.Fatal(err)
	}
	if err := link(string(h.far[0].cable.at), stale); err != nil {
		t.Errorf("a link that was left behind: %v", err)
	}
	if err := link(string(h.far[0].cable.at), "tcp://127.0.0.1:9"); err == nil {
		t.Error("an address was taken for a file")
	}
	if _, err := layLane("../../configs/nexus.toml"); err == nil || !strings.Contains(err.Error(), "is real") {
		t.Errorf("a real chip: %v", err)
	}
}
