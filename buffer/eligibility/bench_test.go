package eligibility

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchRows is how many rows the list holds; BOOTHD_BENCH_CARDS says another
// number (2300000 is the country's, 10000000 what the targets are set for).
func benchRows(b *testing.B) int {
	b.Helper()
	s := os.Getenv("BOOTHD_BENCH_CARDS")
	if s == "" {
		return 200_000
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 20_000 {
		b.Fatalf("BOOTHD_BENCH_CARDS=%s: want a number from 20000 on", s)
	}
	return n
}

// country is a list of n rows that nobody has to keep in memory: the row at any
// place is computed. Tokens ascend, one in each of n equal parts.
type country struct {
	n          int
	generation uint64
}

// token is the one at place i.
func (c country) token(i int) (t Token) {
	var in [8]byte
	binary.BigEndian.PutUint64(in[:], uint64(i))
	h := sha256.Sum256(in[:])
	part := ^uint64(0) / uint64(c.n)
	binary.BigEndian.PutUint64(t[:], uint64(i)*part+binary.BigEndian.Uint64(h[:])%part)
	copy(t[8:], h[8:16])
	return t
}

// behind is a token that no list has, behind one that it has. Like all that come
// from identifiers it does not share eight bytes with another.
func behind(t Token) Token {
	binary.BigEndian.PutUint64(t[:], binary.BigEndian.Uint64(t[:])+1)
	return t
}

// value is as long as that of a card: a status and a member's token.
func (c country) value(v []byte, i int) []byte {
	v = append(v[:0], 1, 1, byte(c.generation))
	v = binary.BigEndian.AppendUint64(v, uint64(i)*0x9e3779b97f4a7c15)
	return binary.BigEndian.AppendUint64(v, uint64(i)*0xc2b2ae3d27d4eb4f)
}

// rows are all of them; a row's value is good until the next one.
func (c country) rows(yield func(Row, error) bool) {
	var v []byte
	for i := range c.n {
		v = c.value(v, i)
		if !yield(Row{c.token(i), v}, nil) {
			return
		}
	}
}

// digest is what headquarters signs of it.
func (c country) digest() (sum [sha256.Size]byte) {
	d := sha256.New()
	var b []byte
	for r := range c.rows {
		b = append(binary.AppendUvarint(append(b[:0], r.Token[:]...), uint64(len(r.Value))), r.Value...)
		d.Write(b)
	}
	return [sha256.Size]byte(d.Sum(b[:0]))
}

// sum is that of a list that deltas can be laid on.
func (c country) sum() (s Sum) {
	for r := range c.rows {
		s.add(r)
	}
	return s
}

func (c country) spec(p Pace) Spec {
	return Spec{Kind: "cards", Generation: c.generation, Rows: uint64(c.n), Digest: c.digest(), Pace: p}
}

// listed is a store in which the list is active.
func (c country) listed(b *testing.B) *Store {
	b.Helper()
	s := open(b, b.TempDir())
	built, err := s.Build(b.Context(), c.spec(fast), c.rows)
	if err != nil {
		b.Fatal(err)
	}
	activate(b, s, built)
	return s
}

// flat is the peer: the same rows in a sorted file of records of one length.
type flat struct {
	path string
	f    *os.File
	mem  []byte
	n    int
}

const flatRecord = 16 + 19

func newFlat(b *testing.B, c country) *flat {
	b.Helper()
	p := &flat{path: filepath.Join(b.TempDir(), "flat"), n: c.n}
	var all bytes.Buffer
	var err error
	if p.f, err = os.Create(p.path); err != nil {
		b.Fatal(err)
	}
	for r := range c.rows {
		all.Write(r.Token[:])
		all.Write(r.Value)
		if all.Len() > 1<<20 {
			if _, err := all.WriteTo(p.f); err != nil {
				b.Fatal(err)
			}
		}
	}
	if _, err = all.WriteTo(p.f); err == nil {
		err = p.f.Sync()
	}
	if err == nil {
		p.mem, err = unix.Mmap(int(p.f.Fd()), 0, c.n*flatRecord, unix.PROT_READ, unix.MAP_SHARED)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = unix.Munmap(p.mem), p.f.Close() })
	return p
}

func (p *flat) lookup(t Token) (value []byte, ok bool) {
	at := sort.Search(p.n, func(i int) bool { return bytes.Compare(p.mem[i*flatRecord:][:16], t[:]) >= 0 })
	if at == p.n || !bytes.Equal(p.mem[at*flatRecord:][:16], t[:]) {
		return nil, false
	}
	return p.mem[at*flatRecord+16 : (at+1)*flatRecord], true
}

// quantile of what was measured.
func quantile(took []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(took))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// ratios of several rounds, and their median.
type ratios []float64

func (r *ratios) add(ours, limit time.Duration) { *r = append(*r, float64(ours)/float64(limit)) }

