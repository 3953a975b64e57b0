package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"boothd/agent"
)

// lane is the verb that plays only the hardware of a booth, for a boothd that
// somebody else runs: its devices and lamps, moved by commands.
type lane struct {
	Config string `arg:"" help:"The booth's configuration: chip = \"sim:PATH\" or none, and devices whose paths are not there yet." type:"existingfile"`
}

// laneHelp is what the lane answers to "help".
const laneHelp = `on POINT, off POINT, press POINT    an input of the chip or of a board
tags [NUMBER...]                    the cards in the reader's field, in hex; NUMBER! is a damaged one
word BITS                           what a Wiegand reader sends: 0 and 1, x for both lines at once, . for a pause of 1 ms
plate TEXT JURISDICTION CONFIDENCE  a reading of the camera; confidence from 0 to 1
noread                              a vehicle without a readable plate
scan TEXT                           a bar code is held to the scanner
document STATE NUMBER               a card with a machine readable zone
type TEXT, key NAME                 the officer's keypad: a plate and enter, or one key
at DEVICE COMMAND...                one of the commands above on another than the first such device
mute DEVICE, unmute DEVICE          silence, as of a dead device; reader and camera are the first of them
reboot [DEVICE]                     the device (the reader) starts anew
raw DEVICE HEX                      bytes on its line as they are
unplug DEVICE, plug DEVICE          its plug is pulled, or put back
free                                lets the next boothd have the lines of one that was killed
chip break|mend                     the GPIO board is pulled, or put back
lamps                               what is lit, as JSON
lamp NAME stuck|burnt|cut|sound     a lamp that has a wire back fails, or its wire is cut, or both are mended
swap NAME NAME                      two lamps' wires are exchanged; again: put right
wait 300ms                          before the next command
quit                                also Ctrl-C and the end of the input`

// Run plays the hardware until the commands end. Every command gets one line:
// "ok", what was asked for, or "error: " and why.
func (l *lane) Run(ctx context.Context) (err error) {
	h, err := layLane(l.Config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.unplug()) }()
	board, pull := context.WithCancel(context.WithoutCancel(ctx))
	defer pull()
	if err := h.serveChip(board, h.cfg, strings.TrimPrefix(h.cfg.GPIO.Chip, "sim:")); err != nil {
		return err
	}
	fmt.Println("SIMULATED lane is there; \"help\" tells the commands")
	return h.obey(ctx, os.Stdin, os.Stdout)
}

// layLane plays what the configuration names, where it looks for it.
func layLane(path string) (h *hardware, err error) {
	cfg, err := agent.Drivers.Load(path)
	if err != nil {
		return nil, err
	}
	if chip := cfg.GPIO.Chip; chip != "" && !strings.HasPrefix(chip, "sim:") {
		return nil, fmt.Errorf("%s: chip = %q is real: only \"sim:PATH\" is played", path, chip)
	}
	h = newHardware(1)
	h.cfg = cfg
	defer func() {
		if err != nil {
			err = errors.Join(err, h.unplug())
			h = nil
		}
	}()
	for _, d := range cfg.Devices {
		if _, err := h.add(d); err != nil {
			return h, err
		}
	}
	for _, c := range cfg.Boards {
		if _, err := h.addBoard(c); err != nil {
			return h, err
		}
	}
	return h, nil
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
