package lists_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
	"boothd/agent/lists"
	"boothd/agent/passage"
)

// roles are the keys an office begins with: two of three sign the root.
var roles = []string{metadata.ROOT, metadata.ROOT, metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP}

// office signs lists as headquarters does, and whatever else a test wants
// signed. Its keys come from its seed, so that at the same time it signs the
// same bytes.
type office struct {
	t       testing.TB
	at      time.Time // when it signs
	seed    byte
	made    byte                            // keys so far
	keys    map[string][]ed25519.PrivateKey // by role
	root    *metadata.Metadata[metadata.RootType]
	version int64
	expires time.Time // of timestamps
}

// newOffice is one that signs by the wall clock, which a running booth has too.
func newOffice(t testing.TB, seed byte) *office { return newOfficeAt(t, seed, time.Now()) }

func newOfficeAt(t testing.TB, seed byte, at time.Time) *office {
	o := &office{t: t, at: at, seed: seed, keys: map[string][]ed25519.PrivateKey{}, expires: at.Add(time.Hour)}
	o.root = metadata.Root(at.AddDate(1, 0, 0))
	o.root.Signed.ConsistentSnapshot = false
	for _, role := range roles {
		o.addKey(role)
	}
	o.root.Signed.Roles[metadata.ROOT].Threshold = 2
	return o
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) addKey(role string) {
	o.made++
	seed := sha256.Sum256([]byte{o.seed, o.made})
	key := ed25519.NewKeyFromSeed(seed[:])
	public, err := metadata.KeyFromPublicKey(key.Public())
	o.must(err)
	o.must(o.root.Signed.AddKey(public, role))
	o.keys[role] = append(o.keys[role], key)
}

// nextRoot signs a root whose version is higher by one, with a new key for each
// of the roles.
func (o *office) nextRoot(anew ...string) []byte {
	o.t.Helper()
	o.root.Signed.Version++
	for _, role := range anew {
		for _, id := range slices.Clone(o.root.Signed.Roles[role].KeyIDs) {
			o.must(o.root.Signed.RevokeKey(id, role))
		}
		o.keys[role] = nil
		o.addKey(role)
	}
	return o.rootBytes()
}

func (o *office) rootBytes() []byte { return signed(o, o.root, o.keys[metadata.ROOT]) }

func signed[T metadata.Roles](o *office, md *metadata.Metadata[T], keys []ed25519.PrivateKey) []byte {
	o.t.Helper()
	md.ClearSignatures()
	for _, k := range keys {
		s, err := signature.LoadED25519Signer(k)
		o.must(err)
		_, err = md.Sign(s)
		o.must(err)
	}
	b, err := md.ToBytes(false)
	o.must(err)
	return b
}

// copyOf is a list, or a delta, with what is signed of it.
type copyOf struct {
	custom lists.Custom
	name   string // "": as it should be
	length int64  // "0": as it is
	file   []byte
}

// cardList is a full copy of cards that all are of the generation's member, so
// that a look-up tells which generation answers.
func cardList(t testing.TB, generation uint64, n int) copyOf {
	t.Helper()
	return fullCopy(t, contract.ListCards, generation, cardRows(t, generation, n))
}

func cardRows(t testing.TB, generation uint64, n int) []contract.ListRow {
	t.Helper()
	v, err := contract.CardRow{Status: passage.Issued, Member: contract.TokenHex([16]byte{15: byte(generation)})}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return rowsOf(1, n, v)
}

func memberList(t testing.TB, generation uint64, n int) copyOf {
	t.Helper()
	v, err := contract.MemberRow{Status: passage.Active, Programs: []string{"NEXUS"}}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return fullCopy(t, contract.ListMembers, generation, rowsOf(2, n, v))
}

func rowsOf(first byte, n int, value []byte) []contract.ListRow {
	rows := make([]contract.ListRow, n)
	for i := range rows {
		rows[i] = contract.ListRow{Token: [16]byte{0: first, 1: byte(i >> 16), 2: byte(i >> 8), 3: byte(i)}, Value: value}
	}
	return rows
}

