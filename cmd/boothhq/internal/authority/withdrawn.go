package authority

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"boothd/agent/contract"
	"boothd/agent/lists"
)

// withdrawnFile, in the authority's folder, holds the tombstones of lookouts:
// by id, the version that was in force last.
const withdrawnFile = "withdrawn.json"

// ErrVersion is a lookout of a version that has been, or that another one has
// replaced: an old file must not bring back what was withdrawn.
var ErrVersion = errors.New("a lookout changes, and comes back after it was withdrawn, with a higher version only")

// ErrLost is a file of lookouts in force that is not to be had: without it nobody
// knows what a new one withdraws.
var ErrLost = errors.New("the lookouts in force are lost or spoilt, and tell what is withdrawn")

// mostOutdated is how many lookouts are named in words.
const mostOutdated = 20

// succession checks new lookouts against those in force (b is nil if none is)
// and against the tombstones, and gives the tombstones after it. A lookout is
// withdrawn by being left out (domain reference, section 6: version).
func (o *Office) succession(was List, b []byte) (tombstones map[string]uint64, err error) {
	now, err := lookoutsOf(b)
	if err != nil {
		return nil, err
	}
	var before map[string]contract.Lookout
	if was.Generation > 0 {
		if before, err = o.inForce(was); err != nil {
			return nil, err
		}
	}
	tombstones = map[string]uint64{}
	if raw, err := os.ReadFile(filepath.Join(o.Dir, withdrawnFile)); err == nil {
		if err := json.Unmarshal(raw, &tombstones); err != nil {
			return nil, fmt.Errorf("reading %s: %w", withdrawnFile, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var outdated []error
	for _, id := range slices.Sorted(maps.Keys(now)) {
		l := now[id]
		had, there := before[id]
		switch last, dead := tombstones[id]; {
		case there && l.Version < had.Version:
			outdated = append(outdated, fmt.Errorf("lookout %q is of version %d, in force is %d", id, l.Version, had.Version))
		case there && l.Version == had.Version && l != had:
			outdated = append(outdated, fmt.Errorf("lookout %q says something else than version %d in force", id, had.Version))
		case !there && dead && l.Version <= last:
			outdated = append(outdated, fmt.Errorf("lookout %q is of version %d, withdrawn was %d", id, l.Version, last))
		default:
			delete(tombstones, id)
		}
	}
	if n := len(outdated); n > 0 {
		if n > mostOutdated {
			outdated = append(outdated[:mostOutdated], fmt.Errorf("and %d more", n-mostOutdated))
		}
		return nil, errors.Join(append(outdated, ErrVersion)...)
	}
	for id, l := range before {
		if _, ok := now[id]; !ok {
			tombstones[id] = l.Version
		}
	}
	return tombstones, nil
}

// inForce reads lookouts as they were published, here or in a copy. A file counts
// by its content, so that one built anew from the same rows serves, too.
func (o *Office) inForce(was List) (map[string]contract.Lookout, error) {
	name := filepath.Join("targets", lists.TargetName(was.Kind, was.Generation))
	paths := []string{o.path(name)}
	if o.Copy != "" {
		paths = append(paths, filepath.Join(o.Copy, name))
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if head, err := sound(was.Kind, b); err == nil && hex.EncodeToString(head.Digest[:]) == was.Digest {
			return lookoutsOf(b)
		}
	}
	return nil, fmt.Errorf("%s: %w", paths[0], ErrLost)
}

// bury writes the tombstones, before the publication that makes them true.
func (o *Office) bury(tombstones map[string]uint64) error {
	b, err := json.Marshal(tombstones) // sorted by id
	if err != nil {
		return err
	}
	return write(filepath.Join(o.Dir, withdrawnFile), append(b, '\n'))
}

// lookoutsOf reads a list of lookouts, by id; what they are matched by is not
// part of them here.
func lookoutsOf(b []byte) (map[string]contract.Lookout, error) {
	r, err := contract.ReadList(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("reading lookouts: %w", err)
	}
	all := map[string]contract.Lookout{}
	for row, err := range r.Rows() {
		if err != nil {
			return nil, fmt.Errorf("reading lookouts: %w", err)
		}
		v, err := contract.ParseLookoutRow(row.Value)
		if err != nil {
			return nil, fmt.Errorf("reading lookouts: %w", err)
		}
		for _, l := range v.Lookouts {
			l.Match = contract.MatchExact
			if had, ok := all[l.ID]; !ok || l.Version > had.Version {
				all[l.ID] = l
			}
		}
	}
	return all, nil
}
