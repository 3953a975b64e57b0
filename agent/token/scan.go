package token

import (
	"errors"

	"boothd/agent/passage"
	"boothd/devices"
	"boothd/devices/barcode"
	"boothd/devices/iso6346"
)

// Scan tells what a bar code of trade is and makes its mark, in any order of
// presentation: a carrier code, an importer's business number, a container's
// number, else a cargo control number. What has the form of a business or
// container number and a wrong check digit is a malformed one of that kind; what
// has no form at all is a malformed cargo control number. A trip's number has
// the form of a cargo control number and the same token; the list of trips
// tells which it is.
//
// Source: domain reference, sections 3 and 5.
func (k *Key) Scan(text devices.Ident, direction passage.Direction) (passage.ScanKind, passage.Mark) {
	s := text.Reveal()
	switch b, err := barcode.ParseBN15(s); {
	case err == nil:
		return passage.ScanImporter, passage.Mark{Token: k.Importer(b.Number), Malformed: b.Program != "RM"}
	case errors.Is(err, barcode.ErrCheck):
		return passage.ScanImporter, passage.Mark{Token: k.Importer(text), Malformed: true}
	}
	if code := k.Carrier(text); code != "" {
		return passage.ScanCarrier, passage.Mark{Token: code}
	}
	switch c, err := iso6346.Parse(s); {
	case err == nil && !c.Rail():
		return passage.ScanContainer, passage.Mark{Token: k.Container(c.Number), SizeType: c.SizeType}
	case errors.Is(err, iso6346.ErrCheck) && freight(s):
		return passage.ScanContainer, passage.Mark{Token: k.Container(text), Malformed: true}
	}
	parse := func(s string) (barcode.Shipment, error) { return barcode.ParseCCN(s, barcode.FoldLower) }
	if direction == passage.ToUS {
		parse = func(s string) (barcode.Shipment, error) { return barcode.ParsePAPS(s, barcode.FoldLower) }
	}
	shipment, err := parse(s)
	if err != nil {
		return passage.ScanCargo, passage.Mark{Token: k.token("cargo", alphanumeric(s, 64)), Malformed: true}
	}
	return passage.ScanCargo, passage.Mark{Token: k.Cargo(shipment.Number), Carrier: k.Carrier(devices.Ident(shipment.Carrier))}
}

// SealMark makes the mark of a seal's number.
func (k *Key) SealMark(text devices.Ident) passage.Mark {
	t := k.Seal(text)
	return passage.Mark{Token: t, Malformed: t == ""}
}

// freight tells whether the fourth letter is that of a freight container's
// number: other numbers of trade have that shape too, without being one.
func freight(s string) bool {
	plain := alphanumeric(s, 64)
	return len(plain) >= 4 && (plain[3] == 'U' || plain[3] == 'J' || plain[3] == 'Z')
}
