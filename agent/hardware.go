package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"boothd/configs"
	"boothd/devices"
	"boothd/devices/amtech"
	"boothd/devices/barcode"
	"boothd/devices/keypad"
	"boothd/devices/line"
	"boothd/devices/llrp"
	"boothd/devices/mercury"
	"boothd/devices/mrz"
	"boothd/devices/nedap"
	"boothd/devices/osdp"
	"boothd/devices/osdp/pd"
	"boothd/devices/port"
	"boothd/devices/printer"
	"boothd/devices/uhf18"
	"boothd/devices/webhook"
	"boothd/devices/wiegand"
)

// Reader is a driver at work. Reads ends with an error, once; then the caller
// closes and opens again.
type Reader interface {
	io.Closer
	Reads(ctx context.Context) iter.Seq2[devices.Read, error]
	Counters() devices.Counters
}

var (
	cards  = []configs.Role{configs.RoleCard}
	plates = []configs.Role{configs.RolePlateFront, configs.RolePlateRear}
)

// Drivers are those that a configuration may name: what it may say of each beside what
// every device has. Another driver is one entry here and a case of OpenDevice
// and PlayDevice.
var Drivers = configs.Kinds{
	// ThingMagic/JADAK UHF readers.
	kind(configs.Kind{Driver: "mercury", Roles: cards, Baud: 115200, Antennas: 16, FirstAntennas: []int{1}}, mercury.Defaults),
	// UHF readers on the network, EPCglobal LLRP 1.0.1.
	kind(configs.Kind{Driver: "llrp", Roles: cards, TLS: true, Antennas: 32}, llrp.Settings{}),
	// UHF readers of the UHFReader18 family; address 255 is whichever is on the line.
	kind(configs.Kind{Driver: "uhf18", Roles: cards, Baud: 57600, Address: 255}, uhf18.Settings{}),
	// TransCore and Amtech vehicle tag readers.
	kind(configs.Kind{Driver: "amtech", Roles: cards, Baud: 9600}, amtech.Defaults),
	// Card readers on RS-485, OSDP v2 with secure channel.
	kind(configs.Kind{Driver: "osdp", Roles: cards, Baud: 9600, Address: 126, Shares: true, ByHand: true}, osdp.Settings{}),
	// Card readers on two lines of the GPIO chip.
	kind(configs.Kind{Driver: "wiegand", Roles: cards, Pulses: true, ByHand: true}, wiegand.Defaults),
	// Cameras that send text.
	kind(configs.Kind{Driver: "line", Roles: plates, Baud: 9600, Text: true, Custom: true}, line.Settings{}),
	// Cameras of Nedap and Tattile that send framed reports.
	kind(configs.Kind{Driver: "nedap", Roles: plates, Baud: 9600, Text: true, Calls: true}, nedap.Settings{}),
	// Cameras that post JSON over HTTP.
	kind(configs.Kind{Driver: "webhook", Roles: plates, Posts: true, Custom: true}, webhook.Settings{}),
	// Scanners that send text.
	kind(configs.Kind{Driver: "barcode", Roles: []configs.Role{configs.RoleScan, configs.RoleSeal}, Baud: 9600}, barcode.Defaults),
	// Document readers that send the machine-readable zone.
	kind(configs.Kind{Driver: "mrz", Roles: []configs.Role{configs.RoleDocument}, Baud: 9600}, mrz.Settings{}),
	// An officer's keys on a serial line, or a USB keyboard.
	kind(configs.Kind{Driver: "keypad", Roles: []configs.Role{configs.RoleKeypad}, Baud: 9600}, keypad.Settings{}),
	// Receipts.
	kind(configs.Kind{Driver: "printer", Roles: []configs.Role{configs.RoleReceipt}, Baud: 9600}, printer.Defaults),
}

// kind completes a kind with the driver's own keys and who judges them.
func kind[S any, P interface {
	*S
	Check(w devices.Written)
}](k configs.Kind, defaults S) configs.Kind {
	k.Own = func() any { own := defaults; return &own }
	k.Check = func(d *configs.Device, keys configs.Keys) {
		template := string(d.Template)
		if !keys.Good("template") {
			template = "" // told already
		}
		P(d.Own.(*S)).Check(devices.Written{Template: template, Scheme: d.Path.Scheme(), Fields: fieldsOf(*d), Separator: d.Separator,
			Has: keys.Has, Refuse: keys.Refuse, Warn: keys.Warn, Span: keys.Span, Mean: keys.Mean})
	}
	return k
}

