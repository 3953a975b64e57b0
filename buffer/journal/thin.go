package journal

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"boothd/buffer/internal/sqlite"
)

const (
	// thinLeast is how many rows one thinning gives up at least: it costs a row
	// of its own. Telemetry that is sparser than this among others stays.
	thinLeast = 16
	// thinMost bounds one thinning: some hundred kilobytes, a few milliseconds.
	thinMost = 256
	// thinClasses bounds the classes that a query asks for.
	thinClasses = 8
)

// kept are the classes that are never given up unsent (mqtt contract, section 5).
var kept = []string{"crossing", "security", "audit"}

// errEvent says that the caller could not make the event that counts a thinning.
var errEvent = errors.New("thinning cannot be told")

// Thin says which rows may be given up unsent, and how headquarters hears of
// it. Alerts are never thinned, nor crossing, security and audit.
type Thin struct {
	Classes []string             // none: nothing is thinned
	After   time.Duration        // unsent, by their At; 0: only when there is no room
	Event   func(Thinning) Entry // counts what was given up; is stored with it
}

// Thinning is a counted tombstone: Count of the numbers From..To are given up,
// which are those of Gone, in order, apart, both ends included. All others of
// that range are kept until they are receipted, and no two ranges overlap.
//
// A number of Gone may be at headquarters all the same: what is on its way waits
// for its receipt too. That is why a count alone would not do there: it would
// take such a one for one of those that are kept.
type Thinning struct {
	From, To, Count uint64
	Gone            [][2]uint64 // for Thin.Event; nil in what Verify finds
}

// thinningOf is the tombstone of numbers in order.
func thinningOf(seqs []int64) Thinning {
	t := Thinning{From: uint64(seqs[0]), To: uint64(seqs[len(seqs)-1]), Count: uint64(len(seqs))}
	for _, n := range seqs {
		seq := uint64(n)
		if last := len(t.Gone) - 1; last >= 0 && t.Gone[last][1]+1 == seq {
			t.Gone[last][1] = seq
			continue
		}
		t.Gone = append(t.Gone, [2]uint64{seq, seq})
	}
	return t
}

func (t Thin) check() error {
	for _, c := range t.Classes {
		if slices.Contains(kept, c) {
			return fmt.Errorf("class %s is never thinned", c)
		}
	}
	if len(t.Classes) > thinClasses {
		return fmt.Errorf("%d classes to be thinned, %d are possible", len(t.Classes), thinClasses)
	}
	if len(t.Classes) > 0 && t.Event == nil {
		return errors.New("classes are to be thinned, and no event counts them")
	}
	return nil
}

// where selects what may be thinned in a window of numbers.
func (t Thin) where(from, to uint64, cut int64) (string, []driver.Value) {
	args := []driver.Value{int64(from), int64(to), cut}
	for _, c := range t.Classes {
		args = append(args, c)
	}
	return "seq >= ? AND seq < ? AND alert = 0 AND " + waits + " AND at < ? AND class IN (?" + strings.Repeat(", ?", len(t.Classes)-1) + ")", args
}

// thin gives up rows older than cut in the next window, oldest first; more
// tells whether there are others to look at.
func (w *writer) thin(cut int64) (n uint64, more bool, err error) {
	if len(w.cfg.Thin.Classes) == 0 {
		return 0, false, nil
	}
	first, older, err := w.oldest(w.thinned, cut)
	if err != nil || !older {
		return 0, false, err
	}
	end := first + searchMost
	seqs, err := w.thinnable(first, end, cut)
	if err != nil {
		return 0, false, err
	}
	if len(seqs) < thinLeast {
		_, older, err := w.oldest(end, cut)
		if older {
			w.thinned = end
		}
		return 0, older, err
	}
	t := thinningOf(seqs)
	if err := w.giveUp(t, cut); err != nil {
		return 0, false, fmt.Errorf("thinning %d to %d: %w", t.From, t.To, err)
	}
	w.thinned = t.To + 1
	return t.Count, true, nil
}

func (w *writer) thinnable(from, to uint64, cut int64) (seqs []int64, err error) {
	where, args := w.cfg.Thin.where(from, to, cut)
	st, err := w.conn.Prepare("SELECT seq FROM event WHERE " + where + " ORDER BY seq LIMIT ?")
	if err != nil {
		return nil, err
	}
	for row, rowErr := range st.Rows(append(args, int64(thinMost))...) {
		if err = rowErr; err != nil {
			break
		}
		seq, _ := row[0].(int64)
		seqs = append(seqs, seq)
	}
	return seqs, errors.Join(err, st.Close())
}

// giveUp deletes the rows and stores the tombstone and the event that counts
// them, all or nothing, and with them what is in the log: the event's number is
// the next of all. It is the new end of the chain, so that even the newest row
// may go.
func (w *writer) giveUp(t Thinning, cut int64) error {
	w.front.pen.Lock()
	defer w.front.pen.Unlock()
	told, end, err := build(nil, newRequest([]Entry{w.cfg.Thin.Event(t)}), w.front.head, w.epoch, w.j.liveFrom.Load())
	if err != nil {
		return fmt.Errorf("%w: %w", errEvent, err)
	}
	_, rows, _ := w.front.state()
	rows = append(rows, told...)
	where, args := w.cfg.Thin.where(t.From, t.To+1, cut)
	err = w.atomically(func() error {
		n, err := w.exec("DELETE FROM event WHERE "+where, args...)
		if err != nil {
			return err
		}
		if uint64(n) != t.Count {
			return fmt.Errorf("%d rows went, %d were counted", n, t.Count)
		}
		if _, err := w.exec("INSERT INTO thinned (first, last, count, event) VALUES (?, ?, ?, ?)",
			int64(t.From), int64(t.To), int64(t.Count), int64(told[0].Seq)); err != nil {
			return err
		}
		return w.addAll(rows)
	})
	if err != nil {
		// Whether it was committed is not known. Nobody is given a number before it is.
		return w.fault(err)
	}
	w.stats.Waiting -= t.Count
	w.stats.Thinned += t.Count
	w.front.ends(end)
	err = w.took(rows)
	w.j.ring() // now it can be read
	return err
}

// relieving gives something up until the journal is no longer near its limits:
// receipted rows first, unless only MaxRows is near, for which they do not count;
// then what may be thinned.
func relieving() func(w *writer) (more bool, err error) {
	gave := false
	return func(w *writer) (bool, error) {
		if gave && !w.near(relieved) {
			return false, nil
		}
		if receipted := w.nearBytes(relieved) || !w.nearRows(relieved); receipted && w.low < w.end.seq {
			freed, err := w.makeRoom()
			gave = gave || freed > 0
			return err == nil, err
		}
		n, more, err := w.thin(math.MaxInt64)
		gave = gave || n > 0
		return more && err == nil, err
	}
}

// thinnings are the tombstones that touch from..to. A file of the first version
// has none.
func thinnings(ctx context.Context, db *sqlite.DB, from, to uint64) (out []Thinning, err error) {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil || version < 2 {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT first, last, count FROM thinned WHERE first <= ? AND last >= ? ORDER BY first",
		int64(min(to, math.MaxInt64)), int64(min(from, math.MaxInt64)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var t Thinning
		if err := rows.Scan(&t.From, &t.To, &t.Count); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, rows.Err()
}
