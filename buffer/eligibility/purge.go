package eligibility

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"boothd/buffer/internal/sqlite"
	"boothd/buffer/room"
)

// Purge takes rows out of the active list of a kind for good, and every
// generation of it before that: what must leave the box is in none of its files
// afterwards. keep is asked for each row and gives what stays of its value,
// nothing for a row that goes; it is called twice for each and must answer the
// same. Purge tells how many rows were taken out or changed.
//
// The list keeps its number, and the digest and sum under which it was
// published, so that headquarters' comparison still holds and deltas can be laid
// on it; the file also has the digest of what is left. It is paced, and look-ups
// go on meanwhile. The old file is overwritten when the last view of it is
// released, and as far as the medium overwrites in place.
//
// A crash before the end leaves the old list whole and in force: Purge again.
func (s *Store) Purge(ctx context.Context, kind string, p Pace, keep func(t Token, value []byte) ([]byte, error)) (purged int, err error) {
	v := s.View()
	defer v.Release() // so that the file stays while it is read
	f := v.find(kind)
	if f == nil {
		return 0, ErrNoList
	}
	a, err := f.audit(ctx, p, keep)
	switch {
	case errors.Is(err, ErrCorrupt): // a damaged list must not be made sound with rows missing
		return 0, &Fault{kind, f.gen.Generation, err}
	case err != nil:
		return 0, fmt.Errorf("purging list %s-%d: %w", kind, f.gen.Generation, err)
	case a.changed == 0:
		return 0, s.forget(ctx, kind, f.gen.Generation)
	}
	spec := Spec{Kind: kind, Generation: f.gen.Generation, Rows: a.rows, Digest: a.digest, Pace: p,
		published: &f.gen, sum: f.sum, gone: a.gone}
	temp := filePath(s.dir, kind, f.gen.Generation) + ".tmp"
	err = errors.Join(s.remove(temp), s.remove(temp+"-journal"))
	if err == nil {
		err = write(ctx, temp, spec, f.kept(ctx, keep))
	}
	if err == nil {
		err = sqlite.SyncFile(temp)
	}
	if err == nil {
		err = s.exchange(ctx, f, temp, true)
	}
	if err != nil {
		return 0, fmt.Errorf("purging list %s-%d: %w", kind, f.gen.Generation, errors.Join(err, s.remove(temp)))
	}
	return a.changed, s.forget(ctx, kind, f.gen.Generation)
}

// kept gives the rows that stay, read from the file itself.
func (f *file) kept(ctx context.Context, keep func(Token, []byte) ([]byte, error)) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for r, err := range f.merged(ctx) {
			var value []byte
			if err == nil {
				value, err = keep(r.Token, r.Value)
			}
			if err != nil {
				yield(Row{}, err)
				return
			}
			if len(value) > 0 && !yield(Row{r.Token, value}, nil) {
				return
			}
		}
	}
}

// own reads every row of the file itself in order, with a connection of its own.
func (f *file) own(ctx context.Context) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if f.err != nil {
			yield(Row{}, f.err)
			return
		}
		conn, err := sqlite.OpenRaw(ctx, f.path(), sqlite.Options{Immutable: true})
		if err != nil {
			yield(Row{}, err)
			return
		}
		defer conn.Close()
		all, err := conn.Prepare(`SELECT token, value FROM row ORDER BY token`)
		if err != nil {
			yield(Row{}, fmt.Errorf("%w: %w", ErrCorrupt, err))
			return
		}
		defer all.Close()
		for r, err := range all.Rows() {
			row, err := f.rowOf(r, errors.Join(err, ctx.Err()))
			if err != nil {
				yield(Row{}, err)
				return
			}
			if row.Token != lastToken && !yield(row, nil) {
				return
			}
		}
	}
}

