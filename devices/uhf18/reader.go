// Package uhf18 reads UHF cards through readers of the UHFReader18 family:
// Chafon, Vanch and others of the kind, over RS-232 (57600 8N1) or TCP.
//
// The reader tells neither signal strength nor antenna: RSSIDBm and Antenna are
// 0. Power is in dBm, times are arrival at this box. The reader speaks only when
// it is asked: it is asked for the tags in its field again and again, and takes
// its own scan time to look for them. A damaged answer is dropped and asked for
// anew; a reader that does not answer, or refuses to look, ends Reads with an
// error, and the caller opens again from the start. So does one that has lost its
// power setting or scan time: it says nothing when it is started anew, and by the
// makers it keeps both over that, so that what it is asked again and again is
// whether it did. One whose information does not tell them is believed.
//
// Source: UHFReader18 family; what its information says of the scan time is
// from the tests of wabson/chafon-rfid and from loblik/uhfreader18. Timings are
// ours.
package uhf18

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Timings; ours.
const (
	answerWait = 500 * time.Millisecond // beside the scan time
	byteGap    = 100 * time.Millisecond // silence inside a frame that drops it
	tries      = 3                      // of one command
	checkEvery = 30 * time.Second       // between two questions after its settings
	// scanUnit and scanLess are the unit of the reader's scan time and the value
	// that is taken if it does not tell it: the maker's.
	scanUnit = 100 * time.Millisecond
	scanLess = 10
)

// ErrSilent is a reader that does not answer.
var ErrSilent error = devices.Silent("reader does not answer")

// ErrReset is a reader whose settings are others than at Open: it was started anew
// and lost them, or somebody else has set it.
var ErrReset = errors.New("reader has lost its settings, as by a start anew")

var errStop = errors.New("the caller has enough")

// Status is a refusal of the reader: 05 password, FD length, FE command, FF
// parameter, and others of its maker.
type Status struct{ Command, Code byte }

func (s Status) Error() string {
	return fmt.Sprintf("reader refuses command %02X with status %02X", s.Command, s.Code)
}

// Config says which reader and how.
type Config struct {
	Name    string
	Role    devices.Role
	Baud    int  // 57600 if not given
	Address byte // the reader's, 00 from the factory; FF: whichever is on the line
	Power   int  // dBm, 1 to 30; 0: left as it is
}

const (
	baudUsual = 57600
	powerMost = 30
)

// wire is what a reader needs of its line: a Read that gives 0, nil on
// silence.
type wire interface {
	io.ReadWriteCloser
	SetBaud(baud int) error
}

// Reader is an open reader. Reads belongs to one goroutine.
type Reader struct {
	port   wire
	cfg    Config
	scan   scanner
	in     [256]byte
	set    settings
	asked  time.Time     // when it told them last
	look   time.Duration // the reader's scan time
	begun  time.Time     // arrival of the first byte that is not yet of a frame
	at     time.Time     // arrival of the frame's first byte
	lastAt time.Time     // of any byte
	held   []devices.Read
	count  atomic.Pointer[devices.Counters]
}

// Open asks the reader who it is and sets its power. It owns the port from here
// on and closes it on an error.
func Open(ctx context.Context, p wire, cfg Config) (*Reader, error) {
	if cfg.Baud == 0 {
		cfg.Baud = baudUsual
	}
	r := &Reader{port: p, cfg: cfg, lastAt: time.Now()}
	r.scan.addr = cfg.Address
	stop := context.AfterFunc(ctx, func() { _ = p.Close() }) // wakes a Read that waits
	defer stop()
	if err := r.setUp(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		_ = p.Close() // it may be closed already, and err says why
		return nil, fmt.Errorf("uhf18 %s: %w", cfg.Name, err)
	}
	return r, nil
}

// Close gives up the port.
func (r *Reader) Close() error { return r.port.Close() }

// Counters tells what was counted up to the last Read. Any goroutine may ask.
func (r *Reader) Counters() devices.Counters {
	if c := r.count.Load(); c != nil {
		return *c
	}
	return devices.Counters{}
}

func (r *Reader) setUp() error {
	if r.cfg.Power < 0 || r.cfg.Power > powerMost {
		return fmt.Errorf("power %d, not 0 to %d dBm", r.cfg.Power, powerMost)
	}
	if err := r.port.SetBaud(r.cfg.Baud); err != nil {
		return err
	}
	var err error
	if r.set, err = r.settings(); err != nil {
		return err
	}
	r.look = scanLess * scanUnit
	if r.set.told {
		r.look = time.Duration(r.set.scan) * scanUnit
	}
	if r.cfg.Power == 0 {
		return nil
	}
	if _, err = r.command(cmdPower, byte(r.cfg.Power)); err != nil {
		return err
	}
	r.set, err = r.settings() // as this reader tells what it was set to
	return err
}

// settings is what the reader says of how it is set.
type settings struct {
	told        bool // it does
	power, scan byte // dBm; tenths of a second
}

func (r *Reader) settings() (settings, error) {
	info, err := r.command(cmdInfo)
	r.asked = time.Now()
	if err != nil || len(info) < 8 { // version 2, type, protocols, highest and lowest frequency, power, scan time
		return settings{}, err
	}
	return settings{true, info[6], info[7]}, nil
}

