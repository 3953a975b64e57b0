package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"boothd/agent/signal"
	"boothd/configs"
	"boothd/devices"
	"boothd/devices/amtech"
	"boothd/devices/barcode"
	"boothd/devices/gpio"
	"boothd/devices/keypad"
	"boothd/devices/line"
	"boothd/devices/llrp"
	"boothd/devices/mercury"
	"boothd/devices/mrz"
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
	return OpenDevice(ctx, b.world, d, Place{Locks: filepath.Dir(string(b.cfg.Socket)), State: string(b.cfg.Store.Dir), Install: b.installs.until(d.Name)}, fault)
}

// Place is what opening a device needs to know of the booth.
type Place struct {
	Locks string // folder of the ports' lock files; empty: none
	State string // folder that keeps which readers have been secure; empty: none is kept
	// Install ends the window in which an OSDP reader fresh from the factory is
	// given its own key. Zero: no window.
	Install time.Time
}

// OpenDevice opens one device by its driver's name: it is the one place that
// knows them all, for the daemon and for the technician's tools. Of the world
// it uses OpenPort, OpenKeys and Secret. What is wrong with a device that goes on working is told to fault, and
// nil when it is over; it is called from Reads and may be called from here.
func OpenDevice(ctx context.Context, w World, d configs.Device, at Place, fault func(error)) (Reader, error) {
	keys := keypad.Config{Name: d.Name, Role: devices.Role(d.Role)}
	if d.Driver == configs.Keypad && strings.HasPrefix(string(d.Path), "/dev/input/") {
		return w.OpenKeys(ctx, string(d.Path), keys)
	}
	p, err := w.OpenPort(ctx, port.Spec{Path: string(d.Path), Baud: d.Baud, LockDir: at.Locks})
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
		return llrp.Open(ctx, p, llrp.Config{Name: d.Name, Role: devices.Role(d.Role), Antennas: d.Antennas, Power: int(d.Power*100 + 0.5), ReadTID: d.ReadTID, Health: fault})
	case configs.UHF18:
		return uhf18.Open(ctx, p, uhf18.Config{Name: d.Name, Role: devices.Role(d.Role), Baud: d.Baud, Address: byte(d.Address), Power: int(d.Power)})
	case configs.Amtech:
		return amtech.Open(ctx, p, amtechConfig(d, fault))
	case configs.OSDP:
		return openOSDP(ctx, w, p, d, at, fault)
	case configs.Line:
		return line.Open(ctx, p, lineConfig(d))
	case configs.Barcode:
		return barcode.Open(ctx, p, barcode.Config{Name: d.Name, Role: devices.Role(d.Role), Suffix: suffixes[d.Suffix]})
	case configs.Keypad:
		return keypad.Open(ctx, p, keys)
	case configs.MRZ:
		return mrz.Open(ctx, p, mrz.Config{Name: d.Name, Role: devices.Role(d.Role), XOR: d.XOR})
	}
	return nil, errors.Join(fmt.Errorf("no driver %q", d.Driver), p.Close())
}

// lineConfig hands a camera's template and what overrides it to the driver.
func lineConfig(d configs.Device) line.Config {
	c := line.Config{Name: d.Name, Role: devices.Role(d.Role), Template: string(d.Template), Start: d.Start, End: d.End,
		Silence: d.Silence.Duration, Separator: d.Separator, NoRead: d.NoRead, ConfidenceScale: d.ConfidenceScale,
		Checksum: string(d.Checksum), Heartbeat: d.Heartbeat, Charset: string(d.Charset), Zone: d.Zone, MaxLength: d.MaxLength, Window: d.Window.Duration}
	for _, f := range d.Fields {
		c.Fields = append(c.Fields, string(f))
	}
	return c
}

