package amtech

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
)

// pipe is a wire in memory that keeps what the host says.
type pipe struct {
	net.Conn
	mu   *sync.Mutex // the driver writes, the test reads
	said *bytes.Buffer
}

func (p pipe) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, err
}

func (p pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	p.said.Write(b)
	p.mu.Unlock()
	return p.Conn.Write(b)
}

// bench is a driver and the reader it is connected to.
type bench struct {
	*testing.T
	sim    *Sim
	r      *Reader
	wire   pipe
	faults []string
	reads  []string
	over   chan struct{}
	err    error // why Reads ended; read after over
}

// play runs act in virtual time with the driver on s.
func play(t *testing.T, s *Sim, cfg Config, act func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		b := &bench{T: t, sim: s, wire: pipe{near, &sync.Mutex{}, &bytes.Buffer{}}, over: make(chan struct{})}
		served := make(chan struct{})
		go func() { defer close(served); _ = s.Serve(far) }() // ends with the wire
		synctest.Wait()
		cfg.Name, cfg.Role = "lane", devices.RoleCard
		cfg.Health = func(f Fault) { b.faults = append(b.faults, f.Error()) }
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		if b.r, err = Open(ctx, b.wire, cfg); err != nil {
			b.err = err
			close(b.over)
		} else {
			go b.follow(ctx)
		}
		act(b)
		cancel()
		<-b.over
		_ = near.Close() // the driver has closed it
		_ = far.Close()
		<-served
	})
}

func (b *bench) follow(ctx context.Context) {
	defer close(b.over)
	for read, err := range b.r.Reads(ctx) {
		if b.err = err; err == nil {
			b.reads = append(b.reads, string(read.Tag.EPC))
		}
	}
}

func (b *bench) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) raw(s string) {
	b.Helper()
	if err := b.sim.Raw([]byte(s)); err != nil {
		b.Error(err)
	}
	synctest.Wait()
}

// want compares what was read, and forgets it.
func (b *bench) want(ids ...string) {
	b.Helper()
	synctest.Wait()
	var want []string
	for _, id := range ids {
		want = append(want, string(ident([]byte(id))))
	}
	if !slices.Equal(b.reads, want) {
		b.Errorf("read %q, want %q: %q", b.reads, want, ids)
	}
	b.reads = nil
}

// heard gives what the host has said since the last call.
func (b *bench) heard() string {
	synctest.Wait()
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	defer b.wire.said.Reset()
	return b.wire.said.String()
}

// ends waits until Reads has ended and tells how long that took.
func (b *bench) ends() (took time.Duration) {
	from := time.Now()
	<-b.over
	return time.Since(from)
}

// An acknowledgement that is lost has the message sent again: it is acknowledged
// again and read once.
func TestLostAcknowledgements(t *testing.T) {
	play(t, &Sim{Mode: ECP}, Config{Mode: ECP}, func(b *bench) {
		b.sim.Deaf(3)
		b.sim.Present("KING 1302")
		b.sim.Present("KING 1303")
		b.wait(10 * time.Second) // the reader's time-out was set to 1 s
		b.want("KING 1302", "KING 1303")
		if c := b.r.Counters(); b.sim.Waiting() != 0 || b.sim.Repeats() != 3 || c.Repeats != 3 {
			b.Errorf("%d wait, %d sent again, %+v", b.sim.Waiting(), b.sim.Repeats(), c)
		}
	})
}

// The same tag twice is two messages, and two reads.
func TestSameTagTwice(t *testing.T) {
	play(t, &Sim{Mode: ECP}, Config{Mode: ECP}, func(b *bench) {
		b.sim.Present("KING 1302")
		b.sim.Present("KING 1302")
		b.wait(time.Second)
		b.want("KING 1302", "KING 1302")
	})
}

// What is answered to a frame whose check value is wrong: its number, if it can
// be one of a message, and nothing else.
func TestDamagedFramesAreRefused(t *testing.T) {
	for _, tc := range []struct{ said, answer string }{
		{"#4KING 13029A91\r\n", "#4@3440\r"}, // published layout, derived value
		{"#4king 13029A91\r\n", "#4?"},
		{"#4KING 1302````\r\n", "#4?"}, // the wild card is for maintenance
		{"#4KING 13029a91\r\n", "#4@3440\r"},
		{"#GKING 13029A91\r\n", ""},
		{"#3KING 13029A91\r\n", ""}, // odd: a command's answer, damaged
		{"KING 1302\r\n", ""},
	} {
		play(t, &Sim{Mode: ECP}, Config{Mode: ECP}, func(b *bench) {
			b.heard()
			b.raw(tc.said)
			if got := b.heard(); !strings.HasPrefix(got, tc.answer) || tc.answer == "" && got != "" {
				b.Errorf("%q is answered %q, want %q", tc.said, got, tc.answer)
			}
		})
	}
}

