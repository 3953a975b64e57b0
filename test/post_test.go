package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"boothd/agent"
	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/line"
	"boothd/devices/mercury"
	"boothd/devices/sim"
	"boothd/test/freeport"
)

// center is headquarters for booths of a test: a broker, a receiver, and lists
// of people who may cross.
type center struct {
	t      *testing.T
	dir    string
	broker string
	people int
}

// cardOf and plateOf belong to person i of the center's lists; from people on
// they are nobody's.
func epcOf(i int) string    { return fmt.Sprintf("E28011606000%012X", i+1) }
func plateFor(i int) string { return fmt.Sprintf("BX%05d", i) }

func newCenter(t *testing.T) *center {
	t.Helper()
	return newCenterOn(t, mosquitto(t))
}

// newCenterOn is headquarters with a broker that runs.
func newCenterOn(t *testing.T, broker string) *center {
	t.Helper()
	c := &center{t: t, dir: t.TempDir(), broker: broker, people: 512}
	csv, office, phrase := filepath.Join(c.dir, "csv"), filepath.Join(c.dir, "hq"), filepath.Join(c.dir, "phrase")
	var members, cards, vehicles strings.Builder
	members.WriteString("member,status,programs,valid_from,valid_until\n")
	cards.WriteString("epc,status,member,card_until,extended,tid\n")
	vehicles.WriteString("member,plate,jurisdiction\n")
	for i := range c.people {
		fmt.Fprintf(&members, "M%d,ACTIVE,NEXUS,2020-01-01,2099-01-01\n", i)
		fmt.Fprintf(&cards, "%s,ISSUED,M%d,2099-01-01,no,\n", epcOf(i), i)
		fmt.Fprintf(&vehicles, "M%d,%s,ON\n", i, plateFor(i))
	}
	err := os.Mkdir(csv, 0o700)
	for name, text := range map[string]string{"csv/members.csv": members.String(), "csv/cards.csv": cards.String(), "csv/vehicles.csv": vehicles.String(),
		"csv/lookouts.csv": "id,version,subject_type,subject,jurisdiction,action,reason_code,caveat,agency,region,officer_safety,valid_from,valid_until\n" +
			"L1,1,PLATE,WATCH01,ON,OBSERVE,TEST,SIM,CBSA,,no," + time.Now().AddDate(0, 0, -1).Format(time.DateOnly) + "," + time.Now().AddDate(0, 0, 60).Format(time.DateOnly) + "\n",
		"phrase": "a phrase of the test, long enough\n"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	c.hq("lists", "init", office, "--passphrase-file", phrase)
	c.hq("lists", "build", "--in", csv, "--out", filepath.Join(c.dir, "built"), "--token-key", filepath.Join(office, "token.key"))
	c.hq("lists", "publish", office, "--lists", filepath.Join(c.dir, "built"), "--timestamp", "24h", "--passphrase-file", phrase)
	var log bytes.Buffer
	receive := exec.Command(filepath.Join(programs, "boothhq"), "receive", "--broker", "tcp://"+c.broker, "--db", filepath.Join(c.dir, "events.db"), "--interval", "200ms")
	receive.Stderr, receive.SysProcAttr = &log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := receive.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = receive.Process.Signal(syscall.SIGTERM)
		if err := receive.Wait(); err != nil || t.Failed() {
			t.Logf("boothhq: %v %s", err, log.String())
		}
	})
	return c
}

// run runs one of our programs to its end.
func run(t *testing.T, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, name), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %v: %w\n%s", name, args, err, stderr.String())
	}
	return out, err
}

