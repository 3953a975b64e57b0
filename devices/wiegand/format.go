package wiegand

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"boothd/devices"
)

// Why a word names nobody.
var (
	ErrLength  = errors.New("no card of this length is in use here")
	ErrParity  = errors.New("parity is wrong")
	ErrUniform = errors.New("all bits are alike, as of a line that is stuck")
)

// Format is a layout of bits. Two of them have 37 bits: which one is in use is
// a setting, and never guessed.
type Format string

// The formats (Wiegand, formats).
const (
	H10301 Format = "h10301" // 26 bits, facility and card
	Raw26  Format = "raw26"  // 26 bits, one number
	D10202 Format = "d10202" // 33 bits
	H10306 Format = "h10306" // 34 bits, also N10002
	C1k35s Format = "c1k35s" // 35 bits, Corporate 1000
	H10302 Format = "h10302" // 37 bits, one number
	H10304 Format = "h10304" // 37 bits, facility and card
)

// Formats lists all of them.
func Formats() []Format { return []Format{H10301, Raw26, D10202, H10306, C1k35s, H10302, H10304} }

// check is one parity: the bits of mask have together an odd number of ones, or
// an even one.
type check struct {
	odd  bool
	at   uint64 // the parity's own bit, which is in mask
	mask uint64
}

func (c check) holds(w Word) bool { return bits.OnesCount64(w.Bits&c.mask)&1 == 1 == c.odd }

// parity is the check at a bit over others, of a word of n bits. Of every three
// that with the number skip modulo 3 is left out; -1: none.
func parity(odd bool, n, at, from, to, skip int) check {
	bit := func(i int) uint64 { return 1 << (n - 1 - i) }
	c := check{odd: odd, at: bit(at), mask: bit(at)}
	for i := from; i <= to; i++ {
		if i%3 != skip {
			c.mask |= bit(i)
		}
	}
	return c
}

func even(n, at, from, to int) check { return parity(false, n, at, from, to, -1) }
func odd(n, at, from, to int) check  { return parity(true, n, at, from, to, -1) }

// layout is where a format has what: first and last bit. A facility of {} is
// none. Checks are in the order in which they are made.
type layout struct {
	format         Format
	bits           int
	facility, card [2]int
	checks         []check
}

// layouts never changes.
var layouts = []layout{
	{H10301, 26, [2]int{1, 8}, [2]int{9, 24}, []check{even(26, 0, 1, 12), odd(26, 25, 13, 24)}},
	{Raw26, 26, [2]int{}, [2]int{1, 24}, []check{even(26, 0, 1, 12), odd(26, 25, 13, 24)}},
	{D10202, 33, [2]int{1, 7}, [2]int{8, 31}, []check{even(33, 0, 1, 16), odd(33, 32, 16, 31)}},
	{H10306, 34, [2]int{1, 16}, [2]int{17, 32}, []check{even(34, 0, 1, 16), odd(34, 33, 17, 32)}},
	{C1k35s, 35, [2]int{2, 13}, [2]int{14, 33}, []check{
		parity(false, 35, 1, 2, 33, 1), parity(true, 35, 34, 1, 32, 0), odd(35, 0, 1, 34)}},
	{H10302, 37, [2]int{}, [2]int{1, 35}, []check{even(37, 0, 1, 18), odd(37, 36, 18, 35)}},
	{H10304, 37, [2]int{1, 16}, [2]int{17, 35}, []check{even(37, 0, 1, 18), odd(37, 36, 18, 35)}},
}

// layout gives a format's; one of no bits for no format.
func (f Format) layout() *layout {
	for i := range layouts {
		if layouts[i].format == f {
			return &layouts[i]
		}
	}
	return &layout{}
}

// Bits is how long a format's words are; 0 for no format.
func (f Format) Bits() int { return f.layout().bits }

// Card is what a word says.
type Card struct {
	Format   Format
	Facility uint64 // 0 where the format has none
	Number   uint64
}

// Parse reads a word in the format of its length. Its errors are ErrLength,
// ErrUniform and ErrParity.
func Parse(w Word, formats []Format) (Card, error) {
	if w.Bits == 0 || w.Bits == 1<<w.N-1 {
		return Card{}, ErrUniform
	}
	i := slices.IndexFunc(formats, func(f Format) bool { return f.Bits() == w.N })
	if i < 0 {
		return Card{}, fmt.Errorf("%d bits: %w", w.N, ErrLength)
	}
	l := formats[i].layout()
	for _, c := range l.checks {
		if !c.holds(w) {
			return Card{}, fmt.Errorf("%d bits: %w", w.N, ErrParity)
		}
	}
	c := Card{Format: formats[i], Number: w.span(l.card[0], l.card[1])}
	if l.facility != [2]int{} {
		c.Facility = w.span(l.facility[0], l.facility[1])
	}
	return c, nil
}

// Word makes the word of a card, as a reader sends it.
func (f Format) Word(facility, number uint64) (Word, error) {
	l := f.layout()
	w := Word{N: l.bits}
	put := func(what string, v uint64, at [2]int) error {
		if size := at[1] - at[0] + 1; at == [2]int{} && v != 0 || at != [2]int{} && v>>size != 0 {
			return fmt.Errorf("%s %d is more than format %q holds", what, v, f)
		}
		w.Bits |= v << (l.bits - 1 - at[1])
		return nil
	}
	if l.bits == 0 {
		return Word{}, fmt.Errorf("no format %q", f)
	}
	if err := errors.Join(put("facility", facility, l.facility), put("card", number, l.card)); err != nil {
		return Word{}, err
	}
	for _, c := range l.checks { // in their order: one is over another
		if !c.holds(w) {
			w.Bits |= c.at
		}
	}
	return w, nil
}

// Ident is a card's number: all bits in hex, left justified, filled with zeros.
// A card has the same one behind an OSDP reader.
func (w Word) Ident() devices.Ident {
	var b [8]byte
	n := (w.N + 7) / 8
	v := w.Bits << (8*n - w.N)
	for i := n - 1; i >= 0; i-- {
		b[i], v = byte(v), v>>8
	}
	return devices.Ident(strings.ToUpper(hex.EncodeToString(b[:n])))
}

// Key is the key of a pad that a word of 4 or 8 bits is: 0 to 9, * and #. The
// word of 8 bits has the key's complement before it.
func Key(w Word) (key byte, ok bool) {
	k := byte(w.Bits & 0xF)
	if w.N != 4 && (w.N != 8 || byte(w.Bits>>4) != k^0xF) || k > 11 {
		return 0, false
	}
	return "0123456789*#"[k], true
}
