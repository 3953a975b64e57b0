package receiver

import (
	"cmp"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMarksAgreeWithASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m marks
		in := make(map[uint64]bool)
		for _, seq := range rapid.SliceOfN(rapid.Uint64Range(1, 60), 0, 80).Draw(t, "seqs") {
			m.add(seq)
			in[seq] = true
		}
		var want marks
		var last, missing uint64
		for seq := range in {
			last = max(last, seq)
		}
		for in[want.upto+1] {
			want.upto++
		}
		for seq := want.upto + 1; seq <= last; seq++ {
			switch n := len(want.have); {
			case !in[seq]:
				missing++
			case n > 0 && want.have[n-1][1] == seq-1:
				want.have[n-1][1] = seq
			default:
				want.have = append(want.have, [2]uint64{seq, seq})
			}
		}
		if m.upto != want.upto || len(m.have) != len(want.have) || len(m.have) > 0 && !gocmp.Equal(m.have, want.have) {
			t.Fatalf("marks = %v, want %v", m, want)
		}
		if m.last() != last || m.missing() != missing {
			t.Errorf("last %d, missing %d, want %d, %d", m.last(), m.missing(), last, missing)
		}
		var holes uint64
		for _, h := range m.holes(100) {
			for seq := h[0]; seq <= h[1]; seq++ {
				if in[seq] {
					t.Errorf("hole %v holds %d, which is here", h, seq)
				}
				holes++
			}
		}
		if holes != missing {
			t.Errorf("holes hold %d, want %d", holes, missing)
		}
	})
}

// Whatever is committed is told at some time, however much is: what overtakes a
// backlog would else wait for its receipt behind all of that.
func TestReceiptsTellOfEveryRange(t *testing.T) {
	var m marks
	const islands = 3 * mostRanges
	for n := range uint64(islands) {
		m.add(3 + 2*n)
	}
	told := make(map[uint64]bool)
	for range 200 {
		r := m.receipt(epochA)
		if len(r.Have) > mostRanges || len(r.Have) <= mostRanges/2 || !slices.IsSortedFunc(r.Have, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) }) {
			t.Fatalf("%d ranges", len(r.Have))
		}
		for _, x := range r.Have {
			if told[x[0]] = true; x[0] != x[1] || !slices.Contains(m.have, x) {
				t.Fatalf("%v is not committed", x)
			}
		}
		if r.Have[0][0] != 3 {
			t.Fatal("the lowest is left out")
		}
	}
	if len(told) != islands {
		t.Errorf("%d of %d are told", len(told), islands)
	}
}
