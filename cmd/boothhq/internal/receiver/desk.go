package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"boothd/agent/contract"
	"boothd/agent/passage"
)

// Overdue is how long a hit may be without a result before it is an alarm
// (domain reference, section 6).
const Overdue = 24 * time.Hour

// Result is what became of a lookout hit (domain reference, section 6).
type Result string

// The results of a hit.
const (
	Examined   Result = "examined"
	Released   Result = "released"
	NotLocated Result = "not_located"
)

// What a person did about a hit, beside a Result.
const (
	acknowledged = "acknowledged"
	viewed       = "viewed"
)

// mostName bounds who acts, in bytes.
const mostName = 100

// Hit is one lookout matched in one passage, and what was done about it. The
// subject is in it as a kind alone, never as a token.
type Hit struct {
	Booth         string         `json:"booth"`
	Passage       string         `json:"passage"`
	Lookout       string         `json:"lookout"`
	Version       uint64         `json:"version"`
	Action        passage.Action `json:"action"`
	Subject       string         `json:"subject"`
	ReasonCode    string         `json:"reason_code"`
	Caveat        string         `json:"caveat,omitempty"` // handling rule of the originator: goes wherever the hit goes
	Agency        string         `json:"agency"`
	Region        string         `json:"region"`
	OfficerSafety bool           `json:"officer_safety,omitempty"`
	Possible      bool           `json:"possible,omitempty"` // by a confusable plate alone
	Simulated     bool           `json:"simulated,omitempty"`
	At            time.Time      `json:"at"`          // the booth's clock
	ReceivedAt    time.Time      `json:"received_at"` // ours
	Acknowledged  *Act           `json:"acknowledged,omitempty"`
	Result        *Act           `json:"result,omitempty"` // the latest; earlier ones stay in History
	Overdue       bool           `json:"overdue,omitempty"`
}

