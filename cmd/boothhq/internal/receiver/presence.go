package receiver

import (
	"context"

	"boothd/agent/contract"
)

// mostCame bounds what is looked at of one booth's connections in one batch; a
// booth connects once a second at most, and one that is thrown out waits longer.
const mostCame = 16

// presenceSchema keeps, beside the highest connection number, the one that came
// last, and when it fell: two boxes under one name come in turn, and each has
// its own count (mqtt contract, sections 1 and 10). And when each journal of a
// booth was heard first.
const presenceSchema = `
CREATE TABLE presence (
  booth INTEGER PRIMARY KEY REFERENCES booth,
  conn INTEGER NOT NULL,                   -- of the word that came last
  boot TEXT NOT NULL,
  said_at INTEGER NOT NULL,                -- by the booth's clock
  falls INTEGER NOT NULL DEFAULT 0,        -- how often the number came lower, of another boot
  fell_at INTEGER NOT NULL DEFAULT 0,      -- the last time, by ours
  fell_before INTEGER NOT NULL DEFAULT 0   -- the time before
) STRICT;
ALTER TABLE epoch ADD COLUMN began_at INTEGER NOT NULL DEFAULT 0;
` + beganOfOld + `;
PRAGMA user_version = 4;
`

const pgPresenceSchema = `
CREATE TABLE presence (
  booth BIGINT PRIMARY KEY REFERENCES booth,
  conn BIGINT NOT NULL,
  boot TEXT NOT NULL,
  said_at BIGINT NOT NULL,
  falls BIGINT NOT NULL DEFAULT 0,
  fell_at BIGINT NOT NULL DEFAULT 0,
  fell_before BIGINT NOT NULL DEFAULT 0
);
ALTER TABLE epoch ADD COLUMN began_at BIGINT NOT NULL DEFAULT 0;
` + beganOfOld + `;
UPDATE schema_version SET version = 4;
`

// beganOfOld takes for a journal's beginning when its first event came in.
const beganOfOld = `UPDATE epoch SET began_at = coalesce((SELECT received_at FROM event v WHERE v.epoch = epoch.id ORDER BY seq LIMIT 1), heard_at)`

// cameQuery takes a word of a booth that is on: booth, conn, boot, its time, ours.
// A word that is delivered again, or late, is no newer by the booth's own clock;
// and a box keeps its count while it is up.
const cameQuery = `INSERT INTO presence (booth, conn, boot, said_at) SELECT id, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS BIGINT) FROM booth WHERE name = $1
	ON CONFLICT (booth) DO UPDATE SET conn = excluded.conn, boot = excluded.boot, said_at = excluded.said_at,
		falls = presence.falls + CASE WHEN excluded.conn < presence.conn AND excluded.boot <> presence.boot THEN 1 ELSE 0 END,
		fell_before = CASE WHEN excluded.conn < presence.conn AND excluded.boot <> presence.boot THEN presence.fell_at ELSE presence.fell_before END,
		fell_at = CASE WHEN excluded.conn < presence.conn AND excluded.boot <> presence.boot THEN CAST($5 AS BIGINT) ELSE presence.fell_at END
	WHERE excluded.said_at > presence.said_at`

// came adds a word to those that are looked at in order. Only a fresh one tells
// who is on now: what a broker had kept may be of a connection long gone.
func came(all []contract.Status, s contract.Status, kept bool) []contract.Status {
	if s.S != contract.Online || kept || len(all) == mostCame {
		return all
	}
	return append(all, s)
}

// readPresence adds how the connection numbers came.
func readPresence(ctx context.Context, db querier, index map[string]int, out []Standing) error {
	rows, err := db.query(ctx, "SELECT b.name, p.conn, p.falls, p.fell_at, p.fell_before FROM presence p JOIN booth b ON b.id = p.booth")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var booth string
		var f Falls
		var at, before int64
		if err := rows.Scan(&booth, &f.Conn, &f.Count, &at, &before); err != nil {
			return err
		}
		f.At, f.Before = moment(at), moment(before)
		out[index[booth]].Falls = f
	}
	return rows.Err()
}
