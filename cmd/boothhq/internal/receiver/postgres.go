package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"boothd/agent/contract"
)

// Postgres keeps events in PostgreSQL, for any number of receivers at a time.
// What one knows of a booth is in the database and nowhere else: the row of its
// epoch is locked from before the first look until the commit, so that marks
// and events tell the same, whoever else writes.
type Postgres struct {
	db *pgDatabase
	// told is how far this receiver has told the refusals of an epoch that are
	// too many for one receipt.
	told map[int64]uint64
}

// OpenPostgres opens or makes the tables in a database. Every commit is on the
// server's disk when it returns, whatever the server's own setting.
func OpenPostgres(ctx context.Context, url string) (*Postgres, error) {
	db, err := openPostgres(ctx, url, true)
	if err != nil {
		return nil, err
	}
	p := &Postgres{db: db, told: make(map[int64]uint64)}
	err = db.index(ctx)
	if err == nil {
		err = p.catchUp(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	return p, nil
}

// Add keeps a batch.
func (p *Postgres) Add(ctx context.Context, ds []Delivery) (map[string]Heard, error) {
	if len(ds) == 0 {
		return nil, nil
	}
	b := sorted(ds)
	err := p.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error { return b.keep(ctx, tx) })
	if e, ok := errors.AsType[*storeError](err); ok && !e.doubt {
		return nil, err
	}
	for _, i := range b.kept { // only what is committed counts
		ds[i].Kept = true
	}
	return b.heard, err
}

// Here tells what is kept. A COMMIT whose connection broke may still be under way
// at the server: it has the rows of its epochs locked, and is waited for.
func (p *Postgres) Here(ctx context.Context, ds []Delivery) (out []Delivery, err error) {
	b := sorted(ds)
	here := make([]bool, len(ds))
	err = p.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := b.lock(ctx, tx); err != nil {
			return err
		}
		return b.same(ctx, tx, slices.Concat(b.good, b.twice), func(i int, same bool) { here[i] = same })
	})
	if err != nil {
		return nil, err
	}
	for i, d := range ds {
		if here[i] {
			out = append(out, d)
		}
	}
	return out, nil
}

// transaction does work in one transaction, within a minute. Who ends ctx breaks
// the work off, and no COMMIT: whether it came would not be known.
func (p *Postgres) transaction(ctx context.Context, work func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, pgWait)
	defer cancel()
	c, err := p.db.conn(ctx)
	if err != nil {
		return pgError(err)
	}
	whole, end := lasting(ctx, pgCommit)
	defer end()
	worked := false
	err = pgx.BeginFunc(whole, c, func(tx pgx.Tx) error {
		err := work(ctx, tx)
		worked = err == nil
		return err
	})
	if err != nil {
		e := pgError(err)
		e.doubt = worked && e.passing
		return e
	}
	return nil
}

// lasting ends a while after ctx.
func lasting(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	whole, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(while):
			cancel()
		case <-whole.Done():
		}
	})
	return whole, func() { stop(); cancel() }
}

// passingCodes are PostgreSQL's classes and codes of errors that pass: a
// connection that fails, a server that starts, stops, is full or has become a
// standby, a lock waited for in vain.
var passingCodes = []string{"08", "53", "57P", "57014", "40", "55P03", "25006", "25P03"}

// pgError tells errors that pass from those that stay. What did not come from
// the server came from the way there.
func pgError(err error) *storeError {
	e := &storeError{err: err, passing: true}
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		e.passing = slices.ContainsFunc(passingCodes, func(code string) bool { return strings.HasPrefix(said.Code, code) })
	}
	return e
}

// Hear keeps what booths said of themselves.
func (p *Postgres) Hear(ctx context.Context, said map[string]Said, at time.Time) error {
	if len(said) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(said)) // in order, or two receivers wait for each other
	var present, words, versions, owners, kinds []string
	var conns, ats []int64
	var bodies [][]byte
	for _, name := range names {
		if s := said[name].Status; s != nil {
			present, words, versions, conns = append(present, name), append(words, s.S), append(versions, s.Version), append(conns, int64(s.Conn))
		}
		for _, kind := range slices.Sorted(maps.Keys(said[name].State)) {
			state := said[name].State[kind]
			owners, kinds, bodies, ats = append(owners, name), append(kinds, kind), append(bodies, state.Body), append(ats, state.At.UnixMicro())
		}
	}
	return p.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO booth (name) SELECT u.name FROM unnest($1::text[]) AS u (name)
			WHERE NOT EXISTS (SELECT 1 FROM booth b WHERE b.name = u.name) ORDER BY u.name COLLATE "C" ON CONFLICT DO NOTHING`, names); err != nil {
			return err
		}
		// An upsert for its order: a plain UPDATE locks its rows in any.
		if _, err := tx.Exec(ctx, `INSERT INTO booth (name, status, conn, version, status_at)
			SELECT u.*, $5 FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS u (name, status, conn, version) ORDER BY u.name COLLATE "C"
			ON CONFLICT (name) DO UPDATE SET status = excluded.status, conn = excluded.conn, version = excluded.version, status_at = excluded.status_at
			WHERE excluded.conn > booth.conn OR excluded.conn = booth.conn AND excluded.status <> 'online' OR booth.status = ''`,
			present, words, conns, versions, at.UnixMicro()); err != nil {
			return err
		}
		var words pgx.Batch
		for _, name := range names {
			for _, s := range said[name].Came {
				words.Queue(cameQuery, name, int64(s.Conn), s.Boot, s.At.UnixMicro(), at.UnixMicro())
			}
		}
		if words.Len() > 0 {
			if err := tx.SendBatch(ctx, &words).Close(); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO state (booth, kind, body, at)
			SELECT b.id, u.kind, u.body, u.at FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[]) AS u (name, kind, body, at)
			JOIN booth b ON b.name = u.name ORDER BY u.name COLLATE "C", u.kind COLLATE "C"
			ON CONFLICT (booth, kind) DO UPDATE SET body = excluded.body, at = excluded.at
			WHERE state.body <> excluded.body AND excluded.at >= state.at`, owners, kinds, bodies, ats)
		return err
	})
}

