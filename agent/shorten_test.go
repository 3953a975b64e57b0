package agent

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"boothd/agent/contract"
)

// What a device says of itself can be told to headquarters, wherever it is cut
// and whatever bytes are in it.
func TestReasonsCanBeTold(t *testing.T) {
	for name, reason := range map[string]string{
		"cut within a letter": strings.Repeat("x", 199) + "é",
		"cut within a sign":   strings.Repeat("x", 198) + "€",
		"raw bytes":           "reader says \xff\xfe",
		"a NUL":               "reader says \x00",
		"a long one":          strings.Repeat("é", 300),
	} {
		short := shorten(reason)
		if len(short) > 200 || !utf8.ValidString(short) || short == "" || strings.Contains(short, "\x00") {
			t.Errorf("%s: %q", name, short)
		}
		h := contract.StateHealth{At: time.Now().UTC(), Devices: []contract.DeviceHealth{{Name: "r1", Reason: short}}}
		if _, err := contract.EncodeHealth(h); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := contract.Drafted(contract.Head{Booth: testBooth}, contract.DeviceChanged{Device: "r1", Reason: short}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
