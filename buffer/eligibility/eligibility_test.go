package eligibility

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

var fast = Pace{Duty: 1}

func seq(rows []Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// randomRows gives n rows with sorted tokens and values of odd lengths.
func randomRows(n int, seed uint64) []Row {
	rnd := rand.New(rand.NewPCG(seed, 1))
	rows := make([]Row, n)
	for i := range rows {
		for j := 0; j < 16; j += 8 {
			binary.BigEndian.PutUint64(rows[i].Token[j:], rnd.Uint64())
		}
		rows[i].Value = bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1+rnd.IntN(30))
	}
	slices.SortFunc(rows, func(a, b Row) int { return bytes.Compare(a.Token[:], b.Token[:]) })
	return rows
}

func specOf(kind string, generation uint64, rows []Row) Spec {
	return Spec{Kind: kind, Generation: generation, Rows: uint64(len(rows)), Digest: Digest(rows), Pace: fast}
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func build(t testing.TB, s *Store, kind string, generation uint64, rows []Row) *Built {
	t.Helper()
	b, err := s.Build(context.Background(), specOf(kind, generation, rows), seq(rows))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func activate(t testing.TB, s *Store, built ...*Built) {
	t.Helper()
	if err := s.Activate(context.Background(), built...); err != nil {
		t.Fatal(err)
	}
}

func TestLookupAgreesWithAMap(t *testing.T) {
	const n = 100_000
	rows := randomRows(n, 7)
	want := make(map[Token][]byte, n)
	for _, r := range rows {
		want[r.Token] = r.Value
	}
	s := open(t, t.TempDir())
	activate(t, s, build(t, s, "cards", 1, rows))
	v := s.View()
	defer v.Release()
	ask := func(tok Token) {
		t.Helper()
		got, ok, err := v.Lookup("cards", tok)
		value, there := want[tok]
		if err != nil || ok != there || !bytes.Equal(got, value) {
			t.Fatalf("Lookup(%x) = %x, %v, %v, want %x, %v", tok, got, ok, err, value, there)
		}
	}
	for i, r := range rows {
		ask(r.Token)
		near := r.Token
		near[15] ^= byte(1 + i%255) // a neighbour with the same first bytes
		ask(near)
	}
	for _, r := range randomRows(20_000, 8) {
		ask(r.Token)
	}
	ask(Token{})
	ask(lastToken)
}

// Tokens that differ only in their last byte need the second question.
func TestLookupBetweenTokensWithTheSameStart(t *testing.T) {
	var rows []Row
	for i := 2; i < 200; i += 2 {
		rows = append(rows, Row{Token{15: byte(i)}, []byte{byte(i)}})
	}
	s := open(t, t.TempDir())
	activate(t, s, build(t, s, "cards", 1, rows))
	for i := range 256 {
		got, ok, err := s.Lookup("cards", Token{15: byte(i)})
		if want := i >= 2 && i < 200 && i%2 == 0; err != nil || ok != want || ok && got[0] != byte(i) {
			t.Errorf("Lookup(%d) = %x, %v, %v, want %v", i, got, ok, err, want)
		}
	}
}

func TestBuildRefusesWhatWasNotAnnounced(t *testing.T) {
	rows := randomRows(300, 1)
	swapped := slices.Clone(rows)
	swapped[4], swapped[5] = swapped[5], swapped[4]
	changed := slices.Clone(rows)
	changed[9].Value = []byte("other")
	broken := errors.New("stick pulled")
	tests := []struct {
		name string
		rows iter.Seq2[Row, error]
		edit func(*Spec)
		want error
	}{
		{"a row less", seq(rows[:299]), nil, ErrMismatch},
		{"a row more", seq(rows), func(s *Spec) { s.Rows = 299 }, ErrMismatch},
		{"out of order", seq(swapped), nil, ErrMismatch},
		{"a token twice", seq(slices.Insert(slices.Clone(rows), 3, rows[3])), nil, ErrMismatch},
		{"another value", seq(changed), nil, ErrMismatch},
		{"value too long", seq([]Row{{Token{1}, make([]byte, MaxValue+1)}}), nil, ErrMismatch},
		{"no value", seq([]Row{{Token{1}, nil}}), nil, ErrMismatch},
		{"the ending token", seq([]Row{{lastToken, []byte{1}}}), nil, ErrMismatch},
		{"source fails", func(yield func(Row, error) bool) { _ = yield(rows[0], nil) && yield(Row{}, broken) }, nil, broken},
	}
	dir := t.TempDir()
	s := open(t, dir)
	activate(t, s, build(t, s, "cards", 1, rows))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := specOf("cards", 2, rows)
			if tt.edit != nil {
				tt.edit(&spec)
			}
			if b, err := s.Build(context.Background(), spec, tt.rows); !errors.Is(err, tt.want) {
				t.Fatalf("Build = %v, %v, want %v", b, err, tt.want)
			}
			wantFiles(t, dir, "cards-1.db", "index.db")
			if _, ok, err := s.Lookup("cards", rows[0].Token); !ok || err != nil {
				t.Errorf("old list: %v, %v", ok, err)
			}
		})
	}
	for _, kind := range []string{"", "../x", "Cards", "abcdefghijklmnopq"} {
		if _, err := s.Build(context.Background(), specOf(kind, 2, rows), seq(rows)); err == nil {
			t.Errorf("kind %q was built", kind)
		}
	}
}

