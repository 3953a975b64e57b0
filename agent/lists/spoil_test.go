package lists_test

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"boothd/agent/contract"
	"boothd/test/long"
)

// spoil changes a file as a bad line, a bad disk or a clever hand does. It
// always changes something; former is the same file of the publication before.
func spoil(dice *rand.Rand, b, former []byte) []byte {
	out := bytes.Clone(b)
	for range 1 + dice.IntN(2) {
		out = spoilOnce(dice, out, former)
		if len(out) == 0 {
			out = []byte{'{'}
		}
	}
	if bytes.Equal(out, b) {
		out[dice.IntN(len(out))] ^= 1 << dice.IntN(8)
	}
	return out
}

// word is what a clever hand changes in metadata: a number, or a name.
var word = regexp.MustCompile(`[0-9]+|[a-z_]{3,}|[0-9a-f]{64}|[{}\[\],:]`)

func spoilOnce(dice *rand.Rand, b, former []byte) []byte {
	at := dice.IntN(len(b))
	switch dice.IntN(9) {
	case 0:
		b[at] ^= 1 << dice.IntN(8)
	case 1:
		b[at] = byte(dice.Uint32())
	case 2: // cut short
		return b[:at]
	case 3: // something put in
		return slices.Insert(b, at, bytes.Repeat([]byte{byte(dice.Uint32())}, 1+dice.IntN(20))...)
	case 4: // something left out
		return slices.Delete(b, at, min(at+1+dice.IntN(20), len(b)))
	case 5: // a piece from elsewhere, or twice
		from, n := dice.IntN(len(b)), 1+dice.IntN(200)
		return slices.Insert(b, at, bytes.Clone(b[from:min(from+n, len(b))])...)
	case 6: // a piece of the publication before
		if len(former) > 0 {
			from := dice.IntN(len(former))
			n := min(1+dice.IntN(300), len(former)-from, len(b)-at)
			copy(b[at:at+n], former[from:from+n])
		}
	default: // one word for another, not far away
		near := b[at:min(at+300, len(b))]
		words := word.FindAllIndex(near, -1)
		if len(words) == 0 {
			return b
		}
		to, from := words[dice.IntN(len(words))], words[dice.IntN(len(words))]
		return slices.Concat(b[:at+to[0]], near[from[0]:from[1]], b[at+to[1]:])
	}
	return b
}

// TestI6_SpoiltReleases spoils every file of a real release in ten thousand
// ways (the first quarter of them in the quick run), each when a booth is about to look at it. What is accepted is
// what was signed, bit for bit; else the list in force stays, row for row, and
// the release as it was signed is taken in the end.
func TestI6_SpoiltReleases(t *testing.T) {
	const seed = 20261123
	// A list that is spoilt late is built first, which takes its time.
	for i, mutations := range []int{2000, 2200, 2200, 2200, 400, 1000} {
		name := files()[i]
		if long.Times() == 0 {
			mutations /= 4
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRelease(t)
			dice := rand.New(rand.NewPCG(seed, uint64(i)))
			a := r.about(t, name)
			accepted := 0
			for range mutations {
				b := spoil(dice, r.all[name], former(r.before, name))
				ok, err := a.take(t, b)
				switch {
				case err != nil:
					t.Fatalf("%q: %v", b, err)
				case ok && !signedByMeaning(name):
					t.Fatalf("%s was taken as %q", name, b)
				case ok:
					accepted++
					a = r.about(t, name)
				}
			}
			a.old(t)
			if ok, err := a.take(t, r.all[name]); !ok || err != nil {
				t.Fatalf("as signed: accepted %v, %v", ok, err)
			}
			if accepted > mutations/50 {
				t.Errorf("%d were accepted", accepted)
			}
			t.Logf("%d of %d were accepted, and say the same", accepted, mutations)
		})
	}
}

// signedByMeaning tells of which files the meaning is signed and not the bytes:
// white space, the order of keys, or the third of two signatures, is free. Of all
// others length and hash are signed.
func signedByMeaning(name string) bool { return name == "root/2.root.json" || name == "timestamp.json" }

// former is the file of the publication before that stands where this one does.
func former(before source, name string) []byte {
	if name == "targets/cards-2.list" {
		name = "targets/cards-1.list"
	}
	return before[name]
}

// TestI6_SpoiltFormats spoils full copies and deltas where no signature guards
// them: what is read to its end is what was written. The digests in the head of
// a delta speak of lists, and are compared with what is signed.
func TestI6_SpoiltFormats(t *testing.T) {
	const seed, mutations = 20261123, 10_000
	r := newRelease(t)
	dice := rand.New(rand.NewPCG(seed, 2))
	whole, delta := r.all["targets/cards-2.list"], r.all["targets/cards-1-2.delta"]
	want, err := readDelta(delta)
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for range mutations / 2 {
		b := spoil(dice, whole, r.before["targets/cards-1.list"])
		if sum, rows, err := readWhole(b); err == nil {
			accepted++
			if sum != r.want[contract.ListCards] || rows != realCards {
				t.Fatalf("%q is read as %d rows with digest %x", b, rows, sum)
			}
		}
		b = spoil(dice, delta, whole)
		if changes, err := readDelta(b); err == nil {
			accepted++
			if !slices.EqualFunc(changes, want, sameChange) {
				t.Fatalf("%q is read as %d changes, %d were written", b, len(changes), len(want))
			}
		}
	}
	t.Logf("%d of %d were read, and say the same", accepted, mutations)
}

func readWhole(b []byte) (sum [32]byte, rows int, err error) {
	l, err := contract.ReadList(bytes.NewReader(b))
	if err != nil {
		return sum, 0, err
	}
	for _, err := range l.Rows() {
		if err != nil {
			return sum, 0, err
		}
		rows++
	}
	return l.Digest, rows, nil
}

func readDelta(b []byte) (changes []contract.ListChange, err error) {
	d, err := contract.ReadDelta(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for c, err := range d.Changes() {
		if err != nil {
			return nil, err
		}
		c.Value = bytes.Clone(c.Value)
		changes = append(changes, c)
	}
	return changes, nil
}

func sameChange(a, b contract.ListChange) bool {
	return a.Op == b.Op && a.Token == b.Token && bytes.Equal(a.Value, b.Value)
}

// FuzzRelease spoils one file of a real release further than seeds do.
func FuzzRelease(f *testing.F) {
	r := newRelease(f)
	for i, name := range files() {
		f.Add(uint8(i), r.all[name])
		f.Add(uint8(i), former(r.before, name))
	}
	booths := make([]*about, len(files()))
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		i := int(which) % len(files())
		if booths[i] == nil {
			booths[i] = r.about(t, files()[i])
		}
		ok, err := booths[i].take(t, b)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			booths[i] = nil // it has the release now; the next one begins anew
		}
	})
}
