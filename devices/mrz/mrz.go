// Package mrz reads the machine readable zone of travel documents as serial
// document readers send it: TD1 (cards), TD2, TD3 (passports) and the visas
// MRV-A and MRV-B. It is pure: the same text gives the same Document.
//
// Of the zone only number, issuer, nationality and expiry are kept; names and
// birth are checked where they stand and wiped. A wrong check digit is a value
// (Document.Failed), since the document was read and contradicts itself; such a
// Document names nobody. What cannot be read at all is ErrUnreadable, and no
// error quotes any of it.
//
// Source: ICAO 9303 machine readable zone, formats, rules and serial output;
// domain reference 2, "MRZ".
package mrz

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"boothd/devices"
)

// ErrUnreadable says that the text is no machine readable zone.
var ErrUnreadable = errors.New("machine readable zone is unreadable")

// maxText bounds a document's text, in bytes: 90 characters, the ends of three
// lines, a frame, and some blanks around the lines.
const maxText = 128

// Kind is the format of a document.
type Kind uint8

// The kinds. The zero value is none.
const (
	TD1  Kind = iota + 1 // 3 lines of 30: passport card, NEXUS, identity cards
	TD2                  // 2 lines of 36: older identity cards
	TD3                  // 2 lines of 44: passports
	MRVA                 // 2 lines of 44: visas
	MRVB                 // 2 lines of 36: visas
)

// String gives the name as ICAO writes it.
func (k Kind) String() string {
	switch k {
	case TD1:
		return "TD1"
	case TD2:
		return "TD2"
	case TD3:
		return "TD3"
	case MRVA:
		return "MRV-A"
	case MRVB:
		return "MRV-B"
	}
	return "none"
}

// Checks is a set of check digits.
type Checks uint8

// The check digits of a document. Visas have no composite, and only TD3 has one
// over its optional data.
const (
	Number Checks = 1 << iota
	Birth
	Expiry
	Optional
	Composite
)

// String lists the set: "number, composite". It tells nothing of the document.
func (c Checks) String() string {
	var names []string
	for i, name := range [...]string{"number", "birth", "expiry", "optional", "composite"} {
		if c&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Document is what is kept of one document. If a check failed, only Kind and
// Failed are set.
type Document struct {
	Kind   Kind
	Failed Checks // check digits that are wrong; not 0: the document names nobody

	Number      devices.Ident // A-Z and 0-9, "<" where another character is printed; without fillers at its end
	Issuer      string        // 1 to 3 letters; ICAO's codes, not ISO's: D, GBD, UNO, XXA, UTO
	Nationality string        // likewise; empty if there is none
	Expiry      time.Time     // the day printed, 00:00 UTC; zero if it is unknown or no date
	// Corrected names the fields in which a letter stood for its look-alike
	// digit. Only where a digit must stand, and only if the check came right.
	Corrected Checks
}

// span is a field: from its first character up to, not including, the last.
// Places count from 0 through all lines.
type span struct{ from, to int }

// layout is where the fields of one kind stand. A check of 0 is none.
type layout struct {
	kind                            Kind
	number, birth, expiry, optional span // the check follows number, birth and expiry directly
	issuer, nationality             span
	optionalCheck                   int
	compositeCheck                  int
	composite                       []span
	longNumber                      bool // a number over 9 characters goes on in the optional field
}

func layouts() [5]layout {
	issuer := span{2, 5}
	return [...]layout{
		{kind: TD1, issuer: issuer, number: span{5, 14}, optional: span{15, 30}, birth: span{30, 36}, expiry: span{38, 44},
			nationality: span{45, 48}, compositeCheck: 59, composite: []span{{5, 37}, {38, 45}, {48, 59}}, longNumber: true},
		{kind: TD2, issuer: issuer, number: span{36, 45}, nationality: span{46, 49}, birth: span{49, 55}, expiry: span{57, 63},
			optional: span{64, 71}, compositeCheck: 71, composite: []span{{36, 46}, {49, 56}, {57, 71}}, longNumber: true},
		{kind: TD3, issuer: issuer, number: span{44, 53}, nationality: span{54, 57}, birth: span{57, 63}, expiry: span{65, 71},
			optional: span{72, 86}, optionalCheck: 86, compositeCheck: 87, composite: []span{{44, 54}, {57, 64}, {65, 87}}},
		{kind: MRVA, issuer: issuer, number: span{44, 53}, nationality: span{54, 57}, birth: span{57, 63}, expiry: span{65, 71},
			optional: span{72, 88}},
		{kind: MRVB, issuer: issuer, number: span{36, 45}, nationality: span{46, 49}, birth: span{49, 55}, expiry: span{57, 63},
			optional: span{64, 72}},
	}
}

// layoutOf finds the kind by size and first letter. Whether a NEXUS card prints
// "IN" is not known, so the second letter decides nothing.
func layoutOf(zone []byte) (layout, error) {
	all := layouts()
	visa := zone[0] == 'V'
	card := zone[0] == 'I' || zone[0] == 'A' || zone[0] == 'C'
	switch {
	case len(zone) == 90 && card:
		return all[0], nil
	case len(zone) == 72 && card:
		return all[1], nil
	case len(zone) == 88 && zone[0] == 'P':
		return all[2], nil
	case len(zone) == 88 && visa:
		return all[3], nil
	case len(zone) == 72 && visa:
		return all[4], nil
	}
	return layout{}, fmt.Errorf("%w: no such kind of document among those of %d characters", ErrUnreadable, len(zone))
}

// Parse reads one whole document: its lines, ended by CR, LF or both, or all in
// one line of 88, 72 or 90 characters; with or without STX and ETX around. Case
// does not matter, and a blank inside a line is a filler.
func Parse(text []byte) (Document, error) {
	var buf [maxText]byte
	defer clear(buf[:])
	zone, err := unfold(buf[:0], text)
	if err != nil {
		return Document{}, err
	}
	l, err := layoutOf(zone)
	if err != nil {
		return Document{}, err
	}
	d := Document{Kind: l.kind}
	number := l.check(zone, &d)
	issuer, ok := country(zone, l.issuer)
	nationality, ok2 := country(zone, l.nationality)
	if !ok || issuer == "" || !ok2 || number == "" {
		return Document{}, fmt.Errorf("%w: number, issuer or nationality of the %s is no such thing", ErrUnreadable, l.kind)
	}
	if d.Failed != 0 {
		return Document{Kind: l.kind, Failed: d.Failed}, nil
	}
	d.Number, d.Issuer, d.Nationality = devices.Ident(number), issuer, nationality
	d.Expiry = date(zone[l.expiry.from:l.expiry.to])
	return d, nil
}

// country takes a code of letters off its fillers.
func country(zone []byte, s span) (string, bool) {
	code := strings.TrimRight(string(zone[s.from:s.to]), "<")
	for i := range len(code) {
		if code[i] < 'A' || code[i] > 'Z' {
			return "", false
		}
	}
	return code, true
}

// date reads YYMMDD of this century; zero if a part is unknown or it is no day.
func date(d []byte) time.Time {
	t, err := time.Parse("20060102", "20"+string(d))
	if err != nil {
		return time.Time{}
	}
	return t
}
