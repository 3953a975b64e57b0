package epc

import (
	"errors"
	"testing"

	"boothd/devices/devicestest"
)

func TestParsePC(t *testing.T) {
	tests := []struct {
		word uint16
		want PC
	}{
		{0x3000, PC{Words: 6}}, // page: 96 bits
		{0x0000, PC{}},         // page: a blank tag
		// Derived from the page's bits.
		{0x3400, PC{Words: 6, UserMemory: true}},
		{0x3A00, PC{Words: 7, Extended: true}},
		{0x31A2, PC{Words: 6, ISO: true, Family: 0xA2}},
		{0x3001, PC{Words: 6, AttributeEPC: 1}},
		{0xFFFF, PC{Words: 31, UserMemory: true, Extended: true, ISO: true, Family: 0xFF}},
	}
	for _, tt := range tests {
		if got := ParsePC(tt.word); got != tt.want {
			t.Errorf("ParsePC(%04X) = %+v, want %+v", tt.word, got, tt.want)
		}
	}
}

func TestCRC(t *testing.T) {
	if got := CRC(raw(t, "3000000000000000000000001545")); got != 0xE94A { // SparkFun record
		t.Errorf("CRC = %04X, want E94A", got)
	}
	if got := CRC(raw(t, "3000000000000000000000001544")); got == 0xE94A { // derived
		t.Error("CRC does not see a flipped bit")
	}
}

func TestParseTID(t *testing.T) {
	tests := []struct {
		name, tid string
		want      TID
		designer  string
	}{
		{"public parser test: Higgs-3", "E2003412", TID{Hex: "E2003412", Class: 0xE2, Designer: 3, Model: 0x412}, "Alien"},
		// Derived from the page's bits.
		{"derived: XTID and serial", "E280116020007123456789AB", TID{Hex: "E280116020007123456789AB", Class: 0xE2, Extended: true,
			Designer: 1, Model: 0x160, Serial: "7123456789AB"}, "Impinj"},
		{"derived: XTID with another serial", "E280116040007123456789AB", TID{Hex: "E280116040007123456789AB", Class: 0xE2, Extended: true,
			Designer: 1, Model: 0x160}, "Impinj"},
		{"derived: XTID cut short", "E280116020007123", TID{Hex: "E280116020007123", Class: 0xE2, Extended: true, Designer: 1, Model: 0x160}, "Impinj"},
		{"derived: no XTID, but a tail", "E200680620007123456789AB", TID{Hex: "E200680620007123456789AB", Class: 0xE2, Designer: 6, Model: 0x806}, "NXP"},
		{"derived: indicators", "E260B000", TID{Hex: "E260B000", Class: 0xE2, Security: true, File: true, Designer: 0xB}, "EM"},
		{"derived: other class", "E007000001020304", TID{Hex: "E007000001020304", Class: 0xE0}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseTID(raw(t, tt.tid))
			if err != nil || got != tt.want || got.DesignerName() != tt.designer {
				t.Errorf("ParseTID(%s) = %+v, %q, %v, want %+v, %q", tt.tid, got, got.DesignerName(), err, tt.want, tt.designer)
			}
		})
	}
	for _, bad := range []string{"", "E2", "E200", "E20034", "3074257B", "00000000", "E200341200"} { // derived
		if got, err := ParseTID(raw(t, bad)); !errors.Is(err, ErrFormat) || got != (TID{}) {
			t.Errorf("ParseTID(%s) = %+v, %v, want %v", bad, got, err, ErrFormat)
		}
	}
	if _, err := ParseTID(make([]byte, 64)); !errors.Is(err, ErrFormat) {
		t.Errorf("ParseTID(64 bytes) = %v, want %v", err, ErrFormat)
	}
}

// Every prefix here is invented: no layout of a card is known.
func TestClassify(t *testing.T) {
	var prefixes []Prefix
	for _, p := range [][2]string{{"broad", "3"}, {"card", "3074/14"}, {"company", "3074257b/30"}, {"late", "3074/14"}, {"whole", "3500E86F8000A9E000000586"}} {
		got, err := ParsePrefix(p[0], p[1])
		if p[1] == "3074257b/30" { // its last two bits are set
			if err == nil {
				t.Error("ParsePrefix takes a bit beyond its length")
			}
			got, err = ParsePrefix(p[0], "30742578/29")
		}
		if err != nil {
			t.Fatal(err)
		}
		prefixes = append(prefixes, got)
	}
	prefixes = append(prefixes, Prefix{Name: "zero"})
	for epc, want := range map[string]string{
		"3074257BF7194E4000001A85": "company", "307500000000000000000000": "card", "307700000000000000000000": "card",
		"307800000000000000000000": "broad", "3500E86F8000A9E000000586": "whole", "3500E86F8000A9E000000587": "broad",
		"400000000000000000000000": "", "3074": "card", "": "",
	} {
		if got := Classify(raw(t, epc), prefixes); got != want {
			t.Errorf("Classify(%s) = %q, want %q", epc, got, want)
		}
	}
	for _, bad := range []string{"", "/0", "3/", "3/5", "30/4", "3/-1", "3/x", "XY", "3 ", "3074257BF7194E4000001A850", "31/7"} {
		if p, err := ParsePrefix("bad", bad); err == nil {
			t.Errorf("ParsePrefix(%q) = %+v, want an error", bad, p)
		}
	}
}

func FuzzParseTID(f *testing.F) {
	for _, s := range []string{"E2003412", "E280116020007123456789AB", "E007000001020304", ""} {
		f.Add(raw(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		devicestest.Frugal(t, func() int { _, _ = ParseTID(b); return 0 })
		got, err := ParseTID(b)
		switch {
		case err != nil && got != (TID{}):
			t.Fatal("an error came with half a TID")
		case err == nil && (got.Hex != upper(b) || got.Designer > 0x1FF || got.Model > 0xFFF || got.Serial != "" && (!got.Extended || len(got.Serial) != 12)):
			t.Fatalf("ParseTID(%x) = %+v", b, got)
		}
	})
}
