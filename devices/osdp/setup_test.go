package osdp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"boothd/devices/osdp/pd"
)

var otherKey = Key{9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6}

// Who may be read, and under which key: never in clear unless that is asked for,
// and never under the key that everybody knows.
func TestKeysOfReaders(t *testing.T) {
	window := func(c Config) Config { c.InstallUntil = time.Date(2000, 1, 1, 0, 10, 0, 0, time.UTC); return c } // the bubble's clock
	master := secured
	master.Master = true
	for name, c := range map[string]struct {
		device *pd.Device
		cfg    Config
		want   error
		own    Key // that the reader has afterwards
	}{
		"its own":                              {&pd.Device{Key: testKey}, secured, nil, testKey},
		"another":                              {&pd.Device{Key: otherKey}, secured, ErrWrongKey, otherKey},
		"another, in a window":                 {&pd.Device{Key: otherKey}, window(secured), ErrWrongKey, otherKey},
		"fresh, and no window":                 {&pd.Device{Key: pd.DefaultKey}, secured, ErrWrongKey, pd.DefaultKey},
		"fresh, in a window":                   {&pd.Device{Key: pd.DefaultKey}, window(secured), nil, testKey},
		"fresh, and acknowledges in clear":     {&pd.Device{Key: pd.DefaultKey, ClearACK: true}, window(secured), nil, testKey},
		"fresh, of a master":                   {&pd.Device{Key: pd.DefaultKey}, window(master), nil, Key{}},
		"none at all":                          {&pd.Device{}, secured, ErrInsecure, Key{}},
		"none at all, in a window":             {&pd.Device{}, window(secured), ErrInsecure, Key{}},
		"strict, and asked in clear":           {&pd.Device{Key: testKey, Strict: true}, inClear, NAK{cmdStatus, 6}, testKey},
		"no key needed, and none is asked for": {&pd.Device{Key: testKey}, inClear, nil, testKey},
	} {
		t.Run(name, func(t *testing.T) {
			opened := false
			l := live(t, c.device, c.cfg, func(l *life) {
				opened = true
				l.card(1)
				l.wait(time.Second)
				if want := "96B40001"; c.want == nil {
					l.want(want)
				}
				if l.device.Secure() == c.cfg.Clear {
					t.Errorf("secure is %t", l.device.Secure())
				}
			})
			if opened != (c.want == nil) || !opened && !errors.Is(l.err, c.want) {
				t.Errorf("ended with %v, want %v", l.err, c.want)
			}
			if own := c.device.OwnKey(); c.own != (Key{}) && own != c.own {
				t.Errorf("the reader's key is % X, want % X", own, c.own)
			}
			if pins := map[bool]int{true: 1}[c.want == nil && !c.cfg.Clear]; l.pins != pins {
				t.Errorf("pinned %d times, want %d", l.pins, pins)
			}
		})
	}
}

// A reader that does not prove that it has the key is not read, whatever part of
// the proof is missing.
func TestHandshakeRefused(t *testing.T) {
	refuse := func(b []byte) []byte {
		return appendFrame(nil, frame{reply: true, crc: true, seq: b[4] & 3, code: repNAK, data: []byte{nakCondition}}, nil)
	}
	for name, c := range map[string]struct {
		at   byte // type of the reply that is another
		edit func([]byte) []byte
		want error
	}{
		"it offers the default key":  {scsCCrypt, func(b []byte) []byte { b[7] = 0; return b }, ErrWrongKey},
		"its proof is another":       {scsCCrypt, func(b []byte) []byte { b[30] ^= 1; return b }, ErrWrongKey},
		"its draw is another":        {scsCCrypt, func(b []byte) []byte { b[20] ^= 1; return b }, ErrWrongKey},
		"its proof is cut short":     {scsCCrypt, func(b []byte) []byte { return append(b[:len(b)-3], 0, 0) }, errFormat},
		"it has no channel":          {scsCCrypt, refuse, ErrInsecure},
		"it does not believe ours":   {scsRMACI, func(b []byte) []byte { b[7] = 0xFF; return b }, ErrWrongKey},
		"its first MAC is another":   {scsRMACI, func(b []byte) []byte { b[12] ^= 1; return b }, ErrWrongKey},
		"its first MAC is cut short": {scsRMACI, func(b []byte) []byte { return append(b[:len(b)-3], 0, 0) }, ErrWrongKey},
		"it refuses our proof":       {scsRMACI, refuse, ErrWrongKey},
		"it answers in clear instead": {scsRMACI, func(b []byte) []byte {
			return appendFrame(nil, frame{reply: true, crc: true, seq: b[4] & 3, code: repACK}, nil)
		}, ErrSilent},
	} {
		t.Run(name, func(t *testing.T) {
			d := &pd.Device{Key: testKey}
			d.Spoil(func(b []byte, _ bool) []byte {
				if len(b) < 8 || b[4]&ctlSCB == 0 || b[6] != c.at {
					return b
				}
				b = c.edit(bytes.Clone(b))
				binary.LittleEndian.PutUint16(b[2:], uint16(len(b)))
				binary.LittleEndian.PutUint16(b[len(b)-2:], crc(b[:len(b)-2]))
				return b
			})
			l := live(t, d, secured, func(*life) { t.Error("opened") })
			if !errors.Is(l.err, c.want) || l.pins != 0 {
				t.Errorf("ended with %v, pinned %d times, want %v", l.err, l.pins, c.want)
			}
		})
	}
}

