package lists

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/eligibility"
)

var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// hq is a headquarters of its own, made with go-tuf alone: what it can be made
// to sign is more than boothhq would.
type hq struct {
	t       testing.TB
	keys    map[string][]ed25519.PrivateKey // role -> keys
	root    *metadata.Metadata[metadata.RootType]
	version int64 // of timestamp, snapshot and targets alike
	expires time.Time
}

func newHQ(t testing.TB) *hq {
	h := &hq{t: t, keys: map[string][]ed25519.PrivateKey{}, expires: now.Add(time.Hour)}
	h.root = metadata.Root(now.AddDate(1, 0, 0))
	h.root.Signed.ConsistentSnapshot = false
	for _, role := range []string{metadata.ROOT, metadata.ROOT, metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		h.addKey(role)
	}
	h.root.Signed.Roles[metadata.ROOT].Threshold = 2
	return h
}

func (h *hq) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hq) addKey(role string) {
	_, key, err := ed25519.GenerateKey(nil)
	h.must(err)
	public, err := metadata.KeyFromPublicKey(key.Public())
	h.must(err)
	h.must(h.root.Signed.AddKey(public, role))
	h.keys[role] = append(h.keys[role], key)
}

// replaceKey takes the keys of a role away and makes a new one.
func (h *hq) replaceKey(role string) {
	for _, id := range append([]string{}, h.root.Signed.Roles[role].KeyIDs...) {
		h.must(h.root.Signed.RevokeKey(id, role))
	}
	h.keys[role] = nil
	h.addKey(role)
}

func sign[T metadata.Roles](h *hq, md *metadata.Metadata[T], keys []ed25519.PrivateKey) []byte {
	h.t.Helper()
	md.ClearSignatures()
	for _, k := range keys {
		s, err := signature.LoadED25519Signer(k)
		h.must(err)
		_, err = md.Sign(s)
		h.must(err)
	}
	b, err := md.ToBytes(false)
	h.must(err)
	return b
}

func (h *hq) rootBytes() []byte { return sign(h, h.root, h.keys[metadata.ROOT]) }

func meta(version int64, b []byte) *metadata.MetaFiles {
	sum := sha256.Sum256(b)
	m := metadata.MetaFile(version)
	m.Length, m.Hashes = int64(len(b)), metadata.Hashes{"sha256": sum[:]}
	return m
}

// list is one list to be published, with what is said of it.
type list struct {
	custom Custom
	name   string // "" = TargetName
	file   []byte
}

func cards(t testing.TB, generation uint64, n int) list {
	return listOf(t, contract.ListCards, generation, cardRows(t, n, byte(generation)))
}

// cardRows gives n cards of a member told by seed.
func cardRows(t testing.TB, n int, seed byte) []contract.ListRow {
	t.Helper()
	v, err := contract.CardRow{Status: passage.Issued, Member: contract.TokenHex([16]byte{15: seed})}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]contract.ListRow, n)
	for i := range rows {
		rows[i] = contract.ListRow{Token: [16]byte{0: 1, 1: byte(i >> 8), 2: byte(i)}, Value: v}
	}
	return rows
}

func members(t testing.TB, generation uint64, n int) list {
	t.Helper()
	v, err := contract.MemberRow{Status: passage.Active, Programs: []string{"NEXUS"}}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]contract.ListRow, n)
	for i := range rows {
		rows[i] = contract.ListRow{Token: [16]byte{0: 2, 1: byte(i >> 8), 2: byte(i)}, Value: v}
	}
	return listOf(t, contract.ListMembers, generation, rows)
}

func listOf(t testing.TB, kind string, generation uint64, rows []contract.ListRow) list {
	t.Helper()
	var b bytes.Buffer
	head, err := contract.WriteList(&b, kind, rows)
	if err != nil {
		t.Fatal(err)
	}
	return list{file: b.Bytes(), custom: Custom{Kind: kind, Generation: generation, Rows: head.Rows,
		Digest: hex.EncodeToString(head.Digest[:]), Format: contract.ListFormat}}
}

