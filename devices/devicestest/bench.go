package devicestest

import (
	"context"
	"slices"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/port"
	"boothd/devices/sim"
)

// fastest is the speed in bits a second that a codec is measured by; a byte
// takes ten.
const fastest = 921_600

// Codec measures a codec by itself: take reads all of the wire's bytes. It
// reports how many lines of 921,600 baud one processor could read (product
// design, section 9: P14; at least 100).
func Codec(b *testing.B, wire []byte, take func(wire []byte)) {
	b.Helper()
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		take(wire)
	}
	b.ReportMetric(float64(b.N)*float64(len(wire))*10/b.Elapsed().Seconds()/fastest, "P14-wires")
}

// Latency measures on a pty how long after the last byte of a report its read
// is there, in turn with the same bytes read by nobody's protocol. It reports
// both medians and what the driver adds, in microseconds.
func Latency(b *testing.B, d Device) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	far, path, err := sim.OpenPTY()
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = far.Close() }() // only read from
	say := func(p []byte) error { _, err := far.Write(p); return err }
	if d.Play != nil {
		say = d.Play(far)
	}
	p, err := port.Open(ctx, port.Spec{Path: path, Baud: 115200})
	if err != nil {
		b.Fatal(err)
	}
	r, err := d.Open(ctx, p)
	if err != nil {
		b.Fatal(err)
	}
	reads := make(chan time.Time)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for read, err := range r.Reads(ctx) {
			if err == nil && named(read) {
				reads <- time.Now()
			}
		}
	}()
	floor := newEcho(b)
	var ours, bare []time.Duration
	for n := 0; b.Loop(); n++ {
		frame := d.Frame(n % 1000)
		last := len(frame) - 1
		if err := say(frame[:last]); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if err := say(frame[last:]); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, (<-reads).Sub(began))
		bare = append(bare, floor.pass(b, frame))
	}
	cancel()
	<-ended
	_ = r.Close() // nothing was written
	slices.Sort(ours)
	slices.Sort(bare)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	mid := len(ours) / 2
	b.ReportMetric(us(ours[mid]), "us-to-read")
	b.ReportMetric(us(bare[mid]), "us-bare")
	b.ReportMetric(us(ours[mid]-bare[mid]), "us-added")
	b.ReportMetric(0, "ns/op")
}

// named tells a report's read from what else a driver says.
func named(r devices.Read) bool {
	return r.Tag != nil || r.Plate != nil || r.Document != nil || r.Scan != nil
}

// echo is a pty and somebody who reads it.
type echo struct {
	far  *sim.PTY
	want chan int
	done chan time.Time
}

func newEcho(b *testing.B) *echo {
	b.Helper()
	far, path, err := sim.OpenPTY()
	if err != nil {
		b.Fatal(err)
	}
	near, err := port.Open(b.Context(), port.Spec{Path: path, Baud: 115200})
	if err != nil {
		b.Fatal(err)
	}
	e := &echo{far: far, want: make(chan int), done: make(chan time.Time)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for want := range e.want {
			for want > 0 {
				n, err := near.Read(buf)
				if err != nil {
					b.Error(err)
					break
				}
				want -= n
			}
			e.done <- time.Now()
		}
	}()
	b.Cleanup(func() {
		close(e.want)
		<-ended
		_ = near.Close() // nothing was written
		_ = far.Close()
	})
	return e
}

// pass is how long after its last byte a frame was read.
func (e *echo) pass(b *testing.B, frame []byte) time.Duration {
	b.Helper()
	last := len(frame) - 1
	e.want <- len(frame)
	if _, err := e.far.Write(frame[:last]); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if _, err := e.far.Write(frame[last:]); err != nil {
		b.Fatal(err)
	}
	return (<-e.done).Sub(began)
}
