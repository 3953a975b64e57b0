package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"boothd/agent"
	"boothd/agent/glimpse"
	"boothd/configs"
	"boothd/devices"
	"boothd/devices/port"
)

// tryCmd tries one thing at a time, the lane closed and boothd stopped.
type tryCmd struct {
	Reader tryReaderCmd `cmd:"" help:"Show live what a card reader, scanner, document reader or keypad reads."`
	Plate  tryPlateCmd  `cmd:"" help:"Show live what a plate camera reads."`
	Lamp   tryLampCmd   `cmd:"" help:"Light one lamp after the other, each for 2 s, red at the end."`
	Gate   tryGateCmd   `cmd:"" help:"Open the gate and close it again."`
}

// tryReaderCmd follows one device of the configuration that is no camera.
type tryReaderCmd struct{ tryRead }

// tryPlateCmd follows one camera of the configuration.
type tryPlateCmd struct{ tryRead }

// tryRead is what both have.
type tryRead struct {
	Name string        `arg:"" optional:"" help:"Name of the device in the configuration; not needed if there is one only."`
	For  time.Duration `help:"End after this long." placeholder:"30s"`
	N    int           `short:"n" help:"End after so many reads." placeholder:"1"`
	All  bool          `help:"Show every read, also the same again within a second."`
}

// Run exits 0 when something was read.
func (c *tryReaderCmd) Run(t *tool) error {
	return c.run(t, "reader", func(r configs.Role) bool {
		return !isPlate(r) && r != "receipt" && !strings.HasPrefix(string(r), "gpio")
	})
}

// Run exits 0 when a plate was read.
func (c *tryPlateCmd) Run(t *tool) error { return c.run(t, "plate", isPlate) }

func isPlate(r configs.Role) bool { return strings.HasPrefix(string(r), "plate") }

func (c *tryRead) run(t *tool, verb string, fits func(configs.Role) bool) error {
	cfg, err := t.place.load("boothctl probe")
	if err != nil {
		return err
	}
	d, err := pick(cfg.Devices, verb, c.Name, fits)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(c.For)
	defer stop()
	socket := string(cfg.Socket)
	if t.place.Socket != "" {
		socket = t.place.Socket
	}
	v := &view{t: t, all: c.All, most: c.N, seen: glimpse.Labels{}, shown: map[string]time.Time{}}
	o := opener{socket: socket, chip: cfg.GPIO.Chip, port: port.Open}
	r, err := o.device(ctx, d, v.fault)
	if err != nil {
		return err
	}
	v.begun = time.Now()
	if !t.json {
		says := "answers on"
		if d.Pulses() {
			says = "is silent, which tells nothing yet, on"
		}
		fmt.Fprintf(t.stdout, "%s %s %s (driver %s). Present %s; end with Ctrl-C.\n", d.Name, says, o.where(d), d.Driver, presentable(d.Role))
	}
	return v.follow(ctx, r)
}

// presentable is what a technician holds before a device.
func presentable(r configs.Role) string {
	switch {
	case isPlate(r):
		return "a test plate"
	case r == "document":
		return "a specimen document"
	case r == "keypad":
		return "a key"
	case r == "scan", r == "seal":
		return "a bar code"
	}
	return "a test card"
}

// pick finds the device that is meant.
func pick(all []configs.Device, verb, name string, fits func(configs.Role) bool) (configs.Device, error) {
	var have []string
	var found []configs.Device
	for _, d := range all {
		if !fits(d.Role) {
			continue
		}
		have = append(have, d.Name)
		if name == "" || d.Name == name {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(have) == 0:
		return configs.Device{}, &failure{fmt.Errorf("the configuration has no device for boothctl try %s", verb), "add one [[device]]; boothctl probe PORT says what is on a port", exitFix}
	case name == "":
		return configs.Device{}, &failure{fmt.Errorf("which %s?", verb), "there are " + strings.Join(have, ", "), exitUsage}
	}
	hint := "there are " + strings.Join(have, ", ")
	if i := slices.IndexFunc(all, func(d configs.Device) bool { return d.Name == name }); i >= 0 {
		hint = fmt.Sprintf("it is there, with role %q; for %s %s", all[i].Role, verb, hint)
	}
	return configs.Device{}, &failure{fmt.Errorf("no %s called %q", verb, name), hint, exitUsage}
}

// interruptible is a context that ends with Ctrl-C, and after a time if one is
// given.
func interruptible(span time.Duration) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if span <= 0 {
		return ctx, stop
	}
	ctx, cancel := context.WithTimeout(ctx, span)
	return ctx, func() { cancel(); stop() }
}