// What breaks a channel: it is dropped, keys and all, and brought up again.
func TestChannelIsBroughtUpAgain(t *testing.T) {
	fixed := func(b []byte) []byte { // with the check value made right
		binary.LittleEndian.PutUint16(b[len(b)-2:], crc(b[:len(b)-2]))
		return b
	}
	clear := func(code byte, data ...byte) func([]byte) []byte {
		return func(b []byte) []byte {
			return appendFrame(nil, frame{reply: true, crc: true, seq: b[4] & 3, code: code, data: data}, nil)
		}
	}
	for name, c := range map[string]struct {
		edit    func([]byte) []byte
		reopens uint64
	}{
		"MAC is wrong":                        {func(b []byte) []byte { b[len(b)-3] ^= 1; return fixed(b) }, 1},
		"data is another":                     {func(b []byte) []byte { b[9] ^= 1; return fixed(b) }, 1},
		"it says in clear: no channel":        {clear(repNAK, 5), 1},
		"it says in clear: not met":           {clear(repNAK, 6), 1},
		"it says: another sequence":           {clear(repNAK, nakSequence), 1},
		"a card in clear":                     {clear(repRaw, number(9)...), 0}, // not taken, and asked for again
		"an acknowledgement in clear":         {clear(repACK), 0},
		"a reply of the handshake":            {func(b []byte) []byte { b[6] = scsRMACI; return fixed(b) }, 0},
		"a reply that cannot be the answer":   {clear(repID, make([]byte, 12)...), 0},
		"busy, in clear, as it should be":     {clear(repBusy), 0},
		"damaged in clear: asked for it anew": {clear(repNAK, nakCheck), 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := &pd.Device{Key: testKey}
			live(t, d, secured, func(l *life) {
				l.wait(2 * calm)
				done := spoil(d, c.edit)
				l.card(1)
				l.wait(3 * time.Second)
				if c.reopens == 0 { // else the card went with the channel, as it does in a reader
					l.want("96B40001")
				}
				l.reads = nil
				l.card(2)
				l.wait(time.Second)
				l.want("96B40002")
				if n := l.reader.Counters().Reopens; !*done || n != c.reopens || !d.Secure() {
					t.Errorf("spoilt %t, brought up %d times, want %d; secure %t", *done, n, c.reopens, d.Secure())
				}
			})
		})
	}
}

// Nothing, encrypted, is counted and taken: its MAC is right.
func TestEncryptedNothing(t *testing.T) {
	r := &Reader{channel: zero(), seq: 1}
	b := appendFrame(nil, frame{reply: true, seq: 1, crc: true, scs: scsReplyEnc, code: repACK}, func(b []byte) [macSize]byte {
		s := zero()
		m := s.mac(s.cmac, b)
		return [macSize]byte(m[:])
	})
	f, ok := parse(b)
	if !ok {
		t.Fatalf("% X is no frame", b)
	}
	if a, v, err := r.judge(cmdPoll, f); err != nil || v != ours || a.code != repACK || len(a.data) != 0 || r.scan.count.CheckErrors != 1 {
		t.Errorf("%+v, %d, %v, %+v", a, v, err, r.scan.count)
	}
}

// What a reader tells unasked of the readers that hang on it is told on, beside
// its own tamper, until it says otherwise.
func TestRemoteReaders(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		l := live(t, &pd.Device{Key: cfg.Key}, cfg, func(l *life) {
			for _, act := range []func(){
				func() { l.device.Readers(0, 2) },
				func() { l.device.Status(false, false) }, // its own case is closed
				func() { l.device.Readers(1, 0) },
				func() { l.device.Status(true, false) },
				func() { l.device.Readers(0, 0) },
				func() { l.device.Status(false, false) },
				func() { l.device.Readers() },
			} {
				act()
				l.wait(2 * statusEvery)
			}
			if c := l.reader.Counters(); c.CheckErrors != 1 || c.Reopens != 0 {
				t.Errorf("%+v", c)
			}
		})
		h := func(tamper, gone bool) Health {
			return Health{Secure: !cfg.Clear, Status: true, Tamper: tamper, Gone: gone}
		}
		if want := []Health{h(false, false), h(true, false), h(false, true), h(true, true), h(true, false), h(false, false)}; !slices.Equal(l.health, want) {
			t.Errorf("health %+v, want %+v", l.health, want)
		}
	})
}

