//go:build fieldbox

package fieldbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"boothd/agent/contract"
	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/line"
	"boothd/devices/mercury"
)

// What was seen, a row a finding; printed at the end.
var seen [][2]string

func TestMain(m *testing.M) {
	code := m.Run()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range seen {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	_ = w.Flush()
	os.Exit(code)
}

// field is one box with a booth in it, and the hands and devices around it.
type field struct {
	*testing.T
	box    *Box
	cfg    *configs.Config
	shared string

	wires  sync.WaitGroup // the devices' far ends
	reader *mercury.Sim
	camera *line.Camera
	stamps []stamp // of approaches, in the order of the passages
}

// stamp is between which two times, of the box's clock, an approach loop was
// pulled.
type stamp struct{ before, after time.Time }

func (f *field) saw(what, format string, args ...any) {
	row := [2]string{what, fmt.Sprintf(format, args...)}
	seen = append(seen, row)
	f.Logf("%s: %s", row[0], row[1])
}

// TestFieldBox takes a box from the disk image to a booth, as docs/install.md
// says, and through a day in the field. Its parts follow one another.
func TestFieldBox(t *testing.T) {
	began := time.Now()
	cache := build(t)
	seen = append(seen, [2]string{"box built, or found built", time.Since(began).Round(time.Second).String()})
	dir, err := os.MkdirTemp("", "fieldbox") // short: a socket's address has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := &field{T: t, shared: filepath.Join(dir, "shared")}
	if err := os.Mkdir(f.shared, 0o755); err != nil {
		t.Fatal(err)
	}
	f.cfg = kit(t, f.shared)
	if f.box, err = New(Config{Dir: dir, Cache: cache, Shared: f.shared}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			f.tell()
		}
		if err := f.box.Off(); err != nil {
			t.Error(err)
		}
		f.wires.Wait()
	})
	f.on("switched on, to multi-user.target")
	for _, part := range []struct {
		name string
		test func(*field)
	}{
		{"Install", (*field).install},
		{"FirstLevels", (*field).firstLevels},
		{"Passage", (*field).passage},
		{"Unplug", (*field).unplug},
		{"Stamps", (*field).stampsOfEdges},
		{"Kill", (*field).kill},
		{"Watchdog", (*field).watchdog},
		{"Lamps", (*field).neverUnsafe},
		{"Clock", (*field).clock},
		{"Memory", (*field).outOfMemory},
		{"Chip", (*field).chipGone},
		{"Power", (*field).power},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			defer func(whole *testing.T) { f.T = whole }(f.T)
			f.T = t
			part.test(f)
		})
		if !ok {
			t.Fatalf("%s failed, and what follows needs it", part.name)
		}
	}
	f.saw("whole run", "%v", time.Since(began).Round(time.Second))
}

// build makes the box, or finds that it is made.
func build(t *testing.T) (cache string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./build")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("building the box: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines[:len(lines)-1] {
		t.Log(line)
	}
	return lines[len(lines)-1]
}

