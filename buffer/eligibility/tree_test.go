package eligibility

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"boothd/buffer/internal/sqlite"
)

// longRows has values of every length that matters: those that stay on their
// page, those that just do not, those over several pages.
func longRows(n int, seed uint64) []Row {
	rows, dice := randomRows(n, seed), rand.New(rand.NewPCG(seed, 9))
	for i := range rows {
		length := 1 + dice.IntN(60)
		switch i % 7 {
		case 1:
			length = 930 + dice.IntN(80) // about the most that a page of 4 KiB keeps
		case 2:
			length = 1 + dice.IntN(MaxValue)
		case 3:
			length = MaxValue
		}
		rows[i].Value = bytes.Repeat([]byte{byte('a' + i%26)}, length)
	}
	return rows
}

// Our reading of a list file's pages is SQLite's: every row, every place between
// rows, in lists of no row and of pages several levels deep.
func TestTreeReadsWhatSQLiteReads(t *testing.T) {
	for _, rows := range [][]Row{nil, randomRows(1, 1), randomRows(60, 2), randomRows(20_000, 3), longRows(3_000, 4)} {
		s := open(t, t.TempDir())
		built := build(t, s, "cards", 1, rows)
		conn, err := sqlite.OpenRaw(t.Context(), built.path, sqlite.Options{Immutable: true})
		if err != nil {
			t.Fatal(err)
		}
		root, err := conn.Int("SELECT rootpage FROM sqlite_schema WHERE name = 'row'")
		if err != nil {
			t.Fatal(err)
		}
		tree, err := openTree(built.path, uint32(root), nil)
		if err != nil {
			t.Fatalf("%d rows: %v", len(rows), err)
		}
		from, err := conn.Prepare("SELECT token, value FROM row WHERE token >= ? ORDER BY token LIMIT 1")
		if err != nil {
			t.Fatal(err)
		}
		before, err := conn.Prepare("SELECT token, value FROM row WHERE token < ? ORDER BY token DESC LIMIT 1")
		if err != nil {
			t.Fatal(err)
		}
		one := func(s *sqlite.Stmt, k Token) (token, value []byte) {
			for row, err := range s.Rows(k[:]) {
				if err != nil {
					t.Fatal(err)
				}
				token, value = row[0].([]byte), row[1].([]byte)
			}
			return token, value
		}
		dice := rand.New(rand.NewPCG(5, 6))
		asked := []Token{{}, lastToken}
		for _, r := range rows {
			above, below := r.Token, r.Token
			above[15]++
			below[15]--
			asked = append(asked, r.Token, above, below)
		}
		for range 1000 {
			var k Token
			for i := range k {
				k[i] = byte(dice.Uint32())
			}
			asked = append(asked, k)
		}
		for _, k := range asked {
			for name, way := range map[string]struct {
				ours   func(Token) ([]byte, []byte, error)
				theirs *sqlite.Stmt
			}{"from": {tree.from, from}, "before": {tree.before, before}} {
				token, value, err := way.ours(k)
				wantToken, wantValue := one(way.theirs, k)
				if err != nil || !bytes.Equal(token, wantToken) || !bytes.Equal(value, wantValue) {
					t.Fatalf("%d rows, %s %x: %x with %d bytes, %v; SQLite reads %x with %d bytes", len(rows), name, k, token, len(value), err, wantToken, len(wantValue))
				}
			}
		}
		t.Logf("%d rows, %d leaves, %d questions", len(rows), len(tree.leaves), 2*len(asked))
		for _, c := range []interface{ Close() error }{from, before, conn} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := tree.close(); err != nil {
			t.Error(err)
		}
	}
}

// A row that is found costs no allocation but the value that is handed out.
func TestALookUpAllocatesItsValueAlone(t *testing.T) {
	s := open(t, t.TempDir())
	rows := randomRows(5_000, 8)
	activate(t, s, build(t, s, "cards", 1, rows))
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		if _, ok, err := s.Lookup("cards", rows[i%len(rows)].Token); !ok || err != nil {
			t.Error(ok, err)
		}
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzTree spoils bytes of a list file: whatever is in it, a look-up ends, and it
// is right or an error (I1).
func FuzzTree(f *testing.F) {
	dir := f.TempDir()
	s, err := Open(context.Background(), dir)
	if err != nil {
		f.Fatal(err)
	}
	rows := longRows(400, 11)
	b, err := s.Build(context.Background(), specOf("cards", 1, rows), seq(rows))
	if err != nil {
		f.Fatal(err)
	}
	sound, err := os.ReadFile(b.path)
	if err != nil {
		f.Fatal(err)
	}
	has := map[Token][]byte{}
	for _, r := range rows {
		has[r.Token] = r.Value
	}
	gen := b.gen
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{0})
	f.Add(uint32(4096*2), []byte{2, 0xff, 0xff})
	f.Add(uint32(4096*3+8), []byte{0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, at uint32, with []byte) {
		spoilt := bytes.Clone(sound)
		for i, x := range with {
			spoilt[(int(at)+i)%len(spoilt)] ^= x
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cards-1.db"), spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		file := openFile(t.Context(), dir, gen, nil)
		defer file.close()
		for i, r := range rows {
			for _, k := range []Token{r.Token, {byte(i), byte(i >> 8), 3}} {
				value, ok, err := file.lookup(nil, k)
				if err != nil {
					var fault *Fault
					if !errors.As(err, &fault) {
						t.Fatalf("%x: %v is no fault", k, err)
					}
					continue
				}
				if want, there := has[k]; ok != there || ok && !bytes.Equal(value, want) {
					t.Fatalf("%x: %q %v, want %q %v", k, fmt.Sprintf("%.20s", value), ok, fmt.Sprintf("%.20s", want), there)
				}
			}
		}
	})
}
