// Package amtech reads vehicle tags through TransCore and Amtech readers that
// speak the ASCII host protocol: basic, data inquiry, and with error control
// (ECP).
//
// A tag number is text of up to 20 characters, blanks included; a Read carries
// the hex of its ASCII codes ("KING 1302" is 4B494E472031333032), and lists
// must be made alike. The reader tells no signal strength: RSSIDBm is 0. Times
// are arrival at this box; the reader's own clock, if it is appended, is shown
// as DeviceAt, its digits taken for UTC. With ECP a
// damaged frame is asked for again and a repeated one handed on once; without,
// a damaged character goes unseen unless it cannot be printed. A reader that
// signs on anew has restarted and ends Reads with an error, as does one that is
// silent, and the caller opens again from the start.
//
// Source: Amtech ASCII host protocol: framing, sequence numbers, message data,
// failures; timings from there, or marked as ours.
package amtech

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Timings.
const (
	endWait    = 250 * time.Millisecond // from a frame's first byte, without CR LF: it is dropped; see overdue
	byteGap    = 250 * time.Millisecond // without a byte of it: the same
	answerWait = 500 * time.Millisecond // ours
	tries      = 3                      // of one command: three polls without an answer, and it is missed; ours
	inquireAt  = 200 * time.Millisecond // how often a reader that buffers is asked; ours

	// idleMost is how long a reader says nothing until it is asked who it is. It may
	// not be asked more often: "Tags are not reported in command mode on older
	// readers", and "silence: command mode probe 505 every 60 s when the lane is
	// idle". Who reports nothing else has no other way to be polled.
	idleMost = 60 * time.Second

	// slowest is what a character takes on the slowest line that can be configured:
	// 1200 baud, ten bits.
	slowest = time.Second * 10 / 1200
)

// Ways a reader ends.
var (
	// ErrSilent is a reader that does not answer: it has no power, its cable is
	// off, or it speaks another protocol.
	ErrSilent error = devices.Silent("reader does not answer")
	// ErrSlow is a reader that could not be set up in the time that it may not
	// report tags.
	ErrSlow = errors.New("reader takes too long")
	// ErrReboot is a reader that signed on anew: what it held is lost.
	ErrReboot = errors.New("reader restarted")

	errStop = errors.New("the caller has enough")
)

// Fault is a state of the reader that does not end it. Command is a command of
// the set-up that was refused; Alarm is the reader's own number: 06 frequency
// not set, 07, 08 and 11 buffer or hardware. It lasts until the reader is opened
// anew: no message says that an alarm is over, and no question asks.
type Fault struct {
	Command string
	Alarm   int
}

func (f Fault) Error() string {
	if f.Command != "" {
		return fmt.Sprintf("reader refuses command %s", f.Command)
	}
	return fmt.Sprintf("reader says Error%02d", f.Alarm)
}

// wire is what a reader needs of its line: a Read that gives 0, nil on
// silence.
type wire interface {
	io.ReadWriteCloser
}

// Reader is an open reader. Reads belongs to one goroutine.
type Reader struct {
	port    wire
	cfg     Config
	scan    scanner
	in      [256]byte
	pending []byte    // of in, not yet scanned
	at      time.Time // arrival of the first byte of the frame that comes
	lastAt  time.Time // of any byte
	heard   time.Time // the last whole frame
	asked   time.Time // the last inquiry
	number  byte      // of the last command
	acked   byte      // number of the last data message acknowledged
	last    []byte    // its text; empty: none yet
	up      bool      // the set-up is done
	held    []devices.Read
	count   atomic.Pointer[devices.Counters]
}

// heldMost is how many tags are kept that a reader without ECP reports while it
// is asked something; ours, from 10 tags/s and a second of asking.
const heldMost = 16

// Open brings the reader to reporting tags, with the settings of the
// configuration. It owns the port from here on and closes it on an error.
func Open(ctx context.Context, p wire, cfg Config) (*Reader, error) {
	full, err := cfg.complete()
	r := &Reader{port: p, cfg: full, lastAt: time.Now(), last: make([]byte, 0, textMost)}
	r.scan.framing = full.framing()
	stop := context.AfterFunc(ctx, func() { _ = p.Close() }) // wakes a Read that waits
	defer stop()
	if err == nil {
		err = r.setUp()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		_ = p.Close() // it may be closed already, and err says why
		return nil, fmt.Errorf("amtech %s: %w", cfg.Name, err)
	}
	r.up = true
	return r, nil
}

// Close gives up the port.
func (r *Reader) Close() error { return r.port.Close() }

// Counters tells what was counted up to the last Read. Any goroutine may ask.
func (r *Reader) Counters() devices.Counters {
	if c := r.count.Load(); c != nil {
		return *c
	}
	return devices.Counters{}
}

// Reads yields every tag report until ctx ends or the reader does; the error
// comes last, once.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		stop := context.AfterFunc(ctx, func() { _ = r.port.Close() })
		defer stop()
		err := r.run(func(read devices.Read) bool { return yield(read, nil) })
		switch {
		case errors.Is(err, errStop):
		case ctx.Err() != nil:
			yield(devices.Read{}, ctx.Err())
		default:
			yield(devices.Read{}, fmt.Errorf("amtech %s: %w", r.cfg.Name, err))
		}
	}
}

