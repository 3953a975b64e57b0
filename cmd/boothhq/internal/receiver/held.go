package receiver

import "boothd/agent/contract"

// heldSchema keeps the ranges above the marks with the events. A booth forgets, so
// a hole may be for ever, and what is above it grows; to find the ranges there took
// to read all of it. CROSS JOIN keeps the planner from reading the rest, too.
const heldSchema = `
CREATE TABLE held (
  epoch INTEGER NOT NULL REFERENCES epoch,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (epoch, first)
) STRICT, WITHOUT ROWID;
INSERT INTO held SELECT epoch, min(seq), max(seq) FROM (
	SELECT epoch, seq, seq - row_number() OVER (PARTITION BY epoch ORDER BY seq) AS island FROM (
		SELECT v.epoch, v.seq FROM epoch e CROSS JOIN event v ON v.epoch = e.id AND v.seq > e.upto
		UNION SELECT r.epoch, r.seq FROM epoch e CROSS JOIN reject r ON r.epoch = e.id AND r.seq > e.upto))
	GROUP BY epoch, island;
CREATE INDEX ` + thinnedIndex + `;
PRAGMA user_version = 6;
`

// pgHeldSchema has no ranges to keep: they are in the rows of epoch from the first
// version on. The index is made behind it, or at once where there are no events.
const pgHeldSchema = `
UPDATE schema_version SET version = 6;
`

// thinnedIndex finds the tombstones above a mark.
const thinnedIndex = `event_thinned ON event (epoch, seq) WHERE type = '` + string(contract.TypeThinned) + `'`

// hold writes an epoch's ranges above its mark, as far as they have changed.
func (b *batchTx) hold(e *epoch, now *marks) error {
	for _, r := range e.marks.have {
		if i, in := now.find(r[0]); in && now.have[i][0] == r[0] {
			continue
		}
		if _, err := b.tx.ExecContext(b.ctx, "DELETE FROM held WHERE epoch = ? AND first = ?", e.id, int64(r[0])); err != nil {
			return err
		}
	}
	for _, r := range now.have {
		if i, in := e.marks.find(r[0]); in && e.marks.have[i] == r {
			continue
		}
		if _, err := b.tx.ExecContext(b.ctx, "INSERT INTO held (epoch, first, last) VALUES (?1, ?2, ?3) ON CONFLICT (epoch, first) DO UPDATE SET last = ?3",
			e.id, int64(r[0]), int64(r[1])); err != nil {
			return err
		}
	}
	return nil
}
