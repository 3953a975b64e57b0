package sqlite

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var table = []Migration{{SQL: "CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB) STRICT"}}

func raw(t *testing.T, path string, o Options) *RawConn {
	t.Helper()
	c, err := OpenRaw(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Every connection has the pragmas that durability stands on, pooled or bare.
func TestPragmasOfEveryConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	c := raw(t, path, Options{Migrations: table, BusyTimeout: 100 * time.Millisecond, CacheKiB: 4096})
	for pragma, want := range map[string]int64{"synchronous": 2, "busy_timeout": 100, "trusted_schema": 0, "cell_size_check": 1, "foreign_keys": 1,
		"cache_size": -4096, "user_version": 1, "query_only": 0} {
		if got, err := c.Int("PRAGMA " + pragma); err != nil || got != want {
			t.Errorf("%s = %d, %v; want %d", pragma, got, err, want)
		}
	}
	db, err := Open(t.Context(), path, Options{Migrations: table})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var mode string
	var sync int
	if err := errors.Join(db.QueryRow("PRAGMA journal_mode").Scan(&mode), db.QueryRow("PRAGMA synchronous").Scan(&sync)); err != nil || mode != "wal" || sync != 2 {
		t.Errorf("%s %d %v", mode, sync, err)
	}
	if db.Stats().MaxOpenConnections != 1 {
		t.Errorf("%d writing connections", db.Stats().MaxOpenConnections)
	}
}

func TestBusyTimeoutIsBounded(t *testing.T) {
	for _, d := range []time.Duration{time.Second, -time.Second} {
		if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "a.db"), Options{BusyTimeout: d}); err == nil {
			t.Errorf("a wait of %v was taken", d)
		}
	}
}

// A file from a newer program and one that is damaged are left as they are.
func TestWhatIsNotOursIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	newer, broken := filepath.Join(dir, "newer.db"), filepath.Join(dir, "broken.db")
	c := raw(t, newer, Options{Migrations: append(slices.Clone(table), Migration{SQL: "CREATE TABLE u (n ANY) STRICT"})})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, bytes.Repeat([]byte("rubbish "), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{newer: ErrNewerSchema, broken: ErrCorrupt} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := Open(t.Context(), path, Options{Migrations: table}); !errors.Is(err, want) {
				t.Errorf("%s: %v", filepath.Base(path), err)
			}
			for _, o := range []Options{{ReadOnly: true, Migrations: table}, {Immutable: true, Migrations: table}, {Migrations: table}} {
				if _, err := OpenRaw(t.Context(), path, o); !errors.Is(err, want) {
					t.Errorf("%s by itself, %+v: %v", filepath.Base(path), o, err)
				}
			}
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s was changed, %v", filepath.Base(path), err)
		}
	}
}

