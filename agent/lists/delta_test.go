package lists

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/eligibility"
)

// card is a row of cards whose member is told by seed.
func card(t testing.TB, token [16]byte, seed byte) contract.ListRow {
	t.Helper()
	chip := sha256.Sum256(append(token[:], seed)) // so that nothing of it compresses
	v, err := contract.CardRow{Status: passage.Issued, Member: contract.TokenHex([16]byte{15: seed}), TID: contract.TokenHex([16]byte(chip[:16]))}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return contract.ListRow{Token: token, Value: v}
}

func sorted(rows map[[16]byte]contract.ListRow) []contract.ListRow {
	return slices.SortedFunc(maps.Values(rows), func(a, b contract.ListRow) int { return bytes.Compare(a.Token[:], b.Token[:]) })
}

// lineage is one list through its generations: some cards change with each.
type lineage struct {
	t    testing.TB
	rows []map[[16]byte]contract.ListRow // by generation, from 1
}

func newLineage(t testing.TB, generations int) *lineage {
	first := map[[16]byte]contract.ListRow{}
	for i := range 400 {
		tok := [16]byte{0: 1, 1: byte(i >> 8), 2: byte(i)}
		first[tok] = card(t, tok, 1)
	}
	l := &lineage{t: t, rows: []map[[16]byte]contract.ListRow{nil, first}}
	for g := 2; g <= generations; g++ {
		next := maps.Clone(l.rows[g-1])
		kept := [16]byte{0: 1, 2: byte(g)}
		next[kept] = card(t, kept, byte(g))            // replaced
		delete(next, [16]byte{0: 1, 1: 1, 2: byte(g)}) // removed
		back := [16]byte{0: 1, 1: 1, 2: byte(g - 1)}   // removed by the one before
		fresh := [16]byte{0: 9, 1: byte(g)}            // new
		next[back], next[fresh] = card(t, back, byte(g)), card(t, fresh, byte(g))
		if g%5 == 0 {
			delete(next, [16]byte{0: 9, 1: byte(g - 1)}) // new in the one before
		}
		l.rows = append(l.rows, next)
	}
	return l
}

// whole is a generation as a full copy. Padding makes it longer than any chain.
func (l *lineage) whole(g int) list {
	return listOf(l.t, contract.ListCards, uint64(g), sorted(l.rows[g]))
}