func fullCopy(t testing.TB, kind string, generation uint64, rows []contract.ListRow) copyOf {
	t.Helper()
	var b bytes.Buffer
	head, err := contract.WriteList(&b, kind, rows)
	if err != nil {
		t.Fatal(err)
	}
	return copyOf{file: b.Bytes(), custom: lists.Custom{Kind: kind, Generation: generation, Rows: head.Rows,
		Digest: hex.EncodeToString(head.Digest[:]), Format: contract.ListFormat}}
}

// deltaOf leads from one list to another of its kind.
func deltaOf(t testing.TB, from, to copyOf) copyOf {
	t.Helper()
	a, err := contract.ReadList(bytes.NewReader(from.file))
	if err != nil {
		t.Fatal(err)
	}
	b, err := contract.ReadList(bytes.NewReader(to.file))
	if err != nil {
		t.Fatal(err)
	}
	changes, sum, err := contract.DiffLists(a.Rows(), b.Rows(), contract.MaxDeltaChanges)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := contract.WriteDelta(&file, contract.DeltaHeader{Kind: a.Kind, From: a.Digest, To: b.Digest, Rows: b.ListHeader.Rows, Sum: sum}, changes); err != nil {
		t.Fatal(err)
	}
	c := to.custom
	c.Base, c.BaseDigest, c.Sum, c.Format = from.custom.Generation, from.custom.Digest, hex.EncodeToString(sum[:]), contract.DeltaFormat
	return copyOf{custom: c, name: lists.DeltaName(c.Kind, c.Base, c.Generation), file: file.Bytes()}
}

// source is what a folder, a stick or a server holds, by name.
type source map[string][]byte

// with is a source in which one file is another.
func (s source) with(name string, b []byte) source {
	out := maps.Clone(s)
	out[name] = b
	return out
}

// drafts are metadata before they are signed.
type drafts struct {
	targets   *metadata.Metadata[metadata.TargetsType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	timestamp *metadata.Metadata[metadata.TimestampType]
}

// publish signs the next version of everything.
func (o *office) publish(all ...copyOf) source { return o.publishAs(func(*drafts) {}, all...) }

// publishAs lets a test change each draft before any is signed.
func (o *office) publishAs(edit func(*drafts), all ...copyOf) source {
	o.t.Helper()
	o.version++
	month := o.at.AddDate(0, 1, 0)
	d := &drafts{metadata.Targets(month), metadata.Snapshot(month), metadata.Timestamp(o.expires)}
	src := source{}
	for _, c := range all {
		name := c.name
		if name == "" {
			name = lists.TargetName(c.custom.Kind, c.custom.Generation)
		}
		raw, err := json.Marshal(c.custom)
		o.must(err)
		length := c.length
		if length == 0 {
			length = int64(len(c.file))
		}
		sum := sha256.Sum256(c.file)
		d.targets.Signed.Targets[name] = &metadata.TargetFiles{Length: length, Hashes: metadata.Hashes{"sha256": sum[:]}, Custom: (*json.RawMessage)(&raw)}
		src["targets/"+name] = c.file
	}
	d.targets.Signed.Version, d.snapshot.Signed.Version, d.timestamp.Signed.Version = o.version, o.version, o.version
	edit(d)
	src["targets.json"] = signed(o, d.targets, o.keys[metadata.TARGETS])
	d.snapshot.Signed.Meta["targets.json"] = metaOf(d.targets.Signed.Version, src["targets.json"])
	src["snapshot.json"] = signed(o, d.snapshot, o.keys[metadata.SNAPSHOT])
	d.timestamp.Signed.Meta["snapshot.json"] = metaOf(d.snapshot.Signed.Version, src["snapshot.json"])
	src["timestamp.json"] = signed(o, d.timestamp, o.keys[metadata.TIMESTAMP])
	o.version = max(o.version, d.targets.Signed.Version)
	return src
}

func metaOf(version int64, b []byte) *metadata.MetaFiles {
	sum := sha256.Sum256(b)
	m := metadata.MetaFile(version)
	m.Length, m.Hashes = int64(len(b)), metadata.Hashes{"sha256": sum[:]}
	return m
}