// Nothing is made of a file that is only to be read.
func TestReadingMakesNoFile(t *testing.T) {
	dir := t.TempDir()
	missing, empty := filepath.Join(dir, "missing.db"), filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{missing, empty} {
		for _, o := range []Options{{ReadOnly: true}, {Immutable: true}} {
			if _, err := OpenRaw(t.Context(), path, o); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s, %+v: %v", filepath.Base(path), o, err)
			}
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

// A flipped page is found before the file is used, if it is small enough to be
// read whole.
func TestCheckFindsDamageInside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	c := raw(t, path, Options{Migrations: table})
	for range 200 {
		if err := c.Exec("INSERT INTO t (b) VALUES (?)", bytes.Repeat([]byte("x"), 300)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[3*4096:], bytes.Repeat([]byte{0xFF}, 200))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{Migrations: table, CheckLimit: 1 << 30}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("damage inside: %v", err)
	}
}

// SetAside keeps the database with its side files, under a name of their own.
func TestSetAsideKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	for round := range 2 {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.WriteFile(path+suffix, []byte(fmt.Sprint(round, suffix)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		to, err := SetAside(path)
		if err != nil || to != fmt.Sprintf("%s.broken-%d", path, round+1) {
			t.Fatal(to, err)
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if _, err := os.Stat(path + suffix); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%q is still there", suffix)
			}
			if b, err := os.ReadFile(to + suffix); err != nil || string(b) != fmt.Sprint(round, suffix) {
				t.Errorf("%q: %q %v", suffix, b, err)
			}
		}
	}
}

func TestReadOnlyCannotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	w := raw(t, path, Options{Migrations: table})
	if err := w.Exec("INSERT INTO t (n) VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{ReadOnly: true}, {Immutable: true}} {
		if o.Immutable { // such a reader does not see the WAL: the last close empties it
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		r := raw(t, path, o)
		if n, err := r.Int("SELECT n FROM t"); err != nil || n != 7 {
			t.Errorf("%+v: %d %v", o, n, err)
		}
		if err := r.Exec("INSERT INTO t (n) VALUES (8)"); err == nil {
			t.Errorf("%+v writes", o)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenRaw(t.Context(), path+".none", Options{ReadOnly: true}); err == nil {
		t.Error("a file that is not there was opened for reading")
	}
	if _, err := os.Stat(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Error("and was made")
	}
}

func TestFullIsTold(t *testing.T) {
	c := raw(t, filepath.Join(t.TempDir(), "a.db"), Options{Migrations: table})
	if _, err := c.Int("PRAGMA max_page_count=8"); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = c.Exec("INSERT INTO t (b) VALUES (?)", make([]byte, 4000))
	}
	if !IsFull(err) || IsCorrupt(err) {
		t.Errorf("%v", err)
	}
}

func TestStatements(t *testing.T) {
	c := raw(t, filepath.Join(t.TempDir(), "a.db"), Options{Migrations: table})
	in, err := c.Prepare("INSERT INTO t (n, b) VALUES (?, ?)")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("BEGIN IMMEDIATE"); err != nil || !c.InTransaction() {
		t.Fatal(err)
	}
	for i := range int64(5) {
		if n, err := in.Exec(i, []byte{byte(i)}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := c.Exec("COMMIT"); err != nil || c.InTransaction() {
		t.Fatal(err)
	}
	out, err := c.Prepare("SELECT n, b FROM t WHERE n >= ? ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	var got []driver.Value
	for row, err := range out.Rows(int64(2)) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, row[0]); len(got) == 2 {
			break // the statement is reset, and the next write is not held up
		}
	}
	if fmt.Sprint(got) != "[2 3]" {
		t.Error(got)
	}
	if _, err := in.Exec(int64(2), nil); err == nil {
		t.Error("a doubled key was taken")
	}
	if err := errors.Join(in.Close(), out.Close()); err != nil {
		t.Error(err)
	}
}

// A migration that fails leaves the version and the tables before it.
func TestMigrationIsAllOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	if err := raw(t, path, Options{Migrations: table}).Close(); err != nil {
		t.Fatal(err)
	}
	bad := append(slices.Clone(table), Migration{SQL: "CREATE TABLE u (n ANY) STRICT; CREATE TABLE t (n ANY) STRICT"})
	if _, err := Open(t.Context(), path, Options{Migrations: bad}); err == nil {
		t.Fatal("taken")
	}
	c := raw(t, path, Options{Migrations: table})
	if n, err := c.Int("SELECT count(*) FROM sqlite_schema WHERE name = 'u'"); n != 0 || err != nil {
		t.Errorf("half a step was kept: %d %v", n, err)
	}
	good := append(slices.Clone(table), Migration{SQL: "ALTER TABLE t ADD COLUMN m INTEGER"})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := raw(t, path, Options{Migrations: good}).Int("PRAGMA user_version"); n != 2 || err != nil {
		t.Error(n, err)
	}
}

func TestTimesSurvive(t *testing.T) {
	at := time.Date(2026, 11, 1, 1, 30, 0, 123456000, time.FixedZone("PDT", -7*3600))
	if got := Time(Micros(at)); !got.Equal(at) || got.Location() != time.UTC {
		t.Error(got)
	}
}
