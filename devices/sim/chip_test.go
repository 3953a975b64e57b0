package sim_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/gpio"
	"boothd/devices/gpio/chipwire"
	"boothd/devices/sim"
)

var lamps = []sim.ChipLine{{Name: "RED", Pull: true}, {Name: "GREEN"}, {Name: "LOOP"}}

// TestMain is also the process that is killed: with a socket in the
// environment it lights green, says so and waits for its end.
func TestMain(m *testing.M) {
	path := os.Getenv("SIM_TEST_CHIP")
	if path == "" {
		os.Exit(m.Run())
	}
	if err := lightGreen(path); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("green")
	bufio.NewReader(os.Stdin).ReadByte() // ends with the parent at the latest
}

func lightGreen(path string) error {
	chip, err := gpio.OpenChip(context.Background(), "sim:"+path)
	if err != nil {
		return err
	}
	red, err := chip.Out(gpio.OutConfig{Point: "traveller_red", Line: "RED", Safe: true})
	if err != nil {
		return err
	}
	green, err := chip.Out(gpio.OutConfig{Point: "traveller_green", Line: "GREEN"})
	if err != nil {
		return err
	}
	return errors.Join(red.Set(false), green.Set(true))
}

// story is the trace of the next n changes, without times.
func story(t *testing.T, far *sim.Chip, n int) []string {
	t.Helper()
	var got []string
	var last time.Time
	for c := range far.Watch(t.Context()) {
		if c.At.Before(last) {
			t.Errorf("%s at %v, after a change at %v", c.Line, c.At, last)
		}
		last = c.At
		got = append(got, fmt.Sprintf("%s %v %s by %s", c.Line, c.Level, c.Cause, c.Consumer))
		if len(got) == n {
			break
		}
	}
	return got
}

func TestI9_KilledProcessShowsRed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	far, err := sim.ServeChip(t.Context(), path, lamps)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Break()
	for round := range 2 { // the second is the restarted daemon
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "SIM_TEST_CHIP="+path)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		stdout, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		said, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil || said != "green\n" {
			t.Fatalf("the process says %q, %v", said, err)
		}
		if lit := far.Outputs(); lit["RED"] || !lit["GREEN"] {
			t.Errorf("the process has lit %v", lit)
		}
		cmd.Process.Kill()
		cmd.Wait() // killed: it says nothing else
		got := story(t, far, 6*(round+1))[6*round:]
		slices.Sort(got[4:])
		want := []string{"RED true claimed by boothd:traveller_red", "GREEN false claimed by boothd:traveller_green",
			"RED false driven by boothd:traveller_red", "GREEN true driven by boothd:traveller_green",
			"GREEN false died by boothd:traveller_green", "RED true died by boothd:traveller_red"}
		if !slices.Equal(got, want) {
			t.Errorf("round %d: %q, want %q", round, got, want)
		}
	}
}

func TestChipBreaksAndMends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	far, err := sim.ServeChip(ctx, path, lamps)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := lightGreen(path); err != nil {
			t.Fatal(err)
		}
		if err := far.Set("GREEN", false); err == nil {
			t.Error("an output is driven from outside")
		}
		far.Break()
		if lit := far.Outputs(); !lit["RED"] || lit["GREEN"] || len(far.Claims()) != 0 {
			t.Errorf("broken chip: %v, claimed %v", lit, far.Claims())
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket of a broken chip: %v", err)
		}
		if err := far.Mend(); err != nil {
			t.Fatal(err)
		}
	}
	if err := far.Mend(); err != nil {
		t.Errorf("mending a whole chip: %v", err)
	}
	if err := far.Set("GPIO99", true); err == nil {
		t.Error("a line that is not there is driven")
	}
	if err := lightGreen(path); err != nil {
		t.Fatal(err)
	}
	got := story(t, far, 16)
	cancel() // is the end of the chip too
	for c := range far.Watch(t.Context()) {
		if c.Cause == sim.Broke {
			got = append(got, c.Line)
		}
		if len(got) == 16+6 {
			break
		}
	}
	far.Break() // waits for it
}

