package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"boothd/configs"
	"boothd/devices"
)

// arity is how many words follow a command; -1 for any number.
var arity = map[string]int{"on": 1, "off": 1, "press": 1, "tags": -1, "plate": 3, "noread": 0, "word": 1, "scan": -1, "document": 2, "type": -1, "key": 1,
	"at": -1, "free": 0, "mute": 1, "unmute": 1, "reboot": -1, "raw": 2, "unplug": 1, "plug": 1, "chip": 1, "lamps": 0, "lamp": 2, "swap": 2,
	"wait": 1, "help": 0}

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
	case "tags", "word", "plate", "noread", "scan", "document", "type", "key":
		return "ok", h.act(h.first(verb), verb, f)
	case "at":
		return "ok", h.actAt(f)
	case "mute", "unmute", "reboot", "unplug", "plug", "raw":
		return "ok", h.fault(verb, f)
	case "free":
		h.free()
		return "ok", nil
	case "chip":
		return "ok", h.chipIs(f[0])
	case "lamp":
		return "ok", h.lamp(f[0], f[1])
	case "swap":
		return "ok", h.swap(f[0], f[1])
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

// first gives the first device that a command is for; nil: there is none.
func (h *hardware) first(verb string) *far {
	switch verb {
	case "tags":
		return h.of(configs.RoleCard)
	case "word":
		if i := slices.IndexFunc(h.far, func(f *far) bool { return f.Word != nil }); i >= 0 {
			return h.far[i]
		}
		return nil
	case "plate", "noread":
		return h.of(configs.RolePlateFront)
	case "scan":
		return h.of(configs.RoleScan)
	case "document":
		return h.of(configs.RoleDocument)
	}
	return h.of(configs.RoleKeypad)
}

// named gives a device by its name; "reader" and "camera" are the first ones.
func (h *hardware) named(name string) (*far, error) {
	i := slices.IndexFunc(h.far, func(f *far) bool { return f.name == name })
	switch {
	case i >= 0:
		return h.far[i], nil
	case name == "reader" && h.first("tags") != nil:
		return h.first("tags"), nil
	case name == "camera" && h.first("plate") != nil:
		return h.first("plate"), nil
	}
	var names []string
	for _, f := range h.far {
		names = append(names, f.name)
	}
	for _, b := range h.boards {
		names = append(names, b.Name)
	}
	return nil, fmt.Errorf("no device %q; there are %s", name, strings.Join(names, ", "))
}

// actAt is "at DEVICE COMMAND...".
func (h *hardware) actAt(f []string) error {
	if len(f) < 2 {
		return errors.New("at takes a device, a command and its words")
	}
	dev, err := h.named(f[0])
	if err != nil {
		return err
	}
	verb, f := f[1], f[2:]
	if want := arity[verb]; want >= 0 && len(f) != want {
		return fmt.Errorf("%s takes %d words, not %d", verb, want, len(f))
	}
	return h.act(dev, verb, f)
}

// act has a device see what it is there for.
func (h *hardware) act(dev *far, verb string, f []string) error {
	if dev == nil {
		return fmt.Errorf("the lane has no device for %s", verb)
	}
	switch {
	case verb == "tags" && dev.Present != nil:
		var tags []devices.FarTag
		for _, s := range f {
			number, damaged := strings.CutSuffix(s, "!")
			tags = append(tags, devices.FarTag{Number: number, RSSIDBm: -52, Antenna: 1, Damaged: damaged})
		}
		if err := dev.Present(tags...); err != nil {
			return fmt.Errorf("tags %s: %w", strings.Join(f, " "), err)
		}
		return nil
	case verb == "word" && dev.Word != nil:
		return dev.Word(f[0])
	case verb == "plate" && dev.Plate != nil:
		c, err := strconv.ParseFloat(f[2], 64)
		if err != nil || !(c >= 0 && c <= 1) {
			return fmt.Errorf("confidence %q is not from 0 to 1", f[2])
		}
		return dev.Plate(f[0], f[1], c)
	case verb == "noread" && dev.NoRead != nil:
		return dev.NoRead()
	case verb == "scan" && dev.Scan != nil:
		return dev.Scan(strings.Join(f, " "))
	case verb == "document" && dev.Document != nil:
		return dev.Document(f[0], f[1])
	case verb == "type" && dev.Enter != nil:
		return dev.Enter(strings.Join(f, " "))
	case verb == "key" && dev.Strike != nil:
		return dev.Strike(f[0])
	}
	return fmt.Errorf("%s is no device for %q", dev.name, verb)
}

// fault has something happen to a device or a board.
func (h *hardware) fault(verb string, f []string) error {
	if verb == "reboot" && len(f) == 0 {
		f = []string{"reader"}
	}
	if i := slices.IndexFunc(h.boards, func(b *board) bool { return b.Name == f[0] }); i >= 0 {
		b := h.boards[i]
		return troubled(verb, f, b.cable, b.sim.Mute, devices.Done(b.sim.Reboot))
	}
	dev, err := h.named(f[0])
	if err != nil {
		return err
	}
	return troubled(verb, f, dev.cable, dev.Mute, dev.Reboot)
}

func troubled(verb string, f []string, c *cable, mute func(bool), reboot func() error) error {
	switch {
	case verb == "reboot" && reboot != nil:
		return reboot()
	case strings.HasSuffix(verb, "mute") && mute != nil:
		mute(verb == "mute")
		return nil
	case c == nil: // it has no line
	case verb == "unplug":
		return c.unplug()
	case verb == "plug":
		return c.plug()
	case verb == "raw":
		b, err := hex.DecodeString(f[1])
		if err == nil {
			_, err = c.Write(b)
		}
		return err
	}
	return fmt.Errorf("%s cannot be told to %s", f[0], verb)
}

func (h *hardware) chipIs(what string) error {
	switch {
	case h.chip == nil:
		return errors.New("there is no chip: unplug the board")
	case what == "break":
		h.chip.Break()
		return nil
	case what == "mend":
		return h.chip.Mend()
	}
	return fmt.Errorf("the chip cannot %q; it can break and mend", what)
}

// lamps tells which outputs are on, by the configuration's names. One that
// nobody has claimed of the chip is not there.
func (h *hardware) lamps() map[string]bool {
	lit := map[string]bool{}
	if h.chip != nil {
		levels := h.chip.Outputs()
		for name, w := range h.cfg.GPIO.Out {
			if level, is := levels[w.Line]; is {
				lit[name] = level != w.ActiveLow
			}
		}
	}
	for _, b := range h.boards {
		for name, w := range b.Out {
			lit[name] = b.sim.Relay(w.Channel) != w.ActiveLow
		}
	}
	return lit
}
