package journal

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"boothd/buffer/internal/sqlite"
)

// front is what the journal has acknowledged, ahead of its database: rows are
// durable in the redo log first, and the writer takes them over from here.
type front struct {
	// pen is held while numbers are given: by the appender for a group, by the
	// writer for a thinning, whose event is a number too, and for what it finds in
	// the database after a fault. Nobody waits for the other while he has it.
	pen  sync.Mutex
	head head
	last atomic.Uint64 // its number

	log *redo // the appender's

	mu      sync.Mutex
	rows    []stored // in the log and not in the database, in order; never changed in place
	folded  uint64   // the newest row of the database
	kept    Stats    // of the database
	upto    uint64   // its mark
	ahead   Stats    // of rows: Waiting, Oldest, Alerts and Bytes
	trouble error    // why the database takes nothing; nil: it does
	used    int64    // bytes of the log that rows take, about
	logged  int64    // bytes written to the log since they were last asked for
}

// newFront reads what the redo log holds that the database, which ends at end,
// does not.
func newFront(cfg Config, epoch string, end head) (*front, error) {
	log, rows, err := openRedo(redoPath(cfg.Path), epoch, cfg.Log)
	if err != nil {
		return nil, err
	}
	f := &front{head: end, log: log, folded: end.seq}
	for _, r := range rows {
		if r.Seq == end.seq && link(r.body) != end.prev {
			break // a group that was never acknowledged: its numbers were given again, to a tombstone
		}
		if r.Seq <= end.seq {
			continue
		}
		if r.Seq != f.head.seq+1 || r.Prev != f.head.prev {
			err := fmt.Errorf("%w: event %d is in the log behind it and does not follow %d", sqlite.ErrCorrupt, r.Seq, f.head.seq)
			return nil, errors.Join(err, log.close())
		}
		f.head = head{seq: r.Seq, prev: link(r.body)}
		f.rows = append(f.rows, r)
		f.ahead.count(r)
	}
	f.ends(f.head)
	return f, nil
}

// ends notes where the chain ends now. The caller has the pen.
func (f *front) ends(at head) {
	f.head = at
	f.last.Store(at.seq)
}

// count adds a row that waits.
func (s *Stats) count(r stored) {
	s.Bytes += r.size()
	if r.Alert {
		s.Alerts++
		return
	}
	if s.Waiting++; s.Waiting == 1 {
		s.Oldest = sqlite.Time(sqlite.Micros(r.At))
	}
}

// add takes rows that are durable in the log, and tells whether the writer is to
// know: they are the first that wait for it, or many do.
func (f *front) add(rows []stored, logged int64) (call bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	call = len(f.rows) == 0
	f.rows = append(f.rows, rows...)
	for _, r := range rows {
		f.ahead.count(r)
	}
	f.logged, f.used = f.logged+logged, f.used+logged
	return call || f.crowded()
}

// crowded tells whether the log is to be emptied at once, so that its other half
// is free before it is needed. The caller has mu.
func (f *front) crowded() bool { return f.used > redoHalf/2 }

// next gives the oldest rows, at most n.
func (f *front) next(n int) []stored {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = min(n, len(f.rows))
	return f.rows[:n:n]
}

// folds notes that the database now ends at a number, and what it holds.
func (f *front) folds(end uint64, kept Stats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for n < len(f.rows) && f.rows[n].Seq <= end {
		n++
	}
	if n > 0 {
		f.used -= f.used * int64(n) / int64(len(f.rows))
	}
	if f.rows = f.rows[n:]; len(f.rows) == 0 {
		f.rows = nil
	}
	f.folded, f.kept, f.ahead = end, kept, Stats{}
	for _, r := range f.rows {
		f.ahead.count(r)
	}
}

// keeps notes what the database holds, and up to where it is receipted.
func (f *front) keeps(kept Stats, upto uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept, f.upto = kept, upto
}

// mark is the number up to which everything is receipted.
func (f *front) mark() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.upto
}

// stats are of the log and the database together.
func (f *front) stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.kept
	s.Last = f.folded + uint64(len(f.rows))
	s.Waiting += f.ahead.Waiting
	s.Alerts += f.ahead.Alerts
	if s.Oldest.IsZero() {
		s.Oldest = f.ahead.Oldest
	}
	return s
}

// state is where the database ends, the rows behind it, and why it takes none.
func (f *front) state() (folded uint64, rows []stored, trouble error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.folded, f.rows[:len(f.rows):len(f.rows)], f.trouble
}

// fails notes why the database takes nothing, or that it does again.
func (f *front) fails(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble = err
}

// urges tells whether there are rows, and whether the log is to be emptied at once.
func (f *front) urges() (some, now bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rows) > 0, f.crowded()
}

// nears tells whether the database might be full with what waits for it; 0: there
// is no limit. Rows then go there one by one, so that none is acknowledged beside
// what it can hold but the one that finds it full.
func (f *front) nears(most int64) bool {
	const slack = 64 << 10 // bytes: pages that are split, and those of the index
	f.mu.Lock()
	defer f.mu.Unlock()
	return most > 0 && f.kept.Bytes+2*f.ahead.Bytes+slack > most
}

// takeLogged gives the bytes written to the log since it was last asked.
func (f *front) takeLogged() (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, f.logged = f.logged, 0
	return n
}
