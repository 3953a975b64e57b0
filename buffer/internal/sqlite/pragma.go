package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// pragma is one setting and what SQLite must answer when asked for it.
type pragma struct{ name, set, want string }

// pragmas lists what every connection gets. They are not put into the DSN:
// there a setting can fail in silence, and WAL without FULL loses
// acknowledged rows at a power cut (the driver's own default is NORMAL).
func pragmas(o Options) []pragma {
	ms := strconv.FormatInt(o.BusyTimeout.Milliseconds(), 10)
	ps := []pragma{
		{"busy_timeout", ms, ms},
		{"trusted_schema", "OFF", "0"},
		{"cell_size_check", "ON", "1"},
		{"foreign_keys", "ON", "1"},
		// Mapped files save 1.7x when they fit in memory and cost 140x and
		// more when they do not.
		{"mmap_size", "0", "0"},
	}
	if o.CacheKiB > 0 {
		kib := strconv.Itoa(-o.CacheKiB)
		ps = append(ps, pragma{"cache_size", kib, kib})
	}
	switch {
	case o.ReadOnly:
		return append(ps, pragma{"query_only", "ON", "1"})
	case o.Bulk:
		return append(ps, pragma{"journal_mode", "OFF", "off"}, pragma{"synchronous", "OFF", "0"})
	}
	return append(ps, pragma{"journal_mode", "WAL", "wal"}, pragma{"synchronous", "FULL", "2"})
}

// apply runs the pragmas and refuses the connection when one reads back
// different. A pragma of 0 without an answer row counts as set: mmap_size is
// silent where it is compiled out.
func apply(c *sqlite3.SQLiteConn, ps []pragma) error {
	for _, p := range ps {
		if _, err := c.ExecContext(context.Background(), "PRAGMA "+p.name+"="+p.set, nil); err != nil {
			return fmt.Errorf("setting %s=%s: %w", p.name, p.set, err)
		}
		got, err := ask(c, "PRAGMA "+p.name)
		if err != nil {
			return fmt.Errorf("reading %s back: %w", p.name, err)
		}
		if got == "" && p.want == "0" {
			continue
		}
		if !strings.EqualFold(got, p.want) {
			return fmt.Errorf("%s is %q after setting it to %s", p.name, got, p.set)
		}
	}
	return nil
}

// ask returns the first column of the first row as text, "" without a row.
func ask(c *sqlite3.SQLiteConn, query string) (string, error) {
	rows, err := c.QueryContext(context.Background(), query, nil)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	dest := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(dest); errors.Is(err, io.EOF) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	if len(dest) == 0 {
		return "", nil
	}
	return fmt.Sprint(dest[0]), nil
}