// A reader with inputs, outputs and readers of its own is asked at start how they
// are, tells of changes, and what was lost on the way is made good.
func TestPointsOfAReader(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg Config) {
		d := &pd.Device{Key: cfg.Key}
		d.Inputs(0, 1)
		d.Outputs(1, 0, 0)
		d.Readers(0, 1)
		l := live(t, d, cfg, func(l *life) {
			l.wait(time.Second)
			for _, act := range []func(){
				func() { d.Inputs(0, 0) },
				func() { d.Outputs(0, 0, 1) },
				func() { d.Readers(0, 0) },
				func() { d.Inputs() }, // breaks the format
			} {
				act()
				l.wait(time.Second)
			}
			var shortest, lost atomic.Int64
			d.Spoil(func(b []byte, _ bool) []byte {
				if n := shortest.Load(); lost.Load() == 0 && n > 0 && int64(len(b)) > n { // no ACK: the report
					lost.Add(1)
					d.Reboot() // and the reader forgets that it was to be told
					return nil
				}
				shortest.CompareAndSwap(0, int64(len(b)))
				return b
			})
			l.wait(time.Second)
			d.Inputs(1, 1)
			l.wait(2 * statusEvery)
			if c := l.reader.Counters(); c.CheckErrors != 1 || lost.Load() != 1 {
				t.Errorf("%+v, %d lost", c, lost.Load())
			}
		})
		last := Health{Secure: !cfg.Clear, Status: true}
		want := []Health{last}
		for _, edit := range []func(h *Health){
			func(h *Health) { h.Inputs = 2 }, func(h *Health) { h.Outputs = 1 }, func(h *Health) { h.Gone = true },
			func(h *Health) { h.Inputs = 0 }, func(h *Health) { h.Outputs = 4 }, func(h *Health) { h.Gone = false }, func(h *Health) { h.Inputs = 3 },
		} {
			edit(&last)
			want = append(want, last)
		}
		if !slices.Equal(l.health, want) {
			t.Errorf("health %+v, want %+v", l.health, want)
		}
	})
}

// What a reader refuses to tell it is asked once, and nothing else suffers.
func TestPointsRefused(t *testing.T) {
	d := &pd.Device{} // claims a reader, as all do, and knows nothing of it
	live(t, d, inClear, func(l *life) {
		var refused atomic.Int64
		d.Spoil(func(b []byte, _ bool) []byte {
			if b[5] == repNAK {
				refused.Add(1)
			}
			return b
		})
		l.wait(time.Hour)
		l.card(1)
		l.wait(time.Second)
		l.want("96B40001")
		if c := l.reader.Counters(); refused.Load() != 1 || c.Reopens != 0 {
			t.Errorf("refused %d times, %+v", refused.Load(), c)
		}
	})
}

// A switched output's answer tells how all outputs are.
func TestOutputsAnswer(t *testing.T) {
	d := &pd.Device{}
	d.Outputs(0, 0)
	l := live(t, d, inClear, func(l *life) {
		l.wait(time.Second)
		if err := l.reader.Output(Output{Number: 1, Control: 2}); err != nil {
			t.Error(err)
		}
		l.wait(time.Second)
		if err := l.reader.Output(Output{Number: 1, Control: 1}); err != nil {
			t.Error(err)
		}
		l.wait(time.Second)
	})
	off := Health{Status: true}
	on := off
	on.Outputs = 2
	if want := []Health{off, on, off}; !slices.Equal(l.health, want) {
		t.Errorf("health %+v, want %+v", l.health, want)
	}
}

// What a poll may be answered with that is none of ours is no fault of the line.
func TestOtherReports(t *testing.T) {
	for _, code := range []byte{repIn, repOut, repReader} {
		d := &pd.Device{}
		live(t, d, inClear, func(l *life) {
			var said atomic.Int64
			d.Spoil(func(b []byte, _ bool) []byte {
				if bytes.HasPrefix(b[5:], []byte{repACK}) && said.Add(1) <= 5 { // it is asked for more at once
					return appendFrame(nil, frame{reply: true, crc: true, seq: b[4] & 3, code: code, data: []byte{0, 1}}, nil)
				}
				return b
			})
			l.card(1)
			l.wait(time.Second)
			l.want("96B40001")
			if c := l.reader.Counters(); c.CheckErrors != 0 || c.Timeouts != 0 || c.Reopens != 0 || said.Load() < 5 {
				t.Errorf("reply %02X: %+v", code, c)
			}
		})
	}
}
