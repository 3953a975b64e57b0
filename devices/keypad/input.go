package keypad

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// grab is EVIOCGRAB, _IOW('E', 0x90, int), the same on every architecture that
// boothd is built for.
const grab = 0x40044590

// silence is what a Read of the keyboard gives 0, nil after, as a port does.
const silence = 100 * time.Millisecond

// OpenInput opens a USB keyboard or number pad by its stable name under
// /dev/input/by-id, and takes it for this process alone: its keys reach no
// console, where a plate would be typed into a log-in prompt. Template tells the
// buttons alone.
func OpenInput(ctx context.Context, path string, cfg Config) (*Keypad, error) {
	full, err := cfg.complete()
	if err == nil {
		err = ctx.Err()
	}
	var in *input
	if err == nil {
		in, err = openInput(path)
	}
	if err != nil {
		return nil, fmt.Errorf("keypad %s: %w", cfg.Name, err)
	}
	return with(in, full, &events{size: eventSize}), nil
}

// input is a device file of the kernel's input subsystem.
type input struct{ *os.File }

func openInput(path string) (*input, error) {
	// Without blocking, so that the runtime waits for it and Close ends a Read.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening input: %w", err)
	}
	raw, err := f.SyscallConn()
	if err == nil {
		e := raw.Control(func(fd uintptr) { err = unix.IoctlSetInt(int(fd), grab, 1) })
		err = errors.Join(e, err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("taking input %s for ourselves: %w", path, err), f.Close())
	}
	return &input{f}, nil
}

// Read gives 0, nil on silence.
func (i *input) Read(b []byte) (int, error) {
	if err := i.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	n, err := i.File.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return max(n, 0), nil
	}
	return max(n, 0), err
}
