package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"boothd/agent/status"
)

// office is the list office of a demonstration, and the booth it serves.
type office struct {
	t           *testing.T
	broker      string
	dir, office string
	pass        string
	cards       string // the CSV file
	row         string // columns of a card after its number
}

func newOffice(t *testing.T, broker string) *office {
	dir := filepath.Join(t.TempDir(), "booth")
	return &office{t: t, broker: broker, dir: dir, office: filepath.Join(dir, "hq"), pass: filepath.Join(dir, "passphrase")}
}

// start runs the demonstration until the test ends, at most for a time.
func (o *office) start(d string) {
	o.t.Helper()
	ctx, stop := context.WithCancel(o.t.Context())
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "boothsim"), "demo", "--bin", programs, "--broker", o.broker, "--dir", o.dir, "--for", d, "--speed", "0.5")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		if pid := running(o.t, filepath.Join(o.dir, "boothd.toml")); o.t.Failed() && pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGQUIT) // where it stood goes to its log
			time.Sleep(time.Second)
		}
		stop()
		_ = cmd.Wait() // interrupted
		if o.t.Failed() {
			b, _ := os.ReadFile(filepath.Join(o.dir, "boothd.log"))
			o.t.Logf("boothsim: %s\nboothd: %s", &said, b)
		}
	})
}

// await waits until a generation of the cards is in force.
func (o *office) await(generation uint64) {
	o.t.Helper()
	o.awaitOf("cards", generation)
}

func (o *office) awaitOf(kind string, generation uint64) {
	o.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		p, err := status.Dial("unix:" + filepath.Join(o.dir, "boothd.sock")).Get(o.t.Context())
		for _, l := range p.Lists {
			if err == nil && l.Kind == kind && l.Generation == generation {
				return
			}
		}
	}
	o.t.Fatalf("%s never came to generation %d", kind, generation)
}

// restarted waits until the booth has begun so often, its first time counted.
func (o *office) restarted(times int) {
	o.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		b, err := os.ReadFile(filepath.Join(o.dir, "boothd.log"))
		if err == nil && strings.Count(string(b), "lamps are driven") >= times {
			return
		}
	}
	o.t.Fatalf("the booth did not begin %d times", times)
}

func (o *office) hq(args ...string) {
	o.t.Helper()
	if out, err := exec.Command(filepath.Join(programs, "boothhq"), args...).CombinedOutput(); err != nil {
		o.t.Fatalf("boothhq %v: %v\n%s", args, err, out)
	}
}

// publish issues n cards more, like the last one of the demonstration.
func (o *office) publish(n, from int) {
	o.t.Helper()
	csv := filepath.Join(o.dir, "csv", "cards.csv")
	if o.cards == "" {
		b, err := os.ReadFile(csv)
		if err != nil {
			o.t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		o.cards = string(b)
		_, o.row, _ = strings.Cut(lines[len(lines)-1], ",")
	}
	var more strings.Builder
	for i := range n {
		fmt.Fprintf(&more, "E280%020X,%s\n", from+i, o.row)
	}
	o.cards += more.String()
	if err := os.WriteFile(csv, []byte(o.cards), 0o600); err != nil {
		o.t.Fatal(err)
	}
	o.build()
}

// build makes lists of the CSV files and publishes them.
func (o *office) build() {
	o.t.Helper()
	built := filepath.Join(o.t.TempDir(), "built")
	o.hq("lists", "build", "--in", filepath.Join(o.dir, "csv"), "--out", built, "--token-key", filepath.Join(o.office, "token.key"))
	o.hq("lists", "publish", o.office, "--lists", built, "--timestamp", "4h", "--passphrase-file", o.pass)
}

func (o *office) send() {
	o.t.Helper()
	o.hq("lists", "send", o.office, "--broker", "tcp://"+o.broker)
}

// serve keeps the broker in step with what is published, until the test ends.
func (o *office) serve() {
	o.t.Helper()
	log, err := os.Create(filepath.Join(o.dir, "serve.log"))
	if err != nil {
		o.t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(programs, "boothhq"), "lists", "serve", o.office, "--broker", "tcp://"+o.broker)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait(), log.Close()); err != nil {
			o.t.Errorf("serve ended with %v", err)
		}
		if b, _ := os.ReadFile(log.Name()); o.t.Failed() {
			o.t.Logf("serve: %s", b)
		}
	})
}

// reconfigure lays settings over the booth's and has them read.
func (o *office) reconfigure(toml string) {
	o.t.Helper()
	if err := os.MkdirAll(filepath.Join(o.dir, "conf.d"), 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.dir, "conf.d", "test.toml"), []byte(toml), 0o600); err != nil {
		o.t.Fatal(err)
	}
	hangUp(o.t, filepath.Join(o.dir, "boothd.toml"))
}

// hangUp tells the program that was started with a file to read it again.
func hangUp(t *testing.T, file string) {
	t.Helper()
	pid := running(t, file)
	if pid == 0 {
		t.Fatalf("no program runs with %s", file)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// running finds the program whose last argument is a file; 0: there is none.
func running(t *testing.T, file string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		b, _ := os.ReadFile(line) // it may have ended
		if strings.HasSuffix(strings.TrimRight(string(b), "\x00"), "\x00"+file) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(line)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	return 0
}
