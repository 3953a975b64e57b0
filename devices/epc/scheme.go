package epc

import (
	"fmt"
	"strings"

	"boothd/devices"
)

const (
	gid96   = "gid-96"
	usdod96 = "usdod-96"
)

// scheme is one 96-bit layout behind filter and partition.
type scheme struct {
	name     string
	refs     [7]width // reference after the company prefix, by partition
	serial   int      // bits; 0 if there is none
	reserved int      // bits that are zero
}

type width struct {
	bits   int
	digits int // zero padded to that many; -1 if not padded
}

// companies is the company prefix's width by partition; 7 is invalid.
var companies = [7]width{{40, 12}, {37, 11}, {34, 10}, {30, 9}, {27, 8}, {24, 7}, {20, 6}}

var (
	items     = [7]width{{4, 1}, {7, 2}, {10, 3}, {14, 4}, {17, 5}, {20, 6}, {24, 7}}
	assets    = [7]width{{42, -1}, {45, -1}, {48, -1}, {52, -1}, {55, -1}, {58, -1}, {62, -1}}
	types     = [7]width{{4, 0}, {7, 1}, {10, 2}, {14, 3}, {17, 4}, {20, 5}, {24, 6}}
	locations = [7]width{{1, 0}, {4, 1}, {7, 2}, {11, 3}, {14, 4}, {17, 5}, {21, 6}}
	extended  = [7]width{{18, 5}, {21, 6}, {24, 7}, {28, 8}, {31, 9}, {34, 10}, {38, 11}}
)

// schemeOf is the layout of a header. GDTI's document types are as wide as
// SGLN's locations (both leave 41 bits for the serial), and GSRN's references
// as SSCC's.
func schemeOf(header byte) (scheme, bool) {
	switch header {
	case 0x2C:
		return scheme{"gdti-96", locations, 41, 0}, true
	case 0x2D:
		return scheme{"gsrn-96", extended, 0, 24}, true
	case 0x30:
		return scheme{"sgtin-96", items, 38, 0}, true
	case 0x31:
		return scheme{"sscc-96", extended, 0, 24}, true
	case 0x32:
		return scheme{"sgln-96", locations, 41, 0}, true
	case 0x33:
		return scheme{"grai-96", types, 38, 0}, true
	case 0x34:
		return scheme{"giai-96", assets, 0, 0}, true
	}
	return scheme{}, false
}

// read fills in the fields of 12 bytes, or Raw.
func (e *EPC) read(b []byte) {
	r := &bits{b: b}
	header := byte(r.take(8))
	s, known := schemeOf(header)
	switch {
	case header == 0x00:
		e.Raw = RawUnset
	case header == 0xE2:
		e.Raw = RawTID
	case header == 0x2F:
		e.usdod(r)
	case header == 0x35:
		e.Scheme = gid96
		e.Company, e.Ref, e.Serial = number(r.take(28)), number(r.take(24)), number(r.take(36))
	case !known:
		e.Raw = RawHeader
	default:
		e.gs1(s, r)
	}
}

func (e *EPC) gs1(s scheme, r *bits) {
	e.Scheme, e.Filter = s.name, uint8(r.take(3))
	partition := r.take(3)
	if partition == 7 {
		e.Raw = RawPartition
		return
	}
	var company, ref bool
	e.Company, company = companies[partition].read(r)
	e.Ref, ref = s.refs[partition].read(r)
	if !company || !ref {
		e.Raw = RawDigits
		return
	}
	if s.serial > 0 {
		e.Serial = number(r.take(s.serial))
	}
	if r.take(s.reserved) != 0 {
		e.Raw = RawReserved
	}
}

// read takes a number; ok is false if it has more digits than the table allows.
func (w width) read(r *bits) (id devices.Ident, ok bool) {
	v := r.take(w.bits)
	switch {
	case w.digits < 0:
		return number(v), true
	case w.digits == 0:
		return "", v == 0
	}
	s := fmt.Sprintf("%0*d", w.digits, v)
	return devices.Ident(s), len(s) == w.digits
}

// usdod reads filter, CAGE code and serial. The code has 5 or 6 characters; a
// short one is written behind a space.
func (e *EPC) usdod(r *bits) {
	e.Scheme, e.Filter = usdod96, uint8(r.take(4))
	var cage [6]byte
	for i := range cage {
		cage[i] = byte(r.take(8))
		if c := cage[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c != ' ' || i > 0) {
			e.Raw = RawCAGE
			return
		}
	}
	e.Company, e.Serial = devices.Ident(strings.TrimPrefix(string(cage[:]), " ")), number(r.take(36))
}

func number(v uint64) devices.Ident { return devices.Ident(fmt.Sprint(v)) }
