// Package test runs the programs as a port would: processes, ptys, a real
// mosquitto and a real disk.
package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/journal"
	"boothd/test/long"
	build "boothd/test/programs"
)

// programs is where they are; TestMain has built them.
var programs string

const programsEnv = "BOOTHD_TEST_PROGRAMS"

func TestMain(m *testing.M) {
	if programs = os.Getenv(programsEnv); programs == "" { // else the test that built them has started this one
		var err error
		if programs, err = build.Dir(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// mosquitto runs the broker with headquarters' access list on a loopback port.
// What goes over it is held against the contract when the test ends.
func mosquitto(t *testing.T) (addr string) {
	t.Helper()
	addr, _ = recorded(t)
	return addr
}

// recorded is mosquitto, with what was heard.
func recorded(t *testing.T, lines ...string) (string, *recorder) {
	t.Helper()
	const ears = "HQ-ears" // beside the names of the access list
	addr := startMosquitto(t, "user "+ears+"\ntopic read #\n", lines...)
	return addr, record(t, addr, ears)
}

// startMosquitto runs the broker with more lines of access, and of configuration.
func startMosquitto(t testing.TB, more string, lines ...string) (addr string) {
	t.Helper()
	bin, err := exec.LookPath("mosquitto")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil {
			t.Fatal(err) // .ci/setup installs it
		}
	}
	addr = free(t)
	acl, err := filepath.Abs("../configs/hq/acl")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	list := filepath.Join(dir, "acl")
	b, err := os.ReadFile(acl)
	if err == nil {
		err = os.WriteFile(list, append([]byte(more), b...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(dir, "mosquitto.conf")
	text := "listener " + port + " 127.0.0.1\nallow_anonymous true\nacl_file " + list + "\npersistence false\nlog_type error\nlog_type warning\n"
	for _, line := range lines {
		text += line + "\n"
	}
	if os.Geteuid() == 0 {
		text += "user root\n" // the access list lies in a folder of ours
	}
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-c", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("mosquitto: %s", log.String())
		}
	})
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return addr
		}
	}
	t.Fatalf("mosquitto does not start: %s", log.String())
	return ""
}

// result is the last line of boothsim demo --json.
type result struct {
	Passages  int
	Outcomes  map[string]int
	Stored    uint64
	Receipted uint64
	Missing   uint64
	Doubled   uint64
	Kinds     map[string]int
	Unseen    int
	Greens    int
	Unsafe    int
	Kills     int
	Cuts      int
}

// demo runs boothsim demo to its end.
func demo(t *testing.T, limit time.Duration, args ...string) (r result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "boothsim"), append([]string{"demo", "--json"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		t.Fatalf("boothsim demo: %v\n%s\n%s", err, stderr.String(), strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("last line %q: %v", lines[len(lines)-1], err)
	}
	return r
}

// 200 passages (90 in the quick run) with every outcome of a NEXUS lane, through a
// network cut and five kills: headquarters has every event exactly once, no lamp was ever
// unsafe, every decision replays byte for byte and no identifier is anywhere.
func TestI1ToI9_PassagesWithCutsAndKills(t *testing.T) {
	passages, limit := 90, 5*time.Minute
	if n := long.Times(); n > 0 {
		passages, limit = 200*n, time.Duration(n)*limit
	}
	dir := filepath.Join(t.TempDir(), "booth")
	lamps := filepath.Join(t.TempDir(), "lamps.json")
	broker, ears := recorded(t)
	r := demo(t, limit, "--bin", programs, "--broker", broker, "--passages", strconv.Itoa(passages), "--speed", "6", "--seed", "7",
		"--kill-boothd", "5", "--cut-network", "10s", "--dir", dir, "--lamp-trace", lamps)
	if r.Passages+r.Unseen < passages-5 || r.Kills != 5 || r.Cuts != 1 || r.Greens < passages/4 {
		t.Errorf("not all drove through: %+v", r)
	}
	if r.Missing != 0 || r.Doubled != 0 || r.Receipted != r.Stored || r.Stored < uint64(4*passages) {
		t.Errorf("I4: %+v", r)
	}
	if r.Unsafe != 0 {
		t.Errorf("I9: lamps were unsafe %d times", r.Unsafe)
	}
	if len(r.Kinds) != 30 {
		t.Errorf("%d kinds of vehicles: %v", len(r.Kinds), r.Kinds)
	}
	for _, lead := range []string{"100", "200", "400", "401", "402", "403", "404", "405", "406", "407", "408", "409", "410", "413", "501", "600", "601", "900", "901"} {
		if r.Outcomes[lead] == 0 {
			t.Errorf("no passage was led by %s: %v", lead, r.Outcomes)
		}
	}
	for _, name := range []string{"mqtt.bytes", "metrics.txt", "boothd.log", "events.db", "store/journal.db"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("I7: nothing to look into in %s: %v", name, err)
		}
	}
	if again, alerts := replays(t, dir); again < passages || alerts < passages/20 {
		t.Errorf("replayed %d decisions, %d with an alert", again, alerts)
	}
	bundled(t, dir)
	bare(t, dir)
	alike(t, lamps)
	ears.heard(t, "status", "state.info", "state.health", "state.lists", "receipt",
		"org.boothd.crossing.decided.v1", "org.boothd.crossing.ended.v1", "org.boothd.lookout.alert.v1", "org.boothd.device.changed.v1",
		"org.boothd.device.hello.v1", "org.boothd.list.applied.v1", "org.boothd.audit.epoch.v1", "org.boothd.audit.policy.v1",
		"org.boothd.audit.started.v1", "org.boothd.audit.stopped.v1")
}

