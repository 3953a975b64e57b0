package printer

import (
	"fmt"
	"unicode/utf8"
)

// Limits of one receipt; ours. The printer's own buffer is 4 KiB on common
// models.
const (
	maxLines   = 64
	maxLine    = 256 // bytes of one line as given
	maxReceipt = 4096
	minColumns = 16
	maxColumns = 96
)

// feed is how many lines a receipt is pushed out by, so that the last one
// stands clear of the cutter or the tear bar. Ours.
const feed = 4

// Control bytes.
const (
	dle = 0x10
	eot = 0x04
	esc = 0x1b
	gs  = 0x1d
)

// clearBuffers is DLE DC4, function 8: what is not yet printed is dropped.
const clearBuffers = "\x10\x14\x08\x01\x03\x14\x01\x06\x02\x08"

// latin1Page is the code page that holds Latin-1 at its own places: WPC1252.
const latin1Page = 16

// compose gives the bytes of a receipt. Nothing in a line can command the
// printer: a control character prints as a blank.
func (c Config) compose(lines []string) ([]byte, error) {
	if len(lines) > maxLines {
		return nil, fmt.Errorf("%w: %d lines, at most %d", ErrTooLong, len(lines), maxLines)
	}
	b := make([]byte, 0, maxReceipt)
	end := "\n"
	if c.Language == Plain {
		end = "\r\n"
	} else {
		b = append(b, esc, '@', gs, 'a', 0) // as after power-up; and no status unasked
		if c.Charset == Latin1 {
			b = append(b, esc, 't', latin1Page)
		}
	}
	for i, l := range lines {
		if len(l) > maxLine {
			clear(b)
			return nil, fmt.Errorf("%w: line %d has %d bytes, at most %d", ErrTooLong, i+1, len(l), maxLine)
		}
		text := fold(l, c.Charset)
		for len(text) > c.Columns { // never cut off: a passage id must be whole
			b = append(append(b, text[:c.Columns]...), end...)
			text = text[c.Columns:]
		}
		b = append(append(b, text...), end...)
	}
	switch {
	case c.Language == Plain:
		for range feed {
			b = append(b, end...)
		}
	case c.Cut:
		b = append(b, gs, 'V', 'B', 0) // feeds to the cutter by itself
	default:
		b = append(b, esc, 'd', feed)
	}
	if c.Answers {
		b = append(b, gs, 'r', 1) // answered once all before it is printed
	}
	if len(b) > maxReceipt {
		n := len(b)
		clear(b)
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, n, maxReceipt)
	}
	return b, nil
}

// fold writes text in one byte a character: Latin-1 as it is where the printer
// has it, other letters without their accents, and "?" for what has no likeness.
func fold(text string, to Charset) []byte {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		switch {
		case r == utf8.RuneError:
			b = append(b, '?')
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			b = append(b, ' ')
		case r < 0x7f || r <= 0xff && to == Latin1:
			b = append(b, byte(r))
		case r <= 0xff:
			b = append(b, ascii(r)...)
		case r >= 0x300 && r <= 0x36f: // an accent of its own, after its letter
		default:
			b = append(b, alike(r)...)
		}
	}
	return b
}

// ascii is the likeness of a character of Latin-1's upper half.
func ascii(r rune) string {
	const likeness = " !cL$Y|S\"Ca<- R-" + // A0
		"o+23'uP.,1o>????" + // B0; fractions have none
		"AAAAAAACEEEEIIII" + // C0
		"DNOOOOOxOUUUUYTs" + // D0
		"aaaaaaaceeeeiiii" + // E0
		"dnooooo/ouuuuyty" // F0
	switch r {
	case 'Æ':
		return "AE"
	case 'æ':
		return "ae"
	case 'Þ':
		return "Th"
	case 'þ':
		return "th"
	case 'ß':
		return "ss"
	}
	i := r - 0xa0
	return likeness[i : i+1]
}

// alike is the likeness of what typography adds to Latin-1.
func alike(r rune) string {
	switch r {
	case '‘', '’', '‚', '′':
		return "'"
	case '“', '”', '„', '″':
		return "\""
	case '‐', '‑', '–', '—', '−':
		return "-"
	case '…':
		return "..."
	case '€':
		return "EUR"
	case 'Œ':
		return "OE"
	case 'œ':
		return "oe"
	case '\u202f', '\u2009':
		return " "
	}
	return "?"
}
