package journal

import (
	"errors"
	"math"
	"time"

	"boothd/buffer/internal/sqlite"
)

const (
	// foldMost is how many rows go into the database at once: a transaction of some
	// milliseconds.
	foldMost = 512
	// foldAfter is how long a row waits for others that may share its transaction,
	// unless the log is half full. Whoever reads the journal sees it all the same.
	foldAfter = 100 * time.Millisecond
	// foldAgain is when what did not go in is tried again, if no append asks before.
	foldAgain = time.Second
	// idleAfter is how often the writer looks whether to tidy up.
	idleAfter = 200 * time.Millisecond
	// pruneEvery is how often old rows are looked for.
	pruneEvery = time.Minute
	// walMost is how many commits, of two pages each, may be in the WAL before it is
	// moved into the database in an idle moment: whoever appends meanwhile waits for
	// the same disk. walBusy is how many while there is none.
	walMost = 64
	walBusy = 4 * walMost
)

// run keeps the database until the journal closes: what is in the redo log
// first, then the other jobs.
func (w *writer) run() {
	j := w.j
	defer close(j.closed)
	idle := time.NewTicker(idleAfter)
	defer idle.Stop()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	var jobs []*job
	var soon <-chan time.Time
	seen := w.front.last.Load() // at the last tick
	for {
		if w.short && !w.pruning {
			jobs = append(jobs, w.startPruning())
		}
		var ready chan struct{}
		if len(jobs) > 0 {
			ready = always
		}
		select {
		case <-j.wake:
			some, now := w.front.urges()
			if now {
				_ = w.fold() // if it fails, the next append says so
			}
			if some && soon == nil {
				soon = time.After(foldAfter)
			}
		case <-soon:
			if soon = nil; w.foldAll() != nil {
				soon = time.After(foldAgain)
			}
		case k := <-j.jobs:
			jobs = append(jobs, k)
		case <-ready:
			if w.slice(jobs[0]) {
				jobs = jobs[1:]
			}
		case <-idle.C:
			if last := w.front.last.Load(); last == seen {
				w.tidy(walMost)
			} else {
				seen = last
			}
		case <-prune.C:
			if !w.pruning {
				jobs = append(jobs, w.startPruning())
			}
		case <-j.closing:
			w.finish(jobs)
			return
		}
	}
}

var always = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// finish waits for the last append, takes over what is in the log and closes the
// connection.
func (w *writer) finish(jobs []*job) {
	j := w.j
	for _, k := range jobs {
		k.done <- ErrClosed
	}
	for open := true; open || len(j.jobs) > 0; {
		select {
		case k := <-j.jobs: // one of the appender's may be among them
			k.done <- ErrClosed
		case <-j.appended:
			open = false
		}
	}
	_ = w.foldAll() // what does not go in stays in the log
	w.tidy(1)
	// The writer closes last: only then does SQLite empty the WAL into the file,
	// and a journal at rest is one file that can be checked and copied.
	j.closeErr = errors.Join(j.source.db.Close(), w.close(), w.front.log.close())
}

// foldAll takes over what is in the log now.
func (w *writer) foldAll() error {
	last := w.front.last.Load()
	for {
		if _, waiting, trouble := w.front.state(); trouble == nil && (len(waiting) == 0 || w.end.seq >= last) {
			return nil
		}
		if err := w.fold(); err != nil {
			return err
		}
	}
}

// fold takes over the oldest rows of the log in one transaction. A full database
// gives up what may go; when there is no such thing, the rows stay in the log,
// and nothing more is appended.
func (w *writer) fold() error {
	err := w.ready()
	if err != nil {
		w.front.fails(err)
		return err
	}
	rows := w.front.next(foldMost)
	if len(rows) > 0 {
		if err = w.store(rows); errors.Is(err, ErrFull) {
			_, _, before := w.front.state()
			w.short = w.short || !errors.Is(before, ErrFull) // once: pruning comes by here itself
			n, _, thinErr := w.thin(math.MaxInt64)           // and takes the rows over
			switch {
			case thinErr != nil:
				err = errors.Join(err, w.fault(thinErr))
			case n > 0:
				err = nil
			}
		}
	}
	if w.front.fails(err); err == nil {
		w.tidy(walBusy)
	}
	return err
}

// store writes rows durably. A full file gives up its oldest receipted rows
// and is tried once more.
func (w *writer) store(rows []stored) error {
	err := w.insert(rows)
	if sqlite.IsFull(err) {
		freed, freeErr := w.makeRoom()
		switch {
		case freeErr != nil:
			err = errors.Join(err, freeErr)
		case freed > 0:
			err = w.insert(rows)
		}
	}
	if err != nil {
		// What was committed is not known: it is read when the file is opened again.
		return w.fault(err)
	}
	w.rest = rest{}
	return w.took(rows)
}

// took notes rows that the database has now.
func (w *writer) took(rows []stored) error {
	was, size := w.near(nearFull), int64(0)
	for _, r := range rows {
		w.stats.count(r)
		size += r.size()
	}
	w.commits += 1 + int(size/(2*w.page))
	newest := rows[len(rows)-1]
	w.end = head{seq: newest.Seq, prev: link(newest.body)}
	if err := w.measure(); err != nil {
		return w.fail(err)
	}
	w.short = w.short || !was && w.near(nearFull)
	w.front.folds(w.end.seq, w.stats)
	return nil
}

func (w *writer) insert(rows []stored) error {
	return w.atomically(func() error { return w.addAll(rows) })
}

func (w *writer) addAll(rows []stored) error {
	for _, r := range rows {
		if _, err := w.add.Exec(int64(r.Seq), r.ID, sqlite.Micros(r.At), r.Class, r.isAlert(), r.Prev[:], r.body); err != nil {
			return err
		}
	}
	return nil
}