func (r ratios) median() float64 {
	s := slices.Sorted(slices.Values(r))
	return s[len(s)/2]
}

func (r ratios) String() string {
	return fmt.Sprintf("%.2f (%.2f to %.2f in %d rounds)", r.median(), slices.Min(r), slices.Max(r), len(r))
}

// asked are tokens for a look-up, half of them of rows that are there.
func (c country) asked(dice *rand.Rand, n int) iter.Seq2[Token, bool] {
	return func(yield func(Token, bool) bool) {
		for range n {
			t := c.token(dice.IntN(c.n))
			hit := dice.IntN(2) == 0
			if !hit {
				t = behind(t)
			}
			if !yield(t, hit) {
				return
			}
		}
	}
}

// BenchmarkP5WarmLookup alternates look-ups with a binary search in a sorted
// file that is mapped into memory (product design, section 9: P5; target 2.5x,
// no allocation).
func BenchmarkP5WarmLookup(b *testing.B) {
	const rounds, each = 15, 20_000
	c := country{n: benchRows(b), generation: 1}
	s, peer := c.listed(b), newFlat(b, c)
	v := s.View()
	defer v.Release()
	dice, room := rand.New(rand.NewPCG(5, 5)), make([]byte, 0, 64)
	type question struct {
		t   Token
		hit bool
	}
	ask := make([]question, each)
	var all ratios
	var ours, limit []time.Duration
	for b.Loop() {
		for range rounds {
			i := 0
			for t, hit := range c.asked(dice, each) {
				ask[i] = question{t, hit}
				i++
			}
			began := time.Now()
			for _, q := range ask {
				if _, ok := peer.lookup(q.t); ok != q.hit {
					b.Fatalf("the sorted file says %v of %x", ok, q.t)
				}
			}
			floor := time.Since(began) / each
			began = time.Now()
			for _, q := range ask {
				if _, ok, err := v.Append(room[:0], "cards", q.t); ok != q.hit || err != nil {
					b.Fatalf("the list says %v, %v of %x", ok, err, q.t)
				}
			}
			took := time.Since(began) / each
			ours, limit = append(ours, took), append(limit, floor)
			all.add(took, floor)
		}
	}
	i := 0
	allocs := testing.AllocsPerRun(each-1, func() {
		if _, _, err := v.Append(room[:0], "cards", ask[i%each].t); err != nil {
			b.Fatal(err)
		}
		i++
	})
	b.Logf("%d rows, warm: look-up %v, binary search %v; P5 %v, target 2.5; %.1f allocations, target 0", c.n, quantile(ours, 0.5), quantile(limit, 0.5), all, allocs)
	b.ReportMetric(all.median(), "P5-ratio")
	b.ReportMetric(allocs, "P5-allocs")
	b.ReportMetric(0, "ns/op")
}

// drop takes a file out of the page cache.
func drop(b *testing.B, path string) {
	b.Helper()
	f, err := os.Open(path)
	if err == nil {
		err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	if err != nil {
		b.Fatal(err)
	}
	_ = f.Close()
}

// BenchmarkP6ColdLookup alternates look-ups in a list that no page is cached of
// with reads of 4 KiB that are not cached either (P6; target 1.5x at p50).
func BenchmarkP6ColdLookup(b *testing.B) {
	const rounds, each, page = 9, 300, 4096
	c := country{n: benchRows(b), generation: 1}
	s, peer := c.listed(b), newFlat(b, c)
	dir := s.dir
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(6, 6))
	buf := make([]byte, page)
	var all ratios
	var ours, limit []time.Duration
	for b.Loop() {
		for range rounds {
			drop(b, filePath(dir, "cards", 1))
			drop(b, peer.path)
			if err := unix.Fadvise(int(peer.f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
				b.Fatal(err)
			}
			s, err := Open(b.Context(), dir)
			if err != nil {
				b.Fatal(err)
			}
			var now, floor []time.Duration
			pages := c.n * flatRecord / page
			for t, hit := range c.asked(dice, each) {
				began := time.Now()
				_, ok, err := s.Lookup("cards", t)
				now = append(now, time.Since(began))
				if ok != hit || err != nil {
					b.Fatal(ok, hit, err)
				}
				began = time.Now()
				if _, err := peer.f.ReadAt(buf, int64(dice.IntN(pages))*page); err != nil {
					b.Fatal(err)
				}
				floor = append(floor, time.Since(began))
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			all.add(quantile(now, 0.5), quantile(floor, 0.5))
			ours, limit = append(ours, now...), append(limit, floor...)
		}
	}
	b.Logf("%d rows, cold: look-up p50 %v p99 %v, one read of 4 KiB p50 %v p99 %v; P6 %v, target 1.5", c.n, quantile(ours, 0.5), quantile(ours, 0.99),
		quantile(limit, 0.5), quantile(limit, 0.99), all)
	b.ReportMetric(all.median(), "P6-p50-ratio")
	b.ReportMetric(0, "ns/op")
}
