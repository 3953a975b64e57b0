package barcode

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"boothd/devices"
	"boothd/devices/devicestest"
)

func TestParseCCN(t *testing.T) {
	tests := []struct {
		name, scan string
		want       Shipment
		err        error
	}{
		// Vectors of the protocol page.
		{"ghy.com", "1234PARS56789", Shipment{"1234PARS56789", "1234", true}, nil},
		{"borderpro.ai", "XCRS12345678", Shipment{"XCRS12345678", "XCRS", false}, nil},
		{"borderpro.ai, folded", "XCRSabcd", Shipment{"XCRSABCD", "XCRS", false}, nil},
		// Derived.
		{"derived: Code 39 with its asterisks", "]A0*1234PARS56789*", Shipment{"1234PARS56789", "1234", true}, nil},
		{"derived: Code 128, spaces", " ]C0XCRS12345678 ", Shipment{"XCRS12345678", "XCRS", false}, nil},
		{"derived: a dash in the carrier", "12-4PARS56789", Shipment{"12-4PARS56789", "12-4", true}, nil},
		{"derived: PARS elsewhere is only letters", "XCRS1PARS", Shipment{"XCRS1PARS", "XCRS", false}, nil},
		{"derived: longest", "XCRS" + strings.Repeat("1", 21), Shipment{devices.Ident("XCRS" + strings.Repeat("1", 21)), "XCRS", false}, nil},
		{"derived: one longer", "XCRS" + strings.Repeat("1", 22), Shipment{}, ErrUnreadable},
		{"derived: carrier alone", "XCRS", Shipment{}, ErrUnreadable},
		{"derived: a dash later", "XCRS1-2", Shipment{}, ErrUnreadable},
		{"derived: a dash first", "-CRS12", Shipment{}, ErrUnreadable},
		{"derived: inner space", "XCRS 123", Shipment{}, ErrUnreadable},
		{"derived: inner asterisk", "XCRS*123", Shipment{}, ErrUnreadable},
		{"derived: one asterisk", "*XCRS123", Shipment{}, ErrUnreadable},
		{"derived: beyond ASCII", "XCR\u017f123", Shipment{}, ErrUnreadable},
		{"derived: empty", "", Shipment{}, ErrUnreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseCCN(tt.scan, FoldLower)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("ParseCCN(%q) = %+v, %v, want %+v, %v", tt.scan, got, err, tt.want, tt.err)
			}
		})
	}
}

// TestRefuseLower is the other setting of the page's vector XCRSabcd.
func TestRefuseLower(t *testing.T) {
	if got, err := ParseCCN("XCRSabcd", RefuseLower); !errors.Is(err, ErrUnreadable) || got != (Shipment{}) {
		t.Errorf("ParseCCN(lower case) = %+v, %v, want %v", got, err, ErrUnreadable)
	}
	if _, err := ParseCCN("]C0*XCRS12345678*", RefuseLower); err != nil {
		t.Errorf("ParseCCN(upper case) = %v", err)
	}
}

// Every vector here is derived.
func TestParsePAPS(t *testing.T) {
	for scan, want := range map[string]error{
		"XCRS123456789012": nil, "abcd1": nil, "]C0ABCDPAPS1": nil,
		"XCRS1234567890123": ErrUnreadable, "XCRS": ErrUnreadable, "XCR41": ErrUnreadable, "XCRS1-": ErrUnreadable, "": ErrUnreadable,
	} {
		got, err := ParsePAPS(scan, FoldLower)
		if !errors.Is(err, want) || (err == nil) != (len(got.Carrier) == 4) {
			t.Errorf("ParsePAPS(%q) = %+v, %v, want %v", scan, got, err, want)
		}
	}
}

// Every vector here is derived: 123456782 is made up and satisfies Luhn.
func TestParseBN15(t *testing.T) {
	for scan, want := range map[string]error{
		"123456782RM0001": nil, "123456782 rm 0001": nil, "]C0123456782RT0002": nil,
		"123456783RM0001": ErrCheck, "213456782RM0001": ErrCheck,
		"123456782RM001": ErrUnreadable, "123456782RM00011": ErrUnreadable, "123456782": ErrUnreadable,
		"12345678ARM0001": ErrUnreadable, "1234567820M0001": ErrUnreadable, "123456782RMO001": ErrUnreadable, "": ErrUnreadable,
	} {
		got, err := ParseBN15(scan)
		if !errors.Is(err, want) || (err == nil) != (len(got.Program) == 2) {
			t.Errorf("ParseBN15(%q) = %+v, %v, want %v", scan, got, err, want)
		}
	}
}

func TestSymbology(t *testing.T) {
	tests := []struct{ scan, name, text string }{
		{"]A0X", "code 39", "X"}, {"]A7X", "code 39", "X"}, {"]C0X", "code 128", "X"}, {"]C1X", "gs1-128", "X"},
		{"]E0X", "ean-13", "X"}, {"]I0X", "interleaved 2 of 5", "X"}, {"]L0X", "pdf417", "X"}, {"]L2X", "pdf417", "X"},
		{"]d1X", "data matrix", "X"}, {"]d2X", "gs1 data matrix", "X"}, {"]Q1X", "qr", "X"}, {"]Q3X", "qr", "X"}, {"]e0X", "gs1 databar", "X"},
		{"]Z9X", "", "X"}, {"]A", "", "]A"}, {"X]A0", "", "X]A0"}, {"]]0X", "", "]]0X"}, {"", "", ""}, // derived
	}
	for _, tt := range tests {
		if name, text := Symbology(tt.scan); name != tt.name || text != tt.text {
			t.Errorf("Symbology(%q) = %q, %q, want %q, %q", tt.scan, name, text, tt.name, tt.text)
		}
	}
}

// TestI7_NumbersAreMasked shows that neither print nor error tells a number.
func TestI7_NumbersAreMasked(t *testing.T) {
	a, _ := ParseCCN("XCRS12345678", RefuseLower)
	b, _ := ParseBN15("123456782RM0001")
	_, bad := ParseCCN("XCRS12345-78", RefuseLower)
	if s := fmt.Sprintf("%+v %#v %+v %v", a, a, b, bad); strings.Contains(s, "2345") {
		t.Errorf("printed %q", s)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1234PARS56789", "XCRS12345678", "XCRSabcd", "]A0*12-4PARS1*", "123456782 RM 0001", "]]", "*]A0*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) <= maxScan { // a longer one never comes here
			devicestest.Frugal(t, func() int {
				_, _ = ParseCCN(s, FoldLower)
				_, _ = ParsePAPS(s, FoldLower)
				_, _ = ParseBN15(s)
				return 0
			})
		}
		if c, err := ParseCCN(s, FoldLower); err == nil {
			if again, err := ParseCCN(string(c.Number), RefuseLower); err != nil || again != c {
				t.Fatalf("the CCN of %q does not read again: %v", s, err)
			}
		} else if c != (Shipment{}) || !errors.Is(err, ErrUnreadable) {
			t.Fatal("an error came with half a number, or another error")
		}
		if p, err := ParsePAPS(s, FoldLower); err == nil {
			if c, err := ParseCCN(s, FoldLower); err != nil || c != p {
				t.Fatalf("the PAPS number of %q has not the form of a CCN: %v", s, err)
			}
		}
		if b, err := ParseBN15(s); err == nil {
			if again, err := ParseBN15(string(b.Number)); err != nil || again != b {
				t.Fatalf("the business number of %q does not read again: %v", s, err)
			}
		}
	})
}
