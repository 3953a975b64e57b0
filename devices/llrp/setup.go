package llrp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"boothd/devices"
)

// Config says which reader and how.
type Config struct {
	Name     string
	Role     devices.Role
	Antennas []int // ports, from 1; none: all that the reader has
	Power    int   // hundredths of a dBm: the reader's next lower step is set; 0: left as it is
	ReadTID  bool  // read the chip number with each tag
	// Keepalive is how often the reader says that it is there, 1 to 60 s; 10 s if
	// not given. Three without a message end Reads.
	Keepalive time.Duration
	// TLS, with the reader's ServerName, is spoken if it is given (port 5085).
	TLS *tls.Config
	// Health is called from Open and Reads with a Fault or a Status, and with nil
	// when all antennas are connected again; may be nil.
	Health func(error)
}

// Limits of a configuration; ours.
const (
	antennasMost  = 32
	powerMost     = 4000
	keepaliveLess = time.Second
	keepaliveMost = time.Minute
)

// complete checks a configuration and fills in what may be left out.
func (c Config) complete() (Config, error) {
	if c.Keepalive == 0 {
		c.Keepalive = keepalive
	}
	switch {
	case c.Keepalive < keepaliveLess || c.Keepalive > keepaliveMost:
		return c, fmt.Errorf("keep-alive %v, not %v to %v", c.Keepalive, keepaliveLess, keepaliveMost)
	case c.Power < 0 || c.Power > powerMost:
		return c, fmt.Errorf("power %d, not 0 to %d hundredths of a dBm", c.Power, powerMost)
	case len(c.Antennas) > antennasMost:
		return c, fmt.Errorf("%d antennas, more than %d", len(c.Antennas), antennasMost)
	}
	for i, a := range c.Antennas {
		if a < 1 || a > 255 || slices.Contains(c.Antennas[:i], a) {
			return c, fmt.Errorf("antenna %d is none, or named twice", a)
		}
	}
	return c, nil
}

// setUp waits for the reader's greeting, forgets what others have left in it,
// and starts reading.
func (r *Reader) setUp() error {
	if r.cfg.TLS != nil {
		w, err := secure(r.port, r.cfg.TLS)
		if err != nil {
			return err
		}
		r.port = w
	}
	if err := r.greeting(); err != nil {
		return err
	}
	tx, err := r.choosePower()
	if err != nil {
		return err
	}
	if err := r.ask(msgSetConfig, msgSetConfigAnswer, setKeepalive(r.cfg.Keepalive), nil); err != nil {
		return err
	}
	// A reader that does not know these events just does not tell them.
	if err := r.ask(msgSetConfig, msgSetConfigAnswer, setEvents(), nil); err != nil && !refused(err) {
		return err
	}
	if err := r.ask(msgDeleteROSpec, msgDelROSpecAnswer, deleteAll(), nil); err != nil {
		return err
	}
	r.ours = true
	err = r.ask(msgDeleteAccessSpec, msgDelAccessAnswer, deleteAll(), nil)
	if err != nil && (!refused(err) || r.cfg.ReadTID) {
		return err
	}
	if err := r.ask(msgAddROSpec, msgAddROSpecAnswer, addROSpec(r.cfg.Antennas, tx), nil); err != nil {
		return err
	}
	if r.cfg.ReadTID {
		if err := r.readTID(); err != nil {
			return err
		}
	}
	return r.ask(msgEnableROSpec, msgEnROSpecAnswer, u32(roSpec), nil)
}

// greeting waits for the reader to say whether the connection is ours.
func (r *Reader) greeting() error {
	for until := time.Now().Add(eventWait); time.Now().Before(until); {
		m, ok, err := r.next()
		if err == nil && ok {
			err = r.take(m)
		}
		if err != nil || r.started {
			return err
		}
	}
	r.scan.count.Timeouts++
	return fmt.Errorf("%w: no greeting for %v", ErrSilent, eventWait)
}

// choosePower looks the configured power up in the reader's table.
func (r *Reader) choosePower() (*transmitter, error) {
	var c capabilities
	err := r.ask(msgGetCapabilities, msgCapabilities, askCapabilities(), func(m message) (err error) {
		c, err = readCapabilities(m.body)
		return err
	})
	if err != nil && (!refused(err) || r.cfg.Power > 0) {
		return nil, err
	}
	for _, a := range r.cfg.Antennas {
		if c.antennas > 0 && a > c.antennas {
			return nil, refusal{fmt.Errorf("antenna %d, and the reader has %d", a, c.antennas), errorPause}
		}
	}
	if r.cfg.Power == 0 {
		return nil, nil
	}
	best, ok := c.transmit(r.cfg.Power)
	if !ok {
		return nil, refusal{fmt.Errorf("power %d is below every step of the reader", r.cfg.Power), errorPause}
	}
	return &transmitter{hopTable: c.hopTable, channel: 1, power: best.index}, nil
}

// readTID lets the reader read the chip number of each tag.
func (r *Reader) readTID() error {
	if err := r.ask(msgAddAccessSpec, msgAddAccessAnswer, addAccessSpec(), nil); err != nil {
		return err
	}
	return r.ask(msgEnableAccessSpec, msgEnAccessAnswer, u32(accessSpec), nil)
}

// refused tells whether the reader has understood, and said no.
func refused(err error) bool {
	var s Status
	return errors.As(err, &s)
}

// ask sends a request and waits for its answer. What else comes meanwhile is
// dealt with. A refusal is a Status.
func (r *Reader) ask(typ, answer uint16, body []byte, read func(message) error) error {
	r.id++
	if _, err := r.port.Write(appendMessage(nil, typ, r.id, body)); err != nil {
		return err
	}
	for until := time.Now().Add(answerWait); time.Now().Before(until); {
		m, ok, err := r.next()
		switch {
		case err != nil:
			return err
		case !ok:
			continue
		case m.id != r.id || m.typ != answer && m.typ != msgError:
			if err := r.take(m); err != nil {
				return err
			}
			continue
		}
		s, err := readStatus(m)
		switch {
		case err != nil:
			return err
		case s.Code != statusSuccess || m.typ == msgError:
			return s
		case read != nil:
			return read(m)
		}
		return nil
	}
	r.scan.count.Timeouts++
	return fmt.Errorf("%w to message %d", ErrSilent, typ)
}

// leave tells the reader to stop and waits for it to say goodbye, as far as it
// will.
func (r *Reader) leave() {
	last := r.id + 3
	b := appendMessage(nil, msgDisableROSpec, r.id+1, u32(roSpec))
	b = appendMessage(b, msgDeleteROSpec, r.id+2, deleteAll())
	b = appendMessage(b, msgClose, last, nil)
	if _, err := r.port.Write(b); err != nil {
		return
	}
	for until := time.Now().Add(leaveWait); time.Now().Before(until); {
		m, ok, err := r.next()
		if err != nil || ok && m.typ == msgCloseAnswer && m.id == last {
			return
		}
	}
}
