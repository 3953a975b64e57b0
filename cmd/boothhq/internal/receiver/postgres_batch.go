package receiver

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"boothd/agent/contract"
)

// pgBatch is one batch on its way into PostgreSQL.
type pgBatch struct {
	ds     []Delivery
	js     []judged
	epochs map[epochKey]*locked
	good   []int // deliveries to keep, each number once
	twice  []int // those whose number another of the batch has
	bad    []int // those to refuse, with a number
	heard  map[string]Heard
	kept   []int
	// refused are the numbers that are kept as such for the first time.
	refused []place
}

// locked is the row of one epoch, ours until the commit.
type locked struct {
	id               int64
	marks            marks
	thinned          int64 // numbers that are given up
	again, conflicts int64
	newsAt           int64 // when something came that was not here before; 0: nothing did
}

// place is where an event is kept.
type place struct {
	epoch int64
	seq   uint64
}

// sorted judges deliveries and parts them. It touches nothing but its result.
func sorted(ds []Delivery) *pgBatch {
	b := &pgBatch{ds: ds, js: make([]judged, len(ds)), epochs: make(map[epochKey]*locked), heard: make(map[string]Heard)}
	type number struct {
		epochKey
		seq uint64
	}
	taken := make(map[number]bool)
	for i, d := range ds {
		j := judge(d)
		b.js[i] = j
		if j.booth == "" {
			continue // outside the subscription: not ours
		}
		h := b.heard[j.booth]
		key := epochKey{j.booth, j.epoch}
		switch n := (number{key, j.seq}); {
		case j.epoch == "" || j.seq == 0:
			h.Refused++
			b.heard[j.booth] = h
			continue
		case j.code != "":
			h.Refused++
			b.bad = append(b.bad, i)
		case taken[n]:
			b.twice = append(b.twice, i)
		default:
			taken[n] = true
			b.good = append(b.good, i)
		}
		b.heard[j.booth] = h
		b.epochs[key] = nil
	}
	return b
}

