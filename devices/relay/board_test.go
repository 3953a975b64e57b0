package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/port"
	"boothd/devices/sim"
)

// pipe is a line for virtual time: a net.Pipe whose Read gives 0, nil on silence.
type pipe struct{ net.Conn }

func (p pipe) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

var protocols = []Protocol{Modbus, ModbusRegisters, LCUS, LCUSAnswer, LCUSText, Numato}

// config is a board with a red lamp that is on at rest by a released relay, a
// green one, a gate, and inputs if the protocol has them.
func config(p Protocol) Config {
	c := Config{Name: "lamps", Protocol: p, Address: 1, Out: []OutConfig{
		{Point: "red", Channel: 1, ActiveLow: true, Safe: true},
		{Point: "green", Channel: 2},
		{Point: "stop", Channel: 4, Safe: true},
	}}
	if p != LCUS && p != LCUSAnswer && p != LCUSText {
		c.In = []InConfig{{Point: "loop", Channel: 1, Debounce: 50 * time.Millisecond}, {Point: "button", Channel: 3, ActiveLow: true}}
	}
	return c
}

// bench is a driver and a simulated board in virtual time.
type bench struct {
	*testing.T
	board *Board
	sim   *Sim
	far   net.Conn
}

func (b *bench) out(point string) *Out {
	b.Helper()
	o, err := b.board.Out(point)
	if err != nil {
		b.Fatal(err)
	}
	return o
}

func (b *bench) set(point string, on bool) {
	b.Helper()
	if err := b.out(point).Set(on); err != nil {
		b.Fatal(err)
	}
}

// relays checks relays 1, 2 and 4 of the board itself.
func (b *bench) relays(why string, want ...bool) {
	b.Helper()
	for i, channel := range []int{1, 2, 4} {
		if got := b.sim.Relay(channel); got != want[i] {
			b.Errorf("%s: relay %d is %t", why, channel, got)
		}
	}
}

func play(t *testing.T, cfg Config, s *Sim, act func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s.Protocol, s.Address = cfg.Protocol, 1
		served := make(chan error, 1)
		go func() { served <- s.Serve(far) }()
		board, err := Open(t.Context(), pipe{near}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		act(&bench{T: t, board: board, sim: s, far: far})
		if err := board.Close(); err != nil {
			t.Error(err)
		}
		_ = far.Close() // it may be closed already
		<-served
		synctest.Wait()
	})
}

// each runs f for every protocol but some.
func each(t *testing.T, f func(t *testing.T, p Protocol), but ...Protocol) {
	for _, p := range protocols {
		if !slices.Contains(but, p) {
			t.Run(string(p), func(t *testing.T) { f(t, p) })
		}
	}
}

func TestI9_SafeAtOpenAndAtClose(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		s := &Sim{}
		for channel := range 8 {
			s.relays = s.relays.with(channel+1, true) // as a former owner left them
		}
		play(t, config(p), s, func(b *bench) {
			synctest.Wait()
			b.relays("at open", false, false, true)
			if !b.sim.Relay(3) || !b.sim.Relay(5) {
				b.Error("relays that are not ours were driven")
			}
			if !b.out("red").Commanded() || b.out("green").Commanded() {
				b.Error("commanded levels at open are not the safe ones")
			}
			b.set("red", false)
			b.set("green", true)
			b.set("stop", false)
			synctest.Wait()
			b.relays("when set", true, true, false)
			if b.out("red").Commanded() || !b.out("green").Commanded() {
				b.Error("commanded levels are not those set")
			}
			if err := b.board.Close(); err != nil {
				b.Error(err)
			}
			synctest.Wait()
			b.relays("at close", false, false, true)
			if err := b.out("green").Set(true); !errors.Is(err, os.ErrClosed) {
				b.Errorf("Set after Close: %v", err)
			}
			if err := b.board.Wait(b.Context()); !errors.Is(err, os.ErrClosed) {
				b.Errorf("Wait after Close: %v", err)
			}
		})
	})
}

// A board that lost its power for a moment is driven anew within a second.
func TestRebootIsNoticedAndDrivenAnew(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		reboots := 0
		cfg := config(p)
		cfg.Health = func(err error) {
			if errors.Is(err, ErrReboot) {
				reboots++
			}
		}
		play(t, cfg, &Sim{}, func(b *bench) {
			b.set("green", true)
			for range 20 {
				b.sim.Reboot()
				time.Sleep(999 * time.Millisecond)
				synctest.Wait()
				b.relays("after a reboot", false, true, true)
			}
			if err := b.out("green").Set(false); err != nil {
				b.Errorf("Set after a reboot: %v", err)
			}
			if told := p != LCUS; told != (b.board.Redriven() == 20) || told != (reboots == 20) {
				b.Errorf("driven anew %d times, told %d times", b.board.Redriven(), reboots)
			}
		})
	})
}

