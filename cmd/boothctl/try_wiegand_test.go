package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/gpio"
	"boothd/devices/wiegand"
)

// doorLines are what a Wiegand reader hangs on.
var doorLines = [2]string{"D0", "D1"}

// door adds a Wiegand reader to the bench, and gives its far end.
func (b *bench) door(t *testing.T) *wiegand.Sim {
	t.Helper()
	f, err := os.OpenFile(b.config, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("\n[[device]]\nname = \"door\"\ndriver = \"wiegand\"\nrole = \"card\"\ndata0 = \"D0\"\ndata1 = \"D1\"\nformats = [\"h10301\"]\nsilence = \"100ms\"\n")
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return &wiegand.Sim{Pulse: func(p []devices.Pulse) error { return b.chip.Pulse(doorLines, p) }}
}

// whenClaimed sends one word after the other, and again, once somebody listens,
// until over is closed.
func (b *bench) whenClaimed(s *wiegand.Sim, over <-chan struct{}, words ...string) error {
	for {
		select {
		case <-over:
			return nil
		case <-time.After(300 * time.Millisecond): // the driver waits for silence first
		}
		if b.chip.Claims()[doorLines[0]] == "" {
			continue
		}
		if err := s.Raw(words[0]); err != nil {
			return err
		}
		words = append(words[1:], words[0])
	}
}

// played runs boothctl while a door's words are sent.
func (b *bench) played(t *testing.T, words []string, args ...string) (stdout, stderr string) {
	t.Helper()
	over, sent := make(chan struct{}), make(chan error, 1)
	s := b.door(t)
	go func() { sent <- b.whenClaimed(s, over, words...) }()
	stdout, stderr = boothctl(t, 0, append(args, "--config", b.config)...)
	close(over)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	return stdout, stderr
}

const (
	goodWord = "00100010010100010010011111" // facility 68, card 41551
	badWord  = "00100010010100010010011110"
)

func TestTryReaderOnTwoLines(t *testing.T) {
	b := newBench(t)
	out, _ := b.played(t, []string{badWord, goodWord}, "try", "reader", "door", "-n", "2")
	holds(t, out, "door is silent, which tells nothing yet, on lines D0 and D1 of sim:", "(driver wiegand). Present a test card", "unreadable", "tag  #1 (8 characters)")
	if strings.Contains(out, "225127C0") {
		t.Error("I7: it shows the card's number")
	}
}

func TestTryReaderOnLinesOfOthers(t *testing.T) {
	b := newBench(t)
	b.door(t)
	if err := b.chip.Set("D1", false); err != nil {
		t.Fatal(err)
	}
	_, errs := boothctl(t, exitFix, "try", "reader", "door", "--config", b.config)
	holds(t, errs, "DATA1: line is low for over 10 ms", "both lines rest high")
	if err := b.chip.Set("D1", true); err != nil {
		t.Fatal(err)
	}
	other, err := gpio.OpenChip(t.Context(), b.cfg.GPIO.Chip)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.Pair(gpio.PairConfig{Point: "door", Lines: doorLines}); err != nil {
		t.Fatal(err)
	}
	_, errs = boothctl(t, exitFix, "try", "reader", "door", "--config", b.config)
	holds(t, errs, `GPIO line in use by "boothd:door"`, "stop that program")
}

// What a Wiegand reader sends is captured by its name, and replayed. With
// -captures the session is kept beside the driver.
func TestCaptureOnTwoLinesReplays(t *testing.T) {
	dir := t.TempDir()
	if *captures {
		dir = "../../devices/wiegand/testdata/captures"
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "simulated.capture")
	if *captures { // none is overwritten by boothctl
		for _, f := range []string{file, file + readsSuffix} {
			if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	b := newBench(t)
	out, _ := b.played(t, []string{goodWord, badWord, "101", goodWord[:12] + "x" + goodWord[14:], "0101", "00100010011110010110110101"},
		"capture", "door", "--raw", "-n", "4", "--out", file)
	holds(t, out, "4 reads; ")
	replays(t, file)
	masked := filepath.Join(t.TempDir(), "masked.capture")
	b = newBench(t)
	b.played(t, []string{goodWord}, "capture", "door", "-n", "1", "--out", masked)
	text, err := os.ReadFile(masked)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, string(text), `26 bytes "`+strings.Repeat("9", 26)+`"`)
	_, errs := boothctl(t, exitUsage, "capture", "/dev/gpiochip0", "--driver", "wiegand", "--out", masked+"2", "--config", "nowhere.toml")
	holds(t, errs, "a reader of driver wiegand has no port", "capture it by its name")
}