// check asks whether the reader still has its settings.
func (r *Reader) check() error {
	is, err := r.settings()
	if err == nil && is != r.set {
		err = ErrReset
	}
	return err
}

// command sends one until it is answered. A reader that is still looking for
// tags, for a former owner, does not hear the first ones.
func (r *Reader) command(cmd byte, data ...byte) ([]byte, error) {
	for range tries {
		if err := r.send(cmd, data...); err != nil {
			return nil, err
		}
		for until := time.Now().Add(scanLess*scanUnit + answerWait); time.Now().Before(until); {
			a, ok, err := r.frame()
			switch {
			case err != nil:
				return nil, err
			case !ok || a.cmd != cmd:
				continue
			case a.status != statusOK:
				return nil, Status{cmd, a.status}
			}
			return a.data, nil
		}
		r.scan.count.Timeouts++
		r.tell()
	}
	return nil, fmt.Errorf("%w to command %02X", ErrSilent, cmd)
}

func (r *Reader) send(cmd byte, data ...byte) error {
	_, err := r.port.Write(appendCommand(nil, r.cfg.Address, cmd, data...))
	return err
}

// Reads yields every tag that an inventory finds until ctx ends or the reader
// does; the error comes last, once.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		stop := context.AfterFunc(ctx, func() { _ = r.port.Close() })
		defer stop()
		err := r.run(func(read devices.Read) bool { return yield(read, nil) })
		switch {
		case errors.Is(err, errStop):
		case ctx.Err() != nil:
			yield(devices.Read{}, ctx.Err())
		default:
			yield(devices.Read{}, fmt.Errorf("uhf18 %s: %w", r.cfg.Name, err))
		}
	}
}

// run takes inventories until yield has had enough (errStop) or the reader
// ends.
func (r *Reader) run(yield func(devices.Read) bool) error {
	missed := 0
	for {
		if err := r.hand(yield); err != nil { // what an earlier caller left
			return err
		}
		if err := r.send(cmdInventory); err != nil {
			return err
		}
		answered, err := r.inventory(yield)
		if err != nil {
			return err
		}
		if !answered {
			if missed++; missed == tries {
				return fmt.Errorf("%w to %d inventories", ErrSilent, tries)
			}
			continue
		}
		if missed > 0 || time.Since(r.asked) >= checkEvery {
			if err := r.check(); err != nil {
				return err
			}
		}
		missed = 0
	}
}

// inventory takes the answer to one, which may be of several frames, and tells
// whether anything came that can be understood.
func (r *Reader) inventory(yield func(devices.Read) bool) (answered bool, err error) {
	for until := time.Now().Add(r.look + answerWait); time.Now().Before(until); {
		a, ok, err := r.frame()
		if err != nil {
			return answered, err
		}
		over := false
		for ; ok; a, ok = r.whole() { // all that has come
			if a.cmd != cmdInventory {
				continue // late
			}
			answered = true
			more, err := r.take(a)
			if err != nil {
				return answered, err
			}
			if over = !more; more {
				until = time.Now().Add(r.look + answerWait)
			}
		}
		if err := r.hand(yield); err != nil || over {
			return answered, err
		}
	}
	r.scan.count.Timeouts++
	r.tell()
	return answered, nil
}

// hand hands on what is held.
func (r *Reader) hand(yield func(devices.Read) bool) error {
	for len(r.held) > 0 {
		read := r.held[0]
		if r.held = r.held[1:]; !yield(read) {
			return errStop
		}
	}
	r.held = nil
	return nil
}

// take holds the tags of an answer and tells whether another frame follows.
func (r *Reader) take(a answer) (more bool, err error) {
	switch a.status {
	case statusAll, statusTimeOut, statusMore, statusFull:
		found, err := tags(a.data)
		if err != nil {
			r.scan.count.CheckErrors++
			r.tell()
		}
		for _, t := range found {
			r.held = append(r.held, devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: r.at, Tag: &t})
		}
		return a.status == statusMore, nil
	case statusNoTag, statusWeak, statusTag:
		return false, nil
	}
	return false, Status{a.cmd, a.status}
}

// frame gives the next frame, or none after one look at the port.
func (r *Reader) frame() (answer, bool, error) {
	if a, ok := r.whole(); ok {
		return a, true, nil
	}
	n, err := r.port.Read(r.in[:])
	now := time.Now()
	if n > 0 {
		if !r.scan.partial() {
			r.begun = now
		}
		r.scan.feed(r.in[:n])
		r.lastAt = now
	}
	a, ok := r.whole()
	for !ok && n == 0 && r.scan.partial() && now.Sub(r.lastAt) >= byteGap {
		r.scan.stale() // a whole frame may stand behind the false start
		a, ok = r.whole()
	}
	r.tell()
	if ok {
		err = nil // it comes again with the next Read
	}
	return a, ok, err
}

// whole gives the next frame of what was received.
func (r *Reader) whole() (answer, bool) {
	a, ok := r.scan.next()
	if ok {
		r.at, r.begun = r.begun, r.lastAt // what is left came with the last bytes
	}
	return a, ok
}

// tell lets others see the counters.
func (r *Reader) tell() {
	c := r.scan.count
	r.count.Store(&c)
}
