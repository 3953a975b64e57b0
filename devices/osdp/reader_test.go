package osdp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/osdp/pd"
)

// pipe is one end of a line in memory: like a line, and unlike net.Pipe, it
// takes what is written whether the other end listens or not.
type pipe struct {
	in      chan []byte
	out     chan []byte
	closed  chan struct{} // one for both ends
	once    *sync.Once
	left    []byte
	patient bool          // a Read waits for ever; else it has the manners of a port
	sent    *bytes.Buffer // what was written; may be nil
}

func newLine(sent *bytes.Buffer) (near, far *pipe) {
	a, b := make(chan []byte, 1024), make(chan []byte, 1024)
	closed, once := make(chan struct{}), new(sync.Once)
	return &pipe{in: a, out: b, closed: closed, once: once, sent: sent}, &pipe{in: b, out: a, closed: closed, once: once, patient: true}
}

func (p *pipe) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		silence := make(<-chan time.Time)
		if !p.patient {
			silence = time.After(100 * time.Millisecond)
		}
		select {
		case p.left = <-p.in:
		case <-silence:
			return 0, nil
		case <-p.closed:
			return 0, net.ErrClosed
		}
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	if p.sent != nil {
		p.sent.Write(b)
	}
	select {
	case <-p.closed: // before anything else
		return 0, net.ErrClosed
	default:
	}
	select {
	case <-p.closed:
		return 0, net.ErrClosed
	case p.out <- bytes.Clone(b):
		return len(b), nil
	}
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// life is a reader at work on a pipe, in virtual time.
type life struct {
	t      *testing.T
	device *pd.Device
	reader *Reader
	sent   *bytes.Buffer // by the panel; read when it waits
	health []Health
	nak    []NAK
	text   []string
	pins   int
	reads  []devices.Read
	err    error // why it ended; read after over
	over   chan struct{}
	cancel context.CancelFunc
}

var inClear = Config{Name: "r", Role: devices.RoleCard, Clear: true}
var secured = Config{Name: "r", Role: devices.RoleCard, Key: testKey}

// live opens a reader on a device and lets act play. An error of Open is the
// life's, and act is not called.
func live(t *testing.T, d *pd.Device, cfg Config, act func(l *life)) *life {
	t.Helper()
	l := &life{t: t, device: d, sent: new(bytes.Buffer)}
	synctest.Test(t, func(t *testing.T) {
		near, far := newLine(l.sent)
		l.over = make(chan struct{}) // of the bubble, or its time would stand still
		served := make(chan struct{})
		go func() { defer close(served); _ = d.Serve(far) }() // ends with the pipe
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l.cancel = cancel
		cfg.Health = func(h Health) { l.health = append(l.health, h) }
		cfg.Refused = func(n NAK) { l.nak = append(l.nak, n) }
		cfg.Text = func(s devices.Ident) { l.text = append(l.text, s.Reveal()) }
		cfg.Pin = func() { l.pins++ }
		if l.reader, l.err = Open(ctx, near, cfg); l.err == nil {
			go func() {
				defer close(l.over)
				for read, err := range l.reader.Reads(ctx) {
					if err != nil {
						l.err = err
						continue
					}
					l.reads = append(l.reads, read)
				}
			}()
			act(l)
			cancel()
			<-l.over
			if c := l.reader.Counters(); c.Frames == 0 || c.Bytes == 0 {
				t.Errorf("counted %+v", c)
			}
		}
		_ = near.Close() // the driver has closed it
		_ = far.Close()
		<-served
	})
	return l
}

// wait lets time pass.
func (l *life) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want compares the cards read, and forgets them.
func (l *life) want(epcs ...string) {
	l.t.Helper()
	var got []string
	for _, r := range l.reads {
		switch {
		case r.Tag == nil:
			got = append(got, "key "+r.Key.Button)
		case r.Tag.Unreadable:
			got = append(got, "unreadable")
		default:
			got = append(got, r.Tag.EPC.Reveal())
		}
		if r.Device != "r" || r.Role != devices.RoleCard || r.At.IsZero() {
			l.t.Errorf("read %+v", r)
		}
	}
	if !slices.Equal(got, epcs) {
		l.t.Errorf("read %q, want %q", got, epcs)
	}
	l.reads = nil
}

