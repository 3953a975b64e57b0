package lists

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
)

func TestTakeInstallsAndKeepsInStep(t *testing.T) {
	h := newHQ(t)
	b := newBooth(t, h)
	src := h.publish(cards(t, 1, 20), members(t, 1, 5))
	res, err := b.Take(t.Context(), src, now)
	if err != nil || !res.Fresh || len(res.Applied) != 2 || !slices.Equal(res.Verified, []string{"cards", "members"}) {
		t.Fatalf("Take = %+v, %v", res, err)
	}
	b.has(1, 20)

	// The same again is no news: a broker that repeats itself must not keep
	// old lists young.
	b.restart()
	res, err = b.Take(t.Context(), src, now.Add(10*time.Minute))
	if err != nil || res.Fresh || len(res.Verified) > 0 || b.verifiedAt("cards") != "0s" {
		t.Errorf("Take of the same = %+v, %v, verified %v", res, err, b.verifiedAt("cards"))
	}
	// A heartbeat alone is, for every list it names.
	res, err = b.Take(t.Context(), h.heartbeat(src), now.Add(20*time.Minute))
	if err != nil || !res.Fresh || len(res.Applied) > 0 || b.verifiedAt("cards") != "20m0s" || b.verifiedAt("members") != "20m0s" {
		t.Errorf("heartbeat = %+v, %v, verified %v", res, err, b.verifiedAt("cards"))
	}
	// A publication of one kind counts for the other too.
	res, err = b.Take(t.Context(), h.publish(cards(t, 2, 19), members(t, 1, 5)), now.Add(30*time.Minute))
	if err != nil || len(res.Applied) != 1 || b.verifiedAt("members") != "30m0s" || b.verifiedAt("cards") != "30m0s" {
		t.Errorf("second publication = %+v, %v", res, err)
	}
	b.has(2, 19)
}

