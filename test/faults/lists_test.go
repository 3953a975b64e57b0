package faults

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"boothd/buffer/eligibility"
)

const (
	cards     = "cards"
	cardsMost = 300 // tokens that a generation may have
)

var unpaced = eligibility.Pace{Duty: 1}

func tokenOf(i int) eligibility.Token {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("card"), uint64(i)))
	return eligibility.Token(sum[:16])
}

// valueOf is what a generation says of a token; nil: nothing.
func valueOf(generation uint64, i int) []byte {
	switch {
	case i >= cardsMost || uint64(i%11) == generation:
		return nil
	case i%5 == 0:
		return fmt.Appendf(nil, "card %d in %d", i, generation)
	}
	return fmt.Appendf(nil, "card %d", i)
}

// forbidden values have to leave the booth with a purge.
func forbidden(value []byte) bool { return strings.HasPrefix(string(value), "card 7") }

func listOf(generation uint64) (rows []eligibility.Row) {
	for i := range cardsMost {
		if v := valueOf(generation, i); v != nil {
			rows = append(rows, eligibility.Row{Token: tokenOf(i), Value: v})
		}
	}
	sortRows(rows)
	return rows
}

func sortRows(rows []eligibility.Row) {
	slices.SortFunc(rows, func(a, b eligibility.Row) int { return slices.Compare(a.Token[:], b.Token[:]) })
}

func each[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range all {
			if !yield(x, nil) {
				return
			}
		}
	}
}

// task is one thing that is done to a store, and may be done again after it
// failed.
type task struct {
	name   string
	before []func(context.Context, *eligibility.Store) error
	do     func(context.Context, *eligibility.Store) error
	old    uint64 // in force before
	fresh  uint64 // and after
	purges bool
}

func tasks() []task {
	type step = func(context.Context, *eligibility.Store) error
	return []task{
		{name: "whole", before: []step{takeWhole(1)}, do: takeWhole(2), old: 1, fresh: 2},
		{name: "delta", before: []step{takeWhole(1)}, do: takeDelta(1, 2), old: 1, fresh: 2},
		{name: "fold", before: []step{takeWhole(1), takeDelta(1, 2)}, do: fold, old: 2, fresh: 2},
		{name: "purge", before: []step{takeWhole(1), takeWhole(2)}, do: purge, old: 2, fresh: 2, purges: true},
	}
}

// inForce tells whether a generation is active, so that a task can be repeated.
func inForce(s *eligibility.Store, generation uint64) bool {
	v := s.View()
	defer v.Release()
	gens := v.Generations()
	return len(gens) == 1 && gens[0].Generation == generation
}

func takeWhole(generation uint64) func(context.Context, *eligibility.Store) error {
	return func(ctx context.Context, s *eligibility.Store) error {
		if inForce(s, generation) {
			return nil
		}
		rows := listOf(generation)
		b, err := s.Build(ctx, eligibility.Spec{Kind: cards, Generation: generation, Rows: uint64(len(rows)), Digest: eligibility.Digest(rows),
			VerifiedAt: time.Now(), Pace: unpaced}, each(rows))
		if err != nil {
			return err
		}
		return s.Activate(ctx, b)
	}
}

func takeDelta(from, to uint64) func(context.Context, *eligibility.Store) error {
	return func(ctx context.Context, s *eligibility.Store) error {
		if inForce(s, to) {
			return nil
		}
		rows := listOf(to)
		changes := changesBetween(from, to)
		spec := eligibility.DeltaSpec{Kind: cards, Base: from, Generation: to, Rows: uint64(len(rows)), Digest: eligibility.Digest(rows),
			Sum: sumOf(rows), VerifiedAt: time.Now(), Pace: unpaced}
		b, err := s.Apply(ctx, spec, each(changes))
		if err != nil {
			return err
		}
		return s.Activate(ctx, b)
	}
}

