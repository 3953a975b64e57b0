package receiver

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"boothd/agent/contract"
)

// tombstone gives numbers up.
func tombstone(seq uint64, gone ...[2]uint64) Delivery {
	d := contract.Thinned{From: gone[0][0], To: gone[len(gone)-1][1], Gone: gone}
	for _, r := range gone {
		d.Count += r[1] - r[0] + 1
	}
	return said(seq, d)
}

// said is an audit event of boothA.
func said(seq uint64, d contract.Data) Delivery {
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte("said"+string(rune(seq))))
	b, err := contract.Encode(contract.Stamp{Epoch: epochA, Seq: seq, ID: id.String()}, contract.Head{Booth: boothA, Time: noon}, d)
	if err != nil {
		panic(err)
	}
	return Delivery{Topic: contract.EventTopic(boothA, contract.ClassAudit), Body: b, At: noon}
}

func TestI4_TombstonesExplainWhatTheyName(t *testing.T) {
	each(t, testTombstonesExplainWhatTheyName)
}

func testTombstonesExplainWhatTheyName(t *testing.T, fresh func() string) {
	for _, c := range []struct {
		name                   string
		comes                  []Delivery
		want                   contract.Receipt
		last, missing, thinned uint64
	}{
		{"before its neighbours", []Delivery{tombstone(9, [2]uint64{2, 4}, [2]uint64{6, 7})},
			contract.Receipt{Have: [][2]uint64{{9, 9}}, Want: [][2]uint64{{1, 1}, {5, 5}, {8, 8}}}, 9, 3, 5},
		{"the mark stops at what is kept and has not come", []Delivery{audit(boothA, 1), tombstone(9, [2]uint64{2, 4}, [2]uint64{6, 7})},
			contract.Receipt{Upto: 4, Have: [][2]uint64{{9, 9}}, Want: [][2]uint64{{5, 5}, {8, 8}}}, 9, 2, 5},
		{"behind its neighbours", []Delivery{audit(boothA, 1), audit(boothA, 5), audit(boothA, 8), tombstone(9, [2]uint64{2, 4}, [2]uint64{6, 7})},
			contract.Receipt{Upto: 9}, 9, 0, 5},
		// Three of them are here, and three of four are gone: who counts would let
		// the mark pass 5, which is a crossing on its way.
		{"one that was on its way is not one that is kept", []Delivery{audit(boothA, 1), audit(boothA, 3), audit(boothA, 4), audit(boothA, 6), tombstone(7, [2]uint64{2, 4})},
			contract.Receipt{Upto: 4, Have: [][2]uint64{{6, 7}}, Want: [][2]uint64{{5, 5}}}, 7, 1, 1},
		{"one that comes late all the same", []Delivery{audit(boothA, 1), tombstone(5, [2]uint64{2, 4}), audit(boothA, 3)},
			contract.Receipt{Upto: 5}, 5, 0, 2},
		{"twice", []Delivery{audit(boothA, 1), tombstone(5, [2]uint64{2, 4}), tombstone(5, [2]uint64{2, 4})},
			contract.Receipt{Upto: 5}, 5, 0, 3},
		{"of all in a range", []Delivery{said(5, contract.Thinned{From: 1, To: 4, Count: 4})}, contract.Receipt{Upto: 5}, 5, 0, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{1, len(c.comes)} {
				s, db := newStore(t, fresh())
				for batch := range slices.Chunk(slices.Clone(c.comes), size) {
					mustAdd(t, s, batch...)
				}
				c.want.Epoch = epochA
				if diff := gocmp.Diff(c.want, mustReceipt(t, s, boothA), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("receipt by %d (-want +got):\n%s", size, diff)
				}
				st, sum := standing(t, db), summary(t, db)
				if st.Upto != c.want.Upto || st.Last != c.last || st.Missing != c.missing || st.Thinned != c.thinned {
					t.Errorf("standing %+v", st)
				}
				if e := sum.Booths[0].Epochs[0]; sum.Missing != c.missing || sum.Thinned != c.thinned || e.Thinned != c.thinned || !gocmp.Equal(e.Holes, append([][2]uint64{}, c.want.Want...)) {
					t.Errorf("summary %+v", sum)
				}
			}
		})
	}
}

// What contradicts itself explains nothing, and is refused.
func TestTombstonesThatContradictThemselves(t *testing.T) {
	each(t, func(t *testing.T, fresh func() string) {
		for _, d := range []contract.Thinned{{From: 2, To: 4, Count: 2}, {From: 2, To: 5, Count: 4}, {From: 2, To: 9, Count: 8}, {From: 1, To: 1 << 40, Count: 1 << 40}, {}} {
			s, db := newStore(t, fresh())
			mustAdd(t, s, audit(boothA, 1), said(5, d))
			if r := mustReceipt(t, s, boothA); r.Upto != 1 || len(r.Reject) != 1 || r.Reject[0].Seq != 5 || r.Reject[0].Code != "schema" {
				t.Errorf("%+v: receipt %+v", d, r)
			}
			if sum := summary(t, db); sum.Missing != 3 || sum.Thinned != 0 || sum.Rejected != 1 {
				t.Errorf("%+v: %+v", d, sum)
			}
		}
	})
}