// Place is what opening a device needs to know of the booth.
type Place struct {
	Locks string // folder of the ports' lock files; empty: none
	State string // folder that keeps which readers have been secure; empty: none is kept
	// Install ends the window in which an OSDP reader fresh from the factory is
	// given its own key. Zero: no window.
	Install time.Time
	// Seat is an OSDP reader's place on a line that it shares, which OpenPort then
	// gives; nil: the line is its own.
	Seat *osdp.Seat
	Chip string // GPIO chip that readers without a line of their own hang on
	// Heard is told what such a reader sent, a card's number in clear, for who
	// looks; nil: nobody does.
	Heard func(bits []byte)
	// Watched says that somebody looks and sees for himself how long a camera that
	// posts is silent: it is not missed.
	Watched bool
	// Keep stores what a camera posted, before it is told so; late tells that its
	// vehicle has gone. nil: nothing is stored.
	Keep func(ctx context.Context, r devices.Read, late bool) error
}

// OpenDevice opens one device by its driver's name: it is the one place that
// knows them all, for the daemon and for the technician's tools. Of the world
// it uses OpenPort, OpenChip, OpenKeys, Listen and Secret. What is wrong with a device that goes on working is told to fault, and
// nil when it is over; it is called from Reads and may be called from here.
func OpenDevice(ctx context.Context, w World, d configs.Device, at Place, fault func(error)) (Reader, error) {
	name, role := d.Name, devices.Role(d.Role)
	switch own := d.Own.(type) { // those without a line of their own
	case *webhook.Settings:
		return openWebhook(ctx, w, d, own, at, fault)
	case *wiegand.Settings:
		return openWiegand(ctx, w, d, own, at)
	case *keypad.Settings:
		if usbKeys(d) {
			return w.OpenKeys(ctx, string(d.Path), keypad.Config{Name: name, Role: role})
		}
	}
	path := string(d.Path)
	if d.Path.Scheme() == "tls" { // the driver's own affair
		path = "tcp" + strings.TrimPrefix(path, "tls")
	}
	p, err := w.OpenPort(ctx, port.Spec{Path: path, Baud: d.Baud, LockDir: at.Locks, From: string(d.From)})
	if err != nil {
		return nil, err
	}
	switch own := d.Own.(type) {
	case *mercury.Settings:
		return mercury.Open(ctx, p, mercury.Config{Name: name, Role: role, Baud: d.Baud, Region: own.RegionCode(),
			Power: int(own.Power*100 + 0.5), Antennas: d.Antennas, ReadTID: own.ReadTID,
			Health: func(f mercury.Fault) {
				if f.Code == 0 {
					fault(nil)
					return
				}
				fault(fmt.Errorf("reader says %04X", f.Code))
			}})
	case *llrp.Settings:
		secure, err := readerTLS(w, d)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("llrp %s: %w", name, err), p.Close())
		}
		return llrp.Open(ctx, p, llrp.Config{Name: name, Role: role, TLS: secure, Antennas: d.Antennas, Power: int(own.Power*100 + 0.5), ReadTID: own.ReadTID, Health: fault})
	case *uhf18.Settings:
		return uhf18.Open(ctx, p, uhf18.Config{Name: name, Role: role, Baud: d.Baud, Address: byte(d.Address), Power: int(own.Power)})
	case *amtech.Settings:
		c := amtech.Config{Name: name, Role: role, Health: func(f amtech.Fault) { fault(f) }}
		own.Apply(&c)
		return amtech.Open(ctx, p, c)
	case *osdp.Settings:
		return openOSDP(ctx, w, p, d, own, at, fault)
	case *line.Settings:
		return openLine(ctx, p, d, own, fault)
	case *nedap.Settings:
		return openNedap(ctx, p, d, own, fault)
	case *barcode.Settings:
		return barcode.Open(ctx, p, barcode.Config{Name: name, Role: role, Suffix: own.Ends()})
	case *keypad.Settings:
		return keypad.Open(ctx, p, keypad.Config{Name: name, Role: role})
	case *mrz.Settings:
		return mrz.Open(ctx, p, mrz.Config{Name: name, Role: role, XOR: own.XOR})
	}
	return nil, errors.Join(fmt.Errorf("nobody reads from driver %q", d.Driver), p.Close())
}

