package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
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
	"boothd/devices/printer"
	"boothd/devices/uhf18"
	"boothd/devices/webhook"
	"boothd/devices/wiegand"
)

// far is the far end of one device of the configuration, played. What a device
// of its kind cannot do is nil.
type far struct {
	name  string
	role  configs.Role
	cable *cable   // nil: it connects to the booth
	bus   *pd.Line // of OSDP readers: one on the same path hangs on it, too

	word     func(bits string) error // of a Wiegand reader
	present  func(tags ...tag) error // puts these into its field and takes all others away
	plate    func(text, jurisdiction string, confidence float64) error
	noRead   func() error
	scan     func(text string) error
	document func(state, number string) error
	enter    func(text string) error // typed and entered
	strike   func(key string) error
	mute     func(on bool)
	reboot   func() error
}

// tag is a card or vehicle tag in a reader's field. Its number is as lists have
// it, in hex.
type tag struct {
	number  string
	rssiDBm int
	antenna int
	damaged bool
}

// play plays the far end of a device: the one switch that knows them all, as
// agent/hardware.go is for the near ends. Where the booth finds it is its path,
// or any pty if that is empty.
func (h *hardware) play(d configs.Device) (*far, error) {
	f := &far{name: d.Name, role: d.Role, cable: &cable{path: d.Path}}
	var err error
	switch d.Driver {
	case configs.Mercury:
		f.mercury(h.every())
	case configs.LLRP:
		err = f.llrp(d, h.every())
	case configs.UHF18:
		f.uhf18(d)
	case configs.Amtech:
		f.amtech(d)
	case configs.OSDP:
		err = f.osdp(d, h.sharing(d))
	case configs.Wiegand:
		f.wiegand(h, d)
	case configs.Line:
		err = f.line(d)
	case configs.Nedap:
		err = f.nedap(d)
	case configs.Webhook:
		err = f.webhook(h.life, d)
	case configs.Barcode:
		f.barcode(d)
	case configs.MRZ:
		f.mrz(d)
	case configs.Keypad:
		err = f.keypad(d)
	case configs.Printer:
		f.printer(d, h.printed)
	default:
		err = fmt.Errorf("%s cannot be played", d.Driver)
	}
	if err == nil && f.cable != nil && !slices.Contains(h.cables(), f.cable) {
		err = f.cable.plug()
	}
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", d.Name, err)
	}
	return f, nil
}

// every is the time between two rounds of a UHF reader's field.
func (h *hardware) every() time.Duration {
	return max(time.Duration(float64(40*time.Millisecond)/h.speed), 10*time.Millisecond)
}

func (f *far) mercury(every time.Duration) {
	m := &mercury.Sim{Every: every}
	f.cable.serve, f.mute, f.reboot = m.Serve, m.Mute, m.Reboot
	f.present = func(tags ...tag) error {
		var field []mercury.SimTag
		for _, t := range tags {
			tag := mercury.SimTag{EPC: t.number, RSSIDBm: t.rssiDBm, Antenna: t.antenna, Damaged: t.damaged}
			if _, err := tag.Record(); err != nil {
				return err
			}
			field = append(field, tag)
		}
		m.Present(field...)
		return nil
	}
}

func (f *far) llrp(d configs.Device, every time.Duration) (err error) {
	s := &llrp.Sim{Every: every}
	if d.Path.Scheme() == "tls" {
		if d.Fingerprint != "" {
			return errors.New("its certificate is made here: no fingerprint can be of it")
		}
		host, _ := d.Path.Network()
		if host, _, err = net.SplitHostPort(host); err != nil {
			return err
		}
		if f.cable.secure, err = certify(host, string(d.CA)); err != nil {
			return err
		}
	}
	f.cable.serve, f.mute, f.reboot = s.Serve, s.Mute, done(s.Restart)
	f.present = func(tags ...tag) error {
		var field []llrp.SimTag
		for _, t := range tags {
			if _, err := bytesOf(t); err != nil {
				return err
			}
			field = append(field, llrp.SimTag{EPC: t.number, RSSIDBm: t.rssiDBm, Antenna: t.antenna})
		}
		s.Present(field...)
		return nil
	}
	return nil
}

