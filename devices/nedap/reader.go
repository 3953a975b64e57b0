// Package nedap reads plates from cameras of Nedap and of Tattile's Vega family
// in their framed forms: "protocolled" reports on RS-485 (9600 8N1), which the
// camera may send again until it is answered, and packets of tags over TCP.
//
// Confidence is a fraction from 0 to 1, negative if the camera does not say.
// Times are arrival at this box; the camera's own clock is kept beside. Images
// are passed over. A damaged report is dropped and counted, one that is sent
// again is answered again and read once. The same plate within the window is one
// read, unless it is surer than before. A lost line ends Reads with an error,
// and the caller opens again.
//
// Source: licence plate readers, section 2 and vectors; the window is section
// 1's. What a camera expects as an answer is not in it: it is the technician's to
// say.
package nedap

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Limits of a camera; ours.
const (
	cutOff       = time.Second      // silence inside a report that drops it
	packetCutOff = 3 * time.Second  // the same of a packet: the network may have to send again
	windowUsual  = 10 * time.Second // in which the same plate is the same vehicle's (section 1)
	badMost      = 3                // reports in a row that cannot be used are a fault
	noiseMost    = 4096             // bytes without a report likewise
)

// Faults of a camera that goes on.
var (
	ErrNoise     = errors.New("no report in what the camera sends; another speed or form")
	ErrRestarted = errors.New("camera was started anew: its reports are counted from 1 again")
)

var (
	errPlateless = errors.New("packet says nothing of a plate")
	errTwice     = errors.New("packet says a thing twice")
)

// Text reads what a camera tells within its frames: text that its template
// makes, or parts by the names of their fields. Of "plate" and "plate_country"
// the later one counts.
type Text interface {
	Report(text []byte) (devices.Plate, error)
	Parts(parts iter.Seq2[string, []byte]) (devices.Plate, error)
}

// Config says which camera and how it tells.
type Config struct {
	Name    string
	Role    devices.Role
	Packets bool // packets of tags, not protocolled reports
	Text    Text
	Ack     string        // what a protocolled report is answered: hex digits, {open}, {id}, {xor}, {close}; none: nothing
	Window  time.Duration // in which the same plate is the same report; default 10 s

	Health func(error) // told what is wrong, and nil when it is over; called from Reads; may be nil
}

// codec finds reports in a stream.
type codec interface {
	feed(b []byte, at time.Time, out emit)
	quiet(out emit) // the line was silent for long
	tallied() *tally
}

func (t *tally) tallied() *tally { return t }

// Reader is an open camera. Reads belongs to one goroutine.
type Reader struct {
	port  io.ReadWriteCloser
	cfg   Config
	ack   ack
	codec codec
	pause time.Duration // after which half a report is given up
	in    [512]byte
	idle  time.Duration // waited since the last byte
	due   []due

	last   seen
	plates devices.Glances
	bad    int   // reports that could not be used since the last one that could
	wrong  error // what was told last

	repeats uint64
	count   atomic.Pointer[devices.Counters]
}

// due is what a report gives: a read, an answer, or both.
type due struct {
	plate  *devices.Plate
	begun  time.Time
	answer []byte
}

// seen tells a report from one that is sent again. It keeps no plate.
type seen struct {
	some bool
	id   uint32
	sum  [sha256.Size]byte
}

// Open takes over a port whose Read gives 0, nil on silence. Nothing is sent to
// a camera but answers. The port is closed on an error.
func Open(ctx context.Context, p io.ReadWriteCloser, cfg Config) (*Reader, error) {
	r := &Reader{port: p, cfg: cfg, codec: &scanner{}, pause: cutOff}
	if cfg.Packets {
		r.codec, r.pause = &packets{}, packetCutOff
	}
	if cfg.Window == 0 {
		r.cfg.Window = windowUsual
	}
	var err error
	switch r.ack, err = parseAck(cfg.Ack); {
	case err != nil:
	case cfg.Packets && len(r.ack) > 0:
		err = errors.New("packets are not answered")
	case cfg.Text == nil:
		err = errors.New("nobody to read its text")
	default:
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("nedap %s: %w", cfg.Name, err), p.Close())
	}
	return r, nil
}

// Close gives up the port.
func (r *Reader) Close() error { return r.port.Close() }

// Counters tells what was counted up to the last Read: repeats are reports that
// were sent again, or told a plate again. Any goroutine may ask.
func (r *Reader) Counters() devices.Counters {
	if c := r.count.Load(); c != nil {
		return *c
	}
	return devices.Counters{}
}

