package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/buffer/eligibility"
	"boothd/buffer/journal"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/line"
	"boothd/devices/mercury"
	"boothd/devices/port"
	"boothd/devices/sim"
	"boothd/test/freeport"
)

// rig is the world around a booth in this process: a simulated chip, a reader
// on a pty, and no headquarters.
type rig struct {
	t       testing.TB
	dir     string
	cfg     *configs.Config
	chip    *sim.Chip
	reader  *mercury.Sim
	camera  *line.Camera
	world   World
	log     syncBuffer
	unplug  func()                                              // pulls the reader's cable
	far     *sim.PTY                                            // the reader's end of its line
	came    int                                                 // vehicles of a benchmark
	lost    int                                                 // of them, those that a machine busy with others let pass the loops in no order
	losable int                                                 // how many may be
	life    func(context.Context, *configs.Config, World) error // Run, or what a benchmark makes of it
	more    []eligibility.Row                                   // further cards for listed
}

// syncBuffer keeps the log of several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), reader: &mercury.Sim{}, life: Run}
	r.plug()
	lens, tty, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lens.Close() })
	r.camera = line.Lumo(lens)
	text, err := os.ReadFile("../configs/nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	swap := strings.NewReplacer(
		`# socket = "/run/boothd/boothd.sock"`, `socket = "`+r.dir+`/boothd.sock"`,
		`# dir = "/var/lib/boothd"`, `dir = "`+r.dir+`/store"`,
		`"pinctrl-bcm2711"`, `"sim:`+r.dir+`/chip.sock"`,
		`["ssl://hq-a:8883", "ssl://hq-b:8883"]`, `["tcp://127.0.0.1:1"]`,
		`# key = "credential:token-key"`, `key = "`+r.dir+`/token.key"`,
		`/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0`, r.dir+"/reader",
		`/dev/serial/by-id/usb-Prolific_Technology_Inc._USB-Serial_Controller-if00-port0`, tty,
		`template = "axxon" `, `template = "lumo" `,
		`# random_rate = 0.02`, `random_rate = 0.0`,
		`# listen = "127.0.0.1:7080"`, `listen = "127.0.0.1:`+freePort(t)+`"`,
		`# source = "kernel"`, `source = "host"`,
		"\nca = ", "\n# ca = ", "\ncert = ", "\n# cert = ", "\nkey = \"credential:mqtt-key\"", "\n# key")
	cfg, err := Drivers.Parse("booth.toml", []byte(swap.Replace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	r.cfg = cfg
	if err := os.WriteFile(filepath.Join(r.dir, "token.key"), []byte(strings.Repeat("0f", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	board, pull := context.WithCancel(context.Background()) // outlives the booth, as a board does
	t.Cleanup(pull)
	lines := []sim.ChipLine{{Name: doorLines[0], Pull: true}, {Name: doorLines[1], Pull: true}}
	for _, in := range cfg.GPIO.In {
		lines = append(lines, sim.ChipLine{Name: in.Line, Pull: in.ActiveLow})
	}
	for name, out := range cfg.GPIO.Out {
		lines = append(lines, sim.ChipLine{Name: out.Line, Pull: name == "traveller_red"})
	}
	if r.chip, err = sim.ServeChip(board, filepath.Join(r.dir, "chip.sock"), lines); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r.world = World{OpenPort: port.Open, Listen: (&net.ListenConfig{}).Listen, OpenChip: gpio.OpenChip, Dial: (&net.Dialer{}).DialContext,
		Clock: func() (passage.Clock, time.Duration) { return passage.ClockSynced, 0 },
		Mono:  func() time.Duration { return time.Since(began) },
		Secret: func(ref configs.Ref) ([]byte, error) {
			path, err := ref.File("")
			if err != nil {
				return nil, err
			}
			return os.ReadFile(path)
		},
		Notify: func(string) {}, Log: slog.New(slog.NewTextHandler(&r.log, nil)), Version: "test", Boot: "boot"}
	return r
}

// plug connects a reader, under a name that stays as udev's do.
func (r *rig) plug() {
	r.t.Helper()
	far, tty, err := sim.OpenPTY()
	name := filepath.Join(r.dir, "reader")
	if err == nil {
		err = os.Symlink(tty, name)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.far = far
	served := make(chan struct{})
	go func() { defer close(served); _ = r.reader.Serve(far) }() // ends with the pty
	r.unplug = sync.OnceFunc(func() {
		_ = os.Remove(name)
		_ = far.Close()
		<-served // or it might begin after the next one, and answer here
	})
	r.t.Cleanup(r.unplug)
}

func freePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

// run runs the booth until the test stops it; stop gives what Run returned.
func (r *rig) run() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.life(ctx, r.cfg, r.world) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			select {
			case err = <-done:
			case <-time.After(10 * time.Second):
				r.t.Error("Run does not end")
			}
		})
		return err
	}
	r.t.Cleanup(func() {
		_ = stop()
		if r.t.Failed() {
			r.t.Log(r.log.String())
		}
	})
	return stop
}

// await asks the booth for its picture until it is as wanted.
func (r *rig) await(what string, ok func(status.Picture) bool) status.Picture {
	r.t.Helper()
	c := status.Dial("unix:" + string(r.cfg.Socket))
	var p status.Picture
	for end := time.Now().Add(45 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var err error
		if p, err = c.Get(r.t.Context()); err == nil && ok(p) {
			return p
		}
	}
	r.t.Fatalf("never %s: %+v\n%s", what, p, r.log.String())
	return p
}

// press gives an input its active level for long enough to be seen, or for
// good.
func (r *rig) set(point string, active bool) {
	r.t.Helper()
	in := r.cfg.GPIO.In[point]
	if err := r.chip.Set(in.Line, active != in.ActiveLow); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) press(point string) {
	r.t.Helper()
	r.set(point, true)
	time.Sleep(80 * time.Millisecond)
	r.set(point, false)
	time.Sleep(80 * time.Millisecond)
}

// events reads what the journal holds.
func (r *rig) events() (out []contract.Event) {
	r.t.Helper()
	for _, body := range r.bodies() {
		e, err := contract.Decode(body)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// bodies are the journal's, as they are stored.
func (r *rig) bodies() (out [][]byte) {
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
		out = append(out, bytes.Clone(rec.Body))
	}
	return out
}

func types(events []contract.Event) string {
	var names []string
	for _, e := range events {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(string(e.Type), "org.boothd."), ".v1"))
	}
	return strings.Join(names, " ")
}