// What arrives in pieces is taken when it is all there, and the heartbeat that
// came first counts from when it came.
func TestTakeInPieces(t *testing.T) {
	h := newHQ(t)
	b := newBooth(t, h)
	first := h.publish(cards(t, 1, 20), members(t, 1, 5))
	if _, err := b.Take(t.Context(), first, now); err != nil {
		t.Fatal(err)
	}
	src := h.publish(cards(t, 2, 20), members(t, 1, 5))
	part := fstest.MapFS{}
	for i, name := range []string{"timestamp.json", "snapshot.json", "targets.json"} {
		part[name] = src[name]
		_, err := b.Take(t.Context(), part, now.Add(time.Duration(i+1)*time.Minute))
		if r, ok := errors.AsType[*Refusal](err); !ok || r.Why != Unavailable || r.Rejected() {
			t.Fatalf("with %s: %v, want unavailable", name, err)
		}
	}
	b.has(1, 20)
	if got := b.verifiedAt("members"); got != "1m0s" {
		t.Errorf("members verified after %s, want 1m0s", got)
	}
	part["targets/cards-2.list"] = src["targets/cards-2.list"]
	if _, err := b.Take(t.Context(), part, now.Add(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	b.has(2, 20)
}

// attack is a source made from good ones, and what it must earn.
type attack struct {
	name string
	make func(h *hq, old fstest.MapFS) fs.FS
	at   time.Duration
	why  Why
}

func attacks(t testing.TB) []attack {
	good := func(h *hq) fstest.MapFS { return h.publish(cards(t, 2, 20), members(t, 2, 5)) }
	return []attack{
		{"unsigned", func(h *hq, _ fstest.MapFS) fs.FS {
			h.keys[metadata.TIMESTAMP] = nil
			return good(h)
		}, 0, Unsigned},
		{"signed by a stranger", func(h *hq, _ fstest.MapFS) fs.FS {
			other := newHQ(t)
			other.version = 5
			return good(other)
		}, 0, Unsigned},
		{"targets signed by the timestamp key", func(h *hq, _ fstest.MapFS) fs.FS {
			h.keys[metadata.TARGETS] = h.keys[metadata.TIMESTAMP]
			return good(h)
		}, 0, Unsigned},
		{"new root with one signature of two", func(h *hq, _ fstest.MapFS) fs.FS {
			h.root.Signed.Version++
			h.keys[metadata.ROOT] = h.keys[metadata.ROOT][:1]
			return with(good(h), "root/2.root.json", h.rootBytes())
		}, 0, Unsigned},
		{"new root signed twice by one key", func(h *hq, _ fstest.MapFS) fs.FS {
			h.root.Signed.Version++
			k := h.keys[metadata.ROOT][0]
			h.keys[metadata.ROOT] = append(h.keys[metadata.ROOT][:0:0], k, k)
			return with(good(h), "root/2.root.json", h.rootBytes())
		}, 0, Malformed},
		{"root that leaps a version", func(h *hq, _ fstest.MapFS) fs.FS {
			h.root.Signed.Version += 2
			return with(good(h), "root/2.root.json", h.rootBytes())
		}, 0, Rollback},
		{"rollback of the timestamp", func(h *hq, old fstest.MapFS) fs.FS {
			h.version = 0
			return h.publish(cards(t, 1, 20), members(t, 1, 5))
		}, 0, Rollback},
		{"rollback of a generation", func(h *hq, old fstest.MapFS) fs.FS {
			return h.publish(listOf(t, contract.ListCards, 1, cardRows(t, 20, 9)), members(t, 1, 5))
		}, 0, Mixed},
		{"freeze: a timestamp past its time", func(h *hq, _ fstest.MapFS) fs.FS { return good(h) }, 2 * time.Hour, Expired},
		{"mix and match: new timestamp, old snapshot", func(h *hq, old fstest.MapFS) fs.FS {
			return with(good(h), "snapshot.json", old["snapshot.json"].Data)
		}, 0, Mixed},
		{"mix and match: new snapshot, old targets", func(h *hq, old fstest.MapFS) fs.FS {
			return with(good(h), "targets.json", old["targets.json"].Data)
		}, 0, Mixed},
		{"endless timestamp", func(h *hq, _ fstest.MapFS) fs.FS { return endless{good(h), "timestamp.json"} }, 0, Oversize},
		{"endless targets", func(h *hq, _ fstest.MapFS) fs.FS { return endless{good(h), "targets.json"} }, 0, Oversize},
		{"endless list", func(h *hq, _ fstest.MapFS) fs.FS { return endless{good(h), "targets/cards-2.list"} }, 0, Oversize},
		{"duplicate key", func(h *hq, _ fstest.MapFS) fs.FS {
			src := good(h)
			return with(src, "timestamp.json", bytes.Replace(src["timestamp.json"].Data, []byte(`"version":`), []byte(`"version":9,"version":`), 1))
		}, 0, Malformed},
		{"key in another case", func(h *hq, _ fstest.MapFS) fs.FS {
			src := good(h)
			return with(src, "timestamp.json", bytes.Replace(src["timestamp.json"].Data, []byte(`"version":`), []byte(`"Version":9,"version":`), 1))
		}, 0, Malformed},
		{"text behind the metadata", func(h *hq, _ fstest.MapFS) fs.FS {
			src := good(h)
			return with(src, "timestamp.json", append(slices.Clone(src["timestamp.json"].Data), "{}"...))
		}, 0, Malformed},
		{"metadata of nothing", func(h *hq, _ fstest.MapFS) fs.FS { return with(good(h), "timestamp.json", []byte("null")) }, 0, Malformed},
		{"version over 63 bits", func(h *hq, _ fstest.MapFS) fs.FS {
			src := good(h)
			return with(src, "timestamp.json", bytes.Replace(src["timestamp.json"].Data, []byte(`"version":`), []byte(`"version":9223372036854775807`), 1))
		}, 0, Malformed},
		{"relabelled: members' file as cards", func(h *hq, _ fstest.MapFS) fs.FS {
			c, m := cards(t, 2, 20), members(t, 2, 20)
			c.file = m.file
			return h.publish(c, m)
		}, 0, Relabelled},
		{"relabelled: another name", func(h *hq, _ fstest.MapFS) fs.FS {
			c := cards(t, 2, 20)
			c.name = "cards-3.list"
			return h.publish(c, members(t, 2, 5))
		}, 0, Relabelled},
		{"a kind twice", func(h *hq, _ fstest.MapFS) fs.FS {
			return h.publish(cards(t, 2, 20), cards(t, 3, 20), members(t, 2, 5))
		}, 0, Malformed},
		{"unknown format", func(h *hq, _ fstest.MapFS) fs.FS {
			c := cards(t, 2, 20)
			c.custom.Format = 2
			return h.publish(c, members(t, 2, 5))
		}, 0, Malformed},
		{"generation beyond all numbers", func(h *hq, _ fstest.MapFS) fs.FS {
			c := cards(t, 2, 20)
			c.custom.Generation = math.MaxInt64
			return h.publish(c, members(t, 2, 5))
		}, 0, Malformed},
		{"generation leaps", func(h *hq, _ fstest.MapFS) fs.FS { return h.publish(cards(t, 1<<40, 20), members(t, 2, 5)) }, 0, Rollback},
		{"delegation", func(h *hq, _ fstest.MapFS) fs.FS {
			return h.publishAs(func(p *parts) { p.targets.Signed.Delegations = &metadata.Delegations{} }, cards(t, 2, 20), members(t, 2, 5))
		}, 0, Malformed},
		{"tampered file", func(h *hq, _ fstest.MapFS) fs.FS {
			src := good(h)
			return with(src, "targets/cards-2.list", flip(src["targets/cards-2.list"].Data))
		}, 0, Tampered},
		{"file of another publication", func(h *hq, old fstest.MapFS) fs.FS {
			return with(good(h), "targets/cards-2.list", old["targets/cards-1.list"].Data)
		}, 0, Relabelled},
		{"file cut short", func(h *hq, _ fstest.MapFS) fs.FS {
			src := good(h)
			return with(src, "targets/cards-2.list", src["targets/cards-2.list"].Data[:90])
		}, 0, Tampered},
		{"a row that is none", func(h *hq, _ fstest.MapFS) fs.FS {
			rows := cardRows(t, 20, 2)
			rows[7].Value = []byte{1, 77}
			return h.publish(listOf(t, contract.ListCards, 2, rows), members(t, 2, 5))
		}, 0, Tampered},
		{"more rows than said", func(h *hq, _ fstest.MapFS) fs.FS {
			c := cards(t, 2, 20)
			c.custom.Rows = 19
			return h.publish(c, members(t, 2, 5))
		}, 0, Relabelled},
		{"shrunk by 15 %", func(h *hq, _ fstest.MapFS) fs.FS { return h.publish(cards(t, 2, 17), members(t, 2, 5)) }, 0, Shrunk},
		{"empty", func(h *hq, _ fstest.MapFS) fs.FS { return h.publish(cards(t, 2, 0), members(t, 2, 5)) }, 0, Shrunk},
		{"more rows than fit", func(h *hq, _ fstest.MapFS) fs.FS { return h.publish(cards(t, 2, 301), members(t, 2, 5)) }, 0, Oversize},
		{"a kind dropped", func(h *hq, _ fstest.MapFS) fs.FS { return h.publish(members(t, 2, 5)) }, 0, Missing},
		{"source that panics", func(*hq, fstest.MapFS) fs.FS { return panics{} }, 0, Internal},
		{"source that fails", func(h *hq, _ fstest.MapFS) fs.FS { return failing{good(h), "targets/cards-2.list"} }, 0, Unavailable},
	}
}

func flip(b []byte) []byte {
	b = slices.Clone(b)
	b[len(b)-9] ^= 4
	return b
}

// endless serves one file that never ends.
type endless struct {
	fs.FS
	name string
}

func (e endless) Open(name string) (fs.File, error) {
	f, err := e.FS.Open(name)
	if err == nil && name == e.name {
		f = &tail{f, func(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte(" "), len(b))), nil }}
	}
	return f, err
}

