package wiegand

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/gpio"
	"boothd/devices/sim"
)

// door is a reader on a simulated chip, and the driver at it.
type door struct {
	*testing.T
	Sim
	far   *sim.Chip
	cfg   Config
	heard []string

	r      *Reader
	cancel context.CancelFunc
	reads  []devices.Read
	over   chan struct{}
	err    error // why Reads ended; read after over
}

var dataLines = [2]string{"D0", "D1"}

// bubble runs a test at a door, in virtual time.
func bubble(t *testing.T, formats []Format, act func(d *door)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &door{T: t, far: sim.NewChip(sim.ChipLine{Name: "D0", Pull: true}, sim.ChipLine{Name: "D1", Pull: true})}
		d.Pulse = func(p []devices.Pulse) error { return d.far.Pulse(dataLines, p) }
		d.cfg = Config{Name: "door", Role: devices.RoleCard, Formats: formats,
			Heard: func(bits []byte) { d.heard = append(d.heard, string(bits)) }}
		if err := d.open(); err != nil {
			t.Fatal(err)
		}
		act(d)
		d.close()
	})
}

// open opens the driver on a connection of its own to the chip, as the booth
// does.
func (d *door) open() error {
	here, there := net.Pipe()
	go func() { _ = d.far.Serve(there) }() // ends with the connection
	ctx, cancel := context.WithCancel(d.Context())
	chip, err := gpio.OpenWire(ctx, here)
	if err != nil {
		cancel()
		return err
	}
	pair, err := chip.Pair(gpio.PairConfig{Point: "door", Lines: dataLines})
	if err != nil {
		cancel()
		return errors.Join(err, chip.Close())
	}
	lines := struct {
		*gpio.Pair
		io.Closer
	}{pair, chip}
	if d.r, err = Open(ctx, lines, d.cfg); err != nil {
		cancel()
		return err
	}
	d.cancel, d.over, d.err = cancel, make(chan struct{}), nil
	go func() {
		defer close(d.over)
		for read, err := range d.r.Reads(ctx) {
			if err != nil {
				d.err = err
				continue
			}
			d.reads = append(d.reads, read)
		}
	}()
	return nil
}

func (d *door) close() {
	d.cancel()
	<-d.over
	_ = d.r.Close() // the chip may be gone
	synctest.Wait()
}

// send sends bits and waits until silence has ended them.
func (d *door) send(bits string) {
	d.Helper()
	if err := d.Raw(bits); err != nil {
		d.Fatal(err)
	}
	time.Sleep(time.Duration(len(bits))*intervalUsual + 40*time.Millisecond)
	synctest.Wait()
}

// want compares what was read since the last time: an identity, or "" for what
// could not be read.
func (d *door) want(what string, idents ...string) {
	d.Helper()
	synctest.Wait()
	got := []string{}
	for _, r := range d.reads {
		if r.Device != "door" || r.Role != devices.RoleCard || r.Tag == nil || r.Tag.Unreadable != (r.Tag.EPC == "") {
			d.Errorf("%s: %+v", what, r)
			continue
		}
		got = append(got, r.Tag.EPC.Reveal())
	}
	if !slices.Equal(got, idents) && len(got)+len(idents) > 0 {
		d.Errorf("%s: read %q, want %q", what, got, idents)
	}
	d.reads = nil
}

// ended waits for the end of Reads, at most a time.
func (d *door) ended(why error, within time.Duration) {
	d.Helper()
	begun := time.Now()
	select {
	case <-d.over:
	case <-time.After(within):
		d.Fatalf("no %v within %v", why, within)
	}
	if !errors.Is(d.err, why) {
		d.Errorf("after %v Reads ended with %v, want %v", time.Since(begun), d.err, why)
	}
	_ = d.r.Close() // the chip may be gone
}

// again opens anew until it works, as the booth does.
func (d *door) again(within time.Duration) {
	d.Helper()
	for begun := time.Now(); ; time.Sleep(time.Second) {
		err := d.open()
		if err == nil {
			return
		}
		if time.Since(begun) > within {
			d.Fatalf("not back within %v: %v", within, err)
		}
	}
}
