package journal

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func state(t testing.TB, j *Journal, seq uint64) (State, string) {
	t.Helper()
	for r, err := range j.Range(t.Context(), seq, seq) {
		if err != nil {
			t.Fatal(err)
		}
		return r.State, r.Reason
	}
	t.Fatalf("row %d is not there", seq)
	return 0, ""
}

// The mark covers what headquarters stored as refused too (the example of the
// mqtt contract, section 5): such a row is quarantined, not receipted.
func TestRefusedBelowTheMarkIsQuarantined(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	add(t, j, event("crossing"), alert(), event("crossing"), event("crossing"))
	first := Receipt{Epoch: j.Epoch(), Upto: 3, Reject: []Reject{{1, "schema"}, {2, "size"}}}
	for range 2 {
		if err := j.Receipted(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		for seq, want := range []State{1: Quarantined, 2: Quarantined, 3: Receipted, 4: Waiting} {
			if seq == 0 {
				continue
			}
			if got, _ := state(t, j, uint64(seq)); got != want {
				t.Errorf("row %d is %d, want %d", seq, got, want)
			}
		}
		if s := j.Stats(); s.Waiting != 1 || s.Alerts != 0 || s.Quarantined != 2 {
			t.Errorf("%+v", s)
		}
	}
	// Refused only after it had been receipted: kept for a person all the same.
	if err := j.Receipted(t.Context(), Receipt{Epoch: j.Epoch(), Upto: 4, Reject: []Reject{{3, strings.Repeat("x", 5000)}}}); err != nil {
		t.Fatal(err)
	}
	if got, why := state(t, j, 3); got != Quarantined || len(why) != reasonMost {
		t.Errorf("row 3 is %d for %d bytes of reason", got, len(why))
	}
	if s := j.Stats(); s.Waiting != 0 || s.Alerts != 0 || s.Quarantined != 3 {
		t.Errorf("%+v", s)
	}
}

// A range that is no range receipts nothing, least of all everything.
func TestI4_MalformedRangeReceiptsNothing(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	add(t, j, event("crossing"), event("crossing"), event("crossing"))
	for _, r := range []Receipt{
		{Have: [][2]uint64{{1 << 63, 3}}},
		{Have: [][2]uint64{{math.MaxUint64, 3}}},
		{Have: [][2]uint64{{3, 2}}},
		{Have: [][2]uint64{{0, 2}}},
		{Have: [][2]uint64{{1, math.MaxUint64}}},
		{Upto: math.MaxUint64},
		{Upto: 1, Reject: []Reject{{0, "x"}}},
		{Upto: 1, Reject: []Reject{{math.MaxUint64, "x"}}},
	} {
		r.Epoch = j.Epoch()
		if err := j.Receipted(t.Context(), r); !errors.Is(err, ErrBeyond) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if s := j.Stats(); s.Waiting != 3 {
		t.Errorf("%+v", s)
	}
}

// Ranges that overlap count each row once.
func TestI4_OverlappingRangesCountOnce(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	add(t, j, event("crossing"), alert(), event("crossing"), alert(), event("crossing"), event("crossing"))
	r := Receipt{Epoch: j.Epoch(), Upto: 2, Have: [][2]uint64{{1, 3}, {2, 4}, {3, 3}, {2, 4}}, Reject: []Reject{{4, "a"}, {4, "b"}}}
	if err := j.Receipted(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.Waiting != 2 || s.Alerts != 0 || s.Quarantined != 1 {
		t.Errorf("%+v", s)
	}
	if _, why := state(t, j, 4); why != "a" {
		t.Errorf("refused for %q, then for something else", why)
	}
}

// Whatever is in a receipt, it marks what it names and nothing besides, or is
// refused as a whole.
func TestI4_ReceiptMarksWhatItNames(t *testing.T) {
	const rows = 40
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		j, _, err := Open(t.Context(), Config{Path: filepath.Join(dir, "j.db")})
		if err != nil {
			r.Fatal(err)
		}
		defer func() { _ = j.Close() }()
		add(t, j, fill(rows)...)
		number := rapid.OneOf(rapid.Uint64Range(0, rows+1), rapid.Uint64Range(0, rows+1), rapid.Uint64())
		want := [rows + 1]State{}
		for range rapid.IntRange(1, 3).Draw(r, "receipts") {
			in := Receipt{Epoch: j.Epoch(), Upto: rapid.Uint64Range(0, rows/2).Draw(r, "upto")}
			for range rapid.IntRange(0, 4).Draw(r, "ranges") {
				in.Have = append(in.Have, [2]uint64{number.Draw(r, "from"), number.Draw(r, "to")})
			}
			for range rapid.IntRange(0, 2).Draw(r, "refused") {
				in.Reject = append(in.Reject, Reject{Seq: number.Draw(r, "refused"), Reason: "x"})
			}
			sound := apply(in, want[:])
			if err := j.Receipted(t.Context(), in); (err == nil) != sound {
				r.Fatalf("%+v: %v", in, err)
			}
		}
		var s Stats
		for rec, err := range j.Range(t.Context(), 1, rows) {
			if err != nil {
				r.Fatal(err)
			}
			if rec.State != want[rec.Seq] {
				r.Fatalf("row %d is %d, want %d", rec.Seq, rec.State, want[rec.Seq])
			}
			switch rec.State {
			case Waiting:
				s.Waiting++
			case Quarantined:
				s.Quarantined++
			}
		}
		if got := j.Stats(); got.Waiting != s.Waiting || got.Quarantined != s.Quarantined {
			r.Fatalf("%+v, counted %+v", got, s)
		}
	})
}

// apply is what a receipt means, said plainly. It tells whether it is sound.
func apply(in Receipt, rows []State) bool {
	for _, x := range in.Have {
		if x[0] < 1 || x[1] < x[0] || x[1] >= uint64(len(rows)) {
			return false
		}
	}
	for _, x := range in.Reject {
		if x.Seq < 1 || x.Seq >= uint64(len(rows)) {
			return false
		}
	}
	for _, x := range append([][2]uint64{{1, in.Upto}}, in.Have...) {
		for seq := x[0]; seq <= x[1]; seq++ {
			if rows[seq] == Waiting {
				rows[seq] = Receipted
			}
		}
	}
	for _, x := range in.Reject {
		rows[x.Seq] = Quarantined
	}
	return true
}

// Many small ranges share transactions, and all of them are applied.
func TestReceiptOfManyRanges(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	var have [][2]uint64
	for i := range uint64(10) {
		add(t, j, fill(groupMost)...)
		for s := i*groupMost + 1; s < (i+1)*groupMost; s += 2 {
			have = append(have, [2]uint64{s, s})
		}
	}
	if err := j.Receipted(t.Context(), Receipt{Epoch: j.Epoch(), Have: have}); err != nil {
		t.Fatal(err)
	}
	rows, err := j.Pending(t.Context(), Query{Lane: Backlog, Limit: 1000})
	if err != nil || len(rows) != 320 || rows[0].Seq != 2 {
		t.Fatalf("%d rows wait, %v", len(rows), err)
	}
}

// fill is n entries.
func fill(n int) []Entry {
	out := make([]Entry, n)
	for i := range out {
		out[i] = event("crossing")
	}
	return out
}

// What headquarters has up to a number is one row written, however many it
// covers: the events themselves stay as they are.
func TestReceiptWritesNoEventAgain(t *testing.T) {
	j, _ := open(t, Config{Path: filepath.Join(t.TempDir(), "j.db")})
	for range 10 {
		add(t, j, fillOf("crossing", groupMost)...)
	}
	changes := func() (n int64) {
		if err := j.do(t.Context(), func(w *writer) (_ bool, err error) {
			n, err = w.conn.Int("SELECT total_changes()")
			return false, err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := changes()
	if err := j.Receipted(t.Context(), Receipt{Epoch: j.Epoch(), Upto: 600}); err != nil {
		t.Fatal(err)
	}
	if n := changes() - before; n != 1 {
		t.Errorf("%d rows were written", n)
	}
	if b := pending(t, j, Backlog); len(b) != 40 || b[0] != 601 {
		t.Errorf("%v wait", b)
	}
	if s, _ := state(t, j, 600); s != Receipted {
		t.Errorf("600 is %d", s)
	}
}