// TestWireRules: a driver that breaks a rule is hung up on, and what it had
// claimed falls to the resistors.
func TestWireRules(t *testing.T) {
	for name, line := range map[string]string{
		"not JSON":        "claim RED\n",
		"unknown request": `{"op":"blink","id":2,"line":"RED"}` + "\n",
		"too long":        `{"op":"` + strings.Repeat("x", chipwire.LineMost) + `"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := sim.NewChip(lamps...)
				here, there := net.Pipe()
				defer here.Close()
				served := make(chan error, 1)
				go func() { served <- far.Serve(there) }()
				r := chipwire.NewReader(here)
				say(t, here, `{"op":"claim","id":1,"line":"GREEN","output":true,"active":true,"consumer":"c"}`+"\n")
				for _, want := range []string{chipwire.Hello, chipwire.Done} {
					if m, err := r.Read(); err != nil || m.Op != want {
						t.Fatalf("the chip says %+v, %v; want %s", m, err, want)
					}
				}
				go here.Write([]byte(line)) // it may be hung up on in the middle
				if err := <-served; err == nil {
					t.Error("the chip takes it")
				}
				if m, err := r.Read(); err == nil {
					t.Errorf("the chip says %+v", m)
				}
				if far.Outputs()["GREEN"] {
					t.Error("green is still lit")
				}
			})
		})
	}
}

func TestUnaskedLinesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.NewChip(lamps...)
		here, there := net.Pipe()
		go far.Serve(there)
		defer here.Close()
		r := chipwire.NewReader(here)
		if m, err := r.Read(); err != nil || m.Op != chipwire.Hello || m.Version != chipwire.Version || m.Stamp <= 0 {
			t.Fatalf("hello %+v, %v", m, err)
		}
		for _, s := range []struct{ line, want string }{
			{`{"op":"set","id":1,"line":"RED","active":true}`, `refused 1 unasked`},
			{`{"op":"level","id":2,"line":"NONE"}`, `refused 2 unasked`},
			{`{"op":"claim","id":3,"line":"NONE"}`, `refused 3 no-line`},
			{`{"op":"claim","id":4,"line":"LOOP","active_low":true}`, `done 4 `},
			{`{"op":"set","id":5,"line":"LOOP","active":true}`, `refused 5 unasked`},
			{`{"op":"level","id":6,"line":"LOOP"}`, `done 6 `},
			{`{"op":"release","id":7,"line":"LOOP"}`, `done 7 `},
			{`{"op":"release","id":8,"line":"LOOP"}`, `refused 8 unasked`},
			{`{"op":"claim","id":9,"line":"LOOP","pair":"NONE"}`, `refused 9 no-line`},
			{`{"op":"claim","id":10,"line":"LOOP","pair":"LOOP"}`, `refused 10 no-line`},
			{`{"op":"claim","id":11,"line":"LOOP","pair":"RED"}`, `done 11 `},
			{`{"op":"set","id":12,"line":"RED","active":true}`, `refused 12 unasked`},
			{`{"op":"release","id":14,"line":"RED"}`, `done 14 `},
			{`{"op":"level","id":15,"line":"LOOP"}`, `refused 15 unasked`},
		} {
			say(t, here, s.line+"\n")
			m, err := r.Read()
			if got := fmt.Sprintf("%s %d %s", m.Op, m.ID, m.Why); err != nil || got != s.want || m.Active != (m.ID == 6) {
				t.Errorf("%s: %+v, %v; want %s", s.line, m, err, s.want)
			}
		}
	})
}

// TestDriverThatDoesNotRead is hung up on; the chip and its Set wait for
// nobody.
func TestDriverThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.NewChip(lamps...)
		here, there := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- far.Serve(there) }()
		r := chipwire.NewReader(here)
		if _, err := r.Read(); err != nil {
			t.Fatal(err)
		}
		say(t, here, `{"op":"claim","id":1,"line":"LOOP","consumer":"c"}`+"\n")
		synctest.Wait()
		for n := range 2000 {
			if err := far.Set("LOOP", n%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if len(far.Claims()) != 0 {
			t.Errorf("claims %v", far.Claims())
		}
	})
}

// TestTraceIsBounded: a watcher who comes late misses the oldest changes.
func TestTraceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := sim.NewChip(lamps...)
		here, there := net.Pipe()
		go far.Serve(there)
		chip, err := gpio.OpenWire(t.Context(), here)
		if err != nil {
			t.Fatal(err)
		}
		defer chip.Close()
		green, err := chip.Out(gpio.OutConfig{Point: "traveller_green", Line: "GREEN"})
		if err != nil {
			t.Fatal(err)
		}
		const flips = 1<<16 + 9 // with the claim, ten more than are kept
		for n := range flips {
			if err := green.Set(n%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n := 0
		for c := range far.Watch(ctx) {
			if c.Cause != sim.Driven {
				t.Fatalf("change %d: %+v", n, c)
			}
			n++
		}
		if n != 1<<16 {
			t.Errorf("%d changes kept", n)
		}
	})
}

func say(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	if _, err := conn.Write([]byte(line)); err != nil {
		t.Fatal(err)
	}
}