func (c *center) hq(args ...string) []byte {
	c.t.Helper()
	out, err := run(c.t, "boothhq", args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// tally is what headquarters has, as boothhq report tells it.
type tally struct {
	Events, Missing, Doubled, Conflicts, Rejected uint64
}

func (c *center) tally() (r tally) {
	c.t.Helper()
	if err := json.Unmarshal(c.hq("report", "--db", filepath.Join(c.dir, "events.db"), "--json"), &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// post is one real boothd with its hardware played in this process.
type post struct {
	*testing.T
	c      *center
	dir    string
	file   string // its configuration
	cfg    *configs.Config
	chip   *sim.Chip
	reader mercury.Sim
	camera *line.Camera
	far    []*sim.PTY
	log    string
	cmd    *exec.Cmd
	began  time.Time // of the last start
	how    error     // how the last one ended; after dead
	dead   chan struct{}
	env    []string
	within []string // the command that boothd is run by; nil: none
}

// newPost lays a booth of the center; words of its configuration may be
// exchanged.
func newPost(t *testing.T, c *center, id string, words ...string) *post {
	t.Helper()
	dir, err := os.MkdirTemp("", "post") // short: a socket's address has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := &post{T: t, c: c, dir: dir, file: filepath.Join(dir, "boothd.toml"), log: filepath.Join(dir, "boothd.log")}
	paths := b.plugIn()
	text, err := os.ReadFile("../configs/nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	office := filepath.Join(c.dir, "hq")
	swap := strings.NewReplacer(append(words,
		`"pac-hwy-nexus-03"                 #`, `"`+id+`" #`,
		`# socket = "/run/boothd/boothd.sock"`, `socket = "`+dir+`/s"`,
		`# dir = "/var/lib/boothd"`, `dir = "`+dir+`/store"`,
		`# root = "/etc/boothd/trust/root.json"`, `root = "`+office+`/root.json"`,
		`# key = "credential:token-key"`, `key = "`+office+`/token.key"`,
		`"pinctrl-bcm2711"`, `"sim:`+dir+`/chip"`,
		`["ssl://hq-a:8883", "ssl://hq-b:8883"]`, `["tcp://`+c.broker+`"]`,
		`/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0`, paths[0],
		`/dev/serial/by-id/usb-Prolific_Technology_Inc._USB-Serial_Controller-if00-port0`, paths[1],
		`template = "axxon" `, `template = "lumo" `,
		`# random_rate = 0.02`, `random_rate = 0.0`, `# anti_passback = true`, `anti_passback = false`,
		`active_low = true }`, `active_low = true, debounce = "4ms" }`, `debounce = "50ms" }`, `debounce = "4ms" }`,
		`# listen = "127.0.0.1:7080"`, `listen = "127.0.0.1:`+freePort(t)+`"`,
		`# source = "kernel"`, `source = "host"`,
		"\nca = ", "\n# ca = ", "\ncert = ", "\n# cert = ", "\nkey = \"credential:mqtt-key\"", "\n# key")...)
	if err := os.WriteFile(b.file, []byte(swap.Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	if b.cfg, err = agent.Drivers.Load(b.file); err != nil {
		t.Fatal(err)
	}
	b.board()
	t.Cleanup(func() {
		b.kill()
		if text, err := os.ReadFile(b.log); t.Failed() && err == nil {
			t.Logf("%s: %s", id, text[max(0, len(text)-60000):])
		}
	})
	return b
}

// plugIn opens the lines of reader and camera.
func (b *post) plugIn() (paths []string) {
	b.Helper()
	for range 2 {
		far, path, err := sim.OpenPTY()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = far.Close() })
		b.far, paths = append(b.far, far), append(paths, path)
	}
	b.reader.Every = 10 * time.Millisecond
	go func() { _ = b.reader.Serve(b.far[0]) }() // ends with the pty
	b.camera = line.Lumo(b.far[1])
	return paths
}

// board plays the chip: what nobody drives shows red.
func (b *post) board() {
	b.Helper()
	var lines []sim.ChipLine
	for _, in := range b.cfg.GPIO.In {
		lines = append(lines, sim.ChipLine{Name: in.Line, Pull: in.ActiveLow})
	}
	for name, out := range b.cfg.GPIO.Out {
		lines = append(lines, sim.ChipLine{Name: out.Line, Pull: (name == "traveller_red") != out.ActiveLow})
	}
	ctx, pull := context.WithCancel(context.Background()) // outlives the daemon
	b.Cleanup(pull)
	var err error
	if b.chip, err = sim.ServeChip(ctx, filepath.Join(b.dir, "chip"), lines); err != nil {
		b.Fatal(err)
	}
}

// start runs boothd.
func (b *post) start() {
	b.Helper()
	for _, f := range b.far {
		if err := f.Free(); err != nil { // of one that was killed
			b.Fatal(err)
		}
	}
	line := append(slices.Clone(b.within), filepath.Join(programs, "boothd"), b.file)
	b.cmd, b.dead = exec.Command(line[0], line[1:]...), make(chan struct{})
	b.cmd.Env = append(os.Environ(), b.env...)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(b.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	b.cmd.Stderr, b.began = log, time.Now()
	err = errors.Join(b.cmd.Start(), log.Close())
	if err != nil {
		b.Fatal(err)
	}
	go func(cmd *exec.Cmd, dead chan struct{}) {
		b.how = cmd.Wait()
		close(dead)
	}(b.cmd, b.dead)
}

// kill ends it as kill -9 does; one that has ended stays so.
func (b *post) kill() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill() // it may have ended
	<-b.dead
}

// picture is what boothd shows; an error while it starts.
func (b *post) picture() (status.Picture, error) {
	return status.Dial("unix:" + string(b.cfg.Socket)).Get(b.Context())
}

// await waits until boothd shows what is wanted.
func (b *post) await(what string, ok func(status.Picture) bool) (p status.Picture) {
	b.Helper()
	return b.awaitFor(40*time.Second, what, ok)
}

func (b *post) awaitFor(most time.Duration, what string, ok func(status.Picture) bool) (p status.Picture) {
	b.Helper()
	var err error
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-b.dead:
			b.Fatalf("boothd ended: %v", b.how)
		default:
		}
		if p, err = b.picture(); err == nil && ok(p) {
			return p
		}
	}
	b.Fatalf("never %s: %+v %v", what, p, err)
	return p
}

func healthy(p status.Picture) bool { return p.Health == status.Healthy }

// open starts boothd for the first time and gives it the center's lists.
func (b *post) open() {
	b.Helper()
	b.start()
	var err error
	b.await("given its lists", func(status.Picture) bool {
		_, err = run(b.T, "boothctl", "--config", b.file, "list", "import", filepath.Join(b.c.dir, "hq", "repository"))
		return err == nil // until the list store is open
	})
	b.await("healthy", healthy)
}

// set gives an input of the lane its active level, or takes it away.
func (b *post) set(point string, active bool) {
	in := b.cfg.GPIO.In[point]
	if err := b.chip.Set(in.Line, active != in.ActiveLow); err != nil {
		b.Error(err)
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

// slowDisk gives the environment of a program whose database takes a while to
// begin a write and to sync it, as on a worn memory card. The lamps take 50 ms
// from red to green: a kill that comes with the green has to come before the
// record of a lamp that is lit too early. What was written outlives a kill,
// synced or not, so that it is the write that has to wait.
func slowDisk(t *testing.T) (env string) {
	t.Helper()
	const text = `#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static void wait_a_bit(void) {
	static __thread struct timespec last;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != last.tv_sec || now.tv_nsec - last.tv_nsec > 2000000) usleep(70000);
	clock_gettime(CLOCK_MONOTONIC, &last);
}
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t at) { wait_a_bit(); return syscall(SYS_pwrite64, fd, b, n, at); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t at) { return pwrite64(fd, b, n, at); }
int fsync(int fd) { wait_a_bit(); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { wait_a_bit(); return syscall(SYS_fdatasync, fd); }
`
	dir := t.TempDir()
	lib := filepath.Join(dir, "slow.so")
	cmd := exec.Command("gcc", "-shared", "-fPIC", "-o", lib, "-xc", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return "LD_PRELOAD=" + lib
}
