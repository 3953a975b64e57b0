package barcode

import (
	"errors"
	"fmt"
	"time"
)

const (
	maxScan   = 4096                  // bytes of one scan; PDF417 carries up to 3 kB
	Gap       = 50 * time.Millisecond // silence that ends a scan where the scanner sends no suffix
	Duplicate = 2 * time.Second       // the same text within this time from one scanner is one scan
)

const (
	stx = 0x02
	etx = 0x03
)

// Suffix is what ends a scan. The zero value is the factory's: carriage return.
type Suffix int

// The suffixes a scanner may be set to.
const (
	CR   Suffix = iota
	CRLF        // a line feed without its carriage return is a bad character
	LF
	ETX
	None // only silence ends a scan: the caller calls Silence after Gap
)

var (
	// ErrLong says that a scan was longer than 4096 bytes and was dropped up
	// to its suffix.
	ErrLong = errors.New("scan is too long")
	// ErrCharset says that a scan holds a byte outside 20-7E.
	ErrCharset = errors.New("scan holds a character outside printable ASCII")
)

// Frames cuts a scanner's bytes into scans, however they were split in
// transit. It holds little more than one scan. The zero Frames expects CR. It
// belongs to one goroutine.
type Frames struct {
	Suffix Suffix

	held []byte // the scan so far; with CRLF perhaps its CR
	last byte   // the byte before, also when it was not held
	long bool   // dropping until the suffix
}

// Push takes what one read of the port gave and calls yield for every scan it
// completes, in order: the text without STX and suffix, or an error that quotes
// nothing. An empty line is no scan.
func (f *Frames) Push(b []byte, yield func(scan string, err error)) {
	for _, c := range b {
		switch {
		case f.ends(c):
			f.Silence(yield)
		case c == stx:
			f.Drop() // what stands before a start was cut off by a reset or an unplugged cable
		case c == '\n' && f.Suffix == CR && len(f.held) == 0 && !f.long:
			// A scanner set to CR LF serves a line set to CR.
		case len(f.held) > maxScan: // one more than a scan, for the CR of CRLF
			f.long = true
		default:
			f.held = append(f.held, c)
		}
		f.last = c
	}
}

// ends tells whether c ends a scan, and cuts the CR of CRLF off.
func (f *Frames) ends(c byte) bool {
	switch f.Suffix {
	case CRLF:
		if c != '\n' || f.last != '\r' {
			return false
		}
		if n := len(f.held); n > 0 && !f.long {
			f.held = f.held[:n-1]
		}
		return true
	case LF:
		return c == '\n'
	case ETX:
		return c == etx
	case None:
		return false
	}
	return c == '\r'
}

// Silence ends what is held. The caller calls it when nothing came for Gap and
// the suffix is None; with any other suffix the end of the scan was lost and
// Drop is right.
func (f *Frames) Silence(yield func(scan string, err error)) {
	scan, long := string(f.held), f.long || len(f.held) > maxScan
	f.Drop()
	switch {
	case long:
		yield("", fmt.Errorf("%w: more than %d bytes", ErrLong, maxScan))
	case scan == "":
	case !printable(scan):
		yield("", ErrCharset)
	default:
		yield(scan, nil)
	}
}

// Drop forgets what is held and tells how many bytes that were.
func (f *Frames) Drop() int {
	n := len(f.held)
	f.held, f.long = f.held[:0], false
	return n
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// Repeats tells one scanner's repeated scans from new ones. A code held before
// the window stays one scan for as long as it is reported: each report counts
// from the one before.
type Repeats struct {
	scan string
	at   time.Time
}

// Seen reports whether the same text came from this scanner within Duplicate.
func (r *Repeats) Seen(scan string, at time.Time) bool {
	since := at.Sub(r.at)
	same := scan == r.scan && !r.at.IsZero() && since >= 0 && since <= Duplicate
	r.scan, r.at = scan, at
	return same
}
