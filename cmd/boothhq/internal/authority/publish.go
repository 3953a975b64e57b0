package authority

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/agent/contract"
	"boothd/agent/lists"
)

// publication is one act of the office.
type publication struct {
	dir              string
	phrase           []byte
	now              time.Time
	valid, timestamp time.Duration
}

// maxTimestamp is the longest that booths may be kept at an old publication:
// the longest hard age they can be configured for.
const maxTimestamp = 24 * time.Hour

func (p *publication) path(name string) string { return filepath.Join(p.dir, "repository", name) }

// load reads metadata of the repository; nothing if it is not there yet.
func load[T metadata.Roles](p *publication, name string, into *metadata.Metadata[T]) (found bool, err error) {
	b, err := os.ReadFile(p.path(name))
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

// publish signs the lists in from and writes the repository. It says of every
// kind what became of it. The timestamp is written last: until then booths see
// the former publication.
func (p *publication) publish(from string, force []string) (told []string, err error) {
	targets := metadata.Targets(p.expires(p.valid))
	again, err := load(p, "targets.json", targets)
	if err != nil {
		return nil, err
	}
	old := map[string]bool{}
	for name := range targets.Signed.Targets {
		old[name] = true
	}
	files, told, err := p.replace(targets, from, force)
	if err != nil {
		return nil, err
	}
	if again {
		targets.Signed.Version++
	}
	targets.Signed.Expires = p.expires(p.valid)
	for name, b := range files {
		if err := write(p.path("targets/"+name), b); err != nil {
			return nil, err
		}
	}
	named, err := p.signed(targets.ToBytes, metadata.TARGETS, targets.Signed.Version, func() error { return p.resign(targets) })
	if err != nil {
		return nil, err
	}
	if err := p.snapshot(named); err != nil {
		return nil, err
	}
	if _, err := p.heartbeat(); err != nil {
		return nil, err
	}
	return told, p.sweep(targets, old)
}

// replace puts every built list in the place of its kind, and gives the files
// to be written.
func (p *publication) replace(targets *metadata.Metadata[metadata.TargetsType], from string, force []string) (files map[string][]byte, told []string, err error) {
	files = map[string][]byte{}
	for _, kind := range contract.ListKinds() {
		b, err := os.ReadFile(filepath.Join(from, kind+".list"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, nil, err
		}
		head, err := sound(kind, b)
		if err != nil {
			return nil, nil, err
		}
		name, was, err := current(targets, kind)
		if err != nil {
			return nil, nil, err
		}
		if was.Generation > 0 && was.Digest == hex.EncodeToString(head.Digest[:]) {
			told = append(told, fmt.Sprintf("%s-%d unchanged, %d rows", kind, was.Generation, was.Rows))
			continue
		}
		forced := slices.Contains(force, kind)
		if !forced && (head.Rows == 0 || head.Rows < was.Rows-was.Rows/10) {
			return nil, nil, fmt.Errorf("%s has %d rows after %d; booths refuse that without --force=%s", kind, head.Rows, was.Rows, kind)
		}
		now := lists.Custom{Kind: kind, Generation: was.Generation + 1, Rows: head.Rows, Digest: hex.EncodeToString(head.Digest[:]),
			Format: contract.ListFormat, Force: forced}
		delete(targets.Signed.Targets, name)
		fresh := lists.TargetName(kind, now.Generation)
		if targets.Signed.Targets[fresh], err = describe(b, now); err != nil {
			return nil, nil, err
		}
		files[fresh] = b
		told = append(told, fmt.Sprintf("%s-%d published, %d rows", kind, now.Generation, now.Rows))
	}
	if len(told) == 0 {
		return nil, nil, fmt.Errorf("no list in %s; lists build makes them", from)
	}
	return files, told, nil
}

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

// current finds what is published of a kind.
func current(targets *metadata.Metadata[metadata.TargetsType], kind string) (name string, c lists.Custom, err error) {
	for name, file := range targets.Signed.Targets {
		if file.Custom == nil {
			return "", c, fmt.Errorf("targets.json: %s has no custom fields", name)
		}
		var c lists.Custom
		if err := json.Unmarshal(*file.Custom, &c); err != nil {
			return "", c, fmt.Errorf("targets.json: %s: %w", name, err)
		}
		if c.Kind == kind {
			return name, c, nil
		}
	}
	return "", c, nil
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

func (p *publication) resign(targets *metadata.Metadata[metadata.TargetsType]) error {
	key, err := openKey(p.dir, metadata.TARGETS, p.phrase)
	if err != nil {
		return err
	}
	targets.ClearSignatures()
	return sign(targets, key)
}

// signed signs, writes and describes metadata of a role.
func (p *publication) signed(encode func(bool) ([]byte, error), role string, version int64, sign func() error) (*metadata.MetaFiles, error) {
	if err := sign(); err != nil {
		return nil, err
	}
	b, err := encode(false)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	meta := metadata.MetaFile(version)
	meta.Length, meta.Hashes = int64(len(b)), metadata.Hashes{"sha256": sum[:]}
	return meta, write(p.path(role+".json"), b)
}

func (p *publication) snapshot(targets *metadata.MetaFiles) error {
	snap := metadata.Snapshot(p.expires(p.valid))
	again, err := load(p, "snapshot.json", snap)
	if err != nil {
		return err
	}
	if again {
		snap.Signed.Version++
	}
	snap.Signed.Expires = p.expires(p.valid)
	snap.Signed.Meta["targets.json"] = targets
	_, err = p.signed(snap.ToBytes, metadata.SNAPSHOT, snap.Signed.Version, func() error {
		key, err := openKey(p.dir, metadata.SNAPSHOT, p.phrase)
		if err != nil {
			return err
		}
		snap.ClearSignatures()
		return sign(snap, key)
	})
	return err
}

// heartbeat signs a new timestamp over the snapshot as it is, and gives its
// version.
func (p *publication) heartbeat() (int64, error) {
	if p.timestamp <= 0 || p.timestamp > maxTimestamp {
		return 0, fmt.Errorf("a timestamp valid for %v; want up to %v", p.timestamp, maxTimestamp)
	}
	b, err := os.ReadFile(p.path("snapshot.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errors.New("nothing is published yet")
	} else if err != nil {
		return 0, err
	}
	var snap metadata.Metadata[metadata.SnapshotType]
	if _, err := snap.FromBytes(b); err != nil {
		return 0, fmt.Errorf("reading snapshot.json: %w", err)
	}
	if snap.Signed.IsExpired(p.now) {
		return 0, fmt.Errorf("the publication expired on %v; publish again", snap.Signed.Expires)
	}
	stamp := metadata.Timestamp(p.expires(p.timestamp))
	again, err := load(p, "timestamp.json", stamp)
	if err != nil {
		return 0, err
	}
	if again {
		stamp.Signed.Version++
	}
	stamp.Signed.Expires = p.expires(p.timestamp)
	sum := sha256.Sum256(b)
	named := metadata.MetaFile(snap.Signed.Version)
	named.Length, named.Hashes = int64(len(b)), metadata.Hashes{"sha256": sum[:]}
	stamp.Signed.Meta["snapshot.json"] = named
	_, err = p.signed(stamp.ToBytes, metadata.TIMESTAMP, stamp.Signed.Version, func() error {
		key, err := openKey(p.dir, metadata.TIMESTAMP, p.phrase)
		if err != nil {
			return err
		}
		stamp.ClearSignatures()
		return sign(stamp, key)
	})
	return stamp.Signed.Version, err
}

func (p *publication) expires(after time.Duration) time.Time {
	return p.now.Add(after).UTC().Truncate(time.Second)
}

// sweep removes list files that neither this publication nor the one before
// names: a booth may be in the middle of reading the former.
func (p *publication) sweep(targets *metadata.Metadata[metadata.TargetsType], old map[string]bool) error {
	entries, err := os.ReadDir(p.path("targets"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, named := targets.Signed.Targets[e.Name()]; !named && !old[e.Name()] {
			if err := os.Remove(p.path("targets/" + e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
