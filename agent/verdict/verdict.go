// Package verdict is what a kiosk's face matcher says to the booth, and how the
// booth knows that the matcher said it.
//
// The matcher is a program of its own: capture, templates and matching are its
// affair. It connects to a unix socket of the booth. Both sides write lines of
// JSON of at most 1 KiB, each ended by LF:
//
//	booth:   {"challenge":{"passage_id":"0192...","card_token":"<32 hex>","nonce":"<32 hex>"}}
//	matcher: {"passage_id":"0192...","card_token":"<32 hex>","nonce":"<32 hex>","result":"MATCH",
//	          "produced_at":1795450000123,"matcher_id":"kiosk-3","mac":"<64 hex>"}
//
// There is one challenge a session; the latest one stands, and a matcher that
// connects again is told it again. A verdict copies passage, token and nonce
// from the challenge. produced_at is in milliseconds since 1970, UTC. The mac
// is HMAC-SHA-256 under the key that booth and matcher share, over
//
//	"boothd verdict 1" 00, passage_id, card_token, nonce, result, produced_at, matcher_id
//
// where each field is preceded by its length in two bytes; nonce is its 16
// bytes, produced_at 8 bytes, numbers are big-endian, the rest is the text. Hex
// is in lower case. There is no place for a score, an image or a template: a
// line with any other key, a key twice or a key missing is refused whole.
//
// This package judges form and MAC. Whether passage, token, nonce and age are
// those of the session is for agent/passage to say (reason 853); only Server
// and Matcher, the ends of the socket, do anything but compute.
//
// Source: domain reference, section 4, "Matcher interface".
package verdict

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"boothd/agent/passage"
)

// Limits of the socket protocol, in bytes.
const (
	MaxLine    = 1024 // a line with its LF; a verdict has some 330
	maxPassage = 64
	maxMatcher = 32
	tokenSize  = 32 // hex digits of a passage.Token
)

// ErrForm says that a line, or a value to be sent, is no verdict or challenge.
var ErrForm = errors.New("not of the form of the matcher's protocol")

// Result is what the matcher found.
type Result uint8

// The results. The zero value sees an officer.
const (
	Unavailable Result = iota // no answer could be made
	PoorQuality               // the capture was no good
	NotEnrolled               // there is no reference
	NoMatch                   // it is somebody else
	Match
)

var words = [...]string{"UNAVAILABLE", "POOR_QUALITY", "NOT_ENROLLED", "NO_MATCH", "MATCH"}

// String gives the result as it goes over the wire: "NO_MATCH". What is no
// result is as good as none.
func (r Result) String() string {
	if int(r) >= len(words) {
		return words[Unavailable]
	}
	return words[r]
}

// MarshalText writes the result as String does.
func (r Result) MarshalText() ([]byte, error) {
	if int(r) >= len(words) {
		return nil, fmt.Errorf("%w: result %d", ErrForm, r)
	}
	return []byte(words[r]), nil
}

// UnmarshalText reads what MarshalText writes and nothing else.
func (r *Result) UnmarshalText(b []byte) error {
	for i, w := range words {
		if string(b) == w {
			*r = Result(i)
			return nil
		}
	}
	return fmt.Errorf("%w: no such result", ErrForm)
}

// Nonce makes a session's challenge unlike any other: 128 bits that the caller
// draws at random.
type Nonce [16]byte

// ParseNonce reads 32 hex digits in lower case.
func ParseNonce(text string) (n Nonce, err error) { return n, n.UnmarshalText([]byte(text)) }

// String gives 32 hex digits.
func (n Nonce) String() string { return hex.EncodeToString(n[:]) }

// MarshalText writes the nonce as String does.
func (n Nonce) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what MarshalText writes and nothing else.
func (n *Nonce) UnmarshalText(b []byte) error { return unhex(n[:], b) }

// MAC authenticates a verdict.
type MAC [32]byte

// MarshalText writes 64 hex digits.
func (m MAC) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(m[:])), nil }

// UnmarshalText reads what MarshalText writes and nothing else.
func (m *MAC) UnmarshalText(b []byte) error { return unhex(m[:], b) }

// unhex wants exactly the digits of dst, in lower case: one value has one
// writing.
func unhex(dst, b []byte) error {
	if len(b) != 2*len(dst) || bytes.ContainsAny(b, "ABCDEF") {
		return fmt.Errorf("%w: not %d hex digits in lower case", ErrForm, 2*len(dst))
	}
	if _, err := hex.Decode(dst, b); err != nil {
		return fmt.Errorf("%w: not %d hex digits", ErrForm, 2*len(dst))
	}
	return nil
}

// Challenge is what a verdict must be bound to. The zero Challenge is none.
type Challenge struct {
	PassageID string        `json:"passage_id"` // 1 to 64 of A-Z, a-z, 0-9, "." and "-"
	CardToken passage.Token `json:"card_token"`
	Nonce     Nonce         `json:"nonce"` // not all zero
}

// Verdict is what a matcher says of one session.
type Verdict struct {
	Challenge
	Result     Result
	ProducedAt time.Time // by the matcher's clock, in milliseconds
	MatcherID  string    // 1 to 32 of A-Z, a-z, 0-9, "." and "-"
	MAC        MAC
}

// wire is a verdict's line. Pointers tell a missing key from a zero value.
type wire struct {
	PassageID  *string        `json:"passage_id"`
	CardToken  *passage.Token `json:"card_token"`
	Nonce      *Nonce         `json:"nonce"`
	Result     *Result        `json:"result"`
	ProducedAt *int64         `json:"produced_at"`
	MatcherID  *string        `json:"matcher_id"`
	MAC        *MAC           `json:"mac"`
}

