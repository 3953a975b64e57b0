package journal

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/google/uuid"
)

// gatherTurns is how often in a row the appender gives its turn away to those who
// may come at once: some 50 us, less than half of a fast disk's sync. It is a
// number and no time, which stands still in tests as long as anybody runs.
const gatherTurns = 1000

// gatherLongest ends that sooner where others keep the processor between turns.
const gatherLongest = 200 * time.Microsecond

// together is how soon after its answer a caller comes that comes at once.
const together = time.Millisecond

type request struct {
	entries []Entry
	ids     []uuid.UUID // of each
	stamps  []Stamp     // of each; the appender's until it has answered
	done    chan error  // holds one
}

// newRequest names the entries here, where callers do not wait for each other.
func newRequest(entries []Entry) request {
	r := request{entries: entries, ids: make([]uuid.UUID, len(entries)), stamps: make([]Stamp, len(entries)), done: make(chan error, 1)}
	now := time.Now()
	for i := range r.ids {
		r.ids[i] = newID(now)
		r.stamps[i].ID = r.ids[i].String()
	}
	return r
}

// newID gives a UUIDv7 (RFC 9562, 5.7). The library's has a lock for an order
// within a millisecond; here the sequence is the order, and callers are many.
func newID(now time.Time) (id uuid.UUID) {
	_, _ = rand.Read(id[:]) // it does not fail
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(now.UnixMilli())<<16)
	copy(id[:6], at[:])
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

// appender gives numbers and makes rows durable in the redo log. It touches no
// database: whatever the writer is busy with, an append costs one sync.
type appender struct {
	j        *Journal
	expected int       // requests that may come at once: those just answered, and who waited then
	answered time.Time // when that was
}

// run appends until the journal closes.
func (a *appender) run() {
	defer close(a.j.appended)
	for {
		select {
		case r := <-a.j.requests:
			a.serve(r)
		case <-a.j.closing:
			for {
				select {
				case r := <-a.j.requests:
					a.serve(r)
					continue
				default:
				}
				return
			}
		}
	}
}

// serve stores a request together with those that wait behind it.
func (a *appender) serve(first request) {
	batch, n := []request{first}, len(first.entries)
	expected := a.expected
	if time.Since(a.answered) > together {
		expected = 0
	}
	since := time.Now()
	for turns := 0; n < groupMost; turns++ {
		select {
		case r := <-a.j.requests:
			if n+len(r.entries) > groupMost {
				a.group(batch)
				batch, n = nil, 0
			}
			batch, n, turns, since = append(batch, r), n+len(r.entries), 0, time.Now()
			continue
		default:
		}
		// Those of the last group have just been answered and may be on their way
		// with their next: they share this sync if they get the processor first. A
		// caller that is alone waits for nobody.
		if len(batch) >= expected || turns == gatherTurns || time.Since(since) > gatherLongest {
			break
		}
		runtime.Gosched()
	}
	a.group(batch)
}

// stored is an entry with its place and body.
type stored struct {
	Stamp
	Entry
	id   uuid.UUID // Stamp.ID
	body []byte
}

// size is what a row takes in the database, bytes, but for what is left empty.
func (r stored) size() int64 { return int64(rowOwn + indexOwn + len(r.Class) + len(r.body)) }

func (r stored) isAlert() int64 {
	if r.Alert {
		return 1
	}
	return 0
}

// errUnsettled says that what is in the redo log has to be in the database first.
var errUnsettled = fmt.Errorf("%w: redo log has to be emptied first", ErrStorage)

// group stores a batch durably and answers everyone.
func (a *appender) group(batch []request) {
	g, err := a.try(batch)
	for tries := 2; errors.Is(err, errUnsettled) && tries > 0; tries-- {
		batch = g.requests
		if err = a.settle(); err == nil {
			g, err = a.try(batch)
		}
	}
	if err != nil {
		answerAll(g.requests, err)
		return
	}
	a.expected, a.answered = len(g.requests)+len(a.j.requests), time.Now()
	answerAll(g.requests, nil)
}