// Booths names every booth with events.
func (p *Postgres) Booths(ctx context.Context) (names []string, err error) {
	err = p.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT name FROM booth b WHERE EXISTS (SELECT 1 FROM epoch WHERE booth = b.id)")
		if err != nil {
			return err
		}
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return names, err
}

// Receipts says what is committed of each booth's latest epoch.
func (p *Postgres) Receipts(ctx context.Context, booths []string, least time.Duration) (map[string]contract.Receipt, error) {
	out := make(map[string]contract.Receipt, len(booths))
	err := p.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		// Three quarters, or a caller's own pace would often miss by a microsecond.
		rows, err := tx.Query(ctx, `INSERT INTO told (booth, at) SELECT id, clock_timestamp() FROM booth WHERE name = ANY ($1) ORDER BY id
			ON CONFLICT (booth) DO UPDATE SET at = excluded.at WHERE told.at <= excluded.at - $2::interval RETURNING booth`, booths, least*3/4)
		if err != nil {
			return err
		}
		ours, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		return p.readReceipts(ctx, tx, ours, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// readReceipts reads what is committed of booths. The rows of told are locked
// meanwhile: no other receiver tells these booths anything older later.
func (p *Postgres) readReceipts(ctx context.Context, tx pgx.Tx, booths []int64, out map[string]contract.Receipt) error {
	rows, err := tx.Query(ctx, `SELECT b.name, coalesce(e.id, 0), coalesce(e.name, ''), coalesce(e.upto, 0), coalesce(e.held, '{}'), coalesce(e.thinned, 0)
		FROM booth b LEFT JOIN LATERAL (SELECT * FROM epoch WHERE booth = b.id ORDER BY heard_at DESC, id DESC LIMIT 1) e ON true WHERE b.id = ANY ($1)`, booths)
	if err != nil {
		return err
	}
	defer rows.Close()
	byID, thinned := make(map[int64]string), make(map[int64]marks)
	for rows.Next() {
		var booth, name string
		var id, gone int64
		var m marks
		var held []int64
		if err := rows.Scan(&booth, &id, &name, &m.upto, &held, &gone); err != nil {
			return err
		}
		if m.have, err = rangesOf(held); err != nil {
			return err
		}
		out[booth] = contract.Receipt{}
		if name != "" {
			out[booth] = m.receipt(name)
			byID[id] = booth
		}
		if gone > 0 {
			thinned[id] = m
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close() // one connection: the next query needs it
	for id, m := range thinned {
		r := out[byID[id]]
		if r.Want, err = asks(ctx, pgTx{tx}, id, &m); err != nil {
			return err
		}
		out[byID[id]] = r
	}
	return p.readRejects(ctx, tx, byID, out)
}

// readRejects reads refusals of epochs.
func (p *Postgres) readRejects(ctx context.Context, tx pgx.Tx, byID map[int64]string, out map[string]contract.Receipt) error {
	rows, err := tx.Query(ctx, "SELECT e.id, r.seq, r.code, r.msg FROM unnest($1::bigint[]) AS e (id) CROSS JOIN LATERAL ("+fmt.Sprintf(newestRefused, "e.id", "$2")+") r",
		slices.Collect(maps.Keys(byID)), mostRejects+1)
	if err != nil {
		return err
	}
	defer rows.Close()
	newest := make(map[int64][]contract.Reject)
	for rows.Next() {
		var id int64
		var x contract.Reject
		if err := rows.Scan(&id, &x.Seq, &x.Code, &x.Msg); err != nil {
			return err
		}
		newest[id] = append(newest[id], x)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close() // one connection: the next query needs it
	for id, all := range newest {
		slices.SortFunc(all, func(a, b contract.Reject) int { return cmp.Compare(b.Seq, a.Seq) }) // a join keeps no order
		r := out[byID[id]]
		told := p.told[id]
		if r.Reject, told, err = telling(ctx, pgTx{tx}, id, all, told); err != nil {
			return err
		}
		out[byID[id]] = r
		if told > 0 {
			p.told[id] = told
		}
	}
	return nil
}

// rangesOf reads held.
func rangesOf(held []int64) ([][2]uint64, error) {
	if len(held)%2 != 0 {
		return nil, errors.New("an epoch's marks are broken")
	}
	var out [][2]uint64
	for pair := range slices.Chunk(held, 2) {
		out = append(out, [2]uint64{uint64(pair[0]), uint64(pair[1])})
	}
	return out, nil
}
