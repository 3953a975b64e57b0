package token

import (
	"testing"

	"boothd/agent/passage"
	"boothd/devices"
)

// Every kind of bar code is told from the others, in either direction; numbers
// of domain reference 3 and 5.
func TestScanTellsWhatItIs(t *testing.T) {
	k := key(t)
	for _, tt := range []struct {
		text      string
		direction passage.Direction
		kind      passage.ScanKind
		mark      passage.Mark
	}{
		{"123456782RM0001", passage.ToCanada, passage.ScanImporter, passage.Mark{Token: k.Importer("123456782RM0001")}},
		{"123456782rm0001", passage.ToCanada, passage.ScanImporter, passage.Mark{Token: k.Importer("123456782RM0001")}},
		{"123456789RM0001", passage.ToCanada, passage.ScanImporter, passage.Mark{Token: k.Importer("123456789RM0001"), Malformed: true}},
		{"123456782RT0001", passage.ToCanada, passage.ScanImporter, passage.Mark{Token: k.Importer("123456782RT0001"), Malformed: true}},
		{"12-4", passage.ToCanada, passage.ScanCarrier, passage.Mark{Token: k.Carrier("12-4")}},
		{"CSQU3054383", passage.ToCanada, passage.ScanContainer, passage.Mark{Token: k.Container("CSQU3054383")}},
		{"CSQU 305438-3 45G1", passage.ToCanada, passage.ScanContainer, passage.Mark{Token: k.Container("CSQU3054383"), SizeType: "45G1"}},
		{"CSQU3054384", passage.ToCanada, passage.ScanContainer, passage.Mark{Token: k.Container("CSQU3054384"), Malformed: true}},
		{"1234PARS56789", passage.ToCanada, passage.ScanCargo, passage.Mark{Token: k.Cargo("1234PARS56789"), Carrier: k.Carrier("1234")}},
		{"123456789", passage.ToCanada, passage.ScanCargo, passage.Mark{Token: k.Cargo("123456789"), Carrier: k.Carrier("1234")}},
		{"ABCD123456789012", passage.ToUS, passage.ScanCargo, passage.Mark{Token: k.Cargo("ABCD123456789012"), Carrier: k.Carrier("ABCD")}},
	} {
		kind, mark := k.Scan(devices.Ident(tt.text), tt.direction)
		if kind != tt.kind || mark != tt.mark {
			t.Errorf("%s: %d %+v, want %d %+v", tt.text, kind, mark, tt.kind, tt.mark)
		}
	}
	for _, text := range []string{"!!", "ABCD12345678901234567890123", "x"} {
		if kind, mark := k.Scan(devices.Ident(text), passage.ToCanada); kind != passage.ScanCargo || !mark.Malformed {
			t.Errorf("%s: %d %+v", text, kind, mark)
		}
	}
	if k.Cargo("1234PARS56789") == k.Cargo("123456789") {
		t.Error("inner letters of a cargo control number do not count")
	}
}

func TestSealsAreComparedWithoutSpacesAndDashes(t *testing.T) {
	k := key(t)
	if k.SealMark("h 12-34") != k.SealMark("H1234") || !k.SealMark("--").Malformed {
		t.Error("seals")
	}
}
