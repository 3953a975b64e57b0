package gpio

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeKernel answers in the kernel's bytes. A claimed line is the end of a
// pipe, into which a test puts struct gpio_v2_line_event.
type fakeKernel struct {
	t     *testing.T
	chips map[string]*fakeChip // by path

	mu    sync.Mutex // an Edges and a test call it at once
	files map[uintptr]*fakeChip
	lines map[uintptr]*fakeLine // claimed
	err   error                 // of every ioctl from now on
}

type fakeChip struct {
	name, label string
	lines       []*fakeLine
	denied      error // of open
}

type fakeLine struct {
	name     string
	consumer string
	level    uint64
	request  []byte // as claimed
	feed     *os.File
}

func newKernel(t *testing.T, chips map[string]*fakeChip) *fakeKernel {
	return &fakeKernel{t: t, chips: chips, files: map[uintptr]*fakeChip{}, lines: map[uintptr]*fakeLine{}}
}

func number(f *os.File) (fd uintptr) {
	rc, err := f.SyscallConn()
	if err == nil {
		err = rc.Control(func(n uintptr) { fd = n })
	}
	if err != nil {
		panic(err) // the test closed a file that it uses
	}
	return fd
}

func (k *fakeKernel) open(path string) (*os.File, error) {
	c := k.chips[path]
	switch {
	case c == nil:
		return nil, &os.PathError{Op: "open", Path: path, Err: unix.ENOENT}
	case c.denied != nil:
		return nil, &os.PathError{Op: "open", Path: path, Err: c.denied}
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	k.files[number(f)] = c
	return f, nil
}

func (k *fakeKernel) ioctl(f *os.File, request uint, b []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	ne := binary.NativeEndian
	chip, line := k.files[number(f)], k.lines[number(f)]
	switch {
	case k.err != nil:
		return k.err
	case chip != nil && request == 0x8044b401:
		clear(b)
		copy(b, chip.name)
		copy(b[32:], chip.label)
		ne.PutUint32(b[64:], uint32(len(chip.lines)))
	case chip != nil && request == 0xc100b405:
		l := chip.lines[ne.Uint32(b[64:])]
		copy(b, l.name)
		copy(b[32:], l.consumer)
	case chip != nil && request == 0xc250b407:
		lines := chip.lines[ne.Uint32(b):][:1:1]
		if ne.Uint32(b[560:]) == 2 {
			lines = append(lines, chip.lines[ne.Uint32(b[4:])])
		}
		return k.claim(lines, b)
	case line != nil && request == 0xc010b40e:
		ne.PutUint64(b, line.level)
	case line != nil && request == 0xc010b40f:
		line.level = ne.Uint64(b)
	default:
		return unix.ENOTTY
	}
	return nil
}

// claim gives lines out; of a pair the first has the file and both levels.
func (k *fakeKernel) claim(lines []*fakeLine, b []byte) error {
	for _, l := range lines {
		if l.consumer != "" {
			return unix.EBUSY
		}
	}
	for _, l := range lines {
		l.consumer = text(b[256:288])
	}
	l := lines[0]
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	l.feed = os.NewFile(uintptr(p[1]), l.name)
	k.t.Cleanup(func() { l.feed.Close() })
	l.request = append([]byte(nil), b...)
	if binary.NativeEndian.Uint32(b[320:]) == 2 { // OUTPUT_VALUES
		l.level = binary.NativeEndian.Uint64(b[328:])
	}
	k.lines[uintptr(p[0])] = l
	binary.NativeEndian.PutUint32(b[588:], uint32(p[0]))
	return nil
}

func (k *fakeKernel) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (l *fakeLine) edge(t *testing.T, active bool, seq uint32) int64 {
	t.Helper()
	stamp, err := monotonic()
	if err == nil {
		_, err = l.feed.Write(encodeEvent(event{stamp: stamp, active: active, seq: seq}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return stamp
}

// chipOf makes a chip out of lines' names.
func chipOf(name, label string, lines ...string) *fakeChip {
	c := &fakeChip{name: name, label: label}
	for _, l := range lines {
		c.lines = append(c.lines, &fakeLine{name: l})
	}
	return c
}

func device0(t *testing.T, lines ...string) (*fakeKernel, *fakeChip, *Chip) {
	t.Helper()
	far := chipOf("gpiochip0", "booth-gpio", lines...)
	k := newKernel(t, map[string]*fakeChip{"/dev/gpiochip0": far})
	d, err := openDevice(k, "/dev/gpiochip0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Chip{name: "/dev/gpiochip0", drv: d}
	t.Cleanup(func() { c.Close() })
	return k, far, c
}

func TestOpenLabel(t *testing.T) {
	dir := t.TempDir()
	chips := map[string]*fakeChip{}
	for node, c := range map[string]*fakeChip{
		"gpiochip0": chipOf("gpiochip0", "pl061"),
		"gpiochip1": chipOf("gpiochip1", "booth-gpio"),
		"gpiochip2": chipOf("gpiochip2", "expander"),
		"gpiochip3": chipOf("gpiochip3", "expander"),
	} {
		chips[filepath.Join(dir, node)] = c
		if err := os.WriteFile(filepath.Join(dir, node), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	chips[filepath.Join(dir, "gpiochip4")] = chips[filepath.Join(dir, "gpiochip1")]
	if err := os.Symlink("gpiochip1", filepath.Join(dir, "gpiochip4")); err != nil {
		t.Fatal(err)
	}
	k := newKernel(t, chips)
	for label, want := range map[string]string{"booth-gpio": "gpiochip1", "gpiochip3": "gpiochip3"} {
		d, err := openLabel(k, dir, label)
		if err != nil {
			t.Errorf("%s: %v", label, err)
			continue
		}
		if got := d.(*device).info.name; got != want {
			t.Errorf("%s is %s, want %s", label, got, want)
		}
		d.close()
	}
	if _, err := openLabel(k, dir, "expander"); err == nil || !strings.Contains(err.Error(), "gpiochip2 and gpiochip3 both have") {
		t.Errorf("a label that two chips have = %v", err)
	}
	if _, err := openLabel(k, dir, "none"); !errors.Is(err, ErrNoChip) || !strings.Contains(err.Error(), "have pl061, booth-gpio, expander, expander") {
		t.Errorf("a label that no chip has = %v", err)
	}
	chips[filepath.Join(dir, "gpiochip0")].denied = unix.EACCES
	if _, err := openLabel(k, dir, "none"); !errors.Is(err, ErrNoChip) || !errors.Is(err, unix.EACCES) {
		t.Errorf("a label that may be on a chip we may not open = %v", err)
	}
}

func TestOpenDeviceDenied(t *testing.T) {
	far := chipOf("gpiochip0", "x")
	far.denied = unix.EACCES
	_, err := openDevice(newKernel(t, map[string]*fakeChip{"/dev/gpiochip0": far}), "/dev/gpiochip0")
	if errors.Is(err, ErrNoChip) || !errors.Is(err, unix.EACCES) {
		t.Errorf("a chip that we may not open = %v: it is there", err)
	}
}

func TestClaimFromKernel(t *testing.T) {
	k, far, chip := device0(t, "LIGHT_RED", "LIGHT_GREEN", "", "", "TWICE", "TWICE", "KERNEL")
	far.lines[6].consumer = "sysfs"
	red := out(t, chip, OutConfig{Point: "traveller_red", Line: "LIGHT_RED", ActiveLow: true, Safe: true})
	l := far.lines[0]
	want := claim{point: "traveller_red", output: true, activeLow: true, first: true}.encode()
	if string(l.request) != string(want) || l.level != 1 || l.consumer != "boothd:traveller_red" {
		t.Errorf("claimed with % x", l.request)
	}
	if err := red.Set(false); err != nil || l.level != 0 {
		t.Errorf("Set(false): %v, level %d", err, l.level)
	}
	if red.Number() != 0 {
		t.Errorf("number %d, want 0", red.Number())
	}
	if n := out(t, chip, OutConfig{Point: "buzzer", Line: "@3"}).Number(); n != 3 {
		t.Errorf("@3 is offset %d", n)
	}
	for line, want := range map[string]string{
		"LIGHT_RED":  `GPIO line in use by "boothd:traveller_red"`,
		"KERNEL":     `GPIO line in use by "sysfs"`,
		"LIGHT_BLUE": "no such GPIO line",
		"@7":         "no such GPIO line: the chip has offsets 0 to 6",
		"@x":         "no such GPIO line: the chip has offsets 0 to 6",
		"TWICE":      "offsets 4 and 5 have that name; give @4 or the like",
	} {
		_, err := chip.Out(OutConfig{Point: "p", Line: line})
		if want := "claiming output p on line " + line + " of /dev/gpiochip0: " + want; err == nil || err.Error() != want {
			t.Errorf("Out(%s) = %v, want %s", line, err, want)
		}
	}
	k.fail(unix.ENODEV)
	if err := red.Set(true); !errors.Is(err, ErrGone) || red.Commanded() {
		t.Errorf("Set on a chip that is gone = %v", err)
	}
	if _, err := chip.In(InConfig{Point: "p", Line: "@2"}); !errors.Is(err, ErrGone) {
		t.Errorf("In on a chip that is gone = %v", err)
	}
	k.fail(nil)
	if err := chip.Close(); err != nil || l.level != 1 {
		t.Errorf("Close: %v, level %d, want safe", err, l.level)
	}
}

func TestEdgesFromKernel(t *testing.T) {
	_, far, chip := device0(t, "LOOP")
	loop := in(t, chip, InConfig{Point: "booth_loop", Line: "LOOP"})
	l := far.lines[0]
	l.edge(t, true, 1) // before anyone reads; the level has gone back since
	l.edge(t, false, 2)
	edge, stop := iter.Pull2(loop.Edges(t.Context()))
	defer stop()
	if e, err, _ := edge(); err != nil || e.Active {
		t.Fatalf("at start %+v, %v", e, err)
	}
	for _, s := range []struct {
		active bool
		seq    uint32
		lost   bool
	}{{true, 3, false}, {false, 4, false}, {false, 6, true}, {true, 9, true}} {
		before := time.Now()
		l.edge(t, s.active, s.seq)
		e, err, _ := edge()
		want := Edge{Point: "booth_loop", Active: s.active, At: e.At, Lost: s.lost}
		if err != nil || e != want || e.At.Before(before) || e.At.After(time.Now()) {
			t.Errorf("edge %+v, %v; want %+v after %v", e, err, want, before)
		}
	}
	l.edge(t, true, 10) // no change, and nothing lost
	if _, err := l.feed.Write(make([]byte, eventSize)); err != nil {
		t.Fatal(err)
	}
	if e, err, _ := edge(); !errors.Is(err, errEvent) {
		t.Errorf("48 zeros are %+v, %v", e, err)
	}
}

// TestEdgeNeverReported: kernels have lost edges; the level is looked at.
func TestEdgeNeverReported(t *testing.T) {
	k, far, chip := device0(t, "LOOP")
	loop := in(t, chip, InConfig{Point: "booth_loop", Line: "LOOP"})
	loop.seq = 7
	far.lines[0].level = 1
	if ev, ok, err := loop.look(t.Context(), true); ok || err != nil {
		t.Errorf("level as before: %+v, %v, %v", ev, ok, err)
	}
	ev, ok, err := loop.look(t.Context(), false)
	if !ok || err != nil || !ev.active || ev.seq == loop.seq+1 {
		t.Errorf("level changed without an edge: %+v, %v, %v; want one out of order", ev, ok, err)
	}
	stamp := far.lines[0].edge(t, true, 8)
	if ev, ok, err := loop.look(t.Context(), false); !ok || err != nil || ev != (event{stamp: stamp, active: true, seq: 8}) {
		t.Errorf("edge under way: %+v, %v, %v", ev, ok, err)
	}
	k.fail(unix.ENODEV) // an old kernel wakes nobody when the chip goes
	if _, _, err := loop.look(t.Context(), false); !errors.Is(err, ErrGone) {
		t.Errorf("chip gone without a word: %v", err)
	}
}

func TestKernelReadEnds(t *testing.T) {
	_, _, chip := device0(t, "LOOP")
	loop := in(t, chip, InConfig{Point: "booth_loop", Line: "LOOP"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range loop.Edges(ctx) {
		if last = err; err == nil {
			time.AfterFunc(time.Millisecond, cancel) // while the read waits, or before: it ends all the same
		}
	}
	if last != context.Canceled {
		t.Errorf("ctx ended and Edges with %v", last)
	}
	for _, err := range loop.Edges(t.Context()) {
		if last = err; err == nil {
			time.AfterFunc(time.Millisecond, func() { chip.Close() })
		}
	}
	if !errors.Is(last, os.ErrClosed) {
		t.Errorf("chip closed and Edges ended with %v", last)
	}
	if loop.WaitForEdge(0) {
		t.Error("an edge on a closed line")
	}
}

// TestKernelIoctl makes the real call where there is no chip.
func TestKernelIoctl(t *testing.T) {
	f, err := kernel{}.open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if err := (kernel{}).ioctl(f, unix.GPIO_GET_CHIPINFO_IOCTL, make([]byte, chipInfoSize)); !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("asking /dev/null for its lines = %v", err)
	}
	f.Close()
	if err := (kernel{}).ioctl(f, unix.GPIO_GET_CHIPINFO_IOCTL, make([]byte, chipInfoSize)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("asking a closed file = %v", err)
	}
}
