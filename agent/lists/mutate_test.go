package lists

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"boothd/test/long"
)

// mutate changes a file's bytes as a bad line, disk or hand does; it always
// changes something.
func mutate(dice *rand.Rand, b []byte) []byte {
	out := bytes.Clone(b)
	for range 1 + dice.IntN(3) {
		at := dice.IntN(len(out))
		switch dice.IntN(6) {
		case 0:
			out[at] ^= 1 << dice.IntN(8)
		case 1:
			out[at] = byte(dice.Uint32())
		case 2: // cut short
			out = out[:max(at, 1)]
		case 3: // something put in
			out = slices.Insert(out, at, bytes.Repeat([]byte{byte(dice.Uint32())}, 1+dice.IntN(20))...)
		case 4: // something left out
			out = slices.Delete(out, at, min(at+1+dice.IntN(20), len(out)))
		case 5: // a piece from elsewhere
			from := dice.IntN(len(out))
			n := min(1+dice.IntN(64), len(out)-max(at, from))
			copy(out[at:at+n], out[from:from+n])
		}
		if len(out) == 0 {
			out = []byte{0}
		}
	}
	if bytes.Equal(out, b) {
		out[len(out)-1] ^= 0x40
	}
	return out
}

// TestI6_TenThousandMutations spoils real releases, metadata, whole lists and
// deltas, in ten thousand ways: whatever is taken is, row for row, what
// headquarters signed, and a list in force is never displaced by anything else.
func TestI6_TenThousandMutations(t *testing.T) {
	mutations := 300 // beside the other tests; all of them with make test-long
	if n := long.Times(); n > 0 {
		mutations = 10_000 * n
	}
	l := newLineage(t, 3)
	h := newHQ(t)
	first := h.publish(l.whole(1))
	inline := l.delta(2, 3, nil)
	inline.custom.Data = inline.file
	release := h.publish(l.whole(3), l.delta(1, 2, nil), inline)
	// Every file of a source is needed: a booth that has no whole list needs the
	// deltas, one that has no deltas the list.
	whole, byDelta := without(release, DeltaName("cards", 1, 2)), without(release, TargetName("cards", 3), DeltaName("cards", 2, 3))
	delete(whole, "targets/"+DeltaName("cards", 2, 3))
	dice := rand.New(rand.NewPCG(20261123, 6))
	digests := map[string]string{"cards": l.whole(3).custom.Digest}
	fresh := func() *booth {
		b := newBooth(t, h)
		if _, err := b.Take(t.Context(), first, now); err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := fresh()
	refused, taken := 0, 0
	for i := range mutations {
		src := maps.Clone([]fstest.MapFS{whole, byDelta}[i%2])
		names := slices.Sorted(maps.Keys(src))
		name := names[dice.IntN(len(names))]
		src[name] = &fstest.MapFile{Data: mutate(dice, release[name].Data)}
		res, err := b.Take(t.Context(), src, now.Add(time.Minute))
		if err != nil {
			refused++
		}
		if len(res.Applied) == 0 {
			continue
		}
		taken++
		for _, g := range res.Applied {
			if want := digest(digests[g.Kind]); g.Digest != want {
				t.Fatalf("mutation %d of %s: %s generation %d has digest %x, signed is %x", i, name, g.Kind, g.Generation, g.Digest, want)
			}
		}
		b.is(l, 3)
		b = fresh()
	}
	if refused+taken < mutations || taken > mutations/2 {
		t.Errorf("%d refused and %d taken of %d", refused, taken, mutations)
	}
	t.Logf("%d mutations: %d refused; %d changed what is known already, and what was signed was taken", mutations, refused, taken)
}
