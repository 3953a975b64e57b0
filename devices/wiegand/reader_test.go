package wiegand

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/gpio"
)

var most = []Format{H10301, D10202, H10306, C1k35s, H10304}

func TestEveryVectorIsRead(t *testing.T) {
	for _, v := range vectors {
		bubble(t, []Format{v.format}, func(d *door) {
			began := time.Now()
			d.send(v.bits)
			if len(d.reads) == 1 && d.reads[0].At.Sub(began).Truncate(time.Microsecond) != 0 {
				d.Errorf("%s: its time is %v after the first pulse", v.bits, d.reads[0].At.Sub(began))
			}
			d.want(v.bits, word(v.bits).Ident().Reveal())
			if err := d.Card(v.format, v.facility, v.number); err != nil {
				d.Fatal(err)
			}
			time.Sleep(time.Second)
			d.want("the same by its numbers", word(v.bits).Ident().Reveal())
			if !slices.Equal(d.heard, []string{v.bits, v.bits}) {
				d.Errorf("heard %q", d.heard)
			}
			if got := d.r.Counters(); got != (devices.Counters{Bytes: uint64(2 * len(v.bits)), Frames: 2}) {
				d.Errorf("%+v", got)
			}
		})
	}
}

// Every row of the protocol's tables: what is no card names nobody, and the card
// behind it is read.
func TestWhatIsNoCard(t *testing.T) {
	good := vectors[0].bits
	for _, v := range []struct {
		name, bits string
		reads      int // that could not be read
		want       devices.Counters
	}{
		{"parity wrong", "10100010010100010010011111", 1, devices.Counters{CheckErrors: 1}},
		{"all zeros", strings.Repeat("0", 26), 1, devices.Counters{CheckErrors: 1}},
		{"all ones", strings.Repeat("1", 26), 1, devices.Counters{CheckErrors: 1}},
		{"all zeros, in no use", strings.Repeat("0", 31), 1, devices.Counters{CheckErrors: 1}},
		{"unknown length", good + "0", 1, devices.Counters{Timeouts: 1}},
		{"glued", good + good, 1, devices.Counters{Timeouts: 1}},
		{"three glued: over 64 bits", good + good + good, 1, devices.Counters{Resyncs: 1}},
		{"both lines low", "x" + good[2:], 1, devices.Counters{Resyncs: 1}},
		{"both lines low, in the middle", good[:9] + "x" + good[11:], 1, devices.Counters{Resyncs: 1}},
		{"a lamp is switched", "101", 0, devices.Counters{Resyncs: 1}},
		{"a key of 4 bits", "0101", 0, devices.Counters{Frames: 1}},
		{"a key of 8 bits", "10100101", 0, devices.Counters{Frames: 1}},
		{"8 bits that are no key", "10100111", 1, devices.Counters{Timeouts: 1}},
	} {
		bubble(t, most, func(d *door) {
			d.send(v.bits)
			d.want(v.name, make([]string, v.reads)...)
			v.want.Bytes = uint64(len(v.bits) + strings.Count(v.bits, "x"))
			if got := d.r.Counters(); got != v.want {
				d.Errorf("%s: counted %+v, want %+v", v.name, got, v.want)
			}
			d.send(good)
			d.want(v.name+", the card behind it", "225127C0")
		})
	}
}

// A glitch is a pulse more: too near to another it is seen, and elsewhere it
// makes the word longer than any in use.
func TestGlitches(t *testing.T) {
	good := vectors[0].bits
	bubble(t, []Format{H10301}, func(d *door) {
		for i := range good {
			for _, after := range []time.Duration{3 * us, 60 * us, 400 * us} {
				for line := range 2 {
					p := pulses(good, 0)
					p = slices.Insert(p, i+1, devices.Pulse{Line: line, Stamp: p[i].Stamp + after})
					if err := d.Pulse(p); err != nil {
						d.Fatal(err)
					}
					time.Sleep(100 * time.Millisecond)
					d.want("a glitch", "")
				}
			}
		}
	})
}

// Two formats of one length are told apart by the setting alone.
func TestOneLengthTwoFormats(t *testing.T) {
	for _, f := range []Format{H10302, H10304} {
		bubble(t, []Format{f}, func(d *door) {
			d.send("1000001001101001000011011101110101010")
			d.want(string(f), "82690DDD50")
		})
	}
}

// With one length in use, what is cut off is never read: not the part before,
// not the part behind.
func TestCutAtEveryBit(t *testing.T) {
	for _, v := range vectors {
		bubble(t, []Format{v.format}, func(d *door) {
			for cut := 1; cut < len(v.bits); cut++ {
				d.send(v.bits[:cut])
				d.reads = slices.DeleteFunc(d.reads, func(r devices.Read) bool { return r.Tag.Unreadable })
				d.want(v.bits[:cut])
				d.send(v.bits[cut:])
				d.reads = slices.DeleteFunc(d.reads, func(r devices.Read) bool { return r.Tag.Unreadable })
				d.want(v.bits[cut:])
			}
			d.send(v.bits)
			d.want("the whole", word(v.bits).Ident().Reveal())
		})
	}
}

// With two lengths in use a cut may make one of the other: two parities let one
// of four through. This is what docs/hardware.md warns of.
func TestOddsOfACutBetweenTwoLengths(t *testing.T) {
	dice := rand.New(rand.NewPCG(37, 26))
	const tries = 4000
	read := 0
	for range tries {
		w, err := H10304.Word(dice.Uint64N(1<<16), dice.Uint64N(1<<19))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(Word{w.Bits >> 11, 26}, []Format{H10301, H10304}); err == nil {
			read++
		}
	}
	if odds := float64(read) / tries; odds < 0.2 || odds > 0.3 {
		t.Errorf("of %d cuts %.3f are read as another card, want about a quarter", tries, odds)
	}
}

