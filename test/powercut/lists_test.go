package powercut

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/buffer/eligibility"
)

const (
	partEnv = "BOOTHD_POWERCUT_PART"
	dirEnv  = "BOOTHD_POWERCUT_DIR"
	kind    = "cards"
	rows    = 300
)

// TestMain runs one part in a program of its own, under strace.
func TestMain(m *testing.M) {
	name := os.Getenv(partEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := parts[name](context.Background(), os.Getenv(dirEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// parts are what the power is cut in.
var parts = map[string]func(ctx context.Context, dir string) error{
	"first":   func(ctx context.Context, dir string) error { return use(ctx, dir, whole(1)) },
	"whole":   func(ctx context.Context, dir string) error { return use(ctx, dir, whole(2)) },
	"delta":   func(ctx context.Context, dir string) error { return use(ctx, dir, delta(1, 2)) },
	"fold":    func(ctx context.Context, dir string) error { return use(ctx, dir, fold) },
	"purge":   func(ctx context.Context, dir string) error { return use(ctx, dir, purge) },
	"discard": func(ctx context.Context, dir string) error { return use(ctx, dir, discard) },
	"nation":  func(ctx context.Context, dir string) error { return use(ctx, dir, taking(2, nation)) },
	"amended": func(ctx context.Context, dir string) error { return use(ctx, dir, changing(1, 2, nation)) },
	"journal": journalPart,
	"migrate": migratePart,
	"boot":    bootPart,
}

// say tells the trace, if there is one, what the booth believes to be durable.
func say(format string, args ...any) error {
	if os.Getenv(partEnv) == "" {
		return nil
	}
	_, err := fmt.Fprintf(os.Stdout, format+"\n", args...)
	return err
}

// rowsOf are the rows of a generation: each has rows of its own, rows that it
// shares with all, and rows of which it has another value.
func rowsOf(generation uint64) []eligibility.Row {
	var out []eligibility.Row
	for i := range uint64(rows) {
		if i%10 == generation%10 {
			continue
		}
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		value := fmt.Sprintf("row %d", i)
		if i%7 == 0 {
			value = fmt.Sprintf("row %d of %d", i, generation)
		}
		out = append(out, eligibility.Row{Token: eligibility.Token(sum[:16]), Value: []byte(value)})
	}
	slices.SortFunc(out, func(a, b eligibility.Row) int { return slices.Compare(a.Token[:], b.Token[:]) })
	return out
}

func each(all []eligibility.Row) iter.Seq2[eligibility.Row, error] {
	return func(yield func(eligibility.Row, error) bool) {
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// use opens the store, does something in it and closes it.
func use(ctx context.Context, dir string, do func(context.Context, *eligibility.Store) error) error {
	s, err := eligibility.Open(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, s), s.Close())
}

// whole takes a full copy.
func whole(generation uint64) func(context.Context, *eligibility.Store) error {
	return taking(generation, rowsOf)
}

// listing gives the rows of a generation, sorted.
type listing func(generation uint64) []eligibility.Row

func taking(generation uint64, rowsOf listing) func(context.Context, *eligibility.Store) error {
	return func(ctx context.Context, s *eligibility.Store) error {
		all := rowsOf(generation)
		b, err := s.Build(ctx, eligibility.Spec{Kind: kind, Generation: generation, Rows: uint64(len(all)), Digest: eligibility.Digest(all),
			VerifiedAt: time.Now(), Pace: eligibility.Pace{Duty: 1}}, each(all))
		if err != nil {
			return err
		}
		if err := s.Activate(ctx, b); err != nil {
			return err
		}
		if err := say("active %d", generation); err != nil {
			return err
		}
		return s.Announced(ctx, kind, generation)
	}
}

// delta takes what changes.
func delta(from, to uint64) func(context.Context, *eligibility.Store) error {
	return changing(from, to, rowsOf)
}

func changing(from, to uint64, rowsOf listing) func(context.Context, *eligibility.Store) error {
	return func(ctx context.Context, s *eligibility.Store) error {
		old, fresh := map[eligibility.Token][]byte{}, rowsOf(to)
		for _, r := range rowsOf(from) {
			old[r.Token] = r.Value
		}
		var changes []eligibility.Change
		for _, r := range fresh {
			was, ok := old[r.Token]
			delete(old, r.Token)
			switch {
			case !ok:
				changes = append(changes, eligibility.Change{Op: eligibility.Add, Token: r.Token, Value: r.Value})
			case string(was) != string(r.Value):
				changes = append(changes, eligibility.Change{Op: eligibility.Replace, Token: r.Token, Value: r.Value})
			}
		}
		for t := range old {
			changes = append(changes, eligibility.Change{Op: eligibility.Remove, Token: t})
		}
		slices.SortFunc(changes, func(a, b eligibility.Change) int { return slices.Compare(a.Token[:], b.Token[:]) })
		spec := eligibility.DeltaSpec{Kind: kind, Base: from, Generation: to, Rows: uint64(len(fresh)), Digest: eligibility.Digest(fresh),
			Sum: sumOf(fresh), VerifiedAt: time.Now(), Pace: eligibility.Pace{Duty: 1}}
		b, err := s.Apply(ctx, spec, func(yield func(eligibility.Change, error) bool) {
			for _, c := range changes {
				if !yield(c, nil) {
					return
				}
			}
		})
		if err != nil {
			return err
		}
		if err := s.Activate(ctx, b); err != nil {
			return err
		}
		if err := say("active %d", to); err != nil {
			return err
		}
		return s.Announced(ctx, kind, to)
	}
}

// sumOf is the sum of rows, made by other means than the store's.
func sumOf(all []eligibility.Row) (out eligibility.Sum) {
	total := new(big.Int)
	for _, r := range all {
		b := binary.AppendUvarint(slices.Clone(r.Token[:]), uint64(len(r.Value)))
		h := sha256.Sum256(append(b, r.Value...))
		total.Add(total, new(big.Int).SetBytes(h[:]))
	}
	total.Mod(total, new(big.Int).Lsh(big.NewInt(1), 256)).FillBytes(out[:])
	return out
}

func fold(ctx context.Context, s *eligibility.Store) error {
	if err := s.Fold(ctx, kind, eligibility.Pace{Duty: 1}); err != nil {
		return err
	}
	return say("folded")
}

// purged are the rows that have to leave the booth.
func purged(value []byte) bool { return strings.HasPrefix(string(value), "row 1") }

func purge(ctx context.Context, s *eligibility.Store) error {
	_, err := s.Purge(ctx, kind, eligibility.Pace{Duty: 1}, func(_ eligibility.Token, value []byte) ([]byte, error) {
		if purged(value) {
			return nil, nil
		}
		return value, nil
	})
	if err != nil {
		return err
	}
	return say("purged")
}

func discard(ctx context.Context, s *eligibility.Store) error {
	if err := s.Discard(ctx, kind, 2); err != nil {
		return err
	}
	return say("active 1")
}

// holds opens what a cut has left: one of the generations is in force, the last
// one that was said to be or a later, and every look-up is right.
func holds(ctx context.Context, dir string, said []string, allowed ...uint64) error {
	return holdsAs(ctx, dir, said, func(s *eligibility.Store, active uint64) error {
		if err := s.Check(ctx, kind, eligibility.Pace{Duty: 1}); err != nil {
			return fmt.Errorf("the list in force: %w", err)
		}
		return found(s, active, slices.Contains(said, "purged"))
	}, allowed...)
}

// holdsAs is holds with what else is to be right of the list in force.
func holdsAs(ctx context.Context, dir string, said []string, right func(s *eligibility.Store, active uint64) error, allowed ...uint64) (err error) {
	s, err := eligibility.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if f := s.Faults(); len(f) > 0 {
		return fmt.Errorf("faults: %w", f[0])
	}
	v := s.View()
	gens := v.Generations()
	v.Release()
	active := uint64(0)
	if len(gens) > 0 {
		active = gens[0].Generation
	}
	for _, word := range said {
		var n uint64
		if _, err := fmt.Sscanf(word, "active %d", &n); err == nil {
			allowed = []uint64{n}
		}
	}
	if !slices.Contains(allowed, active) {
		return fmt.Errorf("generation %d is in force, want one of %v", active, allowed)
	}
	if active == 0 {
		return stray(dir, nil)
	}
	if err := right(s, active); err != nil {
		return err
	}
	return stray(dir, gens)
}

// found looks every token up, and as many that are in no list.
func found(s *eligibility.Store, active uint64, gone bool) error {
	has := map[eligibility.Token][]byte{}
	for _, r := range rowsOf(active) {
		has[r.Token] = r.Value
	}
	left := 0
	for i := range uint64(2 * rows) {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		t := eligibility.Token(sum[:16])
		value, ok, err := s.Lookup(kind, t)
		want, there := has[t]
		switch {
		case err != nil:
			return fmt.Errorf("look-up: %w", err)
		case ok && (!there || string(value) != string(want)):
			return fmt.Errorf("a wrong look-up: %q, want %q", value, want)
		case !ok && there && !purged(want):
			return fmt.Errorf("%q is not found", want)
		case ok && purged(want):
			left++
		}
	}
	if gone && left > 0 {
		return fmt.Errorf("%d rows are found that were purged", left)
	}
	return nil
}

// stray finds files that nobody needs.
func stray(dir string, gens []eligibility.Generation) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") || strings.HasSuffix(e.Name(), ".tmp-journal") {
			return fmt.Errorf("%s was left behind, in force is %v", e.Name(), gens)
		}
	}
	return nil
}

// prepared is a store with what must be there before a part.
func prepared(t *testing.T, steps ...func(context.Context, *eligibility.Store) error) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "lists")
	for _, step := range steps {
		if err := use(t.Context(), dir, step); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Power cut at every write of taking, changing, folding, purging and dropping a
// list: the old one or the new one is in force, whole, and never a wrong row.
func TestI6_PowerCutsLeaveTheOldListOrTheNew(t *testing.T) {
	for name, tt := range map[string]struct {
		before  []func(context.Context, *eligibility.Store) error
		allowed []uint64
	}{
		"first":   {nil, []uint64{0, 1}},
		"whole":   {[]func(context.Context, *eligibility.Store) error{whole(1)}, []uint64{1, 2}},
		"delta":   {[]func(context.Context, *eligibility.Store) error{whole(1)}, []uint64{1, 2}},
		"fold":    {[]func(context.Context, *eligibility.Store) error{whole(1), delta(1, 2)}, []uint64{2}},
		"purge":   {[]func(context.Context, *eligibility.Store) error{whole(1)}, []uint64{1}},
		"discard": {[]func(context.Context, *eligibility.Store) error{whole(1), whole(2)}, []uint64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := prepared(t, tt.before...)
			d := load(t, dir)
			ops := trace(t, name, dir)
			looked, _ := every(t, d, ops, 1, func(dir string, said []string) error { return holds(t.Context(), dir, said, tt.allowed...) })
			t.Logf("%s: %d operations, %d disks", name, len(ops), looked)
			if len(ops) < 10 {
				t.Errorf("only %d operations were seen", len(ops))
			}
		})
	}
}

// The rig bites: a store whose list files are never synced loses one.
func TestTheRigFindsAListThatWasNotSynced(t *testing.T) {
	dir := prepared(t, whole(1))
	d := load(t, dir)
	d.deaf = func(path string) bool { return strings.HasPrefix(path, kind) }
	_, bad := every(t, d, trace(t, "whole", dir), 1, func(dir string, said []string) error { return holds(t.Context(), dir, said, 1, 2) })
	if bad == 0 {
		t.Error("no cut did any harm to a list that nobody had synced")
	}
	t.Logf("%d disks were bad", bad)
}