// parts are metadata before signing, for tests that change them.
type parts struct {
	targets   *metadata.Metadata[metadata.TargetsType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	timestamp *metadata.Metadata[metadata.TimestampType]
}

// publish signs the next version of everything.
func (h *hq) publish(lists ...list) fstest.MapFS { return h.publishAs(func(*parts) {}, lists...) }

// publishAs lets a test change each part before it is signed.
func (h *hq) publishAs(edit func(*parts), lists ...list) fstest.MapFS {
	h.t.Helper()
	h.version++
	src := fstest.MapFS{}
	p := &parts{metadata.Targets(now.AddDate(0, 1, 0)), metadata.Snapshot(now.AddDate(0, 1, 0)), metadata.Timestamp(h.expires)}
	for _, l := range lists {
		name := l.name
		if name == "" {
			name = TargetName(l.custom.Kind, l.custom.Generation)
		}
		raw, err := json.Marshal(l.custom)
		h.must(err)
		sum := sha256.Sum256(l.file)
		p.targets.Signed.Targets[name] = &metadata.TargetFiles{Length: int64(len(l.file)), Hashes: metadata.Hashes{"sha256": sum[:]}, Custom: (*json.RawMessage)(&raw)}
		src["targets/"+name] = &fstest.MapFile{Data: l.file}
	}
	p.targets.Signed.Version, p.snapshot.Signed.Version, p.timestamp.Signed.Version = h.version, h.version, h.version
	edit(p)
	b := sign(h, p.targets, h.keys[metadata.TARGETS])
	src["targets.json"] = &fstest.MapFile{Data: b}
	p.snapshot.Signed.Meta["targets.json"] = meta(p.targets.Signed.Version, b)
	b = sign(h, p.snapshot, h.keys[metadata.SNAPSHOT])
	src["snapshot.json"] = &fstest.MapFile{Data: b}
	p.timestamp.Signed.Meta["snapshot.json"] = meta(p.snapshot.Signed.Version, b)
	src["timestamp.json"] = &fstest.MapFile{Data: sign(h, p.timestamp, h.keys[metadata.TIMESTAMP])}
	h.version = max(p.timestamp.Signed.Version, h.version)
	return src
}

// heartbeat signs a newer timestamp over a source's snapshot, and gives it
// alone.
func (h *hq) heartbeat(src fstest.MapFS) fstest.MapFS {
	h.t.Helper()
	h.version++
	b := src["snapshot.json"].Data
	var snap metadata.Metadata[metadata.SnapshotType]
	_, err := snap.FromBytes(b)
	h.must(err)
	stamp := metadata.Timestamp(h.expires)
	stamp.Signed.Version = h.version
	stamp.Signed.Meta["snapshot.json"] = meta(snap.Signed.Version, b)
	return fstest.MapFS{"timestamp.json": &fstest.MapFile{Data: sign(h, stamp, h.keys[metadata.TIMESTAMP])}}
}

func with(src fstest.MapFS, name string, b []byte) fstest.MapFS {
	out := maps.Clone(src)
	out[name] = &fstest.MapFile{Data: b}
	return out
}

// booth is one booth's trust and store.
type booth struct {
	*Trust
	t     testing.TB
	dir   string
	cfg   Config
	store *eligibility.Store
}

func newBooth(t testing.TB, h *hq) *booth {
	t.Helper()
	b := &booth{t: t, dir: t.TempDir()}
	b.cfg = Config{Dir: b.dir + "/trust", Root: h.rootBytes(), Kinds: []string{contract.ListCards, contract.ListMembers}, Pace: eligibility.Pace{Duty: 1}}
	b.restart()
	return b
}

// restart opens everything anew, as after a power cut.
func (b *booth) restart() {
	b.t.Helper()
	if b.store != nil {
		b.store.Close()
	}
	var err error
	if b.store, err = eligibility.Open(b.t.Context(), b.dir+"/lists"); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.store.Close() })
	b.cfg.Store = b.store
	if b.Trust, err = Open(b.cfg); err != nil {
		b.t.Fatal(err)
	}
}

// has checks which generation of cards is in force, rows included.
func (b *booth) has(generation uint64, rows int) {
	b.t.Helper()
	var got eligibility.Generation
	v := b.store.View()
	defer v.Release()
	for _, g := range v.Generations() {
		if g.Kind == contract.ListCards {
			got = g
		}
	}
	if got.Generation != generation || got.Rows != uint64(rows) {
		b.t.Fatalf("cards-%d with %d rows in force, want cards-%d with %d", got.Generation, got.Rows, generation, rows)
	}
	if generation == 0 {
		return
	}
	want := cardRows(b.t, 1, byte(generation))[0]
	value, ok, err := v.Lookup(contract.ListCards, want.Token)
	if err != nil || !ok || !bytes.Equal(value, want.Value) {
		b.t.Fatalf("look-up in cards-%d = %x, %v, %v, want %x", generation, value, ok, err, want.Value)
	}
}

func (b *booth) verifiedAt(kind string) string {
	for _, s := range b.States() {
		if s.Kind == kind {
			return fmt.Sprint(s.VerifiedAt.Sub(now))
		}
	}
	return "none"
}
