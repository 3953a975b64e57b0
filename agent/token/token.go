// Package token turns an identifier into its keyed token. Raw values stop
// here: what leaves this package can be stored, logged and sent.
//
// A token is HMAC-SHA-256 under the port's key over a domain word and the
// canonical form of the identifier, cut to 128 bits and written as 32 hex
// digits. Unkeyed hashes would not do: the plate and membership spaces are
// small enough to be enumerated in seconds.
//
// Source: domain reference, section 10; product design, section 4; licence
// plate readers, "Plate text".
package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"boothd/agent/passage"
	"boothd/devices"
)

// KeySize is the size of a port key in bytes.
const KeySize = 32

// ErrNoKey is the reason 214 in Go: no look-up is possible without a key.
var ErrNoKey = errors.New("token key not loaded")

// Key is a port's token key. It prints as its id alone.
type Key struct {
	secret [KeySize]byte
	id     string
}

// ParseKey reads a key from the contents of a credential: 64 hex digits, with
// white space around them allowed. The error never quotes the contents.
func ParseKey(credential []byte) (*Key, error) {
	text := strings.TrimSpace(string(credential))
	if len(text) != 2*KeySize {
		return nil, fmt.Errorf("token key: %d characters, want %d hex digits", len(text), 2*KeySize)
	}
	k := new(Key)
	if _, err := hex.Decode(k.secret[:], []byte(text)); err != nil {
		return nil, fmt.Errorf("token key: not hex digits only (want %d)", 2*KeySize)
	}
	if k.secret == [KeySize]byte{} {
		return nil, errors.New("token key: all zero; make one with boothhq lists init")
	}
	sum := k.sum("key-id", nil)
	k.id = hex.EncodeToString(sum[:4])
	return k, nil
}

// ID names the key without telling it: 8 hex digits.
func (k *Key) ID() string { return k.id }

// String gives the id, never the key.
func (k *Key) String() string { return "key " + k.id }

// GoString gives the id, never the key.
func (k *Key) GoString() string { return k.String() }

func (k *Key) sum(domain string, canonical []byte) [sha256.Size]byte {
	h := hmac.New(sha256.New, k.secret[:])
	h.Write([]byte(domain))
	h.Write([]byte{0})
	h.Write(canonical)
	var out [sha256.Size]byte
	h.Sum(out[:0])
	return out
}

func (k *Key) token(domain, canonical string) passage.Token {
	if canonical == "" {
		return ""
	}
	sum := k.sum(domain, []byte(canonical))
	return passage.Token(hex.EncodeToString(sum[:16]))
}

// Card is the token of a card's number (EPC, in hex). Nothing in, nothing out.
func (k *Key) Card(epc devices.Ident) passage.Token { return k.token("card", Hex(epc)) }

// TID is the token of a chip number, compared whole.
func (k *Key) TID(tid devices.Ident) passage.Token { return k.token("tid", Hex(tid)) }

// Membership is the token of a membership number (PASSID).
func (k *Key) Membership(number devices.Ident) passage.Token {
	return k.token("member", alphanumeric(number.Reveal(), 20))
}

// Plate makes the tokens of a plate as read or keyed: with jurisdiction (none
// if that is unknown), without, and of the fold key.
func (k *Key) Plate(text devices.Ident, jurisdiction string, confidence float64) passage.Plate {
	plain := PlateText(text)
	where := strings.ToUpper(strings.TrimSpace(jurisdiction))
	p := passage.Plate{
		Bare:         k.token("plate", plain),
		Fold:         k.token("plate-fold", FoldPlate(plain)),
		Jurisdiction: where,
		Confidence:   confidence,
		NoRead:       plain == "",
	}
	if where != "" && plain != "" {
		p.Full = k.token("plate-at", where+"/"+plain)
	}
	return p
}