// A half frame waits 250 ms for more, and no longer.
func TestHalfFrames(t *testing.T) {
	play(t, &Sim{}, Config{}, func(b *bench) {
		b.raw("#KING ")
		b.wait(200 * time.Millisecond)
		b.raw("1302\r\n")
		b.want("KING 1302")
		b.raw("#KING ")
		b.wait(500 * time.Millisecond)
		b.raw("1303\r\n")
		b.want()
		if c := b.r.Counters(); c.Timeouts != 1 {
			b.Errorf("%+v", c)
		}
		b.raw("#KING#KING 1304\r\n") // its end was lost
		b.want("KING 1304")
	})
}

// The 250 ms count from a frame's first byte: characters that come now and then
// do not hold it open. A line of 1200 baud, on which the longest frame takes
// longer, is read all the same.
func TestFrameThatLasts(t *testing.T) {
	play(t, &Sim{}, Config{}, func(b *bench) {
		dribble := func(text string, each time.Duration) {
			for _, c := range text {
				b.raw(string(c))
				b.wait(each)
			}
		}
		dribble("#KING 1\r\n", 100*time.Millisecond)
		b.want()
		if c := b.r.Counters(); c.Timeouts != 1 {
			b.Errorf("dribbled: %+v", c)
		}
		long := "KING 1302&" + strings.Repeat("x", textMost-10)
		dribble("#"+long+"\r\n", time.Second*10/1200)
		b.want("KING 1302")
		dribble("#"+strings.Repeat("x", frameMost-1), time.Second*10/1200) // no end, and then silence
		b.wait(time.Second)
		if c := b.r.Counters(); c.Timeouts != 2 {
			b.Errorf("without an end: %+v", c)
		}
		b.raw("#KING 1303\r\n")
		b.want("KING 1303")
		b.raw("#KING 13") // its end was lost, and the next one begins its own time
		b.wait(200 * time.Millisecond)
		b.raw("#KING ")
		b.wait(200 * time.Millisecond)
		b.raw("1304\r\n")
		b.want("KING 1304")
	})
}

// A reader that signs on has lost what it was told: it is acknowledged, and
// opened again.
func TestSignOnEndsReads(t *testing.T) {
	for _, mode := range []Mode{Basic, Inquiry, ECP} {
		play(t, &Sim{Mode: mode}, Config{Mode: mode}, func(b *bench) {
			b.wait(time.Minute)
			b.sim.Reboot()
			if took := b.ends(); !errors.Is(b.err, ErrReboot) || took > time.Second {
				b.Errorf("mode %d: %v after %v", mode, b.err, took)
			}
			b.wait(time.Second)
			if b.sim.Waiting() != 0 {
				b.Errorf("mode %d: the sign-on is not acknowledged", mode)
			}
		})
	}
}

// A quiet lane's reader is asked who it is once a minute, and goes on reporting;
// one that does not answer is over after three times half a second.
func TestProbesAnIdleReader(t *testing.T) {
	for _, mode := range []Mode{Basic, Inquiry, ECP} {
		play(t, &Sim{Mode: mode, Old: true}, Config{Mode: mode}, func(b *bench) {
			b.heard()
			b.wait(time.Hour)
			if n := strings.Count(b.heard(), cmdSignOn); n < 55 || n > 60 || b.err != nil {
				b.Errorf("mode %d: asked %d times in an hour, %v", mode, n, b.err)
			}
			b.sim.Present("KING 1302")
			b.wait(2 * time.Second)
			b.want("KING 1302")
			b.sim.Mute(true)
			b.heard()
			took := b.ends()
			if n := strings.Count(strings.ReplaceAll(b.heard(), "\x05", ""), "\r"); n != 3 {
				b.Errorf("mode %d: asked %d times, want 3", mode, n)
			}
			if !errors.Is(b.err, ErrSilent) || took > idleMost+tries*answerWait+100*time.Millisecond || b.r.Counters().Timeouts != tries {
				b.Errorf("mode %d: %v after %v, %+v", mode, b.err, took, b.r.Counters())
			}
		})
	}
}

// A tag that is reported while the reader is asked is not lost: with ECP it
// comes again, without it is held.
func TestTagWhileAsked(t *testing.T) {
	for _, mode := range []Mode{Basic, ECP} {
		play(t, &Sim{Mode: mode}, Config{Mode: mode}, func(b *bench) {
			for range 100 { // at every moment of a minute and a half
				b.wait(900 * time.Millisecond)
				b.sim.Present("KING 1302")
			}
			b.wait(3 * time.Second)
			if len(b.reads) != 100 || b.err != nil {
				b.Errorf("mode %d: %d of 100 read, %v", mode, len(b.reads), b.err)
			}
		})
	}
	play(t, &Sim{}, Config{}, func(b *bench) {
		b.sim.Mute(true) // the answers are the test's
		b.wait(idleMost)
		b.heard()
		b.raw("#KING 1302\r\n")
		b.raw("#Done\r\n#Model eGo2000 Series Ver X.0X SN97001P\r\n#Done\r\n")
		b.wait(200 * time.Millisecond)
		b.want("KING 1302")
	})
}

