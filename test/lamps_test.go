package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"boothd/agent"
	"boothd/agent/contract"
	"boothd/agent/status"
	"boothd/buffer/journal"
	"boothd/configs"
	"boothd/devices/sim"
)

// road is a lane with a barrier and lamps that tell whether they are lit, on a
// chip of this test's, and boothd as a process of its own.
type road struct {
	t      *testing.T
	dir    string
	config string
	cfg    *configs.Config
	chip   *sim.Chip
	booth  *exec.Cmd
}

// lamps that have feedback here.
var seen = []string{"traveller_red", "traveller_amber", "traveller_green", "officer_red", "officer_amber", "officer_green"}

func newRoad(t *testing.T) *road {
	t.Helper()
	r := &road{t: t, dir: t.TempDir()}
	text, err := os.ReadFile("../configs/nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	wires := "\n[gpio.in]\nobstacle = { line = \"BEAM\" }\n"
	for _, lamp := range seen {
		wires += fmt.Sprintf("%s_lit = { line = %q, active_low = %t }\n", lamp, lamp+"-lit", strings.HasSuffix(lamp, "_red"))
	}
	swap := strings.NewReplacer(
		`# socket = "/run/boothd/boothd.sock"`, `socket = "`+r.dir+`/s"`,
		`# dir = "/var/lib/boothd"`, `dir = "`+r.dir+`/store"`,
		`"pinctrl-bcm2711"`, `"sim:`+r.dir+`/chip"`,
		`["ssl://hq-a:8883", "ssl://hq-b:8883"]`, `["tcp://127.0.0.1:1"]`,
		`# key = "credential:token-key"`, `key = "`+r.dir+`/token.key"`,
		`# listen = "127.0.0.1:7080"`, `listen = "`+free(t)+`"`,
		`# random_rate = 0.02`, `random_rate = 0.0`,
		`# source = "kernel"`, `source = "host"`,
		"# gate_", "gate_", "\n[gpio.in]\n", wires,
		"/dev/serial/by-id/", r.dir+"/", // neither reader nor camera: the officer does it all
		"\nca = ", "\n# ca = ", "\ncert = ", "\n# cert = ", "\nkey = \"credential:mqtt-key\"", "\n# key")
	r.config = filepath.Join(r.dir, "boothd.toml")
	err = errors.Join(os.WriteFile(r.config, []byte(swap.Replace(string(text))), 0o600),
		os.WriteFile(filepath.Join(r.dir, "token.key"), []byte(strings.Repeat("0f", 32)), 0o600))
	if err == nil {
		r.cfg, err = agent.Drivers.Load(r.config)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.wire()
	t.Cleanup(func() {
		if r.booth != nil {
			_ = r.booth.Process.Kill() // it may have ended
			_ = r.booth.Wait()
		}
		if b, _ := os.ReadFile(filepath.Join(r.dir, "log")); t.Failed() {
			t.Logf("boothd: %s", b)
		}
	})
	return r
}

// free is a loopback address that nobody listens on.
func free(t testing.TB) string {
	t.Helper()
	return "127.0.0.1:" + freePort(t)
}

// wire plays the chip, whose resistors have red lit and everything else dark.
func (r *road) wire() {
	var lines []sim.ChipLine
	for point, in := range r.cfg.GPIO.In {
		lines = append(lines, sim.ChipLine{Name: in.Line, Pull: in.ActiveLow || strings.HasSuffix(point, configs.Lit)})
	}
	for name, out := range r.cfg.GPIO.Out {
		lines = append(lines, sim.ChipLine{Name: out.Line, Pull: name == "traveller_red"})
	}
	ctx, pull := context.WithCancel(context.Background())
	r.t.Cleanup(pull)
	var err error
	if r.chip, err = sim.ServeChip(ctx, filepath.Join(r.dir, "chip"), lines); err != nil {
		r.t.Fatal(err)
	}
	for _, lamp := range seen {
		if err := r.chip.Lamps(sim.ChipLamp{Out: r.line(lamp), In: lamp + "-lit", InLow: strings.HasSuffix(lamp, "_red")}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// line is the output's line.
func (r *road) line(lamp string) string { return r.cfg.GPIO.Out[lamp].Line }

// lit tells whether an output is on the wire.
func (r *road) lit(lamp string) bool { return r.chip.Outputs()[r.line(lamp)] }

func (r *road) set(point string, active bool) {
	r.t.Helper()
	in := r.cfg.GPIO.In[point]
	if err := r.chip.Set(in.Line, active != in.ActiveLow); err != nil {
		r.t.Fatal(err)
	}
	time.Sleep(2 * in.Debounce.Duration) // it holds still for longer than the debounce
}

// start runs boothd and waits until it sees its lamps.
func (r *road) start() status.Picture {
	r.t.Helper()
	log, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	r.booth = exec.Command(filepath.Join(programs, "boothd"), r.config)
	r.booth.Stderr, r.booth.SysProcAttr = log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.booth.Start(); err != nil {
		r.t.Fatal(err)
	}
	return r.await("sees its lamps", func(p status.Picture) bool {
		return !slices.ContainsFunc(p.Lamps, func(l status.Lamp) bool { return slices.Contains(seen, l.Name) && l.Seen == "" })
	})
}

// end sends a signal and waits until boothd has ended.
func (r *road) end(s syscall.Signal) error {
	r.t.Helper()
	if err := r.booth.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
	return r.booth.Wait()
}

// await asks boothd until it is as wanted.
func (r *road) await(what string, ok func(status.Picture) bool) status.Picture {
	r.t.Helper()
	c := status.Dial("unix:" + string(r.cfg.Socket))
	var p status.Picture
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var err error
		if p, err = c.Get(r.t.Context()); err == nil && len(p.Lamps) > 0 && ok(p) {
			return p
		}
	}
	r.t.Fatalf("never %s: %+v", what, p)
	return p
}

// awaitLamps waits for the wire.
func (r *road) awaitLamps(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("never %s: %v", what, r.chip.Outputs())
		}
	}
}

// green brings a vehicle to the booth and has the officer release it.
func (r *road) green() {
	r.t.Helper()
	r.set("booth_loop", true)
	r.await("at the booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" && p.Lane.Durable })
	r.set("release", true)
	r.set("release", false)
	r.await("released", func(p status.Picture) bool { return p.Lane.Released })
	r.awaitLamps("green and the gate open", func() bool { return r.lit("traveller_green") && r.lit("gate_open") })
}

// leave drives it away.
func (r *road) leave() {
	r.t.Helper()
	r.set("exit_loop", true)
	r.set("booth_loop", false)
	r.set("exit_loop", false)
	r.await("left", func(p status.Picture) bool { return p.Lane.State == "idle" })
}

// safe tells whether red is lit and nothing invites to go.
func (r *road) safe() bool {
	return r.lit("traveller_red") && !r.lit("traveller_green") && !r.lit("traveller_amber") && !r.lit("gate_open")
}

// tool runs boothctl and tells what it says, and how it ends.
func (r *road) tool(args ...string) (string, int) {
	cmd := exec.Command(filepath.Join(programs, "boothctl"), append(args, "--config", r.config)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // its code is the answer
	return out.String(), cmd.ProcessState.ExitCode()
}

// reset has the technician look and reset.
func (r *road) reset() {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		out, code := r.tool("lamps", "reset")
		if code == 0 {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("not reset: %s", out)
		}
	}
}

// faulty tells whether that fault is latched.
func faulty(lamp, fault string) func(status.Picture) bool {
	return func(p status.Picture) bool {
		return p.SignalFault != nil && p.SignalFault.Lamp == lamp && p.SignalFault.Fault == fault && p.Health == status.Out && p.Lane.Mode == "manual"
	}
}

// faults lists what the journal has of the lamps.
func (r *road) faults() (out []string) {
	r.t.Helper()
	j, err := journal.OpenReader(r.t.Context(), filepath.Join(r.dir, "store", "journal.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	for rec, err := range j.Range(r.t.Context(), 1, 1<<40) {
		if err != nil {
			r.t.Fatal(err)
		}
		e, err := contract.Decode(rec.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		if e.Type == contract.TypeSignalFault {
			d, err := contract.As[contract.SignalFault](e)
			if err != nil {
				r.t.Fatal(err)
			}
			if d.Latched {
				out = append(out, d.Lamp+" "+d.Fault)
			}
		}
		if e.Type == contract.TypeNotice {
			d, err := contract.As[contract.Notice](e)
			if err != nil {
				r.t.Fatal(err)
			}
			if d.What == "signal_reset" {
				out = append(out, "reset")
			}
		}
	}
	return out
}

// A lane whose lamps work has no fault, through green, red and the officer's
// flashing; then each lamp fails as lamps do, and every time the booth goes to
// red, says why, keeps it over a stop and a kill, and goes on only after
// somebody has looked.
func TestI9_FeedbackOfTheLampsEndToEnd(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.start()
	r.green()
	r.leave()
	r.set("open_close", true)
	r.set("open_close", false)
	r.await("closed", func(p status.Picture) bool { return !p.Lane.Open })
	r.set("booth_loop", true) // HOLD: the officer's red flashes
	r.awaitLamps("flashing", func() bool { return r.lit("officer_red") })
	time.Sleep(2 * time.Second) // a fault would be there after one
	r.set("exit_loop", true)
	r.set("booth_loop", false)
	r.set("exit_loop", false)
	r.set("open_close", true)
	r.set("open_close", false)
	r.await("no fault", func(p status.Picture) bool { return p.Lane.Open && p.SignalFault == nil && p.Health != status.Out })

	fail := func(lamp string, f sim.LampFault) {
		t.Helper()
		if err := r.chip.Fail(r.line(lamp), f); err != nil {
			t.Fatal(err)
		}
	}
	mended := func(p status.Picture) bool { return p.SignalFault == nil && p.Health != status.Out }

	began := time.Now()
	fail("traveller_green", sim.LampStuck) // beside red
	r.await("green beside red is a conflict", faulty("traveller_green", "conflict"))
	t.Logf("a stuck green is on the page after %v", time.Since(began).Round(time.Millisecond))
	if out, code := r.tool("lamps"); code != 1 || !strings.Contains(out, "traveller_green  off     lit ✗\n") || !strings.Contains(out, "boothctl lamps reset") {
		t.Errorf("boothctl lamps ends with %d:\n%s", code, out)
	}
	if out, code := r.tool("lamps", "reset"); code != 1 || !strings.Contains(out, "still shows something else") {
		t.Errorf("reset of a stuck lamp ends with %d: %s", code, out)
	}
	if err := r.end(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	fail("traveller_green", sim.LampSound)
	if p := r.start(); !faulty("traveller_green", "conflict")(p) {
		t.Errorf("forgotten over a stop: %+v", p.SignalFault)
	}
	_ = r.end(syscall.SIGKILL)
	if p := r.start(); !faulty("traveller_green", "conflict")(p) {
		t.Errorf("forgotten over a kill: %+v", p.SignalFault)
	}
	r.set("booth_loop", true)
	r.set("release", true)
	r.set("release", false)
	r.await("released", func(p status.Picture) bool { return p.Lane.Released })
	if !r.safe() {
		t.Error("green while the lamps are at fault")
	}
	r.leave()
	r.reset()
	r.await("mended", mended)

	fail("traveller_green", sim.LampBurnt)
	r.set("booth_loop", true)
	r.set("release", true)
	r.set("release", false)
	r.await("a green that is burnt out", faulty("traveller_green", "dark"))
	r.awaitLamps("red again", r.safe)
	r.leave()
	fail("traveller_green", sim.LampSound)
	r.reset()
	r.await("mended", mended)

	fail("traveller_red", sim.LampBurnt)
	r.await("a red that is burnt out", faulty("traveller_red", "dark"))
	fail("traveller_red", sim.LampSound)
	r.reset()
	r.await("mended", mended)

	if err := r.chip.Swap(r.line("traveller_red"), r.line("traveller_green")); err != nil {
		t.Fatal(err)
	}
	r.await("swapped wires", faulty("traveller_green", "conflict"))
	if err := r.chip.Swap(r.line("traveller_red"), r.line("traveller_green")); err != nil {
		t.Fatal(err)
	}
	r.reset()
	r.await("mended", mended)
	for _, wire := range []struct{ lamp, fault string }{{"traveller_red", "dark"}, {"traveller_green", "conflict"}} {
		if err := r.chip.Tear(r.line(wire.lamp), true); err != nil {
			t.Fatal(err)
		}
		r.await("a cut wire of "+wire.lamp, faulty(wire.lamp, wire.fault))
		if err := r.chip.Tear(r.line(wire.lamp), false); err != nil {
			t.Fatal(err)
		}
		r.reset()
		r.await("mended", mended)
	}
	r.green() // it works as before
	r.leave()

	if err := r.end(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	want := []string{"traveller_green conflict", "reset", "traveller_green dark", "reset", "traveller_red dark", "reset", "traveller_green conflict", "reset",
		"traveller_red dark", "reset", "traveller_green conflict", "reset"}
	if got := r.faults(); !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

// However boothd ends while the head is green and the gate open, red is lit and
// the gate no longer told to open: by itself where it may, by the wiring where
// it cannot. What it cannot do itself is what a panic, the watchdog's abort, a
// lack of memory and a crash of the runtime have in common.
func TestI9_EveryWayOutLeavesTheLampsSafe(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		signal syscall.Signal
		clean  bool
	}{
		{"stop", syscall.SIGTERM, true},
		{"interrupt", syscall.SIGINT, true},
		{"kill -9, also for lack of memory", syscall.SIGKILL, false},
		{"the watchdog's abort, as a panic ends", syscall.SIGABRT, false},
		{"a fault of the runtime", syscall.SIGSEGV, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoad(t)
			r.start()
			r.green()
			began := time.Now()
			err := r.end(tc.signal)
			r.awaitLamps("safe", r.safe)
			t.Logf("safe %v after the signal", time.Since(began).Round(time.Millisecond))
			if (err == nil) != tc.clean {
				t.Errorf("ended with %v", err)
			}
			if claims := r.chip.Claims(); len(claims) > 0 {
				t.Errorf("still claimed: %v", claims)
			}
			r.set("booth_loop", false)
			r.start()
			r.awaitLamps("safe after the next start", r.safe)
		})
	}
}

// The gate waits for the loop and for the beam, and for a second more.
func TestI9_TheGateWaitsForLoopAndBeam(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.start()
	r.green()
	r.set("obstacle", true)
	r.leave()
	r.awaitLamps("red", func() bool { return r.lit("traveller_red") })
	time.Sleep(2 * time.Second)
	if r.lit("gate_close") {
		t.Error("closes on what breaks the beam")
	}
	clear := time.Now()
	r.set("obstacle", false)
	r.awaitLamps("closing", func() bool { return r.lit("gate_close") })
	if after := time.Since(clear); after < time.Second {
		t.Errorf("closes %v after the beam is clear", after)
	}
}
