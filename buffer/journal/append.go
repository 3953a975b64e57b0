package journal

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"boothd/buffer/internal/sqlite"
)

const (
	// idleAfter is how long nothing must have been stored before the writer
	// tidies up: checkpoints and pruning are off the append's path.
	idleAfter = 200 * time.Millisecond
	// pruneEvery is how often old rows are looked for.
	pruneEvery = time.Minute
	// walMost is how many commits may be in the WAL before it is moved into the
	// database: often and little keeps the slowest append near the others.
	walMost = 64
	// yieldMost is how often in a row the writer gives its turn away for requests
	// that do not come: some microseconds beside a sync.
	yieldMost = 3
)

type request struct {
	entries []Entry
	done    chan answer // holds one
}

type answer struct {
	stamps []Stamp
	err    error
}

// run writes until the journal closes: appends first, then the other jobs.
func (w *writer) run(j *Journal) {
	defer close(j.closed)
	idle := time.NewTicker(idleAfter)
	defer idle.Stop()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	var jobs []*job
	for {
		select {
		case r := <-j.requests:
			w.serve(j, r)
			continue
		default:
		}
		if w.short && !w.pruning {
			jobs = append(jobs, w.startPruning())
		}
		var ready chan struct{}
		if len(jobs) > 0 {
			ready = always
		}
		select {
		case r := <-j.requests:
			w.serve(j, r)
		case k := <-j.jobs:
			jobs = append(jobs, k)
		case <-ready:
			if w.slice(j, jobs[0]) {
				jobs = jobs[1:]
			}
		case <-idle.C:
			w.tidy(j, walMost)
		case <-prune.C:
			if !w.pruning {
				jobs = append(jobs, w.startPruning())
			}
		case <-j.closing:
			w.finish(j, jobs)
			return
		}
	}
}

var always = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// finish serves what is still waiting and closes the connection.
func (w *writer) finish(j *Journal, jobs []*job) {
	for {
		select {
		case r := <-j.requests:
			w.serve(j, r)
			continue
		case k := <-j.jobs:
			jobs = append(jobs, k)
			continue
		default:
		}
		break
	}
	for _, k := range jobs {
		k.done <- ErrClosed
	}
	w.tidy(j, 1)
	// The writer closes last: only then does SQLite empty the WAL into the file,
	// and a journal at rest is one file that can be checked and copied.
	j.closeErr = errors.Join(j.read.Close(), w.close())
}

// serve stores a request together with those that wait behind it.
func (w *writer) serve(j *Journal, first request) {
	batch, n, yielded := []request{first}, len(first.entries), 0
	for n < groupMost {
		select {
		case r := <-j.requests:
			if n+len(r.entries) > groupMost {
				w.group(j, batch)
				batch, n = nil, 0
			}
			batch, n, yielded = append(batch, r), n+len(r.entries), 0
			continue
		default:
		}
		// Those of the last group have just been answered and may be on their way
		// with their next: they share this sync if they get the processor first. A
		// caller that is alone waits for nobody.
		if len(batch) >= w.together || yielded == yieldMost {
			break
		}
		yielded++
		runtime.Gosched()
	}
	w.together = len(batch)
	w.group(j, batch)
	if w.commits >= walMost {
		w.tidy(j, walMost)
	}
}

// stored is an entry with its place and body.
type stored struct {
	Stamp
	Entry
	body []byte
}

// group stores a batch in one transaction and answers everyone. In a full
// journal the bodies are made once more, for the places behind a thinning.
func (w *writer) group(j *Journal, batch []request) {
	if err := w.ready(); err != nil {
		answerAll(batch, err)
		return
	}
	w.live = j.liveFrom.Load()
	g := w.place(batch)
	err := w.store(g.rows)
	if errors.Is(err, ErrFull) {
		w.short = true
		n, _, thinErr := w.thin(math.MaxInt64)
		switch {
		case thinErr != nil:
			err = errors.Join(err, w.fault(thinErr))
		case n > 0:
			w.publish(j)
			j.ring()
			g = w.place(g.requests)
			err = w.store(g.rows)
		}
	}
	if err != nil {
		answerAll(g.requests, err)
		return
	}
	if len(g.rows) == 0 {
		return
	}
	w.head = g.end
	w.count(g.rows)
	w.publish(j)
	j.ring()
	for i, r := range g.requests {
		r.done <- answer{stamps: g.stamps[i]}
	}
}

// placed is a batch with its places in the chain.
type placed struct {
	rows     []stored
	requests []request
	stamps   [][]Stamp // of each request
	end      head
}

// place makes the bodies of a batch. Whoever cannot make his is answered: one
// caller's mistake is no other's.
func (w *writer) place(batch []request) placed {
	g := placed{end: w.head}
	for _, r := range batch {
		mine, end, err := w.build(r.entries, g.end)
		if err != nil {
			r.done <- answer{err: err}
			continue
		}
		places := make([]Stamp, len(mine))
		for i := range mine {
			places[i] = mine[i].Stamp
		}
		g.rows, g.requests, g.stamps, g.end = append(g.rows, mine...), append(g.requests, r), append(g.stamps, places), end
	}
	return g
}

func answerAll(batch []request, err error) {
	for _, r := range batch {
		r.done <- answer{err: err}
	}
}

// build makes the bodies of one request from where the chain stands.
func (w *writer) build(entries []Entry, at head) ([]stored, head, error) {
	rows := make([]stored, 0, len(entries))
	for _, e := range entries {
		id, err := newID()
		if err != nil {
			return nil, at, fmt.Errorf("naming an event: %w", err)
		}
		s := Stamp{Epoch: w.epoch, Seq: at.seq + 1, Prev: at.prev, ID: id, Live: at.seq+1 >= w.live}
		body, err := e.Build(s)
		if err != nil {
			return nil, at, fmt.Errorf("building an event of class %s: %w", e.Class, err)
		}
		if len(body) == 0 || len(body) > MaxBody {
			return nil, at, fmt.Errorf("event of class %s has %d bytes, 1 to %d are possible", e.Class, len(body), MaxBody)
		}
		rows = append(rows, stored{s, e, body})
		at = head{seq: s.Seq, prev: link(body)}
	}
	return rows, at, nil
}

// store writes rows durably. A full file gives up its oldest receipted rows
// and is tried once more.
func (w *writer) store(rows []stored) error {
	if len(rows) == 0 {
		return nil
	}
	if w.cfg.MaxRows > 0 && w.unreceipted()+uint64(len(rows)) > w.cfg.MaxRows {
		return fmt.Errorf("%w: %d rows wait or are quarantined, %d are possible", ErrFull, w.unreceipted(), w.cfg.MaxRows)
	}
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
		// What was committed is not known: the next append reads it from disk.
		return w.fault(err)
	}
	w.commits++
	w.pause = 0
	return nil
}

func (w *writer) insert(rows []stored) error {
	return w.atomically(func() error { return w.addAll(rows) })
}

func (w *writer) addAll(rows []stored) error {
	for _, r := range rows {
		alert := int64(0)
		if r.Alert {
			alert = 1
		}
		if _, err := w.add.Exec(int64(r.Seq), r.ID, sqlite.Micros(r.At), r.Class, alert, r.Prev[:], r.body); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) count(rows []stored) {
	for _, r := range rows {
		if r.Alert {
			w.stats.Alerts++
			continue
		}
		if w.stats.Waiting++; w.stats.Waiting == 1 {
			w.stats.Oldest = r.At.Round(0).UTC().Truncate(time.Microsecond)
		}
	}
}
