package journal

import (
	"errors"
	"fmt"
	"math"
	"time"

	"boothd/buffer/internal/sqlite"
)

const (
	// pruneSlice is how many sequence numbers one slice of pruning looks at.
	pruneSlice = 512
	// searchMost is how many numbers an append that found the file full looks
	// at: some megabytes of reading. The rest is for the time between appends.
	searchMost = 4096
)

// job is other writing, done in slices between appends.
type job struct {
	slice func(w *writer) (more bool, err error)
	done  chan error // holds one
	prune bool
}

// slice does one slice of a job; it tells whether the job is done.
func (w *writer) slice(j *Journal, k *job) bool {
	err := w.ready()
	more := false
	if err == nil {
		before := w.stats
		if more, err = k.slice(w); err != nil && !errors.Is(err, ErrFull) {
			err = w.fail(err)
		}
		if w.conn != nil && before != w.stats {
			w.publish(j)
		}
	}
	if more && err == nil {
		return false
	}
	if k.prune {
		w.pruning = false
	}
	k.done <- err
	return true
}

// tidy moves what was committed into the database file, if it is worth it.
func (w *writer) tidy(least int) {
	if w.conn == nil || w.commits < least {
		return
	}
	w.commits = 0
	// A reader may hold it up; the next idle moment tries again.
	if _, err := w.conn.Int("PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		_ = w.fail(err) // nobody waits for it; the next append says so
	}
}

// startPruning gives up receipted rows over their time, or, when the file was
// full, the oldest whatever their time.
func (w *writer) startPruning() *job {
	w.pruning = true
	return &job{slice: pruning(), done: make(chan error, 1), prune: true}
}

// pruning goes through the numbers a slice at a time, from the lowest that may
// be receipted up to the first row that is young enough.
func pruning() func(w *writer) (more bool, err error) {
	from := uint64(0)
	return func(w *writer) (bool, error) {
		if w.search {
			freed, err := w.makeRoom()
			return w.search && freed == 0, err
		}
		cut := sqlite.Micros(time.Now().Add(-w.cfg.Retain))
		first, older, err := w.oldest(max(from, w.low), cut)
		if err != nil || !older || first >= w.head.seq {
			return false, errors.Join(err, w.measure())
		}
		from = first + pruneSlice
		_, err = w.drop(cut, first, from)
		return true, err
	}
}

// oldest finds the first row from a number on, and tells whether it is older
// than cut.
func (w *writer) oldest(from uint64, cut int64) (seq uint64, older bool, err error) {
	n, err := w.conn.Int("SELECT seq FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", int64(from))
	if err != nil || n == 0 {
		return math.MaxInt64, false, err
	}
	n2, err := w.conn.Int("SELECT at < ? FROM event WHERE seq = ?", cut, n)
	return uint64(n), n2 == 1, err
}

// drop deletes receipted rows of a window that are older than cut, never the
// newest row: it is the end of the chain. It is what knows where the lowest
// receipted row is.
func (w *writer) drop(cut int64, from, to uint64) (n int64, err error) {
	err = w.atomically(func() error {
		n, err = w.exec("DELETE FROM event WHERE seq >= ? AND seq < ? AND state = 1 AND at < ? AND seq < ?", int64(from), int64(to), cut, int64(w.head.seq))
		return err
	})
	if err != nil {
		return 0, err
	}
	if n > 0 {
		w.commits++
	}
	if w.low < from {
		return n, nil // something below is receipted already
	}
	left, err := w.conn.Int("SELECT seq FROM event WHERE seq >= ? AND seq < ? AND state = 1 ORDER BY seq LIMIT 1", int64(from), int64(to))
	if w.low = to; left != 0 {
		w.low = uint64(left)
	}
	return n, err
}

// makeRoom deletes the oldest receipted rows whatever their age. It does not
// look far: while w.search is set there may be more, and pruning goes on.
func (w *writer) makeRoom() (freed int64, err error) {
	first, err := w.conn.Int("SELECT seq FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", int64(w.low))
	if err != nil || first == 0 {
		w.search = false
		return 0, err
	}
	w.low = max(w.low, uint64(first)) // nothing is below the first row
	w.search = true
	end := w.low + searchMost
	found, err := w.conn.Int("SELECT seq FROM event WHERE seq >= ? AND seq < ? AND state = 1 ORDER BY seq LIMIT 1", int64(w.low), int64(end))
	switch {
	case err != nil:
		return 0, fmt.Errorf("looking for room: %w", err)
	case found == 0:
		w.low = end
		w.search = w.low < w.head.seq
		return 0, nil
	}
	w.low = uint64(found)
	freed, err = w.drop(math.MaxInt64, w.low, w.low+pruneSlice)
	w.search = w.low < w.head.seq && freed == 0
	return freed, errors.Join(err, w.measure())
}
