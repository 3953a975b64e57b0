package contract

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// Payload types of what is signed. DSSE signs the type together with the
// payload, so that a signature given for one purpose is none for another.
const (
	PayloadCheckpoint = "application/vnd.boothd.checkpoint.v1+json"
	PayloadCommand    = "application/vnd.boothd.command.v1+json"
	PayloadNotice     = "application/vnd.boothd.notice.v1+json"
)

// Bounds of a signed message and of a file of keys.
const (
	MaxSealed     = 8 << 10  // bytes of an envelope; a command has about 700
	maxSignatures = 4        // of one envelope
	maxKeys       = 16       // of one file
	maxKeyFile    = 64 << 10 // bytes
)

// Why a signed message is not believed.
var (
	// ErrUnsigned says that there is no signature at all.
	ErrUnsigned = errors.New("not signed")
	// ErrUntrusted says that no trusted key has signed just this.
	ErrUntrusted = errors.New("not signed by a trusted key")
	// ErrPayloadType says that what was signed is something else.
	ErrPayloadType = errors.New("signed for another purpose")
)

// Envelope is a signed message: DSSE, in its JSON form.
type Envelope = dsse.Envelope

// SigningKey is a private Ed25519 key. It prints as its id.
type SigningKey struct {
	private ed25519.PrivateKey
	id      string
}

// ParseSigningKey reads a private key: one PEM block, PKCS#8, Ed25519. Its
// errors quote nothing of the key.
func ParseSigningKey(b []byte) (*SigningKey, error) {
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("signing key: over %d bytes", maxKeyFile)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New(`signing key: no PEM block "PRIVATE KEY" (PKCS#8)`)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("signing key: not PKCS#8")
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("signing key: not of Ed25519")
	}
	return NewSigningKey(private)
}

// NewSigningKey takes a private key.
func NewSigningKey(private ed25519.PrivateKey) (*SigningKey, error) {
	if len(private) != ed25519.PrivateKeySize {
		return nil, errors.New("signing key: wrong length")
	}
	id, err := KeyID(private.Public())
	if err != nil {
		return nil, err
	}
	return &SigningKey{private, id}, nil
}

// KeyID names an Ed25519 public key: its SSH fingerprint, "SHA256:...", which
// is what DSSE names keys by.
func KeyID(public crypto.PublicKey) (string, error) {
	id, err := dsse.SHA256KeyID(public)
	if err != nil {
		return "", fmt.Errorf("naming a key: %w", err)
	}
	return id, nil
}

// ID names the key.
func (k *SigningKey) ID() string { return k.id }

// Public is the key that others need to believe it.
func (k *SigningKey) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// String is the id: a key must not end up in a log.
func (k *SigningKey) String() string { return k.id }

// GoString is the id too.
func (k *SigningKey) GoString() string { return k.id }

// Seal signs a payload. The same arguments give the same envelope.
func (k *SigningKey) Seal(payloadType string, payload []byte) (Envelope, error) {
	s, err := dsse.NewEnvelopeSigner(signer{k})
	if err != nil {
		return Envelope{}, fmt.Errorf("signing: %w", err)
	}
	e, err := s.SignPayload(context.Background(), payloadType, payload)
	if err != nil {
		return Envelope{}, fmt.Errorf("signing: %w", err)
	}
	return *e, nil
}

// signer is a key as the library asks for one.
type signer struct{ *SigningKey }

func (s signer) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.private, data), nil
}

func (s signer) KeyID() (string, error) { return s.id, nil }

// TrustedKeys are the public keys that are believed; nil believes nobody.
type TrustedKeys struct {
	ids      []string
	verifier *dsse.EnvelopeVerifier
}

