package devicestest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/port"
)

// What a booth promises of a device that was away, and how it looks for one
// that is (device protocols, faults; the booth's supervisor).
const (
	backMost  = 3 * time.Second
	pauseMost = time.Second
	// dialWait is how long a reader on the network is called in vain.
	dialWait = 2 * time.Second
)

// cable is what a device hangs on. While it is cut nothing comes, what is sent
// is lost, and nobody is told. The device at its end can be exchanged.
type cable struct {
	mu     sync.Mutex // the test, the driver and the pump
	near   net.Conn   // its far end is the device's
	cut    bool
	in     chan []byte // what came and was not read; nil: nobody listens
	pumped sync.WaitGroup
}

// attach puts a device at the end and gives its side of the line. The one before
// is gone without a word.
func (c *cable) attach() (far net.Conn) {
	near, far := net.Pipe()
	c.mu.Lock()
	old := c.near
	c.near = near
	c.mu.Unlock()
	if old != nil {
		_ = old.Close() // only ends who wrote to it
	}
	c.pumped.Go(func() {
		b := make([]byte, 4096)
		for {
			n, err := near.Read(b)
			if err != nil {
				return
			}
			c.mu.Lock()
			if !c.cut && c.in != nil {
				select {
				case c.in <- append([]byte(nil), b[:n]...):
				default: // a line that nobody reads forgets
				}
			}
			c.mu.Unlock()
		}
	})
	return far
}

// hangUp ends a connection, as the far end's kernel does for a program that died.
func (c *cable) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in != nil {
		close(c.in)
		c.in = nil
	}
}

func (c *cable) sever(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = on
}

// open is the port opened: what came before is forgotten.
func (c *cable) open() *socket {
	in := make(chan []byte, 1024)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = in
	return &socket{cable: c, in: in, closed: make(chan struct{})}
}

func (c *cable) end() {
	c.mu.Lock()
	near := c.near
	c.mu.Unlock()
	_ = near.Close() // ends pump and device
	c.pumped.Wait()
}

// socket is a port on a cable, which outlives it.
type socket struct {
	*cable
	in     <-chan []byte
	left   []byte
	once   sync.Once
	closed chan struct{}
}

func (s *socket) Read(b []byte) (int, error) {
	if len(s.left) == 0 {
		quiet := time.NewTimer(100 * time.Millisecond)
		defer quiet.Stop()
		ok := true
		select {
		case s.left, ok = <-s.in:
			if !ok {
				return 0, port.ErrGone
			}
		case <-quiet.C:
			return 0, nil
		case <-s.closed:
			return 0, net.ErrClosed
		}
	}
	n := copy(b, s.left)
	s.left = s.left[n:]
	return n, nil
}

func (s *socket) Write(b []byte) (int, error) {
	s.mu.Lock()
	near, cut := s.near, s.cut
	s.mu.Unlock()
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
	}
	if !cut {
		_, _ = near.Write(b) // a device that goes takes what was under way along
	}
	return len(b), nil
}

func (s *socket) SetBaud(int) error { return nil }

func (s *socket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// booth is a driver on a cable, opened again and again as the booth does, at
// its slowest.
type booth struct {
	t     *testing.T
	d     Device
	cable *cable

	mu    sync.Mutex // whoever lives, and the test
	say   func([]byte) error
	up    bool
	reads []devices.Read
	ends  []end
}

type end struct {
	at  time.Time
	err error
}

// atWork runs act beside a driver that is kept at work, in virtual time.
func (d Device) atWork(t *testing.T, act func(b *booth)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &booth{t: t, d: d, cable: &cable{}}
		if !d.Dialled {
			b.exchange(d.Play)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var lives sync.WaitGroup
		lives.Go(func() {
			for ctx.Err() == nil {
				err := b.life(ctx)
				b.note(func() { b.up, b.ends = false, append(b.ends, end{time.Now(), err}) })
				select {
				case <-ctx.Done():
				case <-time.After(pauseMost):
				}
			}
		})
		act(b)
		cancel()
		lives.Wait()
		b.cable.end()
		time.Sleep(d.Linger)
		synctest.Wait()
	})
}

// exchange puts a new device at the end of the cable.
func (b *booth) exchange(play func(io.ReadWriter) func([]byte) error) {
	far := b.cable.attach()
	say := func(p []byte) error { _, err := far.Write(p); return err }
	if play != nil {
		say = play(far)
	}
	b.note(func() { b.say = say })
}

func (b *booth) note(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *booth) life(ctx context.Context) error {
	wire := b.cable.open()
	if b.d.Dialled { // each connection is a new one, if the far end can be reached
		b.cable.mu.Lock()
		cut := b.cable.cut
		b.cable.mu.Unlock()
		if cut {
			time.Sleep(dialWait)
			return port.ErrGone
		}
		b.exchange(b.d.Play)
	}
	r, err := b.d.Open(ctx, wire)
	if err != nil {
		_ = wire.Close() // the driver has closed it
		return err
	}
	b.note(func() { b.up = true })
	for read, e := range r.Reads(ctx) {
		if err = e; err == nil && !nobody(read) {
			b.note(func() { b.reads = append(b.reads, read) })
		}
	}
	_ = r.Close()    // so may the driver
	_ = wire.Close() // and this one
	return err
}

