package contract

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestThinnedNumbers(t *testing.T) {
	for _, c := range []struct {
		name string
		t    Thinned
		want [][2]uint64 // nil: refused
	}{
		{"all", Thinned{From: 17, To: 40, Count: 24}, [][2]uint64{{17, 40}}},
		{"some", Thinned{From: 3, To: 9, Count: 5, Gone: [][2]uint64{{3, 5}, {8, 9}}}, [][2]uint64{{3, 5}, {8, 9}}},
		{"one", Thinned{From: 1, To: 1, Count: 1}, [][2]uint64{{1, 1}}},
		{"the zero value", Thinned{}, nil},
		{"does not say which", Thinned{From: 3, To: 9, Count: 5}, nil},
		{"counts too many", Thinned{From: 3, To: 9, Count: 6, Gone: [][2]uint64{{3, 5}, {8, 9}}}, nil},
		{"begins elsewhere", Thinned{From: 2, To: 9, Count: 5, Gone: [][2]uint64{{3, 5}, {8, 9}}}, nil},
		{"ends elsewhere", Thinned{From: 3, To: 10, Count: 5, Gone: [][2]uint64{{3, 5}, {8, 9}}}, nil},
		{"out of order", Thinned{From: 8, To: 5, Count: 5, Gone: [][2]uint64{{8, 9}, {3, 5}}}, nil},
		{"twice", Thinned{From: 3, To: 5, Count: 6, Gone: [][2]uint64{{3, 5}, {3, 5}}}, nil},
		{"not apart", Thinned{From: 3, To: 9, Count: 7, Gone: [][2]uint64{{3, 5}, {6, 9}}}, nil},
		{"backwards", Thinned{From: 5, To: 3, Count: 1, Gone: [][2]uint64{{5, 3}}}, nil},
		{"as many as there may be", Thinned{From: 1, To: MaxThinned, Count: MaxThinned}, [][2]uint64{{1, MaxThinned}}},
		{"one more", Thinned{From: 1, To: MaxThinned + 1, Count: MaxThinned + 1}, nil},
		{"everything", Thinned{From: 1, To: math.MaxUint64, Count: math.MaxUint64}, nil},
	} {
		got, err := c.t.Numbers()
		if (err == nil) != (c.want != nil) || !cmp.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}
