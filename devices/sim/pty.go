// Package sim plays the far end of every device: readers and cameras in their
// own bytes on ptys or pipes, and a GPIO chip behind a socket. The driver, its
// framing and the kernel's line discipline are under every test; only the wire
// is not real.
package sim

import (
	"errors"
	"fmt"
	"os"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// PTY is the far end of a raw pty pair, to play a device on. The near end is
// held open too, so that the line does not hang up before a driver opens it
// and when one closes it. To close it is to pull the plug.
type PTY struct {
	*os.File // the master
	near     *os.File
}

// OpenPTY opens a pty pair and tells the path that a driver opens.
func OpenPTY() (far *PTY, path string, err error) {
	master, near, err := pty.Open()
	if err != nil {
		return nil, "", fmt.Errorf("opening a pty: %w", err)
	}
	far = &PTY{master, near}
	t, err := unix.IoctlGetTermios(int(near.Fd()), unix.TCGETS)
	if err == nil {
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		err = unix.IoctlSetTermios(int(near.Fd()), unix.TCSETS, t)
	}
	if err == nil {
		far.File, err = polled(master)
	}
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("making a pty raw: %w", err), far.Close())
	}
	return far, near.Name(), nil
}

// polled is the same file, whose Read ends when it is closed. A Read that the
// kernel blocks would keep the line plugged in until the driver says something,
// which may be a minute after the plug was pulled.
func polled(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return f, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return f, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), f.Name()), f.Close()
}

// Free lifts the exclusive use that a killed driver has left on the line. A
// real port forgets it with its last holder; a pty keeps it, and everyone but
// root would find the port busy for ever.
func (p *PTY) Free() error {
	if err := unix.IoctlSetInt(int(p.near.Fd()), unix.TIOCNXCL, 0); err != nil {
		return fmt.Errorf("freeing a pty: %w", err)
	}
	return nil
}

// Close pulls the plug.
func (p *PTY) Close() error { return errors.Join(p.File.Close(), p.near.Close()) }