// keep does a batch's work in a transaction.
func (b *pgBatch) keep(ctx context.Context, tx pgx.Tx) error {
	for _, step := range []func(context.Context, pgx.Tx) error{b.lock, b.insert, b.compare, b.open, b.refuse, b.thin, b.mark} {
		if err := step(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

func (b *pgBatch) epochOf(i int) *locked { return b.epochs[epochKey{b.js[i].booth, b.js[i].epoch}] }

// lock makes the rows of epochs that are new and locks all, both in order of
// their names: two receivers never wait for each other.
func (b *pgBatch) lock(ctx context.Context, tx pgx.Tx) error {
	keys := slices.SortedFunc(maps.Keys(b.epochs), func(x, y epochKey) int {
		return cmp.Or(strings.Compare(x.booth, y.booth), strings.Compare(x.name, y.name))
	})
	var booths, names []string
	for _, k := range keys {
		booths, names = append(booths, k.booth), append(names, k.name)
	}
	const these = "unnest($1::text[], $2::text[]) AS u (booth, name)"
	var fresh bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM "+these+` WHERE NOT EXISTS
			(SELECT 1 FROM booth b JOIN epoch e ON e.booth = b.id WHERE b.name = u.booth AND e.name = u.name))`, booths, names).Scan(&fresh); err != nil {
		return err
	}
	if fresh {
		if _, err := tx.Exec(ctx, `INSERT INTO booth (name) SELECT name FROM (SELECT DISTINCT unnest($1::text[]) AS name) u
			ORDER BY name COLLATE "C" ON CONFLICT DO NOTHING`, booths); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO epoch (booth, name) SELECT b.id, u.name FROM "+these+
			` JOIN booth b ON b.name = u.booth ORDER BY u.booth COLLATE "C", u.name COLLATE "C" ON CONFLICT DO NOTHING`, booths, names); err != nil {
			return err
		}
	}
	rows, err := tx.Query(ctx, "SELECT b.name, e.name, e.id, e.upto, e.held, e.thinned FROM "+these+` JOIN booth b ON b.name = u.booth
		JOIN epoch e ON e.booth = b.id AND e.name = u.name ORDER BY b.name COLLATE "C", e.name COLLATE "C" FOR UPDATE OF e`, booths, names)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var key epochKey
		var e locked
		var held []int64
		if err := rows.Scan(&key.booth, &key.name, &e.id, &e.marks.upto, &held, &e.thinned); err != nil {
			return err
		}
		if e.marks.have, err = rangesOf(held); err != nil {
			return err
		}
		b.epochs[key] = &e
	}
	return rows.Err()
}

// insert keeps what is new among the good.
func (b *pgBatch) insert(ctx context.Context, tx pgx.Tx) error {
	at := make(map[place]int)
	var epochs, seqs, ats, received []int64
	var ids, types, classes, outcomes []string
	var live, simulated []bool
	var bodies [][]byte
	for _, i := range b.room(b.good) {
		j, d, e := b.js[i], b.ds[i], b.epochOf(i)
		at[place{e.id, j.seq}] = i
		epochs, seqs, ats, received = append(epochs, e.id), append(seqs, int64(j.seq)), append(ats, j.event.Time.UnixMicro()), append(received, d.At.UnixMicro())
		ids, types, classes, outcomes = append(ids, j.event.ID), append(types, string(j.event.Type)), append(classes, string(j.class)), append(outcomes, outcomeOf(j.event))
		live, simulated, bodies = append(live, j.event.Live), append(simulated, j.event.Simulated), append(bodies, d.Body)
	}
	if len(at) == 0 {
		return nil
	}
	fresh, err := places(ctx, tx, `INSERT INTO event (epoch, seq, id, type, class, at, received_at, live, simulated, outcome, body)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bool[], $9::bool[], $10::text[], $11::bytea[])
		ON CONFLICT (epoch, seq) DO NOTHING RETURNING epoch, seq`, epochs, seqs, ids, types, classes, ats, received, live, simulated, outcomes, bodies)
	if err != nil {
		return err
	}
	for _, p := range fresh {
		i := at[p]
		b.kept = append(b.kept, i)
		b.epochOf(i).marks.add(p.seq)
		delete(at, p)
	}
	slices.Sort(b.kept)
	for _, i := range at { // their numbers were taken before
		b.twice = append(b.twice, i)
	}
	for _, i := range b.kept {
		h := b.heard[b.js[i].booth]
		h.Stored++
		b.heard[b.js[i].booth] = h
		b.news(b.epochOf(i))
	}
	// They may have been refused before and been mended since.
	_, err = tx.Exec(ctx, "DELETE FROM reject r USING unnest($1::bigint[], $2::bigint[]) AS u (epoch, seq) WHERE r.epoch = u.epoch AND r.seq = u.seq", epochs, seqs)
	return err
}

// room leaves out what would break the marks into too many ranges. It is in no
// receipt, so it comes again.
func (b *pgBatch) room(is []int) []int {
	trial := make(map[*locked]*marks)
	var fits []int
	for _, i := range is {
		e := b.epochOf(i)
		m := trial[e]
		if m == nil {
			c := e.marks.clone()
			m = &c
			trial[e] = m
		}
		if m.full(b.js[i]) {
			h := b.heard[b.js[i].booth]
			h.Later++
			b.heard[b.js[i].booth] = h
			b.news(e)
			continue
		}
		m.add(b.js[i].seq)
		fits = append(fits, i)
	}
	return fits
}

// outcomeOf is what a report counts of a passage that has ended.
func outcomeOf(e contract.Event) string {
	if e.Type != contract.TypeCrossingEnded {
		return ""
	}
	var d struct {
		Outcome string `json:"outcome"`
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return "" // kept as what it is
	}
	return d.Outcome
}

// places asks for pairs of epoch and number.
func places(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]place, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (p place, err error) {
		err = r.Scan(&p.epoch, &p.seq)
		return p, err
	})
}

// compare counts numbers that are taken: the same event once more, which is
// harmless, or another one, which is not.
func (b *pgBatch) compare(ctx context.Context, tx pgx.Tx) error {
	return b.same(ctx, tx, b.twice, func(i int, same bool) {
		e, h := b.epochOf(i), b.heard[b.js[i].booth]
		if same {
			h.Again++
			e.again++
		} else {
			h.Conflicts++
			e.conflicts++
		}
		b.heard[b.js[i].booth] = h
	})
}

// same tells, in no order, which deliveries are here byte for byte, and of which
// another one has the number. It asks once for all, for the rows of the epochs are
// locked meanwhile, and the database may be far.
func (b *pgBatch) same(ctx context.Context, tx pgx.Tx, is []int, tell func(i int, same bool)) error {
	if len(is) == 0 {
		return nil
	}
	var epochs, seqs []int64
	var bodies [][]byte
	for _, i := range is {
		epochs, seqs, bodies = append(epochs, b.epochOf(i).id), append(seqs, int64(b.js[i].seq)), append(bodies, b.ds[i].Body)
	}
	rows, err := tx.Query(ctx, `SELECT u.n, e.body = u.body FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS u (epoch, seq, body, n)
		JOIN event e ON e.epoch = u.epoch AND e.seq = u.seq`, epochs, seqs, bodies)
	if err != nil {
		return err
	}
	var n int
	var same bool
	_, err = pgx.ForEachRow(rows, []any{&n, &same}, func() error {
		tell(is[n-1], same)
		return nil
	})
	return err
}

// open opens the hits of alerts that were just kept.
func (b *pgBatch) open(ctx context.Context, tx pgx.Tx) error {
	for _, i := range b.kept {
		if j := b.js[i]; j.alert != nil {
			if err := openHits(ctx, pgTx{tx}, j.booth, j.event, *j.alert, b.ds[i].At); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuse keeps what is refused, so that its number is accounted for. Nothing
// that was kept as good is ever refused later.
func (b *pgBatch) refuse(ctx context.Context, tx pgx.Tx) error {
	var epochs, seqs, received []int64
	var codes, msgs []string
	var bodies [][]byte
	byID := make(map[int64]*locked)
	for _, i := range b.room(b.bad) {
		j, d, e := b.js[i], b.ds[i], b.epochOf(i)
		byID[e.id] = e
		epochs, seqs, received = append(epochs, e.id), append(seqs, int64(j.seq)), append(received, d.At.UnixMicro())
		codes, msgs, bodies = append(codes, j.code), append(msgs, j.msg), append(bodies, d.Body[:min(len(d.Body), mostKept)])
	}
	if len(epochs) == 0 {
		return nil
	}
	refused, err := places(ctx, tx, `INSERT INTO reject (epoch, seq, code, msg, received_at, body)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bytea[]) AS u (epoch, seq, code, msg, at, body)
		WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.epoch = u.epoch AND e.seq = u.seq)
		ON CONFLICT (epoch, seq) DO NOTHING RETURNING epoch, seq`, epochs, seqs, codes, msgs, received, bodies)
	for _, p := range refused {
		byID[p.epoch].marks.add(p.seq)
		b.news(byID[p.epoch])
	}
	b.refused = refused
	return err
}

// news notes that something of an epoch was not here before. What comes again is
// none, but for turnQuery: it may be of a journal that the booth has no more, and the
// booth takes receipts for its own alone.
func (b *pgBatch) news(e *locked) { e.newsAt = b.at() }

// at is when the batch came.
func (b *pgBatch) at() int64 { return b.ds[len(b.ds)-1].At.UnixMicro() }

// turnQuery takes what comes again for news where it is of a later journal than the
// one that brought something new last: that was the end of the former one, and the
// booth waits for a receipt of its own. Another receiver's clock may be ahead of ours.
const turnQuery = `UPDATE epoch e SET heard_at = greatest(last.heard_at, $2)
	FROM (SELECT o.id, o.heard_at FROM epoch o WHERE o.booth = (SELECT booth FROM epoch WHERE id = $1) ORDER BY o.heard_at DESC, o.id DESC LIMIT 1) last
	WHERE e.id = $1 AND e.id > last.id`

// mark writes the rows that are locked.
func (b *pgBatch) mark(ctx context.Context, tx pgx.Tx) error {
	var all pgx.Batch
	var old []*locked // nothing new came of them
	for _, e := range b.epochs {
		if e == nil {
			return fmt.Errorf("an epoch has no row")
		}
		if err := e.settle(ctx, tx); err != nil {
			return err
		}
		all.Queue("UPDATE epoch SET upto = $2, held = $3, thinned = $4, again = again + $5, conflicts = conflicts + $6, heard_at = greatest(heard_at, $7), began_at = CASE began_at WHEN 0 THEN $7 ELSE began_at END WHERE id = $1",
			e.id, int64(e.marks.upto), e.marks.held(), e.thinned, e.again, e.conflicts, e.newsAt)
		if e.newsAt == 0 {
			old = append(old, e)
		}
	}
	slices.SortFunc(old, func(x, y *locked) int { return cmp.Compare(y.id, x.id) }) // of two that are later the latest turns
	for _, e := range old {
		all.Queue(turnQuery, e.id, b.at())
	}
	return tx.SendBatch(ctx, &all).Close()
}

// held are the ranges above the mark as they are stored.
func (m *marks) held() []int64 {
	out := make([]int64, 0, 2*len(m.have))
	for _, r := range m.have {
		out = append(out, int64(r[0]), int64(r[1]))
	}
	return out
}
