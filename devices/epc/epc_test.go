package epc

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"boothd/devices"
	"boothd/devices/devicestest"
)

func raw(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecode(t *testing.T) {
	const tag = "urn:epc:tag:"
	tests := []struct {
		name, epc string
		uri       string
	}{
		// Vectors of the protocol page.
		{"GS1 TDS", "3074257BF7194E4000001A85", tag + "sgtin-96:3.0614141.812345.6789"},
		{"golemu", "307227627F2EA48000001C6A", tag + "sgtin-96:3.72271102.47762.7274"},
		{"epc scheme tests", "301800004000004000000001", tag + "sgtin-96:0.000001.0000001.1"},
		{"epctagcoder", "31AC16465751CCD0C2000000", tag + "sscc-96:5.023356789.30200002"},
		{"GS1 TDS, location", "3274257BF46072000000162E", tag + "sgln-96:3.0614141.12345.5678"},
		{"GS1 TDS, returnable", "3374257BF40C0E400000162E", tag + "grai-96:3.0614141.12345.5678"},
		{"page, derived: asset", "3474257BF40000000000162E", tag + "giai-96:3.0614141.5678"},
		{"GS1 TDS, general", "3500E86F8000A9E000000586", tag + "gid-96:952056.2718.1414"},
		{"GS1 TDS, service", "2D74257BF4499602D2000000", tag + "gsrn-96:3.0614141.1234567890"},
		// Derived from the page's tables.
		{"derived: document", "2C74257BF46072000000162E", tag + "gdti-96:3.0614141.12345.5678"},
		{"derived: CAGE behind a space", "2F0203143414231000000001", tag + "usdod-96:0.1CAB1.1"},
		{"derived: CAGE of six", "2F1324341423130000000005", tag + "usdod-96:1.2CAB10.5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := Decode(raw(t, tt.epc))
			if err != nil || e.URI().Reveal() != tt.uri || e.Hex.Reveal() != tt.epc || e.Raw != "" {
				t.Errorf("Decode(%s) = %s, raw %q, %v, want %s", tt.epc, e.URI().Reveal(), e.Raw, err, tt.uri)
			}
		})
	}
}

// TestDecodeRaw has what is reported raw; all are derived.
func TestDecodeRaw(t *testing.T) {
	tests := []struct{ name, epc, why string }{
		{"blank tag", "", RawBlank},
		{"four words", "3074257BF7194E40", RawLength},
		{"seven words", "3074257BF7194E4000001A850000", RawLength},
		{"unprogrammed", "000000000000000000001545", RawUnset},
		{"TID as EPC", "E20034120123456789ABCDEF", RawTID},
		{"unknown header", "3674257BF7194E4000001A85", RawHeader},
		{"partition 7", "307C257BF7194E4000001A85", RawPartition},
		{"company of 13 digits", "3063FFFFFFFFFE4000001A85", RawDigits},
		{"item of too many digits", "30743FFFFFFFFFC000001A85", RawDigits},
		{"location in no digits", "3263A352943FFA0000000001", RawDigits},
		{"SSCC with reserved bits", "31AC16465751CCD0C2000001", RawReserved},
		{"GSRN with reserved bits", "2D74257BF4499602D2800000", RawReserved},
		{"CAGE in lower case", "2F0203163414231000000001", RawCAGE},
		{"CAGE with an inner space", "2F0312041423131000000001", RawCAGE},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := Decode(raw(t, tt.epc))
			uri := fmt.Sprintf("urn:epc:raw:%d.x%s", len(tt.epc)*4, tt.epc)
			if want := (EPC{Hex: devices.Ident(tt.epc), Raw: tt.why}); err != nil || e != want || e.URI().Reveal() != uri {
				t.Errorf("Decode(%s) = raw %q, %s, %v, want %q, %s", tt.epc, e.Raw, e.URI().Reveal(), err, tt.why, uri)
			}
		})
	}
	for _, n := range []int{1, 11, 13, 63, 64} {
		if e, err := Decode(make([]byte, n)); !errors.Is(err, ErrFormat) || e != (EPC{}) {
			t.Errorf("Decode(%d bytes) = %+v, %v, want %v", n, e, err, ErrFormat)
		}
	}
}

