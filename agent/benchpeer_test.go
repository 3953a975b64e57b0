package agent

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"boothd/devices/gpio"
	"boothd/devices/port"
	"boothd/devices/sim"
)

// bare is the least that any lane computer does: it reads the line and sets a
// pin; with a log it makes a record durable before.
type bare struct {
	far *sim.PTY
	out *gpio.Out
	pin *lamp
	log *os.File
	at  int64
}

// logRoom is preallocated, so that an append changes no file size.
const (
	logRoom  = 64 << 20
	logEntry = 4096
)

func newBare(b *testing.B) *bare {
	b.Helper()
	far, path, err := sim.OpenPTY()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	chip, err := sim.ServeChip(b.Context(), filepath.Join(dir, "c"), []sim.ChipLine{{Name: "PIN"}})
	if err != nil {
		b.Fatal(err)
	}
	pin := newLamp("PIN")
	c, err := overheard(b.Context(), "sim:"+filepath.Join(dir, "c"), pin)
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.Out(gpio.OutConfig{Point: "pin", Line: "PIN"})
	if err != nil {
		b.Fatal(err)
	}
	go pin.watch(b.Context(), chip)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err == nil {
		err = unix.Fallocate(int(log.Fd()), 0, 0, logRoom)
	}
	if err == nil { // written once, so that no extent is left to be converted
		_, err = log.Write(make([]byte, logRoom))
	}
	if err == nil {
		err = log.Sync()
	}
	if err != nil {
		b.Fatal(err)
	}
	p, err := port.Open(b.Context(), port.Spec{Path: path, Baud: 115200})
	if err != nil {
		b.Fatal(err)
	}
	r := &bare{far: far, out: out, pin: pin, log: log}
	go r.serve(p)
	b.Cleanup(func() { _, _ = far.Close(), log.Close() })
	return r
}

// serve answers each line: 'l' logs before it sets the pin.
func (r *bare) serve(p io.ReadWriteCloser) {
	defer p.Close()
	var buf [512]byte
	entry := make([]byte, logEntry)
	for {
		n, err := p.Read(buf[:])
		if err != nil {
			return
		}
		if n == 0 || buf[n-1] != '\n' {
			continue
		}
		if buf[0] == 'l' {
			if _, err := r.log.WriteAt(entry, r.at%(logRoom-logEntry)); err != nil {
				return
			}
			r.at += logEntry
			if err := unix.Fdatasync(int(r.log.Fd())); err != nil {
				return
			}
		}
		if err := r.out.Set(true); err != nil {
			return
		}
	}
}

// once measures one round.
func (r *bare) once(b *testing.B, line string) sample {
	b.Helper()
	r.pin.drain()
	began := time.Now()
	if _, err := io.WriteString(r.far, line); err != nil {
		b.Fatal(err)
	}
	took := r.pin.lit(b, began)
	if err := r.out.Set(false); err != nil {
		b.Fatal(err)
	}
	return took
}

// lamp waits for one output to be lit. It sees it twice: when the command is
// handed to the chip, where a real chip would be driven by one ioctl, and when
// the simulated chip, which must first get the CPU for it, has set the line.
type lamp struct {
	line      string
	command   []byte // what a command names this line by
	commanded chan time.Time
	on        chan time.Time
}

func newLamp(line string) *lamp {
	return &lamp{line: line, command: []byte(`"line":"` + line + `"`), commanded: make(chan time.Time, 1024), on: make(chan time.Time, 1024)}
}

// overheard opens a simulated chip and listens to what it is told.
func overheard(ctx context.Context, name string, lamps ...*lamp) (*gpio.Chip, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(name, "sim:"))
	if err != nil {
		return nil, err
	}
	return gpio.OpenWire(ctx, &ear{Conn: conn, lamps: lamps})
}

// ear is a chip's wire that notes when a lamp is told to be lit.
type ear struct {
	net.Conn
	lamps []*lamp
}

func (t *ear) Write(p []byte) (int, error) {
	now := time.Now()
	for _, l := range t.lamps {
		if bytes.Contains(p, l.command) && bytes.Contains(p, []byte(`"op":"set"`)) && bytes.Contains(p, []byte(`"active":true`)) {
			l.commanded <- now
		}
	}
	return t.Conn.Write(p)
}

func (l *lamp) watch(ctx context.Context, chip *sim.Chip) {
	for c := range chip.Watch(ctx) {
		if c.Line == l.line && c.Level {
			l.on <- c.At
		}
	}
}

func (l *lamp) drain() {
	for len(l.commanded) > 0 || len(l.on) > 0 {
		select {
		case <-l.commanded:
		case <-l.on:
		}
	}
}

func (l *lamp) lit(b *testing.B, began time.Time) (s sample) {
	b.Helper()
	s, ok := l.await(began)
	if !ok {
		b.Fatalf("%s is never lit", l.line)
	}
	return s
}

// await is lit, and tells whether the lamp came at all.
func (l *lamp) await(began time.Time) (s sample, ok bool) {
	for _, at := range []struct {
		from chan time.Time
		to   *time.Duration
	}{{l.commanded, &s.commanded}, {l.on, &s.seen}} {
		select {
		case t := <-at.from:
			*at.to = t.Sub(began)
		case <-time.After(5 * time.Second):
			return s, false
		}
	}
	return s, true
}

// sample is one measurement, from the last byte of the input.
type sample struct{ commanded, seen time.Duration }
