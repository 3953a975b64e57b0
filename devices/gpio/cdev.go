package gpio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// caller makes the system calls, so that a test can answer in the kernel's
// bytes where there is no chip.
type caller interface {
	open(path string) (*os.File, error)
	ioctl(f *os.File, request uint, arg []byte) error
}

// kernel is the real caller.
type kernel struct{}

func (kernel) open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|syscall.O_CLOEXEC, 0)
}

// ioctl goes through SyscallConn, since Fd would take the file from the poller
// and a read could then not be ended.
func (kernel) ioctl(f *os.File, request uint, arg []byte) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = rc.Control(func(fd uintptr) {
		for {
			_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(unsafe.Pointer(&arg[0])))
			if errno != unix.EINTR {
				return
			}
		}
	})
	runtime.KeepAlive(arg)
	switch {
	case err != nil:
		return os.ErrClosed // its only error, under a name that cannot be compared
	case errno != 0:
		return errno
	}
	return nil
}

// device is a character device.
type device struct {
	caller
	file *os.File
	info chipInfo
}

// openDevice opens a character device; what is not one is no chip.
func openDevice(c caller, path string) (driver, error) {
	d, err := openNode(c, path)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func openNode(c caller, path string) (*device, error) {
	f, err := c.open(path)
	if err != nil {
		return nil, noChip(err)
	}
	b := make([]byte, chipInfoSize)
	if err := c.ioctl(f, unix.GPIO_GET_CHIPINFO_IOCTL, b); err != nil {
		f.Close()
		return nil, fmt.Errorf("asking %s for its lines: %w", path, noChip(err))
	}
	return &device{caller: c, file: f, info: decodeChipInfo(b)}, nil
}

// noChip marks the errors of a node without a chip behind it.
func noChip(err error) error {
	for _, e := range []error{fs.ErrNotExist, unix.ENXIO, unix.ENODEV, unix.ENOTTY, unix.EINVAL} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrNoChip, err)
		}
	}
	return err
}

// openLabel opens the chip with a label or name. Some boards have a second
// node for one chip: those that link to another are left out. A node that
// cannot be opened may be the one: it is named if no other is.
func openLabel(c caller, dir, label string) (driver, error) {
	nodes, err := filepath.Glob(filepath.Join(dir, "gpiochip*"))
	if err != nil {
		return nil, err
	}
	var found *device
	var others []string
	var closed error
	for _, node := range nodes {
		if s, err := os.Lstat(node); err != nil || s.Mode()&fs.ModeSymlink != 0 {
			continue
		}
		d, err := openNode(c, node)
		switch {
		case err != nil:
			closed = err
			continue
		case d.info.label != label && d.info.name != label:
			others = append(others, d.info.label)
			d.file.Close()
		case found != nil:
			d.file.Close()
			found.file.Close()
			return nil, fmt.Errorf("%s and %s both have the label %q; give the path", found.info.name, d.info.name, label)
		default:
			found = d
		}
	}
	switch {
	case found != nil:
		return found, nil
	case closed != nil:
		return nil, fmt.Errorf("%w (have %s), and of one the label cannot be read: %w", ErrNoChip, strings.Join(others, ", "), closed)
	case len(others) == 0:
		return nil, fmt.Errorf("%w: %s has none", ErrNoChip, dir)
	}
	return nil, fmt.Errorf("%w (have %s)", ErrNoChip, strings.Join(others, ", "))
}

func (d *device) close() error { return d.file.Close() }

// line asks the chip about one line.
func (d *device) line(offset uint32) (lineInfo, error) {
	b := encodeLineInfo(offset)
	if err := d.ioctl(d.file, unix.GPIO_V2_GET_LINEINFO_IOCTL, b); err != nil {
		return lineInfo{}, gone(err)
	}
	return decodeLineInfo(b), nil
}

