package eligibility

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"testing"
)

// hurt is one way in which a card or a file system gives back something else
// than was written to it.
type hurt struct {
	name string
	do   func(dice *rand.Rand, b, former []byte)
}

const hurtPage = 4096

func hurts() []hurt {
	page := func(dice *rand.Rand, b []byte) []byte {
		n := dice.IntN(len(b) / hurtPage)
		return b[n*hurtPage : (n+1)*hurtPage]
	}
	return []hurt{
		{"a flipped bit", func(dice *rand.Rand, b, _ []byte) {
			bit := dice.IntN(8 * len(b))
			b[bit/8] ^= 1 << (bit % 8)
		}},
		{"two pages in each other's place", func(dice *rand.Rand, b, _ []byte) {
			one, other := page(dice, b), page(dice, b)
			kept := bytes.Clone(one)
			copy(one, other)
			copy(other, kept)
		}},
		{"a page written over another", func(dice *rand.Rand, b, _ []byte) { copy(page(dice, b), page(dice, b)) }},
		{"a page torn at a sector", func(dice *rand.Rand, b, former []byte) {
			n := dice.IntN(min(len(b), len(former)) / hurtPage)
			at := n*hurtPage + 512*(1+dice.IntN(7))
			copy(b[at:(n+1)*hurtPage], former[at:])
		}},
		{"a page of the generation before", func(dice *rand.Rand, b, former []byte) {
			n := dice.IntN(min(len(b), len(former)) / hurtPage)
			copy(b[n*hurtPage:(n+1)*hurtPage], former[n*hurtPage:])
		}},
		{"a page of zeros", func(dice *rand.Rand, b, _ []byte) { clear(page(dice, b)) }},
		{"a sector of zeros", func(dice *rand.Rand, b, _ []byte) {
			at := 512 * dice.IntN(len(b)/512)
			clear(b[at : at+512])
		}},
	}
}

// Whatever a medium gives back, no look-up is ever wrong, and a hundred of a
// hundred are noticed by the daily reading, or by the start, unless every answer
// is right still (reliability reference, section 4: bit rot; I1).
func TestI1_AHundredHurtsAreNoticedOrHarmless(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	before, rows := randomRows(1500, 8), randomRows(1500, 8)
	for i := range rows {
		if i%5 == 0 {
			rows[i].Value = []byte("of the second")
		}
	}
	activate(t, s, build(t, s, "cards", 1, before))
	activate(t, s, build(t, s, "cards", 2, rows))
	s.Close()
	path := filePath(dir, "cards", 2)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	former, err := os.ReadFile(filePath(dir, "cards", 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hurts() {
		t.Run(h.name, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(20261123, 7))
			noticed, same := 0, 0
			for range 100 {
				bad := bytes.Clone(whole)
				h.do(dice, bad, former)
				if bytes.Equal(bad, whole) {
					same++
				}
				if err := os.WriteFile(path, bad, 0o600); err != nil {
					t.Fatal(err)
				}
				if found(t, dir, rows) {
					noticed++
				}
			}
			t.Logf("%d of 100 were noticed, the others changed nothing that counts", noticed)
			if noticed < 50 || same > 20 {
				t.Errorf("%d were noticed, %d changed nothing at all", noticed, same)
			}
		})
	}
}

// found opens a list as the booth does and looks every row up, and as many that
// are none; it tells whether damage was noticed. Damage that neither the start
// nor the daily reading notices must do no harm.
func found(t *testing.T, dir string, rows []Row) (noticed bool) {
	t.Helper()
	f := openFile(context.Background(), dir, Generation{Kind: "cards", Generation: 2, Rows: uint64(len(rows)), Digest: Digest(rows)}, nil)
	defer f.close()
	checked := f.check(t.Context(), f.path(), fast)
	failed := 0
	for i, r := range rows {
		got, ok, err := f.lookup(nil, r.Token)
		if err == nil && (!ok || !bytes.Equal(got, r.Value)) {
			t.Fatalf("row %d is %x, %v without an error", i, got, ok)
		}
		absent := r.Token
		absent[3] ^= 0x55
		_, ok, err2 := f.lookup(nil, absent)
		if err2 == nil && ok {
			t.Fatal("an absent token was found")
		}
		if err != nil || err2 != nil {
			failed++
		}
	}
	if failed > 0 && checked == nil {
		t.Errorf("%d look-ups fail and the daily reading finds nothing", failed)
	}
	return checked != nil || failed > 0
}