func (l *life) card(n int) { l.device.Card(0, 32, number(n)[4:]) }

func TestCardsKeysTextAndStatus(t *testing.T) {
	for name, cfg := range map[string]Config{"clear": inClear, "secure": secured} {
		t.Run(name, func(t *testing.T) {
			cfg.Bits, cfg.Keys = []int{26, 32}, map[string]string{"*": "refer", "#": "release"}
			l := live(t, &pd.Device{Key: cfg.Key}, cfg, func(l *life) {
				l.device.Card(0, 26, []byte{0x96, 0xB4, 0xD2, 0xC0})
				l.device.Card(1, 26, []byte{0x96, 0xB4, 0xD2, 0xC0}) // parity wrong
				l.device.Card(0, 37, []byte{0x96, 0xB4, 0xD2, 0xC0, 0})
				l.device.Formatted("ABC123")
				l.device.Strike("12*#")
				l.wait(time.Second)
				l.want("96B4D2C0", "unreadable", "unreadable", "unreadable", "key refer", "key release")
				l.device.Status(true, false)
				l.device.Status(true, false)
				l.device.Status(false, true)
				l.wait(time.Second)
			})
			sec := !cfg.Clear
			if want := []Health{{Secure: sec, Status: true}, {Secure: sec, Status: true, Tamper: true}, {Secure: sec, Status: true, Power: true}}; !slices.Equal(l.health, want) {
				t.Errorf("health %+v, want %+v", l.health, want)
			}
			if len(l.text) != 1 || !strings.HasSuffix(l.text[0], "ABC123") {
				t.Errorf("formatted data %q", l.text)
			}
			if !errors.Is(l.err, context.Canceled) {
				t.Errorf("ended with %v", l.err)
			}
			if want := (Identity{[3]byte{0x69, 0x7A, 0}, 0x99, 1, 0x01020304, [3]byte{0x0B, 0x0C, 0x0D}}); l.reader.Identity() != want {
				t.Errorf("identity %+v", l.reader.Identity())
			}
		})
	}
}

func TestAntennaCountsFromOne(t *testing.T) {
	live(t, &pd.Device{}, inClear, func(l *life) {
		l.card(1)
		l.wait(time.Second)
		if len(l.reads) != 1 || l.reads[0].Tag.Antenna != 1 {
			t.Errorf("reader 0 read as %+v", l.reads)
		}
	})
}

func TestOutputs(t *testing.T) {
	for name, cfg := range map[string]Config{"clear": inClear, "secure": secured} {
		t.Run(name, func(t *testing.T) {
			var told []string
			d := &pd.Device{Key: cfg.Key, Told: func(code byte, data []byte) { told = append(told, fmt.Sprintf("%02X % X", code, data)) }}
			live(t, d, cfg, func(l *life) {
				red := Light{Temp: &Blink{Green, Red, 500 * time.Millisecond, 500 * time.Millisecond}, Time: 5 * time.Second, Lasting: &Blink{On: Red}}
				errs := errors.Join(l.reader.Light(red), l.reader.Buzz(Buzz{On: 200 * time.Millisecond, Off: 200 * time.Millisecond, Times: 1}),
					l.reader.Buzz(Buzz{Silence: true}), l.reader.Show(Text{Row: 1, Column: 1, Text: "GO"}), l.reader.Output(Output{3, 1, 250 * time.Second}),
					l.reader.Light(red, red, red, red, red, red, red))
				if errs != nil {
					t.Error(errs)
				}
				l.wait(time.Second)
				if l.reader.Light() == nil || l.reader.Light(make([]Light, 8)...) == nil {
					t.Error("no light, or too many, were taken")
				}
			})
			one := "00 00 02 05 05 02 01 32 00 01 01 00 01 00"
			want := []string{"69 " + one, "6A 00 02 02 02 01", "6A 00 01 00 00 00", "6B 00 01 00 01 01 02 47 4F", "68 03 01 C4 09",
				"69 " + strings.TrimSpace(strings.Repeat(one+" ", 7))}
			if !slices.Equal(told, want) {
				t.Errorf("the reader was told\n%q, want\n%q", told, want)
			}
		})
	}
}