func (f *far) uhf18(d configs.Device) {
	s := &uhf18.Sim{Address: byte(d.Address)}
	if d.Address == 0xFF { // whichever is on the line
		s.Address = 0
	}
	f.cable.serve, f.mute = s.Serve, s.Mute
	f.present = func(tags ...tag) error {
		var field []string
		for _, t := range tags {
			if _, err := bytesOf(t); err != nil {
				return err
			}
			field = append(field, t.number)
		}
		s.Present(field...)
		return nil
	}
}

func (f *far) amtech(d configs.Device) {
	s := &amtech.Sim{Mode: map[configs.AmtechMode]amtech.Mode{configs.AmtechInquiry: amtech.Inquiry, configs.AmtechECP: amtech.ECP}[d.Mode]}
	if d.Start != "" {
		s.Start = d.Start[0]
	}
	if d.CRC == configs.AmtechXModem {
		s.CRC = amtech.CRCXModem
	}
	f.cable.serve, f.mute, f.reboot = s.Serve, s.Mute, done(s.Reboot)
	f.present = func(tags ...tag) error { // each is told once
		for _, t := range tags {
			text, err := bytesOf(t)
			if err != nil {
				return err
			}
			s.Present(string(text))
		}
		return nil
	}
}

// sharing gives the reader that is played on the same line already; nil: none.
func (h *hardware) sharing(d configs.Device) *far {
	i := slices.IndexFunc(h.far, func(f *far) bool { return f.bus != nil && d.Path != "" && f.cable.path == d.Path })
	if i < 0 {
		return nil
	}
	return h.far[i]
}

func (f *far) osdp(d configs.Device, first *far) error {
	r := &pd.Device{Address: byte(d.Address)}
	if !d.Clear {
		raw, err := secret(d.ReaderKey)
		if err != nil {
			return err
		}
		if r.Key, err = osdp.ParseKey(raw); err != nil {
			return err
		}
		if d.Master {
			return errors.New("readers with keys from a master key cannot be played")
		}
	}
	bits := osdpBits(d)
	if first != nil {
		f.cable, f.bus = first.cable, first.bus
	} else {
		f.bus = &pd.Line{}
		f.cable.serve = f.bus.Serve
	}
	f.bus.Hang(r)
	f.mute, f.reboot = r.Mute, done(r.Reboot)
	f.present = func(tags ...tag) error { // each is told once
		for _, t := range tags {
			number, err := bytesOf(t)
			if err == nil && len(number) != (bits+7)/8 {
				err = fmt.Errorf("card of %d bytes: the reader's cards have %d bits", len(number), bits)
			}
			if err != nil {
				return err
			}
			r.Card(0, bits, number)
		}
		return nil
	}
	return nil
}

// osdpBits is how long the cards of such a reader are: as long as may be.
func osdpBits(d configs.Device) int {
	if len(d.Bits) == 0 {
		return 32
	}
	return slices.Max(d.Bits)
}

// wiegand pulses two lines of the chip: it has no line of its own.
func (f *far) wiegand(h *hardware, d configs.Device) {
	s := &wiegand.Sim{Pulse: func(p []devices.Pulse) error {
		return h.chip.Pulse([2]string{string(d.Data0), string(d.Data1)}, p)
	}}
	f.cable, f.word = nil, s.Raw
	f.present = func(tags ...tag) error { // each is told once
		for _, t := range tags {
			number, err := bytesOf(t)
			if err != nil {
				return err
			}
			var all strings.Builder
			for _, b := range number {
				fmt.Fprintf(&all, "%08b", b)
			}
			bits := wiegand.Format(d.Formats[0]).Bits()
			if all.Len() < bits {
				return fmt.Errorf("card of %d bits: the reader's have %d", all.Len(), bits)
			}
			if err := s.Raw(all.String()[:bits]); err != nil {
				return err
			}
		}
		return nil
	}
}

