package eligibility

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"
	"time"

	"boothd/buffer/internal/sqlite"
)

// A generation may be an overlay: a file of what differs from a whole one
// below it, its base. The value of each of its rows begins with one byte: what
// is there, or that nothing is. An overlay lies on a whole file always, so that
// a look-up asks two files at most; a delta on an overlay makes a larger overlay
// on the same base. Fold makes a whole file of both in a quiet hour.
const (
	there   = 1
	removed = 0
	// MaxOverlay is the most rows an overlay has; beyond it the list is to be
	// taken whole.
	MaxOverlay = 500_000
)

var (
	// ErrWhole says that a delta cannot be laid on what is active: its sum is
	// not known, because an older program built or purged it, or the overlay
	// would grow too large. The list is to be taken whole.
	ErrWhole = errors.New("the list has to be taken whole")
)

// Op is what a change does.
type Op byte

// The operations: adding what is not there, replacing and removing what is.
const (
	Add     Op = 'A'
	Replace Op = 'R'
	Remove  Op = 'D'
)

// Change is one change of a list. Value is empty for Remove.
type Change struct {
	Op    Op
	Token Token
	Value []byte
}

// Sum is the sum of a list's rows: the SHA-256 of each (as in the digest of
// Spec), as numbers, modulo 2^256. It is carried on by what changes.
type Sum [sha256.Size]byte

func (s *Sum) add(r Row) { s.move(r.hash(), false) }
func (s *Sum) sub(r Row) { s.move(r.hash(), true) }

// hash is that by which a row counts in a sum.
func (r Row) hash() Sum {
	var room [128]byte // most values are a few dozen bytes
	b := binary.AppendUvarint(append(room[:0], r.Token[:]...), uint64(len(r.Value)))
	return sha256.Sum256(append(b, r.Value...))
}

func (s *Sum) move(h Sum, out bool) {
	carry, flip := uint64(0), uint64(0)
	if out { // two's complement
		carry, flip = 1, math.MaxUint64
	}
	for i := len(s) - 8; i >= 0; i -= 8 {
		var n uint64
		n, carry = bits.Add64(binary.BigEndian.Uint64(s[i:]), binary.BigEndian.Uint64(h[i:])^flip, carry)
		binary.BigEndian.PutUint64(s[i:], n)
	}
}

// DeltaSpec says what a delta must make of a list.
type DeltaSpec struct {
	Kind       string
	Base       uint64 // the generation that is changed: the active one
	Generation uint64 // the one that results
	Rows       uint64 // of the one that results
	Digest     [sha256.Size]byte
	Sum        Sum
	Key        string // see Spec
	VerifiedAt time.Time
	Pace       Pace
}

// Apply builds a generation out of the active one and what changes, in time and
// bytes of the changes alone. Changes come in ascending order of token, none
// twice. ErrMismatch says that they do not fit what is active, or do not give
// what spec says; ErrWhole that no delta can be laid on it. Rows and sum are
// checked here, the digest when it is folded. On any error nothing is left
// behind and nothing has changed.
func (s *Store) Apply(ctx context.Context, spec DeltaSpec, changes iter.Seq2[Change, error]) (*Built, error) {
	no := func(err error) (*Built, error) {
		return nil, fmt.Errorf("changing list %q-%d to %d: %w", spec.Kind, spec.Base, spec.Generation, err)
	}
	if !kindOK(spec.Kind) || spec.Generation <= spec.Base || spec.Generation > MaxGeneration {
		return no(errors.New("kind or generation out of range"))
	}
	v := s.View()
	defer v.Release()
	f := v.find(spec.Kind)
	switch {
	case f == nil:
		return no(ErrNoList)
	case f.gen.Generation != spec.Base:
		return no(fmt.Errorf("%w: %d is active", ErrMismatch, f.gen.Generation))
	case f.gen.Key != spec.Key:
		return no(fmt.Errorf("%w: tokens under key %q, those of the list are under %q", ErrMismatch, spec.Key, f.gen.Key))
	case f.sum == nil:
		return no(ErrWhole)
	}
	built, err := s.lay(ctx, f, spec, changes)
	if err != nil {
		return no(err)
	}
	return built, nil
}

