package gpio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/sim"
)

// board is a booth's wiring: red is lit by its resistor when nothing drives
// it, green's relay is switched by the low level.
var board = []sim.ChipLine{
	{Name: "RED", Pull: true}, {Name: "GREEN", Pull: true}, {Name: "AMBER"},
	{Name: "LOOP", Pull: true}, {Name: "BUTTON"},
}

// socket serves the board at a socket and opens it.
func socket(t *testing.T) (*sim.Chip, *Chip, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chip")
	far, err := sim.ServeChip(t.Context(), path, board)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(far.Break)
	return far, reopen(t, path), path
}

func reopen(t *testing.T, path string) *Chip {
	t.Helper()
	chip, err := OpenChip(t.Context(), "sim:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { chip.Close() }) // a second Close, or of a chip that is gone, has nothing to say here
	return chip
}

// pipe joins a board and its driver inside a bubble, where waiting is free.
func pipe(t *testing.T) (*sim.Chip, *Chip) {
	t.Helper()
	far := sim.NewChip(board...)
	here, there := net.Pipe()
	go far.Serve(there)
	chip, err := OpenWire(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	return far, chip
}

func out(t *testing.T, c *Chip, cfg OutConfig) *Out {
	t.Helper()
	o, err := c.Out(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func in(t *testing.T, c *Chip, cfg InConfig) *In {
	t.Helper()
	i, err := c.In(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// changes takes n changes from the board's trace, as "line level cause".
func changes(t *testing.T, far *sim.Chip, n int) []string {
	t.Helper()
	var got []string
	for c := range far.Watch(t.Context()) {
		if got = append(got, fmt.Sprintf("%s %v %s", c.Line, c.Level, c.Cause)); len(got) == n {
			break
		}
	}
	return got
}

func TestBusyNamesTheConsumer(t *testing.T) {
	far, chip, path := socket(t)
	out(t, chip, OutConfig{Point: "traveller_red", Line: "RED", Safe: true})
	for name, c := range map[string]*Chip{"another process": reopen(t, path), "the same": chip} {
		_, err := c.Out(OutConfig{Point: "again", Line: "RED"})
		if !errors.Is(err, ErrBusy) {
			t.Errorf("%s: claim of a claimed line = %v", name, err)
		}
	}
	_, err := reopen(t, path).In(InConfig{Point: "again", Line: "RED"})
	want := `claiming input again on line RED of sim:` + path + `: GPIO line in use by "boothd:traveller_red"`
	if err == nil || err.Error() != want {
		t.Errorf("claim = %v, want %s", err, want)
	}
	if got := far.Claims(); len(got) != 1 || got["RED"] != "boothd:traveller_red" {
		t.Errorf("claims %v", got)
	}
	if _, err := chip.In(InConfig{Point: "loop", Line: "GPIO99"}); !errors.Is(err, ErrNoLine) {
		t.Errorf("claim of no line = %v", err)
	}
}

func TestNoChip(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	for _, name := range []string{"sim:" + filepath.Join(dir, "none"), "sim:" + stale, filepath.Join(dir, "gpiochip0"), "/dev/null", "no-such-label"} {
		if c, err := OpenChip(t.Context(), name); c != nil || !errors.Is(err, ErrNoChip) {
			t.Errorf("OpenChip(%s) = %v, %v; want ErrNoChip", name, c, err)
		}
	}
	far, err := sim.ServeChip(t.Context(), stale, board)
	if err != nil {
		t.Fatal("a stale socket is in the way:", err)
	}
	defer far.Break()
	if s, err := os.Lstat(stale); err != nil || s.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket is %v, %v; want 0600", s.Mode(), err)
	}
	if _, err := sim.ServeChip(t.Context(), stale, board); err == nil {
		t.Error("two chips serve one socket")
	}
}

func TestEdgesActiveLow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, chip := pipe(t)
		defer chip.Close()
		loop := in(t, chip, InConfig{Point: "booth_loop", Line: "LOOP", ActiveLow: true})
		edge, stop := iter.Pull2(loop.Edges(t.Context()))
		defer stop()
		began := time.Now()
		if e, err, _ := edge(); err != nil || e != (Edge{Point: "booth_loop", At: e.At}) || !e.At.Equal(began) {
			t.Fatalf("at start %+v, %v", e, err)
		}
		for n := range 4 {
			time.Sleep(time.Minute) // longer than a quiet line is looked at
			moved := time.Now()
			if err := far.Set("LOOP", n%2 == 1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // the reader is late, the stamp is not
			e, err, _ := edge()
			// Stamps are unlike each other, by a nanosecond where they must be.
			if err != nil || e.Active != (n%2 == 0) || e.Lost || e.At.Sub(moved).Truncate(time.Microsecond) != 0 {
				t.Fatalf("edge %d: %+v, %v; moved at %v", n, e, err, moved)
			}
			if active, err := loop.Level(); err != nil || active != e.Active {
				t.Fatalf("level %v, %v after %+v", active, err, e)
			}
		}
	})
}

func TestDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, chip := pipe(t)
		defer chip.Close()
		button := in(t, chip, InConfig{Point: "release", Line: "BUTTON", Debounce: 30 * time.Millisecond})
		edge, stop := iter.Pull2(button.Edges(t.Context()))
		defer stop()
		if e, err, _ := edge(); err != nil || e.Active {
			t.Fatalf("at start %+v, %v", e, err)
		}
		level := false
		flip := func(hold time.Duration) {
			level = !level
			if err := far.Set("BUTTON", level); err != nil {
				t.Fatal(err)
			}
			time.Sleep(hold)
		}
		for range 1000 { // chatter at 1 kHz
			flip(time.Millisecond / 2)
			flip(time.Millisecond / 2)
		}
		flip(29 * time.Millisecond) // a pulse too short
		flip(time.Hour)
		began := time.Now()
		flip(20 * time.Millisecond) // a press that bounces
		flip(time.Millisecond)
		flip(time.Minute)
		e, err, _ := edge()
		if want := began.Add(51 * time.Millisecond); err != nil || !e.Active || e.Lost || e.At.Sub(want).Truncate(time.Microsecond) != 0 {
			t.Fatalf("edge %+v, %v; want active at %v", e, err, want)
		}
		flip(30*time.Millisecond - 1)
		if active, err := button.Level(); err != nil || !active {
			t.Errorf("released just before the time: level %v, %v", active, err)
		}
		time.Sleep(time.Minute)
		if e, err, _ := edge(); err != nil || e.Active || e.Lost {
			t.Errorf("edge %+v, %v; want the release", e, err)
		}
	})
}

func TestOverflowIsToldAndLevelIsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, chip := pipe(t)
		defer chip.Close()
		button := in(t, chip, InConfig{Point: "release", Line: "BUTTON"})
		edge, stop := iter.Pull2(button.Edges(t.Context()))
		defer stop()
		if e, err, _ := edge(); err != nil || e.Active || e.Lost {
			t.Fatalf("at start %+v, %v", e, err)
		}
		const flips = 301
		for n := range flips {
			if err := far.Set("BUTTON", n%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		var last Edge
		for n := range bufferedEvents {
			e, err, _ := edge()
			if err != nil || e.Lost != (n == 0) {
				t.Fatalf("edge %d of those kept: %+v, %v", n, e, err)
			}
			last = e
		}
		if !last.Active {
			t.Error("the last edge does not tell the level")
		}
	})
}

// TestEdgesBetweenReadersAreInTheLevel: whoever starts to read gets the level
// as it is, not what led to it.
func TestEdgesBetweenReadersAreInTheLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, chip := pipe(t)
		defer chip.Close()
		button := in(t, chip, InConfig{Point: "release", Line: "BUTTON"})
		for n := range 2 * bufferedEvents {
			if err := far.Set("BUTTON", n%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var got []Edge
		var end error
		for e, err := range button.Edges(ctx) {
			if err != nil {
				end = err
				continue
			}
			got = append(got, e)
		}
		if len(got) != 1 || got[0].Active || !errors.Is(end, context.DeadlineExceeded) {
			t.Errorf("edges %+v, then %v", got, end)
		}
		for _, err := range button.Edges(ctx) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after the end of ctx: %v", err)
			}
		}
	})
}

func TestChipVanishes(t *testing.T) {
	far, chip, path := socket(t)
	red := out(t, chip, OutConfig{Point: "traveller_red", Line: "RED", Safe: true})
	loop := in(t, chip, InConfig{Point: "booth_loop", Line: "LOOP"})
	var end []error
	for _, err := range loop.Edges(t.Context()) {
		if err != nil {
			end = append(end, err)
			continue
		}
		far.Break()
	}
	if len(end) != 1 || !errors.Is(end[0], ErrGone) {
		t.Errorf("Edges ended with %v, want one ErrGone", end)
	}
	if err := red.Set(false); !errors.Is(err, ErrGone) {
		t.Errorf("Set = %v, want ErrGone", err)
	}
	if !red.Commanded() {
		t.Error("a failed Set counts as commanded")
	}
	if _, err := loop.Level(); !errors.Is(err, ErrGone) {
		t.Errorf("Level = %v, want ErrGone", err)
	}
	if _, err := chip.In(InConfig{Point: "release", Line: "BUTTON"}); !errors.Is(err, ErrGone) {
		t.Errorf("In = %v, want ErrGone", err)
	}
	if err := chip.Close(); !errors.Is(err, ErrGone) {
		t.Errorf("Close = %v: lamps were not made safe and nobody is told", err)
	}
	if _, err := OpenChip(t.Context(), "sim:"+path); !errors.Is(err, ErrNoChip) {
		t.Errorf("OpenChip of a chip that vanished = %v", err)
	}
	if err := far.Mend(); err != nil {
		t.Fatal(err)
	}
	out(t, reopen(t, path), OutConfig{Point: "traveller_red", Line: "RED", Safe: true})
}

func TestEdgesEndWithChipAndWithContext(t *testing.T) {
	_, chip, _ := socket(t)
	loop := in(t, chip, InConfig{Point: "booth_loop", Line: "LOOP"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range loop.Edges(ctx) {
		if err != nil && err != context.Canceled {
			t.Errorf("Edges ended with %v", err)
		}
		for _, err := range loop.Edges(ctx) {
			if !errors.Is(err, errReading) && ctx.Err() == nil {
				t.Errorf("a second reader got %v", err)
			}
		}
		cancel()
	}
	var last error
	for _, err := range loop.Edges(t.Context()) {
		if last = err; err == nil {
			chip.Close()
		}
	}
	if !errors.Is(last, os.ErrClosed) {
		t.Errorf("Edges of a closed chip ended with %v", last)
	}
}
