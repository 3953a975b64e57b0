package eligibility

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// holds tells which file of the folder holds the bytes.
func holds(t *testing.T, dir string, what []byte) (where []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, what) {
			where = append(where, filepath.Base(name))
		}
	}
	return where
}

// everySecond keeps every second row of rows and changes the first kept one.
func everySecond(rows []Row) (keep func(Token, []byte) ([]byte, error), gone, stay []Row) {
	for i, r := range rows {
		if i%2 == 0 {
			gone = append(gone, r)
		} else {
			stay = append(stay, r)
		}
	}
	stay[0].Value = []byte("shorter")
	return func(t Token, value []byte) ([]byte, error) {
		for _, r := range gone {
			if r.Token == t {
				return nil, nil
			}
		}
		if t == stay[0].Token {
			return stay[0].Value, nil
		}
		return value, nil
	}, gone, stay
}

func TestPurgedRowsAreGone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	rows := randomRows(400, 3)
	activate(t, s, build(t, s, "lookouts", 6, rows))
	activate(t, s, build(t, s, "lookouts", 7, rows), build(t, s, "cards", 7, rows[:10]))
	verified := time.Now().UTC().Truncate(time.Microsecond)
	if err := s.Verified(t.Context(), verified, "lookouts"); err != nil {
		t.Fatal(err)
	}
	keep, gone, stay := everySecond(append([]Row(nil), rows...))
	// A view from before: its look-ups are right until it is released.
	before := s.View()
	n, err := s.Purge(t.Context(), "lookouts", fast, keep)
	if err != nil || n != len(gone)+1 {
		t.Fatalf("purged %d, %v; want %d", n, err, len(gone)+1)
	}
	for i := range 20 {
		if v, ok, err := before.Lookup("lookouts", gone[i].Token); err != nil || !ok || !bytes.Equal(v, gone[i].Value) {
			t.Fatalf("the view from before: %x %v %v", v, ok, err)
		}
	}
	before.Release()
	check := func(s *Store) {
		t.Helper()
		for _, r := range gone {
			if _, ok, err := s.Lookup("lookouts", r.Token); ok || err != nil {
				t.Fatalf("%v, %v", ok, err)
			}
		}
		for _, r := range stay {
			if v, ok, err := s.Lookup("lookouts", r.Token); !ok || err != nil || !bytes.Equal(v, r.Value) {
				t.Fatalf("%x, %v, %v", v, ok, err)
			}
		}
		for _, g := range s.View().Generations() {
			if g.Kind == "lookouts" && (g.Generation != 7 || g.Digest != Digest(rows) || g.Rows != 400 || !g.VerifiedAt.Equal(verified)) {
				t.Errorf("it is told as %+v", g)
			}
		}
		if err := s.Check(t.Context(), "lookouts", fast); err != nil {
			t.Error(err)
		}
	}
	check(s)
	for _, r := range gone[:50] {
		if where := holds(t, dir, r.Token[:]); len(where) > 0 && r.Token != rows[0].Token {
			// The cards list has the first ten rows, and may keep them.
			if len(where) != 1 || where[0] != "cards-7.db" {
				t.Errorf("a purged token is still in %v", where)
			}
		}
	}
	if n, err := s.Purge(t.Context(), "lookouts", fast, keep); n != 0 || err != nil {
		t.Errorf("purged again: %d, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, dir))
}

// A new generation without a row is not enough: the one before it goes too.
func TestPurgeForgetsFormerGenerations(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	rows := randomRows(40, 5)
	activate(t, s, build(t, s, "lookouts", 1, rows))
	activate(t, s, build(t, s, "lookouts", 2, rows[1:]))
	if n, err := s.Purge(t.Context(), "lookouts", fast, func(_ Token, v []byte) ([]byte, error) { return v, nil }); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if where := holds(t, dir, rows[0].Token[:]); len(where) > 0 {
		t.Errorf("a row that was withdrawn is still in %v", where)
	}
	if _, ok, err := s.Lookup("lookouts", rows[1].Token); !ok || err != nil {
		t.Error(ok, err)
	}
}

// Every row may go.
func TestPurgeToNothing(t *testing.T) {
	s := open(t, t.TempDir())
	rows := randomRows(300, 6)
	activate(t, s, build(t, s, "lookouts", 1, rows))
	if n, err := s.Purge(t.Context(), "lookouts", fast, func(Token, []byte) ([]byte, error) { return nil, nil }); n != 300 || err != nil {
		t.Fatal(n, err)
	}
	if _, ok, err := s.Lookup("lookouts", rows[7].Token); ok || err != nil {
		t.Error(ok, err)
	}
	// The next generation comes as ever.
	activate(t, s, build(t, s, "lookouts", 2, rows))
	if _, ok, err := s.Lookup("lookouts", rows[7].Token); !ok || err != nil {
		t.Error(ok, err)
	}
}

// What goes wrong leaves the old list whole.
func TestI6_PurgeThatFailsLeavesTheList(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	rows := randomRows(300, 8)
	activate(t, s, build(t, s, "lookouts", 1, rows))
	broken := errors.New("broken")
	for name, purge := range map[string]func() error{
		"keep fails": func() error {
			_, err := s.Purge(t.Context(), "lookouts", fast, func(Token, []byte) ([]byte, error) { return nil, broken })
			return err
		},
		"keep changes its mind": func() error {
			n := 0
			_, err := s.Purge(t.Context(), "lookouts", fast, func(_ Token, v []byte) ([]byte, error) {
				if n++; n%7 == 0 {
					return nil, nil
				}
				return v, nil
			})
			return err
		},
		"cancelled": func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := s.Purge(ctx, "lookouts", fast, func(Token, []byte) ([]byte, error) { return nil, nil })
			return err
		},
		"no such list": func() error {
			_, err := s.Purge(t.Context(), "trips", fast, func(Token, []byte) ([]byte, error) { return nil, nil })
			return err
		},
	} {
		if err := purge(); err == nil {
			t.Errorf("%s: no error", name)
		}
		for _, r := range rows {
			if _, ok, err := s.Lookup("lookouts", r.Token); !ok || err != nil {
				t.Fatalf("%s: %v, %v", name, ok, err)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp*")); len(left) > 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
}

// Deltas are laid on a list of which rows have expired, as headquarters knows
// it: with rows that are not here any more, removed, replaced or left alone.
// Through purges, folds and restarts the booth has what headquarters has, but
// for what is gone.
func TestDeltasOnAPurgedList(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	dice := rand.New(rand.NewPCG(5, 6))
	m := modelOf(randomRows(2000, 11)) // headquarters'
	activate(t, s, build(t, s, "cards", 1, m.rows()))
	var out []Token // removed by headquarters at any time
	expired := map[Token]bool{}
	cut := []byte("cut")
	for g := uint64(2); g <= 40; g++ {
		changes := m.change(dice, 1+dice.IntN(120), &out)
		b, err := s.Apply(t.Context(), m.spec(g-1, g), changesOf(changes))
		if err != nil {
			t.Fatalf("generation %d: %v", g, err)
		}
		activate(t, s, b)
		for _, c := range changes {
			delete(expired, c.Token) // headquarters has spoken of it since
		}
		if g%3 == 0 {
			_, err := s.Purge(t.Context(), "cards", fast, func(tok Token, v []byte) ([]byte, error) {
				switch {
				case int(tok[5])%16 == int(g)%16:
					return nil, nil
				case int(tok[5])%16 == int(g+1)%16 && len(v) > len(cut):
					return cut, nil
				}
				return v, nil
			})
			if err != nil {
				t.Fatalf("purging generation %d: %v", g, err)
			}
			for tok := range m {
				if expired[tok] = expired[tok] || int(tok[5])%16 == int(g)%16 || int(tok[5])%16 == int(g+1)%16 && len(m[tok]) > len(cut); !expired[tok] {
					delete(expired, tok)
				}
			}
		}
		if g%5 == 0 {
			if err := s.Fold(t.Context(), "cards", fast); err != nil {
				t.Fatalf("folding generation %d: %v", g, err)
			}
		}
		if g%7 == 0 {
			s.Close()
			s = open(t, dir)
		}
		if err := s.Check(t.Context(), "cards", fast); err != nil {
			t.Fatal(err)
		}
		for tok, want := range m {
			got, ok, err := s.Lookup("cards", tok)
			if err != nil || !expired[tok] && (!ok || !bytes.Equal(got, want)) || expired[tok] && ok && !bytes.Equal(got, cut) {
				t.Fatalf("generation %d: %x is %x, %v, %v; headquarters says %x, expired %v", g, tok, got, ok, err, want, expired[tok])
			}
		}
		if v := s.View(); v.Generations()[0].Digest != Digest(m.rows()) {
			t.Fatalf("generation %d is told with another digest", g)
		} else {
			v.Release()
		}
	}
	if len(expired) < 50 {
		t.Errorf("only %d rows have expired in the end", len(expired))
	}
}

// What does not fit a purged list is refused as on any other.
func TestI6_DeltaThatDoesNotFitAPurgedList(t *testing.T) {
	s := open(t, t.TempDir())
	m := modelOf(randomRows(200, 11))
	activate(t, s, build(t, s, "cards", 1, m.rows()))
	rows := m.rows()
	here, away := rows[7], rows[9]
	if n, err := s.Purge(t.Context(), "cards", fast, func(tok Token, v []byte) ([]byte, error) {
		if tok == away.Token {
			return nil, nil
		}
		return v, nil
	}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	never := Token{1, 2, 3}
	good := maps.Clone(m)
	delete(good, away.Token)
	for name, changes := range map[string][]Change{
		"adds what was purged":          {{Add, away.Token, away.Value}},
		"removes what was never there":  {{Remove, never, nil}},
		"replaces what was never there": {{Replace, never, []byte("x")}},
		"removes another row":           {{Remove, here.Token, nil}},
		"removes nothing":               nil,
	} {
		if _, err := s.Apply(t.Context(), good.spec(1, 2), changesOf(changes)); !errors.Is(err, ErrMismatch) {
			t.Errorf("a delta that %s: %v", name, err)
		}
	}
	b, err := s.Apply(t.Context(), good.spec(1, 2), changesOf([]Change{{Remove, away.Token, nil}}))
	if err != nil {
		t.Fatal(err)
	}
	activate(t, s, b)
	agrees(t, s, good, []Token{away.Token, never})
}
