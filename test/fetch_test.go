package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
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
	o := newOffice(t, broker)
	dir := o.dir
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
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("asked %q", asked)
		}
	})
	o.start("90s")
	o.await(1)
	o.reconfigure(fmt.Sprintf("[lists]\nurls = [%q]\nspread = \"1ms\"\n", web.URL+"/"))
	questions := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(asked)
	}

	// Many cards: a delta that the booth has to fetch, since the broker does not
	// have it. The first transfer breaks; what headquarters says next makes the
	// booth go on.
	o.publish(600, 0)
	metadata := func() { t.Helper(); o.hq("lists", "send", o.office, "--broker", "tcp://"+broker, "--no-parts") }
	metadata()
	for end := time.Now().Add(40 * time.Second); len(questions()) == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the booth never asked for the list")
		}
	}
	o.hq("lists", "heartbeat", o.office, "--timestamp", "4h", "--passphrase-file", o.pass)
	metadata()
	o.await(2)
	if q := questions(); len(q) != 2 || q[0] != "/targets/cards-1-2.delta " || q[1] != "/targets/cards-1-2.delta bytes=300-" {
		t.Errorf("asked %q: not gone on where the line broke", q)
	}
	if err := noPart(filepath.Join(dir, "store", "fetch")); err != nil {
		t.Error(err)
	}

	// One card, as an urgent denial: it rides in the metadata.
	o.publish(1, 100_000)
	sent := time.Now()
	o.send()
	o.await(3)
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
		out, err := exec.Command(filepath.Join(programs, "boothhq"), "lists", "status", filepath.Join(dir, "hq"), "--broker", "tcp://"+broker, "--wait", "300ms").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		told = string(out)
	}
}

// noPart finds no list file behind, soon after the list is in force.
func noPart(dir string) error {
	var left []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if left, _ = filepath.Glob(filepath.Join(dir, "targets", "*")); len(left) == 0 {
			break
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind: %v", left)
	}
	return nil
}
