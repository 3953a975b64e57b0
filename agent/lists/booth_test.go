package lists_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"boothd/agent"
	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/buffer/eligibility"
	"boothd/buffer/journal"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/port"
)

// running is a whole booth without hardware: its lists arrive as a technician
// brings them, and its journal tells what became of them.
type running struct {
	t      testing.TB
	dir    string
	cfg    *configs.Config
	client *http.Client
	stop   func()
	log    safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex // every goroutine of the booth logs
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// runBooth starts a booth that believes an office, and waits until it can be
// asked.
func runBooth(t testing.TB, o *office) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir()}
	text, err := os.ReadFile("../../configs/nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	swap := strings.NewReplacer(
		`# socket = "/run/boothd/boothd.sock"`, `socket = "`+r.dir+`/s"`,
		`# dir = "/var/lib/boothd"`, `dir = "`+r.dir+`/store"`,
		`# root = "/etc/boothd/trust/root.json"`, `root = "`+r.dir+`/root.json"`,
		`"pinctrl-bcm2711"`, `"sim:`+r.dir+`/none"`,
		`["ssl://hq-a:8883", "ssl://hq-b:8883"]`, `["tcp://127.0.0.1:1"]`,
		`# listen = "127.0.0.1:7080"`, `listen = "127.0.0.1:0"`,
		"\nca = ", "\n# ca = ", "\ncert = ", "\n# cert = ", "\nkey = \"credential:mqtt-key\"", "\n# key")
	if r.cfg, err = agent.Drivers.Parse("booth.toml", []byte(swap.Replace(string(text)))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "root.json"), o.rootBytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", string(r.cfg.Socket))
	}}}
	r.start()
	return r
}

// start runs the booth, also again after stop.
func (r *running) start() {
	r.t.Helper()
	began := time.Now()
	ready := make(chan struct{})
	first := sync.OnceFunc(func() { close(ready) })
	world := agent.World{OpenPort: port.Open, OpenChip: gpio.OpenChip, Dial: (&net.Dialer{}).DialContext,
		Clock: func() (passage.Clock, time.Duration) { return passage.ClockSynced, 0 },
		Mono:  func() time.Duration { return time.Since(began) },
		Secret: func(ref configs.Ref) ([]byte, error) {
			path, err := ref.File(r.dir)
			if err != nil {
				return nil, err
			}
			return os.ReadFile(path)
		},
		Notify: func(s string) {
			if strings.Contains(s, "READY=1") {
				first()
			}
		},
		Log: slog.New(slog.NewTextHandler(&r.log, nil)), Version: "test", Boot: "boot"}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = agent.Run(ctx, r.cfg, world) // ends with ctx
	}()
	r.stop = func() { cancel(); <-done }
	r.t.Cleanup(func() {
		r.stop()
		if r.t.Failed() {
			r.t.Log(r.log.String())
		}
	})
	select {
	case <-ready:
	case <-done:
		r.t.Fatalf("the booth does not run: %s", r.log.String())
	case <-time.After(time.Minute):
		r.t.Fatalf("the booth is not ready: %s", r.log.String())
	}
}

// entry is one file of a stream that a technician's tool sends.
type entry struct {
	tar.Header
	body []byte
}

// stream is a source as boothctl sends it, metadata first.
func (s source) stream() (out []entry) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		out = append(out, entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(s[name])), Mode: 0o600}, s[name]})
	}
	return out
}

func pack(t testing.TB, files []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&f.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bring hands a stream to the booth, as boothctl list import does, and gives its
// answer; spoken is what it says if it takes no part of the stream.
func (r *running) bring(stream []byte) (answer agent.Imported, spoken string) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPut, "http://booth/lists", bytes.NewReader(stream))
		if err != nil {
			r.t.Fatal(err)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			if time.Now().Before(end) { // the socket is one of its last parts
				continue
			}
			r.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		switch {
		case err != nil:
			r.t.Fatal(err)
		case resp.StatusCode != http.StatusOK:
			return answer, fmt.Sprintf("%d %s", resp.StatusCode, bytes.TrimSpace(body))
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			r.t.Fatalf("answer %s: %v", body, err)
		}
		if len(answer.Refused) == 1 && strings.Contains(answer.Refused[0], "not open yet") && time.Now().Before(end) {
			continue // its shelf is opened beside everything else
		}
		return answer, ""
	}
}

// audit reads what the journal says of lists since an event.
func (r *running) audit(after uint64) (failed []contract.ListFailed, applied []contract.ListApplied, last uint64) {
	r.t.Helper()
	j, err := journal.OpenReader(r.t.Context(), filepath.Join(r.dir, "store", "journal.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	for rec, err := range j.Range(r.t.Context(), after+1, 1<<40) {
		if err != nil {
			r.t.Fatal(err)
		}
		e, err := contract.Decode(rec.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		last = max(last, rec.Seq)
		switch e.Type {
		case contract.TypeListFailed:
			f, err := contract.As[contract.ListFailed](e)
			if err != nil {
				r.t.Fatal(err)
			}
			failed = append(failed, f)
		case contract.TypeListApplied:
			a, err := contract.As[contract.ListApplied](e)
			if err != nil {
				r.t.Fatal(err)
			}
			applied = append(applied, a)
		}
	}
	return failed, applied, max(last, after)
}

// shows is what the booth's page says of the cards, in a picture taken from now
// on.
func (r *running) shows() (l status.List) {
	r.t.Helper()
	asked := time.Now()
	for end := asked.Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		p, err := status.Dial("unix:" + string(r.cfg.Socket)).Get(r.t.Context())
		if err != nil || !p.At.After(asked) {
			continue // its socket is one of its last parts
		}
		for _, have := range p.Lists {
			if have.Kind == contract.ListCards {
				return have
			}
		}
	}
	r.t.Fatal("the booth shows no list of cards")
	return l
}

// answers looks a card up in what a stopped booth has on its disk.
func (r *running) answers(generation uint64, rows int) {
	r.t.Helper()
	st, err := eligibility.Open(r.t.Context(), filepath.Join(r.dir, "store", "lists"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	v := st.View()
	defer v.Release()
	for _, g := range v.Generations() {
		if g.Kind == contract.ListCards && (g.Generation != generation || g.Rows != uint64(rows)) {
			r.t.Errorf("cards-%d of %d rows on disk, want cards-%d of %d", g.Generation, g.Rows, generation, rows)
		}
	}
	want := cardRows(r.t, generation, 1)[0]
	got, ok, err := v.Lookup(contract.ListCards, want.Token)
	if err != nil || !ok || !bytes.Equal(got, want.Value) {
		r.t.Errorf("look-up = %x, %v, %v, want %x of generation %d", got, ok, err, want.Value, generation)
	}
}

// cutShort is a stream whose last file may be announced longer than it comes.
func cutShort(t testing.TB, files []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&f.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.body); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Flush() // it minds that a file is not all there
	return b.Bytes()
}

// imports are folders of imports that a booth has not cleared away.
func (r *running) imports() []string {
	left, err := filepath.Glob(filepath.Join(r.dir, "store", "import-*"))
	if err != nil {
		r.t.Fatal(err)
	}
	return left
}