// check refuses what the far side would not read, or what might be read as
// another value.
func (c Challenge) check() error {
	switch {
	case !name(c.PassageID, maxPassage):
		return fmt.Errorf("%w: passage_id is not 1 to %d characters of A-Z, a-z, 0-9, \".\" and \"-\"", ErrForm, maxPassage)
	case unhex(make([]byte, tokenSize/2), []byte(c.CardToken)) != nil:
		return fmt.Errorf("%w: card_token is not %d hex digits in lower case", ErrForm, tokenSize)
	case c.Nonce == Nonce{}:
		return fmt.Errorf("%w: nonce is all zero", ErrForm)
	}
	return nil
}

func (v Verdict) check() error {
	if err := v.Challenge.check(); err != nil {
		return err
	}
	switch ms := v.ProducedAt.UnixMilli(); {
	case int(v.Result) >= len(words):
		return fmt.Errorf("%w: result %d", ErrForm, v.Result)
	case ms <= 0 || ms >= 1<<47: // the year 6429; and no overflow anywhere
		return fmt.Errorf("%w: produced_at is no time of this age", ErrForm)
	case !name(v.MatcherID, maxMatcher):
		return fmt.Errorf("%w: matcher_id is not 1 to %d characters of A-Z, a-z, 0-9, \".\" and \"-\"", ErrForm, maxMatcher)
	}
	return nil
}

func name(s string, most int) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '.' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// Sign gives a verdict's line, with its LF and the MAC under the key. It is the
// matcher's half; v.MAC is not looked at, and ProducedAt is cut to milliseconds.
func Sign(k *Key, v Verdict) ([]byte, error) {
	if k == nil {
		return nil, fmt.Errorf("signing a verdict: %w", ErrNoKey)
	}
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("signing a verdict: %w", err)
	}
	ms, mac := v.ProducedAt.UnixMilli(), k.mac(v)
	line, err := json.Marshal(wire{&v.PassageID, &v.CardToken, &v.Nonce, &v.Result, &ms, &v.MatcherID, &mac})
	if err != nil {
		return nil, fmt.Errorf("signing a verdict: %w", err)
	}
	return append(line, '\n'), nil
}

// Open reads a verdict's line, with or without its LF, and tells whether its MAC
// is right under the key; under no key none is. The fields of an unbound
// verdict prove nothing. What has another form is ErrForm, with no verdict.
func Open(k *Key, line []byte) (v Verdict, bound bool, err error) {
	var w wire
	if err := decode(line, &w); err != nil {
		return Verdict{}, false, fmt.Errorf("reading a verdict: %w", err)
	}
	if w.PassageID == nil || w.CardToken == nil || w.Nonce == nil || w.Result == nil || w.ProducedAt == nil || w.MatcherID == nil || w.MAC == nil {
		return Verdict{}, false, fmt.Errorf("reading a verdict: %w: a key is missing", ErrForm)
	}
	v = Verdict{Challenge{*w.PassageID, *w.CardToken, *w.Nonce}, *w.Result, time.UnixMilli(*w.ProducedAt).UTC(), *w.MatcherID, *w.MAC}
	if err := v.check(); err != nil {
		return Verdict{}, false, fmt.Errorf("reading a verdict: %w", err)
	}
	if k == nil {
		return v, false, nil
	}
	want := k.mac(v)
	return v, hmac.Equal(want[:], v.MAC[:]), nil
}

// challenge is a challenge's line.
type challenge struct {
	Challenge *Challenge `json:"challenge"`
}

// EncodeChallenge gives a challenge's line, with its LF. It is the booth's half.
func EncodeChallenge(c Challenge) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("writing a challenge: %w", err)
	}
	line, err := json.Marshal(challenge{&c})
	if err != nil {
		return nil, fmt.Errorf("writing a challenge: %w", err)
	}
	return append(line, '\n'), nil
}

// ParseChallenge reads a challenge's line, with or without its LF. It is the
// matcher's half. What has another form is ErrForm.
func ParseChallenge(line []byte) (Challenge, error) {
	var w challenge
	err := decode(line, &w)
	switch {
	case err != nil:
	case w.Challenge == nil:
		err = fmt.Errorf("%w: a key is missing", ErrForm)
	default:
		if err = w.Challenge.check(); err == nil {
			return *w.Challenge, nil
		}
	}
	return Challenge{}, fmt.Errorf("reading a challenge: %w", err)
}

// decode refuses what is too long, and with the decoder's strictness keys
// unknown, twice or in another case. Its errors may quote the line, which is
// another's text: only that it failed is told.
func decode(line []byte, into any) error {
	if len(line) > MaxLine {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrForm, len(line), MaxLine)
	}
	if err := json.Unmarshal(line, into, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("%w: not the keys and values of such a line", ErrForm)
	}
	return nil
}

// sealed is what the MAC is taken over.
func (v Verdict) sealed() []byte {
	b := append(make([]byte, 0, 256), "boothd verdict 1\x00"...)
	field := func(f []byte) {
		b = binary.BigEndian.AppendUint16(b, uint16(len(f)))
		b = append(b, f...)
	}
	field([]byte(v.PassageID))
	field([]byte(v.CardToken))
	field(v.Nonce[:])
	field([]byte(v.Result.String()))
	field(binary.BigEndian.AppendUint64(nil, uint64(v.ProducedAt.UnixMilli())))
	field([]byte(v.MatcherID))
	return b
}
