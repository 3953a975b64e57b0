package eligibility

import (
	"bytes"
	"errors"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// model is a list as a map, and what is done to it.
type model map[Token][]byte

func modelOf(rows []Row) model {
	m := model{}
	for _, r := range rows {
		m[r.Token] = r.Value
	}
	return m
}

func (m model) rows() []Row {
	var out []Row
	for t, v := range m {
		out = append(out, Row{t, v})
	}
	slices.SortFunc(out, func(a, b Row) int { return bytes.Compare(a.Token[:], b.Token[:]) })
	return out
}

func (m model) sum() (s Sum) {
	for t, v := range m {
		s.add(Row{t, v})
	}
	return s
}

// change does n random changes and gives them sorted; a third of the tokens it
// adds are such that were removed before.
func (m model) change(dice *rand.Rand, n int, gone *[]Token) []Change {
	had := slices.Collect(maps.Keys(m))
	slices.SortFunc(had, func(a, b Token) int { return bytes.Compare(a[:], b[:]) })
	touched := map[Token]Change{}
	for range n {
		value := bytes.Repeat([]byte{byte(dice.IntN(256))}, 1+dice.IntN(20))
		t := had[dice.IntN(len(had))]
		if _, twice := touched[t]; twice {
			continue
		}
		switch dice.IntN(3) {
		case 0:
			for i := range t {
				t[i] = byte(dice.IntN(256))
			}
			if len(*gone) > 0 && dice.IntN(3) == 0 {
				t = (*gone)[dice.IntN(len(*gone))]
			}
			if _, ok := m[t]; ok || touched[t].Op != 0 {
				continue
			}
			touched[t] = Change{Add, t, value}
			m[t] = value
		case 1:
			touched[t] = Change{Replace, t, value}
			m[t] = value
		case 2:
			touched[t] = Change{Remove, t, nil}
			delete(m, t)
			*gone = append(*gone, t)
		}
	}
	out := slices.Collect(maps.Values(touched))
	slices.SortFunc(out, func(a, b Change) int { return bytes.Compare(a.Token[:], b.Token[:]) })
	return out
}

func changesOf(cs []Change) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		for _, c := range cs {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (m model) spec(base, generation uint64) DeltaSpec {
	return DeltaSpec{Kind: "cards", Base: base, Generation: generation, Rows: uint64(len(m)), Digest: Digest(m.rows()), Sum: m.sum(), Pace: fast}
}

// agrees looks every token up that is or was in the list.
func agrees(t *testing.T, s *Store, m model, gone []Token) {
	t.Helper()
	for tok, want := range m {
		if got, ok, err := s.Lookup("cards", tok); err != nil || !ok || !bytes.Equal(got, want) {
			t.Fatalf("%x: %x, %v, %v, want %x", tok, got, ok, err, want)
		}
	}
	for _, tok := range gone {
		if _, ok, err := s.Lookup("cards", tok); err != nil || ok != (m[tok] != nil) {
			t.Fatalf("%x, which was removed: %v, %v", tok, ok, err)
		}
	}
}

// Deltas upon deltas are the list that headquarters has, through restarts,
// checks and folds; a view that was taken before stays what it was.
func TestApplyAgreesWithAMap(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	dice := rand.New(rand.NewPCG(3, 4))
	m := modelOf(randomRows(5000, 11))
	activate(t, s, build(t, s, "cards", 1, m.rows()))
	var gone []Token
	for g := uint64(2); g <= 30; g++ {
		before, held := maps.Clone(m), s.View()
		changes := m.change(dice, 1+dice.IntN(200), &gone)
		b, err := s.Apply(t.Context(), m.spec(g-1, g), changesOf(changes))
		if err != nil {
			t.Fatalf("generation %d: %v", g, err)
		}
		activate(t, s, b)
		agrees(t, s, m, gone)
		for tok, want := range before {
			if got, ok, err := held.Lookup("cards", tok); err != nil || !ok || !bytes.Equal(got, want) {
				t.Fatalf("an older view: %x, %v, %v, want %x", got, ok, err, want)
			}
		}
		held.Release()
		if err := s.Check(t.Context(), "cards", fast); err != nil {
			t.Fatal(err)
		}
		switch dice.IntN(6) {
		case 0:
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			if f := s.Faults(); len(f) > 0 {
				t.Fatal(f)
			}
		case 1:
			if err := s.Fold(t.Context(), "cards", fast); err != nil {
				t.Fatal(err)
			}
			if n := s.Overlaid(); len(n) > 0 {
				t.Fatalf("still overlaid: %v", n)
			}
		}
		agrees(t, s, m, gone)
		// Never more files than the generations kept, their base and the index.
		if names, _ := filepath.Glob(filepath.Join(dir, "cards-*")); len(names) > Kept+2 {
			t.Fatalf("files: %v", names)
		}
		if have := s.View().Generations()[0]; have.Generation != g || have.Rows != uint64(len(m)) || have.Digest != Digest(m.rows()) {
			t.Fatalf("%+v", have)
		}
	}
	// A list may come whole again at any time.
	activate(t, s, build(t, s, "cards", 40, m.rows()))
	agrees(t, s, m, gone)
}

// TestI6_DeltaThatDoesNotFitChangesNothing: whatever is wrong with a delta, the
// list stays what it is and nothing is left behind.
func TestI6_DeltaThatDoesNotFitChangesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	first := modelOf(randomRows(500, 11))
	rows := first.rows()
	activate(t, s, build(t, s, "cards", 1, rows))
	files := func() string {
		names, _ := filepath.Glob(filepath.Join(dir, "*"))
		return strings.Join(names, " ")
	}
	before := files()
	m := maps.Clone(first)
	var gone []Token
	good := m.change(rand.New(rand.NewPCG(5, 6)), 50, &gone)
	with := func(edit func(*DeltaSpec)) DeltaSpec {
		sp := m.spec(1, 2)
		edit(&sp)
		return sp
	}
	same := func(*DeltaSpec) {}
	broken := errors.New("line broke")
	for name, tt := range map[string]struct {
		spec    DeltaSpec
		changes iter.Seq2[Change, error]
		want    error
	}{
		"other base":           {with(func(d *DeltaSpec) { d.Base, d.Generation = 7, 8 }), changesOf(good), ErrMismatch},
		"other rows":           {with(func(d *DeltaSpec) { d.Rows++ }), changesOf(good), ErrMismatch},
		"other sum":            {with(func(d *DeltaSpec) { d.Sum[31]++ }), changesOf(good), ErrMismatch},
		"one change too few":   {with(same), changesOf(good[1:]), ErrMismatch},
		"not sorted":           {with(same), changesOf(append(slices.Clone(good[1:]), good[0])), ErrMismatch},
		"one twice":            {with(same), changesOf(append(slices.Clone(good[:1]), good...)), ErrMismatch},
		"adds what is":         {with(same), changesOf([]Change{{Add, rows[0].Token, []byte{1}}}), ErrMismatch},
		"removes what is not":  {with(same), changesOf([]Change{{Remove, Token{1}, nil}}), ErrMismatch},
		"replaces what is not": {with(same), changesOf([]Change{{Replace, Token{1}, []byte{1}}}), ErrMismatch},
		"removes with a value": {with(same), changesOf([]Change{{Remove, rows[0].Token, []byte{1}}}), ErrMismatch},
		"no operation":         {with(same), changesOf([]Change{{'X', rows[0].Token, []byte{1}}}), ErrMismatch},
		"long value":           {with(same), changesOf([]Change{{Replace, rows[0].Token, make([]byte, MaxValue+1)}}), ErrMismatch},
		"end of a list":        {with(same), changesOf([]Change{{Add, lastToken, []byte{1}}}), ErrMismatch},
		"source":               {with(same), func(yield func(Change, error) bool) { yield(Change{}, broken) }, broken},
		"no list":              {with(func(d *DeltaSpec) { d.Kind = "members" }), changesOf(good), ErrNoList},
	} {
		if b, err := s.Apply(t.Context(), tt.spec, tt.changes); !errors.Is(err, tt.want) || b != nil {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if after := files(); after != before {
			t.Errorf("%s left %s", name, after)
		}
	}
	agrees(t, s, first, gone)
	// A digest that is not the list's is found when it is folded, and the list
	// before serves again.
	sp := with(func(d *DeltaSpec) { d.Digest[0]++ })
	b, err := s.Apply(t.Context(), sp, changesOf(good))
	if err != nil {
		t.Fatal(err)
	}
	activate(t, s, b)
	err = s.Fold(t.Context(), "cards", fast)
	var fault *Fault
	if !errors.Is(err, ErrCorrupt) || !errors.As(err, &fault) || fault.Generation != 2 {
		t.Fatalf("folding what is not the list: %v", err)
	}
	if err := s.Discard(t.Context(), "cards", 2); err != nil {
		t.Fatal(err)
	}
	agrees(t, s, first, gone)
}

// What is purged out of an overlay is in no file, its base included.
func TestPurgeOfAnOverlay(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	m := modelOf(randomRows(300, 11))
	secretBase, secretOver := bytes.Repeat([]byte("secret-in-the-base "), 3), bytes.Repeat([]byte("secret-in-the-overlay "), 3)
	m[Token{1}] = secretBase
	activate(t, s, build(t, s, "cards", 1, m.rows()))
	m[Token{2}] = secretOver
	b, err := s.Apply(t.Context(), m.spec(1, 2), changesOf([]Change{{Add, Token{2}, secretOver}}))
	if err != nil {
		t.Fatal(err)
	}
	activate(t, s, b)
	n, err := s.Purge(t.Context(), "cards", fast, func(tok Token, v []byte) ([]byte, error) {
		if tok == (Token{1}) || tok == (Token{2}) {
			return nil, nil
		}
		return v, nil
	})
	if err != nil || n != 2 {
		t.Fatal(n, err)
	}
	delete(m, Token{1})
	delete(m, Token{2})
	agrees(t, s, m, []Token{{1}, {2}})
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte("secret-in")) {
			t.Errorf("%s still has it", name)
		}
	}
	if err := s.Check(t.Context(), "cards", fast); err != nil {
		t.Error(err)
	}
}

