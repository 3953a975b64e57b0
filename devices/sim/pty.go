// Package sim plays the far end of every device: readers and cameras in their
// own bytes on ptys or pipes, and a GPIO chip behind a socket. The driver, its
// framing and the kernel's line discipline are under every test; only the wire
// is not real.
package sim

import (
	"fmt"
	"os"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// OpenPTY opens a raw pty pair: the far end to play on, and the path that a
// driver opens. The slave is kept open until the far end is closed by nobody:
// a driver that closes its end does not hang the line up.
func OpenPTY() (far *os.File, path string, err error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, "", fmt.Errorf("opening a pty: %w", err)
	}
	defer slave.Close()
	t, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err == nil {
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		err = unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, t)
	}
	if err != nil {
		master.Close()
		return nil, "", fmt.Errorf("making a pty raw: %w", err)
	}
	return master, slave.Name(), nil
}
