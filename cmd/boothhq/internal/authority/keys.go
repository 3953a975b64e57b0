package authority

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/crypto/scrypt"
)

// rootKeys and rootThreshold: the loss of one root key neither stops the
// office nor opens it.
const (
	rootKeys      = 3
	rootThreshold = 2
)

// scrypt's cost: 32 MiB and about 0.1 s for each salt.
const (
	scryptN = 1 << 15
	scryptR = 8
	scryptP = 1
)

// keyFile is a private key as it lies on disk: an Ed25519 seed under AES-256-
// GCM, with a key from scrypt. Role and public key are bound as additional data.
type keyFile struct {
	Version int    `json:"version"`
	Role    string `json:"role"`
	Public  string `json:"public"`
	KDF     string `json:"kdf"`
	Salt    string `json:"salt"`
	Nonce   string `json:"nonce"`
	Box     string `json:"box"`
}

const kdfName = "scrypt-32768-8-1"

// maxKeyFile in bytes; a key file has about 400.
const maxKeyFile = 4096

func (f keyFile) bound() []byte {
	return []byte("boothhq key 1\x00" + f.Role + "\x00" + f.Public)
}

// seal is the passphrase worked out with a salt. The keys of one Init lie under
// one salt: they have one passphrase, and whoever guesses that has them all.
type seal struct {
	salt []byte
	box  cipher.AEAD
}

func newSeal(phrase []byte) (*seal, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	s := new(seal)
	return s, s.set(phrase, salt)
}

// set works the passphrase out, unless that was done with this salt.
func (s *seal) set(phrase, salt []byte) error {
	if s.box != nil && bytes.Equal(s.salt, salt) {
		return nil
	}
	k, err := scrypt.Key(phrase, salt, scryptN, scryptR, scryptP, 32)
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return err
	}
	s.salt = salt
	s.box, err = cipher.NewGCM(block)
	return err
}

// sealKey encrypts a private key under a salt of its own.
func sealKey(role string, key ed25519.PrivateKey, phrase []byte) ([]byte, error) {
	s, err := newSeal(phrase)
	if err != nil {
		return nil, fmt.Errorf("sealing key %s: %w", role, err)
	}
	return s.close(role, key)
}

// close encrypts a private key.
func (s *seal) close(role string, key ed25519.PrivateKey) ([]byte, error) {
	nonce := make([]byte, 12)
	rand.Read(nonce)
	f := keyFile{Version: 1, Role: role, Public: hex.EncodeToString(key.Public().(ed25519.PublicKey)), KDF: kdfName,
		Salt: hex.EncodeToString(s.salt), Nonce: hex.EncodeToString(nonce)}
	f.Box = hex.EncodeToString(s.box.Seal(nil, nonce, key.Seed(), f.bound()))
	return json.MarshalIndent(f, "", "  ")
}

// openKey decrypts the private key of a role.
func openKey(dir, role string, phrase []byte) (ed25519.PrivateKey, error) {
	return new(seal).open(keyPath(dir, role), role, phrase)
}

// open decrypts a private key. The same passphrase is worked out once for keys
// under the same salt.
func (s *seal) open(path, role string, phrase []byte) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening key %s: %w", role, err)
	}
	var f keyFile
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("opening key %s: file is over %d bytes", role, maxKeyFile)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("opening key %s: %w", role, err)
	}
	salt, err1 := hex.DecodeString(f.Salt)
	nonce, err2 := hex.DecodeString(f.Nonce)
	sealed, err3 := hex.DecodeString(f.Box)
	if f.Version != 1 || f.KDF != kdfName || f.Role != role || len(nonce) != 12 || errors.Join(err1, err2, err3) != nil {
		return nil, fmt.Errorf("opening key %s: no key file of this program", role)
	}
	if err := s.set(phrase, salt); err != nil {
		return nil, fmt.Errorf("opening key %s: %w", role, err)
	}
	seed, err := s.box.Open(nil, nonce, sealed, f.bound())
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("opening key %s: wrong passphrase, or the file was changed", role)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func keyPath(dir, role string) string { return filepath.Join(dir, "keys", role+".key") }

// sign adds the signature of a role's key.
func sign[T metadata.Roles](md *metadata.Metadata[T], key ed25519.PrivateKey) error {
	s, err := signature.LoadED25519Signer(key)
	if err != nil {
		return err
	}
	_, err = md.Sign(s)
	return err
}

// Init makes the folder of an authority, whole or not at all. The root expires
// as told; every booth must have another one by then. It fails with
// fs.ErrExist over a folder that is there.
func Init(dir string, phrase []byte, rootExpires time.Time) (err error) {
	if _, err := os.Lstat(dir); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".authority-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	for _, sub := range []string{"keys", "repository", "repository/root", "repository/targets"} {
		if err := os.Mkdir(filepath.Join(temp, sub), 0o700); err != nil {
			return err
		}
	}
	root, err := makeRoot(temp, phrase, rootExpires)
	if err != nil {
		return err
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	for name, b := range map[string][]byte{
		"root.json":                   root,
		"repository/root/1.root.json": root,
		"token.key":                   []byte(hex.EncodeToString(secret) + "\n"),
	} {
		if err := keep(filepath.Join(temp, name), b, 0o600); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(filepath.Clean(dir)))
}

// makeRoot makes every key and the root metadata that names them.
func makeRoot(dir string, phrase []byte, expires time.Time) ([]byte, error) {
	root := metadata.Root(expires.UTC().Truncate(time.Second))
	root.Signed.ConsistentSnapshot = false
	var signers []ed25519.PrivateKey
	under, err := newSeal(phrase)
	if err != nil {
		return nil, fmt.Errorf("sealing keys: %w", err)
	}
	add := func(role, file string) error {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		sealed, err := under.close(file, key)
		if err != nil {
			return err
		}
		if err := keep(keyPath(dir, file), sealed, 0o600); err != nil {
			return err
		}
		public, err := metadata.KeyFromPublicKey(key.Public())
		if err != nil {
			return err
		}
		if role == metadata.ROOT {
			signers = append(signers, key)
		}
		return root.Signed.AddKey(public, role)
	}
	for n := 1; n <= rootKeys; n++ {
		if err := add(metadata.ROOT, fmt.Sprintf("root-%d", n)); err != nil {
			return nil, err
		}
	}
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		if err := add(role, role); err != nil {
			return nil, err
		}
	}
	root.Signed.Roles[metadata.ROOT].Threshold = rootThreshold
	for _, key := range signers {
		if err := sign(root, key); err != nil {
			return nil, err
		}
	}
	return root.ToBytes(false)
}

// write replaces a file of the repository whole.
func write(path string, b []byte) error {
	if err := keep(path, b, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", strings.TrimPrefix(path, filepath.Dir(filepath.Dir(path))), err)
	}
	return nil
}

// keep replaces a file whole and makes its name last: what booths have heard of,
// or a key that took another's place, must not be gone after a power cut.
func keep(path string, b []byte, mode fs.FileMode) error {
	if err := renameio.WriteFile(path, b, mode); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the names in a folder last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