func (f *far) nedap(d configs.Device) error {
	if len(d.Fields) > 0 {
		return errors.New("a camera with fields of its own cannot be played, only its usual text")
	}
	c := &nedap.Camera{Packets: d.Template == configs.TemplateTags}
	f.cable.calls = d.From != ""
	f.cable.serve, f.plate, f.noRead, f.mute, f.reboot = c.Serve, c.Plate, c.NoRead, c.Mute, done(c.Reboot)
	return nil
}

func (f *far) line(d configs.Device) error {
	if d.Checksum != "" && d.Checksum != configs.ChecksumNone {
		return errors.New("a camera whose reports have a checksum cannot be played")
	}
	c := &line.Camera{Wire: f.cable, Start: d.Start, End: d.End, Separator: d.Separator, Scale: d.ConfidenceScale}
	for _, field := range d.Fields {
		c.Fields = append(c.Fields, string(field))
	}
	if len(d.NoRead) > 0 {
		c.Unread = d.NoRead[0]
	}
	f.plate, f.noRead, f.mute = c.Plate, c.NoRead, c.Mute
	return nil
}

func (f *far) webhook(life context.Context, d configs.Device) error {
	f.cable = nil
	if d.Path.Scheme() == "https" {
		return errors.New("a camera that posts is played to http:// alone")
	}
	if d.Template == configs.TemplateCustom {
		return errors.New("a camera that posts is played in the form of a template alone")
	}
	token, err := secret(d.Token)
	if err != nil {
		return err
	}
	c := &posting{camera: webhook.Camera{URL: string(d.Path), Token: strings.TrimSpace(string(token)), Template: string(d.Template), Name: d.Name}, life: life}
	f.plate, f.noRead, f.mute = c.plate, c.noRead, c.mute
	if d.Quiet.Duration > 0 {
		go c.beat(d.Quiet.Duration / 3) // ends with life
	}
	return nil
}

func (f *far) barcode(d configs.Device) {
	s := &barcode.Sim{Wire: f.cable, AIM: "]C0", Suffix: map[configs.Suffix]barcode.Suffix{configs.SuffixCRLF: barcode.CRLF,
		configs.SuffixLF: barcode.LF, configs.SuffixETX: barcode.ETX, configs.SuffixNone: barcode.None}[d.Suffix]}
	f.scan, f.mute = s.Scan, s.Mute
}

func (f *far) mrz(d configs.Device) {
	s := &mrz.Sim{Wire: f.cable, XOR: d.XOR}
	f.mute = s.Mute
	f.document = func(state, number string) error {
		zone, err := mrz.SimTD1(state, number)
		if err != nil {
			return err
		}
		return s.Show(zone...)
	}
}

func (f *far) keypad(d configs.Device) error {
	if strings.HasPrefix(string(d.Path), "/dev/input/") {
		return errors.New("a USB keyboard is the kernel's and cannot be played; a keypad on a serial line can")
	}
	s := &keypad.Sim{Wire: f.cable}
	f.enter, f.strike, f.mute = s.Type, s.Strike, s.Mute
	return nil
}

func (f *far) printer(d configs.Device, printed func([]string)) {
	s := &printer.Sim{Language: printer.Language(d.Language), Printed: printed}
	f.cable.serve = s.Serve
}

// done is an act that cannot fail.
func done(act func()) func() error {
	return func() error { act(); return nil }
}

func bytesOf(t tag) ([]byte, error) {
	b, err := hex.DecodeString(t.number)
	switch {
	case err != nil || len(b) == 0:
		return nil, fmt.Errorf("%q is no number in hex", t.number)
	case t.damaged:
		return nil, errors.New("a damaged card is played by a mercury reader alone")
	}
	return b, nil
}

// secret reads what a configuration refers to, as boothd would.
func secret(ref configs.Ref) ([]byte, error) {
	path, err := ref.File(os.Getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
