// Package sqlite opens SQLite files the one way the booth trusts: pragmas are
// run on every connection and read back, a file from a newer program is left
// alone, a broken one can be set aside with its side files.
//
// It is the only import of go-sqlite3. Times of waiting are at most 250 ms,
// because SQLite ignores a context's deadline while it waits for a lock. Only
// one connection of a DB writes (BEGIN IMMEDIATE), so that SQLITE_BUSY cannot
// come from ourselves.
//
// Trap for callers: never open and close the database file itself by other
// means in the same process (os.ReadFile, a copy): POSIX drops every lock the
// process holds on a file when any descriptor of it is closed.
//
// Source: SQLite documentation, PRAGMA, WAL and "how to corrupt".
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// MaxBusyTimeout is the longest wait for another connection's lock. The lane
// waits 250 ms for a durable record and then slows the lane; waiting longer
// here would only hide it.
const MaxBusyTimeout = 250 * time.Millisecond

var (
	// ErrNewerSchema says that the file was written by a newer program. The
	// file has not been touched.
	ErrNewerSchema = errors.New("database schema is newer than this program; install the newer version again")
	// ErrCorrupt says that the file is no sound SQLite database. It has not
	// been touched; SetAside keeps it for whoever looks into it.
	ErrCorrupt = errors.New("database file is damaged")
)

// Options say how a file is opened. The zero value is the durable way: a
// file that is created when missing, WAL, synchronous FULL, not migrated.
type Options struct {
	// ReadOnly opens with mode=ro and query_only; the file must exist.
	ReadOnly bool
	// Immutable implies ReadOnly and takes no file locks (immutable=1), which
	// is what makes a look-up cheap. The file must never change in place.
	Immutable bool
	// Bulk is for filling a new file that nobody reads yet: no journal, no
	// sync. The caller closes it, calls SyncFile, renames and calls SyncDir. A
	// crash leaves rubbish under the temporary name, nothing else.
	Bulk bool
	// Migrations bring the file from version i to i+1, in order; their number
	// is the newest schema understood. Empty: the version is not looked at.
	Migrations []Migration
	// BusyTimeout is the wait for a lock; 0 means MaxBusyTimeout.
	BusyTimeout time.Duration
	// CheckLimit is the size in bytes up to which an existing file is read
	// whole (quick_check) before use; 0 checks none. A larger file is only
	// opened, so that a start does not wait for minutes of reading.
	CheckLimit int64
	// CacheKiB is the page cache of each connection; 0 is SQLite's 2 MiB.
	CacheKiB int
}

// Migration is one step of a schema, run in one transaction with the others
// that are due. SQL may hold several statements.
type Migration struct{ SQL string }

// DB is an open file behind database/sql. A writable DB has exactly one
// connection and every transaction of it begins IMMEDIATE.
type DB struct {
	*sql.DB
	path string
}

// Path is the file's name as given to Open.
func (db *DB) Path() string { return db.path }

// readers bounds the connections of a read-only DB. Each costs up to 2 MiB of
// page cache, and a 512 MiB box has other things to hold.
const readers = 4

// statements is how many compiled statements each connection keeps for the next
// time: compiling one takes longer than most of them run. Some kilobytes each.
const statements = 16

// Open opens path and brings its schema up to date. It fails with
// ErrNewerSchema or ErrCorrupt (see there); in both cases, and only for an
// existing file, nothing has been written.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	o, err := prepare(ctx, path, o)
	if err != nil {
		return nil, err
	}
	db, err := pool(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, classify(err))
	}
	return db, nil
}

