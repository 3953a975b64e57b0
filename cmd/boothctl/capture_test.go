package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/glimpse"
	"boothd/configs"
	"boothd/devices/devicestest"
	"boothd/devices/line"
)

func TestCaptureRawReplays(t *testing.T) {
	b := newBench(t)
	b.mercury(annaCard, benCard)
	file := filepath.Join(t.TempDir(), "two-cards.capture")
	out, errs := boothctl(t, 0, "capture", "pre-read", "--out", file, "--raw", "-n", "6", "--config", b.config)
	holds(t, out, "tag  #1 (24 characters)", "6 reads")
	holds(t, errs, "in clear", "I7", "test cards", "written: "+file+" and "+file+".reads")
	tape := content(t, file)
	holds(t, tape, "boothctl capture 1, raw, at ", "driver = 'mercury'\n", " > FF 00 03 1D 0C\n", " < FF ", "E2 80 11 60 60 00 02 05 4E 1A 5B 01")
	if strings.Contains(tape, b.paths[0]) {
		t.Error("the capture names the port, which is this box's business")
	}
	for _, f := range []string{file, file + readsSuffix} {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
	holds(t, content(t, file+readsSuffix), `"token":"`)
	replays(t, file)
}

func TestCaptureRawOfACameraReplays(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "lumo.capture")
	far, path := pty(t) // a port that no device of the configuration has
	camera := line.Lumo(far)
	for _, plate := range []string{"KAYAK7", "CANOE8", "KAYAK7"} {
		if err := camera.Plate(plate, "ON", 0.91); err != nil {
			t.Fatal(err)
		}
	}
	boothctl(t, 0, "capture", path, "--driver", "line", "--set", `template = "lumo"`, "--out", file, "--raw", "-n", "2", "--config", b.config)
	holds(t, content(t, file), "template = 'lumo'", glimpse.Hexes([]byte("KAYAK7;ON;91;IN\r\n")))
	replays(t, file)
}

// The bytes of a secure channel are none for a test, and its first ones none for
// a file.
func TestCaptureRawRefusesASecureChannel(t *testing.T) {
	_, path := pty(t)
	file := filepath.Join(t.TempDir(), "x")
	set := []string{"--driver", "osdp", "--set", `reader_key = "credential:reader-key"`, "--out", file, "--config", "nowhere.toml"}
	_, errs := boothctl(t, exitUsage, append([]string{"capture", path, "--raw"}, set...)...)
	holds(t, errs, "speaks in a secure channel", "without --raw")
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	_, errs = boothctl(t, exitFix, append([]string{"capture", path}, set...)...)
	holds(t, errs, "its key: credential reader-key", "systemd-run --pty -p LoadCredentialEncrypted=reader-key")
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was left")
	}
}

func TestI7_CaptureWithoutRawKeepsNoIdentifier(t *testing.T) {
	b := newBench(t)
	b.mercury(annaCard)
	dir := t.TempDir()
	cards, plates := filepath.Join(dir, "cards"), filepath.Join(dir, "plates")
	_, errs := boothctl(t, 0, "capture", "pre-read", "--out", cards, "-n", "3", "--config", b.config)
	holds(t, errs, "masked", "--raw, with test cards only")
	if err := cameraOf("axxon", b.camera).Plate("KAYAK7", "", 1); err != nil {
		t.Fatal(err)
	}
	boothctl(t, 0, "capture", b.paths[1], "--out", plates, "-n", "1", "--config", b.config)
	holds(t, content(t, cards), "boothctl capture 1, masked, at ", " < ", " bytes\n")
	holds(t, content(t, plates), ` bytes "\x0299999999999999`+`99AAAAA9\x03"`)
	for _, f := range []string{cards, plates, cards + readsSuffix, plates + readsSuffix} {
		text := strings.ToUpper(content(t, f))
		for _, raw := range []string{annaCard, "E2 80 11", "5B 01", "KAYAK", "4B 41 59", "TOKEN"} {
			if strings.Contains(text, raw) {
				t.Errorf("%s holds %q:\n%s", f, raw, text)
			}
		}
	}
	if _, err := readTape(strings.NewReader(content(t, cards))); err == nil {
		t.Error("a masked capture was taken for a raw one")
	}
}

