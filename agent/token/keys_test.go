package token

import (
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	oldHex = strings.Repeat("0123456789abcdef", 4)
	newHex = strings.Repeat("fedcba9876543210", 4)
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

func TestKeysBothCountForADayAtMost(t *testing.T) {
	old, _ := ParseKey([]byte(oldHex))
	fresh, _ := ParseKey([]byte(newHex))
	k, err := ParseKeys([]byte(newHex+"\n"+oldHex+" until 2026-11-24T12:00:00Z\n"), noon)
	if err != nil {
		t.Fatal(err)
	}
	end := noon.Add(24 * time.Hour)
	for _, tt := range []struct {
		id   string
		at   time.Time
		want *Key
	}{
		{"", noon, fresh}, {fresh.ID(), noon, fresh}, {old.ID(), noon, old}, {"00000000", noon, nil},
		{old.ID(), end.Add(-time.Second), old}, {old.ID(), end, nil}, {fresh.ID(), end, fresh},
	} {
		if got := k.Pick(tt.id, tt.at); (got == nil) != (tt.want == nil) || got != nil && got.ID() != tt.want.ID() {
			t.Errorf("Pick(%q, %v) = %v, want %v", tt.id, tt.at, got, tt.want)
		}
	}
	if o := k.Other(k.Current, noon); o == nil || o.ID() != old.ID() || k.Other(k.Former, noon).ID() != fresh.ID() {
		t.Errorf("Other = %v", o)
	}
	if k.Other(k.Current, end) != nil || k.Other(nil, noon) != nil || !slices.Equal(k.IDs(end), []string{fresh.ID()}) || len(k.IDs(noon)) != 2 {
		t.Error("a former key counts after its end")
	}
	if later, err := ParseKeys([]byte(newHex+"\n"+oldHex+" until 2026-11-24T12:00:00Z"), end); err != nil || later.Former != nil {
		t.Errorf("read after its end: %v, %v", later.Former, err)
	}
	var none Keys
	if none.Pick("", noon) != nil || none.Other(k.Current, noon) != nil || none.IDs(noon) != nil {
		t.Error("no keys give a key")
	}
}

func TestParseKeysRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":        "",
		"three lines":    newHex + "\n" + oldHex + " until 2026-11-24T12:00:00Z\n" + oldHex,
		"no end":         newHex + "\n" + oldHex,
		"an end too far": newHex + "\n" + oldHex + " until 2026-11-24T12:00:01Z",
		"no time":        newHex + "\n" + oldHex + " until tomorrow",
		"the same twice": newHex + "\n" + newHex + " until 2026-11-24T12:00:00Z",
		"half a key":     newHex + "\n" + oldHex[1:] + " until 2026-11-24T12:00:00Z",
	} {
		k, err := ParseKeys([]byte(text), noon)
		if err == nil {
			t.Errorf("%s: taken as %v", name, k.IDs(noon))
		} else if strings.Contains(err.Error(), oldHex[:16]) || strings.Contains(err.Error(), newHex[:16]) {
			t.Errorf("%s: the error quotes a key: %v", name, err)
		}
	}
}

// FuzzParseKeys: a credential that is accepted has a current key, a former one
// only beside another and for a time, and no error quotes a key.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(newHex + "\n" + oldHex + " until 2026-11-24T12:00:00Z\n"))
	f.Add([]byte(" " + newHex + "\r\n\n"))
	f.Add([]byte(newHex + "\n" + newHex + " until 2026-11-24T12:00:00Z"))
	f.Add([]byte(oldHex + " until 2026"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKeys(b, noon)
		switch {
		case err != nil && k != Keys{}:
			t.Fatalf("an error came with %v", k)
		case err != nil:
			for line := range strings.FieldsSeq(string(b)) {
				if len(line) >= 2*KeySize && strings.Contains(err.Error(), line) {
					t.Fatalf("the error quotes %q", line)
				}
			}
		case k.Current == nil || k.Former != nil && (k.Former.ID() == k.Current.ID() || k.Until.After(noon.Add(Overlap))):
			t.Fatalf("accepted %q as %v", b, k)
		}
	})
}
