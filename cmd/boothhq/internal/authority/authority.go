// Package authority is headquarters' list office: it makes the keys, builds
// lists from CSV files, signs and publishes them, and gives the heartbeat that
// the age of lists counts from.
//
// An authority is one folder:
//
//	keys/<role>.key   private keys, encrypted under a passphrase
//	token.key         the port's token key, for building and for the booths' credential;
//	                  while it is being replaced, the former one too
//	root.json         whom booths trust; install it as /etc/boothd/trust/root.json
//	withdrawn.json    tombstones of lookouts: the version that was in force last
//	repository/       what booths read: serve it, or carry it on a stick
//
// The root role needs two of three keys, which are to be taken off this machine
// after Init; the other roles need one each. Raw identifiers are read from CSV
// and leave as keyed tokens; no message quotes one. The caller hands in the
// time, so that what is signed can be made again.
//
// Source: product design, section 4; domain reference, sections 2, 6 and 10.
package authority

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Limits of a passphrase, in bytes.
const (
	minPassphrase = 12
	maxPassphrase = 1024
)

// ErrPassphrase is a passphrase that is too short, too long or missing.
var ErrPassphrase = fmt.Errorf("want a passphrase of %d to %d characters", minPassphrase, maxPassphrase)

// ReadPassphrase reads a passphrase, white space around it cut.
func ReadPassphrase(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPassphrase+1))
	if err != nil {
		return nil, fmt.Errorf("reading passphrase: %w", err)
	}
	phrase := strings.TrimSpace(string(b))
	if len(b) > maxPassphrase || len(phrase) < minPassphrase {
		return nil, fmt.Errorf("reading passphrase: %w", ErrPassphrase)
	}
	return []byte(phrase), nil
}

// Office is an authority at work.
type Office struct {
	Dir    string // the authority's folder, see Init
	Phrase []byte // opens the keys
	Now    time.Time
	// Valid is how long a publication counts, heartbeats given.
	Valid time.Duration
	// Timestamp is how long a heartbeat counts: at most 24 h, the longest hard
	// age that a booth can have.
	Timestamp time.Duration
	// Copy is a folder that Mirror has written, where a publication finds lookouts
	// that were lost here; "" for none.
	Copy string
	// Tell hears how far a publication has come.
	Tell Progress

	seal seal                          // what opens them, worked out last
	keys map[string]ed25519.PrivateKey // opened, by role
}

// State is what an authority has published.
type State struct {
	Root      Signed `json:"root"`
	Timestamp Signed `json:"timestamp"`
	Snapshot  Signed `json:"snapshot"`
	Targets   Signed `json:"targets"`
	Lists     []List `json:"lists"` // by kind
	// Torn: a publication was broken off before its timestamp. Booths that have the
	// former one keep it; others refuse what they find.
	Torn bool `json:"torn,omitzero"`
}

// Signed is one piece of metadata. The zero Signed has not been made yet.
type Signed struct {
	Version int64     `json:"version"`
	Expires time.Time `json:"expires,omitzero"`
}

// Expired tells whether booths refuse it at a time.
func (s Signed) Expired(now time.Time) bool { return !s.Expires.After(now) }

// List is one published list.
type List struct {
	Kind       string `json:"kind"`
	Generation uint64 `json:"generation"`
	Rows       uint64 `json:"rows"`
	Digest     string `json:"digest"`           // of the content, 64 hex digits
	Key        string `json:"key"`              // id of the token key it was built under
	Bytes      int64  `json:"bytes"`            // of the file
	Forced     uint64 `json:"forced,omitzero"`  // last generation that was signed with force; 0: none
	Changed    bool   `json:"changed,omitzero"` // Publish alone: it is new
}

// Status reads what an authority has published; it needs no key and checks no
// signature.
func Status(dir string) (s State, err error) {
	o := &Office{Dir: dir}
	root := metadata.Root()
	if _, err := root.FromFile(filepath.Join(dir, "root.json")); err != nil {
		return s, fmt.Errorf("reading root.json: %w", err)
	}
	s.Root = Signed{root.Signed.Version, root.Signed.Expires}
	stamp, snap, targets := metadata.Timestamp(), metadata.Snapshot(), metadata.Targets()
	if found, err := load(o, "timestamp.json", stamp); err != nil {
		return s, err
	} else if found {
		s.Timestamp = Signed{stamp.Signed.Version, stamp.Signed.Expires}
	}
	if found, err := load(o, "snapshot.json", snap); err != nil {
		return s, err
	} else if found {
		s.Snapshot = Signed{snap.Signed.Version, snap.Signed.Expires}
	}
	if found, err := load(o, "targets.json", targets); err != nil {
		return s, err
	} else if found {
		s.Targets = Signed{targets.Signed.Version, targets.Signed.Expires}
	}
	s.Torn = s.Timestamp.Version > 0 && (names(snap.Signed.Meta, "targets.json") != s.Targets.Version || names(stamp.Signed.Meta, "snapshot.json") != s.Snapshot.Version)
	s.Lists, err = published(targets)
	return s, err
}

// names gives the version that metadata names of another.
func names(meta map[string]*metadata.MetaFiles, of string) int64 {
	if m := meta[of]; m != nil {
		return m.Version
	}
	return 0
}

// Mirror copies the repository to a folder that booths read, a stick or a web
// server's. List files go first and the timestamp last, each whole, so that a
// reader in between sees the former publication. List files that the
// repository has dropped are removed there too, but for those in force: what was
// lost here is there still.
func (o *Office) Mirror(to string) error {
	targets := metadata.Targets()
	if _, err := load(o, "targets.json", targets); err != nil {
		return err
	}
	var names, metas []string
	err := filepath.WalkDir(o.path("."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(o.path("."), path)
		if filepath.Dir(name) == "." {
			metas = append(metas, name)
		} else {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the repository: %w", err)
	}
	slices.SortFunc(metas, func(a, b string) int { return rank(a) - rank(b) })
	for _, sub := range []string{"root", "targets"} {
		if err := os.MkdirAll(filepath.Join(to, sub), 0o755); err != nil {
			return err
		}
	}
	for _, name := range append(names, metas...) {
		b, err := os.ReadFile(o.path(name))
		if err != nil {
			return err
		}
		if err := write(filepath.Join(to, name), b); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(filepath.Join(to, "targets"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		_, inForce := targets.Signed.Targets[e.Name()]
		if !inForce && (strings.HasSuffix(e.Name(), ".list") || strings.HasSuffix(e.Name(), deltaSuffix)) && !slices.Contains(names, filepath.Join("targets", e.Name())) {
			err = errors.Join(err, os.Remove(filepath.Join(to, "targets", e.Name())))
		}
	}
	return err
}

// rank puts what names another behind it.
func rank(name string) int {
	return slices.Index([]string{"targets.json", "snapshot.json", "timestamp.json"}, name)
}
