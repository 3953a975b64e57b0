package journal

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// receiptSlice is how many rows one transaction of a receipt marks.
const receiptSlice = 512

// Receipt is what headquarters has.
type Receipt struct {
	Epoch  string
	Upto   uint64      // every number up to here
	Have   [][2]uint64 // also these, both ends included
	Reject []Reject    // stored as refused: never sent again by itself
}

// Reject is one row that headquarters refused.
type Reject struct {
	Seq    uint64
	Reason string
}

// Receipted notes what headquarters has. It waits until that is durable; to
// apply a receipt again, or an older one, does no harm. It is ErrEpoch or
// ErrBeyond for a receipt that cannot be ours, of which nothing is applied.
func (j *Journal) Receipted(ctx context.Context, r Receipt) error {
	if r.Epoch != j.epoch {
		return fmt.Errorf("%w: %.40q", ErrEpoch, r.Epoch)
	}
	ranges := append([][2]uint64{{1, r.Upto}}, r.Have...)
	last := j.last.Load()
	for _, x := range ranges {
		if x[1] > last {
			return fmt.Errorf("%w: it names %d of %d", ErrBeyond, x[1], last)
		}
	}
	for _, x := range r.Reject {
		if x.Seq > last {
			return fmt.Errorf("%w: it refuses %d of %d", ErrBeyond, x.Seq, last)
		}
	}
	return j.do(ctx, func(w *writer) (bool, error) {
		if len(ranges) > 0 {
			marked, err := w.receipted(ranges[0])
			if err != nil {
				return false, err
			}
			if marked < receiptSlice {
				ranges = ranges[1:]
			}
			return len(ranges) > 0 || len(r.Reject) > 0, w.measure()
		}
		err := w.rejected(r.Reject)
		return false, errors.Join(err, w.measure())
	})
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
		return ErrClosed
	}
}

// receipted marks rows of a range as receipted, at most a slice of them.
// Nothing is written for those that are marked already.
func (w *writer) receipted(x [2]uint64) (marked int64, err error) {
	var n [2]int64
	for alert := range n {
		room := receiptSlice - marked
		waits, err := w.conn.Int("SELECT count(*) FROM (SELECT 1 FROM event WHERE state = 0 AND alert = ? AND seq BETWEEN ? AND ? LIMIT 1)",
			int64(alert), int64(x[0]), int64(x[1]))
		if err != nil {
			return 0, err
		}
		if waits == 0 || room == 0 {
			continue
		}
		err = w.atomically(func() error {
			n[alert], err = w.exec("UPDATE event SET state = 1 WHERE seq IN (SELECT seq FROM event WHERE state = 0 AND alert = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?)",
				int64(alert), int64(x[0]), int64(x[1]), room)
			return err
		})
		if err != nil {
			return 0, err
		}
		w.commits++
		marked += n[alert]
	}
	w.stats.Waiting -= uint64(n[0])
	w.stats.Alerts -= uint64(n[1])
	return marked, nil
}

// rejected quarantines rows that wait.
func (w *writer) rejected(rows []Reject) error {
	var n [2]int64
	err := w.atomically(func() error {
		for _, r := range rows {
			for alert := range n {
				m, err := w.exec("UPDATE event SET state = 2, reason = ? WHERE seq = ? AND alert = ? AND state = 0", r.Reason, int64(r.Seq), int64(alert))
				if err != nil {
					return err
				}
				n[alert] += m
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.commits++
	w.stats.Waiting -= uint64(n[0])
	w.stats.Alerts -= uint64(n[1])
	w.stats.Quarantined += uint64(n[0] + n[1])
	return nil
}

func (w *writer) exec(query string, args ...any) (n int64, err error) {
	st, err := w.conn.Prepare(query)
	if err != nil {
		return 0, err
	}
	values := make([]driver.Value, len(args))
	for i, a := range args {
		values[i] = a
	}
	n, err = st.Exec(values...)
	return n, errors.Join(err, st.Close())
}