// outbox is what a booth's journal has given up and what it sends.
type outbox struct {
	last  uint64
	by    map[uint64][]uint64 // the numbers that a tombstone gives up
	gone  map[uint64]bool
	sends []Delivery // in any order, some twice; some of what is gone too
}

// thinned makes one up.
func thinned(rng *rand.Rand) outbox {
	b := outbox{by: make(map[uint64][]uint64), gone: make(map[uint64]bool)}
	tombs := make(map[uint64]Delivery)
	free := uint64(1) // ranges do not overlap
	for range 1 + rng.IntN(4) {
		from := free + rng.Uint64N(12)
		var gone [][2]uint64
		at := from
		for range 1 + rng.IntN(5) {
			r := [2]uint64{at, at + rng.Uint64N(9)}
			gone, at = append(gone, r), r[1]+2+rng.Uint64N(4)
		}
		free = gone[len(gone)-1][1] + 1
		for _, r := range gone {
			for n := r[0]; n <= r[1]; n++ {
				b.gone[n] = true
			}
		}
		tomb := free + rng.Uint64N(5)
		free = tomb + 1
		tombs[tomb] = tombstone(tomb, gone...)
		for _, r := range gone {
			for n := r[0]; n <= r[1]; n++ {
				b.by[tomb] = append(b.by[tomb], n)
			}
		}
	}
	b.last = free + rng.Uint64N(20)
	for seq := uint64(1); seq <= b.last; seq++ {
		d, is := tombs[seq]
		if !is {
			d = audit(boothA, seq)
		}
		if b.gone[seq] && rng.IntN(10) > 0 {
			continue
		}
		for range 1 + rng.IntN(2) {
			b.sends = append(b.sends, d)
		}
	}
	rng.Shuffle(len(b.sends), func(i, j int) { b.sends[i], b.sends[j] = b.sends[j], b.sends[i] })
	return b
}

// Whatever comes in whatever order, the mark never passes a number that is
// neither here nor given up, nothing is asked for that never comes, and when all
// has come the mark is at the end. Two receivers share PostgreSQL; each is started
// anew now and then.
func TestI4_TheMarkPassesNothingUnexplained(t *testing.T) { each(t, testTheMark) }