// A crash between the exchange of the file and the index leaves the whole file
// in force, and nothing of what was below it.
func TestFoldIsMadeGoodAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	m := modelOf(randomRows(300, 11))
	activate(t, s, build(t, s, "cards", 1, m.rows()))
	for g := uint64(2); g <= 5; g++ { // so that the base is no generation any more
		m[Token{byte(g)}] = []byte{byte(g)}
		b, err := s.Apply(t.Context(), m.spec(g-1, g), changesOf([]Change{{Add, Token{byte(g)}, []byte{byte(g)}}}))
		if err != nil {
			t.Fatal(err)
		}
		activate(t, s, b)
	}
	index, err := os.ReadFile(filepath.Join(dir, "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	wal, walErr := os.ReadFile(filepath.Join(dir, "index.db-wal"))
	if err := s.Fold(t.Context(), "cards", fast); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(dir, "index.db-wal"))
	_ = os.Remove(filepath.Join(dir, "index.db-shm"))
	if err := os.WriteFile(filepath.Join(dir, "index.db"), index, 0o600); err != nil {
		t.Fatal(err)
	}
	if walErr == nil {
		if err := os.WriteFile(filepath.Join(dir, "index.db-wal"), wal, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir)
	agrees(t, s, m, nil)
	if len(s.Overlaid()) > 0 {
		t.Error("still an overlay")
	}
	for _, g := range s.gens {
		if g.Generation == 5 && g.Base != 0 {
			t.Errorf("%+v", g)
		}
	}
}

// Damage below is told of what lies on it, so that it can be dropped.
func TestDamageBelowAnOverlay(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	m := modelOf(randomRows(300, 11))
	activate(t, s, build(t, s, "cards", 1, m.rows()))
	m[Token{9}] = []byte{9}
	b, err := s.Apply(t.Context(), m.spec(1, 2), changesOf([]Change{{Add, Token{9}, []byte{9}}}))
	if err != nil {
		t.Fatal(err)
	}
	activate(t, s, b)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "cards-1.db")
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rows := m.rows()
	at := bytes.Index(raw, rows[100].Token[:])
	raw[at+len(Token{})] ^= 1
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	var fault *Fault
	if _, _, err := s.Lookup("cards", rows[100].Token); !errors.Is(err, ErrCorrupt) || !errors.As(err, &fault) || fault.Generation != 2 {
		t.Errorf("a look-up: %v", err)
	}
	if err := s.Check(t.Context(), "cards", fast); !errors.Is(err, ErrCorrupt) || !errors.As(err, &fault) || fault.Generation != 2 {
		t.Errorf("a check: %v", err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, _, err := s.Lookup("cards", rows[0].Token); !errors.Is(err, ErrNoList) {
		t.Errorf("without its base: %v", err)
	}
}

// A base that was purged under a delta being built is not the one it was built on.
func TestApplyLosesToAPurge(t *testing.T) {
	s := open(t, t.TempDir())
	m := modelOf(randomRows(300, 11))
	activate(t, s, build(t, s, "cards", 1, m.rows()))
	victim := m.rows()[5].Token
	m[Token{9}] = []byte{9}
	b, err := s.Apply(t.Context(), m.spec(1, 2), changesOf([]Change{{Add, Token{9}, []byte{9}}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Purge(t.Context(), "cards", fast, func(tok Token, v []byte) ([]byte, error) {
		if tok == victim {
			return nil, nil
		}
		return v, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Activate(t.Context(), b); !errors.Is(err, ErrCorrupt) {
		t.Errorf("activated on another base: %v", err)
	}
	delete(m, victim)
	delete(m, Token{9})
	agrees(t, s, m, []Token{victim})
}

// A reader alone finds what everyone finds, in order and out of it, also on an
// overlay and where values have pages of their own.
func TestReaderAloneFindsTheSame(t *testing.T) {
	rows := longRows(4_000, 21)
	m := modelOf(rows)
	s := open(t, t.TempDir())
	activate(t, s, build(t, s, "cards", 1, rows))
	dice := rand.New(rand.NewPCG(21, 21))
	var gone []Token
	changes := m.change(dice, 700, &gone)
	built, err := s.Apply(t.Context(), m.spec(1, 2), changesOf(changes))
	if err != nil {
		t.Fatal(err)
	}
	activate(t, s, built)
	v := s.View()
	defer v.Release()
	f := v.find("cards")
	ask := append([]Token{{}, lastToken, {1}, {0xff}}, gone...)
	for _, r := range m.rows() {
		ask = append(ask, r.Token, behind(r.Token))
	}
	for _, order := range []func(a, b Token) int{
		func(a, b Token) int { return bytes.Compare(a[:], b[:]) },
		func(a, b Token) int { return bytes.Compare(b[:], a[:]) },
		func(Token, Token) int { return dice.IntN(3) - 1 },
	} {
		slices.SortFunc(ask, order)
		alone := f.alone()
		for _, k := range ask {
			want, has, err := v.Lookup("cards", k)
			got, ok, err2 := alone.lookup([]byte("x"), k)
			if err != nil || err2 != nil || ok != has || ok && string(got) != "x"+string(want) {
				t.Fatalf("%x: alone %q %v %v, beside others %q %v %v", k, got, ok, err2, want, has, err)
			}
		}
	}
}
