package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"boothd/buffer/internal/sqlite"
)

const (
	// claimsMost bounds what is kept of ids: at forty bytes each, less than a
	// quarter of a megabyte.
	claimsMost = 4096
	// claimsPast is how long an id is kept beyond its time, against a wall clock
	// that is set back.
	claimsPast = 24 * time.Hour
	// claimMost is the bytes of an id.
	claimMost = 64
)

// ErrClaims says that too many ids are claimed at once.
var ErrClaims = errors.New("too many ids are claimed")

// claims keeps ids that may be used once.
const claims = `
CREATE TABLE claim (
  id      TEXT    PRIMARY KEY,
  at      INTEGER NOT NULL,
  until   INTEGER NOT NULL,
  settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1))
) STRICT, WITHOUT ROWID;
`

// Claim notes durably that an id is used, so that nobody uses it again before
// until. It is false if somebody has. An error leaves it open whether the id
// is claimed: whoever gets one must not go on. Ids whose time is over by a day
// at now are forgotten.
func (j *Journal) Claim(ctx context.Context, id string, now, until time.Time) (bool, error) {
	if id == "" || len(id) > claimMost {
		return false, fmt.Errorf("claiming an id of %d bytes: 1 to %d are possible", len(id), claimMost)
	}
	// Read only once the job is done: after ctx has ended it may still run.
	fresh, full := false, false
	if err := j.do(ctx, func(w *writer) (bool, error) {
		return false, w.atomically(func() error {
			if _, err := w.exec("DELETE FROM claim WHERE until < ?", sqlite.Micros(now.Add(-claimsPast))); err != nil {
				return err
			}
			held, err := w.conn.Int("SELECT count(*) FROM claim")
			if err != nil {
				return err
			}
			known, err := w.conn.Int("SELECT count(*) FROM claim WHERE id = ?", id)
			if full = held >= claimsMost && known == 0; err != nil || full || known > 0 {
				return err
			}
			n, err := w.exec("INSERT INTO claim (id, at, until) VALUES (?, ?, ?)", id, sqlite.Micros(now), sqlite.Micros(until))
			fresh = n == 1
			w.commits++
			return err
		})
	}); err != nil {
		return false, fmt.Errorf("claiming an id: %w", err)
	}
	if full {
		return false, fmt.Errorf("%w: %d", ErrClaims, claimsMost)
	}
	return fresh, nil
}

// Settle notes that the matter of a claimed id is closed. An id that nobody
// claimed is no error.
func (j *Journal) Settle(ctx context.Context, id string) error {
	if err := j.do(ctx, func(w *writer) (bool, error) {
		_, err := w.exec("UPDATE claim SET settled = 1 WHERE id = ?", id)
		w.commits++
		return false, err
	}); err != nil {
		return fmt.Errorf("settling an id: %w", err)
	}
	return nil
}

// Claimed tells whether an id is.
func (j *Journal) Claimed(ctx context.Context, id string) (bool, error) {
	n := 0
	if err := j.source.db.QueryRowContext(ctx, "SELECT count(*) FROM claim WHERE id = ?", id).Scan(&n); err != nil {
		return false, fmt.Errorf("looking for a claimed id: %w", err)
	}
	return n > 0, nil
}

// LastClaim is the id claimed last, by its claimer's clock; "" if there is none.
func (j *Journal) LastClaim(ctx context.Context) (id string, err error) {
	err = j.source.db.QueryRowContext(ctx, "SELECT id FROM claim ORDER BY at DESC, id DESC LIMIT 1").Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for the last claimed id: %w", err)
	}
	return id, nil
}

// Unsettled gives the ids that were claimed and never settled, the oldest first.
func (j *Journal) Unsettled(ctx context.Context) (ids []string, err error) {
	rows, err := j.source.db.QueryContext(ctx, "SELECT id FROM claim WHERE settled = 0 ORDER BY at, id")
	if err != nil {
		return nil, fmt.Errorf("looking for unsettled ids: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("looking for unsettled ids: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
