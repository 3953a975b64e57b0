package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// RawConn is one connection without database/sql: no pool, no per-call locks,
// about 1 microsecond and ten allocations less for each statement. It and its
// statements belong to one goroutine at a time.
type RawConn struct{ c *sqlite3.SQLiteConn }

// OpenRaw opens path as Open does and returns one bare connection to it.
func OpenRaw(ctx context.Context, path string, o Options) (*RawConn, error) {
	if o.ReadOnly || o.Immutable {
		return openJudged(ctx, path, o)
	}
	o, err := prepare(ctx, path, o)
	if err != nil {
		return nil, err
	}
	return openRaw(path, o)
}

// openJudged opens for reading. What judges the file is the connection that stays:
// half of a short look at a file is opening it.
func openJudged(ctx context.Context, path string, o Options) (*RawConn, error) {
	o, err := o.settled()
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	fi, err := os.Stat(path)
	if err == nil && fi.Size() == 0 {
		err = os.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	c, err := openRaw(path, o)
	if err != nil {
		return nil, err
	}
	if err := sound(ctx, c, fi.Size(), o); err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, errors.Join(err, c.Close()))
	}
	return c, nil
}

func openRaw(path string, o Options) (*RawConn, error) {
	c, err := connector{dsn: dsn(path, o), want: pragmas(o), reads: o.ReadOnly}.open()
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, classify(err))
	}
	return &RawConn{c}, nil
}

// Close closes the connection; statements are to be closed before.
func (r *RawConn) Close() error { return r.c.Close() }

// Exec runs one or several statements.
func (r *RawConn) Exec(query string, args ...driver.Value) error {
	_, err := r.c.ExecContext(context.Background(), query, named(nil, args))
	return err
}

// Int returns the first column of the first row as a number, 0 without a row;
// it is meant for pragmas and counts.
func (r *RawConn) Int(query string, args ...driver.Value) (int64, error) {
	for row, err := range r.Rows(context.Background(), query, args...) {
		if err != nil {
			return 0, err
		}
		n, ok := row[0].(int64)
		if !ok {
			return 0, fmt.Errorf("%s gave a %T, not a number", query, row[0])
		}
		return n, nil
	}
	return 0, nil
}

// Rows is Stmt.Rows of a statement that the connection keeps for the next time.
func (r *RawConn) Rows(ctx context.Context, query string, args ...driver.Value) iter.Seq2[[]driver.Value, error] {
	return func(yield func([]driver.Value, error) bool) {
		rows, err := r.c.QueryContext(ctx, query, named(nil, args))
		var dest []driver.Value
		if err == nil {
			dest = make([]driver.Value, len(rows.Columns()))
		}
		walk(rows, err, dest, yield)
	}
}

// InTransaction reports whether a transaction is open on this connection.
func (r *RawConn) InTransaction() bool { return !r.c.AutoCommit() }

// Prepare compiles one statement.
func (r *RawConn) Prepare(query string) (*Stmt, error) {
	ds, err := r.c.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("preparing %q: %w", query, err)
	}
	s, ok := ds.(*sqlite3.SQLiteStmt)
	if !ok {
		ds.Close()
		return nil, fmt.Errorf("preparing %q: driver gave a %T", query, ds)
	}
	return &Stmt{s: s}, nil
}

// Stmt is a prepared statement. Its argument and row buffers are reused, so a
// row is valid until the next call; the bytes in it are the caller's to keep.
type Stmt struct {
	s    *sqlite3.SQLiteStmt
	args []driver.NamedValue
	dest []driver.Value
}

// Close frees the statement.
func (s *Stmt) Close() error { return s.s.Close() }

// Exec runs the statement and returns the number of rows changed. Arguments
// are int64, float64, bool, []byte, string or nil.
func (s *Stmt) Exec(args ...driver.Value) (int64, error) {
	s.args = named(s.args, args)
	res, err := s.s.ExecContext(context.Background(), s.args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Rows yields every row. An error comes last, once. The statement is reset
// when the loop ends, however it ends: an open one would hold the WAL.
func (s *Stmt) Rows(args ...driver.Value) iter.Seq2[[]driver.Value, error] {
	return func(yield func([]driver.Value, error) bool) {
		s.args = named(s.args, args)
		rows, err := s.s.QueryContext(context.Background(), s.args)
		if err == nil && s.dest == nil {
			s.dest = make([]driver.Value, len(rows.Columns()))
		}
		walk(rows, err, s.dest, yield)
	}
}

// walk yields the rows of a query, each in dest, and its error last.
func walk(rows driver.Rows, err error, dest []driver.Value, yield func([]driver.Value, error) bool) {
	if err != nil {
		yield(nil, err)
		return
	}
	defer rows.Close()
	for {
		switch err := rows.Next(dest); {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			yield(nil, err)
			return
		case !yield(dest, nil):
			return
		}
	}
}

// named numbers the arguments in a buffer that is reused.
func named(buf []driver.NamedValue, args []driver.Value) []driver.NamedValue {
	buf = buf[:0]
	for i, a := range args {
		buf = append(buf, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return buf
}
