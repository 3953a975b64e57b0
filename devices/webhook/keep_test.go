package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"boothd/devices"
)

// shelf keeps reads, unless it is full, and not before it is let.
type shelf struct {
	mu     sync.Mutex // reads are kept by goroutines of their own
	full   bool
	wait   chan struct{} // nil: at once
	asked  int
	most   int // at a time
	atWork int
	kept   []string
}

var errFull = errors.New("full")

func (s *shelf) keep(ctx context.Context, r devices.Read, late bool) error {
	s.mu.Lock()
	s.asked++
	s.atWork++
	s.most = max(s.most, s.atWork)
	wait := s.wait
	s.mu.Unlock()
	if wait != nil {
		<-wait
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atWork--
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.full {
		return errFull
	}
	text := r.Plate.Text.Reveal()
	if late {
		text += " late"
	}
	s.kept = append(s.kept, text)
	return nil
}

func (s *shelf) set(full bool, wait chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full, s.wait = full, wait
}

func (s *shelf) texts() string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.kept, ", ")
}

// posting posts beside the test.
func (f *follow) posting(t *testing.T, body []byte) <-chan int {
	answer := make(chan int, 1)
	go func() {
		code, err := f.Post(t.Context(), http.MethodPost, body)
		if err != nil {
			t.Error(err)
		}
		answer <- code
	}()
	return answer
}

// The lane has a read at once, and the camera its answer when the read is kept.
func TestAnsweredOnceKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := make(chan struct{})
		s := &shelf{wait: wait}
		f := start(t, "plate-recognizer", Config{Keep: s.keep})
		defer f.end()
		answers := []<-chan int{f.posting(t, f.Report(time.Now(), "A1", "on", 0.9)), f.posting(t, f.Report(time.Now(), "", "", 0))}
		if got := len(strings.Fields(f.texts())); got != 2 {
			t.Errorf("%d reads before they are kept, want 2", got)
		}
		time.Sleep(handMost / 2)
		synctest.Wait()
		for _, a := range answers {
			select {
			case code := <-a:
				t.Errorf("answered %d, and it is not kept", code)
			default:
			}
		}
		close(wait)
		for _, a := range answers {
			if code := <-a; code != http.StatusNoContent {
				t.Errorf("answered %d", code)
			}
		}
		if s.asked != 2 {
			t.Errorf("asked %d times, want 2", s.asked)
		}
		if code, err := f.Post(t.Context(), "GET", nil); err != nil || code != 204 || s.asked != 2 {
			t.Errorf("a beat: %d, %v, asked %d times", code, err, s.asked)
		}
	})
}

// What could not be kept is answered so that the camera sends it again; then it
// is kept, and is no second read.
func TestNotKeptComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{full: true}
		f := start(t, "plate-recognizer", Config{Keep: s.keep})
		defer f.end()
		body := f.Report(time.Now(), "A1", "on", 0.9)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+testToken)
		resp, err := f.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		words, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != againAfter || !strings.Contains(string(words), "again") {
			t.Errorf("%s, Retry-After %q: %q, %v", resp.Status, resp.Header.Get("Retry-After"), words, err)
		}
		time.Sleep(time.Hour)
		for n, full := range []bool{true, false, false} {
			s.set(full, nil)
			if code := <-f.posting(t, body); (code == http.StatusNoContent) == full {
				t.Errorf("time %d: answered %d, full %t", n, code, full)
			}
		}
		if f.texts() != "A1" || s.texts() != "A1" || s.asked != 3 {
			t.Errorf("read %q, kept %q, asked %d times", f.texts(), s.texts(), s.asked)
		}
	})
}

// A camera that reports the same plate anew owes the read that it repeats.
func TestRepeatOwesWhatItRepeats(t *testing.T) {
	for _, template := range templates() {
		synctest.Test(t, func(t *testing.T) {
			s := &shelf{full: true}
			f := start(t, template, Config{Keep: s.keep})
			defer f.end()
			if code := <-f.posting(t, f.Report(time.Now(), "A1", "on", 0.9)); code != 503 {
				t.Errorf("%s: answered %d", template, code)
			}
			time.Sleep(time.Second)
			if code := <-f.posting(t, f.Report(time.Now(), "A1", "on", 0.8)); code != 503 {
				t.Errorf("%s: the repeat is answered %d", template, code)
			}
			s.set(false, nil)
			for range 2 {
				time.Sleep(time.Second)
				if code := <-f.posting(t, f.Report(time.Now(), "A1", "on", 0.8)); code != 204 {
					t.Errorf("%s: the repeat is answered %d", template, code)
				}
			}
			if f.texts() != "A1" || s.texts() != "A1" || s.asked != 3 {
				t.Errorf("%s: read %q, kept %q, asked %d times", template, f.texts(), s.texts(), s.asked)
			}
		})
	}
}