// failing serves one file whose medium breaks at the end.
type failing struct {
	fs.FS
	name string
}

func (e failing) Open(name string) (fs.File, error) {
	f, err := e.FS.Open(name)
	if err == nil && name == e.name {
		f = &tail{f, func([]byte) (int, error) { return 0, errors.New("input/output error") }}
	}
	return f, err
}

type tail struct {
	fs.File
	then func([]byte) (int, error)
}

func (f *tail) Read(b []byte) (int, error) {
	if n, err := f.File.Read(b); n > 0 || err != io.EOF {
		return n, err
	}
	return f.then(b)
}

type panics struct{}

func (panics) Open(string) (fs.File, error) { panic("fs: out of its mind") }

// Each attack is refused, told by its name, and the old lists stay in force,
// also after a restart; then headquarters' next good word is taken.
func TestI6_AttacksAreRefusedAndTheOldListStays(t *testing.T) {
	for _, a := range attacks(t) {
		t.Run(a.name, func(t *testing.T) {
			h := newHQ(t)
			b := newBooth(t, h)
			b.cfg.MaxRows = 300
			b.restart()
			h.version = 2
			old := h.publish(cards(t, 1, 20), members(t, 1, 5))
			if _, err := b.Take(t.Context(), old, now); err != nil {
				t.Fatal(err)
			}
			keys, root := maps.Clone(h.keys), *h.root
			before := b.verifiedAt("cards")
			for range 2 { // also when it is sent again, and after a restart
				_, err := b.Take(t.Context(), a.make(h, old), now.Add(time.Minute+a.at))
				r, ok := errors.AsType[*Refusal](err)
				if !ok || r.Why != a.why {
					t.Fatalf("Take = %v, want %s", err, a.why)
				}
				b.has(1, 20)
				if got := b.verifiedAt("cards"); got != before {
					t.Errorf("cards verified after %s, want %s", got, before)
				}
				b.restart()
				b.has(1, 20)
			}
			leftOver(t, b.dir+"/lists")
			if a.name == "source that panics" || a.why == Expired {
				return
			}
			h.keys, h.root = keys, &root
			h.version = max(h.version, 50)
			h.root.Signed.Version = 1
			if _, err := b.Take(t.Context(), h.publish(cards(t, 3, 20), members(t, 3, 5)), now.Add(2*time.Minute)); err != nil {
				t.Errorf("the next good publication: %v", err)
			}
			b.has(3, 20)
		})
	}
}