// A reader in the other protocol is found, and brought to ours.
func TestFindsTheOtherProtocol(t *testing.T) {
	for _, c := range []struct{ is, want Mode }{{Basic, ECP}, {ECP, Basic}} {
		play(t, &Sim{Mode: c.is}, Config{Mode: c.want}, func(b *bench) {
			b.sim.Present("KING 1302")
			b.wait(2 * time.Second)
			b.want("KING 1302")
			if b.err != nil || b.sim.Waiting() != 0 {
				b.Errorf("%d to %d: %v, %d wait", c.is, c.want, b.err, b.sim.Waiting())
			}
		})
	}
}

// What the reader refuses of its set-up is told, and the rest is done; so are
// its alarms.
func TestFaults(t *testing.T) {
	for _, mode := range []Mode{Basic, ECP} {
		play(t, &Sim{Mode: mode, Refuses: []string{"311", "00", "01"}}, Config{Mode: mode, Commands: []string{"302", "311", "300"}}, func(b *bench) {
			said := b.heard()
			for _, cmd := range []string{"302", "311", "300"} {
				if !strings.Contains(said, cmd) {
					b.Errorf("mode %d: %s was not sent", mode, cmd)
				}
			}
			b.sim.Present("Error07")
			b.sim.Present("KING 1302")
			b.wait(time.Second)
			b.want("KING 1302")
			if want := []string{"reader refuses command 311", "reader says Error07"}; !slices.Equal(b.faults, want) {
				b.Errorf("mode %d: told %q, want %q", mode, b.faults, want)
			}
		})
	}
}

// A reader that buffers is asked five times a second, and again at once as long
// as it has something.
func TestInquiry(t *testing.T) {
	play(t, &Sim{Mode: Inquiry}, Config{Mode: Inquiry}, func(b *bench) {
		b.heard()
		b.wait(10 * time.Second)
		if n := strings.Count(b.heard(), "\x05"); n < 45 || n > 51 {
			b.Errorf("asked %d times in 10 s", n)
		}
		var want []string
		for n := range 20 {
			want = append(want, fmt.Sprintf("KING %d", 1302+n))
			b.sim.Present(want[n])
		}
		b.wait(time.Second)
		b.want(want...)
	})
}

// slow is a reader's line on which every answer takes a while.
type slow struct {
	pipe
	late time.Duration
}

func (s slow) Write(b []byte) (int, error) {
	time.Sleep(s.late)
	return s.pipe.Write(b)
}

// However slow its answers are, a reader is out of command mode within 10 s.
func TestCommandModeIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s := &Sim{Old: true}
		served := make(chan struct{})
		go func() { defer close(served); _ = s.Serve(far) }() // ends with the wire
		cfg := Config{Commands: slices.Repeat([]string{"311"}, commandsMost)}
		from := time.Now()
		_, err := Open(t.Context(), slow{pipe{near, &sync.Mutex{}, &bytes.Buffer{}}, 1400 * time.Millisecond}, cfg)
		if took := time.Since(from); !errors.Is(err, ErrSlow) || took > commandMode+2*1400*time.Millisecond { // finding it comes first
			t.Errorf("%v after %v", err, took)
		}
		s.mu.Lock()
		if s.command {
			t.Error("it was left in command mode")
		}
		s.mu.Unlock()
		_ = far.Close()
		<-served
	})
}

func TestOpenRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"start":          {Start: '$'},
		"mode":           {Mode: ECP + 1},
		"check value":    {CRC: CRCXModem + 1},
		"parity":         {Parity: ParityOdd + 1},
		"first antenna":  {FirstAntenna: 2},
		"13 commands":    {Commands: slices.Repeat([]string{"311"}, 13)},
		"short command":  {Commands: []string{"3"}},
		"long command":   {Commands: []string{"20" + strings.Repeat("0", 23)}},
		"no hex":         {Commands: []string{"xx"}},
		"start in it":    {Commands: []string{"20#"}},
		"data mode":      {Commands: []string{"00"}},
		"ECP":            {Commands: []string{"611"}},
		"reset":          {Commands: []string{"63"}},
		"ECP's time-out": {Commands: []string{"612FF"}},
	} {
		near, far := net.Pipe()
		if _, err := Open(t.Context(), near, cfg); err == nil {
			t.Errorf("%s: opened", name)
		}
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: the port was left open", name)
		}
	}
}
