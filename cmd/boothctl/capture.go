package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"boothd/agent"
	"boothd/agent/glimpse"
	"boothd/agent/passage"
	"boothd/agent/token"
	"boothd/configs"
	"boothd/devices"
	"boothd/devices/osdp"
)

// captureCmd writes down what goes over one device's line and what its driver
// makes of it.
type captureCmd struct {
	Port   string        `arg:"" help:"Port (/dev/serial/by-id/..., tcp://host:port), or name of a device or board of the configuration."`
	Driver string        `help:"Driver, for a port that no device of the configuration has." placeholder:"NAME"`
	Set    []string      `help:"Setting of such a device, as in [[device]]; may be given several times." placeholder:"KEY=VALUE" sep:"none"`
	Out    string        `required:"" help:"File to write, which must not be there; the reads go to FILE.reads." placeholder:"FILE"`
	For    time.Duration `help:"End after this long; at most 10m." default:"1m"`
	N      int           `short:"n" help:"End after so many reads." placeholder:"1"`
	Raw    bool          `help:"Keep the bytes themselves. Of test cards and test plates only, never a traveller's."`
}

// captureLongest bounds a capture, which is for one thing that was seen.
const captureLongest = 10 * time.Minute

// readsSuffix is what the file of expected reads has behind the capture's name.
const readsSuffix = ".reads"

// rawRule is said with every raw capture.
const rawRule = `this capture holds every card number and plate that is read from now on, in clear.
boothctl: Nothing else at this booth does (I7: no raw identifier at rest), and this file is not protected as the journal is.
boothctl: Use test cards, test plates and specimens only, with the lane closed; a traveller's card or car before the
boothctl: device spoils the capture: delete both files and begin again.`

// maskedRule is said with every other one.
const maskedRule = `masked: times, sizes, shapes and decoded reads are kept, identifiers are not. It cannot be replayed in a
boothctl: test; for that, capture again with --raw, with test cards only.`

// Run captures until Ctrl-C, --for, the line's end, or the file is full.
func (c *captureCmd) Run(t *tool) (err error) {
	if c.For <= 0 || c.For > captureLongest {
		return &failure{fmt.Errorf("--for %v is not between 1s and %v", c.For, captureLongest), "capture one thing at a time", exitUsage}
	}
	if b, o, ok := c.board(t); ok {
		return c.captureBoard(t, b, o)
	}
	d, o, err := c.device(t)
	if err != nil {
		return err
	}
	if _, web := d.Path.Web(); web || d.Path.Scheme() == "tls" {
		return &failure{fmt.Errorf("device %s has no line to capture: it shows its token there, or is encrypted", d.Name),
			"look with boothctl try what is read of it", exitUsage}
	}
	if own, ok := d.Own.(*osdp.Settings); ok && c.Raw && own.ReaderKey != "" {
		return &failure{fmt.Errorf("device %s speaks in a secure channel: its bytes are new each time and cannot be replayed", d.Name),
			"capture it without --raw; or, a test card before a reader that is clear = true", exitUsage}
	}
	if err := free(string(d.Path)); err != nil {
		return err
	}
	out, reads, err := c.files()
	if err != nil {
		return err
	}
	rule := maskedRule
	if c.Raw {
		rule = rawRule
	}
	fmt.Fprintf(t.stderr, "boothctl: %s\n", rule)
	ctx, stop := interruptible(c.For)
	defer stop()
	begun := time.Now()
	tape, err := newTape(out, d, c.Raw, begun)
	if err != nil {
		return one(errors.Join(err, out.Close(), reads.Close()))
	}
	kept := bufio.NewWriter(reads)
	v := &view{t: t, most: c.N, begun: begun, seen: glimpse.Labels{}, shown: map[string]time.Time{}}
	v.also = keep(kept, c.Raw, begun)
	o.port, o.heard = tape.open, func(bits []byte) { tape.note(happening{kind: '<', data: bits}) }
	r, err := o.device(ctx, d, v.fault)
	if err != nil { // a capture of nothing is none
		return one(errors.Join(err, out.Close(), reads.Close(), c.remove()))
	}
	err = v.follow(ctx, r)
	if full := tape.end(); full != nil {
		err = errors.Join(err, full)
	}
	err = errors.Join(err, kept.Flush(), out.Close(), reads.Close())
	fmt.Fprintf(t.stderr, "boothctl: written: %s and %s%s\n", c.Out, c.Out, readsSuffix)
	return one(err)
}

