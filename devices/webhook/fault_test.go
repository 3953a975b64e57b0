package webhook

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices/devicestest"
)

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "axis", Config{})
		defer f.end()
		long := append([]byte(`{"plate":"A1","x":"`), bytes.Repeat([]byte("x"), bodyMost)...)
		for _, c := range []struct {
			method, path string
			body         []byte
			want         int
		}{
			{"POST", "/front", []byte("garbage"), 400},
			{"POST", "/front", []byte(recognized), 400},
			{"POST", "/front", append(long, `"}`...), 413},
			{"POST", "/", []byte(published), 404},
			{"POST", "/front/", []byte(published), 404},
			{"DELETE", "/front", []byte(published), 405},
			{"POST", "/front", nil, 204}, // nothing but that it is there
			{"HEAD", "/front", nil, 204},
		} {
			f.URL = "http://booth" + c.path
			if code, err := f.Post(t.Context(), c.method, c.body); err != nil || code != c.want {
				t.Errorf("%s %s of %d bytes: %d, %v, want %d", c.method, c.path, len(c.body), code, err, c.want)
			}
		}
		if c := f.r.Counters(); f.texts() != "" || c.CheckErrors != 3 || c.Frames != 0 {
			t.Errorf("read %q, %+v", f.texts(), c)
		}
		if len(f.faults) != 1 || !errors.Is(f.faults[0], errFormat) {
			t.Errorf("faults %v", f.faults)
		}
		f.URL = "http://booth/front"
		if err := f.Plate(t.Context(), "A1", "", 1); err != nil || len(f.faults) != 2 || f.faults[1] != nil {
			t.Errorf("%v, faults %v", err, f.faults)
		}
		most := append(bytes.Replace(long[:bodyMost-2], []byte("A1"), []byte("B2"), 1), `"}`...) // as large as may be
		if code, err := f.Post(t.Context(), http.MethodPost, most); err != nil || code != http.StatusNoContent || !strings.HasSuffix(f.texts(), "B2") {
			t.Errorf("POST of %d bytes: %d, %v, read %q", len(most), code, err, f.texts())
		}
	})
}

// request is a whole request of a camera.
func request(body string) []byte {
	return fmt.Appendf(nil, "POST /front HTTP/1.1\r\nHost: booth\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", testToken, len(body), body)
}

// send writes to a new connection and gives the status of the answer; "" if the
// connection was closed without one.
func (f *follow) send(t *testing.T, b []byte) string {
	t.Helper()
	c, err := f.from(t.Context(), "camera:1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() { _, _ = c.Write(b) }() // the far end may close before it is through
	line, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(strings.TrimPrefix(line, "HTTP/1.1 "))
}

// What was cut off anywhere is not read, keeps no connection, and hinders no
// report after it.
func TestCutAtEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "axis", Config{})
		defer f.end()
		whole := request(published)
		for cut := range len(whole) {
			begun := time.Now()
			if got := f.send(t, whole[:cut]); strings.HasPrefix(got, "2") {
				t.Fatalf("%d bytes of %d: %q", cut, len(whole), got)
			}
			if took := time.Since(begun); took > answerMost {
				t.Fatalf("%d bytes held a connection for %v", cut, took)
			}
		}
		if f.texts() != "" {
			t.Errorf("read %q", f.texts())
		}
		if got := f.send(t, whole); got != "204 No Content" || f.texts() != "ABC123" {
			t.Errorf("whole: %q, read %q", got, f.texts())
		}
	})
}

