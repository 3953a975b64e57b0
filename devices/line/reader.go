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
	// beatWait is how long a camera that sends heartbeats may be silent.
	beatWait = 30 * time.Second
	// cutOff is how long a report may pause before it counts as cut off.
	cutOff = time.Second
)

// ErrSilent says that the heartbeats have stopped.
var ErrSilent = errors.New("camera does not send")

// Reader is an open camera. Reads belongs to one goroutine.
type Reader struct {
	port    io.ReadWriteCloser
	cfg     Config
	parser  *parser
	framer  framer
	in      [512]byte
	at      time.Time // arrival of the bytes last read
	heard   time.Time // last whole report
	last    devices.Plate
	lastAt  time.Time // of the last report given
	counted devices.Counters
	count   atomic.Pointer[devices.Counters]
}

// Open takes over a port whose Read gives 0, nil on silence. Nothing is sent to
// a camera. The port is closed on an error.
func Open(ctx context.Context, p io.ReadWriteCloser, cfg Config) (*Reader, error) {
	err := ctx.Err()
	if err == nil {
		cfg, err = cfg.complete()
	}
	var ps *parser
	if err == nil {
		ps, err = newParser(cfg)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("line %s: %w", cfg.Name, err), p.Close())
	}
	now := time.Now()
	return &Reader{port: p, cfg: cfg, parser: ps, at: now, heard: now,
		framer: framer{start: []byte(cfg.Start), end: []byte(cfg.End), most: cfg.MaxLength}}, nil
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
// comes last, once.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		stop := context.AfterFunc(ctx, func() { _ = r.port.Close() }) // wakes a Read that waits
		defer stop()
		var plates []devices.Plate
		take := func(report []byte) { plates = r.take(report, plates) }
		for {
			n, err := r.port.Read(r.in[:])
			now := time.Now()
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(devices.Read{}, fmt.Errorf("line %s: %w", r.cfg.Name, err))
				return
			}
			plates = plates[:0]
			began := r.at
			if n > 0 {
				if r.silent(now) {
					r.framer.quiet(take)
				}
				r.at, began = now, now
				r.counted.Bytes += uint64(n)
				r.framer.feed(r.in[:n], take)
			} else if r.silent(now) {
				r.framer.quiet(take)
			}
			r.publish()
			for _, p := range plates {
				if !yield(devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: began, Plate: &p}, nil) {
					return
				}
			}
			if r.cfg.Heartbeat != "" && now.Sub(r.heard) > beatWait {
				r.counted.Timeouts++
				r.publish()
				yield(devices.Read{}, fmt.Errorf("line %s: %w", r.cfg.Name, ErrSilent))
				return
			}
		}
	}
}

// silent tells whether the line has paused for long enough to end a report.
func (r *Reader) silent(now time.Time) bool {
	limit := cutOff
	if r.cfg.End == "" {
		limit = r.cfg.Silence
	}
	return now.Sub(r.at) >= limit
}

// take reads one report.
func (r *Reader) take(report []byte, plates []devices.Plate) []devices.Plate {
	p, beat, err := r.parser.parse(report)
	if err != nil {
		r.counted.CheckErrors++
		return plates
	}
	r.counted.Frames++
	r.heard = time.Now()
	if beat || r.again(p) {
		return plates
	}
	r.last, r.lastAt = p, r.heard
	return append(plates, p)
}

// again tells whether a report repeats the last one and adds nothing to it.
func (r *Reader) again(p devices.Plate) bool {
	return !r.lastAt.IsZero() && time.Since(r.lastAt) < r.cfg.Window && p.Text == r.last.Text && p.NoRead == r.last.NoRead &&
		p.Jurisdiction == r.last.Jurisdiction && p.Confidence <= r.last.Confidence
}

func (r *Reader) publish() {
	c := r.counted
	c.Resyncs = r.framer.dropped
	r.count.Store(&c)
}
