// Package relay drives lamps and gates and reads loops and buttons through
// relay boards on a serial line: Modbus-RTU, LCUS and Numato.
//
// Levels are logical (active or not) and outputs and inputs have the methods of
// devices/gpio's. Channels count from 1. A board is set to its safe levels when
// it is opened and when it is closed. While it is open it is asked for its
// state all the time: one that rebooted is driven anew within a second, one
// that is silent or gone is over within a second, and then every Set, Level and
// Edges gives an error at once and the caller opens again. An error means that
// the level is unknown: it is never "no vehicle" and never "off".
//
// What the relays do when board or box lose power is the wiring's business. They
// stay as they are when this process dies, but for those that lapse: the board
// itself releases them. An
// LCUS board without answers is only believed, and told again twice a second.
//
// Source: GPIO and relays: LCUS, Numato, Modbus-RTU, inputs, outputs; timings
// from there where it gives them.
package relay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Limits of a board's driver.
const (
	setWait  = time.Second // a Set in a lane's way; a silent board is over before
	openWait = 5 * time.Second
	// refusalsMost is how often in a row a board may refuse to be looked at, or
	// be found in another state than it was told; ours.
	refusalsMost = 3
)

// The ways a board fails, beside ErrSilent, ErrDisobeys and the port's. A
// board after Close gives os.ErrClosed.
var (
	// ErrSlow is a command that took longer than a second. Whether it was done is
	// unknown, and the board is over: it is to be opened again.
	ErrSlow = errors.New("board takes too long")
	// ErrReboot is told to Health when the relays were found in another state
	// than they were told, and were driven anew.
	ErrReboot = errors.New("board lost its state")

	errNoPoint = errors.New("no such point")
)

// Board is an open board. Its methods may be called from any goroutine.
type Board struct {
	cfg     Config
	link    *link
	speak   speaker
	outs    map[string]*Out
	ins     map[string]*In
	outMask levels
	inMask  levels

	// These belong to run.
	told    levels    // the relays as last told
	lapsing levels    // those that the board releases by itself
	renewed time.Time // when they were told again
	strikes int       // looks in a row that went wrong

	orders  chan *order
	quit    chan struct{}
	closing sync.Once // Close may be called twice
	over    chan struct{}
	err     error         // why the board is over; read after over
	ended   chan struct{} // after over: the port is given up
	closed  error         // what failed in making it safe at Close; read after ended
	redrove atomic.Uint64
}

// order is one Set on its way.
type order struct {
	out     *Out
	on      bool
	done    chan error // holds one
	dropped atomic.Bool
}

// Open takes over a port whose Read gives 0, nil on silence, sets every output
// to its safe level and looks at the board, in 5 s at most. The port is closed
// on an error.
func Open(ctx context.Context, p wire, cfg Config) (*Board, error) {
	full, err := cfg.complete()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("relay board %s: %w", cfg.Name, err), p.Close())
	}
	b := &Board{cfg: full, link: newLink(p, full.Baud), outs: map[string]*Out{}, ins: map[string]*In{},
		orders: make(chan *order), quit: make(chan struct{}), over: make(chan struct{}), ended: make(chan struct{})}
	b.speak = full.speaker(b.link)
	b.wire()
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = p.Close() }) // ends what waits for an answer
	err = b.begin()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		_ = b.link.close() // it may be closed already, and err says why
		return nil, fmt.Errorf("relay board %s: %w", full.Name, err)
	}
	go b.run()
	return b, nil
}

// wire makes the points of the configuration.
func (b *Board) wire() {
	for _, c := range b.cfg.Out {
		b.outs[c.Point] = &Out{cfg: c, board: b}
		b.outs[c.Point].commanded.Store(c.Safe)
		b.outMask = b.outMask.with(c.Channel, true)
		b.lapsing = b.lapsing.with(c.Channel, c.Lapses)
	}
	for _, c := range b.cfg.In {
		b.ins[c.Point] = newIn(c, b)
		b.inMask = b.inMask.with(c.Channel, true)
	}
}

// begin makes the board safe, and proves that it is there and can do all that
// it will be asked for.
func (b *Board) begin() error {
	if err := b.speak.hello(); err != nil {
		return err
	}
	if err := b.safe(b.speak.drive); err != nil {
		return fmt.Errorf("making it safe: %w", err)
	}
	return b.lookIn()
}

// safe brings every relay to its safe level.
func (b *Board) safe(drive func(mask, to levels) error) error {
	if b.outMask == 0 {
		return nil
	}
	var to levels
	for _, c := range b.cfg.Out {
		to = to.with(c.Channel, c.Safe != c.ActiveLow)
	}
	if err := drive(b.outMask, to); err != nil {
		return err
	}
	b.told = to
	return nil
}

// Out gives an output of the configuration, by its point.
func (b *Board) Out(point string) (*Out, error) {
	if o := b.outs[point]; o != nil {
		return o, nil
	}
	return nil, fmt.Errorf("relay board %s: output %s: %w", b.cfg.Name, point, errNoPoint)
}

