package token

import (
	"encoding/hex"
	"fmt"
	"strings"

	"boothd/devices"
	"boothd/devices/epc"
)

// Kind names what a Gen2 tag's numbers are of: the scheme of its EPC, such as
// SGTIN-96, or why it has none, and the maker of its chip, with a word on
// whether the chip says that it has a serial number. Both are true of thousands
// of tags and tell no one of them; a company's or an item's number is never in
// them. Both are empty for any other tag, and where nothing is known.
//
// Source: EPC Gen2 memory and GS1 binary headers.
func Kind(t devices.Tag) (scheme, chip string) {
	if !t.Gen2 {
		return "", ""
	}
	return scheme96(t), maker(t.TID)
}

func scheme96(t devices.Tag) string {
	if t.ISO {
		return "ISO number" // its bytes are nobody's EPC
	}
	b, err := hex.DecodeString(t.EPC.Reveal())
	if err != nil {
		return ""
	}
	e, err := epc.Decode(b)
	switch {
	case err != nil:
		return "" // not whole words: no driver's EPC
	case e.Raw != "":
		return e.Raw
	}
	return strings.ToUpper(e.Scheme)
}

func maker(tid devices.Ident) string {
	b, err := hex.DecodeString(tid.Reveal())
	if err != nil {
		return ""
	}
	id, err := epc.ParseTID(b)
	if err != nil {
		return ""
	}
	name := id.DesignerName()
	switch {
	case id.Class != epc.ClassGen2:
		return "another class"
	case name == "":
		name = fmt.Sprintf("designer %03X", id.Designer)
	}
	if id.Serial != "" {
		name += ", serial"
	}
	return name
}
