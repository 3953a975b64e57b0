// Package barcode reads what the hand and fixed scanners of the commercial lane
// send: it cuts their bytes into scans (Frames), takes the symbology off
// (Symbology) and reads shipment numbers (ParseCCN, ParsePAPS) and importers'
// business numbers (ParseBN15). It is pure: no port, no clock.
//
// Lengths are in bytes, and a scan is printable ASCII. Shipment numbers have no
// check digit, so that a wrong length or character is ErrUnreadable and never
// corrected. Numbers are devices.Ident, and no error quotes any of them.
//
// Source: protocols of the commercial lane, scanner line and shipment numbers.
// AIM identifiers, PAPS and the form of the business number are from memory.
package barcode

import (
	"errors"
	"fmt"
	"strings"

	"boothd/devices"
)

var (
	// ErrUnreadable says that the length or a character is not that of the
	// number asked for.
	ErrUnreadable = errors.New("number is unreadable")
	// ErrCheck says that the check digit of a business number is wrong.
	ErrCheck = errors.New("check digit is wrong")
)

const (
	carrierSize = 4  // a dash counts as one of them
	maxCCN      = 25 // characters with the carrier; sources say 25 to 29, the least is taken
	maxPAPS     = 12 // characters after the SCAC
	sizeBN      = 9  // registration number of a business, the ninth by Luhn
	sizeBN15    = 15 // with program, 2 letters, and account, 4 digits
)

// Shipment is a cargo control number (CCN, also as PARS), or the US side's PAPS.
// A CRN has the form of a CCN and is read as one.
type Shipment struct {
	Number  devices.Ident // carrier and shipment number, as compared: upper case, every inner letter kept
	Carrier string        // 4 characters: Canadian carrier code or SCAC
	PARS    bool          // the letters PARS follow the carrier; they belong to the number
}

// Lower is what becomes of lower case: the source calls it invalid in a cargo
// control number, while scanners exist that send nothing else.
type Lower int

// What becomes of lower case. The zero value is the safe one.
const (
	RefuseLower Lower = iota
	FoldLower
)

// ParseCCN reads a cargo control number out of a scan.
func ParseCCN(scan string, lower Lower) (Shipment, error) {
	s := normal(scan, lower)
	if len(s) <= carrierSize || len(s) > maxCCN {
		return Shipment{}, fmt.Errorf("cargo control number of %d characters, want %d to %d: %w", len(s), carrierSize+1, maxCCN, ErrUnreadable)
	}
	for i := range len(s) {
		if !letter(s[i]) && !digit(s[i]) && (s[i] != '-' || i == 0 || i >= carrierSize) {
			return Shipment{}, fmt.Errorf("cargo control number, character %d: %w", i+1, ErrUnreadable)
		}
	}
	return shipment(s), nil
}

// ParsePAPS reads a US shipment number: SCAC and up to 12 characters.
func ParsePAPS(scan string, lower Lower) (Shipment, error) {
	s := normal(scan, lower)
	if len(s) <= carrierSize || len(s) > carrierSize+maxPAPS {
		return Shipment{}, fmt.Errorf("PAPS number of %d characters, want %d to %d: %w", len(s), carrierSize+1, carrierSize+maxPAPS, ErrUnreadable)
	}
	for i := range len(s) {
		if !letter(s[i]) && (i < carrierSize || !digit(s[i])) {
			return Shipment{}, fmt.Errorf("PAPS number, character %d: %w", i+1, ErrUnreadable)
		}
	}
	return shipment(s), nil
}

func shipment(s string) Shipment {
	return Shipment{devices.Ident(s), s[:carrierSize], strings.HasPrefix(s[carrierSize:], "PARS")}
}

// Business is an importer's program account: business number, program, account.
type Business struct {
	Number  devices.Ident // 15 characters
	Program string        // 2 letters, RM for imports and exports
}

// ParseBN15 reads a business number with its program account: 9 digits, the
// last by Luhn, 2 letters, 4 digits. Spaces between the parts are dropped, as
// forms print them.
func ParseBN15(scan string) (Business, error) {
	s := strings.ReplaceAll(normal(scan, FoldLower), " ", "")
	if len(s) != sizeBN15 {
		return Business{}, fmt.Errorf("business number of %d characters, want %d: %w", len(s), sizeBN15, ErrUnreadable)
	}
	for i := range len(s) {
		program := i == sizeBN || i == sizeBN+1
		if program && !letter(s[i]) || !program && !digit(s[i]) {
			return Business{}, fmt.Errorf("business number, character %d: %w", i+1, ErrUnreadable)
		}
	}
	if !luhn(s[:sizeBN]) {
		return Business{}, fmt.Errorf("business number: %w", ErrCheck)
	}
	return Business{devices.Ident(s), s[sizeBN : sizeBN+2]}, nil
}

// luhn doubles every second digit from the right, sums digits and wants a
// multiple of 10.
func luhn(s string) bool {
	sum := 0
	for i := range len(s) {
		v := int(s[len(s)-1-i] - '0')
		if i%2 == 1 {
			v *= 2
			v = v/10 + v%10
		}
		sum += v
	}
	return sum%10 == 0
}

// normal trims, takes the AIM identifier and Code 39's asterisks off and
// makes upper case if it may. Inner letters stay.
func normal(scan string, lower Lower) string {
	_, s := Symbology(strings.Trim(scan, " "))
	s = strings.Trim(s, " ")
	if len(s) >= 2 && s[0] == '*' && s[len(s)-1] == '*' {
		s = strings.Trim(s[1:len(s)-1], " ")
	}
	if lower == RefuseLower {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' { // ASCII only: a long s must not become an S
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

func letter(c byte) bool { return 'A' <= c && c <= 'Z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }

// symbology names the AIM identifiers the lane knows.
func symbology(id string) string {
	switch id {
	case "]A0", "]A1", "]A2", "]A3", "]A4", "]A5", "]A6", "]A7":
		return "code 39"
	case "]C0":
		return "code 128"
	case "]C1":
		return "gs1-128"
	case "]E0":
		return "ean-13"
	case "]I0":
		return "interleaved 2 of 5"
	case "]L0", "]L1", "]L2":
		return "pdf417"
	case "]d1":
		return "data matrix"
	case "]d2":
		return "gs1 data matrix"
	case "]Q1", "]Q2", "]Q3":
		return "qr"
	case "]e0":
		return "gs1 databar"
	}
	return ""
}

// Symbology takes an AIM identifier off a scan: a bracket, a letter and a
// digit. An identifier the lane does not know is taken off too, with an empty
// name; a scan without one is returned as it is.
func Symbology(scan string) (name, text string) {
	if len(scan) < 3 || scan[0] != ']' || !letter(scan[1]&^0x20) || !digit(scan[2]) {
		return "", scan
	}
	return symbology(scan[:3]), scan[3:]
}
