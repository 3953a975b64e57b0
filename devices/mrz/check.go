package mrz

import "bytes"

// lookalikes are the letters that recognition takes for digits, pairwise.
const (
	lookLetters = "OISBZG"
	lookDigits  = "015826"
)

// check verifies every check digit, corrects digit places of the zone and
// gives the number without fillers at its end.
func (l layout) check(zone []byte, d *Document) string {
	number := l.checkNumber(zone, d)
	l.checkDate(zone, l.birth, Birth, d)
	l.checkDate(zone, l.expiry, Expiry, d)
	if at := l.optionalCheck; at > 0 {
		optional := zone[l.optional.from:l.optional.to]
		// Doc 9303 lets an issuer leave the check of an empty field out.
		if zone[at] != '<' || len(bytes.Trim(optional, "<")) > 0 {
			d.judge(Optional, digit(zone, at, Optional, d) && zone[at] == sum(optional))
		}
	}
	if at := l.compositeCheck; at > 0 {
		var over [4][]byte
		for i, s := range l.composite {
			over[i] = zone[s.from:s.to]
		}
		d.judge(Composite, digit(zone, at, Composite, d) && zone[at] == sum(over[:]...))
	}
	return number
}

// checkNumber verifies the number, which may go on in the optional field: then
// a filler stands for the check digit, and the rest, the check digit and a
// filler begin that field.
func (l layout) checkNumber(zone []byte, d *Document) string {
	number, at := zone[l.number.from:l.number.to], l.number.to
	if !l.longNumber || zone[at] != '<' {
		d.judge(Number, digit(zone, at, Number, d) && zone[at] == sum(number))
		return trimmed(number)
	}
	optional := zone[l.optional.from:l.optional.to]
	end := bytes.IndexByte(optional, '<')
	if end < 2 || bytes.IndexByte(number, '<') >= 0 { // without a filler, where the number ends is not known
		d.judge(Number, false)
		return trimmed(number)
	}
	rest, at := optional[:end-1], l.optional.from+end-1
	d.judge(Number, digit(zone, at, Number, d) && zone[at] == sum(number, rest))
	return trimmed(number) + string(rest)
}

// checkDate verifies a date: each of year, month and day two digits or two
// fillers, then the check digit.
func (l layout) checkDate(zone []byte, s span, c Checks, d *Document) {
	right := true
	for at := s.from; at < s.to; at += 2 {
		if zone[at] == '<' && zone[at+1] == '<' {
			continue
		}
		right = digit(zone, at, c, d) && digit(zone, at+1, c, d) && right
	}
	d.judge(c, digit(zone, s.to, c, d) && zone[s.to] == sum(zone[s.from:s.to]) && right)
}

// digit reports whether a digit stands at a place, after a look-alike was made
// one.
func digit(zone []byte, at int, c Checks, d *Document) bool {
	if '0' <= zone[at] && zone[at] <= '9' {
		return true
	}
	i := bytes.IndexByte([]byte(lookLetters), zone[at])
	if i < 0 {
		return false
	}
	zone[at] = lookDigits[i]
	d.Corrected |= c
	return true
}

// judge keeps which checks failed.
func (d *Document) judge(c Checks, right bool) {
	if !right {
		d.Failed |= c
	}
}

// sum is the check digit over fields in order: weights 7, 3, 1 repeating,
// modulo 10.
func sum(fields ...[]byte) byte {
	total, i := 0, 0
	for _, f := range fields {
		for _, c := range f {
			total += value(c) * [...]int{7, 3, 1}[i%3]
			i++
		}
	}
	return '0' + byte(total%10)
}

func value(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'Z':
		return int(c-'A') + 10
	}
	return 0 // the filler
}

func trimmed(b []byte) string { return string(bytes.TrimRight(b, "<")) }
