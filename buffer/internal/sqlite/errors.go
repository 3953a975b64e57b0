package sqlite

import (
	"errors"
	"fmt"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// IsCorrupt reports whether err says that the file itself is damaged, as
// against a disk that is full or gone for the moment.
func IsCorrupt(err error) bool {
	return errors.Is(err, ErrCorrupt) || is(err, sqlite3.ErrCorrupt, sqlite3.ErrNotADB)
}

// IsFull reports whether err says that there is no room: the disk, a quota
// or max_page_count.
func IsFull(err error) bool { return is(err, sqlite3.ErrFull) }

// is reports whether err is a SQLite error with one of the primary codes.
func is(err error, codes ...sqlite3.ErrNo) bool {
	var se sqlite3.Error
	if !errors.As(err, &se) {
		return false
	}
	for _, c := range codes {
		if se.Code == c {
			return true
		}
	}
	return false
}

// classify joins ErrCorrupt to an error of SQLite's that means it, so that
// callers need not know the driver.
func classify(err error) error {
	if err != nil && !errors.Is(err, ErrCorrupt) && is(err, sqlite3.ErrCorrupt, sqlite3.ErrNotADB) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}
