package sim

import (
	"context"
	"fmt"
	"iter"
	"net"
	"sync"
	"time"

	"boothd/devices"
	"boothd/devices/gpio/chipwire"
)

// Limits of a simulated chip.
const (
	traceMost = 1 << 16 // changes kept; the oldest go first
	unsent    = 1024    // messages that wait for a driver before it is hung up on
	peersMost = 16      // connections
)

// ChipLine is one line of a simulated chip.
type ChipLine struct {
	Name string // as the configuration names it
	// Pull is the electrical level that the board's resistor gives the line
	// when nobody drives it: of a lamp, what is shown when the process is dead.
	Pull bool
}

// Cause is what changed an output.
type Cause string

// The causes of a change.
const (
	Claimed  Cause = "claimed"  // the first level, in the claim itself
	Driven   Cause = "driven"   // set by its driver
	Released Cause = "released" // given back; the resistor pulls
	Died     Cause = "died"     // the driver's process or connection ended; the resistor pulls
	Broke    Cause = "broke"    // the chip vanished; the resistor pulls
)

// Change is a new level of an output. Claims and their ends are told even
// where the level stays.
type Change struct {
	Line     string
	Level    bool // electrical
	At       time.Time
	Cause    Cause
	Consumer string // who had claimed it
}

// Chip is a GPIO chip that is not there: the far end of boothd/devices/gpio's
// "sim:PATH". It speaks chipwire, debounces as the kernel does, and brings
// lines to their pulled level when their driver ends, however it ends. Its
// methods may be called from any goroutine.
type Chip struct {
	path  string // of its socket; empty: none
	base  time.Time
	serve sync.WaitGroup // what serves the socket and its connections

	mu      sync.Mutex // drivers' goroutines, timers and the methods share the lines
	broken  bool
	ln      net.Listener
	stamp   int64
	lines   map[string]*chipLine
	outputs map[string]bool // lines that are or were outputs
	lamps   map[string]*chipLamp
	peers   map[*peer]struct{}
	trace   []Change
	dropped int           // changes that the trace has lost at its front
	news    chan struct{} // closed at the next change
}

// chipLine is one line; the chip's mutex guards it.
type chipLine struct {
	ChipLine
	level bool // electrical, as driven or pulled
	held  *held
}

// held is a claim on a line.
type held struct {
	peer      *peer
	consumer  string
	output    bool
	activeLow bool
	debounce  time.Duration
	settled   bool        // electrical level after debounce, inputs
	timer     *time.Timer // running: the level differs from settled
	seq       *uint32     // edges told; both lines of a pair have one
	other     *chipLine   // the other line of a pair, of which falling edges are told
}

// NewChip makes a chip without a socket; Serve connects drivers to it. Two
// lines of one name are one line.
func NewChip(lines ...ChipLine) *Chip {
	c := &Chip{base: time.Now(), lines: map[string]*chipLine{}, outputs: map[string]bool{},
		peers: map[*peer]struct{}{}, news: make(chan struct{})}
	for _, l := range lines {
		c.lines[l.Name] = &chipLine{ChipLine: l, level: l.Pull}
	}
	return c
}

// Set drives an input's line to an electrical level from outside.
func (c *Chip) Set(line string, level bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lines[line]
	switch {
	case l == nil:
		return fmt.Errorf("simulated chip: no line %q", line)
	case l.held != nil && l.held.output:
		return fmt.Errorf("simulated chip: %s is an output of %s: a short circuit", line, l.held.consumer)
	case l.level == level:
		return nil
	}
	l.level = level
	if l.held != nil {
		c.moved(l)
	}
	return nil
}

// moved reports an input's new level, or waits until it has held long enough.
// The caller holds mu.
func (c *Chip) moved(l *chipLine) {
	h := l.held
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	if l.level == h.settled {
		return
	}
	if h.debounce <= 0 {
		c.settle(l, c.now())
		return
	}
	var t *time.Timer
	t = time.AfterFunc(h.debounce, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if l.held == h && h.timer == t { // neither given back nor moved again meanwhile
			h.timer = nil
			c.settle(l, c.now())
		}
	})
	h.timer = t
}

// settle makes an input's level count. The caller holds mu.
func (c *Chip) settle(l *chipLine, stamp int64) {
	h := l.held
	h.settled = l.level
	if h.other != nil && l.level {
		return
	}
	*h.seq++
	h.peer.send(chipwire.Message{Op: chipwire.Edge, Line: l.Name, Active: l.level != h.activeLow, Stamp: stamp, Seq: *h.seq})
}

// pulseWidth is how long a line is low in a pulse (Wiegand, electrical and
// timing: typical).
const pulseWidth = 50 * time.Microsecond

