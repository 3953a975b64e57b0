package receiver

import (
	"context"
	"database/sql"
	"strings"
)

// querier is a database or a transaction on it. Placeholders are $1, $2 and so
// on. It has two makings, because PostgreSQL is spoken to through pgx's own
// face, and SQLite through database/sql.
type querier interface {
	query(ctx context.Context, query string, args ...any) (rows, error)
	queryRow(ctx context.Context, query string, args ...any) row
	exec(ctx context.Context, query string, args ...any) error
	// islands asks for epoch, first and last number of every range above its
	// epoch's mark, in order.
	islands() string
	// outcome is the expression for the outcome in the body of a crossing.ended
	// event.
	outcome() string
}

// database is what the desk and the report work on.
type database interface {
	querier
	// begin starts a transaction: to read one moment, or to write.
	begin(ctx context.Context, write bool) (transaction, error)
	close() error
}

// transaction is nothing until it is committed. rollback after commit does
// nothing.
type transaction interface {
	querier
	commit(ctx context.Context) error
	rollback()
}

type rows interface {
	row
	Next() bool
	Err() error
	Close()
}

type row interface{ Scan(dest ...any) error }

// sqlRows closes without an error: what went wrong is in Err.
type sqlRows struct{ *sql.Rows }

func (r sqlRows) Close() { _ = r.Rows.Close() }

// lite is an SQLite file.
type lite struct{ db *sql.DB }

// numbered makes SQLite's placeholders of PostgreSQL's. No query here has a
// dollar sign elsewhere.
func numbered(query string) string { return strings.ReplaceAll(query, "$", "?") }

const liteOutcome = "coalesce(CAST(body AS TEXT) -> 'data' ->> 'outcome', '')"

const liteIslands = "SELECT epoch, first, last FROM held ORDER BY 1, 2"

func (l lite) query(ctx context.Context, query string, args ...any) (rows, error) {
	r, err := l.db.QueryContext(ctx, numbered(query), args...)
	return sqlRows{r}, err
}

func (l lite) queryRow(ctx context.Context, query string, args ...any) row {
	return l.db.QueryRowContext(ctx, numbered(query), args...)
}

func (l lite) exec(ctx context.Context, query string, args ...any) error {
	_, err := l.db.ExecContext(ctx, numbered(query), args...)
	return err
}

func (l lite) outcome() string { return liteOutcome }

func (l lite) islands() string { return liteIslands }

func (l lite) begin(ctx context.Context, write bool) (transaction, error) {
	tx, err := l.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: !write})
	return liteTx{tx}, err
}

func (l lite) close() error { return l.db.Close() }

// liteTx is a transaction on it.
type liteTx struct{ tx *sql.Tx }

func (l liteTx) query(ctx context.Context, query string, args ...any) (rows, error) {
	r, err := l.tx.QueryContext(ctx, numbered(query), args...)
	return sqlRows{r}, err
}

func (l liteTx) queryRow(ctx context.Context, query string, args ...any) row {
	return l.tx.QueryRowContext(ctx, numbered(query), args...)
}

func (l liteTx) exec(ctx context.Context, query string, args ...any) error {
	_, err := l.tx.ExecContext(ctx, numbered(query), args...)
	return err
}

func (l liteTx) outcome() string { return liteOutcome }

func (l liteTx) islands() string { return liteIslands }

func (l liteTx) commit(context.Context) error { return l.tx.Commit() }

// rollback has nobody to tell: what was begun is not there either way.
func (l liteTx) rollback() { _ = l.tx.Rollback() }

// opened opens a database for the desk or the report. It has to be one already.
func opened(ctx context.Context, db string, write bool) (database, error) {
	if isPostgres(db) {
		return openPostgres(ctx, db, write)
	}
	report, err := openDatabase(ctx, db, false)
	if err != nil || !write {
		return lite{report}, err
	}
	if err := report.Close(); err != nil {
		return nil, err
	}
	file, err := openDatabase(ctx, db, true)
	return lite{file}, err
}
