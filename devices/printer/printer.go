// Package printer prints receipts on a serial line, in ESC/POS or as plain text.
//
// Lines come in UTF-8 and leave in one byte a character, folded to what the
// printer has; a line wider than the paper is wrapped, never cut off. A printer
// that is wired both ways is asked before each receipt and tells when it is
// printed; then a nil error means paper in the traveller's hand. Without
// answers it means that the line took the bytes. Nothing of a receipt is kept.
//
// Source: domain reference 4, "Receipt"; ESC/POS command reference, DLE EOT,
// DLE DC4, GS r, GS a, GS V, ESC @, ESC d, ESC t. Timings are ours.
package printer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Timings.
const (
	answerWait = 500 * time.Millisecond // for one status; a printer answers from its interrupt, within 10 ms
	printWait  = 20 * time.Second       // for a receipt: 64 lines at 4.7 lines/s on an impact printer are 14 s
	lookEvery  = time.Second            // how often a printer at work is asked whether it still is
	drainMost  = 64                     // bytes a printer may say unasked; ours
	chunk      = 256                    // bytes written at once: 0.27 s at 9600 baud, and a port gives a write 1 s
)

var (
	// ErrSilent ends a printer that does not answer: it is off, or the cable is.
	ErrSilent error = devices.Silent("printer does not answer")
	// ErrTooLong refuses a receipt over 64 lines, 256 bytes a line or 4 KiB.
	ErrTooLong = errors.New("receipt is too long")
)

// NotReady is why a receipt was not printed, or not to its end.
type NotReady struct{ Faults Faults }

func (n NotReady) Error() string { return "printer is not ready: " + n.Faults.String() }

// Language is how the printer is spoken to.
type Language string

// The languages.
const (
	ESCPOS Language = "escpos"
	Plain  Language = "plain" // lines of text with CR LF; no answers, no cut
)

// Charset is what the printer can print.
type Charset string

// The character sets. ASCII is the default: every printer has it.
const (
	ASCII  Charset = "ascii"
	Latin1 Charset = "latin1" // ESC/POS selects code page 16 (WPC1252) for it
)

// Config says which printer and how.
type Config struct {
	Name     string
	Language Language
	Columns  int     // characters a line, 16 to 96; 32 if not given, which fits the narrowest roll
	Charset  Charset // ASCII if not given
	Cut      bool    // ESC/POS: cut after each receipt
	// Answers says that the printer is wired both ways: it is asked before each
	// receipt, and must answer. It needs DLE EOT and GS r, which all but the
	// simplest ESC/POS printers have. Where DLE DC4 8 is missing too, the rest of
	// a receipt may come out when the paper is seen to.
	Answers bool
	// Health is called from Open, Print and Status when the faults change,
	// PaperLow included; may be nil.
	Health func(Faults)
}

func (c Config) complete() (Config, error) {
	if c.Columns == 0 {
		c.Columns = 32
	}
	if c.Charset == "" {
		c.Charset = ASCII
	}
	switch {
	case c.Language != ESCPOS && c.Language != Plain:
		return c, fmt.Errorf("unknown language %q (have %s, %s)", c.Language, ESCPOS, Plain)
	case c.Charset != ASCII && c.Charset != Latin1:
		return c, fmt.Errorf("unknown charset %q (have %s, %s)", c.Charset, ASCII, Latin1)
	case c.Columns < minColumns || c.Columns > maxColumns:
		return c, fmt.Errorf("%d columns, not %d to %d", c.Columns, minColumns, maxColumns)
	case c.Language == Plain && (c.Cut || c.Answers):
		return c, fmt.Errorf("language %q has no cut and no answers", Plain)
	}
	return c, nil
}

// Printer is an open printer. Print and Status belong to one goroutine.
type Printer struct {
	port    io.ReadWriteCloser
	cfg     Config
	faults  Faults // as told last
	late    bool   // an answer may still be on its way
	end     bool   // the end of the receipt was told
	in      [1]byte
	counted devices.Counters
	count   atomic.Pointer[devices.Counters]
}

// Open takes over a port whose Read gives 0, nil on silence. A printer that
// answers must do so now; one that is not ready is open all the same, and told
// to Health. The port is closed on an error.
func Open(ctx context.Context, p io.ReadWriteCloser, cfg Config) (*Printer, error) {
	full, err := cfg.complete()
	r := &Printer{port: p, cfg: full, late: true} // for whoever had the port before
	if err == nil {
		err = r.forget(ctx) // what a former owner left unprinted
	}
	if err == nil {
		_, err = r.ask(ctx)
	}
	if err == nil && full.Answers {
		_, err = p.Write([]byte{gs, 'a', 0}) // no status unasked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("printer %s: %w", cfg.Name, err), p.Close())
	}
	return r, nil
}

// Close gives up the port. Any goroutine may.
func (r *Printer) Close() error { return r.port.Close() }

// Counters tells what was counted of the printer's answers. Any goroutine may
// ask.
func (r *Printer) Counters() devices.Counters {
	if c := r.count.Load(); c != nil {
		return *c
	}
	return devices.Counters{}
}