// one takes a join of one error apart, so that its remedy and code are seen.
func one(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) == 1 {
		return joined.Unwrap()[0]
	}
	return err
}

// keep writes each read down as it is expected again: at --raw with tokens, so
// that a replay can be compared identifier by identifier.
func keep(out *bufio.Writer, raw bool, begun time.Time) func(devices.Read) error {
	seen := glimpse.Labels{}
	return func(r devices.Read) error {
		x := seen.Of(r, begun)
		if raw {
			addTokens(&x, r)
		}
		b, err := x.Line()
		if err == nil {
			_, err = out.Write(b)
		}
		return err
	}
}

// addTokens adds what tells the read's identifiers from all others.
func addTokens(x *glimpse.Read, r devices.Read) {
	key, err := token.ParseKey([]byte(strings.Repeat("0123456789abcdef", 4)))
	if err != nil {
		panic(err) // the text above is a key
	}
	of := func(id devices.Ident) passage.Token {
		for _, t := range []passage.Token{key.Card(id), key.Cargo(id), key.Document("", id)} {
			if t != "" {
				return t
			}
		}
		return ""
	}
	switch {
	case r.Tag != nil:
		x.Token, x.TIDToken = of(r.Tag.EPC), of(r.Tag.TID)
	case r.Plate != nil:
		x.Token = of(r.Plate.Text)
	case r.Document != nil:
		x.Token = of(r.Document.Number)
	case r.Scan != nil:
		x.Token = of(r.Scan.Text)
	case r.Key != nil:
		x.Token = of(r.Key.Plate)
	}
}

// create makes a file that is not there, for its owner alone.
func create(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, &failure{err, "name another file: no capture is overwritten", exitUsage}
	}
	return f, err
}

// device finds what is to be captured, and how it is opened beside the booth's
// boothd: a booth without a configuration can be captured too.
func (c *captureCmd) device(t *tool) (d configs.Device, o opener, err error) {
	cfg, failed := t.place.load("--driver")
	o.socket = t.place.Socket
	if failed == nil {
		o.chip = cfg.GPIO.Chip
		if o.socket == "" {
			o.socket = string(cfg.Socket)
		}
		i := slices.IndexFunc(cfg.Devices, func(d configs.Device) bool { return d.Name == c.Port || string(d.Path) == c.Port })
		switch {
		case i >= 0 && c.Driver == "" && len(c.Set) == 0:
			return cfg.Devices[i], o, nil
		case i >= 0:
			return d, o, &failure{fmt.Errorf("%s is device %s of the configuration, which has a driver and settings", c.Port, cfg.Devices[i].Name),
				"leave --driver and --set out, or change the configuration", exitUsage}
		}
	}
	if c.Driver == "" && failed != nil {
		return d, o, failed
	}
	if c.Driver == "" {
		return d, o, &failure{fmt.Errorf("no device or board of the configuration is called %s or has that port", c.Port), "name its driver with --driver; boothctl probe says which", exitUsage}
	}
	if kind, _ := agent.Drivers.Of(configs.Driver(c.Driver)); kind.Pulses {
		return d, o, &failure{fmt.Errorf("a reader of driver %s has no port that could be named", c.Driver), "write it into the configuration, and capture it by its name", exitUsage}
	}
	if o.socket == "" {
		o.socket = defaultSocket
	}
	d, err = unnamed(c.Driver, c.Port, c.Set)
	return d, o, err
}

// defaultSocket is where boothd serves if no configuration says otherwise.
const defaultSocket = "/run/boothd/boothd.sock"
