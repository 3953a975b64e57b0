package wiegand

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

// onWire is a pair of lines whose pulses come as bytes, for the contract of all
// drivers: a pulse is its line's bit, a millisecond after the one before it; a
// dot is silence; and what is over 7F comes too soon.
type onWire struct {
	devicestest.Wire
	rest  []byte
	stamp time.Duration
	quiet bool // there was a dot: nothing comes for once
}

func (w *onWire) Low() ([2]bool, error) { return [2]bool{}, nil }

func (w *onWire) Next(ctx context.Context, wait time.Duration) (devices.Pulse, bool, error) {
	quiet := w.quiet && len(w.rest) == 0
	if w.quiet = false; quiet {
		return devices.Pulse{}, false, nil
	}
	for until := time.Now().Add(wait); len(w.rest) == 0; {
		b := make([]byte, 256)
		n, err := w.Read(b)
		switch {
		case ctx.Err() != nil:
			return devices.Pulse{}, false, ctx.Err()
		case err != nil:
			return devices.Pulse{}, false, err
		case n == 0 && !time.Now().Before(until):
			return devices.Pulse{}, false, nil
		}
		w.rest = b[:n]
	}
	b := w.rest[0]
	w.rest = w.rest[1:]
	switch {
	case b == '.':
		w.stamp += time.Second
		w.quiet = true
		return devices.Pulse{}, false, nil
	case b < 0x80:
		w.stamp += time.Millisecond
	default:
		w.stamp += 20 * time.Microsecond
	}
	return devices.Pulse{Line: int(b & 1), Stamp: w.stamp, At: time.Now()}, true, nil
}

var config = Config{Name: "door", Role: devices.RoleCard, Formats: []Format{H10301}}

func cardNumber(t testing.TB, n int) Word {
	w, err := H10301.Word(68, uint64(1000+n))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestContract(t *testing.T) {
	devicestest.Run(t, devicestest.Device{
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			return Open(ctx, &onWire{Wire: w}, config)
		},
		Frame: func(n int) []byte { return append(cardNumber(t, n).digits(), '.') },
		Is: func(r devices.Read, n int) bool {
			return r.Tag != nil && !r.Tag.Unreadable && r.Tag.EPC == cardNumber(t, n).Ident()
		},
		Pause: 200 * time.Millisecond,
		Spare: 1, Replugs: 10, // each waits for silence first
	})
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"no format":        {},
		"an unknown one":   {Formats: []Format{"h10300"}},
		"two of 37 bits":   {Formats: []Format{H10302, H10304}},
		"two of 26 bits":   {Formats: []Format{Raw26, H10301}},
		"short silence":    {Formats: []Format{H10301}, Silence: 9 * time.Millisecond},
		"too long silence": {Formats: []Format{H10301}, Silence: 101 * time.Millisecond},
	} {
		l := &still{}
		if _, err := Open(t.Context(), l, c); err == nil || !l.closed {
			t.Errorf("%s: %v, closed %v", name, err, l.closed)
		}
	}
}

// still is lines on which nothing happens but what a test sets.
type still struct {
	low    []([2]bool) // at each look; the last one stays
	err    error       // of each look
	closed bool
}

func (s *still) Next(ctx context.Context, wait time.Duration) (devices.Pulse, bool, error) {
	select {
	case <-ctx.Done():
		return devices.Pulse{}, false, ctx.Err()
	case <-time.After(wait):
		return devices.Pulse{}, false, nil
	}
}

func (s *still) Low() (low [2]bool, err error) {
	if len(s.low) > 0 {
		low = s.low[0]
		s.low = s.low[min(1, len(s.low)-1):]
	}
	return low, s.err
}

func (s *still) Close() error { s.closed = true; return nil }

func TestOpenLooksAtTheLines(t *testing.T) {
	broken := errors.New("broken")
	for _, v := range []struct {
		name  string
		lines *still
		want  error
	}{
		{"both high", &still{}, nil},
		{"a pulse while it looks", &still{low: [][2]bool{{true, false}, {false, false}}}, nil},
		{"one line after the other", &still{low: [][2]bool{{true, false}, {false, true}, {false, false}}}, nil},
		{"DATA0", &still{low: [][2]bool{{true, false}}}, ErrLow},
		{"DATA1", &still{low: [][2]bool{{false, true}}}, ErrLow},
		{"unknown", &still{err: broken}, broken},
	} {
		r, err := Open(t.Context(), v.lines, config)
		if !errors.Is(err, v.want) || v.lines.closed != (v.want != nil) {
			t.Errorf("%s: %v, closed %v", v.name, err, v.lines.closed)
		}
		if want := fmt.Sprintf("wiegand door: %s: %s", v.name, ErrLow); v.want == ErrLow && err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if err == nil && r.Counters() != (devices.Counters{}) {
			t.Errorf("%s: counted %+v", v.name, r.Counters())
		}
	}
}

// heldUp is lines at a process that is held up in the middle of a card: it has
// waited long enough, and the rest has been there all the time.
type heldUp struct {
	still
	waits [][]devices.Pulse // between two of them a wait is in vain
}

func (h *heldUp) Next(ctx context.Context, wait time.Duration) (devices.Pulse, bool, error) {
	if len(h.waits) == 0 {
		return h.still.Next(ctx, wait)
	}
	if len(h.waits[0]) == 0 {
		h.waits = h.waits[1:]
		return devices.Pulse{}, false, nil
	}
	p := h.waits[0][0]
	h.waits[0] = h.waits[0][1:]
	return p, true, nil
}

func TestHeldUpInTheMiddleOfACard(t *testing.T) {
	for cut := range vectors[0].bits {
		all := pulses(vectors[0].bits, 0)
		l := &heldUp{waits: [][]devices.Pulse{nil, nil, all[:cut], all[cut:]}}
		r, err := Open(t.Context(), l, config)
		if err != nil {
			t.Fatal(err)
		}
		for read, err := range r.Reads(t.Context()) {
			if err != nil || read.Tag.EPC.Reveal() != "225127C0" {
				t.Errorf("held up at bit %d: %+v, %v", cut, read, err)
			}
			break
		}
	}
}