// A store that hangs holds up neither the lane nor the camera for long; what is
// posted again meanwhile waits for the first try and is not kept twice.
func TestI4_KeptOnceThoughItHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := make(chan struct{})
		s := &shelf{wait: wait}
		f := start(t, "axis", Config{Keep: s.keep})
		defer f.end()
		body := f.Report(time.Now(), "A1", "", 1)
		for range 3 {
			begun := time.Now()
			if code := <-f.posting(t, body); code != 503 || time.Since(begun) != handMost {
				t.Errorf("answered %d after %v", code, time.Since(begun))
			}
		}
		last := f.posting(t, body)
		synctest.Wait()
		close(wait)
		if code := <-last; code != 204 || s.texts() != "A1" || s.asked != 1 || f.texts() != "A1" {
			t.Errorf("answered %d, kept %q, asked %d times, read %q", code, s.texts(), s.asked, f.texts())
		}
	})
}

// However many reports hang, so many are kept at a time and all others refused at
// once; none is lost for a camera that sends again.
func TestHangingStoreIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := make(chan struct{})
		s := &shelf{wait: wait}
		f := start(t, "axis", Config{Keep: s.keep})
		defer f.end()
		var bodies [][]byte
		for n := range 2 * keepMost {
			bodies = append(bodies, f.Report(time.Now(), fmt.Sprintf("A%d", n), "", 1))
			if code := <-f.posting(t, bodies[n]); code != 503 {
				t.Errorf("report %d is answered %d", n, code)
			}
		}
		if got := len(strings.Fields(f.texts())); got != 2*keepMost || s.most != keepMost {
			t.Errorf("%d reads, %d kept at a time", got, s.most)
		}
		close(wait)
		s.set(false, nil)
		synctest.Wait()
		for n, body := range bodies {
			if code := <-f.posting(t, body); code != 204 {
				t.Errorf("report %d is answered %d at last", n, code)
			}
		}
		if got := len(strings.Fields(s.texts())); got != 2*keepMost || s.asked != 2*keepMost {
			t.Errorf("%d kept, asked %d times", got, s.asked)
		}
	})
}

// A report of a vehicle that has gone is kept as such before it is answered.
func TestLateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		f := start(t, "axis", Config{Keep: s.keep})
		defer f.end()
		<-f.posting(t, f.Report(time.Now(), "A1", "", 1))
		time.Sleep(time.Hour)
		s.set(true, nil)
		body := f.Report(time.Now().Add(-time.Minute), "B2", "", 1)
		if code := <-f.posting(t, body); code != 503 {
			t.Errorf("answered %d", code)
		}
		s.set(false, nil)
		if code := <-f.posting(t, body); code != 204 || f.texts() != "A1" || s.texts() != "A1, B2 late" {
			t.Errorf("answered %d, read %q, kept %q", code, f.texts(), s.texts())
		}
	})
}

// Whatever a camera posts and however the store is, a report that was answered
// well has each of its plates kept, and no read is kept twice.
func TestI4_NothingIsAnsweredWellAndNotKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [3]int {
			return [3]int{rapid.IntRange(0, 3).Draw(t, "plate"), rapid.IntRange(0, 2).Draw(t, "store"), rapid.SampledFrom([]int{0, 1, 9, 11, 40}).Draw(t, "pause")}
		}), 1, 30).Draw(rt, "steps")
		template := rapid.SampledFrom(templates()).Draw(rt, "template")
		synctest.Test(t, func(t *testing.T) {
			s := &shelf{}
			f := start(t, template, Config{Keep: s.keep})
			defer f.end()
			reports := map[int][]byte{}
			for n, step := range steps {
				time.Sleep(time.Duration(step[2]) * time.Second)
				text := fmt.Sprintf("P%d", step[0])
				if reports[step[0]] == nil || n%2 == 0 {
					reports[step[0]] = f.Report(time.Now(), text, "on", 0.9)
				}
				s.set(step[1] == 0, nil)
				if code := <-f.posting(t, reports[step[0]]); code == 204 && !strings.Contains(s.texts(), text) {
					t.Fatalf("step %d: %s is answered well and not kept: %q", n, text, s.texts())
				} else if code != 204 && code != 503 {
					t.Fatalf("step %d: answered %d", n, code)
				}
			}
			late := strings.Count(s.texts(), "late")
			if kept, read := len(s.kept)-late, len(strings.Fields(f.texts())); kept > read {
				t.Errorf("%d kept of %d reads: %q", kept, read, s.texts())
			}
		})
	})
}