// replays decides every passage of the journal again (I8) and checks the chain
// as headquarters does (I4).
func replays(t *testing.T, dir string) (again, alerts int) {
	t.Helper()
	j, err := journal.OpenReader(t.Context(), filepath.Join(dir, "store", "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	if v, err := j.Verify(t.Context(), 1, 1<<40); err != nil || len(v.Gaps) > 0 || v.First != 1 {
		t.Errorf("I4: %+v %v", v, err)
	}
	policies := map[string]passage.Policy{}
	var waiting *contract.CrossingDecided // its alert, if any, is the next event
	settle := func(a *contract.LookoutAlert) {
		if waiting == nil {
			return
		}
		if _, err := contract.Replay(*waiting, a, policies[waiting.Policy]); err != nil {
			t.Errorf("I8: passage %s, revision %d: %v", waiting.Passage, waiting.Revision, err)
		}
		waiting = nil
		again++
	}
	for rec, err := range j.Range(t.Context(), 1, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := contract.Decode(rec.Body)
		if err != nil {
			t.Fatal(err)
		}
		switch e.Type {
		case contract.TypePolicy:
			if p, err := contract.As[contract.PolicySet](e); err == nil {
				policies[p.Digest] = p.Policy
			}
		case contract.TypeLookoutAlert:
			if a, err := contract.As[contract.LookoutAlert](e); err == nil && waiting != nil && a.Passage == waiting.Passage && a.Revision == waiting.Revision {
				settle(&a)
				alerts++
				continue
			}
			t.Error("an alert without its crossing")
		case contract.TypeCrossingDecided:
			settle(nil)
			c, err := contract.As[contract.CrossingDecided](e)
			if err != nil {
				t.Fatal(err)
			}
			waiting = &c
			continue
		}
		settle(nil)
	}
	settle(nil)
	return again, alerts
}

// bundled leaves a support archive of the booth, with all that one may hold,
// unpacked in dir (reliability reference, S4).
func bundled(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(dir, "bundle.tar.gz")
	for _, cmd := range []*exec.Cmd{
		exec.Command(filepath.Join(programs, "boothctl"), "bundle", file, "--crossings", "--config", filepath.Join(dir, "boothd.toml")),
		exec.Command("tar", "-xzf", file, "-C", dir),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("S4: %v: %s", err, out)
		}
	}
	for _, name := range []string{"config.toml", "events.ndjson", "lists.json", "outbox.json", "bundle.json"} {
		if info, err := os.Stat(filepath.Join(dir, "bundle", name)); err != nil || info.Size() == 0 {
			t.Errorf("S4: nothing to look into in %s: %v", name, err)
		}
	}
}

// bare looks for raw identifiers in everything that was written (I7). The CSV
// files and the scenario are headquarters' own, and hold them.
func bare(t *testing.T, dir string) {
	t.Helper()
	looked := 0
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == "csv" {
			return filepath.SkipDir
		}
		if !e.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		looked++
		upper := bytes.ToUpper(b)
		for _, raw := range []string{"E28011606000", "BX000", "ZZ000", "WATCH01", "REFER01", "HALT001", "SIBO180", "5180I80"} {
			if bytes.Contains(upper, []byte(raw)) {
				t.Errorf("I7: %s holds %s", path, raw)
			}
		}
		if bytes.Contains(b, []byte{0xE2, 0x80, 0x11, 0x60, 0x60, 0x00}) {
			t.Errorf("I7: %s holds a card's number in bytes", path)
		}
		return nil
	})
	if err != nil || looked < 10 {
		t.Errorf("looked into %d files: %v", looked, err)
	}
}

// alike compares what the traveller sees (I3): in a staffed lane every green
// is the officer's, so that hits change no lamp before it. Every lit lamp of
// the head is the only one.
func alike(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	changes := 0
	var first []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		var l struct {
			At    time.Time
			Lamp  string
			On    bool
			Cause string
		}
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		changes++
		if l.Cause == "claimed" && len(first) < 8 {
			first = append(first, l.Lamp)
			if l.On != (l.Lamp == "traveller_red") {
				t.Errorf("I9: %s is claimed lit %t", l.Lamp, l.On)
			}
		}
	}
	if s.Err() != nil || changes < 400 || !slices.Contains(first, "traveller_red") {
		t.Errorf("%d changes of lamps, %v", changes, s.Err())
	}
}

// Ctrl-C stops the whole process tree within five seconds, and so does a reader
// that goes (boothsim demo | head), with the next vehicle that there is to tell of.
func TestNoProcessIsLeft(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*exec.Cmd, io.Closer) error
		most time.Duration
	}{
		{"interrupt", func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Signal(os.Interrupt) }, 5 * time.Second},
		{"gone reader", func(_ *exec.Cmd, out io.Closer) error { return out.Close() }, 60 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "booth")
			cmd := exec.Command(filepath.Join(programs, "boothsim"), "demo", "--bin", programs, "--dir", dir, "--speed", "6")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if !bufio.NewScanner(out).Scan() {
				t.Error("says nothing")
			}
			if err := tt.end(cmd, out); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			go func() { _, _ = bufio.NewReader(out).WriteTo(new(bytes.Buffer)) }()
			giveUp := time.AfterFunc(tt.most+10*time.Second, func() { _ = cmd.Process.Signal(os.Interrupt) })
			defer giveUp.Stop()
			if err := cmd.Wait(); err != nil {
				t.Errorf("ends with %v", err)
			}
			if took := time.Since(began); took > tt.most {
				t.Errorf("takes %v to stop", took)
			}
			noneOf(t, dir)
		})
	}
}

// noneOf fails if a process that names a folder is still there.
func noneOf(t *testing.T, dir string) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		b, err := os.ReadFile(p)
		if err == nil && bytes.Contains(b, []byte(dir)) {
			t.Errorf("left behind: %q", b)
		}
	}
}
