package gpio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"boothd/devices/gpio/chipwire"
)

// answerWait is how long a simulated chip may take for one answer. Its far end
// is another process on the same machine, which may have to wait for a CPU.
const answerWait = 2 * time.Second

// errWire says that the simulated chip does not keep to chipwire.
var errWire = errors.New("simulated chip breaks the rules of its wire")

// simChip is the driver's end of chipwire.
type simChip struct {
	conn net.Conn
	base time.Time // what the chip's stamp 0 is here

	writing sync.Mutex // requests come from several goroutines; one line at a time

	mu      sync.Mutex // the reader goroutine and the callers share what is below
	err     error      // why the wire ended
	last    uint64     // request
	waiting map[uint64]chan chipwire.Message
	lines   map[string]*simLine
}

// dialSim connects to the socket of a simulated chip.
func dialSim(ctx context.Context, path string) (driver, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w: %w", ErrNoChip, err)
	}
	if err != nil {
		return nil, err
	}
	s, err := greet(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// OpenWire opens a simulated chip at the far end of conn, such as a net.Pipe
// in a test, which Close of the chip closes.
func OpenWire(ctx context.Context, conn net.Conn) (*Chip, error) {
	s, err := greet(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("opening a simulated GPIO chip: %w", err)
	}
	return &Chip{name: "sim", drv: s, sim: true}, nil
}

// greet waits for the chip's first word and starts to read.
func greet(ctx context.Context, conn net.Conn) (*simChip, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	r := chipwire.NewReader(conn)
	m, err := r.Read()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	case m.Op != chipwire.Hello || m.Version != chipwire.Version:
		return nil, fmt.Errorf("%w: %s of version %d", errWire, m.Op, m.Version)
	}
	s := &simChip{conn: conn, base: time.Now().Add(-time.Duration(m.Stamp)),
		waiting: map[uint64]chan chipwire.Message{}, lines: map[string]*simLine{}}
	go s.listen(r)
	return s, nil
}

// listen takes what the chip says until it hangs up. It never waits for a
// consumer: edges that are not taken overflow as they do in the kernel.
func (s *simChip) listen(r *chipwire.Reader) {
	for {
		m, err := r.Read()
		if err != nil {
			s.end(fmt.Errorf("%w: %w", ErrGone, err))
			return
		}
		s.mu.Lock()
		line, answer := s.lines[m.Line], s.waiting[m.ID]
		delete(s.waiting, m.ID)
		s.mu.Unlock()
		switch {
		case m.Op == chipwire.Edge && line != nil:
			line.put(event{stamp: m.Stamp, active: m.Active, seq: m.Seq, line: line.index(m.Line)})
		case answer != nil:
			answer <- m // holds one, and each is answered once
		}
	}
}

// end makes the first reason known to everyone who waits.
func (s *simChip) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	for id, c := range s.waiting {
		close(c)
		delete(s.waiting, id)
	}
	for _, l := range s.lines {
		l.ring()
	}
	s.conn.Close()
}

func (s *simChip) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *simChip) close() error {
	s.end(os.ErrClosed)
	return nil
}

// ask sends a request and waits for its answer. A chip that does not answer
// is gone.
func (s *simChip) ask(ctx context.Context, m chipwire.Message) (chipwire.Message, error) {
	answer := make(chan chipwire.Message, 1)
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return m, s.err
	}
	s.last++
	m.ID = s.last
	s.waiting[m.ID] = answer
	s.mu.Unlock()
	if err := s.write(m); err != nil {
		s.end(fmt.Errorf("%w: %w", ErrGone, err))
		return m, s.why()
	}
	t := time.NewTimer(answerWait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case a, ok := <-answer:
		if !ok {
			return m, s.why()
		}
		return a, refused(a)
	}
	s.end(fmt.Errorf("%w: no answer to %s within %v", ErrGone, m.Op, answerWait))
	return m, s.why()
}

func (s *simChip) write(m chipwire.Message) error {
	b, err := chipwire.Append(nil, m)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(answerWait)); err != nil {
		return err
	}
	_, err = s.conn.Write(b)
	return err
}

// refused is the error in an answer.
func refused(a chipwire.Message) error {
	switch {
	case a.Op == chipwire.Done:
		return nil
	case a.Why == chipwire.Busy:
		return fmt.Errorf("%w by %q", ErrBusy, a.Holder)
	case a.Why == chipwire.NoLine:
		return ErrNoLine
	}
	return fmt.Errorf("%w: %s %s", errWire, a.Op, a.Why)
}

