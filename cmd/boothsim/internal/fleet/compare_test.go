package fleet

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/buffer/journal"
)

// keep stores n events in a journal and gives their bytes.
func keep(t *testing.T, name string, n int) (s side, bodies [][]byte) {
	t.Helper()
	s = side{name: name, stored: uint64(n), path: filepath.Join(t.TempDir(), "journal.db")}
	j, _, err := journal.Open(t.Context(), journal.Config{Path: s.path})
	if err != nil {
		t.Fatal(err)
	}
	tr := newTraffic(1, 1, time.Now())
	for range n {
		d, now := tr.next(time.Now()), time.Now()
		_, err := j.Append(t.Context(), journal.Entry{Class: string(d.Type().Class()), At: now, Build: func(st journal.Stamp) ([]byte, error) {
			b, err := contract.Encode(contract.Stamp(st), contract.Head{Booth: name, Time: now.UTC(), Simulated: true}, d)
			bodies = append(bodies, b)
			return b, err
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return s, bodies
}

// I4: every way in which the two sides can differ is found, and counted once.
func TestI4_CompareFindsEveryDifference(t *testing.T) {
	a, inA := keep(t, "booth-a", 70)
	b, inB := keep(t, "booth-b", 5)
	_, foreign := keep(t, "booth-aa", 3)
	_, other := keep(t, "booth-a", 1)   // another life of the same booth
	_, before := keep(t, "a-booth", 2)  // neighbours at the same broker,
	_, behind := keep(t, "zz-booth", 2) // in front of ours and behind
	tests := []struct {
		name string
		edit func(*[][]byte)
		want Compared
	}{
		{"the same", func(*[][]byte) {}, Compared{}},
		{"first", func(all *[][]byte) { *all = (*all)[1:] }, Compared{Missing: 1}},
		{"within", func(all *[][]byte) { *all = slices.Delete(*all, 10, 13) }, Compared{Missing: 3}},
		{"last of a booth", func(all *[][]byte) { *all = slices.Delete(*all, 69, 70) }, Compared{Missing: 1}},
		{"last", func(all *[][]byte) { *all = (*all)[:74] }, Compared{Missing: 1}},
		{"a whole booth", func(all *[][]byte) { *all = (*all)[:70] }, Compared{Missing: 5}},
		{"everything", func(all *[][]byte) { *all = nil }, Compared{Missing: 75}},
		{"twice", func(all *[][]byte) { *all = slices.Insert(*all, 7, (*all)[6]) }, Compared{Doubled: 1}},
		{"last twice", func(all *[][]byte) { *all = append(*all, (*all)[74]) }, Compared{Doubled: 1}},
		{"other bytes", func(all *[][]byte) { (*all)[0] = bytes.Replace((*all)[0], []byte("PRIMARY"), []byte("HOLD"), 1) }, Compared{Altered: 1}},
		{"a number too many", func(all *[][]byte) {
			*all = append(*all, bytes.Replace((*all)[74], []byte(`"boothseq":5`), []byte(`"boothseq":6`), 1))
		}, Compared{Extra: 1}},
		{"another life", func(all *[][]byte) { *all = slices.Insert(*all, 70, other[0]) }, Compared{Extra: 1}},
		{"strangers", func(all *[][]byte) {
			*all = slices.Concat(before, (*all)[:70], foreign, (*all)[70:], behind)
		}, Compared{}},
	}
	for _, tt := range tests {
		all := slices.Concat(inA, inB)
		tt.edit(&all)
		got, err := compare(t.Context(), []side{b, a}, bytes.NewReader(bytes.Join(all, []byte("\n"))))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		good := reflect.DeepEqual(tt.want, Compared{})
		if (got.Clean() == nil) != good || (len(got.Examples) == 0) != good {
			t.Errorf("%s: Clean = %v", tt.name, got.Clean())
		}
		got.Examples = nil
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: compare = %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestI4_CompareFindsWhatTheBoothLost(t *testing.T) {
	s, all := keep(t, "booth-a", 4)
	s.stored = 6
	got, err := compare(context.Background(), []side{s}, bytes.NewReader(bytes.Join(all, []byte("\n"))))
	if err != nil || got.Lost != 2 || got.Clean() == nil {
		t.Errorf("compare = %+v, %v, want 2 lost", got, err)
	}
	if _, err := compare(t.Context(), []side{s}, strings.NewReader("no event\n")); err == nil {
		t.Error("an export that is none is compared")
	}
}

// What a booth has given up is not missing, and is nothing too many where it was
// on its way; a number beside it is both.
func TestI4_CompareKnowsWhatWasGivenUp(t *testing.T) {
	const name = "booth-a"
	s := side{name: name, path: filepath.Join(t.TempDir(), "journal.db")}
	entry := func(d contract.Data) journal.Entry {
		return journal.Entry{Class: string(d.Type().Class()), At: time.Now(), Build: func(st journal.Stamp) ([]byte, error) {
			return contract.Encode(contract.Stamp(st), contract.Head{Booth: name, Time: time.Now().UTC()}, d)
		}}
	}
	j, _, err := journal.Open(t.Context(), journal.Config{Path: s.path, MaxRows: 60, Thin: journal.Thin{Classes: []string{string(contract.ClassRead)}, Event: func(n journal.Thinning) journal.Entry {
		return entry(contract.Thinned{From: n.From, To: n.To, Count: n.Count, Gone: n.Gone})
	}}})
	if err != nil {
		t.Fatal(err)
	}
	bodies := make(map[uint64][]byte) // all that ever was
	for n := range 200 {
		d := contract.Data(contract.PlateRead{Device: "front"})
		if n%10 == 0 {
			d = contract.Stopped{Reason: "signal"}
		}
		stamps, err := j.Append(t.Context(), entry(d))
		if err != nil {
			t.Fatal(err)
		}
		for r, err := range j.Range(t.Context(), stamps[0].Seq, stamps[0].Seq) {
			if err != nil {
				t.Fatal(err)
			}
			bodies[r.Seq] = r.Body
		}
		s.stored = stamps[0].Seq
	}
	var here [][]byte
	gone, kept := uint64(0), uint64(0)
	for r, err := range j.Range(t.Context(), 1, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		bodies[r.Seq] = nil
		here, kept = append(here, r.Body), r.Seq
	}
	for seq, b := range bodies {
		if b != nil {
			gone = seq
		}
	}
	thinned := j.Stats().Thinned
	if err := j.Close(); err != nil || gone == 0 {
		t.Fatal(err, gone)
	}
	late := slices.SortedFunc(slices.Values(append(slices.Clone(here), bodies[gone])), func(a, b []byte) int {
		x, _ := contract.Decode(a)
		y, _ := contract.Decode(b)
		return int(x.Seq) - int(y.Seq)
	})
	for _, c := range []struct {
		name string
		all  [][]byte
		want Compared
	}{
		{"all that is kept", here, Compared{Thinned: thinned}},
		{"and one that was on its way", late, Compared{Thinned: thinned}},
		{"one that is kept has not come", here[1:], Compared{Thinned: thinned, Missing: 1}},
		{"a number too many", append(slices.Clone(here), bytes.Replace(here[len(here)-1], fmt.Appendf(nil, `"boothseq":%d`, kept), fmt.Appendf(nil, `"boothseq":%d`, kept+1), 1)),
			Compared{Thinned: thinned, Extra: 1}},
	} {
		got, err := compare(t.Context(), []side{s}, bytes.NewReader(bytes.Join(c.all, []byte("\n"))))
		got.Examples = nil
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}
