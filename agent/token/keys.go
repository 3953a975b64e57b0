package token

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Overlap is how long a former key may count beside the one that replaces it
// (domain reference, section 10).
const Overlap = 24 * time.Hour

// Keys are a port's key and, while it is being replaced, the one before it.
type Keys struct {
	Current *Key
	Former  *Key      // nil: none
	Until   time.Time // when Former ends
}

// ParseKeys reads a credential: the key on the first line, as ParseKey wants it,
// and, while keys are being replaced, "FORMER until 2026-11-24T12:00:00Z" on the
// second. An end that is more than Overlap after now is refused: no key counts
// for longer beside another. What has ended is read and left out. The error
// never quotes a key.
func ParseKeys(credential []byte, now time.Time) (Keys, error) {
	var lines []string
	for line := range strings.Lines(string(credential)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) > 2 {
		return Keys{}, fmt.Errorf("token key: %d lines, want the key and at most the one before it", len(lines))
	}
	var first, second string
	if len(lines) > 0 {
		first = lines[0]
	}
	if len(lines) > 1 {
		second = lines[1]
	}
	var k Keys
	var err error
	if k.Current, err = ParseKey([]byte(first)); err != nil || second == "" {
		return k, err
	}
	text, end, ok := strings.Cut(second, " until ")
	if !ok {
		return Keys{}, errors.New("token key: the second line is not KEY until TIME")
	}
	if k.Former, err = ParseKey([]byte(text)); err != nil {
		return Keys{}, fmt.Errorf("former %w", err)
	}
	k.Until, err = time.Parse(time.RFC3339, strings.TrimSpace(end))
	switch {
	case err != nil:
		return Keys{}, errors.New("token key: the second line does not end with a time such as 2026-11-24T12:00:00Z")
	case k.Until.After(now.Add(Overlap)):
		return Keys{}, fmt.Errorf("token key: the former key is to count until %s, more than %v from now", k.Until.Format(time.RFC3339), Overlap)
	case k.Former.ID() == k.Current.ID():
		return Keys{}, errors.New("token key: both lines hold the same key")
	case !now.Before(k.Until):
		return Keys{Current: k.Current}, nil
	}
	return k, nil
}

// Pick gives the key that an id names, if it counts at a time. "" names the
// current one. It is nil for every other id, and without keys.
func (k Keys) Pick(id string, now time.Time) *Key {
	switch {
	case k.Current == nil:
		return nil
	case id == "" || id == k.Current.ID():
		return k.Current
	case k.former(now) && id == k.Former.ID():
		return k.Former
	}
	return nil
}

// Other gives the key beside one that is in use, while both count; else nil.
func (k Keys) Other(than *Key, now time.Time) *Key {
	switch {
	case than == nil || !k.former(now):
		return nil
	case than.ID() == k.Current.ID():
		return k.Former
	}
	return k.Current
}

func (k Keys) former(now time.Time) bool { return k.Former != nil && now.Before(k.Until) }

// IDs names the keys that count at a time.
func (k Keys) IDs(now time.Time) (ids []string) {
	if k.Current != nil {
		ids = append(ids, k.Current.ID())
	}
	if k.former(now) {
		ids = append(ids, k.Former.ID())
	}
	return ids
}
