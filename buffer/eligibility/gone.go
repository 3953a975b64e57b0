package eligibility

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"boothd/buffer/internal/sqlite"
)

// gone are the rows of a list that Purge took out or changed: a hash of the
// token each was under, and the hash by which it counts in the list's sum. With
// them a delta can be laid on a list of which something has expired, and the sum
// checked as that of any other; without, an urgent denial would wait for the
// whole list. A token is a keyed hash already, and neither of the two gives it
// back. What headquarters removes or replaces leaves this, too, with the next
// fold.
type gone map[[16]byte]Sum

// blind is what a token is known by once its row has been purged.
func blind(t Token) [16]byte {
	h := sha256.Sum256(append([]byte("purged\x00"), t[:]...))
	return [16]byte(h[:16])
}

// purged tells whether rows of the file were taken out or changed since it was
// published.
func (f *file) purged() bool { return f.base == nil && f.digest != f.gen.Digest }

// lost reads what is gone of a list and what no overlay speaks of.
func (f *file) lost(ctx context.Context) (gone, error) {
	if f.base != nil {
		out, err := f.base.lost(ctx)
		if err != nil || len(out) == 0 {
			return nil, err
		}
		for r, err := range f.own(ctx) {
			if err != nil {
				return nil, err
			}
			delete(out, blind(r.Token))
		}
		return out, nil
	}
	if !f.purged() || f.sum == nil { // an older program's purge did not keep it
		return nil, nil
	}
	conn, err := sqlite.OpenRaw(ctx, f.path(), sqlite.Options{Immutable: true})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	all, err := conn.Prepare(`SELECT token, row FROM gone`)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer all.Close()
	out := gone{}
	for row, err := range all.Rows() {
		if err != nil {
			return nil, damaged(err)
		}
		token, okT := row[0].([]byte)
		hash, okH := row[1].([]byte)
		if !okT || !okH || len(token) != 16 || len(hash) != len(Sum{}) {
			return nil, fmt.Errorf("%w: a purged row that does not belong", ErrCorrupt)
		}
		out[[16]byte(token)] = Sum(hash)
	}
	return out, nil
}

// write puts it, in the transaction that is open, beside the rows of a new file.
func (g gone) write(conn *sqlite.RawConn) error {
	if len(g) == 0 {
		return nil
	}
	put, err := conn.Prepare(`INSERT INTO gone (token, row) VALUES (?, ?)`)
	if err != nil {
		return err
	}
	for _, k := range slices.SortedFunc(maps.Keys(g), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }) {
		h := g[k]
		if _, err := put.Exec(k[:], h[:]); err != nil {
			return errors.Join(err, put.Close())
		}
	}
	return put.Close()
}

// account is what a list comes to when it is read whole and only some of it is
// kept.
type account struct {
	rows    uint64 // that stay
	digest  [sha256.Size]byte
	changed int  // rows that go or change
	gone    gone // now, and before
}

// audit reads a list whole, as it is looked up, and checks that it is the one
// that was published: by the digest, or by the sum where rows have gone. Damage
// is ErrCorrupt.
func (f *file) audit(ctx context.Context, p Pace, keep func(Token, []byte) ([]byte, error)) (out account, err error) {
	before, err := f.lost(ctx)
	if err != nil {
		return out, err
	}
	rest, err := newRest(p)
	if err != nil {
		return out, err
	}
	out.gone = maps.Clone(before)
	stays, whole, sum, count := newDigest(), newDigest(), Sum{}, uint64(len(before))
	for _, h := range before {
		sum.move(h, false)
	}
	for r, err := range f.merged(ctx) {
		var value []byte
		if err == nil {
			value, err = keep(r.Token, r.Value)
		}
		if err != nil {
			return out, err
		}
		known := false
		if len(before) > 0 {
			if _, known = before[blind(r.Token)]; !known {
				sum.add(r)
				count++
			}
		}
		whole.add(r)
		if !bytes.Equal(value, r.Value) {
			out.changed++
			if f.sum != nil && !known {
				out.gone = out.gone.with(r)
			}
		}
		if len(value) > 0 {
			stays.add(Row{r.Token, value})
		}
		if err := rest.wrote(ctx, len(r.Token)+len(r.Value)); err != nil {
			return out, err
		}
	}
	out.rows, out.digest = stays.rows, stays.sum()
	return out, f.agrees(len(before) > 0, whole, sum, count)
}

// agrees compares what was read with what was published.
func (f *file) agrees(purged bool, whole *digest, sum Sum, count uint64) error {
	rows, digest := f.rows, f.digest
	if f.base != nil {
		rows, digest = f.gen.Rows, f.gen.Digest
	}
	if purged && (count != f.gen.Rows || sum != *f.sum) || !purged && (whole.rows != rows || whole.sum() != digest) {
		return fmt.Errorf("%w: rows do not give what was published", ErrCorrupt)
	}
	return nil
}

func (g gone) with(r Row) gone {
	if g == nil {
		g = gone{}
	}
	g[blind(r.Token)] = r.hash()
	return g
}
