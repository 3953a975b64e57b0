// Package epc reads what a Gen2 UHF tag holds: the protocol control word, the
// CRC, the 96-bit EPC and the TID. It is pure: no port, no clock.
//
// A border card is an opaque 96-bit EPC that headquarters looks up; nothing
// here tells whose it is, and no layout of cards is built in (Classify takes
// the configured prefixes). What is not one of the known EPCs, or breaks a rule
// of its scheme, is not an error but a raw EPC with the reason. Identifiers are
// devices.Ident from here on, in upper-case hex: what is decoded is the bytes
// that the reader gave, and no Ident is opened again. No error quotes one.
//
// Source: protocols of EPC Gen2 memory and GS1 binary headers (GS1 TDS 1.13).
// The urn: prefixes are from memory of the same standard.
package epc

import (
	"errors"
	"fmt"

	"boothd/devices"
)

// ErrFormat says that the bytes are not whole words of 16 bits, or more or fewer
// than the tag's memory can have.
var ErrFormat = errors.New("no tag memory")

const (
	maxWords = 31 // of 16 bits: the PC's length field has 5 bits
	epcBytes = 12 // 96 bits
)

// EPC is one electronic product code. Either Raw is empty and the fields are
// those of the scheme, or Raw says why only the hex is known.
type EPC struct {
	Hex     devices.Ident // the whole EPC
	Scheme  string        // as in the tag URI: "sgtin-96"; empty if raw
	Filter  uint8         // 0 for gid-96, which has none
	Company devices.Ident // company prefix, manager number or CAGE code
	Ref     devices.Ident // item, location, type, asset, class or extension with serial; may be empty
	Serial  devices.Ident // serial or extension; empty where the scheme has none
	Raw     string        // constant text: why this is no EPC of a known scheme
}

// The reasons of Raw.
const (
	RawBlank     = "blank" // length 0
	RawLength    = "not 96 bits"
	RawUnset     = "unprogrammed"       // header 00
	RawTID       = "TID written as EPC" // header E2
	RawHeader    = "unknown header"
	RawPartition = "partition 7"
	RawDigits    = "a value has too many digits"
	RawReserved  = "reserved bits are set" // the 24 bits after SSCC and GSRN
	RawCAGE      = "no CAGE code"          // usdod-96
)

// URI is the EPC's tag URI, or its raw URI.
func (e EPC) URI() devices.Ident {
	switch {
	case e.Raw != "":
		return devices.Ident(fmt.Sprintf("urn:epc:raw:%d.x", len(e.Hex)*4)) + e.Hex
	case e.Scheme == "":
		return ""
	}
	uri := devices.Ident("urn:epc:tag:" + e.Scheme + ":")
	if e.Scheme != gid96 {
		uri += devices.Ident(fmt.Sprintf("%d.", e.Filter))
	}
	uri += e.Company
	if e.Scheme != usdod96 {
		uri += "." + e.Ref
	}
	if e.Serial != "" {
		uri += "." + e.Serial
	}
	return uri
}

// GTIN is the trade item number of an SGTIN with its check digit, 14 digits;
// empty for any other scheme.
func (e EPC) GTIN() devices.Ident {
	if e.Scheme != "sgtin-96" || e.Ref == "" {
		return ""
	}
	gtin := e.Ref[:1] + e.Company + e.Ref[1:]
	sum := 0
	for i := range len(gtin) {
		sum += int(gtin[i]-'0') * (3 - 2*(i%2)) // 3, 1, 3 .. over 13 digits
	}
	return gtin + devices.Ident(rune('0'+(10-sum%10)%10))
}

// Decode reads an EPC. A tag whose PC says ISO has no GS1 EPC: keep its bytes
// and do not decode it.
func Decode(b []byte) (EPC, error) {
	if err := words(b); err != nil {
		return EPC{}, fmt.Errorf("decoding an EPC: %w", err)
	}
	e := EPC{Hex: upper(b)}
	switch {
	case len(b) == 0:
		e.Raw = RawBlank
	case len(b) != epcBytes:
		e.Raw = RawLength
	default:
		e.read(b)
	}
	if e.Raw != "" {
		return EPC{Hex: e.Hex, Raw: e.Raw}, nil
	}
	return e, nil
}

// words checks for whole words of tag memory.
func words(b []byte) error {
	if len(b)%2 != 0 || len(b) > maxWords*2 {
		return fmt.Errorf("%w: %d bytes, want whole words of 2, at most %d", ErrFormat, len(b), maxWords*2)
	}
	return nil
}

func upper(b []byte) devices.Ident { return devices.Ident(fmt.Sprintf("%X", b)) }

// bits takes numbers off, the most significant bit first.
type bits struct {
	b  []byte
	at int
}

// take gives the next n bits, at most 64; the callers' tables never ask for more
// than is there.
func (r *bits) take(n int) uint64 {
	var v uint64
	for range n {
		v = v<<1 | uint64(r.b[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return v
}
