package epc

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"boothd/devices"
)

// PC is the protocol control word that precedes an EPC.
type PC struct {
	Words        int  // length of XPC and EPC, in words of 16 bits; 0 is a blank tag
	UserMemory   bool // UMI
	Extended     bool // XI: XPC_W1 precedes the EPC
	ISO          bool // T: not EPCglobal, Family applies
	Family       byte // application family identifier if ISO
	AttributeEPC byte // attribute bits if not ISO
}

// ParsePC takes the word apart. Every word is valid.
func ParsePC(word uint16) PC {
	pc := PC{
		Words:      int(word >> 11),
		UserMemory: word&0x400 != 0,
		Extended:   word&0x200 != 0,
		ISO:        word&0x100 != 0,
	}
	if pc.ISO {
		pc.Family = byte(word)
	} else {
		pc.AttributeEPC = byte(word)
	}
	return pc
}

// CRC is the tag's CRC-16 over PC and EPC, as the tag stores it in word 0.
func CRC(b []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return ^crc
}

// TID is a tag's factory identity. Compare it whole, as Hex: without a serial
// its tail may still be unique.
type TID struct {
	Hex      devices.Ident
	Class    byte          // E2; with E0 (ISO 15963) the layout is another and only Hex is set
	Extended bool          // XTID follows
	Security bool          // security indicator
	File     bool          // file indicator
	Designer uint16        // mask designer, 9 bits
	Model    uint16        // 12 bits, the designer's
	Serial   devices.Ident // 12 hex digits if the XTID says 48 bits; else empty
}

const serialBytes = 6 // 48 bits

// ClassGen2 is the class of a TID whose fields are known.
const ClassGen2 = 0xE2

// ParseTID reads a TID: at least the class and designer, 32 bits. A serial cut
// short by a short read is left empty.
func ParseTID(b []byte) (TID, error) {
	if err := words(b); err != nil {
		return TID{}, fmt.Errorf("reading a TID: %w", err)
	}
	if len(b) < 4 {
		return TID{}, fmt.Errorf("reading a TID: %w: %d bytes, at least 4", ErrFormat, len(b))
	}
	t := TID{Hex: upper(b), Class: b[0]}
	switch t.Class {
	case 0xE0:
		return t, nil
	case ClassGen2:
	default:
		return TID{}, fmt.Errorf("reading a TID: %w: class %02X is neither E2 nor E0", ErrFormat, t.Class)
	}
	r := &bits{b: b, at: 8}
	t.Extended, t.Security, t.File = r.take(1) == 1, r.take(1) == 1, r.take(1) == 1
	t.Designer, t.Model = uint16(r.take(9)), uint16(r.take(12))
	if t.Extended && len(b) >= 6+serialBytes && r.take(3) == 1 {
		t.Serial = upper(b[6 : 6+serialBytes])
	}
	return t, nil
}

// DesignerName names the mask designers of the protocol page; empty for others.
func (t TID) DesignerName() string {
	return map[uint16]string{1: "Impinj", 2: "TI", 3: "Alien", 6: "NXP", 0xB: "EM", 0xF: "Quanray"}[t.Designer]
}

// Prefix names the EPCs that begin with certain bits. The zero Prefix matches
// nothing.
type Prefix struct {
	Name  string
	bits  int // 1 to 96
	value []byte
}

// ParsePrefix reads a configured prefix: hex digits, then perhaps "/" and the
// number of bits that count, such as "3074/14". A bit set beyond that number is
// refused, since whoever wrote it meant another number.
func ParsePrefix(name, text string) (Prefix, error) {
	digits, count, some := strings.Cut(text, "/")
	n := len(digits) * 4
	if some {
		var err error
		if n, err = strconv.Atoi(count); err != nil {
			return Prefix{}, fmt.Errorf("prefix %q: %q is not a number of bits", text, count)
		}
	}
	if n < 1 || n > epcBytes*8 || (n+3)/4 != len(digits) {
		return Prefix{}, fmt.Errorf("prefix %q: %d bits and %d hex digits; want 1 to %d bits and a digit for every 4", text, n, len(digits), epcBytes*8)
	}
	b, err := hex.DecodeString(digits + strings.Repeat("0", len(digits)%2))
	if err != nil {
		return Prefix{}, fmt.Errorf("prefix %q: not hex digits", text)
	}
	if r := (&bits{b: b, at: n}); r.take(len(b)*8-n) != 0 {
		return Prefix{}, fmt.Errorf("prefix %q: a bit beyond the first %d is set", text, n)
	}
	return Prefix{name, n, b}, nil
}

// Classify gives the name of the longest prefix that the EPC has, the first of
// equals; empty if none. It does not ask whether the EPC is of a known scheme.
func Classify(b []byte, prefixes []Prefix) string {
	name, most := "", 0
	for _, p := range prefixes {
		if p.bits > most && p.matches(b) {
			name, most = p.Name, p.bits
		}
	}
	return name
}

func (p Prefix) matches(b []byte) bool {
	whole, rest := p.bits/8, p.bits%8
	if len(b)*8 < p.bits || !bytes.Equal(b[:whole], p.value[:whole]) {
		return false
	}
	return rest == 0 || (b[whole]^p.value[whole])>>(8-rest) == 0
}
