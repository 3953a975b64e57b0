package eligibility

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"boothd/buffer/internal/sqlite"
)

// Check reads the active generation of a kind whole and compares it with its
// digest: bit rot is found within a day even in rows nobody asks for. Damage
// is a *Fault with ErrCorrupt; it does not discard the list. Reading is paced
// and takes no lock. A list that is sound is marked with the time (CheckedAt).
func (s *Store) Check(ctx context.Context, kind string, p Pace) error {
	v := s.View()
	defer v.Release() // so that the file stays while it is read
	f := v.find(kind)
	if f == nil {
		return ErrNoList
	}
	for _, x := range []*file{f, f.base} {
		if x == nil {
			continue
		}
		if err := x.check(ctx, x.path(), p); err != nil {
			return &Fault{kind, f.gen.Generation, damaged(err)} // damage below is damage of what lies on it
		}
	}
	return s.checked(ctx, f)
}

// checked marks a generation as read whole, if it is active still.
func (s *Store) checked(ctx context.Context, f *file) error {
	return s.mark(ctx, func(g *Generation) bool {
		if g.Kind != f.gen.Kind || g.Generation != f.gen.Generation {
			return false
		}
		g.CheckedAt = time.Now().UTC().Truncate(time.Microsecond)
		return true
	})
}

func (f *file) check(ctx context.Context, path string, p Pace) error {
	if f.err != nil {
		return f.err
	}
	conn, err := sqlite.OpenRaw(ctx, path, sqlite.Options{Immutable: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	all, err := conn.Prepare(`SELECT token, value FROM row ORDER BY token`)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer all.Close()
	rest, err := newRest(p)
	if err != nil {
		return err
	}
	var last Token
	d, ended := newDigest(), false
	for row, err := range all.Rows() {
		if err != nil {
			return err
		}
		at, okA := row[0].([]byte)
		sealed, okB := row[1].([]byte)
		if !okA || !okB || len(at) != len(last) || ended {
			return fmt.Errorf("%w: a row that does not belong", ErrCorrupt)
		}
		payload, gap, err := f.unseal(at, sealed)
		if err != nil {
			return err
		}
		if bytes.Compare(at, last[:]) <= 0 || !bytes.Equal(gap, last[:gapBytes]) {
			return fmt.Errorf("%w: a row is missing", ErrCorrupt)
		}
		last = Token(at)
		if ended = last == lastToken; ended {
			continue
		}
		d.add(Row{last, payload})
		if err := rest.wrote(ctx, len(at)+len(sealed)); err != nil {
			return err
		}
	}
	if !ended || d.rows != f.rows || d.sum() != f.digest {
		return fmt.Errorf("%w: rows do not give the digest", ErrCorrupt)
	}
	return nil
}
