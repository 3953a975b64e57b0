package amtech

import (
	"errors"
	"fmt"
	"time"

	"boothd/devices"
)

// Mode is the protocol of the reader.
type Mode int

// The modes. Basic and ECP are set in the reader at Open; what makes a reader
// buffer its messages for inquiry must be set in it beforehand.
const (
	Basic Mode = iota
	Inquiry
	ECP
)

// Config says which reader and how.
type Config struct {
	Name   string
	Role   devices.Role
	Mode   Mode
	Start  byte // # if not given; ! on some readers
	CRC    CRC
	Parity Parity
	// Commands are sent at Open, in order: settings, which are answered by Done,
	// such as "311" for the antenna in each report. One that the reader refuses is
	// told to Health and passed over.
	Commands []string
	// FirstAntenna is the reader's own number of its first antenna, 0 or 1.
	FirstAntenna int
	// Health is called from Open and Reads; may be nil.
	Health func(Fault)
}

// Commands of the reader.
const (
	cmdData    = "00"
	cmdCommand = "01"
	cmdSignOn  = "505"
	cmdBasic   = "610"
	cmdECP     = "611"
	// cmdTimeout is 612 with 10 tenths of a second, for the reader's 12.7: a
	// message that came while a command was answered is soon repeated.
	cmdTimeout = "6120A"
)

// Command mode is left within 10 s: an older reader reports no tags in it.
const (
	commandsMost = 12
	commandMode  = 10 * time.Second
)

func (c Config) framing() framing {
	return framing{start: c.Start, ecp: c.Mode == ECP, crc: c.CRC, parity: c.Parity}
}

// complete checks a configuration and fills in what may be left out.
func (c Config) complete() (Config, error) {
	if c.Start == 0 {
		c.Start = '#'
	}
	switch {
	case c.Start != '#' && c.Start != '!':
		return c, fmt.Errorf("start character %q is neither # nor an exclamation mark", c.Start)
	case c.Mode < Basic || c.Mode > ECP:
		return c, fmt.Errorf("mode %d is none", c.Mode)
	case c.CRC < CRCPublished || c.CRC > CRCXModem:
		return c, fmt.Errorf("check value %d is none", c.CRC)
	case c.Parity < ParityNone || c.Parity > ParityOdd:
		return c, fmt.Errorf("parity %d is none", c.Parity)
	case c.FirstAntenna < 0 || c.FirstAntenna > 1:
		return c, fmt.Errorf("first antenna %d, not 0 or 1", c.FirstAntenna)
	case len(c.Commands) > commandsMost:
		return c, fmt.Errorf("%d commands, more than %d", len(c.Commands), commandsMost)
	}
	for _, cmd := range c.Commands {
		if err := checkCommand(cmd); err != nil {
			return c, err
		}
	}
	return c, nil
}

// checkCommand refuses what is no command, and what would undo the set-up: the
// modes, the protocol and the reset.
func checkCommand(cmd string) error {
	if len(cmd) < 2 || len(cmd) > commandMost {
		return fmt.Errorf("command %q has %d characters, not 2 to %d", cmd, len(cmd), commandMost)
	}
	for i := range len(cmd) {
		if _, ok := unhexDigit(cmd[i]); i < 2 && !ok || cmd[i] < ' ' || cmd[i] > '~' || cmd[i] == '#' || cmd[i] == '!' {
			return fmt.Errorf("command %q cannot be sent", cmd)
		}
	}
	for _, no := range []string{cmdData, cmdCommand, cmdBasic, cmdECP, cmdTimeout[:3], "63"} {
		if len(cmd) >= len(no) && cmd[:len(no)] == no {
			return fmt.Errorf("command %q is not for the set-up", cmd)
		}
	}
	return nil
}

