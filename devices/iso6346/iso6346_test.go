package iso6346

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"boothd/devices"
	"boothd/devices/devicestest"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, text string
		want       Container
		err        error
	}{
		// Vectors of the protocol page.
		{"ISO 6346, stdnum", "CSQU3054383", Container{Number: "CSQU3054383", Owner: "CSQ", Category: 'U'}, nil},
		{"stdnum, case and spaces", "tasu117 000 0", Container{Number: "TASU1170000", Owner: "TAS", Category: 'U', Ten: true}, nil},
		{"Calc-ILU-check-digit", "ZEPU 003725 5", Container{Number: "ZEPU0037255", Owner: "ZEP", Category: 'U'}, nil},
		{"page, derived", "CSQU3054384", Container{}, ErrCheck},
		// Derived from them.
		{"derived: with dash and size code", "CSQU 305438-3 45G1", Container{Number: "CSQU3054383", Owner: "CSQ", Category: 'U', SizeType: "45G1"}, nil},
		{"derived: size code close by", "CSQU305438322G1", Container{Number: "CSQU3054383", Owner: "CSQ", Category: 'U', SizeType: "22G1"}, nil},
		{"derived: two serial digits swapped", "CSQU3504383", Container{}, ErrCheck},
		{"derived: a corrected number is for ParseOCR", "C5QU3054383", Container{}, ErrFormat},
		{"derived: check digit missing", "CSQU305438", Container{}, ErrFormat},
		{"derived: one more digit", "CSQU30543834", Container{}, ErrFormat},
		{"derived: four digits for a size code", "CSQU30543834511", Container{}, ErrFormat},
		{"derived: digits first", "3054383CSQU", Container{}, ErrFormat},
		{"derived: other punctuation", "CSQU/3054383", Container{}, ErrFormat},
		{"derived: beyond ASCII", "CSQU305438\u0663", Container{}, ErrFormat},
		{"derived: longer than any", "CSQU3054383" + strings.Repeat(" ", 22), Container{}, ErrFormat},
		{"derived: empty", "", Container{}, ErrFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.text)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Parse(%q) = %+v, %v, want %+v, %v", tt.text, got, err, tt.want, tt.err)
			}
		})
	}
}

// Every vector here is derived from CSQU3054383.
func TestParseOCR(t *testing.T) {
	tests := []struct {
		name, text string
		corrected  bool
		err        error
	}{
		{"as painted", "CSQU3054383", false, nil},
		{"5 for S in the owner", "C5QU3054383", true, nil},
		{"O for 0 in the serial", "CSQU3O54383", true, nil},
		{"S for 5 in the serial", "CSQU30S4383", true, nil},
		{"look-alike that does not fit", "CSQU3OS4383", false, ErrFormat},
		{"look-alike with a wrong digit", "C5QU3054384", false, ErrCheck},
		{"no look-alike", "C4QU3054383", false, ErrFormat},
		{"right kinds are never corrected", "CSQU3854383", false, ErrCheck},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseOCR(tt.text)
			if !errors.Is(err, tt.err) || got.Corrected != tt.corrected || (err == nil) != (got.Number == "CSQU3054383") {
				t.Errorf("ParseOCR(%q) = corrected %t, %v, want %t, %v", tt.text, got.Corrected, err, tt.corrected, tt.err)
			}
		})
	}
}

// TestTenAndRail shows that both are accepted and told.
func TestTenAndRail(t *testing.T) {
	c, err := Parse("TASU1170000") // its sum leaves 10
	if err != nil || !c.Ten || c.Rail() {
		t.Errorf("Parse = ten %t, rail %t, %v, want true, false", c.Ten, c.Rail(), err)
	}
	d, _ := check("CSQK305438") // derived: category K
	c, err = Parse(fmt.Sprintf("CSQK305438%d", d))
	if err != nil || !c.Rail() {
		t.Errorf("Parse(category K) = rail %t, %v, want true", c.Rail(), err)
	}
}

func TestLengthFeet(t *testing.T) {
	for code, want := range map[string]int{"": 0, "22G1": 20, "45G1": 40, "L5G1": 45, "X5G1": 0} {
		if got := (Container{SizeType: code}).LengthFeet(); got != want {
			t.Errorf("LengthFeet(%q) = %d, want %d", code, got, want)
		}
	}
}

// TestI7_ContainerIsMasked shows that neither print nor error tells the number.
func TestI7_ContainerIsMasked(t *testing.T) {
	c, _ := Parse("CSQU3054383")
	_, err := Parse("CSQU3054384")
	if s := fmt.Sprintf("%v %+v %#v %v", c, c, c, err); strings.Contains(s, "305438") {
		t.Errorf("printed %q", s)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"CSQU3054383", "tasu117 000 0", "ZEPU 003725 5", "C5QU3054383", "CSQU305438345G1", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		devicestest.Frugal(t, func() int { _, _ = ParseOCR(s); return 0 })
		c, err := ParseOCR(s)
		if err != nil {
			if c != (Container{}) {
				t.Fatal("an error came with half a container")
			}
			return
		}
		again, err := Parse(string(c.Number) + c.SizeType)
		c.Corrected = false
		if err != nil || again != c {
			t.Fatalf("a number read from %q does not read again: %v", s, err)
		}
		for i := range size - 1 { // weights are coprime to 11: a changed digit shows, but for 0 against remainder 10
			n := []byte(c.Number)
			if digit(n[i]) {
				n[i] = '0' + (n[i]-'0'+1)%10
				if other, err := Parse(string(n)); err == nil && !other.Ten && !c.Ten {
					t.Fatalf("digit %d of %s may change unseen", i, devices.Ident(n).Reveal())
				}
			}
		}
	})
}
