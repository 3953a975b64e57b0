package wiegand

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Timings.
const (
	silenceUsual = 25 * time.Millisecond // that ends a frame (Wiegand, electrical and timing)
	silenceLeast = 10 * time.Millisecond
	silenceMost  = 100 * time.Millisecond
	stuckMost    = 10 * time.Millisecond  // a line that is low longer is cut or shorted
	lookEvery    = 500 * time.Millisecond // how often idle lines are looked at; ours
	babbleMost   = 2 * time.Second        // 64 bits last 1.3 s at the longest interval
	lookFor      = time.Millisecond       // how long a look at silent lines takes; it is part of the silence. Ours
)

// Ways a reader ends.
var (
	// ErrLow is a line that is low all the time: cut where the level shifter
	// pulls it down, shorted, or a reader without power that holds it there.
	ErrLow = errors.New("line is low for over 10 ms: cut or shorted")
	// ErrBabble is pulses without end.
	ErrBabble = errors.New("pulses without end: no reader sends so")

	errStop = errors.New("the caller has enough")
)

// Config is one reader.
type Config struct {
	Name    string
	Role    devices.Role
	Formats []Format // of the cards in use, one of each length
	Silence time.Duration
	// Heard is told the bits of every frame as they came, a card's number in
	// clear, with a "?" behind those that are no word. It is for a technician who
	// looks; nil: nobody does.
	Heard func(bits []byte)
}

// Lines are DATA0 and DATA1 of a reader, in one claim.
type Lines interface {
	// Next waits for the next pulse; ok is false if there was none within wait.
	Next(ctx context.Context, wait time.Duration) (p devices.Pulse, ok bool, err error)
	// Low tells which lines are low.
	Low() ([2]bool, error)
	Close() error
}

// Reader is an open reader. Reads belongs to one goroutine.
type Reader struct {
	lines Lines
	cfg   Config
	scan  scanner
	total devices.Counters // belongs to Reads
	count atomic.Pointer[devices.Counters]
}

// Open waits until the lines are high and silent, so that the rest of a card is
// not taken for one, at most 2 s. It owns the lines from here on and closes them
// on an error.
func Open(ctx context.Context, l Lines, cfg Config) (*Reader, error) {
	if cfg.Silence == 0 {
		cfg.Silence = silenceUsual
	}
	r := &Reader{lines: l, cfg: cfg, scan: scanner{gap: cfg.Silence}}
	err := cfg.check()
	if err == nil {
		err = r.settle(ctx)
	}
	if err != nil {
		_ = l.Close() // nothing was written, and err says why
		return nil, r.named(ctx, err)
	}
	return r, nil
}

// check refuses what cannot be read by.
func (c Config) check() error {
	if c.Silence < silenceLeast || c.Silence > silenceMost {
		return fmt.Errorf("silence of %v, not %v to %v", c.Silence, silenceLeast, silenceMost)
	}
	if len(c.Formats) == 0 {
		return errors.New("no format")
	}
	for i, f := range c.Formats {
		if f.Bits() == 0 {
			return fmt.Errorf("no format %q", f)
		}
		if slices.ContainsFunc(c.Formats[:i], func(g Format) bool { return g.Bits() == f.Bits() }) {
			return fmt.Errorf("format %q: another has %d bits too, and one cannot be told from the other", f, f.Bits())
		}
	}
	return nil
}

// named says whose error it is; of ctx it is said bare.
func (r *Reader) named(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("wiegand %s: %w", r.cfg.Name, err)
}

// settle waits for silence.
func (r *Reader) settle(ctx context.Context) error {
	for until := time.Now().Add(babbleMost); time.Now().Before(until); {
		_, ok, err := r.lines.Next(ctx, r.cfg.Silence)
		if err == nil && !ok {
			_, ok, err = r.look(ctx)
		}
		if err != nil || !ok {
			return err
		}
	}
	return ErrBabble
}

// look finds a line that is low for too long, once there was silence. What
// looks low may be a pulse that has just begun: that one is returned. So is one
// that was there and not seen, since this process was held up: silence is what
// the stamps say, not how long somebody waited.
func (r *Reader) look(ctx context.Context) (p devices.Pulse, ok bool, err error) {
	before, err := r.lines.Low()
	if err != nil {
		return p, false, err
	}
	wait := lookFor
	if before != [2]bool{} {
		wait += stuckMost
	}
	if p, ok, err = r.lines.Next(ctx, wait); ok || err != nil || before == [2]bool{} {
		return p, ok, err
	}
	after, err := r.lines.Low()
	if err != nil {
		return p, false, err
	}
	for line := range after {
		if before[line] && after[line] { // and no edge between
			return p, false, fmt.Errorf("DATA%d: %w", line, ErrLow)
		}
	}
	return p, false, nil
}

// Close gives up the lines.
func (r *Reader) Close() error { return r.lines.Close() }

// Counters tells what was counted up to the last frame. Any goroutine may ask.
func (r *Reader) Counters() devices.Counters {
	if c := r.count.Load(); c != nil {
		return *c
	}
	return devices.Counters{}
}

// Reads yields every card, and every frame that could not be read, until ctx
// ends or the lines do; the error comes last, once.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		err := r.run(ctx, func(read devices.Read) bool { return yield(read, nil) })
		r.tell()
		if !errors.Is(err, errStop) {
			yield(devices.Read{}, r.named(ctx, err))
		}
	}
}

// run reads frames until yield has had enough (errStop) or the lines end.
func (r *Reader) run(ctx context.Context, yield func(devices.Read) bool) error {
	for {
		wait := lookEvery
		if r.scan.begun {
			wait = r.cfg.Silence - lookFor
		}
		p, ok, err := r.lines.Next(ctx, wait)
		silent := err == nil && !ok
		if silent {
			p, ok, err = r.look(ctx)
		}
		if err != nil {
			if r.scan.begun { // cut off, or of a line that is stuck
				r.total.Resyncs++
			}
			return err
		}
		var f frame
		var ended bool
		if ok {
			r.total.Bytes++
			f, ended = r.scan.take(p)
		} else {
			f, ended = r.scan.end()
		}
		if ended && !r.frame(f, yield) {
			return errStop
		}
		if r.scan.lasts() > babbleMost {
			r.total.Resyncs++
			return ErrBabble
		}
		if silent {
			r.tell()
		}
	}
}

// frame hands on what a frame says; false if yield has had enough.
func (r *Reader) frame(f frame, yield func(devices.Read) bool) bool {
	if r.cfg.Heard != nil {
		bits := f.word.digits()
		if f.err != nil {
			bits = append(bits, '?')
		}
		r.cfg.Heard(bits)
	}
	tag := &devices.Tag{Antenna: 1, Unreadable: true}
	if f.err == nil {
		if _, key := Key(f.word); key {
			r.total.Frames++
			return true
		}
		_, f.err = Parse(f.word, r.cfg.Formats)
	}
	switch {
	case f.err == nil:
		r.total.Frames++
		tag = &devices.Tag{Antenna: 1, EPC: f.word.Ident()}
	case errors.Is(f.err, ErrParity), errors.Is(f.err, ErrUniform):
		r.total.CheckErrors++
	case errors.Is(f.err, ErrLength):
		r.total.Timeouts++
	default:
		r.total.Resyncs++
	}
	r.tell()
	if errors.Is(f.err, errShort) {
		return true // nobody has shown a card
	}
	return yield(devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: f.begun, Tag: tag})
}

// tell lets others see the counters.
func (r *Reader) tell() {
	c := r.total
	r.count.Store(&c)
}
