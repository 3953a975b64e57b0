package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"boothd/agent"
	"boothd/configs"
	"boothd/devices/mercury"
	"boothd/devices/sim"
)

// bench is a booth on a technician's bench: a configuration, the far ends of
// its ports, and a chip.
type bench struct {
	config string
	reader *sim.PTY // the card reader's far end
	camera *sim.PTY
	paths  [2]string // of reader and camera
	chip   *sim.Chip
	cfg    *configs.Config
}

// newBench lays the booth out.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{}
	dir := t.TempDir()
	b.config = filepath.Join(dir, "boothd.toml")
	b.reader, b.paths[0] = pty(t)
	b.camera, b.paths[1] = pty(t)
	text, err := configs.Examples.ReadFile("nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(
		`# socket = "/run/boothd/boothd.sock"`, `socket = "`+dir+`/sock"`,
		`# dir = "/var/lib/boothd"`, `dir = "`+dir+`/store"`,
		"/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0", b.paths[0],
		"/dev/serial/by-id/usb-Prolific_Technology_Inc._USB-Serial_Controller-if00-port0", b.paths[1],
		"pinctrl-bcm2711", "sim:"+dir+"/chip",
		`# gate_open =`, `gate_open =`, `# gate_close =`, `gate_close =`,
	).Replace(string(text))
	if err := os.WriteFile(b.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if b.cfg, err = agent.Drivers.Load(b.config); err != nil {
		t.Fatal(err)
	}
	lines := []sim.ChipLine{{Name: doorLines[0], Pull: true}, {Name: doorLines[1], Pull: true}}
	for _, in := range b.cfg.GPIO.In {
		lines = append(lines, sim.ChipLine{Name: in.Line, Pull: in.ActiveLow})
	}
	for name, out := range b.cfg.GPIO.Out {
		lines = append(lines, sim.ChipLine{Name: out.Line, Pull: name == "traveller_red"})
	}
	ctx, pull := context.WithCancel(t.Context())
	t.Cleanup(pull)
	if b.chip, err = sim.ServeChip(ctx, dir+"/chip", lines); err != nil {
		t.Fatal(err)
	}
	return b
}

func pty(t *testing.T) (*sim.PTY, string) {
	t.Helper()
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() }) // a test may have pulled the plug
	return far, path
}

// mercury plays a reader with one card in its field.
func (b *bench) mercury(cards ...string) *mercury.Sim {
	m := &mercury.Sim{}
	var tags []mercury.SimTag
	for i, c := range cards {
		tags = append(tags, mercury.SimTag{EPC: c, RSSIDBm: -50 - i, Antenna: 1})
	}
	m.Present(tags...)
	go func() { _ = m.Serve(b.reader) }() // ends with the pty
	return m
}

// boothctl runs the program and gives what it wrote.
func boothctl(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(args, &out, &errs); code != want {
		t.Errorf("boothctl %s: exit %d, want %d\n%s%s", strings.Join(args, " "), code, want, &out, &errs)
	}
	return out.String(), errs.String()
}

// holds fails unless text has every one of the parts.
func holds(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in\n%s", p, text)
		}
	}
}

// Cards of the tests; no card of these numbers was ever made.
const (
	annaCard = "E2801160600002054E1A5B01"
	benCard  = "E2801160600002054E1A5B02"
)

func TestI7_TryReaderShowsReadsMasked(t *testing.T) {
	b := newBench(t)
	b.mercury(annaCard, benCard)
	out, errs := boothctl(t, 0, "try", "reader", "--config", b.config, "-n", "40")
	holds(t, out, "pre-read answers on "+b.paths[0], "tag  #1 (24 characters)  -50 dBm, antenna 1", "#2 (24 characters)  -51 dBm", "40 reads; ")
	if n := strings.Count(out, "#1 ("); n > 3 {
		t.Errorf("a card that stays in the field is shown %d times:\n%s", n, out)
	}
	if all := out + errs; strings.Contains(all, annaCard) || strings.Contains(all, benCard[12:]) {
		t.Errorf("a card's number is shown:\n%s", all)
	}
}