func TestGTIN(t *testing.T) {
	e, _ := Decode(raw(t, "3074257BF7194E4000001A85"))
	if got := e.GTIN().Reveal(); got != "80614141123458" { // GS1 TDS
		t.Errorf("GTIN = %s, want 80614141123458", got)
	}
	e, _ = Decode(raw(t, "3374257BF40C0E400000162E"))
	if got := e.GTIN().Reveal(); got != "" {
		t.Errorf("GTIN of a GRAI = %s, want none", got)
	}
}

// TestI7_EPCIsMasked shows that neither fields nor URI print in clear.
func TestI7_EPCIsMasked(t *testing.T) {
	e, _ := Decode(raw(t, "3074257BF7194E4000001A85"))
	id, _ := ParseTID(raw(t, "E2003412012345678900ABCD"))
	s := fmt.Sprintf("%v %+v %#v %s %s %+v", e, e, e, e.URI(), e.GTIN(), id)
	for _, bad := range []string{"3074", "614141", "12345", "6789"} {
		if strings.Contains(s, bad) {
			t.Errorf("printed %q in %s", bad, s)
		}
	}
}

// encode writes the fields of a decoded EPC again, by the page's tables alone.
func encode(t *testing.T, e EPC) []byte {
	header := map[string]int64{"gdti-96": 0x2C, "gsrn-96": 0x2D, usdod96: 0x2F, "sgtin-96": 0x30, "sscc-96": 0x31,
		"sgln-96": 0x32, "grai-96": 0x33, "giai-96": 0x34, gid96: 0x35}[e.Scheme]
	v, used := new(big.Int), 0
	put := func(n int64, bits int) { v.Lsh(v, uint(bits)).Or(v, big.NewInt(n)); used += bits }
	num := func(id devices.Ident, bits int) {
		n, ok := new(big.Int).SetString("0"+id.Reveal(), 10)
		if !ok {
			t.Fatalf("%s is no number", id.Reveal())
		}
		put(n.Int64(), bits)
	}
	put(header, 8)
	switch e.Scheme {
	case gid96:
		num(e.Company, 28)
		num(e.Ref, 24)
		num(e.Serial, 36)
	case usdod96:
		put(int64(e.Filter), 4)
		for _, c := range []byte(fmt.Sprintf("%6s", e.Company.Reveal())) {
			put(int64(c), 8)
		}
		num(e.Serial, 36)
	default:
		partition := 12 - len(e.Company)
		serial := map[string]int{"gdti-96": 41, "gsrn-96": 24, "sgtin-96": 38, "sscc-96": 24, "sgln-96": 41, "grai-96": 38}[e.Scheme]
		put(int64(e.Filter), 3)
		put(int64(partition), 3)
		company := []int{40, 37, 34, 30, 27, 24, 20}[partition]
		num(e.Company, company)
		num(e.Ref, 96-14-company-serial)
		num(e.Serial, serial)
	}
	if used != 96 {
		t.Fatalf("%s encodes in %d bits", e.Scheme, used)
	}
	return v.FillBytes(make([]byte, epcBytes))
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"3074257BF7194E4000001A85", "31AC16465751CCD0C2000000", "3274257BF46072000000162E", "3374257BF40C0E400000162E",
		"3474257BF40000000000162E", "3500E86F8000A9E000000586", "2D74257BF4499602D2000000", "2C74257BF46072000000162E",
		"2F0203143414231000000001", "000000000000000000001545", "E2003412", ""} {
		f.Add(raw(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		devicestest.Frugal(t, func() int { _, _ = Decode(b); return 0 })
		e, err := Decode(b)
		switch {
		case err != nil:
			if e != (EPC{}) || !errors.Is(err, ErrFormat) {
				t.Fatal("an error came with half an EPC, or another error")
			}
		case e.Hex.Reveal() != strings.ToUpper(hex.EncodeToString(b)):
			t.Fatalf("the hex of %x is %s", b, e.Hex.Reveal())
		case e.Raw == "":
			if got := encode(t, e); string(got) != string(b) {
				t.Fatalf("%s does not survive a round trip: %x, not %x", e.URI().Reveal(), got, b)
			}
		case e.Scheme != "" || e.Company != "":
			t.Fatal("a raw EPC has fields")
		}
	})
}