// Reads yields every plate report until ctx ends or the camera does; the error
// comes last, once. A report is answered when its read has been taken.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		stop := context.AfterFunc(ctx, func() { _ = r.port.Close() }) // wakes a Read that waits
		defer stop()
		for {
			more, err := r.hand(yield, true) // first what an earlier caller has left
			if !more {
				return
			}
			if err == nil {
				err = r.hear()
			}
			if err == nil {
				continue
			}
			if more, _ = r.hand(yield, false); !more { // what came with the error
				return
			}
			if ctx.Err() != nil {
				err = ctx.Err()
			} else {
				err = fmt.Errorf("nedap %s: %w", r.cfg.Name, err)
			}
			yield(devices.Read{}, err)
			return
		}
	}
}

// hand hands on what is due, and tells whether the caller wants more. What was
// handed on is answered in any case, if there is somebody to answer.
func (r *Reader) hand(yield func(devices.Read, error) bool, there bool) (more bool, err error) {
	for more = true; more && err == nil && len(r.due) > 0; {
		d := r.due[0]
		r.due = r.due[1:]
		if d.plate != nil {
			more = yield(devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: d.begun, Plate: d.plate}, nil)
		}
		if there && len(d.answer) > 0 {
			_, err = r.port.Write(d.answer)
		}
	}
	if len(r.due) == 0 {
		r.due = nil
	}
	return more, err
}

// hear reads once from the line. A pause is the time spent waiting for bytes: a
// caller who is slow to take a read is no silence of the camera.
func (r *Reader) hear() error {
	asked := time.Now()
	n, err := r.port.Read(r.in[:])
	now := time.Now()
	if r.idle += now.Sub(asked); r.idle >= r.pause {
		r.codec.quiet(r.take)
	}
	if n > 0 {
		r.idle = 0
		r.codec.feed(r.in[:n], now, r.take)
	}
	t := r.codec.tallied()
	if t.noise > noiseMost {
		r.tell(ErrNoise)
	}
	c := t.Counters
	c.Repeats = r.repeats
	r.count.Store(&c)
	return err
}

// take takes one whole report.
func (r *Reader) take(got report) {
	var plate devices.Plate
	var err, state error
	if got.tags != nil {
		if state = got.tags.fault(); state != nil && !got.tags.plated() {
			r.tell(state)
			return
		}
		plate, err = r.packet(got.tags)
	} else {
		again, restarted := r.last.follows(got)
		if again {
			r.repeats++
			r.due = append(r.due, due{answer: r.ack.to(got)})
			return
		}
		if restarted {
			state = ErrRestarted
		}
		plate, err = r.cfg.Text.Report(got.text)
	}
	d := due{begun: got.begun, answer: r.ack.to(got)} // it came whole: to send it again would help nobody
	if err == nil {
		r.bad = 0
		r.tell(state)
		if r.plates.Repeats(plate, got.begun, r.cfg.Window) {
			r.repeats++
		} else {
			d.plate = &plate
		}
	} else {
		r.codec.tallied().CheckErrors++
		if r.bad++; r.bad >= badMost {
			r.tell(err)
		}
	}
	r.due = append(r.due, d)
}

// packet reads what a packet says of a plate.
func (r *Reader) packet(t *tags) (devices.Plate, error) {
	switch {
	case !t.plated():
		return devices.Plate{}, errPlateless
	case t.twice:
		return devices.Plate{}, errTwice
	}
	return r.cfg.Text.Parts(t.parts())
}

// fault is the error that the camera reports of itself.
func (t *tags) fault() error {
	if t.code == 0 {
		return nil
	}
	return fmt.Errorf("camera reports error %d", t.code)
}

// follows takes a protocolled report: one with the id and the text of the last
// one is that one again, and an id that goes back is a camera that was started
// anew.
func (s *seen) follows(r report) (again, restarted bool) {
	next := seen{some: true, id: r.id, sum: sha256.Sum256(r.text)}
	again = *s == next
	restarted = s.some && !again && (r.id == 1 || r.id < s.id)
	*s = next
	return again, restarted
}

// tell says what is wrong when that has changed.
func (r *Reader) tell(why error) {
	if why == r.wrong || why != nil && r.wrong != nil && why.Error() == r.wrong.Error() {
		return
	}
	if r.wrong = why; r.cfg.Health != nil {
		r.cfg.Health(why)
	}
}
