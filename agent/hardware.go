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
	"boothd/devices/llrp"
	"boothd/devices/mercury"
	"boothd/devices/mrz"
	"boothd/devices/nedap"
	"boothd/devices/osdp"
	"boothd/devices/osdp/pd"
	"boothd/devices/port"
	"boothd/devices/printer"
	"boothd/devices/uhf18"
	"boothd/devices/wiegand"
)

// Reader is a driver at work. Reads ends with an error, once; then the caller
// closes and opens again.
type Reader interface {
	io.Closer
	Reads(ctx context.Context) iter.Seq2[devices.Read, error]
	Counters() devices.Counters
}

// regions are the mercury readers' region codes (Mercury serial protocol,
// start-up).
var regions = map[configs.Region]byte{configs.RegionNA: 0x01, configs.RegionNA2: 0x0d, configs.RegionNA3: 0x0e}

var suffixes = map[configs.Suffix]barcode.Suffix{configs.SuffixCR: barcode.CR, configs.SuffixCRLF: barcode.CRLF,
	configs.SuffixLF: barcode.LF, configs.SuffixETX: barcode.ETX, configs.SuffixNone: barcode.None}

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
	// Keep stores what a camera posted, before it is told so; late tells that its
	// vehicle has gone. nil: nothing is stored.
	Keep func(ctx context.Context, r devices.Read, late bool) error
}

