package receiver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Bounds of PostgreSQL. A receiver that is stopped in the middle of a
// transaction holds the rows of its booths: the server ends it for the others.
const (
	pgConnect = 10 * time.Second
	pgWait    = time.Minute     // one call of the Store, all retries of the network in it
	pgCommit  = 5 * time.Second // more, for a COMMIT on its way
)

var pgBounds = map[string]string{
	"application_name":                    "boothhq",
	"lock_timeout":                        "15s",
	"statement_timeout":                   "30s",
	"idle_in_transaction_session_timeout": "10s",
}

// pgSchema has the columns of SQLite's, so that desk and report ask both the
// same. Times are microseconds UTC. held is what an epoch has above upto, as
// pairs of first and last number; it is changed under the lock of its row alone,
// together with the events it tells of.
const pgSchema = `
CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE booth (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL DEFAULT '',
  conn BIGINT NOT NULL DEFAULT 0,
  version TEXT NOT NULL DEFAULT '',
  status_at BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE epoch (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  booth BIGINT NOT NULL REFERENCES booth,
  name TEXT NOT NULL,
  upto BIGINT NOT NULL DEFAULT 0,
  held BIGINT[] NOT NULL DEFAULT '{}',
  again BIGINT NOT NULL DEFAULT 0,
  conflicts BIGINT NOT NULL DEFAULT 0,
  heard_at BIGINT NOT NULL DEFAULT 0,
  UNIQUE (booth, name)
) WITH (fillfactor = 50); -- a row is written with every batch: room for it in its page
CREATE TABLE event (
  epoch BIGINT NOT NULL REFERENCES epoch,
  seq BIGINT NOT NULL,
  id TEXT NOT NULL,
  type TEXT NOT NULL,
  class TEXT NOT NULL,
  at BIGINT NOT NULL,
  received_at BIGINT NOT NULL,
  live BOOLEAN NOT NULL,
  simulated BOOLEAN NOT NULL,
  outcome TEXT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (epoch, seq)
);
CREATE TABLE reject (
  epoch BIGINT NOT NULL REFERENCES epoch,
  seq BIGINT NOT NULL,
  code TEXT NOT NULL,
  msg TEXT NOT NULL,
  received_at BIGINT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (epoch, seq)
);
-- When a booth was last told, by whichever receiver. Unlogged: it is written for
-- every receipt, and without it a booth is told once more often.
CREATE UNLOGGED TABLE told (
  booth BIGINT PRIMARY KEY,
  at TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE hit (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  booth BIGINT NOT NULL REFERENCES booth,
  passage TEXT NOT NULL,
  lookout TEXT NOT NULL,
  version BIGINT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  reason_code TEXT NOT NULL,
  caveat TEXT NOT NULL,
  agency TEXT NOT NULL,
  region TEXT NOT NULL,
  officer_safety BOOLEAN NOT NULL,
  possible BOOLEAN NOT NULL,
  simulated BOOLEAN NOT NULL,
  at BIGINT NOT NULL,
  received_at BIGINT NOT NULL,
  UNIQUE (booth, passage, lookout)
);
CREATE TABLE act (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hit BIGINT NOT NULL REFERENCES hit,
  what TEXT NOT NULL,
  by TEXT NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX act_hit ON act (hit);
CREATE FUNCTION act_stays() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'what was done is never changed or removed'; END $$;
CREATE TRIGGER act_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON act EXECUTE FUNCTION act_stays();
CREATE TABLE state (
  booth BIGINT NOT NULL REFERENCES booth,
  kind TEXT NOT NULL,
  body BYTEA NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (booth, kind)
);
INSERT INTO schema_version VALUES (3);
`

// pgKeys are the parameters a URL may hold. A password is none of them, since
// every user of the machine reads command lines.
var pgKeys = []string{
	"host", "port", "dbname", "user", "passfile", "service", "servicefile", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslsni",
	"sslnegotiation", "connect_timeout", "target_session_attrs", "search_path",
}

// parsePostgres judges postgres://[USER@]HOST[:PORT]/DATABASE?PARAMETERS. A
// password in it is refused: it belongs in the file that $PGPASSFILE names, or
// passfile= in the URL, or in a service file. So is a way over a network
// without checking the server's certificate and name (sslmode=verify-full).
func parsePostgres(url string) (*pgx.ConnConfig, error) {
	options := pgx.ParseConfigOptions{}
	options.ConnStringAllowedKeys = pgKeys
	cfg, err := pgx.ParseConfigWithOptions(url, options)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w (a password goes into the file of $PGPASSFILE)", err)
	}
	ways := append([]*pgconn.FallbackConfig{{Host: cfg.Host, TLSConfig: cfg.TLSConfig}}, cfg.Fallbacks...)
	for _, way := range ways {
		if !local(way.Host) && (way.TLSConfig == nil || way.TLSConfig.InsecureSkipVerify) {
			return nil, fmt.Errorf("database on %s: not on this machine, and nothing checks who answers: add sslmode=verify-full", way.Host)
		}
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = pgConnect
	}
	for name, value := range pgBounds {
		cfg.RuntimeParams[name] = value
	}
	return cfg, nil
}

// local tells a socket's folder or this machine's own address.
func local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// pgDatabase is one connection, opened again after its end. One goroutine has
// the store, and one is enough for it: a pool would stand idle.
type pgDatabase struct {
	cfg   *pgx.ConnConfig
	write bool
	open  *pgx.Conn
}

