package lists

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/renameio/v2"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// Limits of metadata, in bytes, and of roots that may be walked at once.
const (
	maxRoot      = 64 << 10
	maxTimestamp = 16 << 10
	maxSnapshot  = 64 << 10
	maxTargets   = 256 << 10
	maxRotations = 64
	maxNesting   = 12
)

// Names of what is kept in Config.Dir.
const (
	anchorFile    = "anchor.json" // Config.Root at the last Open
	rootFile      = "root.json"
	timestampFile = "timestamp.json"
	snapshotFile  = "snapshot.json"
	targetsFile   = "targets.json"
)

// anchor finds the root to start from: the newest verified one, unless the
// technician has installed another since.
func (t *Trust) anchor() error {
	was, err := os.ReadFile(filepath.Join(t.cfg.Dir, anchorFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if bytes.Equal(was, t.cfg.Root) {
		if kept, err := os.ReadFile(filepath.Join(t.cfg.Dir, rootFile)); err == nil && rootOK(kept) == nil {
			t.root = kept
			return nil
		}
	}
	if err := rootOK(t.cfg.Root); err != nil {
		return fmt.Errorf("trusted root: %w", err)
	}
	t.root = t.cfg.Root
	if err := persist(t.cfg.Dir, rootFile, t.root); err != nil {
		return err
	}
	return persist(t.cfg.Dir, anchorFile, t.cfg.Root)
}

func rootOK(b []byte) error {
	if err := strictJSON(b); err != nil {
		return err
	}
	_, err := trustedmetadata.New(b)
	return err
}

// chain is one walk from the trusted root to the targets.
type chain struct {
	dir     string
	src     fs.FS
	ref     time.Time
	root    []byte // newest verified
	fresh   bool   // a newer timestamp was verified
	version int64  // of the newest timestamp verified
	tm      *trustedmetadata.TrustedMetadata
}

// verify follows the client workflow of the TUF specification, section 5.3 to
// 5.6. What is verified is made durable before the next step, so that a power
// cut never brings an older timestamp back into belief.
func (c *chain) verify() ([]Target, []Delta, error) {
	tm, err := trustedmetadata.New(c.root)
	if err != nil {
		return nil, nil, refuse("trusted root", err)
	}
	tm.RefTime = c.ref
	c.tm = tm
	for _, step := range []func() error{c.roots, c.timestamp, c.snapshot, c.targets} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	return parseTargets(tm.Targets[metadata.TARGETS])
}

func (c *chain) roots() error {
	for range maxRotations {
		name := fmt.Sprintf("root/%d.root.json", c.tm.Root.Signed.Version+1)
		b, err := c.read(name, maxRoot)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return refuse(name, err)
		}
		if _, err := c.tm.UpdateRoot(b); err != nil {
			return refuse(name, err)
		}
		if err := persist(c.dir, rootFile, b); err != nil {
			return &Refusal{Why: Store, Err: err}
		}
		c.root = b
	}
	return &Refusal{Why: Oversize, Err: fmt.Errorf("more than %d roots at once", maxRotations)}
}

// timestamp loads the one trusted before, so that nothing older passes; one
// that a new root no longer backs, or that has expired, is no reason to stop.
func (c *chain) timestamp() error {
	if b, err := c.kept(timestampFile); err != nil {
		return err
	} else if b != nil {
		_, _ = c.tm.UpdateTimestamp(b)
	}
	if c.tm.Timestamp != nil {
		c.version = c.tm.Timestamp.Signed.Version
	}
	b, err := c.read(timestampFile, maxTimestamp)
	if err != nil {
		return refuse(timestampFile, err)
	}
	_, err = c.tm.UpdateTimestamp(b)
	var same *metadata.ErrEqualVersionNumber
	if errors.As(err, &same) {
		return nil // seen before: no new word from headquarters
	} else if err != nil {
		return refuse(timestampFile, err)
	}
	if err := persist(c.dir, timestampFile, b); err != nil {
		return &Refusal{Why: Store, Err: err}
	}
	c.fresh, c.version = true, c.tm.Timestamp.Signed.Version
	return nil
}

func (c *chain) snapshot() error {
	if b, err := c.kept(snapshotFile); err != nil {
		return err
	} else if b != nil {
		if _, err := c.tm.UpdateSnapshot(b, true); err == nil {
			return nil
		}
	}
	b, err := c.read(snapshotFile, maxSnapshot)
	if err != nil {
		return refuse(snapshotFile, err)
	}
	if _, err := c.tm.UpdateSnapshot(b, false); err != nil {
		return refuse(snapshotFile, err)
	}
	if err := persist(c.dir, snapshotFile, b); err != nil {
		return &Refusal{Why: Store, Err: err}
	}
	return nil
}

func (c *chain) targets() error {
	if b, err := c.kept(targetsFile); err != nil {
		return err
	} else if b != nil {
		if _, err := c.tm.UpdateTargets(b); err == nil {
			return nil
		}
	}
	b, err := c.read(targetsFile, maxTargets)
	if err != nil {
		return refuse(targetsFile, err)
	}
	if _, err := c.tm.UpdateTargets(b); err != nil {
		return refuse(targetsFile, err)
	}
	if err := persist(c.dir, targetsFile, b); err != nil {
		return &Refusal{Why: Store, Err: err}
	}
	return nil
}

// kept reads metadata trusted before; nil if there is none.
func (c *chain) kept(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(c.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, &Refusal{Why: Store, Err: err}
	}
	return b, nil
}

// read reads metadata from the source, at most so many bytes, and only if it
// is strict JSON.
func (c *chain) read(name string, most int64) ([]byte, error) {
	f, err := c.src.Open(name)
	if err != nil {
		return nil, &Refusal{Why: Unavailable, Err: fmt.Errorf("%s: %w", name, err)}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, &Refusal{Why: Unavailable, Err: fmt.Errorf("%s: %w", name, err)}
	}
	if int64(len(b)) > most {
		return nil, &Refusal{Why: Oversize, Err: fmt.Errorf("%s: over %d bytes", name, most)}
	}
	if err := strictJSON(b); err != nil {
		return nil, &Refusal{Why: Malformed, Err: fmt.Errorf("%s: %w", name, err)}
	}
	return b, nil
}

// strictJSON refuses what two parsers could read differently: a key twice, a
// key in another case (encoding/json, which the verifier uses, ignores case),
// broken UTF-8, anything behind the value, deep nesting. All keys of our
// metadata are lower-case.
func strictJSON(b []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(b))
	for first := true; first || d.StackDepth() > 0; first = false {
		tok, err := d.ReadToken()
		if err != nil {
			return fmt.Errorf("not strict JSON: %w", err)
		}
		if d.StackDepth() > maxNesting {
			return fmt.Errorf("nested deeper than %d", maxNesting)
		}
		if kind, n := d.StackIndex(d.StackDepth()); kind == '{' && n%2 == 1 && tok.Kind() == '"' && !plainKey(tok.String()) {
			return errors.New("a key is not plain lower-case ASCII")
		}
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

func plainKey(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] >= 'A' && s[i] <= 'Z' {
			return false
		}
	}
	return true
}

// persist replaces a file whole and makes its name durable.
func persist(dir, name string, b []byte) error {
	if err := renameio.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	return nil
}
