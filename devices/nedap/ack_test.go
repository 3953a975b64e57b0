package nedap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAckForms(t *testing.T) {
	big, little := report{}, report{}
	(&scanner{}).feed(unhexed(t, bigVector), time.Time{}, func(r report) { big = r })
	(&scanner{}).feed(unhexed(t, littleVector), time.Time{}, func(r report) { little = r })
	for _, c := range []struct{ form, big, little string }{
		{"", "", ""},
		{" ", "", ""},
		{"06", "06", "06"},
		{"{id}", "00 00 00 01", "01 00 00 00"},
		{"{open}{id}", "error", "error"}, // blanks between
		{"{open} {id} 0000 {xor} {close}", "89 AB CD EF 00 00 00 01 00 00 01 12 34 56 78", "EF CD AB 89 01 00 00 00 00 00 01 78 56 34 12"},
		{"7B69647D", "7B 69 64 7D", "7B 69 64 7D"}, // bytes that look like a place
		{strings.Repeat("06 ", ackMost), strings.TrimSpace(strings.Repeat("06 ", ackMost)), strings.TrimSpace(strings.Repeat("06 ", ackMost))},
		{strings.Repeat("06 ", ackMost+1), "error", "error"},
		{"6", "error", "error"},
		{"{seq}", "error", "error"},
		{"OK", "error", "error"},
	} {
		a, err := parseAck(c.form)
		for want, r := range map[string]report{c.big: big, c.little: little} {
			got := fmt.Sprintf("% X", a.to(r))
			if err != nil {
				got = "error"
			}
			if got != want && c.big != c.little || !slices.Contains([]string{c.big, c.little}, got) {
				t.Errorf("%q: %s, want %s (%v)", c.form, got, want, err)
			}
		}
	}
}
