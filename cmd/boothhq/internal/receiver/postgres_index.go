package receiver

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// indexLook is between two looks at whether another receiver has made the index.
const indexLook = time.Second

// index makes the index of tombstones where there is none, or one that was cut off.
// That reads all events, for minutes where there are many: CONCURRENTLY, for
// receivers of the version before keep events meanwhile, so behind the step that
// raises the schema and in no transaction. It waits for transactions that began
// before, as long as they take, and so has a connection of its own without bounds.
func (d *pgDatabase) index(ctx context.Context) error {
	c, err := d.conn(ctx)
	if err != nil {
		return err
	}
	if is, err := indexed(ctx, c); err != nil || is {
		return err
	}
	cfg := d.cfg.Copy()
	cfg.RuntimeParams["lock_timeout"], cfg.RuntimeParams["statement_timeout"] = "0", "0"
	if c, err = pgx.ConnectConfig(ctx, cfg); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pgConnect)
		defer cancel()
		_ = c.Close(ctx) // what it made is there either way
	}()
	if err := claim(ctx, c); err != nil {
		return err
	}
	if is, err := indexed(ctx, c); err != nil || is {
		return err
	}
	for _, q := range []string{"DROP INDEX CONCURRENTLY IF EXISTS event_thinned", "CREATE INDEX CONCURRENTLY " + thinnedIndex} {
		if _, err := c.Exec(ctx, q); err != nil {
			return fmt.Errorf("making the index of tombstones: %w", err)
		}
	}
	return nil
}

// claim waits until no other receiver makes the index. It asks again and again: a
// statement that waits for the lock would be one that the index waits for. The server
// keeps the lock for as long as it makes the index, whatever becomes of the receiver:
// an index that is not whole under it was cut off.
func claim(ctx context.Context, c *pgx.Conn) error {
	for {
		var ours bool
		if err := c.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtext('boothhq index'))").Scan(&ours); err != nil || ours {
			return err
		}
		select {
		case <-time.After(indexLook):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// indexed tells whether the index is whole.
func indexed(ctx context.Context, c *pgx.Conn) (is bool, err error) {
	err = c.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('event_thinned') AND indisvalid)").Scan(&is)
	return is, err
}
