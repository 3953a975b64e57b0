package configs

import (
	"fmt"
	"slices"
	"strings"
)

// Driver is a wire protocol.
type Driver string

// Drivers.
const (
	Mercury Driver = "mercury" // ThingMagic/JADAK UHF readers
	LLRP    Driver = "llrp"    // UHF readers on the network, EPCglobal LLRP 1.0.1
	UHF18   Driver = "uhf18"   // UHF readers of the UHFReader18 family
	Amtech  Driver = "amtech"  // TransCore and Amtech vehicle tag readers
	OSDP    Driver = "osdp"    // card readers on RS-485, OSDP v2 with secure channel
	Wiegand Driver = "wiegand" // card readers on two lines of the GPIO chip
	Line    Driver = "line"    // cameras that send text
	Nedap   Driver = "nedap"   // cameras of Nedap and Tattile that send framed reports
	Webhook Driver = "webhook" // cameras that post JSON over HTTP
	Barcode Driver = "barcode" // scanners that send text
	MRZ     Driver = "mrz"     // document readers that send the machine-readable zone
	Keypad  Driver = "keypad"  // an officer's keys on a serial line, or a USB keyboard
	Printer Driver = "printer" // receipts
)

// driver is what a configuration may say of one driver's devices: the one place in
// this package that a new driver has.
type driver struct {
	name  Driver
	roles []Role
	baud  int      // of its line, if it has one and none is written
	keys  []string // beside those that every device has, and those that name a profile
	// complete fills in defaults that are not zero; nil: there are none.
	complete func(c *checker, p string, d *Device)
	// check judges the keys of a device at path p; nil: there is nothing to judge.
	check func(c *checker, p string, d *Device)
}

var (
	cards  = []Role{RoleCard}
	plates = []Role{RolePlateFront, RolePlateRear}
)

var drivers = []driver{
	{Mercury, cards, 115200, []string{"region", "power", "antennas", "read_tid", "weakest", "booth_antennas", "booth_weakest"}, (*checker).completeMercury, (*checker).mercury},
	{LLRP, cards, 9600, []string{"power", "antennas", "read_tid", "weakest", "booth_antennas", "booth_weakest", "ca", "fingerprint"}, nil, (*checker).llrp},
	{UHF18, cards, 57600, []string{"power", "address"}, nil, (*checker).uhf18},
	{Amtech, cards, 9600, []string{"start", "mode", "crc", "commands", "first_antenna"}, completeAmtech, (*checker).amtech},
	{OSDP, cards, 9600, []string{"address", "reader_key", "master", "clear", "bits", "at_booth"}, nil, (*checker).osdp},
	{Wiegand, cards, 0, []string{"data0", "data1", "formats", "silence", "at_booth"}, (*checker).completeWiegand, (*checker).wiegand},
	{Line, plates, 9600, []string{"start", "end", "silence", "separator", "fields", "no_read", "confidence_scale", "checksum",
		"checksum_end", "heartbeat", "quiet", "charset", "zone", "max_length", "window", "ack", "nak"}, nil, (*checker).line},
	{Nedap, plates, 9600, []string{"separator", "fields", "no_read", "confidence_scale", "charset", "zone", "ack", "window", "from"}, (*checker).completeWindow, (*checker).nedap},
	{Webhook, plates, 9600, []string{"paths", "seen", "confidence_scale", "window", "token", "cert", "key", "ca", "quiet"}, (*checker).completeWindow, (*checker).webhook},
	{Barcode, []Role{RoleScan, RoleSeal}, 9600, []string{"suffix"}, completeBarcode, nil},
	{MRZ, []Role{RoleDocument}, 9600, []string{"xor"}, nil, nil},
	{Keypad, []Role{RoleKeypad}, 9600, nil, nil, nil},
	{Printer, []Role{RoleReceipt}, 9600, []string{"language", "columns", "answers"}, (*checker).completePrinter, (*checker).printer},
}

// Drivers lists every driver.
func Drivers() (names []Driver) {
	for _, d := range drivers {
		names = append(names, d.name)
	}
	return names
}

// Roles are what the driver's devices may be for, the most usual first; none of one
// that is no driver.
func (d Driver) Roles() []Role { return d.entry().roles }

// UnmarshalText takes a driver.
func (d *Driver) UnmarshalText(b []byte) error { return choose(d, b, Drivers()...) }

// entry is what a configuration may say of the driver; nothing of one that is
// none.
func (d Driver) entry() driver {
	if i := slices.IndexFunc(drivers, func(e driver) bool { return e.name == d }); i >= 0 {
		return drivers[i]
	}
	return driver{}
}

// allKeys are those of a driver beside the ones of every device.
func (d driver) allKeys() []string {
	keys := d.keys
	for _, key := range []string{keyTemplate, keyModel} {
		if len(profilesOf(key, d.name)) > 0 {
			keys = append(slices.Clip(keys), key)
		}
	}
	return keys
}

// whoHas names the drivers that have a key: `driver "x" has`.
func whoHas(key string) string {
	var names []string
	for _, d := range drivers {
		if slices.Contains(d.allKeys(), key) {
			names = append(names, fmt.Sprintf("%q", d.name))
		}
	}
	if len(names) == 1 {
		return "driver " + names[0] + " has"
	}
	return "drivers " + strings.Join(names, ", ") + " have"
}

func driverNames() (names []string) {
	for _, d := range Drivers() {
		names = append(names, string(d))
	}
	return names
}
