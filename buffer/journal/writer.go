package journal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"time"

	"boothd/buffer/internal/sqlite"
)

const (
	stateWaiting     = 0
	stateReceipted   = 1
	stateQuarantined = 2

	// idleAfter is how long nothing must have been stored before the writer
	// tidies up: checkpoints and pruning are off the append's path.
	idleAfter = 200 * time.Millisecond
	// pruneEvery is how often old rows are looked for.
	pruneEvery = time.Minute
	// walMost is how many commits may be in the WAL before it is moved into the
	// database: often and little keeps the slowest append near the others.
	walMost = 64
	// reopenPause keeps a broken disk from being hammered.
	reopenPause = 100 * time.Millisecond
)

// schema of the file. Bodies are opaque; prev lets the chain be verified
// without understanding them.
var schema = []sqlite.Migration{{SQL: `
CREATE TABLE event (
  seq    INTEGER PRIMARY KEY,
  id     TEXT    NOT NULL,
  at     INTEGER NOT NULL,
  class  TEXT    NOT NULL,
  alert  INTEGER NOT NULL CHECK (alert IN (0, 1)),
  state  INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),
  reason TEXT    NOT NULL DEFAULT '',
  prev   BLOB    NOT NULL CHECK (length(prev) = 16),
  body   BLOB    NOT NULL
) STRICT;
CREATE INDEX waiting ON event (alert, seq) WHERE state = 0;
CREATE INDEX quarantined ON event (seq) WHERE state = 2;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
`}}

type request struct {
	entries []Entry
	done    chan answer // holds one
}

type answer struct {
	stamps []Stamp
	err    error
}

// job is other writing, done in slices between appends.
type job struct {
	slice func(w *writer) (more bool, err error)
	done  chan error // holds one
}

// head is the end of the chain.
type head struct {
	seq  uint64
	prev [16]byte // what the next row's prev will be
}

// writer owns the writing connection. conn is nil after a fault, until it could
// be opened again.
type writer struct {
	cfg   Config
	epoch string
	fresh bool
	conn  *sqlite.RawConn
	add   *sqlite.Stmt
	head  head
	stats Stats

	failedAt time.Time
	commits  int    // since the last checkpoint
	cursor   uint64 // where pruning goes on
	low      uint64 // no receipted row is below
}

