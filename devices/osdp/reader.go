package osdp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Limits of a reader.
const (
	pollEvery    = 50 * time.Millisecond
	pollMost     = 400 * time.Millisecond // many readers take a slower panel for gone
	statusEvery  = 10 * time.Second       // ours: a lost report of tamper is made good
	installMost  = time.Hour              // ours: a longer window is one that was forgotten
	ordersMost   = 16                     // ours: LEDs and sounds that wait for the line
	restartsMost = 3                      // ours: set-ups in a row before Reads ends
	calm         = time.Minute            // ours: after which set-ups are forgotten

	// WrongKeyPause is how long a caller waits before it tries a reader again
	// that has another key (OSDP protocol, failure behaviour).
	WrongKeyPause = 10 * time.Minute
)

// Ways a reader ends or is refused.
var (
	ErrSilent   error = devices.Silent("reader does not answer")
	ErrWrongKey       = errors.New("reader has another key")
	ErrInsecure       = errors.New("reader refuses the secure channel, and reading in clear is not allowed")
	ErrRestarts       = errors.New("reader keeps losing the link")
	ErrFull           = errors.New("too many outputs wait for the reader")
)

// Health is what is known of a reader that answers.
type Health struct {
	Secure bool // in the secure channel, under its own key
	Status bool // it can tell Tamper and Power
	Tamper bool // its own, or of a reader that hangs on it
	Power  bool // its power is at fault
	Gone   bool // a reader that hangs on it is not connected

	Inputs  Points // that are active
	Outputs Points // that are on
}

// Config says which reader and how. The zero value of what concerns security
// is the strict one.
type Config struct {
	Name     string
	Role     devices.Role
	Address  byte          // 00 to 7E
	Checksum bool          // for readers that know no CRC
	Poll     time.Duration // between two questions; 50 ms if not given, at most 400 ms

	// Bits are the lengths of the cards in use; a card of another is unreadable.
	// None given: any.
	Bits []int
	// Keys binds keys, 0 to 9, * and #, to buttons. Others are dropped: a PIN is
	// nobody's business here.
	Keys map[string]string

	Key    Key  // the reader's own (SCBK)
	Master bool // Key is the master key, from which the reader's own is derived
	// Clear reads without a secure channel; a Config that has a Key as well, or
	// is Pinned, is refused.
	Clear bool
	// Pinned says that this reader was once secure: it never is read in clear
	// again. The caller keeps it from when Pin was called.
	Pinned bool
	Pin    func() // called from Open and Reads when the channel is up; may be nil
	// InstallUntil ends the window in which a reader with the default key is
	// given its own; at most an hour ahead. Zero: no window.
	InstallUntil time.Time

	// Seat is the reader's place on a line that it shares, and the port is what its
	// Open gave. nil: the line is this reader's alone.
	Seat *Seat

	Health  func(Health)        // called from Open and Reads when it changes; may be nil
	Refused func(NAK)           // called from Reads when an output is refused; may be nil
	Text    func(devices.Ident) // called from Reads with formatted card data, which names nobody; may be nil
}

func (c Config) complete() (Config, error) {
	if c.Poll == 0 {
		c.Poll = pollEvery
	}
	switch {
	case c.Address > 0x7E:
		return c, fmt.Errorf("address %02X is not 00 to 7E", c.Address)
	case c.Poll < 0 || c.Poll > pollMost:
		return c, fmt.Errorf("poll interval of %v, not up to %v", c.Poll, pollMost)
	case c.Clear && (c.Pinned || c.Key != Key{}):
		return c, errors.New("reading in clear was asked for, but the reader has a key or was secure before")
	case !c.Clear && c.Key == Key{}:
		return c, errors.New("no key for the secure channel, and reading in clear was not asked for")
	case !c.Clear && c.Key.weak():
		return c, ErrWeakKey
	case time.Until(c.InstallUntil) > installMost:
		return c, fmt.Errorf("install window of more than %v", installMost)
	}
	for _, bits := range c.Bits {
		if bits < 1 || bits > bitsMost {
			return c, fmt.Errorf("cards of %d bits, not 1 to %d", bits, bitsMost)
		}
	}
	for k := range c.Keys {
		if len(k) != 1 || !slices.Contains([]byte("0123456789*#"), k[0]) {
			return c, fmt.Errorf("no key %q to bind (have 0 to 9, * and #)", k)
		}
	}
	return c, nil
}

