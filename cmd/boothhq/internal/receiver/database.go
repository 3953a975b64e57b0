package receiver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// schemaVersion is what this program writes and reads.
const schemaVersion = 6

// Times are microseconds UTC: the driver keeps or loses the zone of a time
// value by surprise.
const schema = `
CREATE TABLE booth (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL DEFAULT '',
  conn INTEGER NOT NULL DEFAULT 0,
  version TEXT NOT NULL DEFAULT '',
  status_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE epoch (
  id INTEGER PRIMARY KEY,
  booth INTEGER NOT NULL REFERENCES booth,
  name TEXT NOT NULL,
  upto INTEGER NOT NULL DEFAULT 0,       -- every seq up to here is in event or reject
  again INTEGER NOT NULL DEFAULT 0,      -- deliveries of what was there already
  conflicts INTEGER NOT NULL DEFAULT 0,  -- other bytes under a number that was taken
  heard_at INTEGER NOT NULL DEFAULT 0,
  UNIQUE (booth, name)
) STRICT;
CREATE TABLE event (
  epoch INTEGER NOT NULL REFERENCES epoch,
  seq INTEGER NOT NULL,
  id TEXT NOT NULL,
  type TEXT NOT NULL,
  class TEXT NOT NULL,
  at INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  live INTEGER NOT NULL,
  simulated INTEGER NOT NULL,
  body BLOB NOT NULL,                    -- the exact bytes
  PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE reject (
  epoch INTEGER NOT NULL REFERENCES epoch,
  seq INTEGER NOT NULL,
  code TEXT NOT NULL,
  msg TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
`

// stateSchema keeps the latest of what each booth says of itself.
const stateSchema = `
CREATE TABLE state (
  booth INTEGER NOT NULL REFERENCES booth,
  kind TEXT NOT NULL,                    -- info, health, lists
  body BLOB NOT NULL,                    -- the exact bytes
  at INTEGER NOT NULL,
  PRIMARY KEY (booth, kind)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 3;
`

// connector opens connections whose settings have been read back: in the DSN
// they can fail in silence, and WAL without FULL loses committed rows at a
// power cut.
type connector struct {
	dsn   string
	write bool
}

// Connect opens one connection.
func (c connector) Connect(context.Context) (driver.Conn, error) {
	d := &sqlite3.SQLiteDriver{ConnectHook: func(conn *sqlite3.SQLiteConn) error {
		settings := [][3]string{
			{"busy_timeout", "5000", "5000"}, {"trusted_schema", "OFF", "0"}, {"cell_size_check", "ON", "1"}, {"foreign_keys", "ON", "1"},
		}
		if c.write {
			settings = append(settings, [3]string{"journal_mode", "WAL", "wal"}, [3]string{"synchronous", "FULL", "2"})
		} else {
			settings = append(settings, [3]string{"query_only", "ON", "1"})
		}
		for _, s := range settings {
			if err := set(conn, s[0], s[1], s[2]); err != nil {
				return err
			}
		}
		return nil
	}}
	return d.Open(c.dsn)
}

// Driver is asked for by database/sql and used by nobody.
func (c connector) Driver() driver.Driver { return new(sqlite3.SQLiteDriver) }

func set(conn *sqlite3.SQLiteConn, name, value, want string) error {
	if _, err := conn.ExecContext(context.Background(), "PRAGMA "+name+"="+value, nil); err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	rows, err := conn.QueryContext(context.Background(), "PRAGMA "+name, nil)
	if err != nil {
		return fmt.Errorf("reading %s back: %w", name, err)
	}
	defer rows.Close()
	got := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(got); err != nil {
		return fmt.Errorf("reading %s back: %w", name, err)
	}
	if s := fmt.Sprint(got[0]); !strings.EqualFold(s, want) {
		return fmt.Errorf("%s is %s after setting it to %s", name, s, value)
	}
	return nil
}

// openDatabase opens the file, for writing with its tables made if it is new.
func openDatabase(ctx context.Context, path string, write bool) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	query := "mode=ro"
	if write {
		// SQLite would let the whole machine read it, and its other files are as this one.
		f, err := os.OpenFile(abs, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			err = f.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("making %s: %w", path, err)
		}
		query = "mode=rwc&_txlock=immediate"
	}
	db := sql.OpenDB(connector{dsn: (&url.URL{Scheme: "file", Path: abs, RawQuery: query}).String(), write: write})
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db, write); err != nil {
		db.Close()
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB, write bool) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version > schemaVersion:
		return fmt.Errorf("schema %d is newer than this program's %d: install the newer version again", version, schemaVersion)
	case version == schemaVersion:
		return nil
	case !write:
		return fmt.Errorf("schema %d, not %d: start boothhq receive once", version, schemaVersion)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if version < 1 {
		if _, err := tx.ExecContext(ctx, schema); err != nil {
			return err
		}
	}
	if version < 2 {
		if _, err := tx.ExecContext(ctx, deskSchema); err != nil {
			return err
		}
		if err := hitsOfOld(ctx, liteTx{tx}); err != nil {
			return fmt.Errorf("taking over the lookout hits of schema %d: %w", version, err)
		}
	}
	if version < 3 {
		if _, err := tx.ExecContext(ctx, stateSchema); err != nil {
			return err
		}
	}
	if version < 4 {
		if _, err := tx.ExecContext(ctx, presenceSchema); err != nil {
			return err
		}
	}
	if version < 5 {
		if _, err := tx.ExecContext(ctx, goneSchema); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, heldSchema); err != nil {
		return err
	}
	return tx.Commit()
}