// wantFiles compares the folder, SQLite's side files apart.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range names {
		if b := filepath.Base(n); b != "index.db-wal" && b != "index.db-shm" {
			got = append(got, b)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("folder holds %v, want %v", got, want)
	}
}

func TestI6_OnlyNewerGenerationsAllOrNone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a, b := randomRows(10, 1), randomRows(10, 2)
	activate(t, s, build(t, s, "cards", 5, a), build(t, s, "members", 5, a))
	err := s.Activate(context.Background(), build(t, s, "members", 6, b), build(t, s, "cards", 4, b))
	if !errors.Is(err, ErrNotNewer) {
		t.Fatalf("Activate of an older generation: %v, want ErrNotNewer", err)
	}
	if _, ok, _ := s.Lookup("members", a[0].Token); !ok {
		t.Error("members moved though cards were refused")
	}
	for g := uint64(6); g <= 9; g++ {
		activate(t, s, build(t, s, "cards", g, randomRows(10, g)))
	}
	wantFiles(t, dir, "cards-4.db", "cards-7.db", "cards-8.db", "cards-9.db", "index.db", "members-5.db", "members-6.db")
	s.Close()
	s = open(t, dir)
	wantFiles(t, dir, "cards-7.db", "cards-8.db", "cards-9.db", "index.db", "members-5.db")
	v := s.View()
	defer v.Release()
	if g := v.Generations(); len(g) != 2 || g[0].Generation != 9 || g[1].Generation != 5 {
		t.Errorf("after a restart active is %+v", g)
	}
	if _, _, err := v.Lookup("lookouts", Token{1}); !errors.Is(err, ErrNoList) {
		t.Errorf("Lookup in a kind without list: %v, want ErrNoList", err)
	}
}

func TestMarksOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	rows := randomRows(3, 1)
	activate(t, s, build(t, s, "cards", 1, rows), build(t, s, "members", 1, rows))
	at := time.Date(2026, 7, 1, 12, 0, 0, 5000, time.UTC)
	if err := s.Verified(t.Context(), at, "cards", "lookouts"); err != nil {
		t.Fatal(err)
	}
	if err := s.Announced(t.Context(), "members", 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		g := s.View().Generations()
		if !g[0].VerifiedAt.Equal(at) || g[0].Announced || !g[1].VerifiedAt.IsZero() || !g[1].Announced {
			t.Errorf("marks are %+v", g)
		}
		s.Close()
		s = open(t, dir)
	}
}