func testTheMark(t *testing.T, fresh func() string) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 5))
		b, db := thinned(rng), fresh()
		s, err := Open(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		here, explained := make(map[uint64]bool), make(map[uint64]bool)
		var beside Store // the server has 40 connections
		for batch := range slices.Chunk(b.sends, 1+rng.IntN(20)) {
			if rng.IntN(4) == 0 {
				done := s
				if isPostgres(db) {
					done, beside = beside, s
				}
				if done != nil {
					if err := done.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if s, err = Open(t.Context(), db); err != nil {
					t.Fatal(err)
				}
			}
			mustAdd(t, s, batch...)
			for _, d := range batch {
				e, err := contract.Decode(d.Body)
				if err != nil {
					t.Fatal(err)
				}
				here[e.Seq] = true
				for _, n := range b.by[e.Seq] {
					explained[n] = true
				}
			}
			agree(t, seed, s, db, here, explained)
		}
		if r := mustReceipt(t, s, boothA); r.Upto != b.last || len(r.Want) > 0 {
			t.Errorf("seed %d: all has come, and the receipt is %+v, want up to %d", seed, r, b.last)
		}
		for _, done := range []Store{s, beside} {
			if done == nil {
				continue
			}
			if err := done.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// agree compares a store with sets of numbers.
func agree(t *testing.T, seed uint64, s Store, db string, here, explained map[uint64]bool) {
	t.Helper()
	var upto, last, missing, thinned uint64
	for seq := range here {
		last = max(last, seq)
	}
	for here[upto+1] || explained[upto+1] {
		upto++
	}
	var want [][2]uint64
	for seq := uint64(1); seq <= last; seq++ {
		switch n := len(want); {
		case !here[seq] && explained[seq]:
			thinned++
		case here[seq]:
		case n > 0 && want[n-1][1] == seq-1:
			want[n-1][1] = seq
			missing++
		default:
			want = append(want, [2]uint64{seq, seq})
			missing++
		}
	}
	r := mustReceipt(t, s, boothA)
	if r.Upto != upto || !gocmp.Equal(r.Want, want) {
		t.Fatalf("seed %d: receipt up to %d, wants %v; want %d, %v", seed, r.Upto, r.Want, upto, want)
	}
	for _, x := range r.Have {
		for seq := x[0]; seq <= x[1]; seq++ {
			if !here[seq] {
				t.Fatalf("seed %d: the receipt has %d, which is not here", seed, seq)
			}
		}
	}
	if st, sum := standing(t, db), summary(t, db); st.Missing != missing || st.Thinned != thinned || sum.Missing != missing || sum.Thinned != thinned {
		t.Fatalf("seed %d: missing %d and %d, thinned %d and %d, want %d and %d", seed, st.Missing, sum.Missing, st.Thinned, sum.Thinned, missing, thinned)
	}
}

// A booth that was away for long has more holes than a receiver keeps ranges.
// What it sends in order is left out in the end, but never the tombstones, which
// close holes.
func TestTombstonesAreTakenWhenThereIsNoRoom(t *testing.T) {
	each(t, func(t *testing.T, fresh func() string) {
		s, db := newStore(t, fresh())
		const holes = mostIslands + 500
		var kept, tombs []Delivery
		for n := range uint64(holes) {
			kept = append(kept, audit(boothA, 2+2*n))
		}
		seq := uint64(2*holes + 1)
		for first := uint64(1); first < 2*holes; first += 500 {
			var gone [][2]uint64
			for n := first; n < min(first+500, 2*holes); n += 2 {
				gone = append(gone, [2]uint64{n, n})
			}
			tombs = append(tombs, tombstone(seq, gone...))
			seq++
		}
		later := 0
		add := func(ds []Delivery) {
			for batch := range slices.Chunk(slices.Clone(ds), batch) {
				later += mustAdd(t, s, batch...)[boothA].Later
			}
		}
		add(kept)
		if later == 0 {
			t.Fatal("there is room for all")
		}
		if later = 0; len(tombs) > 0 {
			add(tombs)
		}
		if later != 0 {
			t.Errorf("%d tombstones are left out", later)
		}
		add(kept)
		if r := mustReceipt(t, s, boothA); later != 0 || r.Upto != seq-1 {
			t.Errorf("%d left out, receipt %+v, want up to %d", later, r, seq-1)
		}
		if sum := summary(t, db); sum.Missing != 0 || sum.Thinned != holes {
			t.Errorf("%d missing, %d thinned of %d", sum.Missing, sum.Thinned, holes)
		}
	})
}

func TestWithout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var holes [][2]uint64
		at := uint64(0)
		in := make(map[uint64]bool)
		for range rapid.IntRange(0, 8).Draw(t, "holes") {
			from := at + 2 + rapid.Uint64Range(0, 5).Draw(t, "from")
			at = from + rapid.Uint64Range(0, 9).Draw(t, "length")
			holes = append(holes, [2]uint64{from, at})
			for n := from; n <= at; n++ {
				in[n] = true
			}
		}
		gone := rapid.SliceOfDistinct(rapid.Uint64Range(1, at+3), func(n uint64) uint64 { return n }).Draw(t, "gone")
		slices.Sort(gone)
		for _, n := range gone {
			delete(in, n)
		}
		most, all := rapid.IntRange(1, 100).Draw(t, "most"), rapid.Bool().Draw(t, "all")
		got := without(holes, gone, most, all)
		top := uint64(0)
		if len(got) > 0 {
			top = got[len(got)-1][1]
		}
		whole := all && len(got) < most
		for n := uint64(1); n <= at+3; n++ {
			_, is := slices.BinarySearchFunc(got, n, func(r [2]uint64, n uint64) int {
				switch {
				case r[1] < n:
					return -1
				case r[0] > n:
					return 1
				}
				return 0
			})
			if is && !in[n] || !is && in[n] && (n <= top || whole) {
				t.Fatalf("without(%v, %v, %d, %v) = %v is wrong about %d", holes, gone, most, all, got, n)
			}
		}
		if !slices.IsSortedFunc(got, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) }) || len(got) > most {
			t.Fatal(got)
		}
	})
}

// A database of the version before, in which tombstones are events like others,
// is raised, and what they tell is taken in.
func TestTombstonesOfAnOlderVersion(t *testing.T) { each(t, testOlderVersion) }

func testOlderVersion(t *testing.T, fresh func() string) {
	db := fresh()
	s, err := Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, s, audit(boothA, 1), audit(boothA, 2), audit(boothA, 6), tombstone(8, [2]uint64{3, 5}), audit(boothA, 9))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	setBack(t, db)
	for range 2 { // to be started again changes nothing
		if s, err = Open(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		want := contract.Receipt{Epoch: epochA, Upto: 6, Have: [][2]uint64{{8, 9}}, Want: [][2]uint64{{7, 7}}}
		if diff := gocmp.Diff(want, mustReceipt(t, s, boothA)); diff != "" {
			t.Errorf("receipt (-want +got):\n%s", diff)
		}
		if st := standing(t, db); st.Missing != 1 || st.Thinned != 3 {
			t.Errorf("%+v", st)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// setBack makes of a database what the version before would have made of it.
func setBack(t *testing.T, db string) {
	t.Helper()
	statements(t, db, "DROP INDEX event_thinned", "DROP TABLE gone", "ALTER TABLE epoch DROP COLUMN thinned", "UPDATE epoch SET upto = 2")
	if isPostgres(db) {
		statements(t, db, "UPDATE epoch SET held = '{6,6,8,9}'", "UPDATE schema_version SET version = 4")
		return
	}
	statements(t, db, "DROP TABLE held", "PRAGMA user_version = 4")
}
