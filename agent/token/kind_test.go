package token

import (
	"strings"
	"testing"

	"boothd/devices"
)

// The numbers are the page's vectors, and derived ones of its tables.
func TestKind(t *testing.T) {
	for _, c := range []struct {
		name         string
		tag          devices.Tag
		scheme, chip string
	}{
		{"item", devices.Tag{Gen2: true, EPC: "3074257BF7194E4000001A85", TID: "E2003412"}, "SGTIN-96", "Alien"},
		{"service", devices.Tag{Gen2: true, EPC: "2D74257BF4499602D2000000", TID: "E280116020007123456789AB"}, "GSRN-96", "Impinj, serial"},
		{"no EPC known", devices.Tag{Gen2: true, EPC: "3674257BF7194E4000001A85", TID: "E20FF412"}, "unknown header", "designer 0FF"},
		{"a TID in its place", devices.Tag{Gen2: true, EPC: "E28011606000020000000001"}, "TID written as EPC", ""},
		{"unset", devices.Tag{Gen2: true, EPC: "000000000000000000001545", TID: "E0040100"}, "unprogrammed", "another class"},
		{"128 bits", devices.Tag{Gen2: true, EPC: "3074257BF7194E4000001A85AABBCCDD", TID: "00"}, "not 96 bits", ""},
		{"blank", devices.Tag{Gen2: true, Unreadable: true}, "blank", ""},
		{"ISO", devices.Tag{Gen2: true, ISO: true, EPC: "3074257BF7194E4000001A85"}, "ISO number", ""},
		{"12 bits", devices.Tag{Gen2: true, EPC: "ABC0AA"}, "", ""},
		{"damaged", devices.Tag{Unreadable: true}, "", ""},
		// 12 characters of an Amtech tag have the length of an EPC, and 0 is its header 30.
		{"of another kind", devices.Tag{EPC: "3074257BF7194E4000001A85", TID: "E2003412"}, "", ""},
	} {
		scheme, chip := Kind(c.tag)
		if scheme != c.scheme || chip != c.chip {
			t.Errorf("%s: %q, %q, want %q, %q", c.name, scheme, chip, c.scheme, c.chip)
		}
	}
}

// Tags that differ in their numbers alone are of one kind, and no digits of a
// number are in its name.
func FuzzI7_KindTellsNoTag(f *testing.F) {
	f.Add("3074257BF7194E4000001A85", "E280116020007123456789AB", false)
	f.Add("3500E86F8000A9E000000586", "E2003412", true)
	f.Fuzz(func(t *testing.T, number, tid string, iso bool) {
		scheme, chip := Kind(devices.Tag{Gen2: true, ISO: iso, EPC: devices.Ident(number), TID: devices.Ident(tid)})
		if len(scheme) > 40 || len(chip) > 30 {
			t.Fatalf("%q, %q", scheme, chip)
		}
		for _, text := range []string{scheme, chip} {
			text = strings.ReplaceAll(text, "96", "") // of the scheme
			for _, of := range []string{number, tid} {
				for i := 0; i+4 <= len(of); i++ {
					if part := strings.ToUpper(of[i : i+4]); strings.Trim(part, "0123456789ABCDEF") == "" && strings.Contains(text, part) {
						t.Fatalf("%q tells %q of the number", text, part)
					}
				}
			}
		}
	})
}
