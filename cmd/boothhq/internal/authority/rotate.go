package authority

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Rotate replaces the key of a role (targets, snapshot, timestamp, or root-1 to
// root-3) by a new one and signs a new root, valid until expires, with the root
// keys in the files. Booths follow from any root before to this one, so that
// nobody visits them. A root that replaces a root key is signed by enough of
// the keys before and of those after it; what the role has signed is signed
// anew. The old key's file is overwritten. It gives the new root's version.
func (o *Office) Rotate(role string, rootFiles []string, expires time.Time) (int64, error) {
	name := role
	if strings.HasPrefix(role, "root-") {
		name = metadata.ROOT
	}
	if !slices.Contains([]string{"root-1", "root-2", "root-3", metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP}, role) {
		return 0, fmt.Errorf("no role %q: targets, snapshot, timestamp, root-1, root-2 or root-3", role)
	}
	root := metadata.Root()
	if _, err := root.FromFile(filepath.Join(o.Dir, "root.json")); err != nil {
		return 0, fmt.Errorf("reading root.json: %w", err)
	}
	signers, err := o.rootSigners(root, rootFiles)
	if err != nil {
		return 0, err
	}
	old, err := o.oldKeyID(root, role, name, signers)
	if err != nil {
		return 0, err
	}
	_, fresh, err := ed25519.GenerateKey(nil)
	if err != nil {
		return 0, err
	}
	public, err := metadata.KeyFromPublicKey(fresh.Public())
	if err != nil {
		return 0, err
	}
	if err := errors.Join(root.Signed.RevokeKey(old, name), root.Signed.AddKey(public, name)); err != nil {
		return 0, fmt.Errorf("replacing key %s: %w", role, err)
	}
	root.Signed.Version++
	root.Signed.Expires = expires.UTC().Truncate(time.Second)
	root.ClearSignatures()
	keys := signers.keys()
	if name == metadata.ROOT {
		keys = append(keys, fresh)
	}
	for _, k := range keys {
		if err := sign(root, k); err != nil {
			return 0, fmt.Errorf("signing the root: %w", err)
		}
	}
	b, err := root.ToBytes(false)
	if err != nil {
		return 0, err
	}
	sealed, err := sealKey(role, fresh, o.Phrase)
	if err != nil {
		return 0, err
	}
	if err := o.install(role, sealed, b, root.Signed.Version); err != nil {
		return 0, err
	}
	if name == metadata.ROOT {
		return root.Signed.Version, nil
	}
	delete(o.keys, role)
	return root.Signed.Version, o.resign()
}

// signer is one root key that was opened.
type signer struct {
	file string // "root-1"
	id   string
	key  ed25519.PrivateKey
}

type signerSet []signer

func (s signerSet) keys() (out []ed25519.PrivateKey) {
	for _, k := range s {
		out = append(out, k.key)
	}
	return out
}

// rootSigners opens root keys; they must be enough, different, and in the root.
func (o *Office) rootSigners(root *metadata.Metadata[metadata.RootType], files []string) (signerSet, error) {
	var out signerSet
	for _, path := range files {
		role := strings.TrimSuffix(filepath.Base(path), ".key")
		key, err := o.seal.open(path, role, o.Phrase)
		if err != nil {
			return nil, err
		}
		public, err := metadata.KeyFromPublicKey(key.Public())
		if err != nil {
			return nil, err
		}
		id, err := public.ID()
		if err != nil {
			return nil, err
		}
		switch {
		case !slices.Contains(root.Signed.Roles[metadata.ROOT].KeyIDs, id):
			return nil, fmt.Errorf("%s: this key is not one of the root's any more", path)
		case slices.ContainsFunc(out, func(s signer) bool { return s.id == id }):
			return nil, fmt.Errorf("%s: named twice", path)
		}
		out = append(out, signer{role, id, key})
	}
	if want := root.Signed.Roles[metadata.ROOT].Threshold; len(out) < want {
		return nil, fmt.Errorf("%d root keys, a new root wants %d", len(out), want)
	}
	return out, nil
}

// oldKeyID finds the key that is replaced. A root key that is lost is the one of
// the three that neither of the two at hand is.
func (o *Office) oldKeyID(root *metadata.Metadata[metadata.RootType], role, name string, signers signerSet) (string, error) {
	ids := root.Signed.Roles[name].KeyIDs
	if name != metadata.ROOT {
		if len(ids) != 1 {
			return "", fmt.Errorf("role %s has %d keys, want 1", role, len(ids))
		}
		return ids[0], nil
	}
	for _, s := range signers {
		if s.file == role {
			return s.id, nil
		}
	}
	left := slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return slices.ContainsFunc(signers, func(s signer) bool { return s.id == id })
	})
	if len(left) != 1 {
		return "", fmt.Errorf("which of %d keys %s is cannot be told: name the file of every other root key, or its own", len(left), role)
	}
	return left[0], nil
}

// install writes the new key and then the root that names it: a key without a
// root is harmless, a root without its key stops the office.
func (o *Office) install(role string, sealed, root []byte, version int64) error {
	path := keyPath(o.Dir, role)
	if err := overwriteKey(path); err != nil {
		return fmt.Errorf("removing the old key %s: %w", role, err)
	}
	if err := keep(path, sealed, 0o600); err != nil {
		return err
	}
	if err := write(o.path(fmt.Sprintf("root/%d.root.json", version)), root); err != nil {
		return err
	}
	return write(filepath.Join(o.Dir, "root.json"), root)
}

// overwriteKey takes a key file's bytes off the disk, as far as the medium
// overwrites in place.
func overwriteKey(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was taken off this machine
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Write(bytes.Repeat([]byte{0}, int(min(info.Size(), maxKeyFile))))
	}
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path))
}

// resign signs what is published with the keys of now.
func (o *Office) resign() error {
	if err := o.open(metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP); err != nil {
		return err
	}
	targets := metadata.Targets(o.expires(o.Valid))
	found, err := load(o, "targets.json", targets)
	if err != nil || !found {
		return err // nothing is published yet
	}
	targets.Signed.Version++
	named, err := signed(o, metadata.TARGETS, targets.Signed.Version, targets)
	if err != nil {
		return err
	}
	if err := o.snapshot(named); err != nil {
		return err
	}
	_, err = o.Heartbeat()
	return err
}
