package devicestest

import (
	"context"
	"errors"
	"io"
	"net"
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
// both medians and what the driver adds, in microseconds. A device that is
// Posted says its reports over the network, and so does the echo.
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
	floor := newEcho(b, d.Posted)
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
	return r.Tag != nil || r.Plate != nil || r.Document != nil || r.Scan != nil || r.Key != nil
}

// echo is a line and somebody who reads it.
type echo struct {
	far  io.WriteCloser
	want chan int
	done chan time.Time
}

func newEcho(b *testing.B, network bool) *echo {
	b.Helper()
	open := ptyPair
	if network {
		open = tcpPair
	}
	far, near, err := open(b.Context())
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

func ptyPair(ctx context.Context) (far io.WriteCloser, near io.ReadCloser, _ error) {
	end, path, err := sim.OpenPTY()
	if err != nil {
		return nil, nil, err
	}
	near, err = port.Open(ctx, port.Spec{Path: path, Baud: 115200})
	return end, near, err
}

func tcpPair(ctx context.Context) (far io.WriteCloser, near io.ReadCloser, _ error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	far, err = new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
	if err == nil {
		near, err = ln.Accept()
	}
	return far, near, errors.Join(err, ln.Close())
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