func leftOver(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*-2.db*"))
	if err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestForceShrinksAndEmpties(t *testing.T) {
	h := newHQ(t)
	b := newBooth(t, h)
	for generation, rows := range []int{20, 10, 0} {
		c := cards(t, uint64(generation+1), rows)
		c.custom.Force = generation > 0
		if _, err := b.Take(t.Context(), h.publish(c), now); err != nil {
			t.Fatal(err)
		}
		if s := b.States(); s[0].Generation != uint64(generation+1) {
			t.Fatalf("in force: %+v", s)
		}
	}
}

// A booth that was away grants a shrinking of 10 % for each generation that it
// missed, and what headquarters forced meanwhile; it is no more lenient than that.
func TestShrinkingIsJudgedByGeneration(t *testing.T) {
	for _, tt := range []struct {
		name       string
		generation uint64
		rows       int
		forced     uint64
		taken      bool
	}{
		{"a tenth in one", 2, 18, 0, true},
		{"more in one", 2, 17, 0, false},
		{"two tenths in two", 3, 17, 0, true},
		{"more in two", 3, 16, 0, false},
		{"half in seven", 8, 12, 0, true},
		{"all but one in fifty", 51, 10, 0, true},
		{"nothing left in fifty", 51, 0, 0, false},
		{"forced while it was away", 3, 4, 2, true},
		{"forced before", 2, 4, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHQ(t)
			b := newBooth(t, h)
			if _, err := b.Take(t.Context(), h.publish(cards(t, 1, 20)), now); err != nil {
				t.Fatal(err)
			}
			c := cards(t, tt.generation, tt.rows)
			c.custom.Forced = tt.forced
			_, err := b.Take(t.Context(), h.publish(c), now.Add(time.Minute))
			r, refused := errors.AsType[*Refusal](err)
			if refused == tt.taken || refused && r.Why != Shrunk {
				t.Errorf("Take = %v, want taken %v", err, tt.taken)
			}
		})
	}
}

