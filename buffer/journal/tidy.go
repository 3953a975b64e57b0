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
	// searchMost is how many numbers are looked at for something to give up
	// before appends are served again: some megabytes of reading.
	searchMost = 4096

	// nearFull is the part of a limit from where on room is made beside the
	// appends, until relieved: an append that has to wait for it is late.
	nearFull = 0.9
	relieved = 0.8
)

// job is other writing, done in slices between appends.
type job struct {
	slice func(w *writer) (more bool, err error)
	done  chan error // holds one
	prune bool
}

// slice does one slice of a job, behind what is in the log; it tells whether the
// job is done. A job without slices is only that.
func (w *writer) slice(k *job) bool {
	err := w.foldAll()
	more := false
	if k.slice != nil && (err == nil || errors.Is(err, ErrFull) && w.conn != nil) { // it may be what makes room
		if more, err = k.slice(w); err != nil {
			err = w.fault(err)
		}
		if w.conn != nil {
			w.front.keeps(w.stats, w.upto)
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

// tidy moves what was committed into the database file, if it is worth it, and
// looks whether there is room.
func (w *writer) tidy(least int) {
	if w.conn == nil || w.commits < least {
		return
	}
	w.commits = 0 // a reader may hold it up; the next idle moment tries again.
	err := w.checkpoint()
	if err == nil {
		err = w.measure()
	}
	if err != nil {
		_ = w.fail(err) // nobody waits for it; the next append says so
		return
	}
	w.short = w.short || w.near(nearFull)
	w.front.keeps(w.stats, w.upto)
}

// near tells whether a part of one of the limits is reached.
func (w *writer) near(part float64) bool { return w.nearRows(part) || w.nearBytes(part) }

func (w *writer) nearRows(part float64) bool {
	return w.cfg.MaxRows > 0 && float64(w.unreceipted()) > part*float64(w.cfg.MaxRows)
}

func (w *writer) nearBytes(part float64) bool {
	return w.cfg.MaxBytes > 0 && float64(w.stats.Bytes) > part*float64(w.cfg.MaxBytes)
}

func (w *writer) unreceipted() uint64 { return w.stats.unreceipted() }

func (s Stats) unreceipted() uint64 { return s.Waiting + s.Alerts + s.Quarantined }

// startPruning makes room if there is little, then gives up what is over its
// time.
func (w *writer) startPruning() *job {
	w.pruning = true
	steps := []func(w *writer) (bool, error){pruning(), aging()}
	if w.short {
		w.short = false
		steps = append([]func(w *writer) (bool, error){relieving()}, steps...)
	}
	slice := func(w *writer) (bool, error) {
		more, err := steps[0](w)
		if !more && err == nil {
			steps = steps[1:]
		}
		return len(steps) > 0, err
	}
	return &job{slice: slice, done: make(chan error, 1), prune: true}
}

// pruning goes through the numbers a slice at a time, from the lowest that may
// be receipted up to the first row that is young enough.
func pruning() func(w *writer) (more bool, err error) {
	from := uint64(0)
	return func(w *writer) (bool, error) {
		cut := sqlite.Micros(time.Now().Add(-w.cfg.Retain))
		first, older, err := w.oldest(max(from, w.low), cut)
		if err != nil {
			return false, err
		}
		if older && first < w.end.seq {
			from = first + pruneSlice
			_, err = w.drop(cut, first, from)
			return true, err
		}
		// A tombstone goes with the event that told of it.
		if _, err := w.exec("DELETE FROM thinned WHERE event < (SELECT seq FROM event ORDER BY seq LIMIT 1)"); err != nil {
			return false, err
		}
		return false, errors.Join(w.measure(), w.forecast())
	}
}

// aging thins what waits for longer than it is worth.
func aging() func(w *writer) (more bool, err error) {
	return func(w *writer) (bool, error) {
		if w.cfg.Thin.After == 0 {
			return false, nil
		}
		_, more, err := w.thin(sqlite.Micros(time.Now().Add(-w.cfg.Thin.After)))
		return more, err
	}
}

// oldest finds the first row from a number on, and tells whether it is older
// than cut.
func (w *writer) oldest(from uint64, cut int64) (seq uint64, older bool, err error) {
	n, err := w.conn.Int("SELECT seq FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", int64(from))
	if err != nil || n == 0 {
		return math.MaxInt64, false, err
	}
	is, err := w.conn.Int("SELECT at < ? FROM event WHERE seq = ?", cut, n)
	return uint64(n), is == 1, err
}

// drop deletes receipted rows of a window that are older than cut, never the
// newest row: it is the end of the chain. It is what knows where the lowest
// receipted row is.
func (w *writer) drop(cut int64, from, to uint64) (n int64, err error) {
	err = w.atomically(func() error {
		n, err = w.exec("DELETE FROM event WHERE seq >= ? AND seq < ? AND "+receipted+" AND at < ? AND seq < ?", int64(from), int64(to), cut, int64(w.end.seq))
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
	left, err := w.conn.Int("SELECT seq FROM event WHERE seq >= ? AND seq < ? AND "+receipted+" ORDER BY seq LIMIT 1", int64(from), int64(to))
	if w.low = to; left != 0 {
		w.low = uint64(left)
	}
	return n, err
}

// makeRoom deletes the oldest receipted rows whatever their age. It does not
// look far: while w.low is below the end there may be more.
func (w *writer) makeRoom() (freed int64, err error) {
	first, err := w.conn.Int("SELECT seq FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", int64(w.low))
	if err != nil {
		return 0, fmt.Errorf("looking for room: %w", err)
	}
	if first == 0 {
		w.low = w.end.seq
		return 0, nil
	}
	w.low = max(w.low, uint64(first)) // nothing is below the first row
	end := w.low + searchMost
	found, err := w.conn.Int("SELECT seq FROM event WHERE seq >= ? AND seq < ? AND "+receipted+" ORDER BY seq LIMIT 1", int64(w.low), int64(end))
	switch {
	case err != nil:
		return 0, fmt.Errorf("looking for room: %w", err)
	case found == 0:
		w.low = end
		return 0, nil
	}
	w.low = uint64(found)
	freed, err = w.drop(math.MaxInt64, w.low, w.low+pruneSlice)
	return freed, errors.Join(err, w.measure())
}