func (s *simChip) claim(ctx context.Context, name string, c claim) (wire, error) {
	l := &simLine{chip: s, name: name, most: bufferedEvents, bell: make(chan struct{}, 1)}
	return l, s.take(ctx, l, chipwire.Message{Op: chipwire.Claim, Line: name, Consumer: consumer(c.point),
		Output: c.output, ActiveLow: c.activeLow, Active: c.first, Debounce: c.debounce})
}

func (s *simChip) pair(ctx context.Context, names [2]string, c claim) (pairWire, error) {
	l := &simLine{chip: s, name: names[0], second: names[1], most: pairEvents, bell: make(chan struct{}, 1)}
	return l, s.take(ctx, l, chipwire.Message{Op: chipwire.Claim, Line: names[0], Pair: names[1], Consumer: consumer(c.point)})
}

// take claims a line, or a pair.
func (s *simChip) take(ctx context.Context, l *simLine, m chipwire.Message) error {
	s.mu.Lock()
	for _, name := range l.names() {
		if s.lines[name] != nil {
			s.mu.Unlock()
			return fmt.Errorf("%w by this process", ErrBusy)
		}
	}
	for _, name := range l.names() {
		s.lines[name] = l // before the claim, or its first edge would be missed
	}
	s.mu.Unlock()
	_, err := s.ask(ctx, m)
	if err != nil {
		s.forget(l)
	}
	return err
}

func (s *simChip) forget(l *simLine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range l.names() {
		delete(s.lines, name)
	}
}

// simLine is one line of a simulated chip, or a pair.
type simLine struct {
	chip   *simChip
	name   string
	second string        // of a pair
	most   int           // edges that are kept
	bell   chan struct{} // holds one: there are edges, or the wire has ended

	mu     sync.Mutex // the chip's reader puts, the line's owner takes
	events []event
}

func (l *simLine) names() []string {
	if l.second == "" {
		return []string{l.name}
	}
	return []string{l.name, l.second}
}

// index is which line of a pair has a name.
func (l *simLine) index(name string) int {
	if l.second != "" && name == l.second {
		return 1
	}
	return 0
}

// put keeps an edge; the oldest goes when nobody takes them.
func (l *simLine) put(ev event) {
	l.mu.Lock()
	l.events = append(l.events, ev)
	if len(l.events) > l.most {
		l.events = l.events[1:]
	}
	l.mu.Unlock()
	l.ring()
}

func (l *simLine) ring() {
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

func (l *simLine) take() (event, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == 0 {
		return event{}, false
	}
	ev := l.events[0]
	l.events = l.events[1:]
	return ev, true
}

func (l *simLine) next(ctx context.Context, wait time.Duration) (event, bool, error) {
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return event{}, false, err
		}
		if ev, ok := l.take(); ok {
			return ev, true, nil
		}
		if err := l.chip.why(); err != nil {
			return event{}, false, err
		}
		select {
		case <-ctx.Done():
		case <-l.bell:
		case <-t.C:
			return event{}, false, nil
		}
	}
}

func (l *simLine) level() (bool, int64, error) {
	a, err := l.chip.ask(context.Background(), chipwire.Message{Op: chipwire.Level, Line: l.name})
	return a.Active, a.Stamp, err
}

func (l *simLine) low() (low [2]bool, err error) {
	for i, name := range l.names() {
		a, err := l.chip.ask(context.Background(), chipwire.Message{Op: chipwire.Level, Line: name})
		if err != nil {
			return low, err
		}
		low[i] = !a.Active
	}
	return low, nil
}

func (l *simLine) set(active bool) error {
	_, err := l.chip.ask(context.Background(), chipwire.Message{Op: chipwire.Set, Line: l.name, Active: active})
	return err
}

func (l *simLine) at(stamp int64) time.Time {
	at := l.chip.base.Add(time.Duration(stamp))
	if now := time.Now(); at.After(now) {
		return now // hello took its time, and the base is late by as much
	}
	return at
}

func (l *simLine) number() int { return -1 }

func (l *simLine) close() error {
	_, err := l.chip.ask(context.Background(), chipwire.Message{Op: chipwire.Release, Line: l.name})
	l.chip.forget(l)
	return err
}
