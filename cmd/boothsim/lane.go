package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"boothd/configs"
	"boothd/devices/sim"
)

// lane is the verb that plays only the hardware of a booth, for a boothd that
// somebody else runs: its devices and lamps, moved by commands.
type lane struct {
	Config string `arg:"" help:"The booth's configuration: chip = \"sim:PATH\", and devices whose paths are not there yet." type:"existingfile"`
}

// laneHelp is what the lane answers to "help".
const laneHelp = `on POINT, off POINT, press POINT    an input of [gpio.in]
tags [EPC...]                       the cards in the reader's field; EPC! is a damaged one
plate TEXT JURISDICTION CONFIDENCE  a reading of the camera; confidence from 0 to 1
free                                lets the next boothd have the lines of one that was killed
noread                              a vehicle without a readable plate
mute reader|camera, unmute ...      silence, as of a dead device
reboot                              the reader starts anew
chip break|mend                     the GPIO board is pulled, or put back
lamps                               what is lit, as JSON
wait 300ms                          before the next command
quit                                also Ctrl-C and the end of the input`

// Run plays the hardware until the commands end. Every command gets one line:
// "ok", what was asked for, or "error: " and why.
func (l *lane) Run(ctx context.Context) (err error) {
	h, err := layLane(l.Config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.unlay()) }()
	board, pull := context.WithCancel(context.WithoutCancel(ctx))
	defer pull()
	if err := h.serveChip(board, h.cfg, strings.TrimPrefix(h.cfg.GPIO.Chip, "sim:")); err != nil {
		return err
	}
	fmt.Println("SIMULATED lane is there; \"help\" tells the commands")
	return h.obey(ctx, os.Stdin, os.Stdout)
}

// layLane opens the ptys and puts them where the configuration looks.
func layLane(path string) (h *hardware, err error) {
	cfg, err := configs.Load(path)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(cfg.GPIO.Chip, "sim:") {
		return nil, fmt.Errorf("%s: chip = %q is real: only \"sim:PATH\" is played", path, cfg.GPIO.Chip)
	}
	if h, err = plugIn(1); err != nil {
		return nil, err
	}
	h.cfg = cfg
	defer func() {
		if err != nil {
			err = errors.Join(err, h.unlay())
			h = nil
		}
	}()
	played := map[configs.Driver]bool{}
	for _, d := range cfg.Devices {
		if played[d.Driver] {
			return h, fmt.Errorf("device %s: one reader and one camera can be played, and this is another %s", d.Name, d.Driver)
		}
		played[d.Driver] = true
		far := h.readerPath
		switch d.Driver {
		case "mercury":
		case "line":
			far = h.cameraPath
			h.camera.Template = string(d.Template)
		default:
			return h, fmt.Errorf("device %s: %s cannot be played", d.Name, d.Driver)
		}
		if err := h.link(far, string(d.Path)); err != nil {
			return h, fmt.Errorf("device %s: %w", d.Name, err)
		}
	}
	return h, nil
}

// link puts a pty where a device is looked for. What is there is left alone,
// but for a link of a run that had no time to take it away.
func (h *hardware) link(pty, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s is no device file", path)
	}
	if at, err := os.Readlink(path); err == nil && strings.HasPrefix(at, "/dev/pts/") {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if err := os.Symlink(pty, path); err != nil {
		return err
	}
	h.links = append(h.links, path)
	return nil
}

// unlay takes away what was laid.
func (h *hardware) unlay() error {
	errs := []error{h.unplug()}
	for _, path := range h.links {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

// obey carries out commands until they or ctx end.
func (h *hardware) obey(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := make(chan string)
	over := make(chan error, 1)
	go func() { // a read of the terminal cannot be released: it ends with the process
		s := bufio.NewScanner(in)
		for s.Scan() {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
		over <- s.Err()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-over:
			return err
		case line := <-lines:
			f := strings.Fields(line)
			if len(f) == 0 || strings.HasPrefix(f[0], "#") {
				continue
			}
			if f[0] == "quit" {
				return nil
			}
			answer, err := h.command(ctx, f[0], f[1:])
			if err != nil {
				answer = "error: " + err.Error()
			}
			if _, err := fmt.Fprintln(out, answer); err != nil {
				return err
			}
		}
	}
}

// arity is how many words follow a command; -1 for any number.
var arity = map[string]int{"on": 1, "off": 1, "press": 1, "tags": -1, "plate": 3, "noread": 0, "free": 0, "mute": 1, "unmute": 1,
	"reboot": 0, "chip": 1, "lamps": 0, "wait": 1, "help": 0}

// command carries out one.
func (h *hardware) command(ctx context.Context, verb string, f []string) (string, error) {
	want, known := arity[verb]
	switch {
	case !known:
		return "", fmt.Errorf("no command %q; there are %s", verb, strings.Join(slices.Sorted(maps.Keys(arity)), ", "))
	case want >= 0 && len(f) != want:
		return "", fmt.Errorf("%s takes %d words, not %d", verb, want, len(f))
	}
	switch verb {
	case "on", "off":
		return "ok", h.set(f[0], verb == "on")
	case "press":
		return "ok", h.press(ctx, f[0])
	case "tags":
		return "ok", h.tags(f)
	case "plate":
		return "ok", h.plate(f[0], f[1], f[2])
	case "noread":
		return "ok", h.camera.NoRead()
	case "mute", "unmute":
		return "ok", h.mute(f[0], verb == "mute")
	case "reboot":
		return "ok", h.reader.Reboot()
	case "free":
		h.free()
		return "ok", nil
	case "chip":
		return "ok", h.board(f[0])
	case "lamps":
		b, err := json.Marshal(h.lamps())
		return string(b), err
	case "wait":
		d, err := time.ParseDuration(f[0])
		if err == nil {
			h.pause(ctx, d)
		}
		return "ok", err
	}
	return laneHelp, nil
}

// tags puts cards into the reader's field.
func (h *hardware) tags(epcs []string) error {
	var tags []sim.Tag
	for _, s := range epcs {
		epc, damaged := strings.CutSuffix(s, "!")
		tag := sim.Tag{EPC: epc, RSSIDBm: -52, Antenna: 1, Damaged: damaged}
		if _, err := sim.Record(tag); err != nil {
			return fmt.Errorf("tag %q: %w", s, err)
		}
		tags = append(tags, tag)
	}
	h.reader.Present(tags...)
	return nil
}

func (h *hardware) plate(text, jurisdiction, confidence string) error {
	c, err := strconv.ParseFloat(confidence, 64)
	if err != nil || !(c >= 0 && c <= 1) {
		return fmt.Errorf("confidence %q is not from 0 to 1", confidence)
	}
	return h.camera.Plate(text, jurisdiction, c)
}

func (h *hardware) mute(what string, on bool) error {
	switch what {
	case "reader":
		h.reader.Mute(on)
	case "camera":
		h.camera.Mute(on)
	default:
		return fmt.Errorf("no %q to mute; there are reader and camera", what)
	}
	return nil
}

func (h *hardware) board(what string) error {
	switch what {
	case "break":
		h.chip.Break()
		return nil
	case "mend":
		return h.chip.Mend()
	}
	return fmt.Errorf("the chip cannot %q; it can break and mend", what)
}

// lamps tells which outputs are on, by the configuration's names.
func (h *hardware) lamps() map[string]bool {
	levels := h.chip.Outputs()
	lit := map[string]bool{}
	for name, w := range h.cfg.GPIO.Out {
		if level, is := levels[w.Line]; is {
			lit[name] = level != w.ActiveLow
		}
	}
	return lit
}