// view shows reads as they come. It belongs to one goroutine, that of Reads.
type view struct {
	t     *tool
	all   bool
	most  int // reads after which it ends; 0: no such number
	begun time.Time
	seen  glimpse.Labels
	shown map[string]time.Time // what was shown, and when last
	reads int
	err   error                    // of writing
	also  func(devices.Read) error // gets every read too; may be nil
}

// sameWait is how long the same read is not shown once more: a card in the field
// is read 25 times a second.
const sameWait = time.Second

// shownMost bounds what is remembered of what was shown.
const shownMost = 4096

// follow shows what a device reads until ctx or the line ends, closes it, and
// says how it went.
func (v *view) follow(ctx context.Context, r agent.Reader) error {
	var ended error
	for read, err := range r.Reads(ctx) {
		if err != nil {
			ended = err
			break
		}
		v.reads++
		v.show(read)
		if v.err != nil || v.reads == v.most {
			break
		}
	}
	count := r.Counters()
	closing := r.Close()
	if v.err != nil {
		return v.err
	}
	if err := v.sum(count); err != nil {
		return err
	}
	switch {
	case ctx.Err() == nil && ended != nil:
		return &failure{ended, "look at cable and power; the daemon would open it again by itself", exitFix}
	case v.reads == 0 && count.Bytes > 0 && count.Frames == 0:
		return &failure{errors.New("it sends, and nothing of it can be read"), "another speed or template: boothctl probe PORT says which", exitFix}
	case v.reads == 0:
		return &failure{errors.New("nothing was read"), "the line is in order as far as can be seen: look at antenna, aim and light, and at the device's own settings", exitFix}
	}
	if closing != nil && !errors.Is(closing, os.ErrClosed) {
		return fmt.Errorf("closing the device: %w", closing)
	}
	return nil
}

// show writes a read, unless it is the last one over again.
func (v *view) show(read devices.Read) {
	x := v.seen.Of(read, v.begun)
	if v.also != nil {
		v.err = v.also(read)
	}
	if key := x.What + x.ID + x.Button; !v.all && v.err == nil {
		if last, ok := v.shown[key]; ok && read.At.Sub(last) < sameWait {
			return
		}
		if len(v.shown) < shownMost {
			v.shown[key] = read.At
		}
	}
	if v.err != nil {
		return
	}
	if v.t.json {
		b, err := x.Line()
		if err == nil {
			_, err = v.t.stdout.Write(b)
		}
		v.err = err
		return
	}
	_, v.err = fmt.Fprintf(v.t.stdout, "%8.3f s  %s\n", x.At, x)
}

// fault shows what is wrong with a device that goes on.
func (v *view) fault(err error) {
	if err != nil {
		fmt.Fprintf(v.t.stderr, "boothctl: the device says: %v\n", err)
	}
}

// sum writes the counters.
func (v *view) sum(c devices.Counters) error {
	text := fmt.Sprintf("%d reads; %s", v.reads, counted(c))
	if v.t.json {
		b, err := json.Marshal(struct {
			Reads    int              `json:"reads"`
			Counters devices.Counters `json:"counters"`
		}{v.reads, c})
		if err != nil {
			return fmt.Errorf("writing counters: %w", err)
		}
		text = string(b)
	}
	_, err := fmt.Fprintln(v.t.stdout, text)
	return err
}

// counted is a device's counters in words.
func counted(c devices.Counters) string {
	return fmt.Sprintf("%d bytes, %d frames, %d check errors, %d timeouts, %d resyncs", c.Bytes, c.Frames, c.CheckErrors, c.Timeouts, c.Resyncs)
}