// A report may be a MiB (the page), mostly pictures. A post costs 64 KiB and the
// buffer that holds it: one that grows by quarters as the bytes come has taken
// five times what it has in the end, a quarter of which may be spare.
func TestPostIsFrugal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "axis", Config{})
		defer f.end()
		picture := strings.Repeat("/9j/4AAQ", (bodyMost-1<<10)/8)
		for name, post := range map[string]string{
			"small":         string(request(published)),
			"large":         string(request(`{"picture":"` + picture + `",` + published[1:])),
			"in pieces":     "POST /front HTTP/1.1\r\nHost: booth\r\nAuthorization: Token " + testToken + "\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("2\r\n  \r\n", bodyMost/2),
			"claimed alone": "POST /front HTTP/1.1\r\nHost: booth\r\nAuthorization: Token " + testToken + "\r\nContent-Length: 1000000\r\n\r\n{",
			"form of many parts": "POST /front HTTP/1.1\r\nHost: booth\r\nAuthorization: Token " + testToken + "\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: " + strconv.Itoa(50*10_000) + "\r\n\r\n" +
				strings.Repeat("--x\r\nContent-Disposition: form-data; name=\"y\"\r\n\r\n", 10_000),
			"stranger": "POST /front HTTP/1.1\r\nHost: booth\r\nContent-Length: 1000000\r\n\r\n" + picture,
		} {
			held := 0
			switch {
			case name == "form of many parts": // each has a head
				held = 10 * len(post)
			case len(post) > 8<<10:
				held = 7 * len(post)
			}
			devicestest.FrugalBeside(t, held, func() int {
				if got := f.send(t, []byte(post)); got == "" && name != "claimed alone" {
					t.Errorf("%s: no answer", name)
				}
				return 1
			})
		}
	})
}

func TestBabble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "axis", Config{})
		defer f.end()
		for _, b := range []string{"\x02garbage\x03\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", strings.Repeat("x", 2*headMost) + "\r\n",
			"POST /front HTTP/1.1\r\nHost: booth\r\nX: " + strings.Repeat("x", 2*headMost) + "\r\n\r\n",
			"POST /front HTTP/1.1\r\nHost: booth\r\nContent-Length: -1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
			if got := f.send(t, []byte(b)); got != "" && got[0] != '4' && got[0] != '5' {
				t.Errorf("%.20q: %q", b, got)
			}
		}
		linger()
		if c := f.r.Counters(); f.texts() != "" || c.Resyncs+c.CheckErrors != 7 {
			t.Errorf("read %q, %+v", f.texts(), c)
		}
		if err := f.Plate(t.Context(), "A1", "", 1); err != nil || f.texts() != "A1" {
			t.Errorf("%v, read %q", err, f.texts())
		}
	})
}

// Machines that open connections and say nothing, or a byte now and then, do not
// keep the camera out, and lose them.
func TestSlowloris(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "axis", Config{})
		defer f.end()
		ctx, cancel := context.WithCancel(t.Context())
		held := make(chan struct{})
		for range 3 * peerMost {
			go func() {
				defer func() { held <- struct{}{} }()
				for ctx.Err() == nil {
					c, err := f.from(ctx, "stranger:1")
					if err != nil {
						return
					}
					for b := range bytes.SplitSeq(request(published), nil) {
						if _, err := c.Write(b); err != nil || !pause(ctx, time.Second) {
							break
						}
					}
					_ = c.Close()
					pause(ctx, 10*time.Millisecond)
				}
			}()
		}
		for n := range 60 {
			begun := time.Now()
			if err := f.Plate(t.Context(), fmt.Sprintf("A%d", n), "", 1); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took > 0 {
				t.Errorf("a report took %v", took)
			}
			time.Sleep(time.Second)
		}
		if len(f.reads) != 60 || f.r.Counters().Resyncs == 0 {
			t.Errorf("%d reads, %+v", len(f.reads), f.r.Counters())
		}
		cancel()
		for range 3 * peerMost {
			<-held
		}
	})
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// A report that is posted again, since its answer was lost, is answered again
// and is no second one, however late it comes.
func TestPostedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "plate-recognizer", Config{})
		defer f.end()
		body := f.Report(time.Now(), "ABC123", "on", 0.5)
		for range 3 {
			if code, err := f.Post(t.Context(), "POST", body); err != nil || code != 204 {
				t.Fatalf("%d, %v", code, err)
			}
			time.Sleep(time.Minute)
		}
		if got := f.texts(); got != "ABC123" {
			t.Errorf("read %q", got)
		}
		if err := f.Plate(t.Context(), "ABC123", "on", 0.5); err != nil || f.texts() != "ABC123 ABC123" {
			t.Errorf("%v, read %q: minutes later it is another passage", err, f.texts())
		}
	})
}

