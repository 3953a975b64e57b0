package journal

import "testing"

// Whoever takes the first row of a long range, as a resend does for each row that
// it sends, has not the next 255 read for it; and a range that is read to its end
// is whole.
func TestTheFirstOfARangeIsReadAlone(t *testing.T) {
	const rows = 1000
	j, _ := open(t, Config{Path: t.TempDir() + "/journal.db"})
	for range rows / 50 {
		add(t, j, fill(50)...)
	}
	if err := j.do(t.Context(), nil); err != nil { // out of the redo log
		t.Fatal(err)
	}
	first := func(from uint64) {
		for r, err := range j.Range(t.Context(), from, rows) {
			if err != nil || r.Seq != from {
				t.Fatal(r.Seq, err)
			}
			break
		}
	}
	one := testing.AllocsPerRun(10, func() {
		for range j.Range(t.Context(), 1, 1) {
		}
	})
	if got := testing.AllocsPerRun(10, func() { first(1) }); got > 3*one {
		t.Errorf("the first of %d rows takes %.0f allocations, one alone %.0f", rows, got, one)
	}
	for _, from := range []uint64{1, 2, 255, 256, 257, 999, 1000} {
		next := from
		for r, err := range j.Range(t.Context(), from, rows) {
			if err != nil || r.Seq != next {
				t.Fatalf("from %d: row %d, %v, want %d", from, r.Seq, err, next)
			}
			next++
		}
		if next != rows+1 {
			t.Errorf("from %d: the last is %d", from, next-1)
		}
	}
}
