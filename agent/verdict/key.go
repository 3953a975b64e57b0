package verdict

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// KeySize is the size of the key that booth and matcher share, in bytes.
const KeySize = 32

// ErrNoKey says that there is no key to sign with.
var ErrNoKey = errors.New("matcher key not loaded")

// Key is the key that booth and matcher share. It prints as its id alone.
type Key struct {
	secret [KeySize]byte
	id     string
}

// ParseKey reads a key from the contents of a credential: 64 hex digits, with
// white space around them allowed. The error never quotes the contents.
func ParseKey(credential []byte) (*Key, error) {
	text := strings.TrimSpace(string(credential))
	if len(text) != 2*KeySize {
		return nil, fmt.Errorf("matcher key: %d characters, want %d hex digits", len(text), 2*KeySize)
	}
	k := new(Key)
	if _, err := hex.Decode(k.secret[:], []byte(text)); err != nil {
		return nil, fmt.Errorf("matcher key: not hex digits only (want %d)", 2*KeySize)
	}
	if k.secret == [KeySize]byte{} {
		return nil, errors.New("matcher key: all zero; make one with openssl rand -hex 32")
	}
	sum := k.sum([]byte("boothd verdict key id\x00"))
	k.id = hex.EncodeToString(sum[:4])
	return k, nil
}

// ID names the key without telling it: 8 hex digits.
func (k *Key) ID() string { return k.id }

// String gives the id, never the key.
func (k *Key) String() string { return "key " + k.id }

// Format gives the id under every verb.
func (k *Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

func (k *Key) sum(b []byte) (out MAC) {
	h := hmac.New(sha256.New, k.secret[:])
	h.Write(b)
	h.Sum(out[:0])
	return out
}

func (k *Key) mac(v Verdict) MAC { return k.sum(v.sealed()) }