// Status asks the printer what is wrong with it; 0 is nothing, or that it does
// not answer by configuration: of such a one only the line is looked at. It
// takes 4 s at most.
func (r *Printer) Status(ctx context.Context) (Faults, error) {
	f, err := r.ask(ctx)
	if err == nil && !r.cfg.Answers {
		_, err = r.read(ctx) // what it says means nothing to us
	}
	if err != nil {
		return 0, fmt.Errorf("printer %s: %w", r.cfg.Name, err)
	}
	return f, nil
}

// Print prints one receipt, in 45 s at most. NotReady tells why the printer did
// not; how much of the receipt is on paper is then unknown, since a roll may
// end within it. What it did not print it is told to forget. After any other
// error but ErrTooLong and ctx's the line is of no more use.
func (r *Printer) Print(ctx context.Context, lines []string) error {
	if err := r.print(ctx, lines); err != nil {
		return fmt.Errorf("printer %s: %w", r.cfg.Name, err)
	}
	return nil
}

func (r *Printer) print(ctx context.Context, lines []string) error {
	b, err := r.cfg.compose(lines)
	if err != nil {
		return err
	}
	defer clear(b)
	f, err := r.ask(ctx)
	if err != nil {
		return err
	}
	if !f.Ready() {
		return NotReady{f}
	}
	r.late = r.cfg.Answers // what it said too much would be taken for the word of the receipt's end
	if err := r.drain(ctx); err != nil {
		return err
	}
	r.end = false
	err = r.send(ctx, b)
	if err == nil && r.cfg.Answers {
		err = r.printed(ctx)
	}
	if err != nil {
		return errors.Join(err, r.forget(ctx))
	}
	return nil
}

func (r *Printer) tell() {
	c := r.counted
	r.count.Store(&c)
}

func (r *Printer) send(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(chunk, len(b))
		if _, err := r.port.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// forget makes the printer drop what it has not printed: it must not come out
// when the next traveller stands there and somebody has seen to the paper.
func (r *Printer) forget(ctx context.Context) error {
	if !r.cfg.Answers {
		return nil // its answer would have to be waited for
	}
	r.late = true
	if _, err := r.port.Write([]byte(clearBuffers)); err != nil {
		return err
	}
	return r.drain(context.WithoutCancel(ctx)) // nothing may be sent before the answer, 37 25 00
}

// printed waits until the printer has come to the end of the receipt, or says
// why it does not.
func (r *Printer) printed(ctx context.Context) error {
	defer r.tell()
	for until := time.Now().Add(printWait); time.Now().Before(until); {
		_, ok, err := r.answer(ctx, isPaper, lookEvery)
		if ok || err != nil {
			return err
		}
		f, err := r.ask(ctx)
		switch {
		case err != nil:
			return err
		case r.end:
			return nil
		case !f.Ready():
			return NotReady{f}
		}
	}
	return fmt.Errorf("%w to the end of a receipt", ErrSilent)
}

// ask asks every status, each twice at most.
func (r *Printer) ask(ctx context.Context) (Faults, error) {
	if !r.cfg.Answers {
		return 0, ctx.Err()
	}
	defer r.tell()
	if err := r.drain(ctx); err != nil {
		return 0, err
	}
	var all Faults
	for n := 1; n <= questions; n++ {
		b, ok, err := byte(0), false, error(nil)
		for try := 0; try < 2 && !ok && err == nil; try++ {
			if _, err = r.port.Write([]byte{dle, eot, byte(n)}); err == nil {
				b, ok, err = r.answer(ctx, isStatus, answerWait)
			}
		}
		if err == nil && !ok {
			r.late = true
			err = ErrSilent
		}
		if err != nil {
			return 0, err
		}
		all |= faultsOf(n, b)
	}
	if all != r.faults && r.cfg.Health != nil {
		r.cfg.Health(all)
	}
	r.faults = all
	return all, nil
}

// drain drops answers that are still on their way: they would be taken for
// those of the next question.
func (r *Printer) drain(ctx context.Context) error {
	if !r.late {
		return nil
	}
	for range drainMost {
		if b, err := r.read(ctx); err != nil || len(b) == 0 {
			r.late = err != nil
			return err
		}
	}
	return fmt.Errorf("%w, and does not stop sending", ErrSilent)
}

// answer reads until a byte is the one waited for, or wait is over.
func (r *Printer) answer(ctx context.Context, is func(byte) bool, wait time.Duration) (byte, bool, error) {
	for until := time.Now().Add(wait); time.Now().Before(until); {
		b, err := r.read(ctx)
		if err != nil {
			return 0, false, err
		}
		if len(b) == 0 {
			continue
		}
		r.end = r.end || isPaper(b[0])
		if is(b[0]) {
			r.counted.Frames++
			return b[0], true, nil
		}
		r.counted.CheckErrors++
	}
	r.counted.Timeouts++
	return 0, false, nil
}

// read reads one byte, or none after one silence of the port: what follows a
// byte belongs to whoever asks next.
func (r *Printer) read(ctx context.Context) ([]byte, error) {
	n, err := r.port.Read(r.in[:])
	r.counted.Bytes += uint64(max(n, 0))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return r.in[:max(n, 0)], err
}
