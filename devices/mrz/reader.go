package mrz

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"boothd/devices"
)

// Config is one document reader.
type Config struct {
	Name string
	Role devices.Role
	XOR  bool // the reader sends an exclusive or after ETX
}

// Port is what a reader hangs on. Read returns (0, nil) when nothing came
// within a fraction of a second.
type Port interface {
	io.ReadWriteCloser
}

// Repeat is the time within which the same document is the same presentation.
const Repeat = 2 * time.Second

// Reader reads one document reader. One goroutine ranges over Reads; Counters
// is for any goroutine.
type Reader struct {
	port  Port
	cfg   Config
	mu    sync.Mutex // Counters comes from the booth's health while Reads runs
	count devices.Counters
}

// Open makes a reader of an open port. A document reader says nothing of
// itself: that it is there shows with the first document.
func Open(_ context.Context, p Port, cfg Config) (*Reader, error) {
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

// Reads yields documents until the port fails or ctx ends. A document whose
// check digits are wrong is yielded without its number (415), one that cannot
// be read at all as unreadable (401). Nothing of the zone but issuer and number
// leaves this package.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		frames := Frames{XOR: r.cfg.XOR}
		var first, heard time.Time // the document's first byte, and the last byte of any
		var last devices.Document
		var lastAt time.Time
		buf := make([]byte, 256)
		defer clear(buf)
		defer frames.Drop()
		more := true
		hand := func(d Document, err error) {
			at := first
			first = heard // should another one follow in the same bytes
			r.note(func(c *devices.Counters) { tally(c, d, err) })
			doc := devices.Document{Unreadable: err != nil, CheckFailed: err == nil && d.Failed != 0, Issuer: d.Issuer, Number: d.Number}
			again := doc == last && at.Sub(lastAt) < Repeat
			last, lastAt = doc, at
			if again {
				r.note(func(c *devices.Counters) { c.Repeats++ })
			}
			if more && !again {
				more = yield(devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: at, Document: &doc}, nil)
			}
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
				r.note(func(c *devices.Counters) { c.Bytes += uint64(n) })
				if heard = now; !frames.Begun() {
					first = now
				}
				frames.Push(buf[:n], hand)
				clear(buf[:n])
			case err == nil && now.Sub(heard) >= Gap:
				frames.Silence(hand)
			}
			if err != nil && more {
				yield(devices.Read{}, fmt.Errorf("reading document reader %s: %w", r.cfg.Name, err))
				return
			}
		}
	}
}

func (r *Reader) note(f func(*devices.Counters)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.count)
}

func tally(c *devices.Counters, d Document, err error) {
	if err != nil || d.Failed != 0 {
		c.CheckErrors++
		return
	}
	c.Frames++
}
