package osdp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/osdp/pd"
)

// shared is a line in memory with several readers, in virtual time. Each is kept
// at work as the agent does it.
type shared struct {
	t      *testing.T
	line   pd.Line
	bus    *Bus
	doors  []*door
	ctx    context.Context
	life   sync.WaitGroup
	mu     sync.Mutex // the readers' goroutines and the test share what is below
	err    error      // of the line, when it is lost or cannot be opened
	opened int
	closed int
	asked  map[byte][]time.Time // commands sent, by address
}

// door is one reader on the line.
type door struct {
	*pd.Device
	cfg    Config
	seat   *Seat
	health []Health
	reads  []string
	ends   []error
	opens  int
	reader *Reader
}

// tap is the near end, seen by the test.
type tap struct {
	*pipe
	s *shared
}

func (p tap) Write(b []byte) (int, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.err != nil {
		return 0, p.s.err
	}
	p.s.asked[b[2]] = append(p.s.asked[b[2]], time.Now())
	return p.pipe.Write(b)
}

func (p tap) Read(b []byte) (int, error) {
	n, err := p.pipe.Read(b)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.err != nil {
		return 0, p.s.err
	}
	return n, err
}

func (p tap) Close() error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.closed++
	return p.pipe.Close()
}

func (s *shared) open(context.Context) (io.ReadWriteCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	near, far := newLine(nil)
	s.opened++
	s.life.Go(func() { _ = s.line.Serve(far) }) // ends with the line
	return tap{near, s}, nil
}

// share puts readers on one line and lets act play.
func share(t *testing.T, act func(s *shared), doors ...*door) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &shared{t: t, doors: doors, ctx: ctx, asked: map[byte][]time.Time{}}
		s.bus = NewBus(s.open)
		for _, d := range doors {
			s.line.Hang(d.Device)
			d.cfg.Name, d.cfg.Role, d.cfg.Address = fmt.Sprint("r", d.Address), devices.RoleCard, d.Address
			d.cfg.Health = func(h Health) { s.mu.Lock(); d.health = append(d.health, h); s.mu.Unlock() }
			d.seat = s.bus.Seat()
			d.cfg.Seat = d.seat
			s.life.Go(func() { s.keep(d) })
		}
		act(s)
		cancel()
		s.life.Wait()
		if s.opened != s.closed {
			t.Errorf("the line was opened %d times and closed %d times", s.opened, s.closed)
		}
	})
}

// keep opens and reads one reader again and again.
func (s *shared) keep(d *door) {
	for s.ctx.Err() == nil {
		err := s.once(d)
		s.mu.Lock()
		d.ends, d.reader = append(d.ends, err), nil
		s.mu.Unlock()
		wait := time.Second
		if later := (interface{ RetryAfter() time.Duration })(nil); errors.As(err, &later) {
			wait = max(wait, later.RetryAfter())
		}
		_ = pause(s.ctx, wait)
	}
}

func (s *shared) once(d *door) error {
	p, err := d.seat.Open(s.ctx)
	if err != nil {
		return err
	}
	r, err := Open(s.ctx, p, d.cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	s.mu.Lock()
	d.opens++
	d.reader = r
	s.mu.Unlock()
	for read, err := range r.Reads(s.ctx) {
		if err != nil {
			return err
		}
		s.mu.Lock()
		d.reads = append(d.reads, read.Device+" "+read.Tag.EPC.Reveal())
		s.mu.Unlock()
	}
	return nil
}

func (s *shared) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// of gives what is known of a reader: a copy, for it goes on.
func (s *shared) of(d *door) door {
	s.mu.Lock()
	defer s.mu.Unlock()
	return door{health: slices.Clone(d.health), reads: slices.Clone(d.reads), ends: slices.Clone(d.ends), opens: d.opens, reader: d.reader}
}

// unhurt tells whether a reader has been at work without a fault all the time.
func (s *shared) unhurt(d *door) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.opens != 1 || len(d.ends) != 0 || d.reader == nil {
		s.t.Errorf("%s was opened %d times, ended with %v", d.cfg.Name, d.opens, d.ends)
		return
	}
	if c := d.reader.Counters(); c.Timeouts != 0 || c.CheckErrors != 0 || c.Reopens != 0 {
		s.t.Errorf("%s counted %+v", d.cfg.Name, c)
	}
	if !d.cfg.Clear && !d.Secure() {
		s.t.Errorf("%s has lost its channel", d.cfg.Name)
	}
}

// gap is the longest time between two questions to a reader since from.
func (s *shared) gap(d *door, from time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var most time.Duration
	last := from
	for _, at := range s.asked[d.Address] {
		if at.After(from) {
			most, last = max(most, at.Sub(last)), at
		}
	}
	return max(most, time.Since(last))
}

// count is how often a reader was asked since from.
func (s *shared) count(d *door, from time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(s.asked[d.Address]), func(at time.Time) bool { return !at.After(from) }))
}

// card has a reader read a card within the time it is asked in at the latest.
func (s *shared) card(d *door, n int, within time.Duration) {
	s.t.Helper()
	d.Card(0, 32, number(n)[4:])
	s.wait(within)
	s.mu.Lock()
	defer s.mu.Unlock()
	if want := fmt.Sprintf("%s 96B4%04X", d.cfg.Name, n); !slices.Equal(d.reads, []string{want}) {
		s.t.Errorf("read %q, want %q", d.reads, want)
	}
	d.reads = nil
}

func secureDoor(address byte, key Key) *door {
	return &door{Device: &pd.Device{Address: address, Key: key}, cfg: Config{Key: key}}
}
