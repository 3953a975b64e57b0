package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopGrace is what a child gets to stop by itself. Children stop one after the
// other, boothd before headquarters, so that its last events arrive: two of
// them and the rest stay under the 5 s that everything has.
const stopGrace = 2 * time.Second

// child is a program at work. Its standard error goes to a file.
type child struct {
	name string
	log  string // path of its log
	make func() *exec.Cmd
	gone func() // clears up after a kill, before the next start; may be nil

	mu   sync.Mutex // the killer and the stopper
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read after done
	over bool          // stopped: it starts no more
}

// program finds one of our programs: beside this one, or in dir.
func program(dir, name string) (string, error) {
	if dir == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		dir = filepath.Dir(self)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not built: make build: %w", name, err)
	}
	return path, nil
}

// start starts the child. It dies with this process, however this one ends.
func (c *child) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.startLocked()
}

func (c *child) startLocked() error {
	log, err := os.OpenFile(c.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("starting %s: %w", c.name, err)
	}
	defer log.Close()
	cmd := c.make()
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", c.name, err)
	}
	done := make(chan struct{})
	c.cmd, c.done = cmd, done
	go func() {
		c.err = cmd.Wait()
		close(done)
	}()
	return nil
}

// kill ends the child as a power cut would, and starts it again. One that is
// being stopped stays down.
func (c *child) kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.cmd == nil {
		return nil
	}
	if err := c.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("killing %s: %w", c.name, err)
	}
	<-c.done // at once: SIGKILL waits for nobody
	if c.gone != nil {
		c.gone()
	}
	return c.startLocked()
}

// stop asks the child to end and makes it, if it does not.
func (c *child) stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.cmd == nil {
		return nil
	}
	c.over = true
	select {
	case <-c.done: // it has ended by itself: its number may be another's by now
		return c.failed()
	default:
	}
	// One that ends at this moment cannot be signalled; what Wait says counts.
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-c.done:
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // whom it has left behind
		return c.failed()
	case <-grace.C:
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.done
		return fmt.Errorf("%s did not stop within %v%s", c.name, stopGrace, tail(c.log))
	}
}

// failed tells of a child that has ended how, if not well.
func (c *child) failed() error {
	if c.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w%s", c.name, c.err, tail(c.log))
}

// dead tells whether the child has ended by itself, and how.
func (c *child) dead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		how := "without an error"
		if c.err != nil {
			how = c.err.Error()
		}
		return fmt.Errorf("%s ended by itself: %s%s", c.name, how, tail(c.log))
	default:
		return nil
	}
}

// tail gives the last lines of a log, for a message.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "\n  " + strings.Join(lines[max(0, len(lines)-8):], "\n  ")
}

// once runs a program to its end and gives what it printed.
func once(ctx context.Context, in io.Reader, path string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = in
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return out, fmt.Errorf("%s %s: %w\n%s", filepath.Base(path), strings.Join(args, " "), err, exit.Stderr)
		}
		return out, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return out, nil
}