func changesBetween(from, to uint64) (changes []eligibility.Change) {
	for i := range cardsMost {
		was, is := valueOf(from, i), valueOf(to, i)
		c := eligibility.Change{Token: tokenOf(i), Value: is}
		switch {
		case string(was) == string(is):
			continue
		case was == nil:
			c.Op = eligibility.Add
		case is == nil:
			c.Op = eligibility.Remove
		default:
			c.Op = eligibility.Replace
		}
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(a, b eligibility.Change) int { return slices.Compare(a.Token[:], b.Token[:]) })
	return changes
}

// sumOf adds up the digests of rows modulo 2^256, byte by byte.
func sumOf(rows []eligibility.Row) (sum eligibility.Sum) {
	for _, r := range rows {
		b := binary.AppendUvarint(slices.Clone(r.Token[:]), uint64(len(r.Value)))
		h := sha256.Sum256(append(b, r.Value...))
		carry := 0
		for i := len(sum) - 1; i >= 0; i-- {
			carry += int(sum[i]) + int(h[i])
			sum[i] = byte(carry)
			carry >>= 8
		}
	}
	return sum
}

func fold(ctx context.Context, s *eligibility.Store) error { return s.Fold(ctx, cards, unpaced) }

func purge(ctx context.Context, s *eligibility.Store) error {
	_, err := s.Purge(ctx, cards, eligibility.Pace{}, func(_ eligibility.Token, value []byte) ([]byte, error) {
		if forbidden(value) {
			return nil, nil
		}
		return value, nil
	})
	return err
}

// errWrong says that a look-up gave what it must not.
var errWrong = errors.New("a wrong look-up")

// rightOrError looks every token up, and as many that no list has: one of the
// generations in force, whole, or an error. An error is left out of the result
// if it may be.
func rightOrError(s *eligibility.Store, t task, may bool) error {
	v := s.View()
	defer v.Release()
	gens := v.Generations()
	if len(gens) == 0 {
		if may {
			return nil
		}
		return errors.New("no list is in force")
	}
	active := gens[0].Generation
	if active != t.old && active != t.fresh {
		return fmt.Errorf("%w: generation %d is in force", errWrong, active)
	}
	for i := range 2 * cardsMost {
		want := valueOf(active, i)
		value, ok, err := v.Lookup(cards, tokenOf(i))
		switch gone := t.purges && forbidden(want); {
		case err != nil && !may:
			return fmt.Errorf("card %d: %w", i, err)
		case err != nil:
		case ok && string(value) != string(want), !ok && want != nil && !gone:
			return fmt.Errorf("%w: card %d of %d is %q, want %q", errWrong, i, active, value, want)
		}
	}
	return nil
}

// wholeAfter opens a store as the booth does at its next start, with a disk that
// works: what was to come is in force and sound, and nothing is left lying about.
func wholeAfter(ctx context.Context, dir string, t task) (err error) {
	s, err := eligibility.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if f := s.Faults(); len(f) > 0 {
		return f[0]
	}
	if !inForce(s, t.fresh) {
		return fmt.Errorf("generation %d is not in force", t.fresh)
	}
	if err := errors.Join(s.Check(ctx, cards, unpaced), rightOrError(s, t, false)); err != nil {
		return err
	}
	for i := range cardsMost {
		if value, ok, _ := s.Lookup(cards, tokenOf(i)); t.purges && ok && forbidden(value) {
			return fmt.Errorf("%w: %q was purged", errWrong, value)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp*"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s was left behind", filepath.Base(left[0]))
	}
	return err
}

// prepare makes a store with what has to be there before a task, and gives its
// files.
func prepare(ctx context.Context, dir string, t task) (files map[string][]byte, err error) {
	s, err := eligibility.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	for _, step := range t.before {
		if err = step(ctx, s); err != nil {
			break
		}
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	names, err := os.ReadDir(dir)
	files = map[string][]byte{}
	for _, e := range names {
		if err == nil {
			files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name()))
		}
	}
	return files, err
}