// lay builds the overlay that makes of f what spec says. Its file is written and
// synced while the rows that change are read, and gets its name only if they fit.
func (s *Store) lay(ctx context.Context, f *file, spec DeltaSpec, changes iter.Seq2[Change, error]) (*Built, error) {
	old, err := f.overlay(ctx)
	if err != nil {
		return nil, err
	}
	lost, err := f.lost(ctx)
	if err != nil {
		return nil, err
	}
	c, done := f.compare(ctx, lost)
	defer done()
	fresh, err := laid(ctx, changes, MaxOverlay-len(old), c.parts)
	if err != nil {
		return nil, err
	}
	base := f
	if f.base != nil {
		base = f.base
	}
	rows := merge(old, fresh)
	digest, n := digestOf(rows)
	out := Spec{Kind: spec.Kind, Generation: spec.Generation, Rows: n, Digest: digest, Key: spec.Key, VerifiedAt: spec.VerifiedAt, Pace: spec.Pace,
		published: &Generation{Rows: spec.Rows, Digest: spec.Digest}, base: base, sum: &spec.Sum}
	temp, wrong := s.prepare(ctx, out, rows)
	by, err := c.all(ctx)
	if err == nil {
		err = f.makes(spec, by)
	}
	if err = cmp.Or(err, wrong); err != nil {
		return nil, errors.Join(err, s.remove(temp))
	}
	built, err := s.finish(out, temp)
	if err != nil {
		return nil, err
	}
	built.gen.Rows, built.gen.Digest, built.gen.Base = spec.Rows, spec.Digest, base.gen.Generation
	return built, nil
}

// overlay gives the rows of f's own, if it is one.
func (f *file) overlay(ctx context.Context) (rows []Row, err error) {
	if f.base == nil {
		return nil, nil
	}
	for r, err := range f.own(ctx) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, Row{r.Token, bytes.Clone(r.Value)})
	}
	return rows, nil
}

// makes tells whether changes give what spec says.
func (f *file) makes(spec DeltaSpec, by shift) error {
	sum, count := *f.sum, f.gen.Rows+by.rows
	if sum.move(by.sum, false); count != spec.Rows || sum != spec.Sum {
		return fmt.Errorf("%w: %d rows with sum %x, want %d with %x", ErrMismatch, count, sum[:4], spec.Rows, spec.Sum[:4])
	}
	return nil
}

