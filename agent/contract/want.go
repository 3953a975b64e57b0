package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lists in parts (mqtt contract, section 6): what a signed list or delta is made
// of, as it travels over MQTT. Every part but the last has PartSize bytes.
const (
	PartSize = 128 << 10
	// MaxParts bounds what travels so, and MaxWant what is asked for at a time:
	// larger files come from a web server or by hand.
	MaxParts = 64
	MaxWant  = 16
)

// PartDigest is the SHA-256 of one part. It is the part's name.
type PartDigest [sha256.Size]byte

func (d PartDigest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText gives 64 hex digits.
func (d PartDigest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads them, lower case alone: one part has one name.
func (d *PartDigest) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != sha256.Size || strings.ToLower(string(b)) != string(b) {
		return errors.New("a part is not named by 64 hex digits")
	}
	*d = PartDigest(raw)
	return nil
}

// Parts gives the digests of a file's parts, in order; nil if it has more than
// MaxParts and does not travel so.
func Parts(file []byte) (out []PartDigest) {
	if len(file) > MaxParts*PartSize {
		return nil
	}
	for part := range slices.Chunk(file, PartSize) {
		out = append(out, sha256.Sum256(part))
	}
	return out
}

// PartTopic is where a part of a list of a kind comes down.
func PartTopic(kind string, part PartDigest) string {
	return strings.NewReplacer("{list}", kind, "{digest}", part.String()).Replace(TopicListPart)
}

// PartSource reads kind and part out of such a topic.
func PartSource(topic string) (kind string, part PartDigest, err error) {
	levels := strings.Split(topic, "/")
	if len(levels) != 5 || levels[0] != "list" || levels[1] != "v1" || levels[3] != "part" || !slices.Contains(ListKinds(), levels[2]) {
		return "", part, fmt.Errorf("not a topic of a list part (%d bytes)", len(topic))
	}
	return levels[2], part, part.UnmarshalText([]byte(levels[4]))
}

// WantSource reads the booth out of the topic of a wish.
func WantSource(topic string) (booth string, err error) {
	rest, ok := strings.CutPrefix(topic, "booth/v1/")
	booth, ok2 := strings.CutSuffix(rest, "/want/list")
	if !ok || !ok2 {
		return "", fmt.Errorf("not a topic of wishes (%d bytes)", len(topic))
	}
	return booth, CheckBooth(booth)
}

// Want is how a booth asks for parts that the broker did not have for it.
type Want struct {
	List  string       `json:"list"`  // kind
	Parts []PartDigest `json:"parts"` // 1 to MaxWant
	At    time.Time    `json:"at"`
}

// EncodeWant gives a wish's bytes. It fails on what DecodeWant refuses.
func EncodeWant(w Want) ([]byte, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	return encode("want.list", w)
}

// DecodeWant judges a wish that came in.
func DecodeWant(b []byte) (Want, error) {
	var w Want
	if err := strict(b, MaxState, &w); err != nil {
		return Want{}, fmt.Errorf("want: %w", err)
	}
	return w, w.check()
}

func (w Want) check() error {
	switch {
	case !slices.Contains(ListKinds(), w.List):
		return errors.New("want: no such list")
	case len(w.Parts) == 0 || len(w.Parts) > MaxWant:
		return fmt.Errorf("want: %d parts, 1 to %d", len(w.Parts), MaxWant)
	}
	return nil
}