func openWriter(ctx context.Context, cfg Config) (*writer, error) {
	w := &writer{cfg: cfg}
	if err := w.open(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// open opens the file and reads where the chain stands.
func (w *writer) open(ctx context.Context) error {
	conn, err := sqlite.OpenRaw(ctx, w.cfg.Path, sqlite.Options{Migrations: schema, CheckLimit: checkedMost})
	if err != nil {
		return err
	}
	w.conn = conn
	if err := w.begin(); err != nil {
		return errors.Join(err, w.close())
	}
	return nil
}

func (w *writer) begin() error {
	if err := w.conn.Exec("PRAGMA wal_autocheckpoint=0"); err != nil {
		return err
	}
	if w.cfg.MaxBytes > 0 {
		size, err := w.conn.Int("PRAGMA page_size")
		if err != nil {
			return err
		}
		if _, err := w.conn.Int(fmt.Sprintf("PRAGMA max_page_count=%d", max(w.cfg.MaxBytes/size, 32))); err != nil {
			return err
		}
	}
	if err := w.life(); err != nil {
		return err
	}
	if err := w.load(); err != nil {
		return err
	}
	var err error
	w.add, err = w.conn.Prepare("INSERT INTO event (seq, id, at, class, alert, prev, body) VALUES (?, ?, ?, ?, ?, ?, ?)")
	return err
}

// life reads the epoch, or begins one.
func (w *writer) life() error {
	known, err := w.text("SELECT value FROM meta WHERE name = 'epoch'")
	switch {
	case err != nil:
		return err
	case known != "" && w.epoch != "" && known != w.epoch:
		return errors.New("the file was exchanged for another journal; start again")
	case known != "":
		w.epoch = known
		return nil
	case w.epoch != "":
		return errors.New("the file has gone; start again")
	}
	id, err := newID()
	if err != nil {
		return err
	}
	if err := w.conn.Exec("INSERT INTO meta (name, value) VALUES ('epoch', ?)", id); err != nil {
		return err
	}
	w.epoch, w.fresh = id, true
	return nil
}

func (w *writer) text(query string) (string, error) {
	st, err := w.conn.Prepare(query)
	if err != nil {
		return "", err
	}
	out := ""
	for row, rowErr := range st.Rows() {
		if err = rowErr; err == nil {
			switch v := row[0].(type) {
			case string:
				out = v
			case []byte:
				out = string(v)
			}
		}
	}
	return out, errors.Join(err, st.Close())
}

// load reads the end of the chain and counts what waits.
func (w *writer) load() error {
	w.head = head{}
	st, err := w.conn.Prepare("SELECT seq, body FROM event ORDER BY seq DESC LIMIT 1")
	if err != nil {
		return err
	}
	for row, rowErr := range st.Rows() {
		if err = rowErr; err != nil {
			break
		}
		body, _ := row[1].([]byte)
		seq, _ := row[0].(int64)
		w.head = head{seq: uint64(seq), prev: link(body)}
	}
	if err := errors.Join(err, st.Close()); err != nil {
		return err
	}
	counts := [3]int64{}
	for i, q := range []string{"SELECT count(*) FROM event WHERE state = 0 AND alert = 0", "SELECT count(*) FROM event WHERE state = 0 AND alert = 1",
		"SELECT count(*) FROM event WHERE state = 2"} {
		if counts[i], err = w.conn.Int(q); err != nil {
			return err
		}
	}
	w.stats = Stats{Waiting: uint64(counts[0]), Alerts: uint64(counts[1]), Quarantined: uint64(counts[2])}
	return w.measure()
}

// measure reads what is cheap to ask: the oldest row that waits, and the size.
func (w *writer) measure() error {
	at, err := w.conn.Int("SELECT at FROM event WHERE state = 0 AND alert = 0 ORDER BY seq LIMIT 1")
	if err != nil {
		return err
	}
	w.stats.Oldest = time.Time{}
	if at != 0 {
		w.stats.Oldest = sqlite.Time(at)
	}
	w.stats.Bytes, err = w.conn.Int("SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s")
	return err
}

func (w *writer) publish(j *Journal) {
	s := w.stats
	s.Last = w.head.seq
	j.stats.Store(&s)
}

// link is the chain's link to a body.
func link(body []byte) (prev [16]byte) {
	sum := sha256.Sum256(body)
	copy(prev[:], sum[:])
	return prev
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
		var ready chan struct{}
		if len(jobs) > 0 {
			ready = always
		}
		select {
		case r := <-j.requests:
			w.serve(j, r)
			continue
		default:
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
			w.tidy(walMost)
		case <-prune.C:
			if w.cursor == 0 {
				jobs = append(jobs, &job{slice: (*writer).prune, done: make(chan error, 1)})
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
	w.tidy(1)
	_ = w.close() // everything acknowledged is synced
}

// serve stores a request together with those that wait behind it.
func (w *writer) serve(j *Journal, first request) {
	batch, n := []request{first}, len(first.entries)
	for n < groupMost {
		select {
		case r := <-j.requests:
			if n+len(r.entries) > groupMost {
				w.group(j, batch)
				batch, n = nil, 0
			}
			batch, n = append(batch, r), n+len(r.entries)
			continue
		default:
		}
		break
	}
	w.group(j, batch)
	if w.commits >= walMost {
		w.tidy(walMost)
	}
}

// row is an entry with its place and body.
type row struct {
	Stamp
	Entry
	body []byte
}

// group stores a batch in one transaction and answers everyone.
func (w *writer) group(j *Journal, batch []request) {
	if err := w.ready(); err != nil {
		answerAll(batch, err)
		return
	}
	next := w.head
	var rows []row
	var good []request
	var stamps [][]Stamp
	live := j.liveFrom.Load()
	for _, r := range batch {
		mine, end, err := w.build(r.entries, next, live)
		if err != nil {
			r.done <- answer{err: err} // one caller's mistake is no other's
			continue
		}
		next = end
		rows, good = append(rows, mine...), append(good, r)
		places := make([]Stamp, len(mine))
		for i := range mine {
			places[i] = mine[i].Stamp
		}
		stamps = append(stamps, places)
	}
	if len(rows) == 0 {
		return
	}
	if err := w.commit(rows); err != nil {
		answerAll(good, err)
		return
	}
	w.head = next
	w.count(rows)
	j.last.Store(w.head.seq)
	w.publish(j)
	select {
	case j.bell <- struct{}{}:
	default:
	}
	for i, r := range good {
		r.done <- answer{stamps: stamps[i]}
	}
}

func answerAll(batch []request, err error) {
	for _, r := range batch {
		r.done <- answer{err: err}
	}
}

// build makes the bodies of one request from where the chain stands.
func (w *writer) build(entries []Entry, at head, live uint64) ([]row, head, error) {
	rows := make([]row, 0, len(entries))
	for _, e := range entries {
		id, err := newID()
		if err != nil {
			return nil, at, fmt.Errorf("naming an event: %w", err)
		}
		s := Stamp{Epoch: w.epoch, Seq: at.seq + 1, Prev: at.prev, ID: id, Live: at.seq+1 >= live}
		body, err := e.Build(s)
		if err != nil {
			return nil, at, fmt.Errorf("building an event of class %s: %w", e.Class, err)
		}
		if len(body) == 0 || len(body) > MaxBody {
			return nil, at, fmt.Errorf("event of class %s has %d bytes, 1 to %d are possible", e.Class, len(body), MaxBody)
		}
		rows = append(rows, row{s, e, body})
		at = head{seq: s.Seq, prev: link(body)}
	}
	return rows, at, nil
}

// commit writes rows durably. A full file gives up its oldest receipted rows
// and is tried once more.
func (w *writer) commit(rows []row) error {
	err := w.insert(rows)
	if sqlite.IsFull(err) {
		freed, freeErr := w.makeRoom()
		switch {
		case freeErr != nil:
			err = errors.Join(err, freeErr)
		case freed > 0:
			err = w.insert(rows)
		}
		if sqlite.IsFull(err) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
	}
	if err != nil {
		// What was committed is not known: the next append reads it from disk.
		w.fail()
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	w.commits++
	return nil
}

func (w *writer) insert(rows []row) error {
	return w.atomically(func() error {
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
	})
}

// atomically runs f in a transaction.
func (w *writer) atomically(f func() error) error {
	if err := w.conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := f()
	if err == nil {
		if err = w.conn.Exec("COMMIT"); err == nil {
			return nil
		}
	}
	if w.conn.InTransaction() {
		err = errors.Join(err, w.conn.Exec("ROLLBACK"))
	}
	return err
}

func (w *writer) count(rows []row) {
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

// fail gives the connection up.
func (w *writer) fail() {
	_ = w.close() // the fault that led here is the one to tell
	w.failedAt = time.Now()
}

// ready opens the file again after a fault.
func (w *writer) ready() error {
	if w.conn != nil {
		return nil
	}
	if time.Since(w.failedAt) < reopenPause {
		return ErrStorage
	}
	if err := w.open(context.Background()); err != nil {
		w.failedAt = time.Now()
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

func (w *writer) close() error {
	if w.conn == nil {
		return nil
	}
	var err error
	if w.add != nil {
		err = w.add.Close()
		w.add = nil
	}
	err = errors.Join(err, w.conn.Close())
	w.conn = nil
	return err
}

// slice does one slice of a job; it tells whether the job is done.
func (w *writer) slice(j *Journal, k *job) bool {
	err := w.ready()
	more := false
	if err == nil {
		before := w.stats
		if more, err = k.slice(w); err != nil && !errors.Is(err, ErrBeyond) {
			w.fail()
			err = fmt.Errorf("%w: %w", ErrStorage, err)
		}
		if w.conn != nil && before != w.stats {
			w.publish(j)
		}
	}
	if more && err == nil {
		return false
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
		w.fail()
	}
}

// prune gives up receipted rows over their time, a slice at once.
func (w *writer) prune() (more bool, err error) {
	cut := sqlite.Micros(time.Now().Add(-w.cfg.Retain))
	if w.cursor == 0 {
		first, err := w.conn.Int("SELECT seq FROM event ORDER BY seq LIMIT 1")
		if err != nil || first == 0 {
			return false, err
		}
		w.cursor = uint64(first)
	}
	if _, err := w.drop(cut, w.cursor); err != nil {
		return false, err
	}
	w.cursor += pruneSlice
	older, err := w.conn.Int("SELECT count(*) FROM (SELECT at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1) WHERE at < ?", int64(w.cursor), cut)
	if err != nil {
		return false, err
	}
	if w.cursor >= w.head.seq || older == 0 {
		w.cursor = 0
		return false, w.measure()
	}
	return true, nil
}

// pruneSlice is how many sequence numbers one slice looks at.
const pruneSlice = 512

// drop deletes receipted rows of a window that are older than cut, never the
// newest row: it is the end of the chain.
func (w *writer) drop(cut int64, from uint64) (n int64, err error) {
	err = w.atomically(func() error {
		st, err := w.conn.Prepare("DELETE FROM event WHERE seq >= ? AND seq < ? AND state = 1 AND at < ? AND seq < ?")
		if err != nil {
			return err
		}
		n, err = st.Exec(int64(from), int64(from+pruneSlice), cut, int64(w.head.seq))
		return errors.Join(err, st.Close())
	})
	return n, err
}

// makeRoom deletes the oldest receipted rows whatever their age.
func (w *writer) makeRoom() (freed int64, err error) {
	first, err := w.conn.Int("SELECT seq FROM event WHERE state = 1 ORDER BY seq LIMIT 1")
	if err != nil || first == 0 {
		return 0, err
	}
	freed, err = w.drop(math.MaxInt64, uint64(first))
	if err != nil {
		return 0, err
	}
	w.commits++
	return freed, w.measure()
}