// merge joins sorted rows; of the same token the newer counts.
func merge(old []Row, fresh []part) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		old := old // it is asked for twice
		for _, p := range fresh {
			for _, r := range p.rows {
				for len(old) > 0 && bytes.Compare(old[0].Token[:], r.Token[:]) < 0 {
					if !yield(old[0], nil) {
						return
					}
					old = old[1:]
				}
				if len(old) > 0 && old[0].Token == r.Token {
					old = old[1:]
				}
				if !yield(r, nil) {
					return
				}
			}
		}
		for _, r := range old {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// digestOf is the digest of rows that are sorted, and how many they are.
func digestOf(rows iter.Seq2[Row, error]) ([sha256.Size]byte, uint64) {
	d := newDigest()
	for r := range rows {
		d.add(r)
	}
	return d.sum(), d.rows
}

// merged gives every row of the list as it is looked up: the file's own, or
// those of the base as the overlay has changed them.
func (f *file) merged(ctx context.Context) iter.Seq2[Row, error] {
	if f.base == nil {
		return f.own(ctx)
	}
	return func(yield func(Row, error) bool) {
		next, stop := iter.Pull2(f.own(ctx))
		defer stop()
		over, err, more := next()
		for r, baseErr := range f.base.own(ctx) {
			for err == nil && more && bytes.Compare(over.Token[:], r.Token[:]) < 0 {
				if over.Value[0] == there && !yield(Row{over.Token, over.Value[1:]}, nil) {
					return
				}
				over, err, more = next()
			}
			if err = errors.Join(err, baseErr); err != nil {
				yield(Row{}, err)
				return
			}
			if more && over.Token == r.Token {
				r.Value = nil
				if over.Value[0] == there {
					r.Value = over.Value[1:]
				}
				over, err, more = next()
			}
			if r.Value != nil && !yield(r, nil) {
				return
			}
		}
		for ; more && err == nil; over, err, more = next() {
			if over.Value[0] == there && !yield(Row{over.Token, over.Value[1:]}, nil) {
				return
			}
		}
		if err != nil {
			yield(Row{}, err)
		}
	}
}

// Overlaid tells which kinds are overlays now, by kind, and how many rows each
// overlay has.
func (s *Store) Overlaid() map[string]uint64 {
	v := s.View()
	defer v.Release()
	out := map[string]uint64{}
	for _, f := range v.files {
		if f.base != nil {
			out[f.gen.Kind] = f.rows
		}
	}
	return out
}

// Fold makes a whole file of an overlay and its base, and checks every row
// against the digest under which the list was published, or against its sum
// where rows were purged. The generation stays
// what it is, and look-ups go on meanwhile. Damage is a *Fault with ErrCorrupt.
// A crash before the end leaves overlay and base in force.
func (s *Store) Fold(ctx context.Context, kind string, p Pace) error {
	v := s.View()
	defer v.Release()
	f := v.find(kind)
	if f == nil {
		return ErrNoList
	}
	if f.base == nil {
		return nil
	}
	spec := Spec{Kind: kind, Generation: f.gen.Generation, Rows: f.gen.Rows, Digest: f.gen.Digest, Pace: p}
	if f.base.purged() { // what is left has another digest, and is checked by the sum
		a, err := f.audit(ctx, p, func(_ Token, value []byte) ([]byte, error) { return value, nil })
		switch {
		case errors.Is(err, ErrCorrupt):
			return &Fault{kind, f.gen.Generation, err}
		case err != nil:
			return fmt.Errorf("folding list %s-%d: %w", kind, f.gen.Generation, err)
		}
		spec.Rows, spec.Digest, spec.published, spec.sum, spec.gone = a.rows, a.digest, &f.gen, f.sum, a.gone
	}
	temp := filePath(s.dir, kind, f.gen.Generation) + ".tmp"
	err := errors.Join(s.remove(temp), s.remove(temp+"-journal"))
	if err == nil {
		err = write(ctx, temp, spec, f.merged(ctx))
	}
	switch {
	case errors.Is(err, ErrMismatch) || errors.Is(err, ErrCorrupt):
		return &Fault{kind, f.gen.Generation, errors.Join(fmt.Errorf("%w: %w", ErrCorrupt, err), s.remove(temp))}
	case err == nil:
		err = sqlite.SyncFile(temp)
	}
	if err == nil {
		err = s.exchange(ctx, f, temp, false)
	}
	if err != nil {
		return fmt.Errorf("folding list %s-%d: %w", kind, f.gen.Generation, errors.Join(err, s.remove(temp)))
	}
	return nil
}

// fileOf names one file of the folder.
type fileOf struct {
	kind       string
	generation uint64
}

// needed are the files that generations stand on: their own, and their bases.
func needed(gens []Generation) []fileOf {
	var out []fileOf
	for _, g := range gens {
		out = append(out, fileOf{g.Kind, g.Generation})
		if g.Base > 0 && !slices.Contains(out, fileOf{g.Kind, g.Base}) {
			out = append(out, fileOf{g.Kind, g.Base})
		}
	}
	return out
}

// folded makes good what a crash kept exchange from saying in the index: that a
// file is whole. Its former base may hold rows that had to leave the box.
func (s *Store) folded(ctx context.Context) error {
	gens := slices.Clone(s.gens)
	changed := false
	for i, g := range gens {
		if f := s.view.Load().find(g.Kind); g.Base > 0 && f != nil && f.err == nil && f.gen.Generation == g.Generation && f.base == nil {
			gens[i].Base, changed = 0, true
		}
	}
	if !changed {
		return nil
	}
	if err := s.flip(ctx, gens, nil); err != nil {
		return err
	}
	old := s.gens
	s.gens = gens
	kept := needed(gens)
	var errs []error
	for _, n := range needed(old) {
		if !slices.Contains(kept, n) {
			errs = append(errs, erase(filePath(s.dir, n.kind, n.generation)))
		}
	}
	return errors.Join(errs...)
}