// ParseKeys reads a file of public keys: 1 to 16 PEM blocks "PUBLIC KEY",
// Ed25519, no key twice. One that cannot be read spoils the file: a rotation
// half written must be noticed, not obeyed.
func ParseKeys(b []byte) (*TrustedKeys, error) {
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("trusted keys: over %d bytes", maxKeyFile)
	}
	want := strings.Count(string(b), "-----BEGIN ")
	var keys []ed25519.PublicKey
	for rest := b; ; {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		rest = after
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("trusted keys: block %d is no PUBLIC KEY", len(keys)+1)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		key, ok := parsed.(ed25519.PublicKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("trusted keys: key %d is not of Ed25519", len(keys)+1)
		}
		keys = append(keys, key)
	}
	if len(keys) != want {
		return nil, fmt.Errorf("trusted keys: %d of %d blocks can be read", len(keys), want)
	}
	return Trust(keys...)
}

// Trust believes these keys.
func Trust(keys ...ed25519.PublicKey) (*TrustedKeys, error) {
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("trusted keys: %d, 1 to %d are possible", len(keys), maxKeys)
	}
	t := &TrustedKeys{}
	var all []dsse.Verifier
	for _, key := range keys {
		id, err := KeyID(key)
		if err != nil {
			return nil, err
		}
		for _, known := range t.ids {
			if known == id {
				return nil, fmt.Errorf("trusted keys: %s is given twice", id)
			}
		}
		t.ids = append(t.ids, id)
		all = append(all, verifier{key, id})
	}
	var err error
	if t.verifier, err = dsse.NewEnvelopeVerifier(all...); err != nil {
		return nil, fmt.Errorf("trusted keys: %w", err)
	}
	return t, nil
}

// IDs names the keys, in the order of the file.
func (t *TrustedKeys) IDs() []string {
	if t == nil {
		return nil
	}
	return append([]string(nil), t.ids...)
}

// verifier is a key as the library asks for one.
type verifier struct {
	public ed25519.PublicKey
	id     string
}

var errSignature = errors.New("signature does not fit")

func (v verifier) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(v.public, data, sig) {
		return errSignature
	}
	return nil
}

func (v verifier) KeyID() (string, error)   { return v.id, nil }
func (v verifier) Public() crypto.PublicKey { return v.public }

// Open gives the payload of an envelope that a trusted key has signed for this
// purpose, and which key that was. It is ErrUnsigned, ErrUntrusted or
// ErrPayloadType else, and the payload is then nobody's word.
func (t *TrustedKeys) Open(e Envelope, payloadType string) (payload []byte, keyID string, err error) {
	switch {
	case len(e.Signatures) == 0:
		return nil, "", ErrUnsigned
	case len(e.Signatures) > maxSignatures:
		return nil, "", fmt.Errorf("%w: more than %d signatures", ErrUntrusted, maxSignatures)
	case t == nil:
		return nil, "", ErrUntrusted
	}
	accepted, payload, err := t.verifier.VerifyAndDecode(context.Background(), &e)
	if err != nil || len(accepted) == 0 {
		return nil, "", ErrUntrusted // the library's words quote what was sent
	}
	if e.PayloadType != payloadType {
		return nil, "", ErrPayloadType
	}
	return payload, accepted[0].KeyID, nil
}

// EncodeEnvelope gives an envelope's bytes.
func EncodeEnvelope(e Envelope) ([]byte, error) {
	b, err := encode("envelope", e)
	if err == nil && len(b) > MaxSealed {
		return nil, fmt.Errorf("envelope of %d bytes: %w", len(b), ErrTooBig)
	}
	return b, err
}

// DecodeEnvelope reads an envelope that came in. It judges the form alone;
// Open judges whether it is believed.
func DecodeEnvelope(b []byte) (Envelope, error) {
	var e Envelope
	if err := strict(b, MaxSealed, &e); err != nil {
		return Envelope{}, fmt.Errorf("envelope: %w", err)
	}
	if e.PayloadType == "" || e.Payload == "" {
		return Envelope{}, errors.New("envelope: no payload")
	}
	return e, nil
}
