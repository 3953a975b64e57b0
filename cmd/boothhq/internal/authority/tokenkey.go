package authority

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"boothd/agent/token"
)

// RotateTokenKey makes a new token key. The former one counts beside it for
// overlap, at most token.Overlap: in that time the new token.key goes to every
// booth, and then the lists are built anew and published. It gives the ids of
// both keys and when the former ends.
func (o *Office) RotateTokenKey(overlap time.Duration) (fresh, former string, until time.Time, err error) {
	path := filepath.Join(o.Dir, "token.key")
	if overlap <= 0 || overlap > token.Overlap {
		return "", "", until, fmt.Errorf("an overlap of %v; want up to %v", overlap, token.Overlap)
	}
	credential, err := os.ReadFile(path)
	if err != nil {
		return "", "", until, err
	}
	keys, err := token.ParseKeys(credential, o.Now)
	switch {
	case err != nil:
		return "", "", until, fmt.Errorf("reading %s: %w", path, err)
	case keys.Former != nil:
		return "", "", until, fmt.Errorf("key %s is being replaced until %s already", keys.Former.ID(), keys.Until.Format(time.RFC3339))
	}
	secret := make([]byte, token.KeySize)
	if _, err := rand.Read(secret); err != nil {
		return "", "", until, err
	}
	text := hex.EncodeToString(secret)
	key, err := token.ParseKey([]byte(text))
	if err != nil {
		return "", "", until, err
	}
	old, _, _ := strings.Cut(strings.TrimSpace(string(credential)), "\n")
	until = o.Now.Add(overlap).UTC().Truncate(time.Second)
	both := text + "\n" + strings.TrimSpace(old) + " until " + until.Format(time.RFC3339) + "\n"
	if _, err := token.ParseKeys([]byte(both), o.Now); err != nil {
		return "", "", until, errors.Join(errors.New("the new token key cannot be read back"), err)
	}
	return key.ID(), keys.Current.ID(), until, keep(path, []byte(both), 0o600)
}