func TestFlood(t *testing.T) {
	bubble(t, most, func(d *door) {
		var want []string
		for n := range 500 {
			w := cardNumber(t, n)
			if err := d.Raw(string(w.digits())); err != nil {
				d.Fatal(err)
			}
			time.Sleep(26*time.Millisecond + 26*time.Millisecond)
			want = append(want, w.Ident().Reveal())
		}
		time.Sleep(time.Second)
		d.want("500 cards, 27 ms apart", want...)
	})
}

// Pulses without end are no reader: Reads ends, and Open waits for silence.
func TestBabble(t *testing.T) {
	bubble(t, most, func(d *door) {
		dice := rand.New(rand.NewPCG(1, 2))
		babble := func(span time.Duration) {
			for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				var p []devices.Pulse
				for at := time.Duration(0); at < 10*time.Millisecond; at += 30*us + time.Duration(dice.IntN(1000))*us {
					p = append(p, devices.Pulse{Line: dice.IntN(2), Stamp: at})
				}
				if err := d.Pulse(p); err != nil {
					d.Fatal(err)
				}
			}
		}
		babble(3 * time.Second)
		d.ended(ErrBabble, time.Second)
		d.want("babble")
		opened := make(chan error, 1)
		go func() { opened <- d.open() }()
		babble(3 * time.Second)
		if err := <-opened; !errors.Is(err, ErrBabble) {
			d.Errorf("opened on babble: %v", err)
		}
		d.again(3 * time.Second)
		d.send(vectors[0].bits)
		d.want("the card behind it", "225127C0")
	})
}

// A line that is low is told once and seen within a second, whether it goes low
// in the middle of a card or while nobody is there, and nothing of it is read.
func TestLineLow(t *testing.T) {
	good := vectors[0].bits
	for name, line := range map[string]string{"DATA0": "D0", "DATA1": "D1"} {
		for _, before := range []string{"", good[:11], good} {
			bubble(t, most, func(d *door) {
				if before != "" {
					if err := d.Raw(before); err != nil {
						d.Fatal(err)
					}
					time.Sleep(min(time.Duration(len(before)), 20) * intervalUsual) // silence has not ended it
				}
				if err := d.far.Set(line, false); err != nil {
					d.Fatal(err)
				}
				d.ended(ErrLow, time.Second)
				if d.err != nil && !strings.Contains(d.err.Error(), "wiegand door: "+name+": ") {
					d.Errorf("%v does not name %s", d.err, name)
				}
				d.want("a line that is low")
				if err := d.open(); !errors.Is(err, ErrLow) {
					d.Errorf("opened on a line that is low: %v", err)
				}
				if err := d.far.Set(line, true); err != nil {
					d.Fatal(err)
				}
				d.again(3 * time.Second)
				d.send(good)
				d.want("the card behind it", "225127C0")
			})
		}
	}
}

// A line that is low for 9 ms is a long pulse, and no fault.
func TestLongPulse(t *testing.T) {
	bubble(t, most, func(d *door) {
		dice := rand.New(rand.NewPCG(9, 10))
		for range 100 {
			if err := d.far.Set("D1", false); err != nil {
				d.Fatal(err)
			}
			time.Sleep(9 * time.Millisecond)
			if err := d.far.Set("D1", true); err != nil {
				d.Fatal(err)
			}
			time.Sleep(time.Duration(50+dice.IntN(200)) * time.Millisecond)
		}
		d.want("a pulse now and then")
		d.send(vectors[0].bits)
		d.want("the card behind them", "225127C0")
	})
}

func TestChipGoneAndBack(t *testing.T) {
	bubble(t, most, func(d *door) {
		for n := range 100 {
			w := cardNumber(t, n)
			d.send(string(w.digits()))
			d.want("before", w.Ident().Reveal())
			if err := d.Raw(string(w.digits())); err != nil {
				d.Fatal(err)
			}
			d.far.Break() // the card is not over: silence has not said so
			d.ended(gpio.ErrGone, time.Second)
			d.want("cut off")
			if err := d.far.Mend(); err != nil {
				d.Fatal(err)
			}
			d.again(3 * time.Second)
		}
	})
}

func TestSilenceAndCancel(t *testing.T) {
	bubble(t, most, func(d *door) {
		time.Sleep(20 * time.Minute)
		d.want("nobody comes")
		d.send(vectors[0].bits)
		d.want("somebody comes", "225127C0")
		told := time.Now()
		d.cancel()
		d.ended(context.Canceled, time.Second)
		if took := time.Since(told); took > 0 {
			d.Errorf("it took %v to end", took)
		}
	})
}

// A card whose sending Open falls into is not read: its rest might be another.
func TestOpenedInTheMiddle(t *testing.T) {
	bubble(t, []Format{H10301}, func(d *door) {
		d.close()
		w, err := H10304.Word(1234, 56789)
		if err != nil {
			d.Fatal(err)
		}
		opened := make(chan error, 1)
		go func() { opened <- d.open() }()
		for i, c := range string(w.digits()) { // as it comes
			if err := d.Raw(string(c)); err != nil {
				d.Fatal(err)
			}
			if i < 36 {
				time.Sleep(intervalUsual)
			}
		}
		if err := <-opened; err != nil {
			d.Fatal(err)
		}
		d.want("the rest of a card")
		d.send(vectors[0].bits)
		d.want("the next one", "225127C0")
	})
}
