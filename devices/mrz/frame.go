package mrz

import (
	"bytes"
	"fmt"
	"time"
)

// Gap is the silence that ends a document whose end did not come (serial output
// of readers).
const Gap = 200 * time.Millisecond

const (
	stx = 0x02
	etx = 0x03
	nak = 0x15
)

// maxLine bounds one line, in bytes: a concatenated TD1, and some blanks.
const maxLine = 96

// unfold appends the characters of all lines to zone, with fillers for blanks
// and in upper case. The lines must make up one document.
func unfold(zone, text []byte) ([]byte, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrUnreadable, len(text), maxText)
	}
	text = bytes.TrimPrefix(text, []byte{stx})
	text = bytes.TrimRight(text, "\r\n")
	text = bytes.TrimRight(bytes.TrimSuffix(text, []byte{etx}), "\r\n")
	width, lines := 0, 0
	for len(text) > 0 {
		end := bytes.IndexAny(text, "\r\n")
		if end < 0 {
			end = len(text)
		}
		l := line(text[:end])
		text = text[min(end+1, len(text)):]
		if len(l) == 0 {
			continue
		}
		if lines > 0 && len(l) != width {
			return nil, fmt.Errorf("%w: line %d has %d characters", ErrUnreadable, lines+1, len(l))
		}
		width, lines = len(l), lines+1
		for _, c := range l {
			if c = plain(c); c == 0 {
				return nil, fmt.Errorf("%w: line %d has a character outside A-Z, 0-9 and <", ErrUnreadable, lines)
			}
			zone = append(zone, c)
		}
	}
	if lines == 0 || needs(width) != lines {
		return nil, fmt.Errorf("%w: %d lines of %d characters", ErrUnreadable, lines, width)
	}
	return zone, nil
}

// line takes the blanks around a line off, unless they are part of its width.
func line(l []byte) []byte {
	if needs(len(l)) > 0 {
		return l
	}
	return bytes.Trim(l, " ")
}

// needs tells how many lines of a width make a document; 0: none do.
func needs(width int) int {
	switch width {
	case 30:
		return 3
	case 36, 44:
		return 2
	case 72, 88, 90:
		return 1 // concatenated
	}
	return 0
}

// plain is a character of the zone in upper case; 0 if it is none.
func plain(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z':
		return c - 'a' + 'A'
	case 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '<':
		return c
	case c == ' ':
		return '<'
	}
	return 0
}
