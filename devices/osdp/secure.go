package osdp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Key is a key of the secure channel: a reader's own (SCBK) or the master key
// that readers' keys are derived from. It prints as nothing.
type Key [16]byte

// defaultKey is SCBK-D, which everybody knows.
var defaultKey = Key{0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F}

// ErrWeakKey refuses a key that could be guessed.
var ErrWeakKey = errors.New("key is the default key, or all its bytes are alike")

// ParseKey reads a key from the contents of a credential: 32 hex digits, with
// white space around them allowed. The error never quotes the contents.
func ParseKey(credential []byte) (Key, error) {
	var k Key
	text := strings.TrimSpace(string(credential))
	if len(text) != 2*len(k) {
		return Key{}, fmt.Errorf("OSDP key: %d characters, want %d hex digits", len(text), 2*len(k))
	}
	if _, err := hex.Decode(k[:], []byte(text)); err != nil {
		return Key{}, fmt.Errorf("OSDP key: not hex digits only (want %d)", 2*len(k))
	}
	if k.weak() {
		return Key{}, fmt.Errorf("OSDP key: %w", ErrWeakKey)
	}
	return k, nil
}

// String masks.
func (Key) String() string { return "osdp key" }

// GoString masks under %#v.
func (k Key) GoString() string { return k.String() }

// Format masks under every verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// LogValue masks in structured logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText masks in JSON and the like.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (k Key) weak() bool {
	alike := true
	for _, b := range k {
		alike = alike && b == k[0]
	}
	return alike || k == defaultKey
}

// Derive gives the key of one reader from the master key and the number that
// the reader gives of itself (cUID).
func (k Key) Derive(cuid [8]byte) Key {
	var in Key
	for i, b := range cuid {
		in[i], in[i+8] = b, ^b
	}
	return Key(encrypt(block(k), in))
}

func block(k [16]byte) cipher.Block {
	b, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // 16 bytes are always a key
	}
	return b
}

func encrypt(b cipher.Block, in [16]byte) (out [16]byte) {
	b.Encrypt(out[:], in[:])
	return out
}

// session is a secure channel, seen by either side: its keys and the last MAC
// of each direction, over which the next one is chained.
type session struct {
	enc, mac1, mac2 cipher.Block
	cmac, rmac      [16]byte
}

// newSession derives the keys of one session from the first six bytes of RND.A.
func newSession(scbk Key, rndA [8]byte) *session {
	k := block(scbk)
	derive := func(a, b byte) cipher.Block {
		in := [16]byte{a, b}
		copy(in[2:8], rndA[:6])
		return block(encrypt(k, in))
	}
	return &session{enc: derive(0x01, 0x82), mac1: derive(0x01, 0x01), mac2: derive(0x01, 0x02)}
}

// cryptogram proves to know the key: the client's over RND.A, RND.B, the
// server's over RND.B, RND.A.
func (s *session) cryptogram(first, second [8]byte) [16]byte {
	var in [16]byte
	copy(in[:8], first[:])
	copy(in[8:], second[:])
	return encrypt(s.enc, in)
}

// begin gives the first R-MAC, from the server's cryptogram.
func (s *session) begin(server [16]byte) [16]byte {
	return encrypt(s.mac2, encrypt(s.mac1, server))
}

// mac is the chained MAC over b: S-MAC1 for all blocks but the last.
func (s *session) mac(iv [16]byte, b []byte) [16]byte {
	for len(b) > 16 {
		subtle.XORBytes(iv[:], iv[:], b[:16])
		s.mac1.Encrypt(iv[:], iv[:])
		b = b[16:]
	}
	var last [16]byte
	if copy(last[:], b) < 16 {
		last[len(b)] = 0x80
	}
	subtle.XORBytes(iv[:], iv[:], last[:])
	s.mac2.Encrypt(iv[:], iv[:])
	return iv
}

func inverse(iv [16]byte) [16]byte {
	for i := range iv {
		iv[i] = ^iv[i]
	}
	return iv
}

// sealed is data encrypted, padded with 80 00.. to whole blocks.
func (s *session) sealed(lastMAC [16]byte, data []byte) []byte {
	out := make([]byte, (len(data)/16+1)*16)
	out[copy(out, data)] = 0x80
	iv := inverse(lastMAC)
	cipher.NewCBCEncrypter(s.enc, iv[:]).CryptBlocks(out, out)
	return out
}

var errPadding = errors.New("encrypted data is not whole blocks, padded with 80 and zeros")

// opened decrypts data in place and takes the padding off.
func (s *session) opened(lastMAC [16]byte, data []byte) ([]byte, error) {
	if len(data) == 0 || len(data)%16 != 0 {
		return nil, errPadding
	}
	iv := inverse(lastMAC)
	cipher.NewCBCDecrypter(s.enc, iv[:]).CryptBlocks(data, data)
	for n := len(data) - 1; n >= len(data)-16; n-- {
		switch data[n] {
		case 0x80:
			return data[:n], nil
		case 0:
		default:
			return nil, errPadding
		}
	}
	return nil, errPadding
}

// command puts a command of the panel into its secured wire form and chains.
func (s *session) command(dst []byte, f frame) []byte {
	f.scs = scsCommand
	if len(f.data) > 0 {
		f.scs, f.data = scsCommandEnc, s.sealed(s.rmac, f.data)
	}
	return appendFrame(dst, f, func(b []byte) (m [macSize]byte) {
		s.cmac = s.mac(s.rmac, b)
		return [macSize]byte(s.cmac[:])
	})
}

var (
	errMAC   = errors.New("MAC of a reply is wrong")
	errClear = errors.New("reply in clear, or of the handshake, in a secure channel")
)

// reply checks a reply of the reader, chains, and gives its data in clear. The
// chain does not move on an error.
func (s *session) reply(f frame) ([]byte, error) {
	if f.scs != scsReply && f.scs != scsReplyEnc {
		return nil, errClear
	}
	mac := s.mac(s.cmac, f.signed)
	if subtle.ConstantTimeCompare(mac[:macSize], f.mac) != 1 {
		return nil, errMAC
	}
	data := f.data
	if f.scs == scsReplyEnc && len(data) > 0 {
		var err error
		if data, err = s.opened(s.cmac, data); err != nil {
			return nil, err
		}
	} else if len(data) > 0 {
		return nil, errPadding // type 16 has no data
	}
	s.rmac = mac
	return data, nil
}