// device keeps one reader at work until ctx ends.
func (b *booth) device(ctx context.Context, d configs.Device) {
	var total devices.Counters // of the lives before this one
	tell := func(online bool, reason error) {
		b.inbox.tell(ctx, deviceNews{device: d.Name, online: online, reason: reason, counters: total, at: time.Now()})
	}
	supervise(ctx, b.log.With("device", d.Name), func(ctx context.Context, up func()) error {
		var r Reader
		sum := func() devices.Counters {
			if r == nil { // it is told of something while it opens
				return total
			}
			return plus(total, r.Counters())
		}
		say := func(reason error) {
			b.inbox.tell(ctx, deviceNews{device: d.Name, online: true, reason: reason, counters: sum(), at: time.Now()})
		}
		var err error
		if r, err = b.open(ctx, d, say); err != nil {
			return err
		}
		up()
		ctx, cancel := context.WithCancel(ctx)
		var count sync.WaitGroup
		count.Go(func() {
			for sleep(ctx, countersEvery) {
				say(nil)
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
			b.inbox.read(read)
		}
		return ctx.Err()
	}, tell)
}

func plus(a, b devices.Counters) devices.Counters {
	return devices.Counters{Bytes: a.Bytes + b.Bytes, Frames: a.Frames + b.Frames, CheckErrors: a.CheckErrors + b.CheckErrors,
		Timeouts: a.Timeouts + b.Timeouts, Resyncs: a.Resyncs + b.Resyncs, Reopens: a.Reopens + b.Reopens}
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
		ins = append(ins, in)
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
		p, err := b.world.OpenPort(ctx, port.Spec{Path: string(c.Path), Baud: c.Baud, LockDir: filepath.Dir(string(b.cfg.Socket))})
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
			_ = r.Close() // the reason it ended for is the one to tell
		}()
		var ins []input
		for point := range c.In {
			in, err := r.In(point)
			if err != nil {
				return err
			}
			ins = append(ins, in)
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
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		var over sync.WaitGroup
		over.Go(func() { cancel(r.Wait(ctx)) })
		err = b.watch(ctx, ins)
		cancel(err)
		over.Wait()
		return context.Cause(ctx)
	}, tell)
}

// BoardConfig hands a board's wiring to its driver, for the daemon and for the
// technician's tools. A board that was driven anew is told to restarted.
func BoardConfig(c configs.Board, restarted func(error)) relay.Config {
	out := relay.Config{Name: c.Name, Protocol: relay.Protocol(c.Protocol), Address: c.Address, Baud: c.Baud, Health: restarted}
	for point, w := range c.Out {
		out.Out = append(out.Out, relay.OutConfig{Point: point, Channel: w.Channel, ActiveLow: w.ActiveLow, Safe: signal.Safe(signal.Lamp(point))})
	}
	for point, w := range c.In {
		out.In = append(out.In, relay.InConfig{Point: point, Channel: w.Channel, ActiveLow: w.ActiveLow, Debounce: w.Debounce.Duration})
	}
	return out
}

// input is one wired input, of the chip or of a board.
type input interface {
	Edges(ctx context.Context) iter.Seq2[gpio.Edge, error]
}

// edge is a change of one input, as its goroutine saw it.
type edge struct {
	gpio.Edge
	first bool
}

// watch hands every edge to the lane, in the order in which they happened,
// until one input ends, or ctx.
func (b *booth) watch(ctx context.Context, ins []input) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	seen := make(chan edge, 4*len(ins))
	var all sync.WaitGroup
	for _, in := range ins {
		all.Go(func() { cancel(edges(ctx, in, seen)) })
	}
	cancel(b.merge(ctx, seen))
	all.Wait()
	return context.Cause(ctx)
}

// edges follows one input.
func edges(ctx context.Context, in input, seen chan<- edge) error {
	first := true
	for e, err := range in.Edges(ctx) {
		if err != nil {
			return err
		}
		select {
		case seen <- edge{e, first}:
		case <-ctx.Done():
			return ctx.Err()
		}
		first = false
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.New("input ended without a reason")
}

// merge brings edges of different inputs that arrive at once, because this
// process was held up, into the order of the kernel's stamps: a vehicle that
// seems to reach the booth before it leaves the approach would be two (213).
func (b *booth) merge(ctx context.Context, seen <-chan edge) error {
	var batch []edge
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-seen:
			batch = append(batch[:0], e)
		}
		for range 4 { // whoever else is ready to say something does so now
			runtime.Gosched()
			for more := true; more; {
				select {
				case e := <-seen:
					batch = append(batch, e)
				default:
					more = false
				}
			}
		}
		slices.SortStableFunc(batch, func(x, y edge) int { return x.At.Compare(y.At) })
		for _, e := range batch {
			if err := b.inbox.press(ctx, press{point: e.Point, active: e.Active, at: e.At, first: e.first, lost: e.Lost}); err != nil {
				return err
			}
			if e.Point == "exit_loop" {
				b.lamps.obstacle(e.Active) // the barrier's area
			}
		}
	}
}
