package receiver

import (
	"context"
	"fmt"

	"boothd/agent/contract"
)

// newestRefused is where the refusals of an epoch are read: one more than a
// receipt holds, so that it is seen whether these are all.
const newestRefused = "SELECT seq, code, msg FROM reject WHERE epoch = %s ORDER BY seq DESC LIMIT %s"

// telling gives the refusals that one receipt names: all, or of too many the
// highest, half of a receipt, and of the others those that are next in turn after
// told, so that a booth hears of every one. It gives how far it has come.
func telling(ctx context.Context, q querier, epoch int64, newest []contract.Reject, told uint64) ([]contract.Reject, uint64, error) {
	if len(newest) <= mostRejects {
		return newest, 0, nil
	}
	const some = mostRejects / 2
	out := newest[:mostRejects-some]
	below := out[len(out)-1].Seq
	for from, left := told, some; left > 0; from = 0 {
		next, err := refusals(ctx, q, "SELECT seq, code, msg FROM reject WHERE epoch = $1 AND seq > $2 AND seq < $3 ORDER BY seq LIMIT $4",
			epoch, int64(from), int64(below), left)
		if err != nil {
			return nil, told, err
		}
		out, left = append(out, next...), left-len(next)
		if len(next) > 0 {
			told = next[len(next)-1].Seq
		}
		if from == 0 {
			break // they were looked at from the first on
		}
	}
	return out, told, nil
}

func refusals(ctx context.Context, q querier, query string, args ...any) (out []contract.Reject, err error) {
	rows, err := q.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading refusals: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var x contract.Reject
		if err := rows.Scan(&x.Seq, &x.Code, &x.Msg); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, rows.Err()
}
