package eligibility

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Of several changes that do not fit, in parts that different readers have, the
// first is named, and nothing is left of the file that was written meanwhile.
func TestApplyNamesTheFirstChangeThatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	m := modelOf(randomRows(60*partRows, 5))
	rows := m.rows()
	activate(t, s, build(t, s, "cards", 1, rows))
	var good []Change
	for _, r := range rows {
		good = append(good, Change{Replace, r.Token, []byte{9}})
	}
	var late []int // when the file is written, and both read
	for i := 45*partRows - 1; i < len(good); i += partRows {
		late = append(late, i)
	}
	for _, wrong := range [][]int{{0}, {3}, {partRows - 1, partRows}, {partRows + 3, 2 * partRows}, {len(good) - 1}, late} {
		changes := slices.Clone(good)
		for _, i := range wrong {
			changes[i].Op = Add
		}
		for range 20 { // the readers are not always equally fast
			_, err := s.Apply(t.Context(), m.spec(1, 2), changesOf(changes))
			if want := fmt.Sprintf("change %d does not fit", wrong[0]); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), want) {
				t.Fatalf("changes %v are wrong: %v, want %s", wrong, err, want)
			}
		}
	}
	broken := errors.New("line broke")
	if _, err := s.Apply(t.Context(), m.spec(1, 2), func(yield func(Change, error) bool) {
		for _, c := range good[:10*partRows] {
			if !yield(c, nil) {
				return
			}
		}
		yield(Change{}, broken)
	}); !errors.Is(err, broken) {
		t.Errorf("a source that breaks off: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "cards-*")); err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v, want the first list alone", left, err)
	}
	agrees(t, s, m, nil)
}

// A sum is a number of 256 bits that starts anew above the largest.
func TestSumIsANumber(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	all := new(big.Int).Lsh(big.NewInt(1), 256)
	want, got := new(big.Int), Sum{}
	for i := range 1000 {
		var h Sum
		for k := range h {
			h[k] = [...]byte{0, 0xff, byte(dice.IntN(256))}[dice.IntN(3)] // carries go far
		}
		n := new(big.Int).SetBytes(h[:])
		if got.move(h, i%2 == 1); i%2 == 1 {
			n.Neg(n)
		}
		if want.Mod(want.Add(want, n), all); new(big.Int).SetBytes(got[:]).Cmp(want) != 0 {
			t.Fatalf("after %d: %x, want %x", i, got, want)
		}
	}
}
