// Package llrp reads UHF tags through fixed readers that speak LLRP 1.0.1 over
// TCP (port 5084, with TLS 5085): Impinj, Zebra, Alien, ThingMagic and others.
//
// RSSI is in dBm and 0 if the reader does not tell it, antenna ports count from
// 1, power is in hundredths of a dBm, times are arrival at this box; the
// reader's own clock goes with a tag as DeviceAt, and tells only whether a report
// is from before we came. The reader checks the tags' CRC and TCP keeps the rest,
// so a message that breaks the format within itself is skipped and counted; one
// that cannot be skipped ends Reads with an error, as does a reader that is
// silent for three keep-alive periods, closes or restarts, and the caller
// connects again from the start. An error may have a RetryAfter method: the least
// time until it makes sense to.
//
// Source: LLRP 1.0.1, client side; layouts and codes from there, timings from
// there or marked as ours. Power, antenna events and the reading of chip
// numbers are from the standard, by Wireshark's dissector.
package llrp

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
	eventWait  = 10 * time.Second // for the reader's first word
	answerWait = 5 * time.Second  // ours
	byteGap    = 5 * time.Second  // within a message; ours, for a network that drops packets
	leaveWait  = 2 * time.Second
	ownedPause = 60 * time.Second // before a reader that somebody else owns is asked again
	errorPause = 30 * time.Second // before one that refuses

	// A reader is polled by its keep-alives, and missed after three of them: the
	// page has it set "(keep-alive 10 s)", and "no message for 3 keep-alive periods
	// -> drop the connection".
	silentKept = 3
	keepalive  = 10 * time.Second
)

// heldMost is how many reads are kept of what a reader reports during the
// set-up; ours.
const heldMost = 256

// Ways a reader ends.
var (
	// ErrSilent is a reader that does not answer, or has said nothing for three
	// keep-alive periods.
	ErrSilent error = devices.Silent("reader does not answer")
	// ErrCut is a message that has begun and does not go on.
	ErrCut = errors.New("message is cut off")
	// ErrTaken is a reader that is connected to somebody else.
	ErrTaken = errors.New("reader is connected to another client")
	// ErrClosed is a reader that ends the connection of its own will.
	ErrClosed = errors.New("reader closes the connection")
	// ErrRestart is a reader that begins the connection anew.
	ErrRestart = errors.New("reader restarted")

	errStop = errors.New("the caller has enough")
)

// Status is a refusal of the reader: its LLRPStatus.
type Status struct {
	Message uint16 // type of the answer
	Code    uint16 // 100..: a message, 200..: a parameter, 300..: a field, 401: the device
	Text    string // the reader's, shortened
}

func (s Status) Error() string {
	return fmt.Sprintf("reader answers with message %d, status %d %q", s.Message, s.Code, s.Text)
}

// RetryAfter is the least time until the reader should be asked again.
func (s Status) RetryAfter() time.Duration { return errorPause }

// refusal is an error that is not over soon.
type refusal struct {
	error
	pause time.Duration
}

func (r refusal) Unwrap() error             { return r.error }
func (r refusal) RetryAfter() time.Duration { return r.pause }

// Fault is a state of the reader that does not end it: an antenna that is not
// connected, or what the reader says of itself.
type Fault struct {
	Antenna int // 0: not of an antenna
	Text    string
}

func (f Fault) Error() string {
	if f.Antenna > 0 {
		return fmt.Sprintf("antenna %d is not connected", f.Antenna)
	}
	return fmt.Sprintf("reader says %q", f.Text)
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
	in      [4096]byte
	begun   time.Time // arrival of the first byte that is not yet of a message
	at      time.Time // arrival of the first byte of the message
	lastAt  time.Time // of any byte
	heard   time.Time // the last whole message
	id      uint32    // of the last request
	start   event     // of the connection
	started bool
	ours    bool // nobody else's ROSpec is left in the reader
	up      bool // the set-up is done
	off     map[int]bool
	held    []devices.Read
	rest    []byte // of the last report: tags that are not yet given; valid until the next feed
	count   atomic.Pointer[devices.Counters]
}

