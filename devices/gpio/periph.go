package gpio

import (
	"context"
	"errors"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

// periph's interfaces, for tools written against them. The lane uses Level,
// Edges and Set, which have errors where periph has none.
var (
	_ gpio.PinIn  = (*In)(nil)
	_ gpio.PinIO  = (*In)(nil)
	_ gpio.PinOut = (*Out)(nil)
	_ gpio.PinIO  = (*Out)(nil)
)

// What periph asks for and a claimed line does not do: the claim settles
// direction and bias for good, since a lamp must not become an input.
var (
	errDirection = errors.New("the line's direction is settled in its claim")
	errPull      = errors.New("the pull resistor is the board's")
	errPWM       = errors.New("no pulse width modulation")
)

// electrical turns a logical level into periph's, and back.
func electrical(active, activeLow bool) gpio.Level { return gpio.Level(active != activeLow) }

// String names the point and its line.
func (i *In) String() string { return i.cfg.Point + "(" + i.cfg.Line + ")" }

// Halt does nothing: the line stays claimed until the chip is closed.
func (i *In) Halt() error { return nil }

// Name is the point's name in the configuration.
func (i *In) Name() string { return i.cfg.Point }

// Number is the line's offset on its chip, not a header's pin number; -1 on a
// simulated chip.
func (i *In) Number() int { return i.wire.number() }

// Function is "In" and the electrical level last known.
func (i *In) Function() string {
	return "In/" + electrical(i.known.Load(), i.cfg.ActiveLow).String()
}

// In chooses the edges that WaitForEdge waits for, electrically.
func (i *In) In(pull gpio.Pull, edge gpio.Edge) error {
	if pull != gpio.PullNoChange {
		return errPull
	}
	i.want.Store(int32(edge))
	return nil
}

// Read gives the electrical level, or the last one known if the line does not
// answer: Level tells the two apart.
func (i *In) Read() gpio.Level {
	active, err := i.Level()
	if err != nil {
		active = i.known.Load()
	}
	return electrical(active, i.cfg.ActiveLow)
}

// WaitForEdge waits for an edge that In chose; a negative timeout is for ever.
// False is a timeout or an error.
func (i *In) WaitForEdge(timeout time.Duration) bool {
	if !i.reading.CompareAndSwap(false, true) {
		return false
	}
	defer i.reading.Store(false)
	until := time.Now().Add(timeout)
	for {
		wait := lookEvery
		if timeout >= 0 {
			wait = max(min(time.Until(until), lookEvery), 0)
		}
		ev, ok, err := i.wire.next(context.Background(), wait)
		if err != nil {
			return false
		}
		if ok {
			i.seq = ev.seq
			i.known.Store(ev.active)
			if i.wants(ev.active) {
				return true
			}
		}
		if timeout >= 0 && time.Until(until) <= 0 {
			return false
		}
	}
}

func (i *In) wants(active bool) bool {
	rising := bool(electrical(active, i.cfg.ActiveLow))
	switch gpio.Edge(i.want.Load()) {
	case gpio.BothEdges:
		return true
	case gpio.RisingEdge:
		return rising
	case gpio.FallingEdge:
		return !rising
	}
	return false
}

// Pull is unknown: it is the board's.
func (i *In) Pull() gpio.Pull { return gpio.PullNoChange }

// DefaultPull is unknown: it is the board's.
func (i *In) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// Out is refused: an input stays one.
func (i *In) Out(gpio.Level) error { return errDirection }

// PWM is refused.
func (i *In) PWM(gpio.Duty, physic.Frequency) error { return errPWM }

// String names the point and its line.
func (o *Out) String() string { return o.cfg.Point + "(" + o.cfg.Line + ")" }

// Halt drives the output safe.
func (o *Out) Halt() error { return o.Set(o.cfg.Safe) }

// Name is the point's name in the configuration.
func (o *Out) Name() string { return o.cfg.Point }

// Number is as In's.
func (o *Out) Number() int { return o.wire.number() }

// Function is "Out" and the electrical level commanded.
func (o *Out) Function() string { return "Out/" + o.Read().String() }

// Out drives the line to an electrical level.
func (o *Out) Out(l gpio.Level) error { return o.Set(bool(l) != o.cfg.ActiveLow) }

// PWM is refused.
func (o *Out) PWM(gpio.Duty, physic.Frequency) error { return errPWM }

// In is refused: a lamp must not become an input.
func (o *Out) In(gpio.Pull, gpio.Edge) error { return errDirection }

// Read gives the electrical level commanded; see Commanded.
func (o *Out) Read() gpio.Level { return electrical(o.Commanded(), o.cfg.ActiveLow) }

// WaitForEdge is false: an output has no edges.
func (o *Out) WaitForEdge(time.Duration) bool { return false }

// Pull is unknown: it is the board's.
func (o *Out) Pull() gpio.Pull { return gpio.PullNoChange }

// DefaultPull is unknown: it is the board's.
func (o *Out) DefaultPull() gpio.Pull { return gpio.PullNoChange }
