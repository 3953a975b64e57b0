package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// judge looks at an existing file through a connection that cannot write: is
// it a database, of a version that this program knows, and sound.
func judge(ctx context.Context, path string, size int64, o Options) error {
	ro := Options{ReadOnly: true, Immutable: o.Immutable, BusyTimeout: o.BusyTimeout}
	c, err := openRaw(path, ro)
	if is(err, sqlite3.ErrReadonly, sqlite3.ErrCantOpen) && !o.ReadOnly {
		// A creation cut short left a rollback journal, which only a writer
		// may play back. The mode is not changed yet.
		c, err = openRaw(path, Options{Bulk: true, BusyTimeout: o.BusyTimeout})
	}
	if err != nil {
		return classify(err)
	}
	defer c.Close()
	return sound(ctx, c, size, o)
}

// sound is what judge asks of a file that is open.
func sound(ctx context.Context, c *RawConn, size int64, o Options) error {
	v, err := c.Int("PRAGMA user_version")
	if err != nil {
		return classify(err)
	}
	if n := int64(len(o.Migrations)); n > 0 && v > n {
		return fmt.Errorf("schema version %d, this program knows up to %d: %w", v, n, ErrNewerSchema)
	}
	if size > o.CheckLimit {
		return nil
	}
	return quickCheck(ctx, c)
}

// QuickCheck reads the whole file behind db and fails with ErrCorrupt when its
// structure is damaged. It holds a read transaction meanwhile.
func QuickCheck(ctx context.Context, db *DB) error {
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return fmt.Errorf("checking %s: %w", db.path, classify(err))
	}
	if answer != "ok" {
		return fmt.Errorf("checking %s: %w: %s", db.path, ErrCorrupt, answer)
	}
	return nil
}

func quickCheck(ctx context.Context, c *RawConn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	answer, err := ask(c.c, "PRAGMA quick_check(1)")
	if err != nil {
		return classify(err)
	}
	if answer != "ok" {
		return fmt.Errorf("%w: %s", ErrCorrupt, answer)
	}
	return nil
}

// migrate runs the due steps in one transaction, after a copy of the file as
// it was. The copy is called path.v<old> and replaces an earlier one.
func migrate(ctx context.Context, path string, o Options) (err error) {
	c, err := openRaw(path, Options{Bulk: o.Bulk, BusyTimeout: o.BusyTimeout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	from, err := c.Int("PRAGMA user_version")
	if err != nil || from >= int64(len(o.Migrations)) {
		return err
	}
	if from > 0 {
		if err := copyBefore(c, path, from); err != nil {
			return fmt.Errorf("keeping a copy of version %d: %w", from, err)
		}
	}
	if err := c.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := steps(ctx, c, o.Migrations, from); err != nil {
		return errors.Join(err, c.Exec("ROLLBACK"))
	}
	return c.Exec("COMMIT")
}

func steps(ctx context.Context, c *RawConn, ms []Migration, from int64) error {
	for i, m := range ms[from:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.Exec(m.SQL); err != nil {
			return fmt.Errorf("step to version %d: %w", from+int64(i)+1, err)
		}
	}
	return c.Exec(fmt.Sprintf("PRAGMA user_version=%d", len(ms)))
}

func copyBefore(c *RawConn, path string, version int64) error {
	to := fmt.Sprintf("%s.v%d", path, version)
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := c.Exec("VACUUM INTO ?", to); err != nil {
		return err
	}
	if err := os.Chmod(to, 0o600); err != nil {
		return err
	}
	if err := SyncFile(to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// asides bounds how many broken files are kept; each may be as large as the
// quota, and a box that breaks its file this often needs a new card.
const asides = 99

// SetAside renames a damaged database with its -wal and -shm to
// path.broken-<n>, with n the first free number, and makes the names durable.
// No connection to path may be open. It returns the new name.
//
// The database goes first: without it, what is left is taken for nothing. A
// database left behind without its WAL would be an older, valid one, and
// numbers already given would be given again.
func SetAside(path string) (string, error) {
	var have []string
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if _, err := os.Lstat(path + suffix); err == nil {
			have = append(have, suffix)
		}
	}
	if len(have) == 0 {
		return "", fmt.Errorf("setting %s aside: %w", path, os.ErrNotExist)
	}
	for n := 1; n <= asides; n++ {
		to := fmt.Sprintf("%s.broken-%d", path, n)
		if anyExists(to, have) {
			continue
		}
		for _, suffix := range have {
			if err := os.Rename(path+suffix, to+suffix); err != nil {
				return "", fmt.Errorf("setting aside: %w", err)
			}
			if err := SyncDir(filepath.Dir(path)); err != nil {
				return "", fmt.Errorf("setting %s aside: %w", path, err)
			}
		}
		return to, nil
	}
	return "", fmt.Errorf("setting %s aside: %d broken files are there already; replace the card and remove them", path, asides)
}

func anyExists(base string, suffixes []string) bool {
	for _, s := range suffixes {
		if _, err := os.Lstat(base + s); err == nil {
			return true
		}
	}
	return false
}

// SyncFile makes the contents of path durable; its name is durable with SyncDir,
// after it has been renamed, if it will be. No connection to it may be open in
// this process.
func SyncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	return nil
}

// SyncDir makes names in a folder durable: a rename that is not followed by
// this can be undone by a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing folder %s: %w", dir, err)
	}
	return nil
}

// Micros is how times are stored: whole microseconds since 1970, UTC. The
// driver's own time columns keep or lose their zone by surprise.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// Time is the inverse of Micros.
func Time(us int64) time.Time { return time.UnixMicro(us).UTC() }