// Open waits for the reader's greeting and brings it to reporting tags: with
// nothing of former owners left in it, at most 65 s in all. It owns the
// connection from here on and closes it on an error. A reader that somebody
// else is connected to is ErrTaken.
func Open(ctx context.Context, p wire, cfg Config) (*Reader, error) {
	full, err := cfg.complete()
	now := time.Now()
	r := &Reader{port: p, cfg: full, lastAt: now, heard: now, off: map[int]bool{}}
	stop := context.AfterFunc(ctx, func() { _ = p.Close() }) // wakes a Write that waits
	defer stop()
	if err == nil {
		err = r.setUp()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		_ = p.Close() // it may be closed already, and err says why
		return nil, fmt.Errorf("llrp %s: %w", cfg.Name, err)
	}
	r.up = true
	return r, nil
}

// Close gives up the connection.
func (r *Reader) Close() error { return r.port.Close() }

// Counters tells what was counted up to the last Read. Any goroutine may ask.
func (r *Reader) Counters() devices.Counters {
	if c := r.count.Load(); c != nil {
		return *c
	}
	return devices.Counters{}
}

// Reads yields every tag report until ctx ends or the reader does; the error
// comes last, once. When ctx ends the reader is told to stop and the connection
// is closed, which takes 2 s at most.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		over := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			t := time.NewTimer(leaveWait)
			defer t.Stop()
			select {
			case <-over:
			case <-t.C:
			}
			_ = r.port.Close() // wakes a Write that waits
		})
		err := r.run(ctx, func(read devices.Read) bool { return yield(read, nil) })
		if ctx.Err() != nil {
			err = ctx.Err()
			r.leave()
			_ = r.port.Close() // what it says has no bearing any more
		}
		stop()
		close(over)
		switch {
		case errors.Is(err, errStop):
		case ctx.Err() != nil:
			yield(devices.Read{}, ctx.Err())
		default:
			yield(devices.Read{}, fmt.Errorf("llrp %s: %w", r.cfg.Name, err))
		}
	}
}

// run takes messages until yield has had enough (errStop), ctx ends or the
// reader does.
func (r *Reader) run(ctx context.Context, yield func(devices.Read) bool) error {
	r.heard = time.Now()
	for ctx.Err() == nil {
		if read, ok := r.waiting(); ok {
			if !yield(read) {
				return errStop
			}
			continue
		}
		m, ok, err := r.next()
		switch {
		case err != nil:
			return err
		case ok:
			if err := r.take(m); err != nil {
				return err
			}
		case time.Since(r.heard) >= silentKept*r.cfg.Keepalive:
			r.scan.count.Timeouts++
			r.tell()
			return fmt.Errorf("%w for %v", ErrSilent, silentKept*r.cfg.Keepalive)
		}
	}
	return ctx.Err()
}

// next gives the next message, or none after one look at the port.
func (r *Reader) next() (message, bool, error) {
	if m, ok, err := r.whole(); ok || err != nil {
		return m, ok, err
	}
	n, err := r.port.Read(r.in[:])
	now := time.Now()
	if n > 0 {
		if !r.scan.partial() {
			r.begun = now
		}
		r.scan.feed(r.in[:n])
		r.lastAt = now
	}
	if n == 0 && err == nil && r.scan.partial() && now.Sub(r.lastAt) >= byteGap {
		r.scan.count.Timeouts++
		err = fmt.Errorf("%w for %v", ErrCut, byteGap)
	}
	r.tell()
	if err != nil && n == 0 {
		return message{}, false, err
	}
	return r.whole() // an error that came with bytes comes again
}

// whole gives the next message of what was received.
func (r *Reader) whole() (message, bool, error) {
	m, ok, err := r.scan.next()
	switch {
	case err != nil:
		r.scan.count.CheckErrors++
		r.tell()
	case ok:
		r.at, r.heard = r.begun, r.lastAt
		r.begun = r.lastAt // what is left came with the last bytes
	}
	return m, ok, err
}