func TestCaptureSaysWhatToDo(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "x")
	for _, c := range []struct {
		code int
		args []string
		want []string
	}{
		{exitUsage, []string{"/dev/ttyS77"}, []string{"no device or board of the configuration is called /dev/ttyS77", "--driver; boothctl probe says which"}},
		{exitUsage, []string{"/dev/ttyS77", "--driver", "mercuri"}, []string{"driver: \"mercuri\" is not one of", `did you mean "mercury"?`}},
		{exitUsage, []string{"/dev/ttyS77", "--driver", "mercury", "--set", "power = 99"}, []string{"power: 99 dBm is not between", "--set 'baud = 9600'"}},
		{exitUsage, []string{"front", "--driver", "line"}, []string{"front is device front of the configuration", "leave --driver and --set out"}},
		{exitUsage, []string{"front", "--for", "1h"}, []string{"--for 1h0m0s is not between"}},
		{exitFix, []string{"/dev/ttyS77", "--driver", "line", "--set", `template = "axxon"`}, []string{"/dev/ttyS77", "boothctl ports lists"}},
	} {
		_, errs := boothctl(t, c.code, append([]string{"capture", "--config", b.config, "--out", file}, c.args...)...)
		holds(t, errs, c.want...)
		for _, f := range []string{file, file + readsSuffix} {
			if err := os.Remove(f); err == nil {
				t.Errorf("%v left a file", c.args)
			}
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs := boothctl(t, exitUsage, "capture", "front", "--out", file, "--config", b.config)
	holds(t, errs, "file exists", "no capture is overwritten")
}

// The plug is pulled while a capture is made: what came before is kept.
func TestCaptureKeepsWhatCameBeforeTheEnd(t *testing.T) {
	b := newBench(t)
	if err := cameraOf("axxon", b.camera).Plate("KAYAK7", "", 1); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "unplugged")
	code := make(chan int)
	var out, errs bytes.Buffer
	seen := make(chan struct{})
	go func() {
		code <- run([]string{"capture", "front", "--out", file, "--raw", "--config", b.config}, &trigger{w: &out, on: "#1 (", seen: seen}, &errs)
	}()
	<-seen
	if err := b.camera.Close(); err != nil {
		t.Fatal(err)
	}
	if c := <-code; c != exitFix {
		t.Errorf("exit %d", c)
	}
	holds(t, errs.String(), "line gone", "written: ")
	holds(t, content(t, file), " ! line gone\n")
	replays(t, file)
}

// trigger closes seen when a text was written.
type trigger struct {
	w    *bytes.Buffer
	on   string
	seen chan struct{}
}

func (g *trigger) Write(b []byte) (int, error) {
	n, err := g.w.Write(b)
	if g.on != "" && strings.Contains(g.w.String(), g.on) {
		g.on = ""
		close(g.seen)
	}
	return n, err
}

// A driver that would no longer say what it said is noticed.
func TestReplayNoticesAnotherDriver(t *testing.T) {
	text := tapeHead + ", raw, at 2026-11-23T19:20:00Z\nname = 'r'\ndriver = 'line'\nrole = 'plate.front'\nbaud = 9600\ntemplate = 'axxon'\n---\n" +
		"0.100000 > FF 00 03 1D 0C\n0.200000 < 41\n"
	rec, err := readTape(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := replay(t.Context(), rec); err == nil {
			t.Error("a camera's driver has asked for the version of a reader")
		}
	})
}

func TestTapeIsBounded(t *testing.T) {
	var out bytes.Buffer
	tape, err := newTape(&out, configs.Device{Driver: "mercury"}, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	for range tapeMost/len(chunk) + 1 {
		tape.note(happening{kind: '<', data: chunk})
	}
	if err := tape.end(); err != errTapeFull {
		t.Errorf("end() = %v, want %v", err, errTapeFull)
	}
}

// FuzzTape: a tape that can be read has nothing but happenings, each within its
// line, and a line costs no more than a driver's frame.
func FuzzTape(f *testing.F) {
	f.Add("0.100000 > FF 00 03 1D 0C")
	f.Add("    9.000000 ! line gone")
	f.Add("0.1 = 115200")
	f.Add("NaN < 00")
	f.Add("0.1 < " + strings.Repeat("00 ", 4<<10))
	f.Add("0.1 < " + strings.Repeat("\x01", lineMost-10))
	f.Add("0.1 ? " + strings.Repeat("a ", lineMost/2-10) + "\n0.2 < 41")
	f.Add(strings.Repeat("x", lineMost))
	f.Fuzz(func(t *testing.T, lines string) {
		const head = tapeHead + ", raw, at 2026-11-23T19:20:00Z\nname = 'r'\ndriver = 'line'\n---\n"
		var rec recording
		var err error
		devicestest.Frugal(t, func() (read int) {
			rec, err = readTape(strings.NewReader(head + lines))
			return 1 + strings.Count(lines, "\n") // its head is one
		})
		if err != nil && len(rec.all) > 0 {
			t.Errorf("%v, and %d happenings", err, len(rec.all))
		}
		for _, h := range rec.all {
			if h.at < 0 || !strings.ContainsRune("<>=!", rune(h.kind)) || (len(h.data) > 0) != (h.kind == '<' || h.kind == '>') || len(h.data) > lineMost/2 {
				t.Errorf("read %+v", h)
			}
		}
	})
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