// Reader is an open reader that is polled. Reads belongs to one goroutine; the
// outputs may be called from any.
type Reader struct {
	port    io.ReadWriteCloser // a Read that gives 0, nil on silence
	cfg     Config
	scan    scanner
	in      [256]byte
	pending []byte    // of in, not yet fed
	out     []byte    // the command in flight
	at      time.Time // arrival of the first byte of the last frame
	lastAt  time.Time // arrival of the bytes last read
	count   atomic.Pointer[devices.Counters]
	orders  chan frame

	seq      byte
	channel  *session // nil: in clear
	receive  int      // largest command the reader takes
	identity Identity
	cuid     [8]byte
	mute     bool // it tells no tamper and power
	asked    time.Time
	points   []byte  // commands that ask for the rest of known
	known    Health  // Tamper is its own
	opened   bool    // a reader that hangs on it told of tamper
	told     *Health // last
}

// Open sets the reader up: identity, capabilities, secure channel, status. It
// owns the port from here on, whose Read gives 0, nil on silence, and closes it
// on an error: ErrSilent, ErrWrongKey, ErrInsecure, a NAK or the port's own.
func Open(ctx context.Context, p io.ReadWriteCloser, cfg Config) (*Reader, error) {
	full, err := cfg.complete()
	r := &Reader{port: p, cfg: full, orders: make(chan frame, ordersMost)}
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = p.Close() }) // releases a blocked read
		defer stop()
		err = r.setUp(ctx)
	}
	if err == nil {
		return r, nil
	}
	_ = p.Close() // the reason is the one to tell
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return nil, fmt.Errorf("osdp %s: %w", cfg.Name, cfg.Seat.ended(err))
}

// Close gives up the port.
func (r *Reader) Close() error { return r.port.Close() }

// Identity is what the reader said of itself, in clear, when it was opened.
func (r *Reader) Identity() Identity { return r.identity }

// Counters tells what was counted up to the last Read. Any goroutine may ask.
func (r *Reader) Counters() devices.Counters {
	if c := r.count.Load(); c != nil {
		return *c
	}
	return devices.Counters{}
}

// Light sets LEDs, up to 7 at once. Like all outputs it waits for the line, at
// most 16 of them, and fails with ErrFull; a refusal comes through Config.Refused.
func (r *Reader) Light(lights ...Light) error {
	const most = 7 // 128 bytes hold no more, encrypted and in whole blocks
	if len(lights) < 1 || len(lights) > most {
		return fmt.Errorf("osdp %s: %d lights at once, not 1 to %d", r.cfg.Name, len(lights), most)
	}
	return r.order(cmdLED, appendLights(nil, lights))
}

// Buzz sounds or silences the buzzer.
func (r *Reader) Buzz(b Buzz) error { return r.order(cmdBuzzer, appendBuzz(nil, b)) }

// Show puts a text on the display.
func (r *Reader) Show(t Text) error { return r.order(cmdText, appendText(nil, t)) }

// Output switches an output of the reader.
func (r *Reader) Output(o Output) error { return r.order(cmdOut, appendOutputs(nil, []Output{o})) }

func (r *Reader) order(code byte, data []byte) error {
	select {
	case r.orders <- frame{code: code, data: data}:
		return nil
	default:
		return fmt.Errorf("osdp %s: %w", r.cfg.Name, ErrFull)
	}
}

