package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// A killed boothd, a cut network and a dead broker break sockets under those who
// write. None of that is Ctrl-C.
func TestABrokenSocketEndsNothing(t *testing.T) {
	ctx, stop := untilStopped(t.Context())
	defer stop()
	for range 3 {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Close(pair[1]); err != nil {
			t.Fatal(err)
		}
		if _, err := syscall.Write(pair[0], []byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("writing to a broken socket: %v", err)
		}
		if err := syscall.Close(pair[0]); err != nil {
			t.Fatal(err)
		}
	}
	// The signal of the write comes before one that is sent after it.
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); cause == nil || !strings.HasPrefix(cause.Error(), "hangup") {
		t.Errorf("ended by %v, want the hangup alone", cause)
	}
}

// A reader that goes is told by the write.
func TestAGoneReaderEndsADemo(t *testing.T) {
	ctx, stop := untilStopped(t.Context())
	defer stop()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = out
	defer func() { os.Stdout = stdout; _ = out.Close() }()
	ended := false
	d := &demo{quit: func() { ended = true }}
	if d.say("somebody reads\n"); ended {
		t.Error("ended while there is a reader")
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if d.say("nobody reads\n"); !ended || ctx.Err() != nil {
		t.Errorf("ended: %t; %v", ended, context.Cause(ctx))
	}
}