// Stage is what the far end of a device is played on.
type Stage struct {
	Wire   io.Writer                                      // its line; nobody may be there to hear it
	Every  time.Duration                                  // between two rounds of a UHF reader's field
	Bus    *pd.Line                                       // its line again, for OSDP readers: several hang on one
	Pulse  func(lines [2]string, p []devices.Pulse) error // of the GPIO chip
	Print  func(lines []string)                           // takes what a printer has printed
	Secret func(ref configs.Ref) ([]byte, error)
}

// PlayDevice plays the far end of a device by its driver's name, for boothsim: what
// OpenDevice is to the near ends. It is played until ctx ends. No booth calls it,
// so that the daemon has no far end in it.
func PlayDevice(ctx context.Context, d configs.Device, on Stage) (devices.Far, error) {
	switch own := d.Own.(type) {
	case *mercury.Settings:
		return (&mercury.Sim{Every: on.Every}).Far(), nil
	case *llrp.Settings:
		return (&llrp.Sim{Every: on.Every}).Far(), nil
	case *uhf18.Settings:
		s := &uhf18.Sim{Address: byte(d.Address)}
		if d.Address == 0xFF { // whichever is on the line
			s.Address = 0
		}
		return s.Far(), nil
	case *amtech.Settings:
		var c amtech.Config
		own.Apply(&c)
		return (&amtech.Sim{Mode: c.Mode, Start: c.Start, CRC: c.CRC}).Far(), nil
	case *osdp.Settings:
		return playOSDP(d, own, on)
	case *wiegand.Settings:
		s := &wiegand.Sim{Pulse: func(p []devices.Pulse) error { return on.Pulse([2]string{d.Data0, d.Data1}, p) }}
		return s.Far(own.Formats[0]), nil
	case *line.Settings:
		return playLine(d, own, on)
	case *nedap.Settings:
		if len(d.Fields) > 0 {
			return devices.Far{}, errors.New("a camera with fields of its own cannot be played, only its usual text")
		}
		return (&nedap.Camera{Packets: d.Template == nedap.TemplateTags}).Far(), nil
	case *webhook.Settings:
		return playWebhook(ctx, d, own, on)
	case *barcode.Settings:
		return (&barcode.Sim{Wire: on.Wire, AIM: "]C0", Suffix: own.Ends()}).Far(), nil
	case *mrz.Settings:
		return (&mrz.Sim{Wire: on.Wire, XOR: own.XOR}).Far(), nil
	case *keypad.Settings:
		if usbKeys(d) {
			return devices.Far{}, errors.New("a USB keyboard is the kernel's and cannot be played; a keypad on a serial line can")
		}
		return (&keypad.Sim{Wire: on.Wire}).Far(), nil
	case *printer.Settings:
		return (&printer.Sim{Language: own.Language, Printed: on.Print}).Far(), nil
	}
	return devices.Far{}, fmt.Errorf("nobody plays driver %q", d.Driver)
}

// PlayedNumber is the number of a person's card, as lists have it, that the played
// device can read: an EPC, if its driver does not say otherwise.
func PlayedNumber(d configs.Device, vehicle, person int) string {
	switch own := d.Own.(type) {
	case *amtech.Settings:
		return amtech.SimNumber(vehicle, person)
	case *osdp.Settings:
		return pd.Number(own.SimBits(), vehicle, person)
	case *wiegand.Settings:
		if number, err := wiegand.SimNumber(own.Formats[0], vehicle, person); err == nil {
			return number
		}
	}
	return fmt.Sprintf("E28011606000%06X%06X", vehicle, person)
}

// usbKeys tells whether a keypad is a USB keyboard.
func usbKeys(d configs.Device) bool { return strings.HasPrefix(string(d.Path), "/dev/input/") }

// Textual tells whether a device's protocol is text. Of any other the bytes of an
// identifier cannot be told from the rest, and are not shown at all.
func Textual(d configs.Device) bool {
	switch d.Own.(type) {
	case *line.Settings, *barcode.Settings, *mrz.Settings, *keypad.Settings, *amtech.Settings, *wiegand.Settings:
		return true
	}
	return false
}