func TestTryReaderJSON(t *testing.T) {
	b := newBench(t)
	b.mercury(annaCard)
	out, _ := boothctl(t, 0, "try", "reader", "pre-read", "--json", "--all", "--config", b.config, "-n", "2")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 2 reads and the counters:\n%s", len(lines), out)
	}
	holds(t, lines[0], `"what":"tag"`, `"id":"#1 (24 characters)"`, `"rssi_dbm":-50`)
	holds(t, lines[2], `"reads":2`)
}

func TestI7_TryPlateShowsReadsMasked(t *testing.T) {
	b := newBench(t)
	camera := cameraOf("axxon", b.camera)
	for _, plate := range []string{"KAYAK7", "CANOE8"} {
		if err := camera.Plate(plate, "", 0.9); err != nil { // waits in the pty until the port is opened
			t.Fatal(err)
		}
	}
	if err := camera.NoRead(); err != nil {
		t.Fatal(err)
	}
	out, _ := boothctl(t, 0, "try", "plate", "front", "--config", b.config, "-n", "3")
	holds(t, out, "plate  #1 (6 characters)  camera 01  its clock ", "plate  #2 (6 characters)", "plate  no plate seen")
	if strings.Contains(out, "KAYAK") || strings.Contains(out, "CANOE") {
		t.Errorf("a plate is shown:\n%s", out)
	}
}

// A camera of framed reports is tried as any other, and answered meanwhile.
func TestI7_TryPlateOfFramedReports(t *testing.T) {
	b := newBench(t)
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(`driver = "line" `, `driver = "nedap" `, `template = "axxon" `, `ack = "{open} {id} {xor} {close}"`+"\n"+`template = "protocolled" `).Replace(string(text))
	if err := os.WriteFile(b.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	camera := waiting()
	for _, err := range []error{camera.Plate("KAYAK7", "ON", 0), camera.Plate("CANOE8", "", 0), camera.NoRead()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	go func() { _ = camera.Serve(b.camera) }() // ends with the pty
	out, _ := boothctl(t, 0, "try", "plate", "front", "--config", b.config, "-n", "3")
	holds(t, out, "(driver nedap)", "plate  #1 (6 characters)  of ON", "plate  #2 (6 characters)", "plate  no plate seen")
	if strings.Contains(out, "KAYAK") || strings.Contains(out, "CANOE") || camera.Sent() != 3 {
		t.Errorf("a plate is shown, or %d reports were sent:\n%s", camera.Sent(), out)
	}
}

func TestTryReaderSaysWhatToDo(t *testing.T) {
	b := newBench(t)
	_, errs := boothctl(t, exitUsage, "try", "reader", "front", "--config", b.config)
	holds(t, errs, `no reader called "front"`, `it is there, with role "plate.front"`)
	_, errs = boothctl(t, exitUsage, "try", "plate", "rear", "--config", b.config)
	holds(t, errs, `no plate called "rear"`, "there are front")
	_, errs = boothctl(t, exitFix, "try", "reader", "--config", b.config) // nobody plays it
	holds(t, errs, "device pre-read on "+b.paths[0], "reader does not answer")
	if err := cameraOf("axxon", b.camera).Raw([]byte("nothing that has an end")); err != nil {
		t.Fatal(err)
	}
	out, errs := boothctl(t, exitFix, "try", "plate", "--for", "300ms", "--config", b.config)
	holds(t, out, "0 reads; 23 bytes, 0 frames")
	holds(t, errs, "nothing of it can be read", "boothctl probe")
	_, errs = boothctl(t, exitFix, "try", "plate", "--for", "300ms", "--config", b.config)
	holds(t, errs, "nothing was read", "look at antenna")
	if err := b.camera.Close(); err != nil {
		t.Fatal(err)
	}
	_, errs = boothctl(t, exitFix, "try", "plate", "--config", b.config)
	holds(t, errs, b.paths[1], "boothctl ports")
}

// A port that another process has open is refused, with its name, although root
// could open it.
func TestTryReaderRefusesAPortThatIsHeld(t *testing.T) {
	b := newBench(t)
	near, err := os.OpenFile(b.paths[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	in, done := io.Pipe()
	other := exec.Command("cat")
	other.Stdin, other.ExtraFiles = in, []*os.File{near}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		done.Close()
		if err := other.Wait(); err != nil {
			t.Error(err)
		}
	}()
	_, errs := boothctl(t, exitFix, "try", "reader", "--config", b.config)
	holds(t, errs, b.paths[0]+" is held by cat (pid ", "hint: stop it: kill ")
}
