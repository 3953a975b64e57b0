// Package line reads plates from cameras that send text: one report after
// another, framed by bytes or by silence, in fields that the camera's own
// template lays down.
//
// Confidence is a fraction from 0 to 1, negative if the camera does not say.
// Times are arrival at this box; the camera's own clock is kept beside. A report
// that fails its check or has another format is counted and dropped. The same
// plate within the window is one report, unless it is surer than before.
//
// Source: licence plate readers, section 1 and vectors.
package line

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

const (
	// beatWait is how long a camera that sends heartbeats may be silent, if the
	// configuration does not say. Ours.
	beatWait = 30 * time.Second
	// cutOff is how long a report may pause before it counts as cut off. Ours: a
	// report of 512 bytes takes 0.53 s at 9600 baud.
	cutOff = time.Second
	// A line is at fault after so many reports in a row that could not be used, or
	// so many bytes without a whole report; and says so once a minute at most.
	// (Licence plate readers, section 1; the first two are ours.)
	badMost    = 3
	noiseMost  = 4096
	faultEvery = time.Minute
)

// ErrSilent ends a reader: the heartbeats have stopped.
var ErrSilent error = devices.Silent("camera does not send")

// ErrNoise is a fault: bytes come, but no report among them.
var ErrNoise = errors.New("no report in what the camera sends; another speed or template")

// Fault is a state of the camera that does not end it: report after report is
// unusable. Why names the last one's defect and quotes nothing of it; nil says
// that it is over.
type Fault struct{ Why error }

// Reader is an open camera. Reads belongs to one goroutine.
type Reader struct {
	port   io.ReadWriteCloser
	cfg    Config
	parser *parser
	framer framer
	in     [512]byte
	reads  []devices.Read // of the bytes last read
	now    time.Time      // arrival of the bytes last read
	idle   time.Duration  // waited since the last byte
	mute   time.Duration  // waited since the last usable report

	ack, nak answer
	answers  []byte // to the reports of the bytes last read, not yet sent

	seen devices.Glances

	bad, noise int // reports and bytes since the last usable report
	faulty     bool
	faultAt    time.Time

	counted devices.Counters
	count   atomic.Pointer[devices.Counters]
}

// Open takes over a port whose Read gives 0, nil on silence. Nothing is sent to
// a camera but the answers of the configuration. The port is closed on an error.
func Open(ctx context.Context, p io.ReadWriteCloser, cfg Config) (*Reader, error) {
	full, err := cfg.complete()
	var ps *parser
	if err == nil {
		ps, err = newParser(full)
	}
	var ack, nak answer
	if err == nil {
		ack, err = parseAnswer(cfg.Ack)
	}
	if err == nil {
		nak, err = parseAnswer(cfg.Nak)
	}
	switch {
	case err != nil:
	case nak.numbered():
		err = fmt.Errorf("answer: of a report that is damaged %s is not known", placeSeq)
	case ack.numbered() && !ps.has("seq"):
		err = fmt.Errorf("answer: no field is %s", placeSeq)
	default:
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("line %s: %w", cfg.Name, err), p.Close())
	}
	return &Reader{port: p, cfg: full, parser: ps, framer: ps.framer(), ack: ack, nak: nak}, nil
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

// Reads yields every plate report until ctx ends or the camera does; the error
// comes last, once. Reports are answered when they have been yielded.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		stop := context.AfterFunc(ctx, func() { _ = r.port.Close() }) // wakes a Read that waits
		defer stop()
		for {
			err := r.hear()
			for _, read := range r.reads {
				if !yield(read, nil) {
					return
				}
			}
			if len(r.answers) > 0 && err == nil {
				_, err = r.port.Write(r.answers)
				r.answers = r.answers[:0]
			}
			switch {
			case ctx.Err() != nil:
				yield(devices.Read{}, ctx.Err())
			case err != nil:
				yield(devices.Read{}, fmt.Errorf("line %s: %w", r.cfg.Name, err))
			default:
				continue
			}
			return
		}
	}
}

// hear reads once from the line; reports go to reads. Pauses are measured as
// the time spent waiting for bytes: a caller who is slow to take a read is no
// silence of the camera.
func (r *Reader) hear() error {
	r.reads, r.answers = r.reads[:0], r.answers[:0]
	asked := time.Now()
	n, err := r.port.Read(r.in[:])
	r.now = time.Now()
	waited := r.now.Sub(asked)
	r.idle, r.mute = r.idle+waited, r.mute+waited
	if r.idle >= r.pause() {
		r.framer.quiet(r.take)
	}
	if n > 0 {
		r.idle = 0
		r.noise += n
		r.counted.Bytes += uint64(n)
		r.framer.feed(r.in[:n], r.now, r.take)
	}
	if r.noise > noiseMost {
		r.fault(ErrNoise)
		r.noise = 0
	}
	if err == nil && r.cfg.Heartbeat != "" && r.mute > r.cfg.Quiet {
		r.counted.Timeouts++
		err = ErrSilent
	}
	r.counted.Resyncs = r.framer.dropped
	c := r.counted
	r.count.Store(&c)
	return err
}

// pause is what ends a report, or cuts it off.
func (r *Reader) pause() time.Duration {
	if r.cfg.End == "" {
		return r.cfg.Silence
	}
	return cutOff
}

// take reads one report.
func (r *Reader) take(report []byte, begun time.Time) {
	p, seq, beat, err := r.parser.numbered(report)
	switch {
	case errors.Is(err, errBlank):
		return
	case err != nil:
		if errors.Is(err, errCheck) {
			r.answers = r.nak.append(r.answers, "")
		}
		r.counted.CheckErrors++
		if r.bad++; r.bad >= badMost {
			r.fault(err)
		}
		return
	}
	r.counted.Frames++
	r.mute, r.bad, r.noise = 0, 0, 0
	r.sound()
	if beat {
		return
	}
	r.answers = r.ack.append(r.answers, seq) // one that is sent again, too
	read := devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: begun, Plate: &p}
	if r.seen.Repeats(*read.Plate, read.At, r.cfg.Window) {
		r.counted.Repeats++
		return
	}
	r.reads = append(r.reads, read)
}

// fault says once that the camera cannot be understood.
func (r *Reader) fault(why error) {
	if r.faulty || !r.faultAt.IsZero() && r.now.Sub(r.faultAt) < faultEvery {
		return
	}
	r.faulty, r.faultAt = true, r.now
	if r.cfg.Health != nil {
		r.cfg.Health(Fault{why})
	}
}

// sound says once that the fault is over.
func (r *Reader) sound() {
	if r.faulty && r.cfg.Health != nil {
		r.cfg.Health(Fault{})
	}
	r.faulty = false
}
