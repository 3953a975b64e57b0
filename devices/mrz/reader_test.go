package mrz

import (
	"context"
	"fmt"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

// specimen is the n-th synthetic TD1, check digits and all.
func specimen(n int) string {
	field := func(s string) string { return s + string(sum([]byte(s))) }
	number := field(fmt.Sprintf("%09d", n))
	one := "INUTO" + number + "<<<<<<<<<<<<<<<"
	birth, expiry := field("800101"), field("300101")
	two := birth + "F" + expiry + "UTO<<<<<<<<<<<"
	composite := sum([]byte(one[5:]), []byte(two[:7]), []byte(two[8:15]), []byte(two[18:]))
	return one + "\r" + two + string(composite) + "\r" + "TRAVELLER<<TEST<<<<<<<<<<<<<<<" + "\r"
}

func TestContract(t *testing.T) {
	devicestest.Run(t, devicestest.Device{
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			return Open(ctx, w, Config{Name: "mrz", Role: devices.RoleDocument})
		},
		Frame: func(n int) []byte { return []byte("\x02" + specimen(n) + "\x03") },
		Is: func(r devices.Read, n int) bool {
			return r.Document != nil && r.Document.Number == devices.Ident(fmt.Sprintf("%09d", n)) && r.Document.Issuer == "UTO"
		},
		Weak: true, Pause: time.Second, Spare: len("\r\x03"),
	})
}