func TestAViewStaysWholeWhileListsChange(t *testing.T) {
	s := open(t, t.TempDir())
	rows := randomRows(50, 1)
	activate(t, s, build(t, s, "cards", 1, rows))
	old := s.View()
	f := old.find("cards")
	for g := uint64(2); g <= 6; g++ {
		activate(t, s, build(t, s, "cards", g, randomRows(50, g)))
	}
	if _, ok, err := old.Lookup("cards", rows[7].Token); !ok || err != nil {
		t.Errorf("old view: %v, %v", ok, err)
	}
	if _, ok, err := s.Lookup("cards", rows[7].Token); ok || err != nil {
		t.Errorf("new view: %v, %v", ok, err)
	}
	old.Release()
	if f.tree != nil {
		t.Error("the last release left the old file open")
	}
}

func TestLookupsBesideImports(t *testing.T) {
	s := open(t, t.TempDir())
	rows := randomRows(200, 1)
	activate(t, s, build(t, s, "cards", 1, rows))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, ok, err := s.Lookup("cards", rows[i%len(rows)].Token); !ok || err != nil {
					t.Errorf("Lookup during import: %v, %v", ok, err)
					return
				}
			}
		})
	}
	for g := uint64(2); g < 30; g++ {
		activate(t, s, build(t, s, "cards", g, rows))
		if err := s.Verified(t.Context(), time.Now(), "cards"); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	readers.Wait()
}

func TestClosedStore(t *testing.T) {
	s := open(t, t.TempDir())
	rows := randomRows(3, 1)
	activate(t, s, build(t, s, "cards", 1, rows))
	v := s.View()
	b := build(t, s, "cards", 2, rows)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := v.Lookup("cards", rows[0].Token); !ok || err != nil {
		t.Errorf("a view held over Close: %v, %v", ok, err)
	}
	v.Release()
	if _, _, err := s.Lookup("cards", rows[0].Token); !errors.Is(err, ErrNoList) {
		t.Errorf("Lookup after Close: %v, want ErrNoList", err)
	}
	if err := s.Activate(context.Background(), b); !errors.Is(err, ErrClosed) {
		t.Errorf("Activate after Close: %v, want ErrClosed", err)
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		rows := randomRows(n, 1)
		s := open(b, b.TempDir())
		activate(b, s, build(b, s, "cards", 1, rows))
		absent := randomRows(1000, 2)
		for _, hit := range []bool{true, false} {
			b.Run(fmt.Sprintf("list=%d/hit=%v", n, hit), func(b *testing.B) {
				b.ReportAllocs()
				v := s.View()
				defer v.Release()
				i := 0
				for b.Loop() {
					from := rows
					if !hit {
						from = absent
					}
					if _, ok, err := v.Lookup("cards", from[i*7919%len(from)].Token); ok != hit || err != nil {
						b.Fatal(ok, err)
					}
					i++
				}
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	rows := randomRows(200_000, 1)
	s := open(b, b.TempDir())
	for b.Loop() {
		built := build(b, s, "cards", 1, rows)
		if err := built.Remove(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(rows)*b.N)/b.Elapsed().Seconds(), "rows/s")
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

// An edition is another one after each change of what is in force, and the same
// in between.
func TestEditionIsOfWhatIsInForce(t *testing.T) {
	s := open(t, t.TempDir())
	rows := randomRows(10, 1)
	last := uint64(0)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"nothing", func() error { return nil }},
		{"a list", func() error { return s.Activate(t.Context(), build(t, s, "cards", 1, rows)) }},
		{"two lists", func() error {
			return s.Activate(t.Context(), build(t, s, "cards", 2, rows), build(t, s, "members", 1, rows))
		}},
		{"one dropped", func() error { return s.Discard(t.Context(), "cards", 2) }},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		now := s.Edition()
		if _, _, err := s.Lookup("members", rows[0].Token); err != nil && !errors.Is(err, ErrNoList) {
			t.Error(err)
		}
		if now <= last || s.Edition() != now {
			t.Errorf("%s: edition %d after %d, then %d", step.name, now, last, s.Edition())
		}
		last = now
	}
	if err := s.Close(); err != nil || s.Edition() != 0 {
		t.Errorf("closed: edition %d, %v", s.Edition(), err)
	}
}
