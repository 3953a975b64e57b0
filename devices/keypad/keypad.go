// Package keypad reads an officer's small keypad: buttons, counts and keyed
// plates, from a pad on a serial line or a USB keyboard.
//
// What a serial pad sends is its template:
//
//	strokes  each key as it is struck: characters, CR enters, BS or DEL takes
//	         one off, ESC or CAN all; F1 to F12 as VT220 or xterm send them
//	lines    a whole line ended by CR, LF or both: "ON-ABC123", "#", "12F3"
//	matrix   a 16-key pad: as strokes, with A to D for buttons
//
// A plate is up to 10 letters and digits, typed and entered. "ON-ABC123" has its
// jurisdiction in front; a dash after anything but a jurisdiction belongs to the
// plate. A key bound to a button says so at once, and drops what was typed, but
// for the button "count", which takes the number before it. Half a plate is
// forgotten after Idle without a key, and wiped where it stood. What is typed
// is never echoed, logged or counted.
//
// Keys that name no button and no character mean nothing. A silent pad is no
// fault; one that is gone ends Reads with an error, and the caller opens again.
//
// Source: domain reference 8 (officer buttons), 7.5 (keyed plates); the templates
// are ours, as is every number that names no other source.
package keypad

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Template is what a serial pad sends.
type Template string

// The templates.
const (
	Strokes Template = "strokes"
	Lines   Template = "lines"
	Matrix  Template = "matrix"
)

// Config says which pad and how.
type Config struct {
	Name     string
	Role     devices.Role
	Template Template // of a serial pad; strokes if not given
	// Buttons binds keys to buttons over the defaults; "" unbinds. The keys are
	// # * + / . A B C D and F1 to F12; letters with the template matrix only.
	Buttons map[string]string
	// Jurisdictions may stand before a plate; none given: provinces, territories
	// and states by their two letters.
	Jurisdictions []string
	Idle          time.Duration // after which half a plate is forgotten; 10 s if not given, 1 s to 2 min
	// Refused is called from Reads when what was typed is no plate or count and
	// was dropped: worth a buzz. May be nil.
	Refused func()
}

// buttons are the keys as they are bound without further words. Buttons have the
// names of wired inputs.
func buttons(t Template) map[string]string {
	b := map[string]string{"#": "release", "*": "refer"}
	if t == Matrix {
		maps.Copy(b, map[string]string{"A": Count, "B": "goods", "C": "declaration", "D": "ack"})
		return b
	}
	maps.Copy(b, map[string]string{"F1": "goods", "F2": "declaration", "F3": Count, "F4": "ack", "F5": "empty", "F12": "open_close"})
	return b
}

// complete fills in the defaults and refuses what cannot be.
func (c Config) complete() (Config, error) {
	if c.Template == "" {
		c.Template = Strokes
	}
	if !slices.Contains([]Template{Strokes, Lines, Matrix}, c.Template) {
		return c, fmt.Errorf("no template %q (have %s, %s, %s)", c.Template, Strokes, Lines, Matrix)
	}
	if c.Idle == 0 {
		c.Idle = 10 * time.Second
	}
	if c.Idle < time.Second || c.Idle > 2*time.Minute {
		return c, fmt.Errorf("idle time of %s, not 1s to 2m", c.Idle)
	}
	bound := buttons(c.Template)
	for k, button := range c.Buttons {
		letter := len(k) == 1 && plate(k[0])
		if !slices.Contains(keyNames(), k) || letter && c.Template != Matrix {
			return c, fmt.Errorf("no key %q to bind with template %s (have %s)", k, c.Template, strings.Join(keyNames(), " "))
		}
		bound[k] = button
	}
	maps.DeleteFunc(bound, func(_, button string) bool { return button == "" })
	c.Buttons = bound
	if len(c.Jurisdictions) == 0 {
		c.Jurisdictions = states()
	}
	for _, j := range c.Jurisdictions {
		if len(j) < 2 || len(j) > 3 || strings.ContainsFunc(j, func(r rune) bool { return r < 'A' || r > 'Z' }) {
			return c, fmt.Errorf("jurisdiction %q is not 2 or 3 capital letters", j)
		}
	}
	return c, nil
}

// decoder turns bytes into keys. quiet is one silence of the line.
type decoder interface {
	feed(b []byte, strike func(key))
	quiet(strike func(key))
}

