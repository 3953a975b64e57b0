package receiver

import (
	"context"
	"fmt"
	"slices"

	"boothd/agent/contract"
)

const (
	// goneStep is how many given up numbers the mark passes at once, and goneMost
	// how many are looked at for one receipt.
	goneStep = 256
	goneMost = 4096
	// goneJoin is how many of the highest are looked at to join what they part:
	// as many numbers as one receipt asks for from above.
	goneJoin = piece * mostRanges / 2
)

// goneSchema keeps the numbers that a booth has given up (mqtt contract, section
// 5, limits). A number is in event, in reject or in gone, and in one of them
// alone: one that was on its way when it was given up may come, and leaves gone.
const goneSchema = `
CREATE TABLE gone (
  epoch INTEGER NOT NULL REFERENCES epoch,
  seq INTEGER NOT NULL,
  PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;
ALTER TABLE epoch ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0; -- rows in gone
PRAGMA user_version = 5;
`

const pgGoneSchema = `
CREATE TABLE gone (
  epoch BIGINT NOT NULL REFERENCES epoch,
  seq BIGINT NOT NULL,
  PRIMARY KEY (epoch, seq)
);
ALTER TABLE epoch ADD COLUMN thinned BIGINT NOT NULL DEFAULT 0;
UPDATE schema_version SET version = 5;
`

// explain does with marks what the numbers that are given up allow.
func explain(ctx context.Context, q querier, epoch int64, m *marks) error {
	if err := pass(ctx, q, epoch, m); err != nil {
		return err
	}
	return joined(ctx, q, epoch, m)
}

// pass lets a mark pass the numbers behind it that are given up, and what is here
// behind those. It stops at the first that is neither.
func pass(ctx context.Context, q querier, epoch int64, m *marks) error {
	for {
		gone, err := numbers(ctx, q, "SELECT seq FROM gone WHERE epoch = $1 AND seq > $2 ORDER BY seq LIMIT $3", epoch, int64(m.upto), goneStep)
		if err != nil {
			return err
		}
		for _, seq := range gone {
			if seq > m.upto+1 {
				return nil
			}
			m.add(seq) // or it lies within what was joined
		}
		if len(gone) < goneStep {
			return nil
		}
	}
}

// joined makes few ranges of many that are parted by nothing but numbers that are
// given up.
func joined(ctx context.Context, q querier, epoch int64, m *marks) error {
	if len(m.have) <= mostRanges {
		return nil
	}
	gone, err := numbers(ctx, q, "SELECT seq FROM gone WHERE epoch = $1 AND seq > $2 ORDER BY seq DESC LIMIT $3", epoch, int64(m.upto), goneJoin)
	slices.Reverse(gone)
	m.join(gone)
	return err
}

// asks is what a receipt asks for where something is given up: as marks.asked.
func asks(ctx context.Context, q querier, epoch int64, m *marks) ([][2]uint64, error) {
	if len(m.have) <= mostRanges {
		return wanted(ctx, q, epoch, m, mostRanges)
	}
	lowest, err := wanted(ctx, q, epoch, m, mostRanges/2)
	return append(lowest, m.highest(mostRanges/2)...), err
}

// wanted are the holes that nothing explains, the lowest first, at most n.
func wanted(ctx context.Context, q querier, epoch int64, m *marks, n int) ([][2]uint64, error) {
	holes := m.holes(n)
	if len(holes) == 0 {
		return nil, nil
	}
	gone, err := numbers(ctx, q, "SELECT seq FROM gone WHERE epoch = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq LIMIT $4",
		epoch, int64(holes[0][0]), int64(holes[len(holes)-1][1]), goneMost)
	if err != nil {
		return nil, err
	}
	return without(holes, gone, n, len(gone) < goneMost), nil
}

// without leaves numbers, in order, out of ranges. If they are not all there are,
// nothing is said of what is above them.
func without(holes [][2]uint64, gone []uint64, n int, all bool) (out [][2]uint64) {
	for _, h := range holes {
		i, _ := slices.BinarySearch(gone, h[0])
		next := h[0]
		for ; i < len(gone) && gone[i] <= h[1]; i++ {
			if gone[i] > next {
				out = append(out, [2]uint64{next, gone[i] - 1})
			}
			next = gone[i] + 1
		}
		if i == len(gone) && !all {
			break
		}
		if next <= h[1] {
			out = append(out, [2]uint64{next, h[1]})
		}
	}
	return out[:min(len(out), n)]
}

// numbers asks for numbers.
func numbers(ctx context.Context, q querier, query string, args ...any) (out []uint64, err error) {
	rows, err := q.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var seq uint64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		out = append(out, seq)
	}
	return out, rows.Err()
}

// untoldQuery names the type in words, or the index of these would be of no use.
const untoldQuery = `SELECT v.epoch, v.body FROM epoch e CROSS JOIN event v WHERE v.epoch = e.id AND v.seq > e.upto AND v.type = '` + string(contract.TypeThinned) + "'"

// untold finds tombstones above their epoch's mark, which a receiver may have
// kept that knew nothing of them. Below it they have nothing more to explain.
func untold(ctx context.Context, q querier) (map[int64][][2]uint64, error) {
	rows, err := q.query(ctx, untoldQuery)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make(map[int64][][2]uint64)
	for rows.Next() {
		var epoch int64
		var body []byte
		if err := rows.Scan(&epoch, &body); err != nil {
			return nil, err
		}
		e, err := contract.Decode(body)
		if err != nil {
			continue // kept as what it is
		}
		if gone, err := goneBy(e); err == nil {
			out[epoch] = append(out[epoch], gone...)
		}
	}
	return out, rows.Err()
}

// goneBy are the numbers that a tombstone gives up. It tells of events before it.
func goneBy(e contract.Event) ([][2]uint64, error) {
	t, err := contract.As[contract.Thinned](e)
	if err != nil {
		return nil, err
	}
	if t.To >= e.Seq {
		return nil, fmt.Errorf("thinned: event %d gives up %d to %d", e.Seq, t.From, t.To)
	}
	return t.Numbers()
}

// readGone counts the numbers in holes that are given up: they are not missing.
// Those that join ranges are in no hole.
func readGone(ctx context.Context, q querier, index map[int64]*storedEpoch) error {
	rows, err := q.query(ctx, `SELECT g.epoch, g.seq FROM epoch e CROSS JOIN gone g WHERE e.thinned > 0 AND g.epoch = e.id AND g.seq > e.upto`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var epoch int64
		var seq uint64
		if err := rows.Scan(&epoch, &seq); err != nil {
			return err
		}
		e := index[epoch]
		if e == nil {
			continue
		}
		if _, in := e.marks.find(seq); !in {
			e.explained++
		}
	}
	return rows.Err()
}