// Cards point into members: one bad list of a publication keeps all back, and
// only the lists that are current get younger.
func TestAPublicationIsTakenWholeOrNot(t *testing.T) {
	h := newHQ(t)
	b := newBooth(t, h)
	if _, err := b.Take(t.Context(), h.publish(cards(t, 1, 20), members(t, 1, 5)), now); err != nil {
		t.Fatal(err)
	}
	src := h.publish(cards(t, 2, 20), members(t, 2, 5))
	if _, err := b.Take(t.Context(), with(src, "targets/members-2.list", flip(src["targets/members-2.list"].Data)), now.Add(time.Minute)); err == nil {
		t.Fatal("a bad list was taken")
	}
	b.has(1, 20)
	if _, err := b.Take(t.Context(), h.publish(cards(t, 3, 2), members(t, 1, 5)), now.Add(2*time.Minute)); err == nil {
		t.Fatal("a shrunk list was taken")
	}
	if c, m := b.verifiedAt("cards"), b.verifiedAt("members"); c != "0s" || m != "2m0s" {
		t.Errorf("verified: cards %s, members %s; want 0s and 2m0s", c, m)
	}
}

// A stolen timestamp key that spends every version is answered by a new root.
func TestMaxIntIsRecoveredByANewRoot(t *testing.T) {
	h := newHQ(t)
	b := newBooth(t, h)
	if _, err := b.Take(t.Context(), h.publish(cards(t, 1, 20), members(t, 1, 5)), now); err != nil {
		t.Fatal(err)
	}
	spent := h.publishAs(func(p *parts) { p.timestamp.Signed.Version = math.MaxInt64 }, cards(t, 1, 20), members(t, 1, 5))
	if _, err := b.Take(t.Context(), spent, now); err != nil {
		t.Fatal(err)
	}
	h.version = 2
	next := h.publish(cards(t, 2, 20), members(t, 2, 5))
	_, err := b.Take(t.Context(), next, now)
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Why != Rollback {
		t.Fatalf("after maxint: %v, want rollback", err)
	}
	h.root.Signed.Version = 2
	h.replaceKey(metadata.TIMESTAMP)
	next = h.publish(cards(t, 2, 20), members(t, 2, 5))
	if _, err := b.Take(t.Context(), with(next, "root/2.root.json", h.rootBytes()), now); err != nil {
		t.Fatalf("with the new root: %v", err)
	}
	b.has(2, 20)
	b.restart() // and the new root is kept
	if _, err := b.Take(t.Context(), h.heartbeat(next), now); err != nil {
		t.Fatal(err)
	}
}

func TestAStolenTargetsKeyIsWorthlessAfterRotation(t *testing.T) {
	h := newHQ(t)
	b := newBooth(t, h)
	stolen := h.keys[metadata.TARGETS]
	h.root.Signed.Version = 2
	h.replaceKey(metadata.TARGETS)
	src := with(h.publish(cards(t, 1, 20), members(t, 1, 5)), "root/2.root.json", h.rootBytes())
	if _, err := b.Take(t.Context(), src, now); err != nil {
		t.Fatal(err)
	}
	h.keys[metadata.TARGETS] = stolen
	_, err := b.Take(t.Context(), h.publish(cards(t, 2, 20), members(t, 2, 5)), now)
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Why != Unsigned {
		t.Fatalf("signed with the old key: %v, want unsigned", err)
	}
	b.has(1, 20)
}