// Document is the token of a travel document: issuing state and number.
func (k *Key) Document(issuer string, number devices.Ident) passage.Token {
	n := alphanumeric(number.Reveal(), 24)
	if n == "" {
		return ""
	}
	return k.token("document", alphanumeric(issuer, 3)+"/"+n)
}

// Carrier is the token of a carrier code, whose dashes are part of it.
func (k *Key) Carrier(code devices.Ident) passage.Token { return k.token("carrier", code4(code)) }

// Importer is the token of a business number (BN15).
func (k *Key) Importer(number devices.Ident) passage.Token {
	return k.token("importer", alphanumeric(number.Reveal(), 15))
}

// Cargo is the token of a cargo control number or of a trip's, which have one
// form: compared whole, inner letters and dashes included.
func (k *Key) Cargo(number devices.Ident) passage.Token {
	s := strings.ToUpper(number.Reveal())
	if len(s) > 29 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return k.token("cargo", s)
}

// Container is the token of a container's number.
func (k *Key) Container(number devices.Ident) passage.Token {
	return k.token("container", alphanumeric(number.Reveal(), 11))
}

// Seal is the token of a seal's number: upper case, without spaces and dashes.
func (k *Key) Seal(number devices.Ident) passage.Token {
	return k.token("seal", alphanumeric(number.Reveal(), 24))
}

// Tractor is the token of a carrier's tractor: the carrier's token and one of
// its plate's.
func (k *Key) Tractor(carrier, plate passage.Token) passage.Token {
	if carrier == "" || plate == "" {
		return ""
	}
	return k.token("tractor", string(carrier)+"/"+string(plate))
}

// Draw is the random draw of a passage, 0..9999: unpredictable at the booth,
// reproducible by an audit that holds the key. The day is UTC (domain
// reference 7.5).
func (k *Key) Draw(passageID string, at time.Time) int {
	daily := k.sum("draw-day", []byte(at.UTC().Format(time.DateOnly)))
	h := hmac.New(sha256.New, daily[:])
	h.Write([]byte(passageID))
	// 64 bits modulo 10,000: the bias is below 1e-15.
	return int(binary.BigEndian.Uint64(h.Sum(nil)) % 10_000)
}

// Hex is the canonical form of a tag or chip number: upper-case hex digits,
// blanks and dashes dropped. Anything else in it makes it empty: an identifier
// that cannot be written canonically must not match by accident.
func Hex(id devices.Ident) string {
	var b strings.Builder
	for _, r := range strings.ToUpper(id.Reveal()) {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'F':
			b.WriteRune(r)
		case r == ' ' || r == '-':
		default:
			return ""
		}
	}
	if b.Len() > 124 { // 62 bytes: the longest EPC a PC word can announce
		return ""
	}
	return b.String()
}

// PlateText is the canonical form of a plate: A-Z and 0-9, at most 10.
func PlateText(text devices.Ident) string { return alphanumeric(text.Reveal(), 10) }

// fold maps characters that cameras confuse onto one of each group. A fold tie
// prefers the digit, since I, O, Q and U are rarely used in serials.
var fold = strings.NewReplacer("O", "0", "Q", "0", "D", "0", "I", "1", "L", "1",
	"Z", "2", "S", "5", "G", "6", "B", "8", "T", "7")

// FoldPlate is the fold key of a canonical plate. It is never shown.
func FoldPlate(canonical string) string { return fold.Replace(canonical) }

// code4 is the canonical form of a carrier code: 4 of A-Z, 0-9 and the dash.
func code4(code devices.Ident) string {
	s := strings.ToUpper(code.Reveal())
	if len(s) != 4 || strings.ContainsFunc(s, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' }) {
		return ""
	}
	return s
}

func alphanumeric(s string, most int) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 0xFF01 && r <= 0xFF5E { // full-width forms of ASCII
			r -= 0xFEE0
		}
		if r >= 'a' && r <= 'z' {
			r -= 'a' - 'A'
		}
		if (r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') && b.Len() < most {
			b.WriteRune(r)
		}
	}
	return b.String()
}
