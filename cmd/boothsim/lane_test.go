package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boothd/devices/gpio"
)

// laidLane is the lane of the NEXUS example in a folder.
func laidLane(t *testing.T) (h *hardware, dir string) {
	t.Helper()
	dir = t.TempDir()
	text, err := exampleOf("nexus", map[string]string{
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
		if err := h.unlay(); err != nil {
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

func TestLaneSaysWhatIsWrong(t *testing.T) {
	h, _ := laidLane(t)
	for line, want := range map[string]string{
		"dance":              `no command "dance"; there are chip, free, help, lamps,`,
		"on":                 "on takes 1 words, not 0",
		"on gate":            "nothing is wired to gate",
		"tags XYZ":           `tag "XYZ"`,
		"plate A ON much":    `confidence "much" is not from 0 to 1`,
		"plate A ON NaN":     `confidence "NaN" is not from 0 to 1`,
		"mute everything":    `no "everything" to mute`,
		"chip dance":         `the chip cannot "dance"`,
		"wait soon":          `invalid duration "soon"`,
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
	if err := h.link(h.readerPath, there); err == nil {
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
	if err := h.link(h.readerPath, stale); err != nil {
		t.Errorf("a link that was left behind: %v", err)
	}
	if err := h.link(h.readerPath, "tcp://127.0.0.1:9"); err == nil {
		t.Error("an address was taken for a file")
	}
	if _, err := layLane("../../configs/nexus.toml"); err == nil || !strings.Contains(err.Error(), "is real") {
		t.Errorf("a real chip: %v", err)
	}
}
