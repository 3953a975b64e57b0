package authority

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
	"boothd/agent/lists"
)

// maxTimestamp is the longest that booths may be kept at an old publication:
// the longest hard age they can be configured for.
const maxTimestamp = 24 * time.Hour

func (o *Office) path(name string) string { return filepath.Join(o.Dir, "repository", name) }

// load reads metadata of the repository; nothing if it is not there yet.
func load[T metadata.Roles](o *Office, name string, into *metadata.Metadata[T]) (found bool, err error) {
	b, err := os.ReadFile(o.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if _, err := into.FromBytes(b); err != nil {
		return false, fmt.Errorf("reading %s: %w", name, err)
	}
	return true, nil
}

// Publish signs the lists in from and writes the repository. It gives every
// list that is in force then; force names kinds that may shrink by more than
// 10 %, or be empty. The timestamp is written last: a booth that reads in
// between has the former publication, or refuses and reads again.
func (o *Office) Publish(from string, force []string) ([]List, error) {
	if o.Valid <= 0 {
		return nil, fmt.Errorf("a publication valid for %v", o.Valid)
	}
	if err := o.open(metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP); err != nil {
		return nil, err
	}
	targets := metadata.Targets(o.expires(o.Valid))
	again, err := load(o, "targets.json", targets)
	if err != nil {
		return nil, err
	}
	old := map[string]bool{}
	for name := range targets.Signed.Targets {
		old[name] = true
	}
	files, err := o.replace(targets, from, force)
	if err != nil {
		return nil, err
	}
	if again {
		targets.Signed.Version++
	}
	targets.Signed.Expires = o.expires(o.Valid)
	for name, b := range files {
		if err := write(o.path("targets/"+name), b); err != nil {
			return nil, err
		}
	}
	named, err := signed(o, metadata.TARGETS, targets.Signed.Version, targets)
	if err != nil {
		return nil, err
	}
	if err := o.snapshot(named); err != nil {
		return nil, err
	}
	if _, err := o.Heartbeat(); err != nil {
		return nil, err
	}
	now, err := published(targets)
	if err != nil {
		return nil, err
	}
	for i, l := range now {
		_, now[i].Changed = files[lists.TargetName(l.Kind, l.Generation)]
	}
	return now, o.sweep(targets, old)
}

// replace puts every built list in the place of its kind, and gives the files
// to be written.
func (o *Office) replace(targets *metadata.Metadata[metadata.TargetsType], from string, force []string) (files map[string][]byte, err error) {
	files = map[string][]byte{}
	found := false
	var tombstones map[string]uint64
	was, err := published(targets)
	if err != nil {
		return nil, err
	}
	key, err := builtUnder(from)
	if err != nil {
		return nil, err
	}
	for i, kind := range contract.ListKinds() {
		o.Tell.at("reading "+kind+".list", int64(i), int64(len(contract.ListKinds())))
		b, err := os.ReadFile(filepath.Join(from, kind+".list"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		found = true
		head, err := sound(kind, b)
		if err != nil {
			return nil, err
		}
		var had List
		if i := slices.IndexFunc(was, func(l List) bool { return l.Kind == kind }); i >= 0 {
			had = was[i]
		}
		digest := hex.EncodeToString(head.Digest[:])
		if had.Generation > 0 && had.Digest == digest && had.Key == key {
			continue
		}
		forced := slices.Contains(force, kind)
		if !forced && (head.Rows == 0 || head.Rows < had.Rows-had.Rows/10) {
			return nil, fmt.Errorf("%s: %d rows after %d: %w", kind, head.Rows, had.Rows, ErrShrunk)
		}
		if kind == contract.ListLookouts {
			if tombstones, err = o.succession(had, b); err != nil {
				return nil, err
			}
		}
		delete(targets.Signed.Targets, lists.TargetName(kind, had.Generation))
		fresh := lists.TargetName(kind, had.Generation+1)
		custom := lists.Custom{Kind: kind, Generation: had.Generation + 1, Rows: head.Rows, Digest: digest, Format: contract.ListFormat, Force: forced,
			Forced: had.Forced, Key: key, Parts: parts(b)}
		if forced {
			custom.Forced = custom.Generation // also for booths that come to it later
		}
		if targets.Signed.Targets[fresh], err = describe(b, custom); err != nil {
			return nil, err
		}
		if had.Generation > 0 {
			o.Tell.at("comparing "+kind+".list", int64(i), int64(len(contract.ListKinds())))
			if err := o.addDelta(targets, had, custom, b, files); err != nil {
				return nil, err
			}
		}
		files[fresh] = b
	}
	if !found {
		return nil, fmt.Errorf("no list in %s", from)
	}
	if err := oneKey(targets); err != nil {
		return nil, err
	}
	if tombstones != nil {
		return files, o.bury(tombstones)
	}
	return files, nil
}

// builtUnder reads which key lists were built under.
func builtUnder(from string) (string, error) {
	b, err := os.ReadFile(filepath.Join(from, builtKey))
	if err != nil {
		return "", fmt.Errorf("%s does not say under which token key its lists were built; build them anew: %w", from, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// oneKey refuses lists of different keys in one publication: rows of one list
// name tokens of another, and booths take none of them.
func oneKey(targets *metadata.Metadata[metadata.TargetsType]) error {
	all, err := published(targets)
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.Key != all[0].Key {
			return fmt.Errorf("%s would be under token key %s and %s under %s: after the key was replaced every list is built anew", all[0].Kind, all[0].Key, l.Kind, l.Key)
		}
	}
	return nil
}

// ErrShrunk is a list so much shorter than the one before that booths refuse
// it without force.
var ErrShrunk = errors.New("booths refuse a list that is empty or shrinks by more than 10 % without force")

// sound reads a built list whole: what is signed has been seen.
func sound(kind string, b []byte) (contract.ListHeader, error) {
	r, err := contract.ReadList(bytes.NewReader(b))
	if err != nil {
		return contract.ListHeader{}, fmt.Errorf("%s.list: %w", kind, err)
	}
	if r.Kind != kind {
		return contract.ListHeader{}, fmt.Errorf("%s.list is a list of %s", kind, r.Kind)
	}
	for row, err := range r.Rows() {
		if err == nil {
			err = contract.CheckListRow(kind, row.Value)
		}
		if err != nil {
			return contract.ListHeader{}, fmt.Errorf("%s.list: %w", kind, err)
		}
	}
	return r.ListHeader, nil
}

// published reads what the metadata names, by kind.
func published(targets *metadata.Metadata[metadata.TargetsType]) ([]List, error) {
	out := []List{}
	for name, file := range targets.Signed.Targets {
		if strings.HasSuffix(name, deltaSuffix) {
			continue
		}
		if file.Custom == nil {
			return nil, fmt.Errorf("targets.json: %s has no custom fields", name)
		}
		var c lists.Custom
		if err := json.Unmarshal(*file.Custom, &c); err != nil {
			return nil, fmt.Errorf("targets.json: %s: %w", name, err)
		}
		out = append(out, List{Kind: c.Kind, Generation: c.Generation, Rows: c.Rows, Digest: c.Digest, Key: c.Key, Bytes: file.Length, Forced: c.Forced})
	}
	slices.SortFunc(out, func(a, b List) int { return strings.Compare(a.Kind, b.Kind) })
	return out, nil
}

// parts names what a file is made of, for booths that take it over MQTT.
func parts(b []byte) (names []byte) {
	for _, p := range contract.Parts(b) {
		names = append(names, p[:]...)
	}
	return names
}

func describe(b []byte, c lists.Custom) (*metadata.TargetFiles, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	file := metadata.TargetFile()
	sum := sha256.Sum256(b)
	custom := json.RawMessage(raw)
	file.Length, file.Hashes, file.Custom = int64(len(b)), metadata.Hashes{"sha256": sum[:]}, &custom
	return file, nil
}

// open opens the keys of roles, once: an act that would fail for want of a key
// fails before it writes anything.
func (o *Office) open(roles ...string) error {
	if o.Timestamp <= 0 || o.Timestamp > maxTimestamp {
		return fmt.Errorf("a timestamp valid for %v; want up to %v", o.Timestamp, maxTimestamp)
	}
	for _, role := range roles {
		if _, ok := o.keys[role]; ok {
			continue
		}
		key, err := o.seal.open(keyPath(o.Dir, role), role, o.Phrase)
		if err != nil {
			return err
		}
		if o.keys == nil {
			o.keys = make(map[string]ed25519.PrivateKey)
		}
		o.keys[role] = key
	}
	return nil
}

// signed signs metadata with the key of a role, which is open, writes it and
// describes it.
func signed[T metadata.Roles](o *Office, role string, version int64, md *metadata.Metadata[T]) (*metadata.MetaFiles, error) {
	md.ClearSignatures()
	if err := sign(md, o.keys[role]); err != nil {
		return nil, fmt.Errorf("signing %s.json: %w", role, err)
	}
	b, err := md.ToBytes(false)
	if err != nil {
		return nil, err
	}
	return meta(version, b), write(o.path(role+".json"), b)
}

// meta describes metadata for the one that names it.
func meta(version int64, b []byte) *metadata.MetaFiles {
	sum := sha256.Sum256(b)
	m := metadata.MetaFile(version)
	m.Length, m.Hashes = int64(len(b)), metadata.Hashes{"sha256": sum[:]}
	return m
}

func (o *Office) snapshot(targets *metadata.MetaFiles) error {
	snap := metadata.Snapshot(o.expires(o.Valid))
	again, err := load(o, "snapshot.json", snap)
	if err != nil {
		return err
	}
	if again {
		snap.Signed.Version++
	}
	snap.Signed.Expires = o.expires(o.Valid)
	snap.Signed.Meta["targets.json"] = targets
	_, err = signed(o, metadata.SNAPSHOT, snap.Signed.Version, snap)
	return err
}

// Heartbeat signs a new timestamp over the snapshot as it is, and gives its
// version.
func (o *Office) Heartbeat() (int64, error) {
	if err := o.open(metadata.TIMESTAMP); err != nil {
		return 0, err
	}
	b, err := os.ReadFile(o.path("snapshot.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errors.New("nothing is published yet")
	} else if err != nil {
		return 0, err
	}
	var snap metadata.Metadata[metadata.SnapshotType]
	if _, err := snap.FromBytes(b); err != nil {
		return 0, fmt.Errorf("reading snapshot.json: %w", err)
	}
	if snap.Signed.IsExpired(o.Now) {
		return 0, fmt.Errorf("the publication expired on %s; publish again", snap.Signed.Expires.Format(time.RFC3339))
	}
	stamp := metadata.Timestamp(o.expires(o.Timestamp))
	again, err := load(o, "timestamp.json", stamp)
	if err != nil {
		return 0, err
	}
	if again {
		stamp.Signed.Version++
	}
	stamp.Signed.Expires = o.expires(o.Timestamp)
	stamp.Signed.Meta["snapshot.json"] = meta(snap.Signed.Version, b)
	_, err = signed(o, metadata.TIMESTAMP, stamp.Signed.Version, stamp)
	return stamp.Signed.Version, err
}

func (o *Office) expires(after time.Duration) time.Time {
	return o.Now.Add(after).UTC().Truncate(time.Second)
}

// sweep removes list files that neither this publication nor the one before
// names: a booth may be in the middle of reading the former.
func (o *Office) sweep(targets *metadata.Metadata[metadata.TargetsType], old map[string]bool) error {
	entries, err := os.ReadDir(o.path("targets"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, named := targets.Signed.Targets[e.Name()]; !named && !old[e.Name()] {
			if err := os.Remove(o.path("targets/" + e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