// Act is one thing a person did about a hit.
type Act struct {
	What string    `json:"what"` // acknowledged, viewed, or a Result
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

// deskSchema keeps hits and, beside them and never changed, what was done.
const deskSchema = `
CREATE TABLE hit (
  id INTEGER PRIMARY KEY,
  booth INTEGER NOT NULL REFERENCES booth,
  passage TEXT NOT NULL,
  lookout TEXT NOT NULL,
  version INTEGER NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  reason_code TEXT NOT NULL,
  caveat TEXT NOT NULL,
  agency TEXT NOT NULL,
  region TEXT NOT NULL,
  officer_safety INTEGER NOT NULL,
  possible INTEGER NOT NULL,
  simulated INTEGER NOT NULL,
  at INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  UNIQUE (booth, passage, lookout)
) STRICT;
CREATE TABLE act (
  id INTEGER PRIMARY KEY,
  hit INTEGER NOT NULL REFERENCES hit,
  what TEXT NOT NULL,
  by TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX act_hit ON act (hit);
CREATE TRIGGER act_stays BEFORE UPDATE ON act BEGIN SELECT RAISE(ABORT, 'what was done is never changed'); END;
CREATE TRIGGER act_kept BEFORE DELETE ON act BEGIN SELECT RAISE(ABORT, 'what was done is never removed'); END;
PRAGMA user_version = 2;
`

// openHits opens the hits of an alert that was just kept. A later revision of
// the passage adds hits; it makes none of them another's.
func openHits(ctx context.Context, tx querier, booth string, e contract.Event, alert contract.LookoutAlert, receivedAt time.Time) error {
	id, err := boothID(ctx, tx, booth)
	if err != nil {
		return err
	}
	for _, h := range alert.Hits {
		if err := tx.exec(ctx, `INSERT INTO hit (booth, passage, lookout, version, action, subject, reason_code, caveat, agency, region,
				officer_safety, possible, simulated, at, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
			ON CONFLICT (booth, passage, lookout) DO UPDATE SET possible = hit.possible AND excluded.possible,
				version = CASE WHEN excluded.version > hit.version THEN excluded.version ELSE hit.version END`,
			id, alert.Passage, h.ID, int64(h.Version), string(h.Action), h.Subject, h.ReasonCode, h.Caveat, h.Agency, h.Region,
			h.OfficerSafety, h.Possible, e.Simulated, e.Time.UnixMicro(), receivedAt.UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}

// boothID finds or makes a booth.
func boothID(ctx context.Context, tx querier, name string) (id int64, err error) {
	err = tx.queryRow(ctx, "INSERT INTO booth (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id", name).Scan(&id)
	return id, err
}

// hitsOfOld opens the hits of every alert kept before there was a desk.
func hitsOfOld(ctx context.Context, tx querier) error {
	rows, err := tx.query(ctx, `SELECT b.name, e.body, e.received_at FROM event e JOIN epoch p ON p.id = e.epoch JOIN booth b ON b.id = p.booth
		WHERE e.type = $1 ORDER BY e.received_at, e.seq`, string(contract.TypeLookoutAlert))
	if err != nil {
		return err
	}
	type kept struct {
		booth string
		event contract.Event
		alert contract.LookoutAlert
		at    time.Time
	}
	var all []kept
	defer rows.Close()
	for rows.Next() {
		var k kept
		var body []byte
		var at int64
		if err := rows.Scan(&k.booth, &body, &at); err != nil {
			return err
		}
		if k.event, err = contract.Decode(body); err != nil {
			continue // kept as what it is; no hit can be read out of it
		}
		if k.alert, err = contract.As[contract.LookoutAlert](k.event); err != nil {
			continue
		}
		k.at = time.UnixMicro(at)
		all = append(all, k)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close() // one connection: the next statement needs it
	for _, k := range all {
		if err := openHits(ctx, tx, k.booth, k.event, k.alert, k.at); err != nil {
			return err
		}
	}
	return nil
}

// Desk is the watch desk: it sees lookout hits and says what became of them,
// beside a running receiver. Every look is recorded with who looked.
type Desk struct{ db database }

// OpenDesk opens the receiver's database, named as for Open. One goroutine may
// use it.
func OpenDesk(ctx context.Context, db string) (*Desk, error) {
	d, err := opened(ctx, db, true)
	if err != nil {
		return nil, err
	}
	return &Desk{d}, nil
}

// Close closes the database.
func (d *Desk) Close() error { return d.db.close() }

// Which selects hits. The zero value is all of them.
type Which struct {
	Open    bool   // without a result
	Overdue bool   // without a result for longer than Overdue
	Booth   string // of this booth alone
	Passage string // of this passage alone
}

// ErrNoHit is a passage, or a lookout in it, that no alert told of.
var ErrNoHit = errors.New("no such hit")

// Hits gives the chosen hits, the oldest first, as they stand at now, and
// records that by has seen them.
func (d *Desk) Hits(ctx context.Context, which Which, by string, now time.Time) ([]Hit, error) {
	if err := checkName(by); err != nil {
		return nil, err
	}
	tx, err := d.db.begin(ctx, true)
	if err != nil {
		return nil, err
	}
	defer tx.rollback()
	hits, ids, err := readHits(ctx, tx, which, now)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := record(ctx, tx, id, viewed, by, now); err != nil {
			return nil, err
		}
	}
	return hits, tx.commit(ctx)
}

// CountOverdue counts the hits that are an alarm at now, and looks at none.
func (d *Desk) CountOverdue(ctx context.Context, now time.Time) (n int, err error) {
	err = d.db.queryRow(ctx, "SELECT count(*) FROM hit WHERE received_at < $1 AND NOT EXISTS (SELECT 1 FROM act WHERE hit = hit.id AND what IN ($2, $3, $4))",
		now.Add(-Overdue).UnixMicro(), string(Examined), string(Released), string(NotLocated)).Scan(&n)
	return n, err
}

// Acknowledge says that by takes care of a passage's hits; with a lookout, of
// that one alone. It returns how many; ErrNoHit if there is none.
func (d *Desk) Acknowledge(ctx context.Context, passage, lookout, by string, now time.Time) (int, error) {
	return d.act(ctx, passage, lookout, acknowledged, by, now)
}

// Resolve says what became of a passage's hits; with a lookout, of that one
// alone. It may be said again: the latest counts and all are kept. It returns
// how many; ErrNoHit if there is none.
func (d *Desk) Resolve(ctx context.Context, passage, lookout string, r Result, by string, now time.Time) (int, error) {
	if r != Examined && r != Released && r != NotLocated {
		return 0, fmt.Errorf("result is %q, not %s, %s or %s", r, Examined, Released, NotLocated)
	}
	return d.act(ctx, passage, lookout, string(r), by, now)
}

// History tells all that was done about a passage's hits, by lookout, in order.
func (d *Desk) History(ctx context.Context, passage string) (map[string][]Act, error) {
	rows, err := d.db.query(ctx, "SELECT h.lookout, a.what, a.by, a.at FROM act a JOIN hit h ON h.id = a.hit WHERE h.passage = $1 ORDER BY a.id", passage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	done := make(map[string][]Act)
	for rows.Next() {
		var lookout string
		var a Act
		var at int64
		if err := rows.Scan(&lookout, &a.What, &a.By, &at); err != nil {
			return nil, err
		}
		a.At = time.UnixMicro(at).UTC()
		done[lookout] = append(done[lookout], a)
	}
	return done, rows.Err()
}

// Watch logs an error when hits become overdue, as often as their number
// changes and every hour, until ctx ends. It says how many and no more.
func (d *Desk) Watch(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	var said int
	var at time.Time
	for {
		now := time.Now()
		n, err := d.CountOverdue(ctx, now)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Error("cannot count overdue lookout hits", "err", err)
		case n > 0 && (n != said || now.Sub(at) >= time.Hour):
			log.Error("lookout hits without a result for more than 24 h: boothhq alerts list --overdue", "count", n)
			at = now
		}
		if err == nil {
			said = n
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (d *Desk) act(ctx context.Context, passage, lookout, what, by string, now time.Time) (int, error) {
	if err := checkName(by); err != nil {
		return 0, err
	}
	if _, err := uuid.Parse(passage); err != nil {
		return 0, fmt.Errorf("passage %q: %w", passage, err)
	}
	tx, err := d.db.begin(ctx, true)
	if err != nil {
		return 0, err
	}
	defer tx.rollback()
	hits, ids, err := readHits(ctx, tx, Which{Passage: passage}, now)
	if err != nil {
		return 0, err
	}
	n := 0
	for i, h := range hits {
		if lookout != "" && h.Lookout != lookout {
			continue
		}
		if err := record(ctx, tx, ids[i], what, by, now); err != nil {
			return 0, err
		}
		n++
	}
	if n == 0 {
		return 0, fmt.Errorf("passage %s: %w", passage, ErrNoHit)
	}
	return n, tx.commit(ctx)
}

func record(ctx context.Context, tx querier, hit int64, what, by string, at time.Time) error {
	return tx.exec(ctx, "INSERT INTO act (hit, what, by, at) VALUES ($1, $2, $3, $4)", hit, what, by, at.UnixMicro())
}

func checkName(by string) error {
	if by == "" || len(by) > mostName {
		return fmt.Errorf("who acts has to be named, in at most %d bytes", mostName)
	}
	return nil
}

// readHits reads hits with their acts.
func readHits(ctx context.Context, tx querier, which Which, now time.Time) (hits []Hit, ids []int64, err error) {
	const results = "('examined', 'released', 'not_located')"
	rows, err := tx.query(ctx, `SELECT h.id, b.name, h.passage, h.lookout, h.version, h.action, h.subject, h.reason_code, h.caveat, h.agency, h.region,
			h.officer_safety, h.possible, h.simulated, h.at, h.received_at,
			coalesce(k.what, ''), coalesce(k.by, ''), coalesce(k.at, 0), coalesce(r.what, ''), coalesce(r.by, ''), coalesce(r.at, 0)
		FROM hit h JOIN booth b ON b.id = h.booth
		LEFT JOIN act k ON k.id = (SELECT min(id) FROM act WHERE hit = h.id AND what = 'acknowledged')
		LEFT JOIN act r ON r.id = (SELECT max(id) FROM act WHERE hit = h.id AND what IN `+results+`)
		WHERE ($1 = '' OR b.name = $1) AND ($2 = '' OR h.passage = $2) AND (NOT $3 OR r.id IS NULL) AND (NOT $4 OR r.id IS NULL AND h.received_at < $5)
		ORDER BY h.received_at, h.id`, which.Booth, which.Passage, which.Open, which.Overdue, now.Add(-Overdue).UnixMicro())
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h Hit
		var id, version, at, receivedAt, ackAt, resultAt int64
		var action string
		var ack, result Act
		if err := rows.Scan(&id, &h.Booth, &h.Passage, &h.Lookout, &version, &action, &h.Subject, &h.ReasonCode, &h.Caveat, &h.Agency, &h.Region,
			&h.OfficerSafety, &h.Possible, &h.Simulated, &at, &receivedAt, &ack.What, &ack.By, &ackAt, &result.What, &result.By, &resultAt); err != nil {
			return nil, nil, err
		}
		h.Version, h.Action = uint64(version), passage.Action(action)
		h.At, h.ReceivedAt = time.UnixMicro(at).UTC(), time.UnixMicro(receivedAt).UTC()
		if ack.What != "" {
			ack.At, h.Acknowledged = time.UnixMicro(ackAt).UTC(), &ack
		}
		if result.What != "" {
			result.At, h.Result = time.UnixMicro(resultAt).UTC(), &result
		}
		h.Overdue = h.Result == nil && now.Sub(h.ReceivedAt) > Overdue
		hits, ids = append(hits, h), append(ids, id)
	}
	return hits, ids, rows.Err()
}
