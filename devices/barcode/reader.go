package barcode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"boothd/devices"
)

// Config is one scanner.
type Config struct {
	Name   string
	Role   devices.Role // RoleScan or RoleSeal
	Suffix Suffix
}

// Port is what a scanner hangs on. Read returns (0, nil) when nothing came
// within a fraction of a second.
type Port interface {
	io.ReadWriteCloser
}

// Reader reads one scanner. One goroutine ranges over Reads; Counters is for
// any goroutine.
type Reader struct {
	port  Port
	cfg   Config
	mu    sync.Mutex // Counters comes from the booth's health while Reads runs
	count devices.Counters
}

// Open makes a reader of an open port. A scanner says nothing of itself: that
// it is there shows with the first scan. The port is closed on an error.
func Open(_ context.Context, p Port, cfg Config) (*Reader, error) {
	if cfg.Suffix < CR || cfg.Suffix > None {
		return nil, errors.Join(fmt.Errorf("opening scanner %s: suffix %d is none", cfg.Name, cfg.Suffix), p.Close())
	}
	return &Reader{port: p, cfg: cfg}, nil
}

// Counters gives what was counted so far.
func (r *Reader) Counters() devices.Counters {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Close closes the port.
func (r *Reader) Close() error { return r.port.Close() }

// Reads yields scans until the port fails or ctx ends; the same code within
// Duplicate is one scan. What was cut off or is no bar code of trade is counted
// and yielded as unreadable: somebody held something to the scanner.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		frames := Frames{Suffix: r.cfg.Suffix}
		var repeats Repeats
		var first time.Time // of the scan that is coming in
		buf := make([]byte, 512)
		defer clear(buf)
		more := true
		hand := func(scan string, err error) {
			at := first
			first = time.Time{}
			if !more {
				return
			}
			r.note(err)
			if err == nil {
				_, scan = Symbology(scan)
				if scan == "" {
					return
				}
				if repeats.Seen(scan, at) {
					r.again()
					return
				}
			}
			more = yield(devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: at,
				Scan: &devices.Scan{Text: devices.Ident(scan), Unreadable: err != nil}}, nil)
		}
		for more {
			if err := ctx.Err(); err != nil {
				yield(devices.Read{}, err)
				return
			}
			n, err := r.port.Read(buf)
			now := time.Now()
			switch {
			case n > 0:
				r.mu.Lock()
				r.count.Bytes += uint64(n)
				r.mu.Unlock()
				// Byte by byte at the ends of scans only: the first byte of each
				// gives its time.
				for b := buf[:n]; len(b) > 0 && more; {
					if first.IsZero() {
						first = now
					}
					i := bytes.IndexAny(b, "\r\n\x03") + 1
					if i == 0 {
						i = len(b)
					}
					frames.Push(b[:i], hand)
					if b = b[i:]; len(frames.held) == 0 && !frames.long {
						first = time.Time{} // a line feed after the end is no begin
					}
				}
			case r.cfg.Suffix == None && !first.IsZero() && now.Sub(first) >= Gap:
				frames.Silence(hand)
			case n == 0 && err == nil && !first.IsZero() && now.Sub(first) >= time.Second:
				if frames.Drop() > 0 { // its end never came
					r.mu.Lock()
					r.count.Timeouts++
					r.mu.Unlock()
				}
				first = time.Time{}
			}
			if err != nil && more {
				yield(devices.Read{}, fmt.Errorf("reading scanner %s: %w", r.cfg.Name, err))
				return
			}
		}
	}
}

func (r *Reader) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count.Repeats++
}

func (r *Reader) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.count.Frames++
	case errors.Is(err, ErrLong):
		r.count.Resyncs++
	default:
		r.count.CheckErrors++
	}
}