// run reads frames until yield has had enough (errStop) or the reader ends.
func (r *Reader) run(yield func(devices.Read) bool) error {
	r.heard, r.asked = time.Now(), time.Time{}
	for {
		for len(r.held) > 0 {
			read := r.held[0]
			r.held = append(r.held[:0], r.held[1:]...)
			if !yield(read) {
				return errStop
			}
		}
		if err := r.inquire(); err != nil {
			return err
		}
		f, ok, err := r.frame()
		if err == nil && ok {
			err = r.data(f)
		}
		if err == nil && time.Since(r.heard) >= idleMost {
			err = r.probe()
		}
		if err != nil {
			return err
		}
	}
}

// inquire asks a reader that buffers for a message.
func (r *Reader) inquire() error {
	if r.cfg.Mode != Inquiry || time.Since(r.asked) < inquireAt {
		return nil
	}
	r.asked = time.Now()
	_, err := r.port.Write([]byte{r.cfg.Parity.wrap(enquiry)})
	return err
}

// data takes a frame that no command asked for.
func (r *Reader) data(f frame) error {
	fresh := true
	if r.cfg.Mode == ECP {
		var err error
		if fresh, err = r.acknowledge(f); err != nil || !fresh {
			return err
		}
	}
	m := read(f.text)
	switch m.kind {
	case kindTag:
		r.hold(m)
		r.asked = time.Time{} // there may be more in its buffer
	case kindSignOn:
		return ErrReboot
	case kindAlarm:
		r.fault(Fault{Alarm: m.alarm})
	case kindDone, kindRefused, kindStatus: // late
	case kindNothing:
		r.scan.count.CheckErrors++
	}
	return nil
}

// hold keeps a tag for the caller; the oldest gives way.
func (r *Reader) hold(m message) {
	tag := devices.Tag{EPC: ident(m.id), DeviceAt: m.at}
	if m.antenna >= 0 {
		tag.Antenna = m.antenna + 1 - r.cfg.FirstAntenna
	}
	if len(r.held) == heldMost {
		r.held = append(r.held[:0], r.held[1:]...)
		r.scan.count.Resyncs++
	}
	r.held = append(r.held, devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: r.at, Tag: &tag})
}

// acknowledge answers a data message of ECP and tells whether it is new. Data
// has even numbers; an odd one is the late answer to a command of ours.
func (r *Reader) acknowledge(f frame) (fresh bool, err error) {
	if f.number&1 == 1 {
		return false, nil
	}
	answer := ack
	if f.damaged {
		answer = nak
	}
	if _, err := r.port.Write(r.scan.append(nil, f.number, string(answer))); err != nil || f.damaged {
		return false, err
	}
	// The text too: a reader that restarted unheard begins again at 0.
	if len(r.last) > 0 && f.number == r.acked && string(f.text) == string(r.last) {
		r.scan.count.Repeats++
		return false, nil // our acknowledgement was lost
	}
	r.acked, r.last = f.number, append(r.last[:0], f.text...)
	return true, nil
}

// frame gives the next frame, or none after one look at the port.
func (r *Reader) frame() (frame, bool, error) {
	if f, ok := r.next(); ok {
		return f, true, nil
	}
	n, err := r.port.Read(r.in[:])
	now := time.Now()
	if n == 0 && err == nil && r.scan.partial() && now.Sub(r.lastAt) >= byteGap {
		r.scan.stale()
	}
	if n > 0 {
		r.pending, r.lastAt = r.in[:n], now
	}
	f, ok := r.next()
	if !ok && r.overdue(now) { // after what has come: a box that was busy may have it all
		r.scan.stale()
	}
	r.tell()
	if ok {
		err = nil // it comes again with the next Read
	}
	return f, ok, err
}

// overdue tells whether the frame that has begun lasts too long. The 250 ms count
// from its first byte, so that a line which says a character now and then does
// not hold one open. But at 1200 baud the longest frame takes 0.83 s to send:
// each character that came adds what it takes there, and with 100 of them at
// most a frame is over, one way or the other, within 1.1 s on any line.
func (r *Reader) overdue(now time.Time) bool {
	return r.scan.partial() && now.Sub(r.at) >= endWait+time.Duration(r.scan.n)*slowest
}

// next gives the next frame of what was received.
func (r *Reader) next() (frame, bool) {
	begun := r.scan.starts
	used, f, ok := r.scan.take(r.pending)
	r.pending = r.pending[used:]
	if r.scan.starts != begun { // one that was begun before may have been given up
		r.at = r.lastAt
	}
	if ok && !f.damaged {
		r.heard = r.lastAt
	}
	return f, ok
}

// tell lets others see the counters.
func (r *Reader) tell() {
	c := r.scan.count
	r.count.Store(&c)
}

func (r *Reader) fault(f Fault) {
	if r.cfg.Health != nil {
		r.cfg.Health(f)
	}
}