// on switches the box on and connects what hangs on its lines.
func (f *field) on(what string) {
	f.Helper()
	took, err := f.box.On(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.saw(what, "%.1f s", took.Seconds())
	reader, err := f.box.Dial("uart0")
	if err != nil {
		f.Fatal(err)
	}
	camera, err := f.box.Dial("uart1")
	if err != nil {
		f.Fatal(err)
	}
	f.reader, f.camera = &mercury.Sim{}, line.Lumo(camera)
	m := f.reader
	f.wires.Go(func() { _ = m.Serve(reader) }) // ends with the box
	f.wires.Go(func() { _, _ = io.Copy(io.Discard, camera) })
}

// run runs a command in the box that has to succeed.
func (f *field) run(command string) string {
	f.Helper()
	out, err := f.box.Run(f.Context(), command)
	if err != nil {
		f.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// tell writes down what the box knows of a failure.
func (f *field) tell() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, command := range []string{"journalctl -q -b -o short-monotonic -u boothd | tail -60", "systemctl --failed", "dmesg | tail -20", "boothctl status", "tail -30 /sys/kernel/tracing/trace"} {
		out, err := f.box.Run(ctx, command)
		f.Logf("%s: %v\n%s", command, err, out)
	}
}

// waitMost bounds every wait for something to be seen; emulated and on a busy
// machine a box is many times slower than a real one.
const waitMost = 2 * time.Minute

// until asks again and again until ok.
func (f *field) until(what string, ok func() (bool, error)) {
	f.Helper()
	var err error
	for end := time.Now().Add(waitMost); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var is bool
		if is, err = ok(); is {
			return
		}
	}
	f.Fatalf("never %s: %v", what, err)
}

// picture is what boothd shows of itself; an error while it starts.
func (f *field) picture() (p status.Picture, err error) {
	out, err := f.box.Run(f.Context(), "boothctl status --json")
	if failed := (*Failed)(nil); err != nil && !(errors.As(err, &failed) && failed.Code == 1) { // 1: not healthy
		return p, err
	}
	return p, json.Unmarshal([]byte(out), &p)
}

// shows waits for a picture.
func (f *field) shows(what string, ok func(status.Picture) bool) (p status.Picture) {
	f.Helper()
	f.until(what, func() (is bool, err error) {
		if p, err = f.picture(); err != nil {
			return false, err
		}
		return ok(p), fmt.Errorf("%+v", p)
	})
	return p
}

// events is the whole journal.
func (f *field) events() (all []contract.Event, raw string) {
	f.Helper()
	raw = f.run("boothctl events --json")
	for line := range strings.Lines(raw) {
		e, err := contract.Decode([]byte(strings.TrimSpace(line)))
		if err != nil {
			f.Fatalf("%v in %s", err, line)
		}
		all = append(all, e)
	}
	return all, raw
}

// pull gives an input its active level, or takes it away; it tells between
// which two times of the box.
func (f *field) pull(point string, active bool) (s stamp) {
	f.Helper()
	in, wired := f.cfg.GPIO.In[point]
	if !wired {
		f.Fatalf("nothing is wired to %s", point)
	}
	return f.stamped(f.run("/usr/lib/fieldbox/agent pull " + in.Line + " " + pull(active != in.ActiveLow)))
}

func (f *field) stamped(out string) stamp {
	f.Helper()
	var before, after int64
	if _, err := fmt.Sscan(out, &before, &after); err != nil {
		f.Fatalf("%q: %v", out, err)
	}
	return stamp{time.Unix(0, before), time.Unix(0, after)}
}

// press holds a button as long as a hand does.
func (f *field) press(point string) {
	f.Helper()
	f.pull(point, true)
	time.Sleep(300 * time.Millisecond)
	f.pull(point, false)
}

// lit tells which of some lamps are lit, by the levels of their lines.
func (f *field) lit(lamps ...string) (on []string) {
	f.Helper()
	for i, level := range strings.Fields(f.run(f.levels(lamps...))) {
		if (level == "1") != f.cfg.GPIO.Out[lamps[i]].ActiveLow {
			on = append(on, lamps[i])
		}
	}
	return on
}

// levels is the command that prints the levels of lamps' lines; it starts no
// process.
func (f *field) levels(lamps ...string) string {
	var out, print strings.Builder
	for i, lamp := range lamps {
		fmt.Fprintf(&out, "read l%d <%s/%s/value; ", i, Lines, f.cfg.GPIO.Out[lamp].Line)
		fmt.Fprintf(&print, " $l%d", i)
	}
	return out.String() + "echo" + print.String()
}

// head are the traveller's lamps.
var head = []string{"traveller_red", "traveller_amber", "traveller_green"}

// traveller waits until one lamp alone is lit of the traveller's head.
func (f *field) traveller(lamp string) {
	f.Helper()
	f.until(lamp+" alone is lit", func() (bool, error) {
		on := f.lit(head...)
		return len(on) == 1 && on[0] == lamp, fmt.Errorf("lit is %v", on)
	})
}