func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "openalpr", Config{})
		defer f.end()
		for _, c := range []float64{0.5, 0.4, 0.5, 0.7, 0.6} { // surer is news
			if err := f.Plate(t.Context(), "ABC123", "on", c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if got := f.texts(); got != "ABC123 ABC123" || f.reads[1].Plate.Confidence != 0.7 {
			t.Errorf("read %q", got)
		}
	})
}

// What a camera has kept while it was cut off tells of vehicles that have gone.
func TestLateReportsAreNoReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "axis", Config{})
		defer f.end()
		wrong := -3 * time.Hour // the camera's clock, which does not matter
		say := func(text string, ago time.Duration) {
			t.Helper()
			code, err := f.Post(t.Context(), "POST", f.Report(time.Now().Add(wrong-ago), text, "", 1))
			if err != nil || code != 204 {
				t.Fatalf("%d, %v", code, err)
			}
		}
		say("A1", time.Second)
		time.Sleep(5 * time.Minute) // it is cut off
		for n := range 20 {
			say(fmt.Sprintf("GONE%d", n), 5*time.Minute-time.Duration(n)*10*time.Second)
		}
		say("B2", 2*time.Second)
		if got := f.texts(); got != "A1 B2" {
			t.Errorf("read %q", got)
		}
		if len(f.faults) != 2 || !errors.Is(f.faults[0], ErrLate) || f.faults[1] != nil {
			t.Errorf("faults %v", f.faults)
		}
		wrong -= time.Hour // somebody sets its clock
		for n := range 4 {
			say(fmt.Sprintf("C%d", n), time.Second)
			time.Sleep(20 * time.Second)
		}
		if got := f.texts(); got != "A1 B2 C2 C3" {
			t.Errorf("read %q", got)
		}
	})
}

// A clock that loses a second an hour is never late.
func TestSlowClock(t *testing.T) {
	var d delay
	now := time.Unix(1e9, 0)
	for n := range 1000 {
		now = now.Add(time.Hour)
		if d.late(now, now.Add(-time.Duration(n)*time.Second)) {
			t.Fatalf("late after %d hours", n)
		}
	}
}

// A camera that may not be silent is not there until it has said something, and
// gone when it says nothing; it is back with its first word.
func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer linger()
		opened := make(chan *follow)
		s := newStreet()
		go func() {
			r, err := Open(t.Context(), s, ready("axis", Config{Path: "/front", Token: []byte(testToken), Quiet: time.Minute}))
			if err != nil {
				t.Error(err)
			}
			opened <- &follow{r: r}
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case <-opened:
			t.Fatal("it is there before it said anything")
		default:
		}
		cam := s.camera("axis")
		posted := make(chan error)
		go func() { posted <- cam.Plate(t.Context(), "A1", "", 1) }()
		f := <-opened
		next, stop := pull(f.r, t.Context())
		defer stop()
		if read, err := next(); err != nil || read != "A1" {
			t.Fatalf("%q, %v: the first report is the first read", read, err)
		}
		var read string
		var err error
		last := time.Now()
		go func() { posted <- keepAlive(t.Context(), cam, 10) }()
		read, err = next()
		if silent := time.Since(last); !errors.Is(err, ErrSilent) || silent != 10*50*time.Second+time.Minute {
			t.Errorf("%q, %v after %v", read, err, silent)
		}
		for range 2 {
			if err := <-posted; err != nil {
				t.Error(err)
			}
		}
		_ = f.r.Close()
	})
}