// A list that was dropped as damaged is built again from the same publication.
func TestADiscardedListIsFetchedAgain(t *testing.T) {
	h := newHQ(t)
	b := newBooth(t, h)
	src := h.publish(cards(t, 1, 20), members(t, 1, 5))
	if _, err := b.Take(t.Context(), src, now); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Discard(t.Context(), contract.ListCards, 1); err != nil {
		t.Fatal(err)
	}
	b.has(0, 0)
	if _, err := b.Take(t.Context(), src, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b.has(1, 20)
}

func TestOpenTakesTheTechniciansNewRoot(t *testing.T) {
	h, other := newHQ(t), newHQ(t)
	b := newBooth(t, h)
	if _, err := b.Take(t.Context(), h.publish(cards(t, 1, 20), members(t, 1, 5)), now); err != nil {
		t.Fatal(err)
	}
	b.cfg.Root = other.rootBytes()
	b.restart()
	if _, err := b.Take(t.Context(), h.publish(cards(t, 2, 20), members(t, 2, 5)), now); err == nil {
		t.Error("the former headquarters is still believed")
	}
	if _, err := b.Take(t.Context(), other.publish(cards(t, 3, 20), members(t, 3, 5)), now); err != nil {
		t.Errorf("the new one is not: %v", err)
	}
	for _, bad := range []string{"", "{}", "null", `{"signatures":[],"signed":{}}`} {
		b.cfg.Root = []byte(bad)
		if _, err := Open(b.cfg); err == nil {
			t.Errorf("root %q was opened", bad)
		}
	}
}

func TestTakeEndsWithItsContext(t *testing.T) {
	h := newHQ(t)
	b := newBooth(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Take(ctx, h.publish(cards(t, 1, 300), members(t, 1, 5)), now); !errors.Is(err, context.Canceled) {
		t.Errorf("Take = %v, want context.Canceled", err)
	}
	b.has(0, 0)
	if _, err := b.Take(t.Context(), os.DirFS(t.TempDir()), time.Time{}); err == nil {
		t.Error("Take without a clock")
	}
}

// FuzzTake changes bytes of the metadata: nothing but the old list or the
// signed new one is ever in force.
func FuzzTake(f *testing.F) {
	h := newHQ(f)
	names := []string{"timestamp.json", "snapshot.json", "targets.json", "targets/cards-2.list", "root/2.root.json"}
	old := h.publish(cards(f, 1, 20), members(f, 1, 5))
	src := h.publish(cards(f, 2, 20), members(f, 2, 5))
	root := h.rootBytes()
	f.Add(uint8(0), []byte(`{"signatures":[],"signed":{"_type":"timestamp","meta":{}}}`))
	f.Add(uint8(1), []byte(`{"signatures":[],"signed":{"_type":"snapshot","version":2}}`))
	f.Add(uint8(4), root)
	for i, n := range names[:4] {
		f.Add(uint8(i), src[n].Data)
	}
	b := newBooth(f, h)
	if _, err := b.Take(f.Context(), old, now); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		name := names[int(which)%len(names)]
		if file := src[name]; file != nil && bytes.Equal(file.Data, data) {
			return // the good one; it would end the old list for later inputs
		}
		_, err := b.Take(context.Background(), with(src, name, data), now.Add(time.Minute))
		if r, ok := errors.AsType[*Refusal](err); ok && r.Why == Internal {
			t.Fatalf("panic: %v", err)
		}
		// Other bytes with the same signed meaning may pass: white space, order.
		for _, s := range b.States() {
			if s.Generation > 2 {
				t.Fatalf("in force: %+v after %v", s, err)
			}
		}
	})
}

func ExampleTargetName() {
	fmt.Println(TargetName("cards", 7))
	// Output: cards-7.list
}