// A board that falls silent is over within a second, for everyone, and is told
// to be safe even if it cannot be heard.
func TestI9_SilentBoardIsOverWithinASecond(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		play(t, config(p), &Sim{}, func(b *bench) {
			b.set("green", true)
			b.sim.Mute(true)
			began := time.Now()
			if err := b.board.Wait(b.Context()); !errors.Is(err, ErrSilent) {
				b.Errorf("Wait = %v, want silence", err)
			}
			if took := time.Since(began); took > time.Second {
				b.Errorf("noticed after %v", took)
			}
			began = time.Now()
			if err := b.out("green").Set(true); !errors.Is(err, ErrSilent) {
				b.Errorf("Set = %v, want silence", err)
			}
			if took := time.Since(began); took != 0 {
				b.Errorf("Set of a board that is over took %v", took)
			}
			if err := b.board.Close(); err != nil {
				b.Error(err)
			}
			synctest.Wait()
			b.relays("unheard", false, false, true)
			if c := b.board.Counters(); c.Timeouts < tries {
				b.Errorf("counted %+v", c)
			}
		})
	}, LCUS) // which never says anything: TestUnplugged
}

// Set on a board that dies under it is bounded, and the order is not done later.
func TestSetIsBounded(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		play(t, config(p), &Sim{}, func(b *bench) {
			b.sim.Die(true)
			began := time.Now()
			if err := b.out("green").Set(true); err == nil {
				b.Error("Set of a dead board succeeds")
			}
			if took := time.Since(began); took > setWait {
				b.Errorf("Set took %v", took)
			}
			if b.out("green").Commanded() {
				b.Error("what failed counts as commanded")
			}
		})
	}, LCUS) // which never says anything: TestUnplugged
}

// stuckWrite is a line whose writes hang as long as a port lets them.
type stuckWrite struct {
	pipe
	stuck chan struct{}
}

func (s stuckWrite) Write(b []byte) (int, error) {
	select {
	case <-s.stuck:
		time.Sleep(time.Second)
		return 0, port.ErrStuck
	default:
		return s.pipe.Write(b)
	}
}

func TestBlockedWriteEndsTheBoard(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			s := &Sim{Protocol: p, Address: 1}
			served := make(chan error, 1)
			go func() { served <- s.Serve(far) }()
			w := stuckWrite{pipe{near}, make(chan struct{})}
			board, err := Open(t.Context(), w, config(p))
			if err != nil {
				t.Fatal(err)
			}
			out, err := board.Out("green")
			if err != nil {
				t.Fatal(err)
			}
			close(w.stuck)
			began := time.Now()
			if err := out.Set(true); err == nil {
				t.Error("Set through a blocked write succeeds")
			}
			if took := time.Since(began); took > setWait {
				t.Errorf("Set took %v", took)
			}
			if err := board.Wait(t.Context()); !errors.Is(err, port.ErrStuck) {
				t.Errorf("Wait = %v", err)
			}
			if err := board.Close(); err != nil {
				t.Error(err)
			}
			_ = far.Close()
			<-served
		})
	})
}

func TestNobodyAnswers(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			drained := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, far); close(drained) }()
			began := time.Now()
			if _, err := Open(t.Context(), pipe{near}, config(p)); !errors.Is(err, ErrSilent) {
				t.Errorf("Open = %v, want silence", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := Open(ctx, pipe{near}, config(p)); !errors.Is(err, context.Canceled) {
				t.Errorf("Open after cancel = %v", err)
			}
			_ = far.Close()
			<-drained
		})
	}, LCUS) // which never says anything: TestUnplugged
}

// The whole road, on the kernel's line; then the cable is pulled. Again and
// again.
func TestUnplugged(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		t.Parallel()
		for life := range 100 {
			far, path, err := sim.OpenPTY()
			if err != nil {
				t.Fatal(err)
			}
			s := &Sim{Protocol: p, Address: 1}
			served := make(chan error, 1)
			go func() { served <- s.Serve(far) }()
			line, err := port.Open(t.Context(), port.Spec{Path: path, Baud: 9600})
			if err != nil {
				t.Fatal(err)
			}
			board, err := Open(t.Context(), line, config(p))
			if err != nil {
				t.Fatal(err)
			}
			out, err := board.Out("green")
			if err != nil {
				t.Fatal(err)
			}
			if err := out.Set(life%2 == 0); err != nil {
				t.Fatal(err)
			}
			if err := far.Close(); err != nil {
				t.Fatal(err)
			}
			if err := board.Wait(t.Context()); !errors.Is(err, port.ErrGone) {
				t.Errorf("Wait = %v, want %v", err, port.ErrGone)
			}
			if err := out.Set(true); !errors.Is(err, port.ErrGone) {
				t.Errorf("Set = %v, want %v", err, port.ErrGone)
			}
			if err := board.Close(); err != nil {
				t.Error(err)
			}
			<-served
		}
	})
}