func keepAlive(ctx context.Context, cam *Camera, times int) error {
	for range times {
		time.Sleep(50 * time.Second)
		if err := cam.Beat(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pull gives reads one by one.
func pull(r *Reader, ctx context.Context) (next func() (string, error), stop func()) {
	type said struct {
		text string
		err  error
	}
	ctx, stop = context.WithCancel(ctx)
	out := make(chan said)
	go func() {
		defer close(out)
		for read, err := range r.Reads(ctx) {
			x := said{err: err}
			if err == nil {
				x.text = read.Plate.Text.Reveal()
			}
			select {
			case out <- x:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() (string, error) { x := <-out; return x.text, x.err }, stop
}

// Somebody without the token does not make a camera that is silent one that is
// there, nor keep it so.
func TestStrangersAreNoSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer linger()
		s := newStreet()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		stranger := s.camera("axis")
		stranger.Token = "not the token at all"
		over := make(chan struct{})
		go func() {
			defer close(over)
			for ctx.Err() == nil {
				if code, err := stranger.Post(ctx, "POST", []byte(published)); err == nil && code != 401 {
					t.Errorf("answered %d", code)
				}
				time.Sleep(10 * time.Second)
			}
		}()
		var faults []error
		_, err := Open(ctx, s, ready("axis", Config{Path: "/front", Token: []byte(testToken), Quiet: time.Minute,
			Health: func(err error) { faults = append(faults, err) }}))
		if !errors.Is(err, context.DeadlineExceeded) || len(faults) != 1 || !errors.Is(faults[0], ErrToken) {
			t.Errorf("Open: %v, faults %v", err, faults)
		}
		<-over
	})
}

// A camera is told that all is well only when its report was taken: else it
// posts it again.
func TestNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer linger()
		s := newStreet()
		r, err := Open(t.Context(), s, ready("axis", Config{Path: "/front", Token: []byte(testToken)}))
		if err != nil {
			t.Fatal(err)
		}
		cam := s.camera("axis")
		body := cam.Report(time.Now(), "A1", "", 1)
		if code, err := cam.Post(t.Context(), "POST", body); err != nil || code != http.StatusServiceUnavailable || r.Counters().Timeouts != 1 {
			t.Errorf("nobody reads: %d, %v, %+v", code, err, r.Counters())
		}
		next, stop := pull(r, t.Context())
		if code, err := cam.Post(t.Context(), "POST", body); err != nil || code != http.StatusServiceUnavailable || r.Counters().Timeouts != 2 {
			t.Errorf("taken by nobody: %d, %v, %+v", code, err, r.Counters())
		}
		if text, err := next(); text != "A1" {
			t.Errorf("read %q, %v", text, err)
		}
		if code, err := cam.Post(t.Context(), "POST", body); err != nil || code != http.StatusNoContent {
			t.Errorf("posted again: %d, %v", code, err)
		}
		stop()
		_ = r.Close()
	})
}

func TestListenerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("the network is gone")
		f := start(t, "axis", Config{})
		f.street.end(why)
		if <-f.over; !errors.Is(f.err, why) {
			t.Errorf("ended with %v", f.err)
		}
		f.end()
	})
}

func TestOpenRefuses(t *testing.T) {
	good := ready("axis", Config{Path: "/", Token: []byte(testToken)})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		edit func(*Config)
	}{
		"no plate":       {t.Context(), func(c *Config) { c.Paths = nil }},
		"no token":       {t.Context(), func(c *Config) { c.Token = nil }},
		"short token":    {t.Context(), func(c *Config) { c.Token = c.Token[:TokenLeast-1] }},
		"long token":     {t.Context(), func(c *Config) { c.Token = make([]byte, TokenMost+1) }},
		"ended already":  {ended, func(*Config) {}},
		"ended, waiting": {ended, func(c *Config) { c.Quiet = time.Minute }},
	} {
		cfg, s := good, newStreet()
		c.edit(&cfg)
		r, err := Open(c.ctx, s, cfg)
		if err == nil {
			t.Errorf("%s: opened", name)
			_ = r.Close()
		}
		if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the listener is left open", name)
		}
		if err != nil && strings.Contains(err.Error(), testToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