func (f *file) rowOf(r []driver.Value, err error) (Row, error) {
	if err != nil {
		return Row{}, err
	}
	at, okA := r[0].([]byte)
	sealed, okB := r[1].([]byte)
	if !okA || !okB || len(at) != len(Token{}) {
		return Row{}, fmt.Errorf("%w: a row that does not belong", ErrCorrupt)
	}
	payload, _, err := f.unseal(at, sealed)
	if err == nil && f.base != nil && len(payload) == 0 && Token(at) != lastToken {
		err = fmt.Errorf("%w: a row without its mark", ErrCorrupt)
	}
	return Row{Token(at), payload}, err
}

// exchange puts a whole file in the place of the one that was read, unless
// another generation has become active meanwhile. What was read is overwritten
// where rows had to leave the box.
func (s *Store) exchange(ctx context.Context, f *file, temp string, purge bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if now, ok := s.activeOf(f.gen.Kind); !ok || now != f.gen.Generation {
		return fmt.Errorf("generation %d is active now: %w", now, ErrNotNewer)
	}
	if purge {
		for _, x := range []*file{f, f.base} {
			if x == nil {
				continue
			}
			old, err := os.OpenFile(x.path(), os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			x.mu.Lock()
			x.wipe = old // when it is closed with its last view
			x.mu.Unlock()
		}
	}
	g := *f.known.Load()
	g.Base, g.CheckedAt = 0, time.Now().UTC().Truncate(time.Microsecond) // every row was read, and written anew
	// Opened before it has the name: what is in force is read under that name
	// too, and must not be another file than the one that is open.
	next := openFileAt(ctx, temp, s.dir, g, nil)
	if next.err != nil {
		next.release()
		return errors.Join(next.err, f.spare(), f.base.spare())
	}
	replaced := room.Hold(f.path())
	if err := os.Rename(temp, f.path()); err != nil {
		next.release()
		return errors.Join(err, f.spare(), f.base.spare(), room.Close(replaced))
	}
	syncErr := sqlite.SyncDir(s.dir)
	gens := slices.Clone(s.gens)
	for i := range gens {
		if gens[i].Kind == g.Kind && gens[i].Generation == g.Generation {
			gens[i].Base, gens[i].CheckedAt = 0, g.CheckedAt
		}
	}
	// The file says itself that it is whole; until the index does too, its
	// former base is kept.
	err := s.flip(ctx, gens, nil)
	old := s.gens
	if err == nil {
		s.gens = gens
	}
	s.publish(next)
	s.drop(old)
	if syncErr == nil {
		s.free(replaced)
	} else {
		_ = room.Close(replaced) // a power cut could give it its name back
	}
	return errors.Join(syncErr, err)
}

// spare takes back that a file is to be overwritten; nil has nothing to spare.
func (f *file) spare() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wipe == nil {
		return nil
	}
	err := f.wipe.Close()
	f.wipe = nil
	return err
}

// forget drops every generation of a kind but one, bytes and all.
func (s *Store) forget(ctx context.Context, kind string, generation uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	next := slices.DeleteFunc(slices.Clone(s.gens), func(g Generation) bool { return g.Kind == kind && g.Generation < generation })
	if len(next) == len(s.gens) {
		return nil
	}
	if err := s.flip(ctx, next, nil); err != nil {
		return fmt.Errorf("forgetting lists %s before %d: %w", kind, generation, err)
	}
	old := s.gens
	s.gens = next
	var errs []error
	kept := needed(next)
	for _, n := range needed(old) {
		if n.kind == kind && !slices.Contains(kept, n) {
			errs = append(errs, erase(filePath(s.dir, kind, n.generation)))
		}
	}
	return errors.Join(errs...)
}

// erase overwrites a file and removes it.
func erase(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(overwrite(f), os.Remove(path))
}

// overwrite fills a file with zeros, syncs and closes it.
func overwrite(f *os.File) error {
	info, err := f.Stat()
	if err == nil {
		_, err = io.CopyN(f, zeros{}, info.Size())
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
