package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// shell is a child that says when it is ready, by a file.
func shell(t *testing.T, script string) *child {
	t.Helper()
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &child{name: "shell", log: filepath.Join(dir, "log"), make: func() *exec.Cmd {
		return exec.Command("/bin/sh", "-c", script, "sh", ready)
	}}
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.stop() })
	waitReady(t, ready)
	return c
}

// waitReady blocks until the child has opened its end.
func waitReady(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !bufio.NewScanner(f).Scan() {
		t.Fatal("the child never said that it is ready")
	}
}

// gone says that no process has this id any more; a zombie would still have it.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestStopAsksAndTheChildGoes(t *testing.T) {
	c := shell(t, `trap 'exit 0' TERM; echo up >$1; while :; do sleep 0.05; done`)
	pid := c.cmd.Process.Pid
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if !gone(pid) {
		t.Error("it is still there")
	}
	if err := c.stop(); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

// family gives a pipe that a child's family is to hold open, and when nobody does
// any more.
func family(t *testing.T) (held string, end <-chan error) {
	t.Helper()
	held = filepath.Join(t.TempDir(), "held")
	if err := syscall.Mkfifo(held, 0o600); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(held)
		over <- err
	}()
	return held, over
}

// A child that does not listen is killed with all that it started: the pipe
// that its family holds comes to its end.
func TestStopKillsTheDeafWithItsFamily(t *testing.T) {
	held, end := family(t)
	c := shell(t, `trap '' TERM; sleep 600 3>`+held+` & echo up >$1; while :; do sleep 0.05; done`)
	pid := c.cmd.Process.Pid
	if err := c.stop(); err == nil || !strings.Contains(err.Error(), "did not stop") {
		t.Errorf("stop = %v", err)
	}
	if !gone(pid) {
		t.Error("it is still there")
	}
	if err := <-end; err != nil {
		t.Error(err)
	}
}

func TestKillStartsAnewAndNeverAfterStop(t *testing.T) {
	c := shell(t, `trap 'exit 0' TERM; [ -p $1 ] && echo up >$1 & while :; do sleep 0.05; done`)
	before := c.cmd.Process.Pid
	if err := c.kill(); err != nil {
		t.Fatal(err)
	}
	after := c.cmd.Process.Pid
	if !gone(before) || after == before || c.dead() != nil {
		t.Errorf("%d before, %d after, %v", before, after, c.dead())
	}
	_ = c.stop() // it may have had no time to set its trap
	if err := c.kill(); err != nil || c.cmd.Process.Pid != after || !gone(after) {
		t.Errorf("killed after its end: %v", err)
	}
}

// A child that goes when it is asked to leaves nobody behind.
func TestStopLeavesNoFamily(t *testing.T) {
	held, end := family(t)
	c := shell(t, `trap 'exit 0' TERM; sleep 600 3>`+held+` & echo up >$1; while :; do sleep 0.05; done`)
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if err := <-end; err != nil {
		t.Error(err)
	}
}

func TestDeadTellsHowAndWhatTheLogSaid(t *testing.T) {
	c := shell(t, `echo the roof is leaking >&2; echo up >$1; exit 3`)
	<-c.done
	err := c.dead()
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the roof is leaking") {
		t.Errorf("dead = %v", err)
	}
	if err := c.stop(); err == nil {
		t.Error("its failure is forgotten by stop")
	}
}
