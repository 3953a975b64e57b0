package relay

import (
	"errors"
	"fmt"
	"time"

	"boothd/devices/gpio"
)

// Protocol is how a board is spoken to.
type Protocol string

// The protocols.
const (
	// Modbus is a board of coils and discrete inputs; channel n is address n-1.
	Modbus Protocol = "modbus"
	// ModbusRegisters is a board whose relays are holding registers and whose
	// inputs are input registers; channel n is address n-1.
	ModbusRegisters Protocol = "modbus-registers"
	// LCUS is a board of up to 8 relays without answers.
	LCUS Protocol = "lcus"
	// LCUSAnswer is one that answers operations 02, 03 and 05.
	LCUSAnswer Protocol = "lcus-answer"
	// LCUSText is one that does not answer when it is told, but says in words how
	// its relays stand when it is asked.
	LCUSText Protocol = "lcus-text"
	// Numato is a board that is spoken to in words; channel n is its relay or
	// GPIO n-1, printed 0..9, A..V on the board.
	Numato Protocol = "numato"
)

// Config says which board and what hangs on it.
type Config struct {
	Name     string
	Protocol Protocol
	Address  int // Modbus unit, 1 to 247
	Baud     int // of the port, for the silence between frames; 9600 if not given
	Out      []OutConfig
	In       []InConfig
	// Lapse is how long a relay of an output that Lapses stays on after it was last
	// told to: the board's own timer, on Modbus boards of coils that have the flash
	// command. 0: until it is told otherwise. 1 to 10 s.
	Lapse time.Duration
	// Health is told ErrReboot, from the board's own goroutine: it must not block
	// and must not call the board. May be nil.
	Health func(error)
}

// OutConfig is one output.
type OutConfig struct {
	Point     string // name in the configuration
	Channel   int    // from 1
	ActiveLow bool   // active while the relay is released
	Safe      bool   // logical level from Open on, and again at Close
	// Lapses says that the board is to put it out by itself when it is not told
	// again, because this process or the line is gone.
	Lapses bool
}

// InConfig is one input.
type InConfig struct {
	Point     string // name in the configuration
	Channel   int    // from 1
	ActiveLow bool
	Debounce  time.Duration // the level must hold this long; 0: not debounced
}

// Edge is a change of one input, or its level at start; At is the arrival of
// the answer in which it was first seen.
type Edge = gpio.Edge

// How short and long a lapse may be; ours. A relay is told again three times
// within it, and a board that answers late takes 0.9 s at most.
const (
	lapseLeast = time.Second
	lapseMost  = 10 * time.Second
)

// debounceMost is the longest debounce that makes sense; ours.
const debounceMost = 10 * time.Second

var errNoInputs = errors.New("board has no inputs")

// complete checks a configuration and fills in what may be left out.
func (c Config) complete() (Config, error) {
	if c.Baud == 0 {
		c.Baud = 9600
	}
	most, inputs := channelMost, true
	switch c.Protocol {
	case Modbus, ModbusRegisters:
		if c.Address < 1 || c.Address > 247 {
			return c, fmt.Errorf("unit %d, not 1 to 247", c.Address)
		}
	case LCUS, LCUSAnswer, LCUSText:
		most, inputs = lcusChannels, false
	case Numato:
		most = numatoChannels
	default:
		return c, fmt.Errorf("unknown protocol %q (have %s, %s, %s, %s, %s, %s)", c.Protocol, Modbus, ModbusRegisters, LCUS, LCUSAnswer, LCUSText, Numato)
	}
	switch {
	case c.Baud < 300 || c.Baud > 921_600:
		return c, fmt.Errorf("%d baud, not 300 to 921600", c.Baud)
	case len(c.Out)+len(c.In) == 0:
		return c, errors.New("nothing hangs on the board")
	case len(c.In) > 0 && !inputs:
		return c, fmt.Errorf("input %s: protocol %s: %w", c.In[0].Point, c.Protocol, errNoInputs)
	}
	if err := c.lapses(); err != nil {
		return c, err
	}
	return c, c.points(most)
}

// lapses checks what the board is to put out by itself.
func (c Config) lapses() error {
	some := false
	for _, o := range c.Out {
		if o.Lapses && (o.Safe || o.ActiveLow) {
			return fmt.Errorf("output %s: a relay that lapses is released, and the output must be safe so", o.Point)
		}
		some = some || o.Lapses
	}
	switch {
	case c.Lapse == 0 && !some:
		return nil
	case c.Lapse == 0 || !some:
		return errors.New("a lapse and the outputs that lapse go together")
	case c.Protocol != Modbus:
		return fmt.Errorf("protocol %s has no command that lapses", c.Protocol)
	case c.Lapse < lapseLeast || c.Lapse > lapseMost || c.Lapse%flashUnit != 0:
		return fmt.Errorf("lapse of %v, not %v to %v in steps of %v", c.Lapse, lapseLeast, lapseMost, flashUnit)
	}
	return nil
}

// points checks that every point has a name and a channel of its own.
func (c Config) points(most int) error {
	names := map[string]bool{}
	point := func(what, name string, channel int, taken map[int]bool) error {
		switch {
		case name == "" || names[name]:
			return fmt.Errorf("%s %q on channel %d: no name, or one that is taken", what, name, channel)
		case channel < 1 || channel > most:
			return fmt.Errorf("%s %s: channel %d, not 1 to %d", what, name, channel, most)
		case taken[channel]:
			return fmt.Errorf("%s %s: channel %d is taken", what, name, channel)
		}
		names[name], taken[channel] = true, true
		return nil
	}
	outs, ins := map[int]bool{}, map[int]bool{}
	for _, o := range c.Out {
		if err := point("output", o.Point, o.Channel, outs); err != nil {
			return err
		}
	}
	for _, i := range c.In {
		if err := point("input", i.Point, i.Channel, ins); err != nil {
			return err
		}
		if i.Debounce < 0 || i.Debounce > debounceMost {
			return fmt.Errorf("input %s: debounce of %v, not 0 to %v", i.Point, i.Debounce, debounceMost)
		}
	}
	return nil
}

// speaker gives the protocol of a complete configuration.
func (c Config) speaker(l *link) speaker {
	switch c.Protocol {
	case Modbus, ModbusRegisters:
		m := &modbus{link: l, unit: byte(c.Address), registers: c.Protocol == ModbusRegisters, flash: uint16(c.Lapse / flashUnit)}
		for _, o := range c.Out {
			m.lapsing = m.lapsing.with(o.Channel, o.Lapses)
		}
		return m
	case Numato:
		return &numato{l}
	case LCUSText:
		return &lcusText{l}
	}
	return &lcus{link: l, answers: c.Protocol == LCUSAnswer}
}
