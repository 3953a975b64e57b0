package contract

import (
	"bytes"
	"strings"
	"testing"
)

func TestParts(t *testing.T) {
	file := bytes.Repeat([]byte("0123456789abcdef"), (2*PartSize+5)/16+1)[:2*PartSize+5]
	got := Parts(file)
	if len(got) != 3 || got[2] != Parts(file[2*PartSize:])[0] || got[0] != Parts(file[:PartSize])[0] {
		t.Errorf("parts of %d bytes: %d", len(file), len(got))
	}
	if n := len(Parts(make([]byte, MaxParts*PartSize))); n != MaxParts {
		t.Errorf("the largest file has %d parts, want %d", n, MaxParts)
	}
	if Parts(make([]byte, MaxParts*PartSize+1)) != nil {
		t.Error("a file over the limit has parts")
	}
}

func TestPartTopic(t *testing.T) {
	part := Parts([]byte("x"))[0]
	topic := PartTopic(ListCards, part)
	if want := "list/v1/cards/part/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"; topic != want || len(topic) > MaxTopic {
		t.Errorf("PartTopic is %s, want %s", topic, want)
	}
	if kind, d, err := PartSource(topic); err != nil || kind != ListCards || d != part {
		t.Errorf("PartSource(%s) = %s, %s, %v", topic, kind, d, err)
	}
	for _, bad := range []string{"", "list/v1/cards/part", strings.ToUpper(topic), strings.Replace(topic, "cards", "wallets", 1),
		topic + "/x", topic[:len(topic)-1], "list/v1/cards/part/2D711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"} {
		if _, _, err := PartSource(bad); err == nil {
			t.Errorf("PartSource takes %q", bad)
		}
	}
}

func TestWantRefusals(t *testing.T) {
	many := make([]PartDigest, MaxWant+1)
	for name, w := range map[string]Want{"no list": {Parts: many[:1]}, "no parts": {List: ListCards}, "too many": {List: ListCards, Parts: many}} {
		if _, err := EncodeWant(w); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
	for _, bad := range []string{"", "[]", `{"list":"cards","parts":["00"],"at":"2026-11-23T00:00:00Z"}`, `{"list":"cards","parts":[],"at":"2026-11-23T00:00:00Z"}`,
		`{"list":"cards","list":"cards","parts":[]}`} {
		if _, err := DecodeWant([]byte(bad)); err == nil {
			t.Errorf("DecodeWant takes %s", bad)
		}
	}
	if booth, err := WantSource(WantListTopic("pac-hwy-nexus-03")); err != nil || booth != "pac-hwy-nexus-03" {
		t.Errorf("WantSource: %s, %v", booth, err)
	}
	if _, err := WantSource("booth/v1/a/b/want/list"); err == nil {
		t.Error("WantSource takes a booth of two levels")
	}
}
