package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"boothd/agent/signal"
	"boothd/configs"
	"boothd/devices"
	"boothd/devices/amtech"
	"boothd/devices/barcode"
	"boothd/devices/gpio"
	"boothd/devices/keypad"
	"boothd/devices/llrp"
	"boothd/devices/mercury"
	"boothd/devices/mrz"
	"boothd/devices/osdp"
	"boothd/devices/port"
	"boothd/devices/relay"
	"boothd/devices/uhf18"
)

// What the lane hears of beside the configured devices.
const (
	chipDevice  = "gpio"
	lampsDevice = "lamps"
	roleWiring  = devices.Role("wiring")
)

// countersEvery is how often a device that works tells its counters.
const countersEvery = 2 * time.Second

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

// open opens one device of the booth.
func (b *booth) open(ctx context.Context, d configs.Device, fault func(error)) (Reader, error) {
	if err := b.installs.hold(ctx, d.Name); err != nil {
		return nil, err
	}
	w, seat := b.world, b.seats[d.Name]
	if seat != nil {
		w = seated(w, seat)
	}
	r, err := OpenDevice(ctx, b.frames.world(w, d.Name), d, Place{Seat: seat, Locks: filepath.Dir(string(b.cfg.Socket)), State: string(b.cfg.Store.Dir), Install: b.installs.until(d.Name),
		Chip: b.cfg.GPIO.Chip, Heard: func(bits []byte) { b.frames.note(d.Name, happening{kind: "<", data: bits}) }, Keep: b.posted.keep}, fault)
	if errors.Is(err, osdp.ErrWrongKey) {
		b.installs.refused(d.Name)
	}
	return r, err
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
	if d.Driver == configs.Keypad && strings.HasPrefix(string(d.Path), "/dev/input/") {
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

// device keeps one reader at work until ctx ends.
func (b *booth) device(ctx context.Context, d configs.Device) {
	var total devices.Counters // of the lives before this one
	tell := func(online bool, reason error) {
		b.inbox.tell(ctx, deviceNews{device: d.Name, online: online, reason: reason, counters: total, at: time.Now()})
	}
	supervise(ctx, b.log.With("device", d.Name), func(ctx context.Context, up func()) error {
		var r Reader
		sum := func() devices.Counters { return plus(total, r.Counters()) }
		var wrong atomic.Pointer[error] // told again with the counters
		say := func() {
			b.inbox.tell(ctx, deviceNews{device: d.Name, online: true, reason: *wrong.Load(), counters: sum(), at: time.Now()})
		}
		fault := func(err error) {
			wrong.Store(&err)
			if r != nil { // until it is open it is not there, whatever is wrong with it
				say()
			}
		}
		fault(nil)
		var err error
		if r, err = b.open(ctx, d, fault); err != nil {
			return err
		}
		up()
		if *wrong.Load() != nil {
			say()
		}
		ctx, cancel := context.WithCancel(ctx)
		var count sync.WaitGroup
		count.Go(func() {
			for sleep(ctx, countersEvery) {
				say()
			}
		})
		defer func() {
			cancel()
			count.Wait()
			total = sum()
			total.Reopens++
			_ = r.Close() // the reason it ended for is the one to tell
		}()
		for read, err := range r.Reads(ctx) {
			if err != nil {
				return err
			}
			b.frames.read(d.Name, read)
			b.inbox.read(read)
		}
		return ctx.Err()
	}, tell)
}

func plus(a, b devices.Counters) devices.Counters {
	return devices.Counters{Bytes: a.Bytes + b.Bytes, Frames: a.Frames + b.Frames, CheckErrors: a.CheckErrors + b.CheckErrors,
		Timeouts: a.Timeouts + b.Timeouts, Resyncs: a.Resyncs + b.Resyncs, Reopens: a.Reopens + b.Reopens, Repeats: a.Repeats + b.Repeats}
}

// wire is one output that may not be there: before the chip is open, or after
// it has gone.
type wire struct {
	mu  sync.Mutex // the lamps set, the goroutine of chip or board plugs and unplugs
	out output
}

var errNoChip = errors.New("no GPIO chip or relay board")

// Set drives the output, if there is one.
func (w *wire) Set(on bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out == nil {
		return errNoChip
	}
	return w.out.Set(on)
}

func (w *wire) plug(out output) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = out
}

// wires makes a wire for every lamp of the configuration.
func wires(cfg *configs.Config) map[signal.Lamp]*wire {
	out := make(map[signal.Lamp]*wire)
	for _, lamp := range signal.Lamps {
		if cfg.HasOut(string(lamp)) {
			out[lamp] = &wire{}
		}
	}
	return out
}

// inPoints lists the inputs of chip and boards.
func inPoints(cfg *configs.Config) []string {
	points := slices.Collect(maps.Keys(cfg.GPIO.In))
	for _, c := range cfg.Boards {
		points = slices.AppendSeq(points, maps.Keys(c.In))
	}
	return points
}

// chip keeps the GPIO chip open until ctx ends. Without it the lane sees
// nothing and shows nothing: out of service, and still running.
func (b *booth) chip(ctx context.Context) {
	tell := func(online bool, reason error) {
		b.inbox.tell(ctx, deviceNews{device: chipDevice, online: online, reason: reason, at: time.Now()})
	}
	supervise(ctx, b.log.With("device", chipDevice), func(ctx context.Context, up func()) error {
		c, err := b.world.OpenChip(ctx, b.cfg.GPIO.Chip)
		if err != nil {
			return err
		}
		defer func() {
			for lamp := range b.cfg.GPIO.Out {
				b.wires[signal.Lamp(lamp)].plug(nil)
			}
			b.blind(ctx, maps.Keys(b.cfg.GPIO.In))
			if err := c.Close(); err != nil {
				b.log.Warn("closing GPIO chip", "err", err)
			}
		}()
		ins, err := b.claim(c)
		if err != nil {
			return err
		}
		b.lamps.again()
		up()
		return b.watch(ctx, ins)
	}, tell)
}

// claim takes every wired line. Outputs come first and safe, so that a lamp is
// lit before a vehicle is seen (I9).
func (b *booth) claim(c *gpio.Chip) ([]input, error) {
	outs := make(map[signal.Lamp]*gpio.Out, len(b.wires))
	for _, lamp := range signal.Lamps {
		w, wired := b.cfg.GPIO.Out[string(lamp)]
		if !wired {
			continue
		}
		out, err := c.Out(gpio.OutConfig{Point: string(lamp), Line: w.Line, ActiveLow: w.ActiveLow, Safe: signal.Safe(lamp)})
		if err != nil {
			return nil, err
		}
		outs[lamp] = out
	}
	var ins []input
	for point, w := range b.cfg.GPIO.In {
		in, err := c.In(gpio.InConfig{Point: point, Line: w.Line, ActiveLow: w.ActiveLow, Debounce: w.Debounce.Duration})
		if err != nil {
			return nil, err
		}
		ins = append(ins, input{point, in})
	}
	for lamp, out := range outs {
		b.wires[lamp].plug(out)
	}
	return ins, nil
}

// relays keeps one board of relays and inputs at work until ctx ends. While it
// is away what hangs on it is dark and unseen, as the wiring has it.
func (b *booth) relays(ctx context.Context, c configs.Board) {
	tell := func(online bool, reason error) {
		b.inbox.tell(ctx, deviceNews{device: c.Name, online: online, reason: reason, at: time.Now()})
	}
	supervise(ctx, b.log.With("device", c.Name), func(ctx context.Context, up func()) error {
		p, err := b.frames.world(b.world, c.Name).OpenPort(ctx, port.Spec{Path: string(c.Path), Baud: c.Baud, LockDir: filepath.Dir(string(b.cfg.Socket))})
		if err != nil {
			return err
		}
		r, err := relay.Open(ctx, p, BoardConfig(c, func(err error) {
			b.log.Warn("relay board was started anew; it is driven again", "device", c.Name, "err", err)
		}))
		if err != nil {
			return err
		}
		defer func() {
			for lamp := range c.Out {
				b.wires[signal.Lamp(lamp)].plug(nil)
			}
			b.blind(ctx, maps.Keys(c.In))
			_ = r.Close() // the reason it ended for is the one to tell
		}()
		var ins []input
		for point := range c.In {
			in, err := r.In(point)
			if err != nil {
				return err
			}
			ins = append(ins, input{point, in})
		}
		for point := range c.Out {
			out, err := r.Out(point)
			if err != nil {
				return err
			}
			b.wires[signal.Lamp(point)].plug(out)
		}
		b.lamps.again()
		up()
		life, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		var over sync.WaitGroup
		over.Go(func() { cancel(r.Wait(life)) })
		err = b.watch(life, ins)
		cancel(err)
		over.Wait()
		return context.Cause(life)
	}, tell)
}

// BoardConfig hands a board's wiring to its driver, for the daemon and for the
// technician's tools. A board that was driven anew is told to restarted.
func BoardConfig(c configs.Board, restarted func(error)) relay.Config {
	out := relay.Config{Name: c.Name, Protocol: relay.Protocol(c.Protocol), Address: c.Address, Baud: c.Baud, Lapse: c.Lapse.Duration, Health: restarted}
	for point, w := range c.Out {
		out.Out = append(out.Out, relay.OutConfig{Point: point, Channel: w.Channel, ActiveLow: w.ActiveLow, Safe: signal.Safe(signal.Lamp(point)),
			Lapses: c.Lapse.Duration > 0 && slices.Contains(configs.Lapsing(), point)})
	}
	for point, w := range c.In {
		out.In = append(out.In, relay.InConfig{Point: point, Channel: w.Channel, ActiveLow: w.ActiveLow, Debounce: w.Debounce.Duration})
	}
	return out
}