// openPostgres connects, for writing with the tables made if there are none.
func openPostgres(ctx context.Context, url string, write bool) (*pgDatabase, error) {
	cfg, err := parsePostgres(url)
	if err != nil {
		return nil, err
	}
	if !write {
		cfg.RuntimeParams["default_transaction_read_only"] = "on"
		delete(cfg.RuntimeParams, "statement_timeout") // a report counts millions of rows
	}
	d := &pgDatabase{cfg: cfg, write: write}
	c, err := d.conn(ctx)
	if err == nil {
		err = d.migrate(ctx, c)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening database %s on %s: %w", cfg.Database, cfg.Host, err), d.close())
	}
	return d, nil
}

// conn gives the connection.
func (d *pgDatabase) conn(ctx context.Context) (*pgx.Conn, error) {
	if d.open != nil && !d.open.IsClosed() {
		return d.open, nil
	}
	c, err := pgx.ConnectConfig(ctx, d.cfg)
	if err != nil {
		return nil, err
	}
	if d.write {
		// A receipt is headquarters' word that it is on disk; a server set up for
		// speed commits to memory.
		_, err := c.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')")
		if err != nil {
			_ = c.Close(ctx) // it is of no use
			return nil, fmt.Errorf("asking for durable commits: %w", err)
		}
	}
	d.open = c
	return c, nil
}

// pgSchemaLock waits for another receiver that makes the tables as long as that
// takes. The bounds stand again for what follows: who waits for a lock on a table has
// all others wait behind it.
const pgSchemaLock = `
SET LOCAL lock_timeout = 0;
SET LOCAL statement_timeout = 0;
SELECT pg_advisory_xact_lock(hashtext('boothhq schema'));
SET LOCAL lock_timeout TO DEFAULT;
SET LOCAL statement_timeout TO DEFAULT;
`

// migrate makes the tables, once, however many receivers start at a time.
func (d *pgDatabase) migrate(ctx context.Context, c *pgx.Conn) error {
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if d.write {
			if _, err := tx.Exec(ctx, pgSchemaLock); err != nil {
				return err
			}
		}
		var there bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass('schema_version') IS NOT NULL").Scan(&there); err != nil {
			return err
		}
		switch {
		case !there && !d.write:
			return errors.New("no tables of ours in it: start boothhq receive once")
		case !there:
			_, err := tx.Exec(ctx, pgSchema+pgPresenceSchema+pgGoneSchema+pgHeldSchema+"CREATE INDEX "+thinnedIndex)
			return err
		}
		var version int
		if err := tx.QueryRow(ctx, "SELECT max(version) FROM schema_version").Scan(&version); err != nil {
			return err
		}
		if older := map[int]string{3: pgPresenceSchema + pgGoneSchema + pgHeldSchema, 4: pgGoneSchema + pgHeldSchema, 5: pgHeldSchema}[version]; older != "" && d.write {
			_, err := tx.Exec(ctx, older)
			return err
		}
		if version != schemaVersion {
			return fmt.Errorf("schema %d is not this program's %d: install the version that made it", version, schemaVersion)
		}
		return nil
	})
}

func (d *pgDatabase) query(ctx context.Context, query string, args ...any) (rows, error) {
	c, err := d.conn(ctx)
	if err != nil {
		return nil, err
	}
	return c.Query(ctx, query, args...)
}

func (d *pgDatabase) queryRow(ctx context.Context, query string, args ...any) row {
	c, err := d.conn(ctx)
	if err != nil {
		return failedRow{err}
	}
	return c.QueryRow(ctx, query, args...)
}

// failedRow is the row of a query that could not be asked.
type failedRow struct{ err error }

// Scan says why.
func (r failedRow) Scan(...any) error { return r.err }

func (d *pgDatabase) exec(ctx context.Context, query string, args ...any) error {
	c, err := d.conn(ctx)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, query, args...)
	return err
}

func (d *pgDatabase) outcome() string { return "outcome" }

// pgIslands reads the ranges where they are kept with the events.
const pgIslands = `SELECT e.id, e.held[2 * i - 1], e.held[2 * i] FROM epoch e CROSS JOIN LATERAL generate_series(1, cardinality(e.held) / 2) AS i ORDER BY 1, 2`

func (d *pgDatabase) islands() string { return pgIslands }

func (d *pgDatabase) begin(ctx context.Context, write bool) (transaction, error) {
	c, err := d.conn(ctx)
	if err != nil {
		return nil, err
	}
	options := pgx.TxOptions{}
	if !write {
		options = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	}
	tx, err := c.BeginTx(ctx, options)
	return pgTx{tx}, err
}

func (d *pgDatabase) close() error {
	if d.open == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), pgConnect)
	defer cancel()
	return d.open.Close(ctx)
}

// pgTx is a transaction on it.
type pgTx struct{ tx pgx.Tx }

func (t pgTx) query(ctx context.Context, query string, args ...any) (rows, error) {
	return t.tx.Query(ctx, query, args...)
}

func (t pgTx) queryRow(ctx context.Context, query string, args ...any) row {
	return t.tx.QueryRow(ctx, query, args...)
}

func (t pgTx) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.tx.Exec(ctx, query, args...)
	return err
}

func (t pgTx) outcome() string { return "outcome" }

func (t pgTx) islands() string { return pgIslands }

func (t pgTx) commit(ctx context.Context) error { return t.tx.Commit(ctx) }

// rollback has nobody to tell: what was begun is not there either way.
func (t pgTx) rollback() {
	ctx, cancel := context.WithTimeout(context.Background(), pgConnect)
	defer cancel()
	_ = t.tx.Rollback(ctx)
}