// find looks a line up by name, or by "@" and its offset.
func (d *device) find(name string) (uint32, error) {
	if at, ok := strings.CutPrefix(name, "@"); ok {
		n, err := strconv.ParseUint(at, 10, 32)
		if err != nil || uint32(n) >= d.info.lines {
			return 0, fmt.Errorf("%w: the chip has offsets 0 to %d", ErrNoLine, int64(d.info.lines)-1)
		}
		return uint32(n), nil
	}
	var found []uint32
	for n := range d.info.lines {
		info, err := d.line(n)
		if err != nil {
			return 0, err
		}
		if info.name == name {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return 0, ErrNoLine
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("offsets %d and %d have that name; give @%d or the like", found[0], found[1], found[0])
}

func (d *device) claim(_ context.Context, name string, c claim) (wire, error) {
	offset, err := d.find(name)
	if err != nil {
		return nil, err
	}
	c.offset = offset
	f, err := d.request(c.encode(), name, offset)
	if err != nil {
		return nil, err
	}
	return &cline{caller: d.caller, file: f, offset: int(offset), decode: decodeEvent}, nil
}

// request makes a claim and gives the file of what was claimed.
func (d *device) request(b []byte, name string, offsets ...uint32) (*os.File, error) {
	if err := d.ioctl(d.file, unix.GPIO_V2_GET_LINE_IOCTL, b); err != nil {
		if !errors.Is(err, unix.EBUSY) {
			return nil, gone(err)
		}
		holder := ""
		for _, offset := range offsets {
			info, _ := d.line(offset) // at worst the name is missing
			holder = cmp.Or(holder, info.consumer)
		}
		return nil, fmt.Errorf("%w by %q", ErrBusy, holder)
	}
	fd := requestFile(b)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making the line's file non-blocking: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (d *device) pair(_ context.Context, names [2]string, c claim) (pairWire, error) {
	var offsets [2]uint32
	for i, name := range names {
		offset, err := d.find(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		offsets[i] = offset
	}
	c.offset = offsets[0]
	f, err := d.request(c.encodePair(offsets[1]), names[0]+"+"+names[1], offsets[:]...)
	if err != nil {
		return nil, err
	}
	return &cpair{cline{caller: d.caller, file: f, offset: int(offsets[0]),
		decode: func(b []byte) (event, error) { return decodePairEvent(b, offsets) }}}, nil
}

// cpair is two lines claimed from the kernel in one request.
type cpair struct{ cline }

func (l *cpair) low() (low [2]bool, err error) {
	b := encodePairValues()
	if err := l.ioctl(l.file, unix.GPIO_V2_LINE_GET_VALUES_IOCTL, b); err != nil {
		return low, gone(err)
	}
	high := decodePairValues(b)
	return [2]bool{!high[0], !high[1]}, nil
}

// cline is a line claimed from the kernel.
type cline struct {
	caller
	file   *os.File
	offset int
	decode func([]byte) (event, error)
	events []event // decoded and not yet taken; belongs to whoever calls next
}

func (l *cline) number() int { return l.offset }

func (l *cline) level() (bool, int64, error) {
	// Taken before the level: an edge stamped earlier is in the level.
	stamp, err := monotonic()
	if err != nil {
		return false, 0, err
	}
	b := encodeValues(false) // the mask asks for the line
	if err := l.ioctl(l.file, unix.GPIO_V2_LINE_GET_VALUES_IOCTL, b); err != nil {
		return false, 0, gone(err)
	}
	return decodeValues(b), stamp, nil
}

func (l *cline) set(active bool) error {
	return gone(l.ioctl(l.file, unix.GPIO_V2_LINE_SET_VALUES_IOCTL, encodeValues(active)))
}

func (l *cline) next(ctx context.Context, wait time.Duration) (event, bool, error) {
	if len(l.events) == 0 {
		if err := l.fill(ctx, wait); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
				return event{}, false, nil
			}
			return event{}, false, errors.Join(ctx.Err(), gone(err))
		}
	}
	ev := l.events[0]
	l.events = l.events[1:]
	return ev, true, nil
}

// fill reads at least one event from the kernel.
func (l *cline) fill(ctx context.Context, wait time.Duration) error {
	if err := l.file.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var b [16 * eventSize]byte
	n, err := l.file.Read(b[:])
	if err != nil {
		return err
	}
	l.events = nil
	for chunk := range slices.Chunk(b[:n], eventSize) {
		ev, err := l.decode(chunk)
		if err != nil {
			return err
		}
		l.events = append(l.events, ev)
	}
	return nil
}

func (l *cline) at(stamp int64) time.Time {
	mono, err := monotonic()
	now := time.Now()
	if err != nil || stamp > mono {
		return now
	}
	return now.Add(time.Duration(stamp - mono))
}

func (l *cline) close() error { return l.file.Close() }

// monotonic is the clock of the kernel's stamps.
func monotonic() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("reading the monotonic clock: %w", err)
	}
	return ts.Nano(), nil
}

// gone marks the errors of a chip that was unplugged or unbound.
func gone(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}
