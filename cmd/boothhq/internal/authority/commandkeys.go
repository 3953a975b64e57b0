package authority

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// commandRole begins the role of a key that signs commands: such a key file
// opens as nothing else.
const commandRole = "command-"

// commandName is what a key for commands may be called.
var commandName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// ErrNoCommandKey says that there is no key for commands of that name.
var ErrNoCommandKey = errors.New("no such key for commands")

// NewCommandKey makes a key that signs commands, in a folder that may hold
// others, sealed under the passphrase. It fails with fs.ErrExist for a name that
// is taken.
func NewCommandKey(dir, name string, phrase []byte) (ed25519.PublicKey, error) {
	if !commandName.MatchString(name) {
		return nil, fmt.Errorf("making key %.40q: 1 to 32 of a-z, 0-9 and -", name)
	}
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("making key %s: %w", name, err)
	}
	sealed, err := sealKey(commandRole+name, key, phrase)
	if err != nil {
		return nil, err
	}
	path := keyPath(dir, commandRole+name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making key %s: %w", name, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making key %s: %w", name, err)
	}
	_, err = f.Write(sealed)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("making key %s: %w", name, errors.Join(err, os.Remove(path)))
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("making key %s: %w", name, err)
	}
	return public, nil
}

// CommandKey opens a key for commands.
func CommandKey(dir, name string, phrase []byte) (ed25519.PrivateKey, error) {
	if !commandName.MatchString(name) {
		return nil, fmt.Errorf("%w: %.40q", ErrNoCommandKey, name)
	}
	key, err := openKey(dir, commandRole+name, phrase)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoCommandKey, name)
	}
	return key, err
}

// CommandKeys lists the names of the keys for commands in a folder.
func CommandKeys(dir string) ([]string, error) {
	files, err := filepath.Glob(keyPath(dir, commandRole+"*"))
	if err != nil {
		return nil, fmt.Errorf("listing keys for commands: %w", err)
	}
	var names []string
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), commandRole), ".key")
		if commandName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
