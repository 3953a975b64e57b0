package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"boothd/configs"
	"boothd/devices/sim"
)

// settleAfter is how long two traveller lamps may overlap on the wire before
// it counts: one process cannot move two lines in one instant, and a lamp
// filament could not tell.
const settleAfter = 5 * time.Millisecond

// trace watches the traveller's lamps as they are on the wire (I9).
type trace struct {
	out   io.Writer // JSON lines; nil: not written
	names map[string]string

	mu     sync.Mutex // the watcher writes, the summary reads
	lit    map[string]bool
	since  time.Time // of an overlap; zero: none
	unsafe int
	greens int
}

// level is one line of the trace.
type level struct {
	At    time.Time `json:"at"`
	Lamp  string    `json:"lamp"`
	On    bool      `json:"on"`
	Cause sim.Cause `json:"cause"`
}

func newTrace(cfg *configs.Config, out io.Writer) *trace {
	t := &trace{out: out, names: map[string]string{}, lit: map[string]bool{}}
	for name, w := range cfg.GPIO.Out {
		t.names[w.Line] = name
	}
	for _, b := range cfg.Boards { // its relays are at rest
		for name, w := range b.Out {
			t.lit[name] = w.ActiveLow
		}
	}
	return t
}

// run follows every change of an output until ctx ends.
func (t *trace) run(ctx context.Context, h *hardware) (err error) {
	told := func(c level) {
		if e := t.follow(c); e != nil && err == nil {
			err = fmt.Errorf("writing the lamps' trace: %w", e)
		}
	}
	if len(h.boards) > 0 { // then all lamps are on them
		levels := make(chan level, 64) // the boards wait for it
		send := func(c level) {
			select {
			case levels <- c:
			case <-ctx.Done():
			}
		}
		h.moved.Store(&send)
		for {
			select {
			case c := <-levels:
				told(c)
			case <-ctx.Done():
				return err
			}
		}
	}
	for c := range h.chip.Watch(ctx) {
		name := t.names[c.Line]
		told(level{c.At, name, c.Level != h.cfg.GPIO.Out[name].ActiveLow, c.Cause})
	}
	return err
}

// follow takes one change and writes it down.
func (t *trace) follow(c level) error {
	t.note(c.Lamp, c.On, c.At)
	if t.out == nil {
		return nil
	}
	b, err := json.Marshal(c)
	if err == nil {
		_, err = fmt.Fprintf(t.out, "%s\n", b)
	}
	return err
}

// note takes one change and judges what was lit until then.
func (t *trace) note(name string, on bool, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.since.IsZero() && at.Sub(t.since) > settleAfter {
		t.unsafe++
	}
	if name == "traveller_green" && on && !t.lit[name] {
		t.greens++
	}
	t.lit[name] = on
	overlap := t.lit["traveller_green"] && (t.lit["traveller_red"] || t.lit["traveller_amber"])
	switch {
	case !overlap:
		t.since = time.Time{}
	case t.since.IsZero():
		t.since = at
	}
}

// counts tells how often green was lit, and how often beside red or amber.
func (t *trace) counts() (greens, unsafe int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.unsafe
	if !t.since.IsZero() && time.Since(t.since) > settleAfter {
		n++
	}
	return t.greens, n
}
