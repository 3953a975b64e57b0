package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"boothd/agent"
	"boothd/devices/relay"
)

// boarded hangs the bench's lamps on a Modbus board, red on the contact that is
// closed at rest.
func boarded(t *testing.T, b *bench) *relay.Sim {
	t.Helper()
	return boardedBy(t, b, relay.Modbus)
}

// boardedBy hangs them on a board of a protocol that has inputs.
func boardedBy(t *testing.T, b *bench, protocol relay.Protocol) *relay.Sim {
	t.Helper()
	s := &relay.Sim{Protocol: protocol, Address: 1, Channels: 16}
	path := play(t, s)
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(text), "[gpio]")
	_, tail, _ := strings.Cut(rest, "[status]")
	board := "[[board]]\nname = \"relays\"\nprotocol = \"" + string(protocol) + "\"\npath = \"" + path + `"
[board.in]
approach_loop = { channel = 1 }
booth_loop = { channel = 2 }
exit_loop = { channel = 3 }
release = { channel = 4 }
refer = { channel = 5 }
[board.out]
traveller_red = { channel = 1, active_low = true }
traveller_amber = { channel = 2 }
traveller_green = { channel = 3 }
officer_green = { channel = 4 }
officer_amber = { channel = 5 }
officer_red = { channel = 6 }
officer_health = { channel = 7 }
gate_open = { channel = 8 }
`
	if err := os.WriteFile(b.config, []byte(head+board+"[status]"+tail), 0o600); err != nil {
		t.Fatal(err)
	}
	if b.cfg, err = agent.Drivers.Load(b.config); err != nil {
		t.Fatal(err)
	}
	return s
}

// lit hangs two more lamps on a board of relays alone, beside the bench's chip.
func lit(t *testing.T, b *bench, protocol relay.Protocol) *relay.Sim {
	t.Helper()
	s := &relay.Sim{Protocol: protocol}
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, "\n[[board]]\nname = \"relays\"\nprotocol = %q\npath = %q\n[board.out]\nreader_light = { channel = 1 }\nreader_beeper = { channel = 2, active_low = true }\n", protocol, play(t, s))
	if err := os.WriteFile(b.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// Lamps on a board of relays are tried as those on the chip.
func TestI9_TryLampOnARelayBoard(t *testing.T) {
	b := newBench(t)
	s := boarded(t, b)
	over, done := make(chan struct{}), make(chan struct{})
	seen := map[string]bool{}
	go func() {
		defer close(done)
		for {
			head := ""
			for lamp, lit := range map[string]bool{"red": !s.Relay(1), "amber": s.Relay(2), "green": s.Relay(3)} {
				if lit {
					head += lamp
				}
			}
			seen[head] = true
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	out, _ := boothctl(t, 0, "try", "lamp", "--each", "300ms", "--config", b.config)
	close(over)
	<-done
	holds(t, out, "traveller_green  green", "officer_health   blinking", "end              red, everything else dark")
	for head := range seen {
		if head != "" && head != "red" && head != "amber" && head != "green" {
			t.Errorf("lit together: %s", head)
		}
	}
	if !seen["green"] || !seen["amber"] || !seen["red"] {
		t.Errorf("seen were %v", seen)
	}
	for channel := range 16 {
		if s.Relay(channel + 1) {
			t.Errorf("relay %d is left driven", channel+1)
		}
	}
}

func TestTryGateOnARelayBoard(t *testing.T) {
	b := newBench(t)
	s := boarded(t, b)
	s.SetInput(3, true)
	_, errs := boothctl(t, exitFix, "try", "gate", "--yes", "--config", b.config)
	holds(t, errs, "something stands on the exit loop")
	s.SetInput(3, false)
	out, _ := boothctl(t, 0, "try", "gate", "--yes", "--open", "1s", "--move", "100ms", "--config", b.config)
	holds(t, out, "told to open", "it closes by itself, as gate_close is not wired")
	s.Die(true)
	_, errs = boothctl(t, exitFix, "try", "lamp", "--config", b.config)
	holds(t, errs, "board relays on ", "board does not answer", "boothctl probe")
}