// setUp finds the reader in whatever mode it is left in and brings it to ours.
func (r *Reader) setUp() error {
	if err := r.find(); err != nil {
		return err
	}
	commands := r.cfg.Commands
	if r.cfg.Mode == ECP {
		commands = append([]string{cmdTimeout}, commands...)
	}
	entered := time.Now()
	for _, cmd := range commands {
		err := r.command(cmd)
		var refused Fault
		switch {
		case time.Since(entered) > commandMode-2*tries*answerWait: // what the next one and leaving may take
			return errors.Join(fmt.Errorf("%w: %v in command mode", ErrSlow, commandMode), r.leave())
		case errors.As(err, &refused):
			r.fault(refused)
		case err != nil:
			return err
		}
	}
	return r.leave()
}

// leave goes back to reporting tags. A reader that refuses has no such mode and
// reports them all the time.
func (r *Reader) leave() error {
	err := r.command(cmdData)
	var refused Fault
	if errors.As(err, &refused) {
		return nil
	}
	return err
}

// find enters command mode in the configured protocol, or else in the other
// one and switches. The first command may share its number with the last one
// of a former owner, and is then answered with that one's answer: it is one
// that does not matter.
func (r *Reader) find() error {
	_, err := r.ask(cmdSignOn, func(message) bool { return true })
	if err == nil {
		return r.enter()
	}
	if !errors.Is(err, ErrSilent) {
		return err
	}
	ours := r.scan.ecp
	r.scan.ecp = !ours
	change := cmdBasic
	if ours {
		change = cmdECP
	}
	if _, err := r.ask(cmdSignOn, func(message) bool { return true }); err != nil {
		return err
	}
	if err := r.enter(); err != nil {
		return err
	}
	err = r.command(change)
	r.scan.ecp = ours
	if err != nil && !errors.Is(err, ErrSilent) { // it may answer in the new protocol
		return err
	}
	return r.enter()
}

// enter goes to command mode. A reader that refuses takes commands always.
func (r *Reader) enter() error {
	err := r.command(cmdCommand)
	var refused Fault
	if errors.As(err, &refused) {
		return nil
	}
	return err
}

// probe asks a reader that has said nothing for long who it is.
func (r *Reader) probe() error {
	if err := r.enter(); err != nil {
		return err
	}
	if _, err := r.ask(cmdSignOn, func(m message) bool { return m.kind == kindSignOn || m.kind == kindRefused }); err != nil {
		return err
	}
	return r.leave()
}

// command sends one whose answer is Done, or a refusal, which is a Fault.
// Anything else that is not a tag answers too.
func (r *Reader) command(cmd string) error {
	m, err := r.ask(cmd, func(m message) bool { return m.kind == kindDone || m.kind == kindRefused || m.kind == kindStatus })
	if err == nil && m.kind == kindRefused {
		return Fault{Command: cmd}
	}
	return err
}

// ask sends a command until is says of a message that it is the answer. With
// ECP the number tells which frame answers, and a data message in between is
// left alone: the reader sends it again. Without, it would be lost, and is held,
// but not in the set-up, whose answers might look like a tag.
func (r *Reader) ask(cmd string, is func(message) bool) (message, error) {
	r.number = (r.number+2)&0x0F | 1 // odd, so that no data message can be taken for the answer
	for range tries {
		if _, err := r.port.Write(r.scan.append(nil, r.number, cmd)); err != nil {
			return message{}, err
		}
		for until := time.Now().Add(answerWait); time.Now().Before(until); {
			f, ok, err := r.frame()
			if err != nil {
				return message{}, err
			}
			if !ok || f.damaged {
				continue
			}
			m := read(f.text)
			switch {
			case r.scan.ecp && f.number == r.number:
				return m, nil
			case r.scan.ecp:
			case is(m):
				return m, nil
			case m.kind == kindTag && r.up:
				r.hold(m)
			}
		}
		r.scan.count.Timeouts++
		r.tell()
	}
	return message{}, fmt.Errorf("%w to command %s", ErrSilent, cmd[:min(len(cmd), 3)])
}