// In gives an input of the configuration, by its point.
func (b *Board) In(point string) (*In, error) {
	if i := b.ins[point]; i != nil {
		return i, nil
	}
	return nil, fmt.Errorf("relay board %s: input %s: %w", b.cfg.Name, point, errNoPoint)
}

// Counters tells what was counted of the line.
func (b *Board) Counters() devices.Counters {
	if c := b.link.count.Load(); c != nil {
		return *c
	}
	return devices.Counters{}
}

// Redriven tells how often the relays were found in another state than they
// were told, and were driven anew.
func (b *Board) Redriven() uint64 { return b.redrove.Load() }

// Wait waits until the board is over, and tells why, or until ctx ends.
func (b *Board) Wait(ctx context.Context) error {
	select {
	case <-b.over:
		return b.lost()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lost is why the board is over.
func (b *Board) lost() error { return fmt.Errorf("relay board %s: %w", b.cfg.Name, b.err) }

// Close sets every output to its safe level and gives up the port. It tells
// what of that failed, on a board that was not over before; it takes three
// seconds at most.
func (b *Board) Close() error {
	b.closing.Do(func() { close(b.quit) })
	<-b.ended
	if b.closed != nil {
		return fmt.Errorf("closing relay board %s: %w", b.cfg.Name, b.closed)
	}
	return nil
}

// run owns the board until its port is given up.
func (b *Board) run() {
	defer close(b.ended)
	b.err = b.follow()
	close(b.over)
	told := errors.Is(b.err, os.ErrClosed)
	var err error
	if told {
		err = b.safe(b.speak.drive)
	}
	if !told || err != nil {
		// It may hear us all the same: a broken answer line must not leave a lamp
		// lit. An error adds nothing to the one that is told.
		_ = b.safe(b.speak.shout)
	}
	if err = errors.Join(err, b.link.close()); told {
		b.closed = err
	}
}

// follow does what is ordered and looks at the board in between, until Close,
// or until the board is lost.
func (b *Board) follow() error {
	look := time.NewTimer(b.speak.pace())
	defer look.Stop()
	for {
		var err error
		select {
		case <-b.quit:
			return os.ErrClosed
		case o := <-b.orders:
			err = b.obey(o)
		case <-look.C:
			look.Reset(b.speak.pace())
			err = b.look()
		case heard, ok := <-b.link.heard:
			err = b.link.idle(heard, ok)
		}
		if err != nil {
			return err
		}
	}
}

// obey does one order. It returns an error only if the board is over with it.
func (b *Board) obey(o *order) error {
	if o.dropped.Load() {
		return nil // nobody waits for it, and nothing was done
	}
	level := o.on != o.out.cfg.ActiveLow
	channel := o.out.cfg.Channel
	var mask, to levels
	mask = mask.with(channel, true)
	to = to.with(channel, level)
	err := b.speak.drive(mask, to)
	if err == nil {
		b.told = b.told.with(channel, level)
		o.out.commanded.Store(o.on)
	}
	o.done <- err
	if err == nil && o.dropped.Load() {
		return ErrSlow // who ordered it believes that it was not done
	}
	if lives(err) {
		return nil
	}
	return err
}

// lives tells whether a board that gave err still answers.
func lives(err error) bool {
	var refused Exception
	return err == nil || errors.As(err, &refused) || errors.Is(err, ErrDisobeys)
}

// renew tells the relays that lapse again while they are to be on, three times
// within their lapse. If nobody does, the board puts them out.
func (b *Board) renew() error {
	lit := b.told & b.lapsing
	if lit == 0 || time.Since(b.renewed) < b.cfg.Lapse/3 {
		return nil
	}
	b.renewed = time.Now()
	return b.speak.drive(lit, lit)
}

// look compares the board with what it was told, and reads its inputs.
func (b *Board) look() error {
	err := b.lookOut() // first: what has lapsed is found, and told
	if err == nil {
		err = b.renew()
	}
	if err == nil {
		err = b.lookIn()
	}
	if err == nil {
		b.strikes = 0
		return nil
	}
	if b.strikes++; !lives(err) && !errors.Is(err, ErrReboot) || b.strikes > refusalsMost {
		return err
	}
	return nil
}

// lookOut drives the relays anew if they are not as they were told.
func (b *Board) lookOut() error {
	if b.outMask == 0 {
		return nil
	}
	got, err := b.speak.outputs(b.outMask)
	if err != nil || (got^b.told)&b.outMask == 0 {
		return err
	}
	if err := b.speak.drive(b.outMask, b.told); err != nil {
		return err
	}
	b.redrove.Add(1)
	b.health(ErrReboot)
	return ErrReboot
}

// lookIn reads the inputs.
func (b *Board) lookIn() error {
	if b.inMask == 0 {
		return nil
	}
	got, err := b.speak.inputs(b.inMask)
	if err != nil {
		return err
	}
	for _, in := range b.ins {
		in.see(got.on(in.cfg.Channel) != in.cfg.ActiveLow, b.link.at)
	}
	return nil
}

func (b *Board) health(err error) {
	if b.cfg.Health != nil {
		b.cfg.Health(err)
	}
}