// Each calls row for every row of a query, until it fails. It is for many rows:
// database/sql takes as long to convert their columns as SQLite to read them.
// The values are valid until row returns, the bytes in them for good.
func (db *DB) Each(ctx context.Context, row func([]driver.Value) error, query string, args ...driver.Value) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(raw any) error {
		conn, ok := raw.(*sqlite3.SQLiteConn)
		if !ok {
			return fmt.Errorf("driver gave a %T", raw)
		}
		for values, err := range (&RawConn{conn}).Rows(ctx, query, args...) {
			if err == nil {
				err = row(values)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// pool opens the database/sql handle without looking at the schema.
func pool(ctx context.Context, path string, o Options) (*DB, error) {
	db := sql.OpenDB(connector{dsn: dsn(path, o), want: pragmas(o), reads: o.ReadOnly})
	n := 1
	if o.ReadOnly {
		n = readers
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return &DB{DB: db, path: path}, nil
}

// prepare judges the file before anything may write to it, creates it 0600
// when it is missing, and migrates it.
func prepare(ctx context.Context, path string, o Options) (Options, error) {
	o, err := o.settled()
	if err != nil {
		return o, fmt.Errorf("opening %s: %w", path, err)
	}
	fi, err := os.Stat(path)
	switch {
	case err == nil && fi.Size() > 0:
		if err := judge(ctx, path, fi.Size(), o); err != nil {
			return o, fmt.Errorf("opening %s: %w", path, err)
		}
	case err == nil || errors.Is(err, os.ErrNotExist):
		if o.ReadOnly {
			return o, fmt.Errorf("opening %s: %w", path, os.ErrNotExist)
		}
		err := create(path)
		if err == nil && !o.Bulk { // whose name is of no use yet
			err = SyncDir(filepath.Dir(path))
		}
		if err != nil {
			return o, fmt.Errorf("creating %s: %w", path, err)
		}
	default:
		return o, fmt.Errorf("opening %s: %w", path, err)
	}
	if o.ReadOnly || len(o.Migrations) == 0 {
		return o, nil
	}
	if err := migrate(ctx, path, o); err != nil {
		return o, fmt.Errorf("migrating %s: %w", path, classify(err))
	}
	return o, nil
}

// settled fills in what follows from other fields and refuses contradictions.
func (o Options) settled() (Options, error) {
	o.ReadOnly = o.ReadOnly || o.Immutable
	if o.BusyTimeout == 0 {
		o.BusyTimeout = MaxBusyTimeout
	}
	if o.BusyTimeout < 0 || o.BusyTimeout > MaxBusyTimeout {
		return o, fmt.Errorf("busy timeout %v is not within 0 and %v", o.BusyTimeout, MaxBusyTimeout)
	}
	if o.Bulk && o.ReadOnly {
		return o, errors.New("bulk and read-only exclude each other")
	}
	return o, nil
}

// create makes an empty file that only its owner may read, because SQLite
// itself would use the process's umask; -wal and -shm inherit the mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn writes the URI. The path is escaped, so that a '?' or '%' in a folder's
// name cannot become a parameter.
func dsn(path string, o Options) string {
	u := url.URL{Path: path}
	s := "file:" + u.EscapedPath() + "?_txlock=immediate"
	switch {
	case o.Immutable:
		s += "&mode=ro&immutable=1"
	case o.ReadOnly:
		s += "&mode=ro"
	default:
		s += "&mode=rw"
	}
	return s + fmt.Sprintf("&_busy_timeout=%d&_stmt_cache_size=%d", o.BusyTimeout.Milliseconds(), statements)
}

// connector hands each new connection to the pragmas; database/sql's driver
// registry, filled by init, is not used.
type connector struct {
	dsn   string
	want  []pragma
	reads bool // and never writes
}

// Connect implements driver.Connector.
func (c connector) Connect(context.Context) (driver.Conn, error) { return c.open() }

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

func (c connector) open() (*sqlite3.SQLiteConn, error) {
	conn, err := (&sqlite3.SQLiteDriver{}).Open(c.dsn)
	if err != nil {
		return nil, err
	}
	sc, ok := conn.(*sqlite3.SQLiteConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("driver gave a %T", conn)
	}
	err = apply(sc, c.want)
	if err == nil && !c.reads {
		err = writable(sc)
	}
	if err != nil {
		sc.Close()
		return nil, err
	}
	return sc, nil
}

// writable refuses a connection that SQLite has opened for reading only: it
// does so in silence when opening for writing fails, and would stay so after
// the trouble is over. Nothing is written: the change is taken back.
func writable(c *sqlite3.SQLiteConn) error {
	_, err := c.ExecContext(context.Background(), "BEGIN IMMEDIATE; PRAGMA application_id=0; ROLLBACK", nil)
	if is(err, sqlite3.ErrBusy) {
		return nil // another is writing; that there is a lock to wait for tells enough
	}
	return err
}

// Version is the version of the SQLite library in this binary, for the
// version command and the state message.
func Version() string {
	v, _, _ := sqlite3.Version()
	return v
}