// OpenDevice opens one device by its driver's name: it is the one place that
// knows them all, for the daemon and for the technician's tools. Of the world
// it uses OpenPort, OpenChip, OpenKeys, Listen and Secret. What is wrong with a device that goes on working is told to fault, and
// nil when it is over; it is called from Reads and may be called from here.
func OpenDevice(ctx context.Context, w World, d configs.Device, at Place, fault func(error)) (Reader, error) {
	keys := keypad.Config{Name: d.Name, Role: devices.Role(d.Role)}
	if usbKeys(d) {
		return w.OpenKeys(ctx, string(d.Path), keys)
	}
	if d.Driver == configs.Webhook {
		return openWebhook(ctx, w, d, at, fault)
	}
	if d.Driver == configs.Wiegand {
		return openWiegand(ctx, w, d, at)
	}
	path := string(d.Path)
	if d.Path.Scheme() == "tls" { // the driver's own affair
		path = "tcp" + strings.TrimPrefix(path, "tls")
	}
	p, err := w.OpenPort(ctx, port.Spec{Path: path, Baud: d.Baud, LockDir: at.Locks, From: string(d.From)})
	if err != nil {
		return nil, err
	}
	switch d.Driver {
	case configs.Mercury:
		return mercury.Open(ctx, p, mercury.Config{Name: d.Name, Role: devices.Role(d.Role), Baud: d.Baud, Region: regions[d.Region],
			Power: int(d.Power*100 + 0.5), Antennas: d.Antennas, ReadTID: d.ReadTID,
			Health: func(f mercury.Fault) {
				if f.Code == 0 {
					fault(nil)
					return
				}
				fault(fmt.Errorf("reader says %04X", f.Code))
			}})
	case configs.LLRP:
		secure, err := readerTLS(w, d)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("llrp %s: %w", d.Name, err), p.Close())
		}
		return llrp.Open(ctx, p, llrp.Config{Name: d.Name, Role: devices.Role(d.Role), TLS: secure, Antennas: d.Antennas, Power: int(d.Power*100 + 0.5), ReadTID: d.ReadTID, Health: fault})
	case configs.UHF18:
		return uhf18.Open(ctx, p, uhf18.Config{Name: d.Name, Role: devices.Role(d.Role), Baud: d.Baud, Address: byte(d.Address), Power: int(d.Power)})
	case configs.Amtech:
		return amtech.Open(ctx, p, amtechConfig(d, fault))
	case configs.OSDP:
		return openOSDP(ctx, w, p, d, at, fault)
	case configs.Line:
		return openLine(ctx, p, d, fault)
	case configs.Nedap:
		return openNedap(ctx, p, d, fault)
	case configs.Barcode:
		return barcode.Open(ctx, p, barcode.Config{Name: d.Name, Role: devices.Role(d.Role), Suffix: suffixes[d.Suffix]})
	case configs.Keypad:
		return keypad.Open(ctx, p, keys)
	case configs.MRZ:
		return mrz.Open(ctx, p, mrz.Config{Name: d.Name, Role: devices.Role(d.Role), XOR: d.XOR})
	}
	return nil, errors.Join(fmt.Errorf("no driver %q", d.Driver), p.Close())
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
	switch d.Driver {
	case configs.Mercury:
		return (&mercury.Sim{Every: on.Every}).Far(), nil
	case configs.LLRP:
		return (&llrp.Sim{Every: on.Every}).Far(), nil
	case configs.UHF18:
		s := &uhf18.Sim{Address: byte(d.Address)}
		if d.Address == 0xFF { // whichever is on the line
			s.Address = 0
		}
		return s.Far(), nil
	case configs.Amtech:
		c := amtechConfig(d, nil)
		return (&amtech.Sim{Mode: c.Mode, Start: c.Start, CRC: c.CRC}).Far(), nil
	case configs.OSDP:
		r, err := playedOSDP(d, on)
		if err != nil {
			return devices.Far{}, err
		}
		return r.Far(on.Bus, osdpBits(d)), nil
	case configs.Wiegand:
		s := &wiegand.Sim{Pulse: func(p []devices.Pulse) error { return on.Pulse([2]string{d.Data0, d.Data1}, p) }}
		return s.Far(wiegand.Format(d.Formats[0])), nil
	case configs.Line:
		return playedLine(d, on)
	case configs.Nedap:
		if len(d.Fields) > 0 {
			return devices.Far{}, errors.New("a camera with fields of its own cannot be played, only its usual text")
		}
		return (&nedap.Camera{Packets: d.Template == configs.TemplateTags}).Far(), nil
	case configs.Webhook:
		return playedWebhook(ctx, d, on)
	case configs.Barcode:
		return (&barcode.Sim{Wire: on.Wire, AIM: "]C0", Suffix: suffixes[d.Suffix]}).Far(), nil
	case configs.MRZ:
		return (&mrz.Sim{Wire: on.Wire, XOR: d.XOR}).Far(), nil
	case configs.Keypad:
		if usbKeys(d) {
			return devices.Far{}, errors.New("a USB keyboard is the kernel's and cannot be played; a keypad on a serial line can")
		}
		return (&keypad.Sim{Wire: on.Wire}).Far(), nil
	case configs.Printer:
		return (&printer.Sim{Language: printer.Language(d.Language), Printed: on.Print}).Far(), nil
	}
	return devices.Far{}, fmt.Errorf("nobody plays driver %q", d.Driver)
}

// PlayedNumber is the number of a person's card, as lists have it, that the played
// device can read: an EPC, if its driver does not say otherwise.
func PlayedNumber(d configs.Device, vehicle, person int) string {
	switch d.Driver {
	case configs.Amtech:
		return amtech.SimNumber(vehicle, person)
	case configs.OSDP:
		return pd.Number(osdpBits(d), vehicle, person)
	case configs.Wiegand:
		if number, err := wiegand.SimNumber(wiegand.Format(d.Formats[0]), vehicle, person); err == nil {
			return number
		}
	}
	return fmt.Sprintf("E28011606000%06X%06X", vehicle, person)
}

// usbKeys tells whether a keypad is a USB keyboard.
func usbKeys(d configs.Device) bool {
	return d.Driver == configs.Keypad && strings.HasPrefix(string(d.Path), "/dev/input/")
}

// Textual tells whether a driver's protocol is text. Of any other the bytes of
// an identifier cannot be told from the rest, and are not shown at all.
func Textual(d configs.Driver) bool {
	switch d {
	case configs.Line, configs.Barcode, configs.MRZ, configs.Keypad, configs.Amtech, configs.Wiegand:
		return true
	}
	return false
}
