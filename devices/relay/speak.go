package relay

import (
	"errors"
	"fmt"
	"time"
)

// How often a board is looked at.
const (
	// pollEvery brings inputs in well within their debounce (loop 50 ms) and,
	// with three requests of 300 ms, finds a silent board in under a second.
	pollEvery = 40 * time.Millisecond
	// refreshEvery is how often a board that cannot be asked is told again, so
	// that one which rebooted is right within a second; ours.
	refreshEvery = 500 * time.Millisecond
)

// ErrDisobeys is a board that takes commands and does not follow them.
var ErrDisobeys = errors.New("board does not do what it is told")

// speaker is a board's protocol. levels are those of the relays themselves,
// before polarity.
type speaker interface {
	// hello makes sure that a board of this protocol is there.
	hello() error
	// drive brings the relays in mask to their levels in to. It believes what
	// the board says afterwards, if the board can say.
	drive(mask, to levels) error
	// outputs tells the relays in mask; a board that cannot say is told again.
	outputs(mask levels) (levels, error)
	// inputs tells the inputs in mask.
	inputs(mask levels) (levels, error)
	// shout is drive without an answer, for a board that cannot be heard.
	shout(mask, to levels) error
	// pace is the time between two looks at the board.
	pace() time.Duration
}

// confirm drives with write until the board says that the relays stand as told.
func confirm(s speaker, mask, to levels, write func() error) error {
	var got levels
	for range tries {
		err := write()
		if err != nil {
			return err
		}
		if got, err = s.outputs(mask); err != nil {
			return err
		}
		if (got^to)&mask == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: told %#x of %#x, shows %#x", ErrDisobeys, to&mask, mask, got&mask)
}

// oneByOne drives each relay in mask by itself, off first: two lamps that
// exclude each other are never lit together.
func oneByOne(mask, to levels, one func(channel int, on bool) error) error {
	for channel := range (mask &^ to).each {
		if err := one(channel, false); err != nil {
			return err
		}
	}
	for channel := range (mask & to).each {
		if err := one(channel, true); err != nil {
			return err
		}
	}
	return nil
}

// modbus is a board of coils and inputs, or of registers.
type modbus struct {
	*link
	unit      byte
	registers bool   // relays are holding registers, inputs are input registers
	single    bool   // the board knows no write of several coils
	lapsing   levels // relays that are told to be on for a while
	flash     uint16 // how long, in flashUnits
}

// ask exchanges one request; take gets the data of a read.
func (m *modbus) ask(request []byte, take func(data []byte)) error {
	return m.exchange(request, func(b []byte) (int, error) {
		data, used, err := modbusAnswer(request, b)
		if used > 0 && err == nil && take != nil {
			take(data)
		}
		return used, err
	})
}

func (m *modbus) hello() error { return nil } // the first write is answered or not

func (m *modbus) drive(mask, to levels) error {
	return confirm(m, mask, to, func() error {
		// Several at once are on until they are told otherwise.
		if mask.contiguous() && mask.lowest() != mask.highest() && !m.registers && !m.single && mask&to&m.lapsing == 0 {
			err := m.ask(m.several(mask, to), nil)
			var refused Exception
			if !errors.As(err, &refused) || refused.Code != 1 {
				return err
			}
			m.single = true
		}
		return oneByOne(mask, to, func(channel int, on bool) error { return m.ask(m.one(channel, on), nil) })
	})
}

func (m *modbus) several(mask, to levels) []byte {
	from := mask.lowest()
	return appendWriteCoils(nil, m.unit, uint16(from-1), mask.highest()-from+1, to>>(from-1))
}

func (m *modbus) one(channel int, on bool) []byte {
	if on && m.lapsing.on(channel) {
		return appendRequest(nil, m.unit, fnWriteCoil, uint16(flashBase+channel-1), m.flash)
	}
	if !m.registers {
		return appendRequest(nil, m.unit, fnWriteCoil, uint16(channel-1), coilWord(on))
	}
	word := uint16(0)
	if on {
		word = 1
	}
	return appendRequest(nil, m.unit, fnWriteRegister, uint16(channel-1), word)
}

func (m *modbus) outputs(mask levels) (levels, error) {
	return m.read(mask, fnReadCoils, fnReadHolding)
}

func (m *modbus) inputs(mask levels) (levels, error) {
	return m.read(mask, fnReadInputs, fnReadRegisters)
}

// read reads no further than the mask reaches: a board refuses addresses that
// it does not have.
func (m *modbus) read(mask levels, bit, word byte) (got levels, err error) {
	from := mask.lowest()
	count := mask.highest() - from + 1
	if m.registers {
		err = m.ask(appendRequest(nil, m.unit, word, uint16(from-1), uint16(count)), func(data []byte) { got = registerLevels(data) })
	} else {
		err = m.ask(appendRequest(nil, m.unit, bit, uint16(from-1), uint16(count)), func(data []byte) { got = coilLevels(data, count) })
	}
	return got << (from - 1) & mask, err
}

func (m *modbus) shout(mask, to levels) error {
	return oneByOne(mask, to, func(channel int, on bool) error { return m.send(m.one(channel, on)) })
}

func (m *modbus) pace() time.Duration { return pollEvery }

// lcus is a board of relays that answers only if it is one of those that do.
type lcus struct {
	*link
	answers bool
	told    levels // last, since the basic board cannot be asked
}

func (l *lcus) hello() error { return nil } // as modbus; the basic board is only believed

func (l *lcus) drive(mask, to levels) error {
	write := func() error {
		return oneByOne(mask, to, func(channel int, on bool) error {
			if !l.answers {
				return l.send(appendLCUS(nil, channel, lcusOp(on, false)))
			}
			_, err := l.ask(channel, lcusOp(on, true))
			return err
		})
	}
	if l.answers {
		return confirm(l, mask, to, write)
	}
	if err := write(); err != nil {
		return err
	}
	l.told = l.told&^mask | to&mask
	return nil
}

func (l *lcus) ask(channel int, op byte) (on bool, err error) {
	err = l.exchange(appendLCUS(nil, channel, op), func(b []byte) (used int, err error) {
		on, used, err = lcusAnswer(channel, b)
		return used, err
	})
	return on, err
}

func (l *lcus) outputs(mask levels) (got levels, err error) {
	if !l.answers {
		return l.told & mask, l.shout(mask, l.told)
	}
	for channel := range mask.each {
		on, err := l.ask(channel, lcusQuery)
		if err != nil {
			return 0, err
		}
		got = got.with(channel, on)
	}
	return got, nil
}

func (l *lcus) inputs(levels) (levels, error) { return 0, errNoInputs }

func (l *lcus) shout(mask, to levels) error {
	return oneByOne(mask, to, func(channel int, on bool) error { return l.send(appendLCUS(nil, channel, lcusOp(on, false))) })
}

func (l *lcus) pace() time.Duration {
	if l.answers {
		return pollEvery
	}
	return refreshEvery
}

// lcusText is a board of relays that is told without an answer and asked for all
// of them at once. One that is gone is missed as any other that answers.
type lcusText struct{ *link }

func (l *lcusText) hello() error { return nil } // the first write is looked for

func (l *lcusText) drive(mask, to levels) error {
	return confirm(l, mask, to, func() error { return l.shout(mask, to) })
}

func (l *lcusText) outputs(mask levels) (got levels, err error) {
	err = l.exchange([]byte{lcusQueryAll}, func(b []byte) (used int, err error) {
		got, used, err = lcusLines(mask.highest(), b)
		return used, err
	})
	return got & mask, err
}

func (l *lcusText) inputs(levels) (levels, error) { return 0, errNoInputs }

func (l *lcusText) shout(mask, to levels) error {
	return oneByOne(mask, to, func(channel int, on bool) error { return l.send(appendLCUS(nil, channel, lcusOp(on, false))) })
}

func (l *lcusText) pace() time.Duration { return pollEvery }

// numato is a board that is spoken to in words.
type numato struct{ *link }

// say exchanges one command. An answer that read does not understand is none.
func (n *numato) say(read func(text []byte) bool, words ...string) error {
	command := appendNumato(nil, words...)
	return n.exchange(command, func(b []byte) (int, error) {
		text, used, err := numatoAnswer(command, b)
		if used > 0 && err == nil && !read(text) {
			err = errStray
		}
		return used, err
	})
}

func (n *numato) hello() error {
	// What a former owner left half typed is not to be the beginning of ours.
	return n.say(func([]byte) bool { return true }, "")
}

func (n *numato) drive(mask, to levels) error {
	return confirm(n, mask, to, func() error {
		return oneByOne(mask, to, func(channel int, on bool) error {
			return n.say(func(text []byte) bool { return len(text) == 0 }, numatoRelay, onOff(on), numatoName(channel))
		})
	})
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (n *numato) outputs(mask levels) (got levels, err error) {
	err = n.say(func(text []byte) (ok bool) {
		got, ok = numatoLevels(text)
		return ok
	}, numatoRelay, "readall")
	return got & mask, err
}

func (n *numato) inputs(mask levels) (got levels, err error) {
	for channel := range mask.each {
		err := n.say(func(text []byte) bool {
			on, ok := numatoState(text)
			got = got.with(channel, on)
			return ok
		}, numatoInput, "read", numatoName(channel))
		if err != nil {
			return 0, err
		}
	}
	return got, nil
}

func (n *numato) shout(mask, to levels) error {
	return oneByOne(mask, to, func(channel int, on bool) error {
		return n.send(appendNumato(nil, numatoRelay, onOff(on), numatoName(channel)))
	})
}

func (n *numato) pace() time.Duration { return pollEvery }
