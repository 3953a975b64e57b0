package agent

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"boothd/configs"
	"boothd/devices"
	"boothd/devices/osdp"
	"boothd/devices/printer"
)

// What the lane hears of beside the configured devices.
const (
	chipDevice  = "gpio"
	lampsDevice = "lamps"
	roleWiring  = devices.Role("wiring")
)

// countersEvery is how often a device that works tells its counters.
const countersEvery = 2 * time.Second

// attend runs a device by what it is: readers report, printers print.
func (b *booth) attend(ctx context.Context, d configs.Device) {
	if own, ok := d.Own.(*printer.Settings); ok {
		b.printer(ctx, d, own)
		return
	}
	b.device(ctx, d)
}

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