// A reader that cards flood still shows what it is told to.
func TestOutputsDuringFlood(t *testing.T) {
	told := 0
	d := &pd.Device{Told: func(byte, []byte) { told++ }}
	live(t, d, inClear, func(l *life) {
		d.Spoil(func(reply []byte, _ bool) []byte { time.Sleep(time.Millisecond); l.card(1); return reply })
		l.card(1)
		if err := l.reader.Buzz(Buzz{Silence: true}); err != nil {
			t.Error(err)
		}
		l.wait(time.Second)
		if told != 1 || l.device.Waiting() == 0 {
			t.Errorf("%d sounds while %d cards wait", told, l.device.Waiting())
		}
	})
}

func TestOutputsRefusedAndFull(t *testing.T) {
	live(t, &pd.Device{NoStatus: true}, inClear, func(l *life) {
		if err := l.reader.order(0x5F, nil); err != nil { // libosdp table: NAK 3
			t.Error(err)
		}
		l.wait(time.Second)
		if want := []NAK{{0x5F, 3}}; !slices.Equal(l.nak, want) {
			t.Errorf("refusals %v, want %v", l.nak, want)
		}
		if want := []Health{{}}; !slices.Equal(l.health, want) { // NAK 2 to LSTAT
			t.Errorf("health %+v, want %+v", l.health, want)
		}
		l.device.Mute(true)
		l.wait(100 * time.Millisecond) // it waits for the answer to a poll now
		for range ordersMost {
			if err := l.reader.Buzz(Buzz{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.reader.Buzz(Buzz{}); !errors.Is(err, ErrFull) {
			t.Errorf("one output too many: %v", err)
		}
	})
}

func TestNAKTable(t *testing.T) {
	seen := map[string]bool{}
	for code := range byte(12) {
		s := NAK{0x60, code}.Error()
		if !strings.Contains(s, "60") || !strings.Contains(s, fmt.Sprint(code)) || seen[s] {
			t.Errorf("NAK %d reads %q", code, s)
		}
		seen[s] = true
	}
}

func TestConfigRefused(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"broadcast":                func(c *Config) { c.Address = 0x7F },
		"slow poll":                func(c *Config) { c.Poll = 401 * time.Millisecond },
		"negative poll":            func(c *Config) { c.Poll = -1 },
		"no key":                   func(c *Config) { c.Key = Key{} },
		"no key and pinned":        func(c *Config) { c.Key, c.Clear, c.Pinned = Key{}, true, true },
		"clear with a key":         func(c *Config) { c.Clear = true },
		"default key":              func(c *Config) { c.Key = defaultKey },
		"weak key":                 func(c *Config) { c.Key = Key(bytes.Repeat([]byte{7}, 16)) },
		"install for ever":         func(c *Config) { c.InstallUntil = time.Now().Add(61 * time.Minute) },
		"cards of no bits":         func(c *Config) { c.Bits = []int{0} },
		"cards of too many bits":   func(c *Config) { c.Bits = []int{257} },
		"key that no keypad has":   func(c *Config) { c.Keys = map[string]string{"A": "x"} },
		"two keys bound as if one": func(c *Config) { c.Keys = map[string]string{"12": "x"} },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := secured
			edit(&cfg)
			near, far := newLine(nil)
			defer far.Close()
			if _, err := Open(t.Context(), near, cfg); err == nil {
				t.Error("opened")
			}
			if _, err := near.Write(nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the port was left open: %v", err)
			}
		})
	}
}