// try stores a batch if nothing has to be done before.
func (a *appender) try(batch []request) (placed, error) {
	if err := a.roomy(batch); err != nil {
		return placed{requests: batch}, err
	}
	f := a.j.front
	f.pen.Lock()
	defer f.pen.Unlock()
	folded, waiting, trouble := f.state()
	if trouble != nil || f.log.file == nil || len(waiting) > 0 && f.nears(a.j.cfg.MaxBytes) {
		return placed{requests: batch}, errUnsettled
	}
	if len(waiting) == 0 {
		f.log.rewind()
	}
	g := place(batch, f.head, a.j.epoch, a.j.liveFrom.Load())
	if len(g.rows) == 0 {
		return g, nil
	}
	if !f.log.fits(g.rows) && !f.log.turn(g.rows, folded) {
		return g, errUnsettled
	}
	if err := f.log.write(g.rows); err != nil {
		return g, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	f.ends(g.end)
	if f.add(g.rows, pages(int64(len(f.log.buf)))) {
		a.j.call()
	}
	a.j.ring()
	return g, nil
}

// settle waits until the database has what is in the log, and opens a log that
// had a fault.
func (a *appender) settle() error {
	if err := a.j.do(context.Background(), nil); err != nil {
		return err
	}
	if a.j.front.log.file == nil {
		return a.j.front.log.restart()
	}
	return nil
}

// roomy has telemetry thinned if more rows would wait than may.
func (a *appender) roomy(batch []request) error {
	most := a.j.cfg.MaxRows
	if most == 0 {
		return nil
	}
	n := uint64(0)
	for _, r := range batch {
		n += uint64(len(r.entries))
	}
	over := func() bool { return a.j.Stats().unreceipted()+n > most }
	if !over() {
		return nil
	}
	err := a.j.do(context.Background(), func(w *writer) (bool, error) {
		w.short = true
		_, _, err := w.thin(math.MaxInt64)
		return false, err
	})
	if err == nil && !over() {
		return nil
	}
	full := fmt.Errorf("%w: %d rows wait or are quarantined, %d are possible", ErrFull, a.j.Stats().unreceipted(), most)
	if err != nil {
		return fmt.Errorf("%w: %w", full, err)
	}
	return full
}

// placed is a batch with its places in the chain.
type placed struct {
	rows     []stored
	requests []request
	end      head
}

// place makes the bodies of a batch from where the chain stands. Whoever cannot
// make his is answered: one caller's mistake is no other's.
func place(batch []request, at head, epoch string, live uint64) placed {
	n := 0
	for _, r := range batch {
		n += len(r.entries)
	}
	g := placed{end: at, rows: make([]stored, 0, n), requests: make([]request, 0, len(batch))}
	for _, r := range batch {
		rows, end, err := build(g.rows, r, g.end, epoch, live)
		if err != nil {
			r.done <- err
			continue
		}
		g.rows, g.requests, g.end = rows, append(g.requests, r), end
	}
	return g
}

func answerAll(batch []request, err error) {
	for _, r := range batch {
		r.done <- err
	}
}

// build appends the rows of one request to those before, from where the chain
// stands.
func build(rows []stored, r request, at head, epoch string, live uint64) ([]stored, head, error) {
	for i, e := range r.entries {
		if len(e.Class) > classMost {
			return nil, at, fmt.Errorf("class of %d bytes, %d are possible", len(e.Class), classMost)
		}
		s := &r.stamps[i]
		*s = Stamp{Epoch: epoch, Seq: at.seq + 1, Prev: at.prev, ID: s.ID, Live: at.seq+1 >= live}
		body, err := e.Build(*s)
		if err != nil {
			return nil, at, fmt.Errorf("building an event of class %s: %w", e.Class, err)
		}
		if len(body) == 0 || len(body) > MaxBody {
			return nil, at, fmt.Errorf("event of class %s has %d bytes, 1 to %d are possible", e.Class, len(body), MaxBody)
		}
		rows = append(rows, stored{*s, e, r.ids[i], body})
		at = head{seq: s.Seq, prev: link(body)}
	}
	return rows, at, nil
}
