package relay

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// lapsing is a board whose green goes out by itself after 2 s.
func lapsing() Config {
	c := config(Modbus)
	c.Lapse = 2 * time.Second
	c.Out[1].Lapses = true
	return c
}

// killed is the line of a process that may be gone: nothing comes from it then,
// and nobody reads what comes to it.
type killed struct {
	pipe
	gone *atomic.Bool
}

func (k killed) Write(b []byte) (int, error) {
	if k.gone.Load() {
		return len(b), nil
	}
	return k.pipe.Write(b)
}

func (k killed) Read(b []byte) (int, error) {
	n, err := k.pipe.Read(b)
	if k.gone.Load() {
		n = 0
	}
	return n, err
}

// A green that was lit goes out within its lapse when the process is gone
// without a word, as after kill -9. The other relays stay.
func TestI9_GreenGoesOutWhenNobodyIsThereToTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s := &Sim{Protocol: Modbus, Address: 1, Flash: true}
		served := make(chan error, 1)
		go func() { served <- s.Serve(far) }()
		gone := &atomic.Bool{}
		board, err := Open(t.Context(), killed{pipe{near}, gone}, lapsing())
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{T: t, board: board, sim: s, far: far}
		b.set("green", true)
		time.Sleep(time.Minute)
		b.relays("driven", false, true, true)
		gone.Store(true)
		time.Sleep(1300 * time.Millisecond) // its last word may be as old as a third of the lapse
		b.relays("a moment later", false, true, true)
		time.Sleep(800 * time.Millisecond)
		b.relays("after its lapse", false, false, true)
		_ = board.Close() // it was over by itself
		_ = far.Close()
		<-served
		synctest.Wait()
	})
}

// While it is driven a lamp that lapses is lit without a gap, and it goes out
// when it is told to and not by its old lapse.
func TestLapsingLampIsSteady(t *testing.T) {
	var moved []string
	began := time.Time{}
	s := &Sim{Flash: true, Moved: func(channel int, on bool) {
		if channel == 2 {
			moved = append(moved, time.Since(began).Round(time.Second).String()+map[bool]string{true: " on", false: " off"}[on])
		}
	}}
	play(t, lapsing(), s, func(b *bench) {
		began = time.Now()
		for _, on := range []bool{true, false, true, false} {
			b.set("green", on)
			if got := b.out("green").Commanded(); got != on {
				b.Errorf("commanded %v", got)
			}
			time.Sleep(10 * time.Second)
		}
		b.set("green", true)
		time.Sleep(time.Second)
		b.set("green", false)
		b.set("green", true) // the lapse of before is over in a second
		time.Sleep(10 * time.Second)
		if n := b.board.Redriven(); n != 0 {
			b.Errorf("driven anew %d times", n)
		}
	})
	if want := []string{"0s on", "10s off", "20s on", "30s off", "40s on", "41s off", "41s on", "51s off"}; !slices.Equal(moved, want) {
		t.Errorf("%q, want %q", moved, want)
	}
}

// A board that does not begin anew when it is told again puts the lamp out: that
// is seen, told, and it is lit again. It is never left lit.
func TestBoardThatLapsesAllTheSame(t *testing.T) {
	cfg := lapsing()
	var told atomic.Int32
	cfg.Health = func(err error) {
		if errors.Is(err, ErrReboot) {
			told.Add(1)
		}
	}
	play(t, cfg, &Sim{Flash: true, Once: true}, func(b *bench) {
		b.set("green", true)
		time.Sleep(21 * time.Second)
		if n := told.Load(); n < 9 || n > 11 || b.board.Redriven() != uint64(n) {
			b.Errorf("told %d times in ten lapses, driven anew %d times", n, b.board.Redriven())
		}
		select {
		case <-b.board.over:
			b.Error("the board was given up")
		default:
		}
	})
}

// A board without the command lights nothing, and says so.
func TestBoardWithoutLapse(t *testing.T) {
	play(t, lapsing(), &Sim{}, func(b *bench) {
		var refused Exception
		if err := b.out("green").Set(true); !errors.As(err, &refused) {
			b.Errorf("Set: %v", err)
		}
		b.relays("refused", false, false, true)
		b.set("stop", false)
		b.relays("others", false, false, false)
	})
}

func TestLapseConfigurations(t *testing.T) {
	for _, v := range []struct {
		want string
		edit func(c *Config)
	}{
		{"go together", func(c *Config) { c.Lapse = 0 }},
		{"go together", func(c *Config) { c.Out[1].Lapses = false }},
		{"no command that lapses", func(c *Config) { c.Protocol = ModbusRegisters }},
		{"not 1s to 10s", func(c *Config) { c.Lapse = 900 * time.Millisecond }},
		{"not 1s to 10s", func(c *Config) { c.Lapse = 10100 * time.Millisecond }},
		{"in steps of 100ms", func(c *Config) { c.Lapse = 2050 * time.Millisecond }},
		{"must be safe so", func(c *Config) { c.Out[0].Lapses = true }},
		{"must be safe so", func(c *Config) { c.Out[2].Lapses = true }},
		{"", func(*Config) {}},
	} {
		c := lapsing()
		v.edit(&c)
		if _, err := c.complete(); (err == nil) != (v.want == "") || err != nil && !strings.Contains(err.Error(), v.want) {
			t.Errorf("%v, want %q", err, v.want)
		}
	}
}
