package journal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/google/uuid"

	"boothd/buffer/internal/sqlite"
)

const (
	stateWaiting     = 0
	stateReceipted   = 1
	stateQuarantined = 2

	// reopenPause to reopenLongest, doubling until something is stored again,
	// keep a broken disk from being hammered. The longest leaves the lane time to
	// be back within 5 s of the fault's end (reliability reference, R2).
	reopenPause   = 100 * time.Millisecond
	reopenLongest = 2 * time.Second
	// walKept is the size in bytes that the WAL falls back to after a reader
	// held it up. It is overwritten in place, which is cheaper than to grow it.
	walKept = 16 << 20
)

// schema of the file. Bodies are opaque; prev lets the chain be verified
// without understanding them. Deleted rows are not overwritten with zeros
// (secure_delete): bodies hold tokens only (I7), and it would double what
// pruning costs the flash.
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
`}, {SQL: `
CREATE TABLE thinned (
  first INTEGER PRIMARY KEY,
  last  INTEGER NOT NULL CHECK (last >= first),
  count INTEGER NOT NULL CHECK (count BETWEEN 1 AND last - first + 1),
  event INTEGER NOT NULL
) STRICT;
`}, {SQL: claims}, {SQL: log}}

// log is the version of the redo log beside the file. A program that does not
// know of the log leaves the file alone: it would give numbers again that are in
// there. mark is the number up to which everything is receipted: those rows keep
// state 0, since to write each of them again would double what the flash bears.
const log = `
INSERT INTO meta (name, value) VALUES ('log', '1');
CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), upto INTEGER NOT NULL) STRICT;
INSERT INTO mark (one, upto) VALUES (1, 0);
`

// What the state of a row means, with the mark.
const (
	mark      = "(SELECT upto FROM mark)"
	waits     = "state = 0 AND seq > " + mark
	receipted = "(state = 1 OR state = 0 AND seq <= " + mark + ")"
)

// head is the end of the chain.
type head struct {
	seq  uint64
	prev [16]byte // what the next row's prev will be
}

// writer owns the writing connection of the database. conn is nil after a fault,
// until it could be opened again.
type writer struct {
	cfg    Config
	j      *Journal // nil until it runs
	epoch  string
	opened Opened
	front  *front // nil until the database was opened for the first time
	conn   *sqlite.RawConn
	start  *sqlite.Stmt // BEGIN IMMEDIATE
	add    *sqlite.Stmt
	commit *sqlite.Stmt
	end    head  // the newest row of the database
	stats  Stats // of the database

	rest    rest   // until the next try to open
	commits int    // since the last checkpoint
	upto    uint64 // the mark
	low     uint64 // no receipted row is below
	thinned uint64 // nothing below is to be thinned any more
	pruning bool   // a job of pruning waits or runs
	short   bool   // room is to be made soon

	began   time.Time
	page    int64 // bytes
	wal     walRead
	written daily // bytes
}

// openOrSetAside opens the file for the first time in this run.
func openOrSetAside(ctx context.Context, cfg Config) (*writer, error) {
	check := int64(checkedMost)
	if _, err := os.Lstat(suspicion(cfg.Path)); err == nil {
		check = math.MaxInt64
	}
	w := &writer{cfg: cfg, began: time.Now()}
	err := w.open(ctx, check)
	if sqlite.IsCorrupt(err) {
		// SQLite tells of a read that failed (EIO) as of damage. Only what is
		// damaged twice is set aside.
		err = w.open(ctx, math.MaxInt64)
	}
	if sqlite.IsCorrupt(err) {
		*w = writer{cfg: cfg, began: w.began, opened: Opened{OldEpoch: oldEpoch(ctx, cfg.Path)}}
		if w.opened.SetAside, err = setAside(cfg.Path); err == nil {
			err = w.open(ctx, check)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := os.Remove(suspicion(cfg.Path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// setAside puts a damaged database and what the log is ahead of it out of the way.
func setAside(path string) (to string, err error) {
	if to, err = sqlite.SetAside(path); err != nil {
		return "", err
	}
	if err := os.Rename(redoPath(path), redoPath(to)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return to, nil
}

// suspicion is the file that has the whole journal read at the next start,
// whatever its size.
func suspicion(path string) string { return path + ".suspect" }

// suspect notes for the next start that err told of damage. Nothing is set
// aside under way: the epoch of a running booth does not change.
func suspect(path string, err error) error {
	if !sqlite.IsCorrupt(err) {
		return err
	}
	err = fmt.Errorf("%w: %w", ErrDamaged, err)
	if writeErr := os.WriteFile(suspicion(path), nil, 0o600); writeErr != nil {
		return errors.Join(err, writeErr)
	}
	return err
}

// oldEpoch reads what it can of a damaged journal: its epoch, or "".
func oldEpoch(ctx context.Context, path string) string {
	conn, err := sqlite.OpenRaw(ctx, path, sqlite.Options{ReadOnly: true})
	if err != nil {
		return ""
	}
	epoch, err := text(conn, "SELECT value FROM meta WHERE name = 'epoch'")
	if closeErr := conn.Close(); err != nil || closeErr != nil || uuid.Validate(epoch) != nil {
		return ""
	}
	return epoch
}

// open opens the file and reads where the chain stands.
func (w *writer) open(ctx context.Context, check int64) error {
	conn, err := sqlite.OpenRaw(ctx, w.cfg.Path, sqlite.Options{Migrations: schema, CheckLimit: check})
	if err != nil {
		return err
	}
	w.conn = conn
	if w.wal.file, err = os.Open(w.cfg.Path + "-wal"); err != nil { // there since the connection is
		return errors.Join(err, w.close())
	}
	if err := w.begin(); err != nil {
		return errors.Join(err, w.close())
	}
	return nil
}

// meet compares the database, as it was opened, with what was acknowledged.
func (w *writer) meet() (err error) {
	if w.front == nil {
		if w.front, err = newFront(w.cfg, w.epoch, w.end); err == nil {
			w.front.keeps(w.stats, w.upto)
		}
		if err == nil && w.front.head.seq > 0 {
			w.opened = Opened{} // announced in the log
		}
		return err
	}
	folded, _, _ := w.front.state()
	if w.end.seq < folded {
		return fmt.Errorf("%w: it ends at event %d, and has had %d", sqlite.ErrCorrupt, w.end.seq, folded)
	}
	w.front.pen.Lock()
	defer w.front.pen.Unlock()
	if w.end.seq > w.front.head.seq { // a thinning whose commit was not known
		w.front.ends(w.end)
		defer w.j.ring()
	}
	w.front.folds(w.end.seq, w.stats)
	w.front.keeps(w.stats, w.upto)
	return nil
}

// prepare compiles what every append runs.
func (w *writer) prepare() (err error) {
	for _, s := range []struct {
		st  **sqlite.Stmt
		sql string
	}{
		{&w.start, "BEGIN IMMEDIATE"},
		{&w.add, "INSERT INTO event (seq, id, at, class, alert, prev, body) VALUES (?, ?, ?, ?, ?, ?, ?)"},
		{&w.commit, "COMMIT"},
	} {
		if *s.st, err = w.conn.Prepare(s.sql); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) begin() error {
	// What a statement may have to take back would be a file in /tmp once it is
	// above 64 KiB: one more disk, and one more descriptor, that can be lacking. A
	// slice of a job changes little enough for memory.
	if err := w.conn.Exec("PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY"); err != nil {
		return err
	}
	if _, err := w.conn.Int(fmt.Sprintf("PRAGMA journal_size_limit=%d", walKept)); err != nil {
		return err
	}
	var err error
	if w.page, err = w.conn.Int("PRAGMA page_size"); err != nil {
		return err
	}
	if w.cfg.MaxBytes > 0 {
		if _, err := w.conn.Int(fmt.Sprintf("PRAGMA max_page_count=%d", max(w.cfg.MaxBytes/w.page, 32))); err != nil {
			return err
		}
	}
	if err := w.prepare(); err != nil {
		return err
	}
	if err := w.life(); err != nil {
		return err
	}
	if err := w.load(); err != nil {
		return err
	}
	return w.meet()
}

// life reads the epoch, or begins one.
func (w *writer) life() error {
	known, err := text(w.conn, "SELECT value FROM meta WHERE name = 'epoch'")
	switch {
	case err != nil:
		return err
	case known != "" && w.epoch != "" && known != w.epoch:
		return errors.New("the file was exchanged for another journal; start again")
	case known == "" && w.epoch != "":
		return errors.New("the file has gone; start again")
	case known != "":
		w.epoch = known
		return nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	err = w.atomically(func() error {
		for _, m := range [][2]string{{"epoch", id.String()}, {"old_epoch", w.opened.OldEpoch}, {"set_aside", w.opened.SetAside}} {
			if err := w.conn.Exec("INSERT INTO meta (name, value) VALUES (?, ?)", m[0], m[1]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		w.epoch = id.String()
	}
	return err
}

// text is the first column of the first row, "" without a row.
func text(conn *sqlite.RawConn, query string) (string, error) {
	st, err := conn.Prepare(query)
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
		break
	}
	return out, errors.Join(err, st.Close())
}

// load reads the end of the chain, counts what waits, and tells whether the
// epoch is still to be announced.
func (w *writer) load() error {
	w.end, w.low, w.opened = head{}, 0, Opened{}
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
		w.end = head{seq: uint64(seq), prev: link(body)}
	}
	if err := errors.Join(err, st.Close()); err != nil {
		return err
	}
	if w.end.seq == 0 {
		old, oldErr := text(w.conn, "SELECT value FROM meta WHERE name = 'old_epoch'")
		aside, asideErr := text(w.conn, "SELECT value FROM meta WHERE name = 'set_aside'")
		if err := errors.Join(oldErr, asideErr); err != nil {
			return err
		}
		w.opened = Opened{New: true, SetAside: aside, OldEpoch: old}
	}
	counts := [3]int64{}
	for i, q := range []string{"SELECT count(*) FROM event WHERE alert = 0 AND " + waits, "SELECT count(*) FROM event WHERE alert = 1 AND " + waits,
		"SELECT count(*) FROM event WHERE state = 2"} {
		if counts[i], err = w.conn.Int(q); err != nil {
			return err
		}
	}
	w.stats.Waiting, w.stats.Alerts, w.stats.Quarantined = uint64(counts[0]), uint64(counts[1]), uint64(counts[2])
	upto, err := w.conn.Int("SELECT upto FROM mark")
	if err != nil {
		return err
	}
	w.upto = uint64(upto)
	thinned, err := w.conn.Int("SELECT last FROM thinned ORDER BY first DESC LIMIT 1")
	if err != nil {
		return err
	}
	w.thinned = uint64(thinned) + 1
	return errors.Join(w.measure(), w.forecast())
}

// measure reads what is cheap to ask: the oldest row that waits, and the size.
func (w *writer) measure() error {
	at, err := w.conn.Int("SELECT at FROM event WHERE alert = 0 AND " + waits + " ORDER BY seq LIMIT 1")
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

// link is the chain's link to a body.
func link(body []byte) (prev [16]byte) {
	sum := sha256.Sum256(body)
	copy(prev[:], sum[:])
	return prev
}

// atomically runs f in a transaction.
func (w *writer) atomically(f func() error) error {
	if _, err := w.start.Exec(); err != nil {
		return err
	}
	err := f()
	if err == nil {
		if _, err = w.commit.Exec(); err == nil {
			return nil
		}
	}
	if w.conn.InTransaction() {
		err = errors.Join(err, w.conn.Exec("ROLLBACK"))
	}
	return err
}

// fail gives the connection up and tells what for.
func (w *writer) fail(err error) error {
	_ = w.close() // the fault that led here is the one to tell
	w.rest.more()
	err = fmt.Errorf("%w: %w", ErrStorage, suspect(w.cfg.Path, err))
	w.front.fails(err)
	return err
}

// fault gives the connection up, unless the trouble is only that there is no
// room and nothing was changed.
func (w *writer) fault(err error) error {
	if w.conn == nil { // it is given up already
		return err
	}
	if w.conn.InTransaction() {
		return w.fail(err)
	}
	switch {
	case errors.Is(err, ErrFull), errors.Is(err, errEvent):
		return err
	case sqlite.IsFull(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return w.fail(err)
}

// ready opens the file again after a fault. It is not read whole: those who
// wait for an append cannot wait for that.
func (w *writer) ready() error {
	if w.conn != nil {
		return nil
	}
	if !w.rest.over() {
		return ErrStorage
	}
	if err := w.open(context.Background(), 0); err != nil {
		return w.fail(err)
	}
	return nil
}

func (w *writer) close() error {
	if w.conn == nil {
		return nil
	}
	var err error
	for _, st := range []**sqlite.Stmt{&w.start, &w.add, &w.commit} {
		if *st != nil {
			err = errors.Join(err, (*st).Close())
			*st = nil
		}
	}
	if w.wal.file != nil {
		err = errors.Join(err, w.wal.file.Close())
		w.wal.file = nil
	}
	err = errors.Join(err, w.conn.Close())
	w.conn = nil
	return err
}
