// Package sim plays the far end of every device: readers and cameras in their
// own bytes on ptys or pipes, and a GPIO chip behind a socket. The driver, its
// framing and the kernel's line discipline are under every test; only the wire
// is not real.
package sim

import (
	"fmt"
	"os"
	"runtime"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// OpenPTY opens a raw pty pair: the far end to play on, and the path that a
// driver opens. The near end is also held open here for as long as the far end
// is in use, so that the line does not hang up before a driver opens it and
// when one closes it. To close the far end is to pull the plug.
func OpenPTY() (far *os.File, path string, err error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, "", fmt.Errorf("opening a pty: %w", err)
	}
	t, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err == nil {
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		err = unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, t)
	}
	if err != nil {
		master.Close()
		slave.Close()
		return nil, "", fmt.Errorf("making a pty raw: %w", err)
	}
	path = slave.Name()
	runtime.AddCleanup(master, func(s *os.File) { s.Close() }, slave)
	return master, path, nil
}
