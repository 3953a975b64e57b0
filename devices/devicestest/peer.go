package devicestest

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/port"
	"boothd/devices/sim"
)

// silent is a peer that takes everything and says nothing for an hour: the
// driver reads nothing, ends with an error of its own or waits, and ends at
// once when it is told to.
func (d Device) silent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.Copy(io.Discard, far) // ends with the pipe
		}()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.life(ctx, t, pipe{near}) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		told := time.Now()
		cancel()
		if err := <-ended; err == nil {
			t.Error("a life on a silent line ended without a reason")
		}
		if took := time.Since(told); took > time.Second {
			t.Errorf("it took %v of virtual time to end", took)
		}
		_ = near.Close() // the driver has closed it
		_ = far.Close()
		<-drained
	})
}

// life is a driver's whole life on a line where nothing is to be read.
func (d Device) life(ctx context.Context, t *testing.T, w Wire) error {
	r, err := d.Open(ctx, w)
	if err != nil {
		return err
	}
	for read, e := range r.Reads(ctx) {
		if err = e; err == nil {
			t.Errorf("read %+v of a silent peer", read)
		}
	}
	return errors.Join(err, ignoreClosed(r.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// replug is two lives on real ptys: each reads its report, then the plug is
// pulled in the middle of the next. What was cut off is not read, not even by
// the next life, and the line is gone, said once and last.
func (d Device) replug(t *testing.T) {
	for life := range 2 {
		far, path, err := sim.OpenPTY()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = far.Close() }) // the plug may be pulled already
		say := func(b []byte) error { _, err := far.Write(b); return err }
		if d.Play != nil {
			say = d.Play(far)
		}
		p, err := port.Open(t.Context(), port.Spec{Path: path, Baud: 115200})
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.Open(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() }) // so may the driver
		if err := say(d.Frame(20 + life)); err != nil {
			t.Fatal(err)
		}
		reads, ends := 0, 0
		for read, err := range r.Reads(t.Context()) {
			if err != nil {
				if ends++; !errors.Is(err, port.ErrGone) {
					t.Errorf("after the unplug: %v, want %v", err, port.ErrGone)
				}
				continue
			}
			if reads++; reads != 1 || ends != 0 || !d.Is(read, 20+life) {
				t.Errorf("life %d: read %d is %+v after %d ends", life, reads, read, ends)
			}
			next := d.Frame(30 + life)
			if err := say(next[:len(next)-1]); err != nil {
				t.Fatal(err)
			}
			if err := far.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if c := r.Counters(); reads != 1 || ends != 1 || c.Frames == 0 || c.Bytes == 0 {
			t.Errorf("life %d: %d reads, %d ends, %+v", life, reads, ends, c)
		}
	}
}
