package lists_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
	"boothd/agent/lists"
	"boothd/agent/passage"
	"boothd/buffer/eligibility"
)

var released = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// release is a real publication, what was published before it, and what of it
// a booth must have seen for the rest to be looked at.
type release struct {
	t      testing.TB
	anchor []byte // the root that the technician installed
	before source
	all    source              // a new root, metadata, two lists, a delta that is a file and one that rides
	want   map[string][32]byte // digests as signed, by kind
}

const realCards = 120

// realRows are cards of which nothing compresses; those of the second
// generation differ in a few.
func realRows(t testing.TB, generation byte) (rows []contract.ListRow) {
	t.Helper()
	for i := range realCards {
		g := byte(1)
		if i%60 == 7 {
			g = generation
		}
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), g})
		v, err := contract.CardRow{Status: passage.Issued, Member: contract.TokenHex([16]byte(sum[:16])), TID: contract.TokenHex([16]byte(sum[16:]))}.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, contract.ListRow{Token: [16]byte{1, byte(i >> 8), byte(i), sum[3]}, Value: v})
	}
	return rows
}

func newRelease(t testing.TB) *release {
	o := newOfficeAt(t, 7, released)
	r := &release{t: t, anchor: o.rootBytes(), want: map[string][32]byte{}}
	cards1, members1 := fullCopy(t, contract.ListCards, 1, realRows(t, 1)), memberList(t, 1, 40)
	cards2, members2 := fullCopy(t, contract.ListCards, 2, realRows(t, 2)), memberList(t, 2, 41)
	r.before = o.publish(cards1, members1)
	ride := deltaOf(t, members1, members2)
	ride.custom.Data = ride.file
	o.keys[metadata.ROOT] = o.keys[metadata.ROOT][:2] // as many as it needs: none of them may be spoilt
	root := o.nextRoot(metadata.TARGETS)
	r.all = o.publish(cards2, members2, deltaOf(t, cards1, cards2), ride).with("root/2.root.json", root)
	for _, c := range []copyOf{cards2, members2} {
		sum, err := hex.DecodeString(c.custom.Digest)
		if err != nil {
			t.Fatal(err)
		}
		r.want[c.custom.Kind] = [32]byte(sum)
	}
	return r
}

// files are those of a release by the order in which a booth reads them: one is
// looked at when those before it are in order.
func files() []string {
	return []string{"root/2.root.json", "timestamp.json", "snapshot.json", "targets.json", "targets/cards-2.list", "targets/cards-1-2.delta"}
}

// about is a booth about to look at one file of a release.
type about struct {
	*release
	name  string
	store *eligibility.Store
	trust *lists.Trust
}

// about makes a booth that has the former lists and has verified what comes
// before a file.
func (r *release) about(t testing.TB, name string) *about {
	t.Helper()
	dir := t.TempDir()
	st, err := eligibility.Open(t.Context(), dir+"/lists")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	trust, err := lists.Open(lists.Config{Dir: dir + "/trust", Root: r.anchor, Kinds: []string{contract.ListCards, contract.ListMembers}, Store: st, Pace: eligibility.Pace{Duty: 1}})
	if err != nil {
		t.Fatal(err)
	}
	a := &about{release: r, name: name, store: st, trust: trust}
	if _, err := trust.Take(t.Context(), folder(r.before), released); err != nil {
		t.Fatal(err)
	}
	known := source{}
	for _, n := range files()[:4] {
		if n == name {
			break
		}
		known[n] = r.all[n]
	}
	if len(known) > 0 {
		if res, _ := trust.Take(t.Context(), folder(known), released); len(res.Applied) > 0 { // not all is there
			t.Fatalf("%v is a whole release: %+v", known, res)
		}
	}
	a.old(t)
	return a
}

// folder is a source as a file system.
func folder(s source) fs.FS {
	out := fstest.MapFS{}
	for name, b := range s {
		out[name] = &fstest.MapFile{Data: b}
	}
	return out
}

// offers is the release in which one file is b. What could stand in for a
// spoilt file is not there.
func (a *about) offers(b []byte) fs.FS {
	src := a.all.with(a.name, b)
	switch a.name {
	case "targets/cards-2.list":
		delete(src, "targets/cards-1-2.delta")
	case "targets/cards-1-2.delta":
		delete(src, "targets/cards-2.list")
	case "root/2.root.json": // or what the new root says would not be asked
		delete(src, "targets/cards-1-2.delta")
	}
	return folder(src)
}

// take offers the release with one file spoilt. It gives whether that was
// accepted, which it may be if it says the very same: the lists in force are then, bit
// for bit, those that were signed.
func (a *about) take(t testing.TB, b []byte) (accepted bool, err error) {
	t.Helper()
	res, refused := a.trust.Take(t.Context(), a.offers(b), released.Add(time.Minute))
	if len(res.Applied) == 0 {
		if refused == nil {
			return false, fmt.Errorf("%s: neither applied nor refused", a.name)
		}
		return false, nil
	}
	if refused != nil || len(res.Applied) != len(a.want) {
		return true, fmt.Errorf("%s: applied %+v of %d lists, %v", a.name, res.Applied, len(a.want), refused)
	}
	for _, g := range res.Applied {
		if g.Generation != 2 || g.Digest != a.want[g.Kind] {
			return true, fmt.Errorf("%s: %s-%d with digest %x is in force, signed is %x", a.name, g.Kind, g.Generation, g.Digest, a.want[g.Kind])
		}
	}
	return true, nil
}

// old checks that the former lists are in force, row for row.
func (a *about) old(t testing.TB) {
	t.Helper()
	v := a.store.View()
	defer v.Release()
	for _, g := range v.Generations() {
		if g.Generation != 1 {
			t.Fatalf("%s: %s-%d is in force", a.name, g.Kind, g.Generation)
		}
	}
	for _, want := range realRows(t, 1) {
		got, ok, err := v.Lookup(contract.ListCards, want.Token)
		if err != nil || !ok || !bytes.Equal(got, want.Value) {
			t.Fatalf("%s: look-up of %x = %x, %v, %v, want %x", a.name, want.Token, got, ok, err, want.Value)
		}
	}
}