// Pulse sends pulses on two lines that are high, at times that count from now by
// the chip's clock. They are told at once: however busy this machine is, their
// stamps are those that were asked for. Times must not go back.
func (c *Chip) Pulse(lines [2]string, pulses []devices.Pulse) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	begin := c.now()
	for _, p := range pulses {
		if p.Line < 0 || p.Line > 1 || c.lines[lines[p.Line]] == nil {
			return fmt.Errorf("simulated chip: no line %d of %q", p.Line, lines)
		}
		l, at := c.lines[lines[p.Line]], max(c.stamp+1, begin+int64(p.Stamp))
		c.stamp = at
		if l.held == nil || l.held.output || l.held.debounce > 0 || !l.level {
			continue // nobody sees it
		}
		l.level = false
		c.settle(l, at)
		l.level = true
		c.settle(l, at+int64(pulseWidth))
	}
	return nil
}

// now is the next stamp; no two are the same. The caller holds mu.
func (c *Chip) now() int64 {
	c.stamp = max(c.stamp+1, int64(time.Since(c.base)))
	return c.stamp
}

// Outputs tells the electrical level of every line that is an output, or was
// one and is now pulled by its resistor.
func (c *Chip) Outputs() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	levels := map[string]bool{}
	for name := range c.outputs {
		levels[name] = c.lines[name].level
	}
	return levels
}

// Claims tells which lines are claimed, and by which consumer.
func (c *Chip) Claims() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	claims := map[string]string{}
	for name, l := range c.lines {
		if l.held != nil {
			claims[name] = l.held.consumer
		}
	}
	return claims
}

// Watch yields every change of an output since the chip was made, and then
// each as it comes, until ctx ends. A slow watcher holds nobody up: it misses
// what is more than 65,536 changes back.
func (c *Chip) Watch(ctx context.Context) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for n := 0; ; {
			c.mu.Lock()
			n = max(n, c.dropped)
			changes, news := c.trace[n-c.dropped:], c.news
			n += len(changes)
			c.mu.Unlock()
			for _, ch := range changes {
				if ctx.Err() != nil || !yield(ch) {
					return
				}
			}
			if len(changes) > 0 {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-news:
			}
		}
	}
}

// note adds to the trace, which is only ever appended to or cut at its front,
// so that a watcher reads its part without the lock. The caller holds mu.
func (c *Chip) note(l *chipLine, cause Cause, consumer string) {
	c.trace = append(c.trace, Change{Line: l.Name, Level: l.level, At: time.Now(), Cause: cause, Consumer: consumer})
	if over := len(c.trace) - traceMost; over > 0 {
		c.trace = c.trace[over:]
		c.dropped += over
	}
	close(c.news)
	c.news = make(chan struct{})
	c.reflect()
}

// claim gives a line to a driver. The caller holds mu.
func (c *Chip) claim(p *peer, m chipwire.Message) chipwire.Message {
	lines := []*chipLine{c.lines[m.Line]}
	if m.Pair != "" {
		lines = append(lines, c.lines[m.Pair])
	}
	for _, l := range lines {
		switch {
		case l == nil || m.Pair == m.Line:
			return chipwire.Message{Op: chipwire.Refused, Why: chipwire.NoLine}
		case l.held != nil:
			return chipwire.Message{Op: chipwire.Refused, Why: chipwire.Busy, Holder: l.held.consumer}
		}
	}
	seq := new(uint32)
	if m.Pair != "" {
		for i, l := range lines {
			l.held = &held{peer: p, consumer: m.Consumer, settled: l.level, seq: seq, other: lines[1-i]}
		}
		return chipwire.Message{Op: chipwire.Done, Stamp: c.now()}
	}
	l := lines[0]
	h := &held{peer: p, consumer: m.Consumer, output: m.Output, activeLow: m.ActiveLow, debounce: m.Debounce, seq: seq}
	l.held = h
	if h.output {
		c.outputs[m.Line] = true
		l.level = m.Active != m.ActiveLow
		c.note(l, Claimed, h.consumer)
	}
	h.settled = l.level
	return chipwire.Message{Op: chipwire.Done, Stamp: c.now()}
}

// drive sets an output. The caller holds mu.
func (c *Chip) drive(l *chipLine, active bool) {
	if level := active != l.held.activeLow; level != l.level {
		l.level = level
		c.note(l, Driven, l.held.consumer)
	}
}

// release takes a line back; an output falls to its resistor. The caller
// holds mu.
func (c *Chip) release(l *chipLine, cause Cause) {
	h := l.held
	if h.timer != nil {
		h.timer.Stop()
	}
	l.held = nil
	if h.other != nil && h.other.held != nil {
		c.release(h.other, cause)
	}
	if h.output {
		l.level = l.Pull
		c.note(l, cause, h.consumer)
	}
}
