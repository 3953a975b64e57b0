// Command agent runs inside the field box, as root: "serve" runs commands that
// come from the host over the box's control ports, "setup" makes its hardware
// at boot, "chip off" and "chip on" take the GPIO chip away and bring it back,
// "pull LINE up|down" pulls a line, "late PID LINE up|down" does so while a
// process is stopped, and "synced" has the kernel take its clock for disciplined.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"boothd/test/fieldbox"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fieldbox:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "serve":
		return serve()
	case len(args) == 1 && args[0] == "setup":
		return setup()
	case len(args) == 2 && args[0] == "chip" && args[1] == "off":
		return os.WriteFile(simDir+"/live", []byte("0"), 0o644)
	case len(args) == 2 && args[0] == "chip" && args[1] == "on":
		return chip()
	case len(args) == 1 && args[0] == "synced":
		return clock()
	case len(args) == 3 && args[0] == "pull":
		return pull(args[1], args[2])
	case len(args) == 4 && args[0] == "late":
		return late(args[1], args[2], args[3])
	}
	return fmt.Errorf("unknown command %q", args)
}

// serve answers on every control port until the box goes off.
func serve() error {
	var all sync.WaitGroup
	for n := range fieldbox.ControlPorts {
		path := fmt.Sprintf("/dev/virtio-ports/ctl%d", n)
		all.Go(func() { obey(path) })
	}
	all.Wait()
	return errors.New("no control port is left")
}

// obey runs the commands of one port, one after the other. A port that nobody
// holds at the host's side reads as ended.
func obey(path string) {
	var f *os.File
	for {
		var err error
		if f, err = os.OpenFile(path, os.O_RDWR, 0); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond) // udev has not come to it yet
	}
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) {
				fmt.Fprintln(os.Stderr, "fieldbox:", err)
			}
			time.Sleep(10 * time.Millisecond)
			continue
		}
		var q fieldbox.Request
		if json.Unmarshal(line, &q) != nil {
			continue // the rest of what a host that went away was saying
		}
		b, err := json.Marshal(carryOut(q))
		if err == nil {
			_, err = f.Write(append(b, '\n'))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "fieldbox:", err)
		}
	}
}

func carryOut(q fieldbox.Request) fieldbox.Answer {
	ctx, cancel := context.WithTimeout(context.Background(), q.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", q.Command)
	cmd.Dir = "/root"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 300 * time.Millisecond // a child in the background may hold the output open
	err := cmd.Run()
	a := fieldbox.Answer{ID: q.ID, Out: out.Bytes(), Err: errs.Bytes()}
	exit, left := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		a.Code = fieldbox.CodeTimeout
	case left:
		a.Code = exit.ExitCode()
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		a.Code = fieldbox.CodeNoAnswer
		a.Err = append(a.Err, err.Error()...)
	}
	return a
}

// pull pulls a line and tells between which two times, in ns since 1970, it
// was done.
func pull(line, to string) error {
	if to != "up" && to != "down" {
		return fmt.Errorf("no pull %q", to)
	}
	f, err := os.OpenFile(filepath.Join(fieldbox.Lines, line, "pull"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	before := time.Now()
	if _, err := f.WriteString("pull-" + to); err != nil {
		return err
	}
	fmt.Println(before.UnixNano(), time.Now().UnixNano())
	return nil
}

// lateFor is how long a process is stopped: well over what an edge takes to
// it, and under the 3 s after which boothd's watchdog would have it.
const lateFor = 500 * time.Millisecond

// late pulls a line while a process is stopped, and tells besides when it was
// let go on: it cannot have seen the edge sooner.
func late(process, line, to string) error {
	pid, err := strconv.Atoi(process)
	if err != nil {
		return fmt.Errorf("process %q: %w", process, err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stopping process %d: %w", pid, err)
	}
	err = pull(line, to)
	time.Sleep(lateFor)
	fmt.Println(time.Now().UnixNano())
	return errors.Join(err, syscall.Kill(pid, syscall.SIGCONT))
}
