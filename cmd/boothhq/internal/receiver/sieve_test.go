package receiver

import (
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sieve is a booth that was full: of its numbers up to last every second one is
// given up, and the tombstones stand above what they tell of, the first of them
// above reach.
func sieve(last, reach uint64) (kept map[uint64]Delivery, given uint64) {
	kept = make(map[uint64]Delivery)
	var gone [][2]uint64
	for seq := uint64(1); seq <= last; seq++ {
		switch {
		case seq > 100 && seq%2 == 1 && seq < last-last/4:
			gone = append(gone, [2]uint64{seq, seq})
			given++
		case seq > reach && len(gone) > 0:
			n := min(len(gone), piece)
			kept[seq] = tombstone(seq, gone[:n]...)
			gone = gone[n:]
		default:
			kept[seq] = audit(boothA, seq)
		}
	}
	if len(gone) > 0 {
		panic("not all is told")
	}
	return kept, given
}

// I4: headquarters comes back with a database from before its booth gave up ten
// thousand numbers, none beside another. What it asks for is what it lacks, until
// it has everything that the booth keeps, also if it starts anew in between. The
// booth sends 500 events for each receipt, and has at most 256 without one in the air.
func TestI4_ASieveIsMadeWhole(t *testing.T) { each(t, testSieve) }

func testSieve(t *testing.T, fresh func() string) {
	const last, reach, perReceipt, inAir = 32_000, 18_000, 500, 256
	kept, given := sieve(last, reach)
	db := fresh()
	s, err := Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	for seq := range uint64(100) {
		mustAdd(t, s, audit(boothA, seq+1))
	}
	mustAdd(t, s, kept[last]) // by this it learns what it lacks
	air, sent, rounds := make(map[uint64]bool), 0, 0
	for r := mustReceipt(t, s, boothA); r.Upto < last; r = mustReceipt(t, s, boothA) {
		for seq := range air {
			if seq <= r.Upto || slices.ContainsFunc(r.Have, func(x [2]uint64) bool { return x[0] <= seq && seq <= x[1] }) {
				delete(air, seq)
			}
		}
		var out []Delivery
		for _, x := range r.Want {
			for seq := x[0]; seq <= x[1] && len(out) < perReceipt && len(air) < inAir; seq++ {
				if d, is := kept[seq]; is && !air[seq] {
					air[seq] = true
					out = append(out, d)
				}
			}
		}
		if rounds++; len(out) == 0 || rounds > 4*last/inAir {
			t.Fatalf("nothing goes on after %d receipts: up to %d, %d ranges had, %d wanted, %d in the air, %d of %d sent", rounds, r.Upto, len(r.Have), len(r.Want), len(air), sent, len(kept))
		}
		sent += len(out)
		if later := mustAdd(t, s, out...)[boothA].Later; later > 0 {
			t.Errorf("%d of %d left out", later, len(out))
		}
		if rounds == last/inAir/4 {
			if st, sum := standing(t, db), summary(t, db); st.Missing != sum.Missing || st.Thinned != sum.Thinned {
				t.Errorf("the board tells of %d missing and %d given up, the report of %d and %d", st.Missing, st.Thinned, sum.Missing, sum.Thinned)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(t.Context(), db); err != nil {
				t.Fatal(err)
			}
		}
	}
	if sum := summary(t, db); sum.Missing != 0 || sum.Thinned != given || sum.Events != int64(len(kept)) || sum.Booths[0].Epochs[0].Again != 0 {
		t.Errorf("%+v, want %d events and %d given up", sum, len(kept), given)
	}
	t.Logf("%d events for %d receipts", sent, rounds)
}

func TestJoin(t *testing.T) {
	for _, c := range []struct {
		have [][2]uint64
		gone []uint64
		want [][2]uint64
	}{
		{nil, []uint64{3}, nil},
		{[][2]uint64{{5, 6}}, []uint64{4, 7}, [][2]uint64{{5, 6}}},
		{[][2]uint64{{5, 6}, {9, 9}, {11, 12}}, []uint64{7, 8, 10}, [][2]uint64{{5, 12}}},
		{[][2]uint64{{5, 6}, {9, 9}, {11, 12}}, []uint64{7, 10}, [][2]uint64{{5, 6}, {9, 12}}},
		{[][2]uint64{{5, 6}, {9, 9}}, []uint64{8}, [][2]uint64{{5, 6}, {9, 9}}},
		{[][2]uint64{{5, 6}, {1<<63 - 1, 1<<63 - 1}}, []uint64{7, 8}, [][2]uint64{{5, 6}, {1<<63 - 1, 1<<63 - 1}}},
	} {
		m := marks{upto: 1, have: slices.Clone(c.have)}
		m.join(c.gone)
		if diff := gocmp.Diff(c.want, m.have); diff != "" {
			t.Errorf("join(%v, %v) (-want +got):\n%s", c.have, c.gone, diff)
		}
	}
}

// The highest pieces are holes and nothing else, from above, and together all of
// them.
func TestHighest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m marks
		for range rapid.IntRange(0, 12).Draw(t, "numbers") {
			m.add(rapid.Uint64Range(1, 4*piece).Draw(t, "seq"))
		}
		n := rapid.IntRange(1, 30).Draw(t, "n")
		got, below := m.highest(n), m.last()
		if len(got) > n {
			t.Fatalf("%d pieces", len(got))
		}
		covered := uint64(0)
		for _, x := range got {
			if x[0] == 0 || x[0] > x[1] || x[1] >= below || x[1]-x[0] >= piece {
				t.Fatalf("%v in %v", x, got)
			}
			for seq := x[0]; seq <= x[1]; seq++ {
				if _, in := m.find(seq); in || seq <= m.upto {
					t.Fatalf("%d is in no hole", seq)
				}
			}
			below = x[0]
			covered += x[1] - x[0] + 1
		}
		if len(got) < n && covered != m.missing() {
			t.Fatalf("%v cover %d of %d", got, covered, m.missing())
		}
	})
}

// More real holes than a receipt has room for are asked for from both ends.
func TestTooManyHolesAreAskedForFromBothEnds(t *testing.T) {
	var m marks
	dice := rand.New(rand.NewPCG(1, 7))
	for seq := uint64(2); len(m.have) < 4*mostRanges; seq += 2 + dice.Uint64N(3) {
		m.add(seq)
	}
	want := m.receipt(epochA).Want
	if len(want) != mostRanges || want[0][0] != m.upto+1 || want[mostRanges/2][1] != m.last()-2 && want[mostRanges/2][1] != m.last()-1 {
		t.Errorf("%d ranges, from %v and from %v; last %d", len(want), want[0], want[mostRanges/2], m.last())
	}
}
