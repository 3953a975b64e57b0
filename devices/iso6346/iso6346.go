// Package iso6346 reads the number painted on a freight container: owner,
// category, serial and check digit, with the size and type code if one follows.
// It is pure: the same text gives the same Container.
//
// A number is kept as a devices.Ident, and no error quotes any of it. What has
// another form is ErrFormat, what has the form and another digit is ErrCheck;
// in both cases the zero Container is returned, so nothing half read is used.
//
// Source: protocols of the commercial lane, ISO 6346 (owner codes, check digit,
// rail and ILU codes). The lengths of LengthFeet are from memory of ISO 6346:1995.
package iso6346

import (
	"errors"
	"fmt"
	"strings"

	"boothd/devices"
)

var (
	// ErrFormat says that the text is no container number.
	ErrFormat = errors.New("no container number")
	// ErrCheck says that the check digit is another one.
	ErrCheck = errors.New("container check digit is wrong")
)

const (
	maxText  = 32 // bytes; 15 characters with a separator between every two
	size     = 11 // characters of a number: 4 letters, 6 digits, check digit
	sizeType = 4  // characters of the size and type code
)

// Container is one container as painted.
type Container struct {
	Number    devices.Ident // 11 characters, upper case, without separators
	Owner     string        // 3 letters
	Category  byte          // U freight, J detachable equipment, Z trailer; others are rail and ILU
	SizeType  string        // 4 characters such as "45G1"; empty if none followed
	Corrected bool          // one character was read as its look-alike (ParseOCR only)
	Ten       bool          // the sum left 10, written 0: such serials are discouraged, but exist
}

// Rail says that the category is none of ISO 6346's own: a rail or ILU code,
// which verifies with the same sum.
func (c Container) Rail() bool { return !strings.ContainsRune("UJZ", rune(c.Category)) }

// LengthFeet is the length that the size code tells, 0 if there is no code or
// it is another one. Never the basis of more than a note to the officer.
func (c Container) LengthFeet() int {
	if c.SizeType == "" {
		return 0
	}
	return map[byte]int{'1': 10, '2': 20, '3': 30, '4': 40, 'L': 45, 'M': 48}[c.SizeType[0]]
}

// Parse reads a container number in either case, with spaces and dashes
// anywhere, and corrects nothing.
func Parse(text string) (Container, error) {
	number, code, err := split(text)
	if err != nil {
		return Container{}, err
	}
	if wrongClass(number) != nil {
		return Container{}, fmt.Errorf("%w: letters and digits are in other places", ErrFormat)
	}
	return verify(number, code)
}

// ParseOCR reads like Parse what a camera recognised: if exactly one character
// is of the wrong kind for its place and its look-alike makes the check digit
// right, that is taken and Corrected is set. A number whose characters are all
// of the right kind is never corrected: among like characters, more than one
// substitution would satisfy the digit.
func ParseOCR(text string) (Container, error) {
	number, code, err := split(text)
	if err != nil {
		return Container{}, err
	}
	wrong := wrongClass(number)
	if len(wrong) == 0 {
		return verify(number, code)
	}
	if len(wrong) > 1 {
		return Container{}, fmt.Errorf("%w: %d characters are of the wrong kind", ErrFormat, len(wrong))
	}
	i := wrong[0]
	like := strings.IndexByte(lookLetters+lookDigits, number[i])
	if like < 0 {
		return Container{}, fmt.Errorf("%w: character %d has no look-alike", ErrFormat, i+1)
	}
	c, err := verify(number[:i]+(lookDigits + lookLetters)[like:like+1]+number[i+1:], code)
	c.Corrected = err == nil
	return c, err
}

// look-alikes, pairwise: the table of the machine readable zone.
const (
	lookLetters = "OISBZG"
	lookDigits  = "015826"
)

// split normalises and takes the size and type code off.
func split(text string) (number, code string, err error) {
	if len(text) > maxText {
		return "", "", fmt.Errorf("%w: %d bytes, at most %d", ErrFormat, len(text), maxText)
	}
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c == ' ' || c == '-':
		case 'a' <= c && c <= 'z':
			b.WriteByte(c - 'a' + 'A')
		case letter(c) || digit(c):
			b.WriteByte(c)
		default:
			return "", "", fmt.Errorf("%w: byte %d is no letter or digit", ErrFormat, i+1)
		}
	}
	s := b.String()
	switch len(s) {
	case size:
		return s, "", nil
	case size + sizeType:
		if !letter(s[size+2]) {
			return "", "", fmt.Errorf("%w: no size and type code follows", ErrFormat)
		}
		return s[:size], s[size:], nil
	}
	return "", "", fmt.Errorf("%w: %d characters, not %d or %d", ErrFormat, len(s), size, size+sizeType)
}

// wrongClass lists the places where a letter stands for a digit or a digit for
// a letter.
func wrongClass(number string) []int {
	var at []int
	for i := range size {
		if letter(number[i]) != (i < 4) {
			at = append(at, i)
		}
	}
	return at
}

func verify(number, code string) (Container, error) {
	want, ten := check(number[:size-1])
	if got := number[size-1] - '0'; got != want {
		return Container{}, fmt.Errorf("%w: %d, want %d", ErrCheck, got, want)
	}
	return Container{Number: devices.Ident(number), Owner: number[:3], Category: number[3], SizeType: code, Ten: ten}, nil
}

// check computes the digit over 4 letters and 6 digits; ten tells that the
// remainder was 10. Letters count from 10 and leave out the multiples of 11.
func check(s string) (d byte, ten bool) {
	sum := 0
	for i := range len(s) {
		v := int(s[i] - '0')
		if letter(s[i]) {
			v = int(s[i]-'A') + 10
			v += (v - 1) / 10 // A 10, B 12 .. K 21, L 23 .. U 32, V 34
		}
		sum += v << i
	}
	return byte(sum % 11 % 10), sum%11 == 10
}

func letter(c byte) bool { return 'A' <= c && c <= 'Z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }
