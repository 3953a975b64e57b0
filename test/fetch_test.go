package test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"boothd/agent/status"
)

// torn cuts the first answers to questions for lists in the middle.
type torn struct {
	http.ResponseWriter
	left int
}

func (w *torn) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	if _, err := w.ResponseWriter.Write(p[:n]); err != nil || n == len(p) {
		return n, err
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush() // what was written arrives
	panic(http.ErrAbortHandler)                              // and the line breaks
}

// A list that headquarters publishes and announces over the broker is fetched
// from its web server and in force, over a line that breaks in between.
func TestListsComeFromTheWeb(t *testing.T) {
	t.Parallel()
	broker := mosquitto(t)
	dir := filepath.Join(t.TempDir(), "booth")
	var mu sync.Mutex
	var asked []string
	files := http.FileServer(http.Dir(filepath.Join(dir, "hq", "repository")))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		first := strings.HasPrefix(r.URL.Path, "/targets/") && len(asked) == 0
		if strings.HasPrefix(r.URL.Path, "/targets/") {
			asked = append(asked, r.URL.Path+" "+r.Header.Get("Range"))
		}
		mu.Unlock()
		if first {
			w = &torn{w, 300}
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "boothsim"), "demo", "--bin", programs, "--broker", broker, "--dir", dir, "--for", "90s", "--speed", "0.5")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // interrupted
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(dir, "boothd.log"))
			t.Logf("asked %q\nboothd: %s", asked, b)
		}
	})
	await := func(generation uint64) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			p, err := status.Dial("unix:" + filepath.Join(dir, "boothd.sock")).Get(t.Context())
			for _, l := range p.Lists {
				if err == nil && l.Kind == "cards" && l.Generation == generation {
					return
				}
			}
		}
		t.Fatalf("cards never came to generation %d", generation)
	}
	hq := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(filepath.Join(programs, "boothhq"), args...).CombinedOutput(); err != nil {
			t.Fatalf("boothhq %v: %v\n%s", args, err, out)
		}
	}
	await(1)
	if err := os.MkdirAll(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	more := fmt.Sprintf("[lists]\nurls = [%q]\nspread = \"1ms\"\n", web.URL+"/")
	if err := os.WriteFile(filepath.Join(dir, "conf.d", "web.toml"), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t, filepath.Join(dir, "boothd.toml"))
	csv := filepath.Join(dir, "csv", "cards.csv")
	b, err := os.ReadFile(csv)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	columns := strings.SplitN(lines[len(lines)-1], ",", 2)
	pass := filepath.Join(dir, "passphrase")
	// publish issues n cards more, like the last one.
	cards := string(b)
	publish := func(n, from int) {
		t.Helper()
		for i := range n {
			cards += fmt.Sprintf("E280%020X,%s\n", from+i, columns[1])
		}
		if err := os.WriteFile(csv, []byte(cards), 0o600); err != nil {
			t.Fatal(err)
		}
		built := filepath.Join(t.TempDir(), "built")
		hq("lists", "build", "--in", filepath.Join(dir, "csv"), "--out", built, "--token-key", filepath.Join(dir, "hq", "token.key"))
		hq("lists", "publish", filepath.Join(dir, "hq"), "--lists", built, "--timestamp", "4h", "--passphrase-file", pass)
	}
	send := func() { t.Helper(); hq("lists", "send", filepath.Join(dir, "hq"), "--broker", "tcp://"+broker) }
	questions := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(asked)
	}

	// Many cards: a delta that the booth has to fetch. The first transfer breaks;
	// what headquarters says next makes the booth go on.
	publish(600, 0)
	send()
	for end := time.Now().Add(20 * time.Second); len(questions()) == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the booth never asked for the list")
		}
	}
	hq("lists", "heartbeat", filepath.Join(dir, "hq"), "--timestamp", "4h", "--passphrase-file", pass)
	send()
	await(2)
	if q := questions(); len(q) != 2 || q[0] != "/targets/cards-1-2.delta " || q[1] != "/targets/cards-1-2.delta bytes=300-" {
		t.Errorf("asked %q: not gone on where the line broke", q)
	}
	if err := noPart(filepath.Join(dir, "store", "fetch")); err != nil {
		t.Error(err)
	}

	// One card, as an urgent denial: it rides in the metadata.
	publish(1, 100_000)
	sent := time.Now()
	send()
	await(3)
	t.Logf("one card is in force %v after it was sent", time.Since(sent).Round(time.Millisecond))
	if q := questions(); len(q) != 2 {
		t.Errorf("asked %q: a list was fetched for one card", q)
	}

	// And headquarters hears which booth has what.
	var told string
	for end := time.Now().Add(20 * time.Second); !strings.Contains(told, " has everything, "); {
		if time.Now().After(end) {
			t.Fatalf("headquarters was told %s", told)
		}
		out, err := exec.Command(filepath.Join(programs, "boothhq"), "lists", "booths", filepath.Join(dir, "hq"), "--broker", "tcp://"+broker, "--wait", "300ms").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		told = string(out)
	}
}

// hangUp tells the program that was started with a file to read it again.
func hangUp(t *testing.T, file string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		b, _ := os.ReadFile(line) // it may have ended
		if strings.HasSuffix(strings.TrimRight(string(b), "\x00"), "\x00"+file) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(line)))
			if err == nil {
				err = syscall.Kill(pid, syscall.SIGHUP)
			}
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no program runs with %s", file)
}

// noPart finds no list file behind.
func noPart(dir string) error {
	left, _ := filepath.Glob(filepath.Join(dir, "targets", "*"))
	if len(left) > 0 {
		return fmt.Errorf("left behind: %v", left)
	}
	return nil
}
