package devicestest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/port"
	"boothd/devices/sim"
	"boothd/test/long"
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
		time.Sleep(d.Linger)
	})
}

// halved is a wire at half the device's speed: of each byte it sees the low
// half twice.
type halved struct{ pipe }

func (h halved) Read(b []byte) (int, error) {
	n, err := h.pipe.Read(b)
	for i := range b[:n] {
		b[i] = b[i]<<4 | b[i]&0x0F
	}
	return n, err
}

// garbled is a device that speaks at another speed: the driver reads nobody
// out of it, and ends when it is told to, if it has not given up by itself.
func (d Device) garbled(t *testing.T) {
	if d.Posted {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		say := func(b []byte) error { _, err := far.Write(b); return err }
		var talk sync.WaitGroup
		if d.Play != nil {
			say = d.Play(far)
		} else {
			talk.Go(func() { _, _ = io.Copy(io.Discard, far) }) // ends with the pipe
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.life(ctx, t, halved{pipe{near}}) }()
		talk.Go(func() {
			for n := 0; n < 100 && say(d.Frame(n)) == nil; n++ {
				time.Sleep(100 * time.Millisecond)
			}
		})
		time.Sleep(time.Minute)
		cancel()
		if err := <-ended; err == nil {
			t.Error("a life on a line of another speed ended without a reason")
		}
		_ = near.Close() // the driver has closed it
		_ = far.Close()
		talk.Wait()
		time.Sleep(d.Linger)
	})
}

// stuck is a wire that takes nothing, as a port tells it: every Write is given
// up after a while.
type stuck struct{ pipe }

func (stuck) Write([]byte) (int, error) {
	time.Sleep(2 * time.Second)
	return 0, port.ErrStuck
}

// blocked is a device that takes nothing that is written to it. Who has to
// write says so within a minute; who only listens waits until he is told to end.
func (d Device) blocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := d.life(ctx, t, stuck{pipe{near}}); err == nil {
			t.Error("a life on a line that takes nothing ended without a reason")
		}
		_ = near.Close() // the driver has closed it
		_ = far.Close()
		time.Sleep(d.Linger)
	})
}

// life is a driver's whole life on a line where nothing is to be read.
func (d Device) life(ctx context.Context, t *testing.T, w Wire) error {
	r, err := d.Open(ctx, w)
	if err != nil {
		return err
	}
	for read, e := range r.Reads(ctx) {
		if err = e; err == nil && named(read) && !unreadable(read) {
			t.Errorf("read %+v of a peer that said nothing like it", read)
		}
	}
	return errors.Join(err, ignoreClosed(r.Close()))
}

// unreadable tells that a read names nobody.
func unreadable(r devices.Read) bool {
	return r.Tag != nil && r.Tag.Unreadable || r.Document != nil && (r.Document.Unreadable || r.Document.CheckFailed) || r.Scan != nil && r.Scan.Unreadable ||
		r.Plate != nil && r.Plate.NoRead
}

func ignoreClosed(err error) error {
	if errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// replug is many lives on real ptys, a thousand in the long run: each leaves
// nothing behind.
func (d Device) replug(t *testing.T) {
	lives := 100
	switch n := long.Times(); {
	case d.Replugs > 0:
		lives = d.Replugs * max(1, n)
	case n > 0:
		lives = 1000 * n
	}
	var first held
	for life := range lives {
		d.plugged(t, life)
		if life == 0 { // what is made once is there by now
			first = holds(t)
		}
	}
	const grown = 1 << 20 // bytes; 1 KiB a life would be found
	now := holds(t)
	more := func() bool {
		return now.goroutines > first.goroutines || now.files > first.files || now.heap > first.heap+grown
	}
	// The far end is on its way out, and time-outs that nobody needs hold a little.
	for end := time.Now().Add(2 * time.Minute); more() && time.Now().Before(end); now = holds(t) {
		time.Sleep(50 * time.Millisecond)
	}
	if more() {
		t.Errorf("after %d lives %+v is held, after the first it was %+v", lives, now, first)
	}
}

// held is what a process holds.
type held struct{ goroutines, files, heap int }

func holds(t *testing.T) held {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools let go
	runtime.ReadMemStats(&m)
	return held{runtime.NumGoroutine(), len(files), int(m.HeapAlloc)}
}

// plugged is a life of the line: it reads its report, then the plug is pulled in
// the middle of the next. What was cut off is not read, not even by the next
// life, and the line is gone, said once and last.
func (d Device) plugged(t *testing.T, life int) {
	t.Helper()
	n := life % 100
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close() // the plug may be pulled already
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
	defer r.Close() // so may the driver
	if err := say(d.Frame(100 + n)); err != nil {
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
		if reads++; reads != 1 || ends != 0 || !d.Is(read, 100+n) {
			t.Errorf("life %d: read %d is %+v after %d ends", life, reads, read, ends)
		}
		next := d.Frame(300 + n)
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
