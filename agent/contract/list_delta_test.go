package contract

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// changesOf makes n sorted changes; the same seed, the same bytes.
func changesOf(seed uint64, n int) []ListChange {
	dice := rand.New(rand.NewPCG(seed, 1))
	out := make([]ListChange, n)
	for i := range out {
		out[i].Op = []Op{Add, Replace, Remove}[dice.IntN(3)]
		out[i].Token = [16]byte{byte(i >> 8), byte(i), byte(dice.IntN(256))}
		if out[i].Op != Remove {
			out[i].Value = bytes.Repeat([]byte{byte(dice.IntN(256))}, 1+dice.IntN(300))
		}
	}
	return out
}

func deltaOf(t testing.TB, changes []ListChange) []byte {
	t.Helper()
	var b bytes.Buffer
	h := DeltaHeader{Kind: "cards", From: sha256.Sum256([]byte("a")), To: sha256.Sum256([]byte("b")), Rows: 9, Sum: ListSum{1, 2}}
	if _, err := WriteDelta(&b, h, changes); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readDelta(b []byte) (h DeltaHeader, out []ListChange, err error) {
	d, err := ReadDelta(bytes.NewReader(b))
	if err != nil {
		return h, nil, err
	}
	for c, err := range d.Changes() {
		if err != nil {
			return h, nil, err
		}
		c.Value = bytes.Clone(c.Value)
		out = append(out, c)
	}
	return d.DeltaHeader, out, nil
}

func TestDeltaRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 2000} {
		want := changesOf(7, n)
		h, got, err := readDelta(deltaOf(t, want))
		if err != nil || h.Kind != "cards" || h.Rows != 9 || h.Sum != (ListSum{1, 2}) || h.From != sha256.Sum256([]byte("a")) || h.To != sha256.Sum256([]byte("b")) {
			t.Fatalf("%d: %+v, %v", n, h, err)
		}
		if diff := cmp.Diff(want, got, cmp.Transformer("nil", func(b []byte) string { return string(b) })); n > 0 && diff != "" {
			t.Errorf("%d: %s", n, diff)
		}
	}
}

func TestDeltaRefusesWhatIsNone(t *testing.T) {
	for name, changes := range map[string][]ListChange{
		"order":         {{Op: Remove, Token: [16]byte{2}}, {Op: Remove, Token: [16]byte{1}}},
		"twice":         {{Op: Remove, Token: [16]byte{2}}, {Op: Remove, Token: [16]byte{2}}},
		"value removed": {{Op: Remove, Token: [16]byte{2}, Value: []byte{1}}},
		"nothing added": {{Op: Add, Token: [16]byte{2}}},
		"no operation":  {{Op: 'X', Token: [16]byte{2}, Value: []byte{1}}},
		"long value":    {{Op: Add, Token: [16]byte{2}, Value: make([]byte, MaxListValue+1)}},
	} {
		var b bytes.Buffer
		if _, err := WriteDelta(&b, DeltaHeader{Kind: "cards"}, changes); !errors.Is(err, ErrDeltaFile) {
			t.Errorf("%s: written, %v", name, err)
		}
	}
	good := deltaOf(t, changesOf(3, 50))
	for n := range len(good) {
		if _, _, err := readDelta(good[:n]); !errors.Is(err, ErrDeltaFile) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if _, _, err := readDelta(append(bytes.Clone(good), 0)); err == nil {
		t.Error("a byte behind the end was taken")
	}
}

// The sum is that of numbers modulo 2^256, whatever the order, and what is taken
// out is as if it had never been.
func TestListSumIsASum(t *testing.T) {
	modulus := new(big.Int).Lsh(big.NewInt(1), 256)
	want := new(big.Int)
	var got ListSum
	rows := changesOf(5, 500)
	for i, r := range rows {
		value := append(bytes.Clone(r.Value), 1)
		h := sha256.Sum256(appendRow(nil, ListRow{r.Token, value}))
		if i%3 == 0 {
			want.Sub(want, new(big.Int).SetBytes(h[:]))
			got.Sub(r.Token, value)
		} else {
			want.Add(want, new(big.Int).SetBytes(h[:]))
			got.Add(r.Token, value)
		}
		if want.Mod(want, modulus); new(big.Int).SetBytes(got[:]).Cmp(want) != 0 {
			t.Fatalf("after %d rows: %x, want %x", i+1, got, want)
		}
	}
}

func FuzzDelta(f *testing.F) {
	f.Add(deltaOf(f, changesOf(1, 5)))
	f.Add(deltaOf(f, nil))
	f.Add([]byte(deltaMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, changes, err := readDelta(b)
		if err != nil {
			return
		}
		// What is read is what would be written.
		var again bytes.Buffer
		if _, err := WriteDelta(&again, h, changes); err != nil {
			t.Fatal(err)
		}
		h2, changes2, err := readDelta(again.Bytes())
		if err != nil || h2 != h || len(changes2) != len(changes) {
			t.Fatalf("%+v, %v, want %+v", h2, err, h)
		}
	})
}
