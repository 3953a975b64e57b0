package fieldbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Config is one box.
type Config struct {
	Dir    string // of its disk and sockets; short, since a socket's path has 107 bytes
	Cache  string // where the script build has put kernel and disk
	Shared string // folder that the guest sees; it holds gpio.conf, a name and a pull ("up", "down") a row
}

// Box is a field box. Its methods belong to one goroutine, but for Run and
// Dial.
type Box struct {
	cfg   Config
	ports chan *port // control ports that are free
	disk  *Disk
	qemu  *exec.Cmd
	dead  chan struct{} // closed once QEMU has ended
	seed  uint64        // of the next random cut
}

// New makes a box with a fresh disk; it is off.
func New(cfg Config) (*Box, error) {
	b := &Box{cfg: cfg, ports: make(chan *port, ControlPorts)}
	for n := range ControlPorts {
		b.ports <- &port{n: n}
	}
	// cp keeps the holes of the image: 1 GiB with 0.2 in it.
	if out, err := exec.Command("cp", "--sparse=always", filepath.Join(cfg.Cache, "disk.img"), b.path("disk.img")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making the disk: %w: %s", err, out)
	}
	return b, nil
}

func (b *Box) path(name string) string { return filepath.Join(b.cfg.Dir, name) }

// bootLimit is how long a boot may take: emulated, on two processors that ten
// others wanted, it was 73 s, and 205 s where forty did.
const bootLimit = 10 * time.Minute

// On switches the box on and waits until systemd has started everything. It
// tells how long that took.
func (b *Box) On(ctx context.Context) (took time.Duration, err error) {
	if b.disk, err = ServeDisk(b.path("disk"), b.path("disk.img")); err != nil {
		return 0, err
	}
	began := time.Now()
	b.qemu = exec.Command("qemu-system-x86_64", b.args()...)
	b.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(b.path("qemu.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, errors.Join(err, b.disk.Close())
	}
	b.qemu.Stdout, b.qemu.Stderr = log, log
	err = errors.Join(b.qemu.Start(), log.Close())
	if err != nil {
		return 0, errors.Join(fmt.Errorf("switching on: %w", err), b.disk.Close())
	}
	b.dead = make(chan struct{})
	go func(q *exec.Cmd, dead chan struct{}) {
		_ = q.Wait() // killed, as a rule
		close(dead)
	}(b.qemu, b.dead)
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	for ctx.Err() == nil {
		var state string
		if state, err = b.Run(ctx, "systemctl is-system-running --wait || true"); err == nil {
			if s := strings.TrimSpace(state); s == "running" || s == "degraded" {
				return time.Since(began), nil
			}
		}
		select {
		case <-b.dead:
			return 0, fmt.Errorf("the box went off: %s", b.Console())
		case <-time.After(100 * time.Millisecond): // the agent is not there yet
		case <-ctx.Done():
		}
	}
	return 0, errors.Join(fmt.Errorf("the box does not start: %w", ctx.Err()), err, errors.New(b.Console()))
}

// Cut takes the power away: of what the disk was not told to flush all is lost
// or, at random, half of it. The guest's processor stops before the disk does,
// so that it never sees it fail.
func (b *Box) Cut(random bool) (kept, lost int, err error) {
	if err := b.qemu.Process.Signal(syscall.SIGSTOP); err != nil {
		return 0, 0, fmt.Errorf("cutting the power: %w", err)
	}
	b.seed++
	coin := rand.New(rand.NewPCG(b.seed, 0xc07))
	kept, lost, err = b.disk.Cut(func() bool { return random && coin.IntN(2) == 0 })
	return kept, lost, errors.Join(err, b.Off())
}

// Off ends the box at once, with what its disk has in the cache kept. It does
// nothing if it is off.
func (b *Box) Off() error {
	if b.qemu == nil {
		return nil
	}
	_ = b.qemu.Process.Kill() // it may have ended
	<-b.dead
	for range ControlPorts {
		p := <-b.ports
		p.hang()
		b.ports <- p
	}
	b.qemu = nil
	err := b.disk.Close()
	for _, name := range []string{"disk", "qmp"} {
		if e := os.Remove(b.path(name)); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Dial plays the far end of a line: "uart0" to "uart3", "usb0". There is one
// at a time; what the box says while there is none is lost, as on a cable that
// ends nowhere.
func (b *Box) Dial(line string) (io.ReadWriteCloser, error) {
	return net.Dial("unix", b.path(line))
}

// Console is what the kernel has said.
func (b *Box) Console() string {
	text, err := os.ReadFile(b.path("console.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}
