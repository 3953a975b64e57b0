package osdp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Times of a reader that is silent while others on its line answer; ours. It is
// to be back within 3 s, and its set-up takes up to half of that where others
// are silent, too.
const (
	seldom = 1250 * time.Millisecond // between two questions to it
	lately = time.Second             // others that answered within this answer
)

// Bus is a line that several readers share, each with an address of its own. A
// reader takes the line for one command and its answer or time-out, and then
// stands behind all who wait. Of those that did not answer when they were asked
// last one at a time stands there: however many are dead, they cost the others
// one time-out a round (OSDP protocol, sequence and link state, queue). Sequence,
// channel, counters and health stay each reader's own.
type Bus struct {
	open func(ctx context.Context) (io.ReadWriteCloser, error)
	// turn holds the line while it is nobody's turn: who has taken it out owns it
	// until it is put back. Who waits is served in order, as the runtime does.
	turn chan *wire
	// doubt holds one while a reader that did not answer last has or awaits its turn.
	doubt chan struct{}
}

// wire is the line itself.
type wire struct {
	port    io.ReadWriteCloser // nil: not open
	life    int                // how often it was opened
	lost    error              // why it is not open any more
	stays   int                // readers that have this life open
	heardAt time.Time          // when a reader answered last
}

// NewBus makes a line that is opened with the first of its readers and closed
// with the last. A Read of what open gives must give 0, nil on silence.
func NewBus(open func(ctx context.Context) (io.ReadWriteCloser, error)) *Bus {
	b := &Bus{open: open, turn: make(chan *wire, 1), doubt: make(chan struct{}, 1)}
	b.turn <- &wire{}
	return b
}

// Seat makes a reader's place on the line. It is kept while the reader comes
// and goes, and belongs to the goroutine that opens and reads that reader.
func (b *Bus) Seat() *Seat { return &Seat{bus: b} }

// Seat is one reader's place on a line that it shares.
type Seat struct {
	bus    *Bus
	stay   *stay     // opened last
	silent bool      // its last life ended without an answer, while others answered
	others time.Time // when any reader answered last, seen in the last turn
	// answered tells that the reader did when it was asked last; at first it has not.
	answered, doubted bool // and that it stands in doubt's place
}

// Open gives the port for this reader's next life: to be given to the package's
// Open, with the Seat in its Config. The reader before must be closed.
func (s *Seat) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	var w *wire
	select {
	case w = <-s.bus.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { s.bus.turn <- w }()
	if w.port == nil {
		p, err := s.bus.open(ctx)
		if err != nil {
			return nil, err
		}
		w.port, w.stays = p, 0
		w.life++
	}
	w.stays++
	s.stay = &stay{bus: s.bus, life: w.life, closed: make(chan struct{}), over: make(chan struct{})}
	return s.stay, nil
}

// take waits for the reader's turn. A reader with a line of its own has no Seat,
// and always its turn.
func (s *Seat) take(ctx context.Context) error {
	if s == nil {
		return nil
	}
	p := s.stay
	if !s.answered {
		select {
		case s.bus.doubt <- struct{}{}:
			s.doubted = true
		case <-p.closed:
			return net.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case p.wire = <-p.bus.turn:
	case <-p.closed:
		s.clear()
		return net.ErrClosed
	case <-ctx.Done():
		s.clear()
		return ctx.Err()
	}
	if err := p.there(); err != nil {
		s.give()
		return err
	}
	s.answered, s.others = false, p.wire.heardAt
	return nil
}

// clear leaves doubt's place to the next.
func (s *Seat) clear() {
	if s.doubted {
		s.doubted = false
		<-s.bus.doubt
	}
}

// give ends the turn.
func (s *Seat) give() {
	if s == nil {
		return
	}
	w := s.stay.wire
	s.stay.wire = nil
	s.stay.bus.turn <- w
	s.clear()
}

// heard notes, within the turn, that the reader answers.
func (s *Seat) heard() {
	if s != nil {
		s.answered, s.silent, s.stay.wire.heardAt = true, false, time.Now()
	}
}

// tries is how often a command is sent: one that was silent is not given the
// others' time until it answers.
func (s *Seat) tries() int {
	if s != nil && s.silent {
		return 1
	}
	return tries
}

// ended takes why a life ended. While others answer, a silent reader is asked
// seldom; on a line where all are silent nobody is in the way.
func (s *Seat) ended(err error) error {
	if s == nil || !errors.Is(err, ErrSilent) {
		return err
	}
	if s.silent = time.Since(s.others) <= lately; s.silent {
		return seldomAsked{err}
	}
	return err
}

// seldomAsked is silence that says when to ask again.
type seldomAsked struct{ error }

// Unwrap gives the silence.
func (s seldomAsked) Unwrap() error { return s.error }

// RetryAfter is the least time until the reader should be asked again.
func (seldomAsked) RetryAfter() time.Duration { return seldom }

// stay is a reader's one life on the line: its port. It is read and written
// within the reader's turn alone; Close may come from any goroutine.
type stay struct {
	bus    *Bus
	life   int
	wire   *wire // within the turn
	shut   atomic.Bool
	closed chan struct{} // it is given up
	over   chan struct{} // and that is done
}

var errNoTurn = errors.New("not this reader's turn on the line")

// there tells whether the line is still the one that was opened. Its loss takes
// all its readers along.
func (p *stay) there() error {
	select {
	case <-p.closed:
		return net.ErrClosed
	default:
	}
	switch w := p.wire; {
	case w == nil:
		return errNoTurn
	case w.port == nil || w.life != p.life:
		return fmt.Errorf("line shared with other readers: %w", w.lost)
	}
	return nil
}

// Read reads from the line.
func (p *stay) Read(b []byte) (int, error) { return p.use(b, io.ReadWriteCloser.Read) }

// Write writes to the line.
func (p *stay) Write(b []byte) (int, error) { return p.use(b, io.ReadWriteCloser.Write) }

func (p *stay) use(b []byte, act func(io.ReadWriteCloser, []byte) (int, error)) (int, error) {
	if err := p.there(); err != nil {
		return 0, err
	}
	n, err := act(p.wire.port, b)
	if err != nil {
		_ = p.wire.port.Close() // the reason is the one to tell
		p.wire.port, p.wire.lost = nil, err
	}
	return n, err
}

// Close gives up the reader's place, after the turn that may be going on. The
// last one closes the line.
func (p *stay) Close() error {
	if p.shut.Swap(true) {
		<-p.over
		return nil
	}
	defer close(p.over)
	close(p.closed)
	w := <-p.bus.turn
	defer func() { p.bus.turn <- w }()
	if w.port == nil || w.life != p.life {
		return nil
	}
	if w.stays--; w.stays > 0 {
		return nil
	}
	err := w.port.Close()
	w.port, w.lost = nil, net.ErrClosed
	return err
}
