package main

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"boothd/devices/sim"
)

// What is typed at a terminal is not shown on it, and the terminal is as it was
// when it has been.
func TestI7_TypedIsNotShown(t *testing.T) {
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	near, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	echo := func() uint32 {
		tio, err := unix.IoctlGetTermios(int(near.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return tio.Lflag & unix.ECHO
	}
	tio, err := unix.IoctlGetTermios(int(near.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	tio.Lflag |= unix.ECHO | unix.ICANON
	tio.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(int(near.Fd()), unix.TCSETS, tio); err != nil {
		t.Fatal(err)
	}
	prompts := &promptPipe{near: echo, seen: make(chan struct{}, 4)}
	go func() {
		for range 2 { // a person who waits for the question
			<-prompts.seen
			_, _ = far.Write([]byte("3035307B\n")) // ask fails without it
		}
	}()
	got, err := ask(near, prompts, []string{"the card's number", "the plate"})
	if err != nil || !slices.Equal(got, []string{"3035307B", "3035307B"}) {
		t.Errorf("ask = %q, %v", got, err)
	}
	if prompts.echoed {
		t.Error("the terminal shows what is typed while it is asked for")
	}
	if echo() == 0 {
		t.Error("the terminal is left as it was while asking")
	}
}

// promptPipe takes the questions, and looks at the terminal at each.
type promptPipe struct {
	near   func() uint32
	seen   chan struct{}
	echoed bool
}

func (p *promptPipe) Write(b []byte) (int, error) {
	if len(b) > 1 { // not the line end after an answer
		p.echoed = p.echoed || p.near() != 0
		p.seen <- struct{}{}
	}
	return len(b), nil
}
