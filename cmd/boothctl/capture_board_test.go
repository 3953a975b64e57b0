package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boothd/devices/relay"
)

var boardProtocols = [...]relay.Protocol{relay.Modbus, relay.ModbusRegisters, relay.Numato, relay.LCUSAnswer, relay.LCUSText, relay.LCUS}

// TestCaptureOfEveryBoardReplays captures a session with each kind of board, one
// that loses its power meanwhile, and plays it back. With -captures the sessions
// are kept beside the driver.
func TestCaptureOfEveryBoardReplays(t *testing.T) {
	for _, protocol := range boardProtocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			dir := t.TempDir()
			if *captures {
				dir = "../../devices/relay/testdata/captures"
			}
			file := filepath.Join(dir, "simulated-"+string(protocol)+".capture")
			if *captures { // none is overwritten by boothctl
				for _, f := range []string{file, file + readsSuffix} {
					if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
				}
			}
			var board *relay.Sim
			when, act := "reader_light", func() { board.Reboot() }
			n, want := "3", []string{"output  reader_beeper  at rest", "output  reader_light  at rest", "driven anew"}
			switch protocol {
			case relay.LCUS: // it cannot be asked: nobody learns that it has lost its power
				board, n, want = lit(t, b, protocol), "2", want[:2]
			case relay.LCUSAnswer, relay.LCUSText:
				board = lit(t, b, protocol)
			default:
				board = boardedBy(t, b, protocol)
				board.SetInput(1, true)
				when, act = "approach_loop  active", func() { board.SetInput(1, false); board.SetInput(2, true) }
				n, want = "15", []string{"output  traveller_red  active", "output  traveller_green  at rest", "input  approach_loop  active", "input  approach_loop  at rest", "input  booth_loop  active", "input  release  at rest"}
			}
			var out, errs bytes.Buffer
			seen := make(chan struct{})
			go func() { <-seen; act() }()
			args := []string{"capture", "relays", "--out", file, "-n", n, "--for", "20s", "--config", b.config}
			if protocol == relay.LCUS { // until it has been told again
				args[5], args[7] = "0", "1200ms"
			}
			if code := run(args, &trigger{w: &out, on: when, seen: seen}, &errs); code != 0 {
				t.Errorf("exit %d: %s", code, errs.String())
			}
			holds(t, out.String(), append(want, n+" levels; ")...)
			holds(t, errs.String(), "tell of nobody", "written: ")
			holds(t, content(t, file), ", raw, at ", "[board]\n", "protocol = '"+string(protocol)+"'\n", " > ")
			replays(t, file)
		})
	}
}

// Every protocol of a board has at least one session too.
func TestEveryBoardHasACapture(t *testing.T) {
	all, err := filepath.Glob("../../devices/relay/testdata/captures/*.capture")
	if err != nil {
		t.Fatal(err)
	}
	have := map[relay.Protocol]bool{}
	for _, path := range all {
		rec, err := readTape(strings.NewReader(content(t, path)))
		if err != nil || rec.board == nil {
			t.Fatalf("%s is none of a board: %v", path, err)
		}
		have[relay.Protocol(rec.board.Protocol)] = true
	}
	for _, p := range boardProtocols {
		if !have[p] {
			t.Errorf("protocol %s has no capture: boothctl capture makes one", p)
		}
	}
}
