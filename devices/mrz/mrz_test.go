package mrz

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Documents of the protocol page and of the domain reference.
const (
	passport = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\rL898902C36UTO7408122F1204159ZE184226B<<<<<10\r"
	card     = "I<UTOD231458907<<<<<<<<<<<<<<<\r7408122F1204159UTO<<<<<<<<<<<6\rERIKSSON<<ANNA<MARIA<<<<<<<<<<\r"
	// Derived: the name is that of the specimen.
	nexus    = "INUTO1234567897<<<<<<<<<<<<<<<\r8001014F3001019UTO<<<<<<<<<<<8\rERIKSSON<<ANNA<MARIA<<<<<<<<<<\r"
	canadian = "INCAN9800000177<<<<<<<<<<<<<<<\r8506151M2906151CAN<<<<<<<<<<<6\rERIKSSON<<ANNA<MARIA<<<<<<<<<<\r"
	long     = "I<UTOD23145890<7349<<<<<<<<<<<\r3407127M9507122UTO<<<<<<<<<<<2\rERIKSSON<<ANNA<MARIA<<<<<<<<<<\r"
	id2      = "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\rD231458907UTO7408122F1204159<<<<<<<6\r"
	id2long  = "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\rD23145890<UTO7408122F12041597349<<<2\r"
	visaA    = "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\rL898902C36UTO7408122F1204159ZE184226B<<<<<<<\r"
	visaB    = "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\rD231458907UTO7408122F1204159<<<<<<<<\r"
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func TestSum(t *testing.T) {
	for in, want := range map[string]byte{ // Doc 9303-3, examples 1 to 3
		"520727": '3', "AB2134<<<": '5', "HA672242<658022549601086<<<<<<<<<<<<<<0": '8',
	} {
		if got := sum([]byte(in)); got != want {
			t.Errorf("sum(%s) = %c, want %c", in, got, want)
		}
		if got := sum([]byte(in[:2]), nil, []byte(in[2:])); got != want {
			t.Errorf("sum(%s) in pieces = %c, want %c", in, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	good := Document{Number: "D23145890", Issuer: "UTO", Nationality: "UTO", Expiry: day(2012, 4, 15)}
	as := func(k Kind, edit func(*Document)) Document {
		d := good
		d.Kind = k
		if edit != nil {
			edit(&d)
		}
		return d
	}
	pass := func(d *Document) { d.Number = "L898902C3" }
	tests := []struct {
		name, text string
		want       Document
	}{
		// Vectors of the protocol page.
		{"Doc 9303-4", passport, as(TD3, pass)},
		{"Doc 9303-5", card, as(TD1, nil)},
		{"page, derived: ZF for ZE", strings.Replace(passport, "ZE", "ZF", 1), Document{Kind: TD3, Failed: Optional | Composite}},
		{"public parser: composite missing", "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\rL898902C36UTO7408122F1204159ZE184226B<<<<<<<\r",
			Document{Kind: TD3, Failed: Optional | Composite}},
		// Vectors of the domain reference, section 2.
		{"synthetic NEXUS", nexus, Document{Kind: TD1, Number: "123456789", Issuer: "UTO", Nationality: "UTO", Expiry: day(2030, 1, 1)}},
		{"synthetic Canadian", canadian, Document{Kind: TD1, Number: "980000017", Issuer: "CAN", Nationality: "CAN", Expiry: day(2029, 6, 15)}},
		{"bad number check", strings.Replace(nexus, "7897", "7887", 1), Document{Kind: TD1, Failed: Number | Composite}},
		// Derived from them.
		{"derived: long number", long, as(TD1, func(d *Document) { d.Number, d.Expiry = "D23145890734", day(2095, 7, 12) })},
		{"derived: TD2", id2, as(TD2, nil)},
		{"derived: TD2 with a long number", id2long, as(TD2, func(d *Document) { d.Number = "D23145890734" })},
		{"derived: MRV-A", visaA, as(MRVA, pass)},
		{"derived: MRV-B", visaB, as(MRVB, nil)},
		{"derived: MRV-A, bad birth", strings.Replace(visaA, "740812", "740813", 1), Document{Kind: MRVA, Failed: Birth}},
		{"derived: MRV-B, bad expiry", strings.Replace(visaB, "120415", "120416", 1), Document{Kind: MRVB, Failed: Expiry}},
		{"derived: long number's own check", strings.Replace(long, "7349", "7348", 1), Document{Kind: TD1, Failed: Number | Composite}},
		{"derived: filler for the number's check", strings.Replace(card, "D231458907<", "D23145890<<", 1), Document{Kind: TD1, Failed: Number | Composite}},
		{"derived: composite alone", strings.Replace(card, "<6\r", "<7\r", 1), Document{Kind: TD1, Failed: Composite}},
		{"derived: a long number of nine", "I<UTOD23145890<7<<<<<<<<<<<<<<\r7408122F1204159UTO<<<<<<<<<<<8\rERIKSSON<<ANNA<MARIA<<<<<<<<<<\r", Document{Kind: TD1, Failed: Number}},
		{"derived: a long number with a filler in it", "I<UTOD2314589<<735<<<<<<<<<<<<\r7408122F1204159UTO<<<<<<<<<<<6\rERIKSSON<<ANNA<MARIA<<<<<<<<<<\r", Document{Kind: TD1, Failed: Number}},
		{"derived: a letter worth the digit", strings.Replace(visaA, "740812", "74K812", 1), Document{Kind: MRVA, Failed: Birth}},
		{"derived: a filler worth the digit", strings.Replace(visaA, "1204159", "12<4159", 1), Document{Kind: MRVA, Failed: Expiry}},
		{"derived: letters in a date", strings.Replace(visaA, "740812", "7X0812", 1), Document{Kind: MRVA, Failed: Birth}},
		{"derived: half a month", strings.Replace(visaA, "1204159", "12<4155", 1), Document{Kind: MRVA, Failed: Expiry}},
		{"derived: unknown birth", strings.Replace(visaA, "7408122", "74<<<<1", 1), as(MRVA, pass)},
		{"derived: unknown day of expiry", strings.Replace(visaA, "1204159", "1204<<1", 1), as(MRVA, func(d *Document) { pass(d); d.Expiry = time.Time{} })},
		{"derived: expiry is no day", strings.Replace(visaA, "1204159", "1213153", 1), as(MRVA, func(d *Document) { pass(d); d.Expiry = time.Time{} })},
		{"derived: issuer D", strings.Replace(card, "I<UTO", "I<D<<", 1), as(TD1, func(d *Document) { d.Issuer = "D" })},
		{"derived: no nationality", strings.Replace(card, "9UTO<", "9<<<<", 1), as(TD1, func(d *Document) { d.Nationality = "" })},
		{"derived: crew certificate", "A" + card[1:], as(TD1, nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Parse([]byte(tt.text)); got != tt.want || err != nil {
				t.Errorf("Parse(%q) = %+v (%s), %v, want %+v (%s)", tt.text, got, got.Failed, err, tt.want, tt.want.Failed)
			}
		})
	}
}

// Every vector here is derived: as recognition would misread the specimens.
func TestCorrection(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want Checks
	}{
		"I for 1 and S for 5 in the expiry": {strings.Replace(passport, "1204159", "I204IS9", 1), Expiry},
		"B for 8 in the birth":              {strings.Replace(passport, "740812", "740B12", 1), Birth},
		"Z for its check":                   {strings.Replace(passport, "7408122", "740812Z", 1), Birth},
		"G for the number's check":          {strings.Replace(passport, "C36UTO", "C3GUTO", 1), Number},
		"I for the optional check":          {strings.Replace(passport, "<10\r", "<I0\r", 1), Optional},
		"O for the composite":               {strings.Replace(passport, "<10\r", "<1O\r", 1), Composite},
		"in a long number's check":          {strings.Replace(strings.Replace(long, "7349", "734G", 1), "D23145890", "D23145790", 1), 0},
	} {
		got, err := Parse([]byte(tt.text))
		if err != nil || got.Corrected != tt.want || (tt.want == 0) != (got.Failed != 0) {
			t.Errorf("%s: corrected %s, failed %s, %v, want corrected %s", name, got.Corrected, got.Failed, err, tt.want)
		}
	}
	// A letter in the number is never taken for a digit, nor a digit for a letter.
	for _, text := range []string{strings.Replace(card, "D23145890", "D2314589O", 1), strings.Replace(card, "D23145890", "023145890", 1)} {
		if got, err := Parse([]byte(text)); err != nil || got.Failed&Number == 0 || got.Number != "" {
			t.Errorf("Parse(misread number) = %+v, %v, want the number's check to fail", got, err)
		}
	}
}

func TestUnreadable(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "blank lines": "\r\n\r\n", "question marks": "?????\r", "one line": passport[:45], "two lines of a card": card[:62],
		"four lines": card + card[:31], "cut": passport[:80], "lines of two widths": passport[:45] + id2[37:],
		"a passport that is a card": "I" + passport[1:], "a card that is a passport": "P" + card[1:],
		"digit in the issuer": strings.Replace(card, "I<UTO", "I<UT0", 1), "hole in the issuer": strings.Replace(card, "I<UTO", "I<U<O", 1),
		"no issuer": strings.Replace(card, "I<UTO", "I<<<<", 1), "no number": strings.Replace(card, "D231458907", "<<<<<<<<<0", 1),
		"beyond ASCII": strings.Replace(card, "ERIKSSON", "\u00c9RIKSSO", 1), "longer than any": card + strings.Repeat("\r", maxText),
	} {
		if got, err := Parse([]byte(text)); !errors.Is(err, ErrUnreadable) || got != (Document{}) {
			t.Errorf("%s: Parse = %+v, %v, want %v", name, got, err, ErrUnreadable)
		}
	}
}

// TestI7_NothingOfTheZoneIsPrinted greps every way of printing for what a
// traveller would not want to find in a log.
func TestI7_NothingOfTheZoneIsPrinted(t *testing.T) {
	d, _ := Parse([]byte(passport))
	out := fmt.Sprintf("%v %+v %#v %x %s", d, d, d, d, d)
	for i := range passport {
		text := strings.Replace(passport, "\r", "", 1)
		text = text[:min(i, len(text))] + "?" + text[min(i+1, len(text)):]
		bad, err := Parse([]byte(text))
		if bad != (Document{}) {
			t.Fatalf("a document with a question mark is read: %+v", bad)
		}
		out += fmt.Sprint(err)
	}
	for _, raw := range []string{"898902", "ERIKSSON", "ANNA", "740812", "184226"} {
		if strings.Contains(out, raw) {
			t.Errorf("%s is printed", raw)
		}
	}
}

func TestNames(t *testing.T) {
	for k, want := range map[Kind]string{0: "none", TD1: "TD1", TD2: "TD2", TD3: "TD3", MRVA: "MRV-A", MRVB: "MRV-B", 9: "none"} {
		if k.String() != want {
			t.Errorf("Kind(%d) is %s, want %s", k, k, want)
		}
	}
	if got := (Number | Birth | Expiry | Optional | Composite).String(); got != "number, birth, expiry, optional, composite" {
		t.Errorf("all checks are %q", got)
	}
}