// A box with nothing but its chip and one reader: a vehicle comes, is PRIMARY,
// is let go by the officer and leaves; the journal tells it all, the lamps were
// safe throughout, and a second boothd is refused.
func TestRunPassesAVehicle(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	r.await("online", func(p status.Picture) bool {
		return len(p.Devices) == 3 && p.Devices[0].Online && p.Devices[2].Online && p.Store.OK && p.Simulated
	})
	if err := Run(t.Context(), r.cfg, r.world); !errors.Is(err, ErrSecond) {
		t.Errorf("second instance: %v", err)
	}
	r.set("approach_loop", true)
	r.await("approached", func(p status.Picture) bool { return p.Lane.State == "approach" })
	r.reader.Present(mercury.SimTag{EPC: "E28011606000020000000001"})
	// A card that is first read with both loops occupied may be the next vehicle's.
	r.await("seen", func(p status.Picture) bool { return p.Lane.Cards == 1 })
	r.set("booth_loop", true)
	p := r.await("read", func(p status.Picture) bool { return p.Lane.Cards == 1 && p.Lane.Now != nil && p.Lane.Durable })
	if p.Lane.Now.Outcome != "PRIMARY" {
		t.Errorf("a booth without lists says %s", p.Lane.Now.Outcome)
	}
	r.set("approach_loop", false)
	r.press("release")
	r.await("released", func(p status.Picture) bool { return p.Lane.Released })
	r.set("exit_loop", true)
	time.Sleep(80 * time.Millisecond)
	r.set("booth_loop", false)
	time.Sleep(80 * time.Millisecond)
	r.set("exit_loop", false)
	p = r.await("left", func(p status.Picture) bool { return len(p.Last) == 1 })
	if got := p.Last[0]; got.End != "cleared" || !got.Released || got.Cards != 1 || got.Delivery != status.Waiting {
		t.Errorf("%+v", got)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	events := r.events()
	got := types(events)
	if !strings.HasPrefix(got, "audit.epoch audit.started audit.policy ") || !strings.Contains(got, "crossing.decided") ||
		!strings.Contains(got, "crossing.ended") || !strings.HasSuffix(got, "audit.stopped") {
		t.Errorf("journal: %s", got)
	}
	r.replays(events)
	r.safe()
	if log := r.log.String(); strings.Contains(log, "E2801160") {
		t.Error("I7: a card's number is in the log")
	}
}

// replays decides every recorded passage again (I8).
func (r *rig) replays(events []contract.Event) {
	r.t.Helper()
	var policy passage.Policy
	for _, e := range events {
		switch e.Type {
		case contract.TypePolicy:
			p, err := contract.As[contract.PolicySet](e)
			if err != nil {
				r.t.Fatal(err)
			}
			policy = p.Policy
		case contract.TypeCrossingDecided:
			c, err := contract.As[contract.CrossingDecided](e)
			if err == nil {
				_, err = contract.Replay(c, nil, policy)
			}
			if err != nil {
				r.t.Error(err)
			}
		}
	}
}

// safe looks at where the lamps were left (I9).
func (r *rig) safe() {
	r.t.Helper()
	out := r.chip.Outputs()
	for name, w := range r.cfg.GPIO.Out {
		if lit, ok := out[w.Line]; ok && lit != (name == "traveller_red") {
			r.t.Errorf("%s left at %t", name, lit)
		}
	}
}

// What a killed run left is taken up: the passage is closed as restart, its
// cards are remembered, and the record says that the stop was not clean.
func TestRunTakesUpWhatAKilledRunLeft(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	r.await("online", func(p status.Picture) bool { return len(p.Devices) == 3 && p.Devices[0].Online && p.Devices[2].Online })
	r.set("approach_loop", true)
	r.reader.Present(mercury.SimTag{EPC: "E28011606000020000000001"})
	r.await("read", func(p status.Picture) bool { return p.Lane.Cards == 1 })
	r.set("booth_loop", true)
	r.set("approach_loop", false)
	r.await("decided", func(p status.Picture) bool { return p.Lane.Cards == 1 && p.Lane.Durable })
	_ = stop()
	if err := os.Remove(filepath.Join(r.dir, "store", "stopped")); err != nil { // as a kill leaves it
		t.Fatal(err)
	}
	before := len(r.events())
	stop = r.run()
	r.await("decided again", func(p status.Picture) bool { return p.Lane.Cards == 1 && p.Lane.Durable })
	_ = stop()
	events := r.events()[before:]
	if got := types(events); !strings.HasPrefix(got, "crossing.ended audit.started audit.policy") {
		t.Fatalf("journal: %s", got)
	}
	ended, err := contract.As[contract.CrossingEnded](events[0])
	if err != nil || ended.End != "restart" {
		t.Errorf("%+v %v", ended, err)
	}
	started, err := contract.As[contract.Started](events[1])
	if err != nil || started.Clean {
		t.Errorf("%+v %v", started, err)
	}
	r.safe()
}

// A new configuration restarts the booth when the passage is over.
func TestReloadFinishesThePassage(t *testing.T) {
	r := newRig(t)
	fresh := make(chan *configs.Config, 1)
	r.world.Reload = fresh
	stop := r.run()
	r.await("online", func(p status.Picture) bool { return len(p.Devices) == 3 && p.Devices[2].Online })
	r.set("booth_loop", true)
	r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	other := *r.cfg
	other.Booth.Site = "moved"
	fresh <- &other
	time.Sleep(300 * time.Millisecond)
	p := r.await("still there", func(p status.Picture) bool { return true })
	if p.Lane.State != "at_booth" {
		t.Fatalf("%s: the passage was cut off", p.Lane.State)
	}
	r.press("release")
	r.set("exit_loop", true)
	time.Sleep(80 * time.Millisecond)
	r.set("booth_loop", false)
	time.Sleep(80 * time.Millisecond)
	r.set("exit_loop", false)
	time.Sleep(500 * time.Millisecond)
	var again *Reloaded
	if err := stop(); !errors.As(err, &again) || again.Config.Booth.Site != "moved" {
		t.Fatal(err)
	}
}

// A chip that vanishes takes the lane out of service and comes back by itself.
func TestI9_ChipThatVanishesLeavesTheLaneOut(t *testing.T) {
	r := newRig(t)
	r.run()
	r.await("online", func(p status.Picture) bool { return len(p.Devices) == 3 && p.Devices[2].Online })
	r.chip.Break()
	r.await("out", func(p status.Picture) bool { return p.Health == status.Out && !p.Devices[2].Online })
	if err := r.chip.Mend(); err != nil {
		t.Fatal(err)
	}
	r.await("back", func(p status.Picture) bool { return p.Health != status.Out && p.Devices[2].Online })
}

// A reader's cable that is pulled is seen within a second and used again
// within three of coming back, also after it has been away for a while. The
// lane says 207 meanwhile and is deaf to nothing else.
func TestUnplugAndReplug(t *testing.T) {
	r := newRig(t)
	r.run()
	online := func(p status.Picture) bool { return len(p.Devices) == 3 && p.Devices[0].Online }
	r.await("online", online)
	var gone, back []time.Duration
	for range 3 {
		from := time.Now()
		r.unplug()
		r.await("offline", func(p status.Picture) bool { return !p.Devices[0].Online })
		gone = append(gone, time.Since(from))
		time.Sleep(2500 * time.Millisecond)
		from = time.Now()
		r.plug()
		r.await("online again", online)
		back = append(back, time.Since(from))
	}
	slices.Sort(gone)
	slices.Sort(back)
	if gone[1] > time.Second || back[1] > 3*time.Second { // of three, as others may hold this box up
		t.Errorf("gone after %v, back after %v", gone, back)
	}
	t.Logf("gone after %v, back after %v", gone, back)
	if p := r.await("sound", func(status.Picture) bool { return true }); p.Devices[0].Counts.Reopens != 3 {
		t.Errorf("%d reopens", p.Devices[0].Counts.Reopens)
	}
}