// Keypad is an open pad. Reads belongs to one goroutine.
type Keypad struct {
	port    io.ReadWriteCloser
	cfg     Config
	decoder decoder
	editor  editor
	in      [128]byte
	presses []press   // of the bytes last read
	now     time.Time // arrival of the bytes last read
	idle    time.Duration

	counted devices.Counters
	count   atomic.Pointer[devices.Counters]
}

// Open takes over a serial port whose Read gives 0, nil on silence. Nothing is
// sent to a pad. The port is closed on an error.
func Open(ctx context.Context, p io.ReadWriteCloser, cfg Config) (*Keypad, error) {
	full, err := cfg.complete()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keypad %s: %w", cfg.Name, err), p.Close())
	}
	return with(p, full, full.decoder()), nil
}

func with(p io.ReadWriteCloser, full Config, d decoder) *Keypad {
	return &Keypad{port: p, cfg: full, decoder: d, editor: editor{buttons: full.Buttons, jurisdictions: full.Jurisdictions}}
}

func (c Config) decoder() decoder {
	if c.Template != Lines {
		return &strokes{}
	}
	keys := make(map[string]bool, len(c.Buttons))
	for k, button := range c.Buttons {
		keys[k] = button == Count
	}
	return &lines{keys: keys}
}

// Close gives up the pad.
func (k *Keypad) Close() error { return k.port.Close() }

// Counters tells what was counted up to the last Read: frames are presses, check
// errors what was typed and refused, timeouts half plates forgotten. Any
// goroutine may ask.
func (k *Keypad) Counters() devices.Counters {
	if c := k.count.Load(); c != nil {
		return *c
	}
	return devices.Counters{}
}

// Reads yields every press until ctx ends or the pad does; the error comes last,
// once. A read's time is that of the key which completed it. What is typed by
// the end is wiped.
func (k *Keypad) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		stop := context.AfterFunc(ctx, func() { _ = k.port.Close() }) // wakes a Read that waits
		defer stop()
		defer k.forget()
		for {
			err := k.hear()
			if !k.hand(yield) {
				return
			}
			switch {
			case ctx.Err() != nil:
				yield(devices.Read{}, ctx.Err())
			case err != nil:
				yield(devices.Read{}, fmt.Errorf("keypad %s: %w", k.cfg.Name, err))
			default:
				continue
			}
			return
		}
	}
}

// hand gives the caller what was pressed, in order.
func (k *Keypad) hand(yield func(devices.Read, error) bool) bool {
	defer func() { // a plate is not kept longer than it is told
		clear(k.presses)
		k.presses = k.presses[:0]
	}()
	for _, p := range k.presses {
		if p.refused {
			if k.cfg.Refused != nil {
				k.cfg.Refused()
			}
			continue
		}
		if !yield(devices.Read{Device: k.cfg.Name, Role: k.cfg.Role, At: k.now, Key: &p.Key}, nil) {
			return false
		}
	}
	return true
}

// hear reads once; presses go to presses. The pause is the time spent waiting
// for keys: a caller who is slow to take a press is no silence of the officer.
func (k *Keypad) hear() error {
	asked := time.Now()
	n, err := k.port.Read(k.in[:])
	n = max(n, 0)
	k.now = time.Now()
	k.idle += k.now.Sub(asked)
	if k.idle >= k.cfg.Idle && k.forget() {
		k.counted.Timeouts++
	}
	if n > 0 {
		k.idle = 0
		k.counted.Bytes += uint64(n)
		k.decoder.feed(k.in[:n], k.strike)
		clear(k.in[:n])
	} else if err == nil {
		k.decoder.quiet(k.strike)
	}
	c := k.counted
	k.count.Store(&c)
	return err
}

// strike takes one key.
func (k *Keypad) strike(struck key) {
	p, ok := k.editor.strike(struck)
	if !ok {
		return
	}
	if p.refused {
		k.counted.CheckErrors++
	} else {
		k.counted.Frames++
	}
	k.presses = append(k.presses, p)
}

// forget wipes what is typed, and tells whether there was something.
func (k *Keypad) forget() bool {
	was := k.editor.wipe()
	if l, ok := k.decoder.(*lines); ok {
		was = l.wipe() || was
	}
	k.idle = 0
	return was
}