// Reads yields every card and bound key until ctx ends or the reader does; the
// error comes last, once.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		stop := context.AfterFunc(ctx, func() { _ = r.port.Close() }) // releases a blocked read
		defer stop()
		err := r.run(ctx, func(read devices.Read) bool {
			read.Device, read.Role, read.At = r.cfg.Name, r.cfg.Role, r.at
			return yield(read, nil)
		})
		r.publish()
		switch {
		case errors.Is(err, errStop):
		case ctx.Err() != nil:
			yield(devices.Read{}, ctx.Err())
		case errors.Is(err, net.ErrClosed):
			yield(devices.Read{}, fmt.Errorf("osdp %s: closed", r.cfg.Name))
		default:
			yield(devices.Read{}, fmt.Errorf("osdp %s: %w", r.cfg.Name, r.cfg.Seat.ended(err)))
		}
	}
}

var errStop = errors.New("the caller has enough")

// run polls until the reader ends. A link out of step is set up again.
func (r *Reader) run(ctx context.Context, yield func(devices.Read) bool) error {
	restarts := 0
	for {
		begun := time.Now()
		err := r.poll(ctx, yield)
		for errors.Is(err, errLost) {
			if time.Since(begun) >= calm {
				restarts = 0
			}
			if restarts++; restarts > restartsMost {
				return fmt.Errorf("%w: %w", ErrRestarts, err)
			}
			begun = time.Now()
			r.scan.count.Reopens++
			err = r.setUp(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// poll asks the reader in turn until something ends it.
func (r *Reader) poll(ctx context.Context, yield func(devices.Read) bool) error {
	wait := time.NewTimer(r.cfg.Poll)
	defer wait.Stop()
	if err := r.askPoints(ctx); err != nil {
		return err
	}
	for {
		a, err := r.ask(ctx, cmdPoll)
		if err != nil {
			return err
		}
		if err := r.report(a, yield); err != nil {
			return err
		}
		if time.Since(r.asked) >= statusEvery {
			if err := r.askAgain(ctx); err != nil {
				return err
			}
		}
		if a.code == repACK {
			wait.Reset(r.cfg.Poll)
		} else {
			wait.Reset(0) // there may be more
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
		case o := <-r.orders:
			if err := r.carry(ctx, o); err != nil {
				return err
			}
		}
	}
}

// askAgain asks how the reader is.
func (r *Reader) askAgain(ctx context.Context) error {
	r.asked = time.Now()
	if !r.mute {
		if err := r.askStatus(ctx); err != nil {
			return err
		}
	}
	return r.askPoints(ctx)
}

// carry sends an output.
func (r *Reader) carry(ctx context.Context, o frame) error {
	a, err := r.exchange(ctx, o)
	if refused, ok := refusal(err); ok {
		if r.cfg.Refused != nil {
			r.cfg.Refused(refused)
		}
		return nil
	}
	if err == nil {
		r.state(a)
	}
	return err
}

// report hands on what a poll was answered with.
func (r *Reader) report(a answer, yield func(devices.Read) bool) error {
	switch a.code {
	case repRaw:
		c, err := parseCard(a.data)
		if err != nil {
			r.scan.count.CheckErrors++
			return nil
		}
		t := devices.Tag{Antenna: int(c.reader) + 1}
		if c.doubtful() || len(r.cfg.Bits) > 0 && !slices.Contains(r.cfg.Bits, c.bits) {
			t.Unreadable = true
		} else {
			t.EPC = c.ident()
		}
		return stopUnless(yield(devices.Read{Tag: &t}))
	case repText:
		if r.cfg.Text != nil {
			r.cfg.Text(devices.Ident(a.data))
		}
		return stopUnless(yield(devices.Read{Tag: &devices.Tag{Antenna: 1, Unreadable: true}}))
	case repKeys:
		keys, err := parseKeys(a.data)
		if err != nil {
			r.scan.count.CheckErrors++
			return nil
		}
		for _, k := range keys {
			if button := r.cfg.Keys[string(rune(k))]; button != "" && !yield(devices.Read{Key: &devices.Key{Button: button}}) {
				return errStop
			}
		}
	case repStatus, repReader, repIn, repOut:
		r.state(a)
	case repACK:
	default:
		r.scan.count.CheckErrors++
	}
	return nil
}

func stopUnless(more bool) error {
	if more {
		return nil
	}
	return errStop
}