// delta leads from one generation to another; edit may change what is signed.
func (l *lineage) delta(from, to int, edit func(*contract.DeltaHeader, *Custom)) list {
	l.t.Helper()
	each := func(g int) func(func(contract.ListRow, error) bool) {
		return func(yield func(contract.ListRow, error) bool) {
			for _, r := range sorted(l.rows[g]) {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
	changes, sum, err := contract.DiffLists(each(from), each(to), contract.MaxDeltaChanges)
	if err != nil {
		l.t.Fatal(err)
	}
	a, b := l.whole(from).custom, l.whole(to).custom
	h := contract.DeltaHeader{Kind: contract.ListCards, From: digest(a.Digest), To: digest(b.Digest), Rows: b.Rows, Sum: sum}
	c := Custom{Kind: contract.ListCards, Base: uint64(from), Generation: uint64(to), Rows: b.Rows, Digest: b.Digest, BaseDigest: a.Digest,
		Sum: hex.EncodeToString(sum[:]), Format: contract.DeltaFormat}
	if edit != nil {
		edit(&h, &c)
	}
	var file bytes.Buffer
	if _, err := contract.WriteDelta(&file, h, changes); err != nil {
		l.t.Fatal(err)
	}
	return list{custom: c, name: DeltaName(contract.ListCards, uint64(from), uint64(to)), file: file.Bytes()}
}

func digest(text string) (sum [sha256.Size]byte) {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return [sha256.Size]byte(b)
}

// without is a source that lacks files.
func without(src fstest.MapFS, names ...string) fstest.MapFS {
	out := maps.Clone(src)
	for _, n := range names {
		delete(out, "targets/"+n)
	}
	return out
}

// is checks that a booth has a generation, row for row.
func (b *booth) is(l *lineage, g int) {
	b.t.Helper()
	v := b.store.View()
	defer v.Release()
	for _, have := range v.Generations() {
		if have.Kind == contract.ListCards && (have.Generation != uint64(g) || have.Rows != uint64(len(l.rows[g])) || have.Digest != digest(l.whole(g).custom.Digest)) {
			b.t.Fatalf("has %d with %d rows, want %d with %d", have.Generation, have.Rows, g, len(l.rows[g]))
		}
	}
	for _, rows := range l.rows[1:] {
		for tok := range rows {
			got, ok, err := v.Lookup(contract.ListCards, tok)
			want, is := l.rows[g][tok]
			if err != nil || ok != is || ok && !bytes.Equal(got, want.Value) {
				b.t.Fatalf("%x: %x, %v, %v, want %x, %v", tok, got, ok, err, want.Value, is)
			}
		}
	}
}

// A booth that was away for any time catches up by the shortest road that the
// source has, and has then what headquarters has.
func TestDeltasCatchUp(t *testing.T) {
	l := newLineage(t, 20)
	h := newHQ(t)
	var all []list
	for g := 2; g <= 20; g++ {
		all = append(all, l.delta(g-1, g, nil))
	}
	all = append(all, l.delta(5, 15, nil), l.whole(20))
	h.version = 100
	last := h.publish(all...)
	whole := TargetName("cards", 20)
	for name, tt := range map[string]struct {
		from    int
		lacks   []string
		overlay bool
		want    string // File that is lacking; "": taken
	}{
		"one behind":               {19, []string{whole}, true, ""},
		"ten behind":               {10, []string{whole}, true, ""},
		"by the longer steps":      {5, []string{whole, DeltaName("cards", 7, 8)}, true, ""},
		"a link is lacking":        {16, []string{DeltaName("cards", 17, 18)}, false, ""},
		"a link and the whole":     {16, []string{DeltaName("cards", 17, 18), whole}, false, DeltaName("cards", 17, 18)},
		"nothing before":           {0, nil, false, ""},
		"nothing before, no whole": {0, []string{whole}, false, whole},
		"there already":            {20, []string{whole}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := *h // each booth hears of the past first
			h.version = 0
			b := newBooth(t, &h)
			if tt.from > 0 {
				if _, err := b.Take(t.Context(), h.publish(l.whole(tt.from)), now); err != nil {
					t.Fatal(err)
				}
			}
			_, err := b.Take(t.Context(), without(last, tt.lacks...), now.Add(time.Minute))
			if tt.want != "" {
				r, ok := errors.AsType[*Refusal](err)
				if !ok || r.Why != Unavailable || r.File != tt.want || r.Bytes <= 0 {
					t.Fatalf("%v, want %s lacking", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b.is(l, 20)
			if got := len(b.store.Overlaid()) > 0; got != tt.overlay {
				t.Errorf("overlaid %v, want %v", got, tt.overlay)
			}
			if err := b.store.Fold(t.Context(), "cards", eligibility.Pace{Duty: 1}); err != nil {
				t.Fatal(err)
			}
			b.is(l, 20)
		})
	}
}

// A denial that rides in the metadata is in force with nothing else arriving.
func TestInlineDeltaNeedsNoFile(t *testing.T) {
	l := newLineage(t, 2)
	h := newHQ(t)
	b := newBooth(t, h)
	if _, err := b.Take(t.Context(), h.publish(l.whole(1)), now); err != nil {
		t.Fatal(err)
	}
	d := l.delta(1, 2, nil)
	d.custom.Data = d.file
	src := h.publish(d, l.whole(2))
	maps.DeleteFunc(src, func(name string, _ *fstest.MapFile) bool { return strings.HasPrefix(name, "targets/") })
	if _, err := b.Take(t.Context(), src, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b.is(l, 2)
}

// TestI6_BadDeltas: a delta that is signed and wrong, or not what was signed,
// never displaces a good list; where the whole list is there, that is taken.
func TestI6_BadDeltas(t *testing.T) {
	l := newLineage(t, 3)
	zero := strings.Repeat("00", 32)
	for name, tt := range map[string]struct {
		edit  func(*contract.DeltaHeader, *Custom) // of what is signed
		spoil func([]byte) []byte                  // of the bytes that arrive
		name  string
		why   Why  // without the whole list; "": it asks for that
		whole bool // with it, it is taken all the same
	}{
		"one byte otherwise": {spoil: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, why: Tampered},
		"cut short":          {spoil: func(b []byte) []byte { return b[:len(b)-1] }, why: Tampered},
		"longer":             {spoil: func(b []byte) []byte { return append(b, 0) }, why: Tampered},
		"of another kind":    {edit: func(h *contract.DeltaHeader, _ *Custom) { h.Kind = "members" }, why: Relabelled},
		"other base":         {edit: func(_ *contract.DeltaHeader, c *Custom) { c.BaseDigest = zero }, whole: true},
		"other result":       {edit: func(_ *contract.DeltaHeader, c *Custom) { c.Digest = zero }, whole: true},
		"other sum": {edit: func(h *contract.DeltaHeader, c *Custom) {
			h.Sum[0] ^= 1
			c.Sum = hex.EncodeToString(h.Sum[:])
		}, whole: true},
		"other rows":            {edit: func(h *contract.DeltaHeader, c *Custom) { h.Rows++; c.Rows++ }, whole: true},
		"header says otherwise": {edit: func(h *contract.DeltaHeader, _ *Custom) { h.Rows++ }, why: Relabelled},
		"no digest":             {edit: func(_ *contract.DeltaHeader, c *Custom) { c.Sum = "" }, why: Malformed},
		"unknown format":        {edit: func(_ *contract.DeltaHeader, c *Custom) { c.Format = 9 }, why: Malformed},
		"backwards":             {edit: func(_ *contract.DeltaHeader, c *Custom) { c.Base, c.Generation = 2, 1 }, why: Malformed},
		"named otherwise":       {name: DeltaName("cards", 1, 7), why: Malformed},
		"named as a way out":    {name: "../../cards-1-2.delta", why: Malformed},
		"carries other length":  {edit: func(_ *contract.DeltaHeader, c *Custom) { c.Data = []byte("x") }, why: Malformed},
		"carries too much":      {edit: func(_ *contract.DeltaHeader, c *Custom) { c.Data = make([]byte, MaxInline+1) }, why: Malformed},
	} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, whole list %v", name, whole), func(t *testing.T) {
				h := newHQ(t)
				b := newBooth(t, h)
				if _, err := b.Take(t.Context(), h.publish(l.whole(1)), now); err != nil {
					t.Fatal(err)
				}
				d := l.delta(1, 2, tt.edit)
				if tt.name != "" {
					d.name = tt.name
				}
				src := h.publish(d, l.whole(2))
				if tt.spoil != nil {
					src["targets/"+d.name] = &fstest.MapFile{Data: tt.spoil(bytes.Clone(d.file))}
				}
				if !whole {
					src = without(src, TargetName("cards", 2))
				}
				_, err := b.Take(t.Context(), src, now.Add(time.Minute))
				r, _ := errors.AsType[*Refusal](err)
				switch {
				case tt.whole && whole:
					if err != nil {
						t.Fatal(err)
					}
					b.is(l, 2)
					return
				case tt.whole:
					if r == nil || r.Why != Unavailable || r.File != TargetName("cards", 2) {
						t.Errorf("%v, want the whole list asked for", err)
					}
				case r == nil || r.Why != tt.why:
					t.Errorf("%v, want %s", err, tt.why)
				}
				b.is(l, 1)
			})
		}
	}
}

// A row that the lane could not read does not become active by a delta either.
func TestI6_DeltaWithARowThatIsNone(t *testing.T) {
	l := newLineage(t, 2)
	tok := [16]byte{0: 9, 1: 2}
	l.rows[2][tok] = contract.ListRow{Token: tok, Value: []byte("no card")}
	h := newHQ(t)
	b := newBooth(t, h)
	if _, err := b.Take(t.Context(), h.publish(l.whole(1)), now); err != nil {
		t.Fatal(err)
	}
	_, err := b.Take(t.Context(), without(h.publish(l.delta(1, 2, nil), l.whole(2)), TargetName("cards", 2)), now.Add(time.Minute))
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Why != Tampered || r.File != DeltaName("cards", 1, 2) {
		t.Errorf("%v", err)
	}
	b.is(l, 1)
}

// A list has none of a delta's fields.
func TestListWithFieldsOfADelta(t *testing.T) {
	l := newLineage(t, 1)
	for i, edit := range []func(*Custom){
		func(c *Custom) { c.Base = 1 }, func(c *Custom) { c.BaseDigest = "x" }, func(c *Custom) { c.Sum = "x" }, func(c *Custom) { c.Data = []byte("x") },
	} {
		h := newHQ(t)
		w := l.whole(1)
		edit(&w.custom)
		_, err := newBooth(t, h).Take(t.Context(), h.publish(w), now)
		if r, ok := errors.AsType[*Refusal](err); !ok || r.Why != Malformed {
			t.Errorf("%d: %v", i, err)
		}
	}
}
