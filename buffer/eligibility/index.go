package eligibility

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"boothd/buffer/internal/sqlite"
)

const indexSchema = `
CREATE TABLE generation (
	kind         TEXT    NOT NULL,
	generation   INTEGER NOT NULL,
	rows         INTEGER NOT NULL,
	digest       BLOB    NOT NULL,
	activated_us INTEGER NOT NULL,
	verified_us  INTEGER NOT NULL, -- 0: never
	announced    INTEGER NOT NULL,
	PRIMARY KEY (kind, generation)
) WITHOUT ROWID;
CREATE TABLE active (
	kind       TEXT PRIMARY KEY,
	generation INTEGER NOT NULL
) WITHOUT ROWID;`

// indexBase is the second schema: overlays.
const indexBase = `ALTER TABLE generation ADD COLUMN base INTEGER NOT NULL DEFAULT 0`

// indexKey is the third schema: the key of tokens.
const indexKey = `ALTER TABLE generation ADD COLUMN key TEXT NOT NULL DEFAULT ''`

// indexChecked is the fourth schema: when a list was read whole.
const indexChecked = `ALTER TABLE generation ADD COLUMN checked_us INTEGER NOT NULL DEFAULT 0`

// indexCheck: the index is a few pages and is read whole at every start.
const indexCheck = 1 << 20

func indexSteps() []sqlite.Migration {
	return []sqlite.Migration{{SQL: indexSchema}, {SQL: indexBase}, {SQL: indexKey}, {SQL: indexChecked}}
}

func (s *Store) openIndex(ctx context.Context) error {
	path := filepath.Join(s.dir, "index.db")
	opt := sqlite.Options{Migrations: indexSteps(), CheckLimit: indexCheck}
	db, err := sqlite.Open(ctx, path, opt)
	if sqlite.IsCorrupt(err) { // a read that failed looks the same
		db, err = sqlite.Open(ctx, path, opt)
	}
	if sqlite.IsCorrupt(err) {
		s.faults = append(s.faults, &Fault{"index", 0, err})
		if _, err := sqlite.SetAside(path); err != nil {
			return err
		}
		db, err = sqlite.Open(ctx, path, opt)
	}
	s.index = db
	return err
}

func (s *Store) readIndex(ctx context.Context) (gens []Generation, active map[string]uint64, err error) {
	rows, err := s.index.QueryContext(ctx, `SELECT g.kind, g.generation, g.rows, g.digest, g.activated_us, g.verified_us, g.announced, g.base, g.key, g.checked_us,
		a.generation IS g.generation FROM generation g LEFT JOIN active a ON a.kind = g.kind`)
	if err != nil {
		return nil, nil, fmt.Errorf("reading list index: %w", err)
	}
	defer rows.Close()
	active = map[string]uint64{}
	for rows.Next() {
		var g Generation
		var digest []byte
		var activated, verified, checked int64
		var on bool
		if err := rows.Scan(&g.Kind, &g.Generation, &g.Rows, &digest, &activated, &verified, &g.Announced, &g.Base, &g.Key, &checked, &on); err != nil {
			return nil, nil, fmt.Errorf("reading list index: %w", err)
		}
		copy(g.Digest[:], digest)
		g.ActivatedAt, g.VerifiedAt, g.CheckedAt = sqlite.Time(activated), fromMicros(verified), fromMicros(checked)
		gens = append(gens, g)
		if on {
			active[g.Kind] = g.Generation
		}
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("reading list index: %w", err)
	}
	sortGenerations(gens)
	return gens, active, nil
}

// flip writes the kept generations and which files are active, in one
// transaction. Kinds in cleared become inactive unless a file replaces them.
func (s *Store) flip(ctx context.Context, kept []Generation, files []*file, cleared ...string) (err error) {
	tx, err := s.index.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	if _, err := tx.ExecContext(ctx, `DELETE FROM generation`); err != nil {
		return err
	}
	for _, g := range kept {
		if _, err := tx.ExecContext(ctx, `INSERT INTO generation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, g.Kind, int64(g.Generation), int64(g.Rows),
			g.Digest[:], sqlite.Micros(g.ActivatedAt), toMicros(g.VerifiedAt), g.Announced, int64(g.Base), g.Key, toMicros(g.CheckedAt)); err != nil {
			return err
		}
	}
	for _, kind := range cleared {
		if _, err := tx.ExecContext(ctx, `DELETE FROM active WHERE kind = ?`, kind); err != nil {
			return err
		}
	}
	for _, f := range files {
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO active VALUES (?, ?)`, f.gen.Kind, int64(f.gen.Generation)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// saveMarks writes what is newly known of generations that exist.
func (s *Store) saveMarks(ctx context.Context, changed []Generation) (err error) {
	tx, err := s.index.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, g := range changed {
		if _, err := tx.ExecContext(ctx, `UPDATE generation SET verified_us = ?, checked_us = ?, announced = ? WHERE kind = ? AND generation = ?`,
			toMicros(g.VerifiedAt), toMicros(g.CheckedAt), g.Announced, g.Kind, int64(g.Generation)); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return sqlite.Micros(t)
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return sqlite.Time(us)
}

func sortGenerations(gens []Generation) {
	slices.SortFunc(gens, func(a, b Generation) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), cmp.Compare(b.Generation, a.Generation))
	})
}

func sortedKeys(m map[string]uint64) []string { return slices.Sorted(maps.Keys(m)) }
