package journal

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"boothd/buffer/internal/sqlite"
)

const (
	// receiptSlice is how many rows above the mark one transaction of a receipt
	// marks: some hundred kilobytes of events of the usual size, for which rows of
	// the log may have to wait.
	receiptSlice = 512
	// rangeSlice is how many ranges one transaction looks at.
	rangeSlice = 64
	// rejectSlice is how many refusals one transaction notes.
	rejectSlice = 64
	// reasonMost is the bytes kept of headquarters' words on a refusal.
	reasonMost = 500
)

// Receipt is what headquarters has.
type Receipt struct {
	Epoch  string
	Upto   uint64      // every number up to here
	Have   [][2]uint64 // also these, both ends included
	Reject []Reject    // stored as refused, also below Upto: never sent again by itself
}

// Reject is one row that headquarters refused.
type Reject struct {
	Seq    uint64
	Reason string // at most 500 bytes of it are kept
}

// Receipted notes what headquarters has. It waits until that is durable; to
// apply a receipt again, or an older one, does no harm. It is ErrEpoch or
// ErrBeyond for a receipt that cannot be ours, of which nothing is applied.
//
// When ctx ends before, the rest is still applied.
func (j *Journal) Receipted(ctx context.Context, r Receipt) error {
	if r.Epoch != j.epoch {
		return fmt.Errorf("%w: %.40q", ErrEpoch, r.Epoch)
	}
	if err := r.within(j.front.last.Load()); err != nil {
		return err
	}
	upto, have, reject := r.Upto, r.Have, r.Reject
	return j.do(ctx, func(w *writer) (bool, error) {
		var err error
		switch {
		case upto > w.upto && w.upto < w.end.seq:
			err = w.marks(min(upto, w.end.seq)) // what is not in the database yet waits for the next receipt
			upto = 0
		case len(have) > 0:
			have, err = w.receipted(have)
		case len(reject) > 0:
			// After the ranges, because Upto covers what was refused too.
			n := min(len(reject), rejectSlice)
			err = w.rejected(reject[:n])
			reject = reject[n:]
		}
		return len(have) > 0 || len(reject) > 0, errors.Join(err, w.measure())
	})
}

// within refuses what does not lie in a journal of last rows. Numbers over
// 63 bits would turn negative in SQLite, and a range that begins there would
// receipt everything.
func (r Receipt) within(last uint64) error {
	if r.Upto > last {
		return fmt.Errorf("%w: it ends at %d of %d", ErrBeyond, r.Upto, last)
	}
	for _, x := range r.Have {
		if x[0] == 0 || x[0] > x[1] || x[1] > last {
			return fmt.Errorf("%w: it names %d to %d of %d", ErrBeyond, x[0], x[1], last)
		}
	}
	for _, x := range r.Reject {
		if x.Seq == 0 || x.Seq > last {
			return fmt.Errorf("%w: it refuses %d of %d", ErrBeyond, x.Seq, last)
		}
	}
	return nil
}

// do hands a job to the writer and waits for its end.
func (j *Journal) do(ctx context.Context, slice func(w *writer) (bool, error)) error {
	k := &job{slice: slice, done: make(chan error, 1)}
	select {
	case j.jobs <- k:
	case <-ctx.Done():
		return ctx.Err()
	case <-j.closing:
		return ErrClosed
	}
	select {
	case err := <-k.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-j.closed:
		select {
		case err := <-k.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// marks moves the mark up to a number.
func (w *writer) marks(upto uint64) error {
	var n [2]int64 // rows that waited; the second are alerts
	err := w.atomically(func() (err error) {
		for alert := range n {
			if n[alert], err = w.conn.Int("SELECT count(*) FROM event WHERE state = 0 AND alert = ? AND seq > ? AND seq <= ?", int64(alert), int64(w.upto), int64(upto)); err != nil {
				return err
			}
		}
		_, err = w.exec("UPDATE mark SET upto = ?", int64(upto))
		return err
	})
	if err != nil {
		return err
	}
	w.low = min(w.low, w.upto+1)
	w.upto = upto
	w.commits++
	w.stats.Waiting -= uint64(n[0])
	w.stats.Alerts -= uint64(n[1])
	return nil
}

// receipted marks rows of the ranges as receipted, at most a slice of them, and
// returns the ranges that are left. Nothing is written for those that are
// marked already.
func (w *writer) receipted(ranges [][2]uint64) (left [][2]uint64, err error) {
	var n [2]int64 // rows marked; the second are alerts
	lowest := uint64(0)
	left = ranges
	err = w.atomically(func() error {
		for looked := 0; len(left) > 0 && looked < rangeSlice; looked++ {
			for alert := range n {
				room := receiptSlice - n[0] - n[1]
				first, marked, err := w.mark(left[0], int64(alert), room)
				if err != nil {
					return err
				}
				n[alert] += marked
				if first > 0 && (lowest == 0 || first < lowest) {
					lowest = first
				}
			}
			if n[0]+n[1] == receiptSlice {
				return nil // there may be more in this range
			}
			left = left[1:]
		}
		return nil
	})
	if err != nil {
		return ranges, err
	}
	if lowest > 0 {
		w.low = min(w.low, lowest)
		w.commits++
	}
	w.stats.Waiting -= uint64(n[0])
	w.stats.Alerts -= uint64(n[1])
	return left, nil
}

// mark receipts the first rows of a range that wait, at most room. The index of
// those that wait is walked, so alerts and others one after the other.
func (w *writer) mark(x [2]uint64, alert, room int64) (first uint64, n int64, err error) {
	low, high := int64(max(x[0], w.upto+1)), int64(x[1])
	seq, err := w.conn.Int("SELECT seq FROM event WHERE state = 0 AND alert = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT 1", alert, low, high)
	if err != nil || seq == 0 || room <= 0 {
		return 0, 0, err
	}
	n, err = w.exec(`UPDATE event SET state = 1 WHERE seq IN
		(SELECT seq FROM event WHERE state = 0 AND alert = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?)`, alert, low, high, room)
	return uint64(seq), n, err
}

// rejected quarantines rows. A reason makes a row longer, so a full file has to
// give something up first.
func (w *writer) rejected(rows []Reject) error {
	n, err := w.quarantine(rows)
	if sqlite.IsFull(err) {
		var freed int64
		if freed, err = w.makeRoom(); err == nil && freed == 0 {
			return ErrFull
		}
		if err == nil {
			n, err = w.quarantine(rows)
		}
	}
	if err != nil {
		return err
	}
	w.commits++
	w.stats.Waiting -= n[0]
	w.stats.Alerts -= n[1]
	w.stats.Quarantined += n[0] + n[1] + n[2]
	return nil
}

// quarantine counts what was waiting, what were waiting alerts, and what had
// been receipted by a mark before.
func (w *writer) quarantine(rows []Reject) (n [3]uint64, err error) {
	err = w.atomically(func() error {
		for _, r := range rows {
			reason := strings.ToValidUTF8(r.Reason[:min(len(r.Reason), reasonMost)], "")
			for i, which := range []string{"alert = 0 AND " + waits, "alert = 1 AND " + waits, receipted} {
				m, err := w.exec("UPDATE event SET state = 2, reason = ? WHERE seq = ? AND "+which, reason, int64(r.Seq))
				if err != nil {
					return err
				}
				n[i] += uint64(m)
			}
		}
		return nil
	})
	return n, err
}

func (w *writer) exec(query string, args ...driver.Value) (n int64, err error) {
	st, err := w.conn.Prepare(query)
	if err != nil {
		return 0, err
	}
	n, err = st.Exec(args...)
	return n, errors.Join(err, st.Close())
}