// ready waits until the device is at work, as far as the driver can know.
func (b *booth) ready(most time.Duration) {
	b.t.Helper()
	for until := time.Now().Add(most); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		synctest.Wait()
		up := false
		b.note(func() { up = b.up })
		if up && (b.d.Ready == nil || b.d.Ready()) {
			return
		}
	}
	why := "and is not set up"
	if ends := b.ended(); len(ends) > 0 {
		why = ends[len(ends)-1].err.Error()
	}
	b.t.Errorf("not at work after %v: %s", most, why)
}

func (b *booth) ended() (all []end) {
	b.note(func() { all = append(all, b.ends...) })
	return all
}

func (b *booth) forget() { b.note(func() { b.ends = nil }) }

func (b *booth) speak(p []byte) {
	b.t.Helper()
	var say func([]byte) error
	b.note(func() { say = b.say })
	if err := say(p); err != nil {
		b.t.Error(err)
	}
	synctest.Wait()
}

// reports says report n and wants it read, and nothing else.
func (b *booth) reports(n int) {
	b.t.Helper()
	b.speak(b.d.Frame(n))
	time.Sleep(time.Millisecond)
	synctest.Wait()
	var got []devices.Read
	b.note(func() { got, b.reads = b.reads, nil })
	if len(got) != 1 || !b.d.Is(got[0], n) {
		b.t.Errorf("report %d was read as %+v", n, got)
	}
}

// outages cuts the cable and mends it. A driver that has a way to tell says
// within its time that the device is away, and it is back within 3 s of the
// cable, whenever that is. One that has none waits and is there at once.
func (d Device) outages(t *testing.T) {
	const step = 370 * time.Millisecond // so that the cable is back at any moment of a try
	d.atWork(t, func(b *booth) {
		b.ready(backMost)
		b.reports(0)
		for n := 1; n <= 12 && !b.t.Failed(); n++ {
			b.forget()
			b.cable.sever(true)
			if d.Offline == 0 {
				time.Sleep(time.Minute)
				if ends := b.ended(); len(ends) > 0 {
					b.t.Errorf("silence ended it: %v", ends[0].err)
				}
			} else {
				b.away(time.Now())
				time.Sleep(time.Duration(n) * step)
			}
			b.cable.sever(false)
			b.ready(backMost)
			b.reports(n)
		}
	})
}

// away wants the driver to tell in time that the device has been silent since
// the cut.
func (b *booth) away(cut time.Time) {
	b.t.Helper()
	time.Sleep(b.d.Offline)
	synctest.Wait()
	ends := b.ended()
	if len(ends) == 0 {
		b.t.Errorf("%v after the cut it is not away", b.d.Offline)
		return
	}
	var silent devices.Silent
	if !errors.As(ends[0].err, &silent) || ends[0].at.Before(cut) {
		b.t.Errorf("away with %v, which is no silence", ends[0].err)
	}
}

// restarts takes the device's power in the middle of a report. What was cut off
// is not read, and the device that is there then is set up anew before it is
// missed for longer than a silent one.
func (d Device) restarts(t *testing.T) {
	again := d.Restarted
	if again == nil {
		again = d.Play
	}
	d.atWork(t, func(b *booth) {
		b.ready(backMost)
		for n := 0; n < 10 && !b.t.Failed(); n++ {
			whole := d.Frame(2 * n)
			b.speak(whole[:1+n*(len(whole)-2-d.Spare)/9])
			b.forget()
			if d.Dialled {
				b.cable.hangUp()
			} else {
				b.exchange(again)
			}
			time.Sleep(d.Pause)
			b.ready(d.Offline + backMost)
			b.reports(2*n + 1)
		}
	})
}

// babbles has something at the other end that sends noise and never stops, such
// as a device at another speed or a cable beside a motor. It is not taken for
// the device, and the device is back when it is.
func (d Device) babbles(t *testing.T) {
	if d.Offline == 0 {
		return // noise is no report: that is shown elsewhere
	}
	const untilGivenUp = 5 * time.Second // beside: what a command is repeated for
	d.atWork(t, func(b *booth) {
		b.ready(backMost)
		b.reports(1)
		b.forget()
		b.exchange(babble)
		time.Sleep(d.Offline + untilGivenUp)
		if len(b.ended()) == 0 {
			b.t.Errorf("after %v of noise it is not away", d.Offline+untilGivenUp)
		}
		if d.Dialled {
			return // it dials the device itself
		}
		time.Sleep(time.Minute)
		b.exchange(d.Play)
		time.Sleep(d.Pause) // what the noise began is given up
		b.ready(backMost)
		b.reports(2)
	})
}

// babble sends bytes of which no frame can be made: starts, and what no text has.
func babble(far io.ReadWriter) func([]byte) error {
	dice := rand.New(rand.NewPCG(3, 4))
	go func() { _, _ = io.Copy(io.Discard, far) }() // ends with the line
	go func() {
		for {
			b := make([]byte, 40)
			for i := range b {
				if b[i] = 0x80 | byte(dice.Uint32()); dice.IntN(8) == 0 {
					b[i] = "\x53\xFF#"[dice.IntN(3)]
				}
			}
			if _, err := far.Write(b); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func([]byte) error { return nil }
}