// tell lets others see the counters.
func (r *Reader) tell() {
	c := r.scan.count
	r.count.Store(&c)
}

// take deals with a message that is no answer.
func (r *Reader) take(m message) error {
	var err error
	switch m.typ {
	case msgKeepalive:
		_, err = r.port.Write(appendMessage(nil, msgKeepaliveAck, m.id, nil))
		return err
	case msgReport:
		err = r.report(m)
	case msgEvent:
		err = r.event(m)
	case msgError:
		var s Status
		if s, err = readStatus(m); err == nil {
			r.health(s)
		}
	default: // a late answer, or something of 1.1
		r.scan.count.CheckErrors++
	}
	if errors.Is(err, errMessage) {
		r.scan.count.CheckErrors++
		r.tell()
		return nil
	}
	return err
}

// report leaves the tags of a report for the caller. Those of the set-up are
// kept; the oldest gives way.
func (r *Reader) report(m message) error {
	if err := checkReports(m.body); err != nil {
		return err
	}
	r.rest = m.body
	for !r.up {
		rep, ok := r.cutTag()
		switch {
		case !ok:
			return nil
		case !r.fresh(rep):
			r.scan.count.Resyncs++
			continue
		case len(r.held) == heldMost:
			r.held = r.held[1:]
			r.scan.count.Resyncs++
		}
		r.held = append(r.held, r.read(rep))
	}
	return nil
}

// waiting gives the next read that is there already.
func (r *Reader) waiting() (devices.Read, bool) {
	if len(r.held) > 0 {
		read := r.held[0]
		r.held = r.held[1:]
		return read, true
	}
	r.held = nil
	rep, ok := r.cutTag()
	if !ok {
		return devices.Read{}, false
	}
	return r.read(rep), true
}

// cutTag takes the next tag off the last report, which has been checked.
func (r *Reader) cutTag() (rep report, ok bool) {
	rep, r.rest, ok, _ = cutTag(r.rest)
	return rep, ok
}

func (r *Reader) read(rep report) devices.Read {
	tag := rep.tag()
	return devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: r.at, Tag: &tag}
}

// fresh tells of a report that comes during the set-up whether it is of a tag
// that is there now. A reader may have kept reports while nobody was connected,
// and that vehicle is gone.
func (r *Reader) fresh(rep report) bool {
	switch {
	case rep.utc > 0 && r.start.utc > 0:
		return rep.utc >= r.start.utc
	case rep.uptime > 0 && r.start.uptime > 0:
		return rep.uptime >= r.start.uptime
	}
	return r.ours
}

// event deals with what the reader tells of itself.
func (r *Reader) event(m message) error {
	e, err := readEvent(m.body)
	if err != nil {
		return err
	}
	switch {
	case e.closed:
		return ErrClosed
	case e.attempt == attemptAnother && r.started: // and was refused
	case e.attempt == attemptReaderHeld, e.attempt == attemptClientHeld, e.attempt == attemptAnother:
		return refusal{fmt.Errorf("%w (status %d)", ErrTaken, e.attempt), ownedPause}
	case e.attempt == attemptSuccess && r.started:
		return ErrRestart
	case e.attempt == attemptSuccess:
		r.start, r.started = e, true
	case e.attempt > 0:
		return refusal{fmt.Errorf("reader refuses the connection (status %d)", e.attempt), errorPause}
	case e.antenna > 0:
		r.antenna(e.antenna, e.connected)
	case e.trouble != "":
		r.health(Fault{Text: e.trouble})
	}
	return nil
}

// antenna keeps which antennas are off and tells the first of them, or that
// all are back.
func (r *Reader) antenna(n int, connected bool) {
	if connected {
		delete(r.off, n)
	} else if len(r.off) < antennaMost {
		r.off[n] = true
	}
	first := 0
	for off := range r.off {
		if first == 0 || off < first {
			first = off
		}
	}
	if first == 0 {
		r.health(nil)
		return
	}
	r.health(Fault{Antenna: first})
}

func (r *Reader) health(err error) {
	if r.cfg.Health != nil {
		r.cfg.Health(err)
	}
}
