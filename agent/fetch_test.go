package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/lists"
	"boothd/buffer/eligibility"
)

// web is a web server in memory, and what goes wrong with it.
type web struct {
	files map[string][]byte
	asked []string // paths with the first byte asked for
	sent  int      // bytes of lists
	do    func(w *web, path string, from int, r *http.Response) error
}

// RoundTrip answers one question.
func (w *web) RoundTrip(req *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(req.URL.Path, "/lists/")
	from := 0
	if h := req.Header.Get("Range"); h != "" {
		if _, err := fmt.Sscanf(h, "bytes=%d-", &from); err != nil {
			return nil, err
		}
	}
	w.asked = append(w.asked, fmt.Sprintf("%s %d", path, from))
	r := &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Request: req}
	b, ok := w.files[path]
	switch {
	case !ok:
		r.StatusCode, r.Status = http.StatusNotFound, "404 Not Found"
	case from > 0:
		r.StatusCode = http.StatusPartialContent
		r.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
		b = b[from:]
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	if w.do != nil {
		if err := w.do(w, path, from, r); err != nil {
			return nil, err
		}
	}
	if strings.HasPrefix(path, "targets/") {
		r.Body = &counted{r.Body, &w.sent, req.Context()}
	}
	return r, nil
}

type counted struct {
	io.ReadCloser
	n   *int
	ctx context.Context
}

func (c *counted) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, c.ctx.Err()
	}
	n, err := c.ReadCloser.Read(p)
	*c.n += n
	return n, err
}

// cut ends a body after n bytes, as a line that breaks does.
func cut(r *http.Response, n int64) {
	r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, n), errReader{}))
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// silent is a body that gives nothing and ends with its question.
type silentBody struct{ ctx context.Context }

func (s silentBody) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }
func (silentBody) Close() error               { return nil }

// judge stands for the shelf: it wants one list, and knows the bytes of it.
type judge struct {
	want    []byte
	gen     uint64
	applied bool
	takes   int
	answer  error // instead of judging
	have    []eligibility.Generation
	mixed   int // judgements of a snapshot other than the timestamp's
}

func (j *judge) rootVersion() (int64, error)           { return 1, nil }
func (j *judge) generations() []eligibility.Generation { return j.have }

func (j *judge) take(_ context.Context, src fs.FS, via string) (lists.Result, error) {
	j.takes++
	if j.answer != nil {
		return lists.Result{}, j.answer
	}
	a, errA := fs.ReadFile(src, "timestamp.json")
	b, errB := fs.ReadFile(src, "snapshot.json")
	if errA != nil || errB != nil || via != "https" {
		return lists.Result{}, &lists.Refusal{Why: lists.Unavailable, Err: errors.Join(errA, errB)}
	}
	if snapshotVersion(a) != snapshotVersion(b) {
		j.mixed++
	}
	got, err := fs.ReadFile(src, "targets/"+lists.TargetName("cards", j.gen))
	switch {
	case j.applied:
		return lists.Result{}, nil
	case err != nil:
		return lists.Result{}, &lists.Refusal{Why: lists.Unavailable, Kind: "cards", Generation: j.gen, File: lists.TargetName("cards", j.gen), Bytes: int64(len(j.want)), Err: err}
	case !bytes.Equal(got, j.want):
		return lists.Result{}, &lists.Refusal{Why: lists.Tampered, Kind: "cards", Generation: j.gen, File: lists.TargetName("cards", j.gen), Bytes: int64(len(j.want)), Err: errors.New("sum")}
	}
	j.applied = true
	return lists.Result{Fresh: true}, nil
}

func metaOf(snapshot int) map[string][]byte {
	return map[string][]byte{
		"timestamp.json": fmt.Appendf(nil, `{"signed":{"_type":"timestamp","version":9,"meta":{"snapshot.json":{"version":%d}}}}`, snapshot),
		"snapshot.json":  fmt.Appendf(nil, `{"signed":{"_type":"snapshot","version":%d}}`, snapshot),
		"targets.json":   []byte(`{}`),
	}
}

// fetching is a booth that fetches one list of 100 KB.
func fetching(t *testing.T, do func(w *web, path string, from int, r *http.Response) error) (*fetcher, *web, *judge, *syncBuffer) {
	t.Helper()
	j := &judge{want: bytes.Repeat([]byte("0123456789abcdef"), 6250), gen: 7}
	w := &web{files: metaOf(3), do: do}
	w.files["targets/cards-7.list"] = j.want
	log := new(syncBuffer)
	f := newFetcher(slog.New(slog.NewTextHandler(log, nil)), []string{"https://hq/lists/"}, t.TempDir(), time.Hour, &http.Client{Transport: w}, j)
	f.room = func(string) int64 { return 1 << 30 }
	return f, w, j, log
}

// A list comes over every trouble of the line, no byte of it twice where the
// server knows ranges, and nothing stays behind.
func TestFetchGetsAListWhatever(t *testing.T) {
	once := func(f func(w *web, path string, from int, r *http.Response) error) func(*web, string, int, *http.Response) error {
		done := false
		return func(w *web, path string, from int, r *http.Response) error {
			if done || !strings.HasPrefix(path, "targets/") {
				return nil
			}
			done = true
			return f(w, path, from, r)
		}
	}
	for name, tt := range map[string]struct {
		do   func(w *web, path string, from int, r *http.Response) error
		sent int // bytes in all; 0: not looked at
	}{
		"smooth":   {nil, 100_000},
		"cut once": {once(func(_ *web, _ string, _ int, r *http.Response) error { cut(r, 40_000); return nil }), 100_000},
		"cut again and again": {func(_ *web, path string, _ int, r *http.Response) error {
			if strings.HasPrefix(path, "targets/") {
				cut(r, 9_000)
			}
			return nil
		}, 100_000},
		"stalled": {once(func(_ *web, _ string, _ int, r *http.Response) error {
			r.Body = silentBody{r.Request.Context()}
			return nil
		}), 100_000},
		"refused": {once(func(*web, string, int, *http.Response) error { return errors.New("connection refused") }), 100_000},
		"server error": {once(func(_ *web, _ string, _ int, r *http.Response) error {
			r.StatusCode, r.Status = 503, "503"
			return nil
		}), 0},
		"no ranges": {func(w *web, path string, from int, r *http.Response) error {
			switch {
			case !strings.HasPrefix(path, "targets/"):
			case from == 0 && len(w.asked) < 8:
				cut(r, 40_000)
			case from > 0:
				r.StatusCode, r.Body = http.StatusOK, io.NopCloser(bytes.NewReader(w.files[path]))
				r.Header.Del("Content-Range")
			}
			return nil
		}, 140_000},
		"another range": {func(w *web, path string, from int, r *http.Response) error {
			switch {
			case !strings.HasPrefix(path, "targets/"):
			case from == 0 && w.sent == 0:
				cut(r, 40_000)
			case from > 0:
				r.Header.Set("Content-Range", "bytes 0-99999/100000")
			}
			return nil
		}, 0},
		"tampered once": {once(func(_ *web, _ string, _ int, r *http.Response) error {
			r.Body = io.NopCloser(bytes.NewReader(make([]byte, 100_000)))
			return nil
		}), 0},
		"longer than signed": {func(w *web, path string, from int, r *http.Response) error {
			if strings.HasPrefix(path, "targets/") {
				r.Body = io.NopCloser(io.MultiReader(r.Body, bytes.NewReader(make([]byte, 1<<20))))
			}
			return nil
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, w, j, log := fetching(t, tt.do)
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); f.run(ctx) }()
				time.Sleep(2 * time.Hour)
				stop()
				<-done
				if !j.applied {
					t.Fatalf("never applied; %d asked\n%s", len(w.asked), log)
				}
				if tt.sent > 0 && w.sent != tt.sent {
					t.Errorf("%d bytes of the list went over the line, want %d", w.sent, tt.sent)
				}
				if left, _ := filepath.Glob(filepath.Join(f.dir, "targets", "*")); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		})
	}
}

// A line so slow that every list is replaced before it is here leaves one begun
// file on the disk, not one of each day.
func TestFetchDropsWhatIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, w, j, log := fetching(t, func(_ *web, path string, _ int, r *http.Response) error {
			if strings.HasPrefix(path, "targets/") {
				cut(r, 9_000)
			}
			return nil
		})
		f.spread = 0
		for range 5 {
			name := lists.TargetName("cards", j.gen)
			w.files["targets/"+name] = j.want
			w.files["targets.json"] = fmt.Appendf(nil, `{"gen":%d}`, j.gen)
			for range 3 {
				_ = f.round(t.Context())
			}
			left, err := filepath.Glob(filepath.Join(f.dir, "targets", "*"))
			if err != nil || len(left) != 1 || filepath.Base(left[0]) != name+".part" {
				t.Errorf("%v, %v, want only what has come of %s", left, err, name)
			}
			j.gen++
		}
		// What is whole and was replaced goes too; a delta of a chain stays.
		j.gen--
		for _, name := range []string{"cards-3.list", "members-5-6.delta"} {
			if err := os.WriteFile(filepath.Join(f.dir, "targets", name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_ = f.round(t.Context())
		left, err := os.ReadDir(filepath.Join(f.dir, "targets"))
		if err != nil || len(left) != 2 || left[1].Name() != "members-5-6.delta" {
			t.Errorf("%v, %v\n%s", left, err, log)
		}
	})
}

// A second server is asked when the first does not answer, and trouble is told
// once, not every five minutes.
func TestFetchTriesEveryServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, w, j, log := fetching(t, nil)
		f.urls = []string{"https://dead/lists/", "https://hq/lists/"}
		w.do = func(w *web, path string, _ int, r *http.Response) error {
			if r.Request.URL.Host == "dead" {
				return errors.New("no route to host")
			}
			return nil
		}
		_ = f.round(t.Context())
		if !j.applied {
			t.Fatalf("the second server was not asked\n%s", log)
		}
		w.do = func(*web, string, int, *http.Response) error { return errors.New("no route to host") }
		for range 5 {
			_ = f.round(t.Context())
		}
		if n := strings.Count(log.String(), "lists cannot be fetched"); n != 1 {
			t.Errorf("told %d times\n%s", n, log)
		}
		w.do = nil
		_ = f.round(t.Context())
		if !strings.Contains(log.String(), "fetched again") {
			t.Error(log)
		}
	})
}

// A publication that is being written is not judged half: it would count as a
// bad list (205).
func TestI6_FetchWaitsForAWholePublication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, w, j, _ := fetching(t, nil)
		w.files["snapshot.json"] = metaOf(4)["snapshot.json"] // written before its timestamp
		began := time.Now()
		w.do = func(w *web, _ string, _ int, _ *http.Response) error {
			if time.Since(began) > 7*time.Second {
				for name, b := range metaOf(4) {
					w.files[name] = b
				}
			}
			return nil
		}
		_ = f.round(t.Context())
		if j.mixed > 0 || !j.applied {
			t.Errorf("%d judgements of a mixed publication, applied %v", j.mixed, j.applied)
		}
	})
}

// What was judged is not judged again until it changes; what could not be, is.
func TestFetchJudgesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, w, j, _ := fetching(t, nil)
		rounds := func(want int) {
			t.Helper()
			j.takes = 0
			for range 4 {
				_ = f.round(t.Context())
			}
			if j.takes != want {
				t.Errorf("judged %d times, want %d", j.takes, want)
			}
		}
		j.answer = &lists.Refusal{Why: lists.Unsigned, Err: errors.New("stranger")}
		rounds(1)
		w.files["targets.json"] = []byte(`{"new":1}`)
		rounds(1)
		j.answer = &lists.Refusal{Why: lists.Store, Err: errors.New("disk full")}
		w.files["targets.json"] = []byte(`{"new":2}`)
		rounds(4)
		j.answer = errNoTrust
		rounds(4)
		j.answer = nil
		rounds(2) // lacking, then whole
		j.have = []eligibility.Generation{{Kind: "cards", Generation: 7}}
		rounds(1) // it has come another way, perhaps
		rounds(0)
		j.have, j.applied = []eligibility.Generation{{Kind: "cards", Generation: 6}}, false
		rounds(2) // 7 turned out damaged: the metadata that was judged brings it again
	})
}

// Everything from outside is bounded before it is read, and before the disk is
// filled.
func TestFetchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, w, j, log := fetching(t, nil)
		w.files["targets.json"] = make([]byte, metaMost+1)
		_ = f.round(t.Context())
		if j.takes != 0 || !strings.Contains(log.String(), "more than 262144 bytes") {
			t.Errorf("judged %d times\n%s", j.takes, log)
		}
		w.files["targets.json"] = []byte(`{}`)
		f.room = func(string) int64 { return int64(len(j.want)) * 2 }
		_ = f.round(t.Context())
		if w.sent > 0 || !strings.Contains(log.String(), "need 800000 free on the disk") {
			t.Errorf("%d bytes were fetched\n%s", w.sent, log)
		}
		for n := range 2 * fetchRoots { // roots without end
			w.files[fmt.Sprintf("root/%d.root.json", n)] = []byte("{}")
		}
		w.asked = nil
		_ = f.round(t.Context())
		if n := len(slices.DeleteFunc(w.asked, func(s string) bool { return !strings.HasPrefix(s, "root/") })); n != fetchRoots {
			t.Errorf("%d roots were asked for, want %d", n, fetchRoots)
		}
	})
}

// A booth that has lists waits a random part of the spread; one without, for
// nothing.
func TestFetchIsSpread(t *testing.T) {
	var delays []time.Duration
	for range 40 {
		synctest.Test(t, func(t *testing.T) {
			f, w, j, _ := fetching(t, nil)
			j.have = []eligibility.Generation{{Kind: "cards", Generation: 6}}
			var came time.Duration
			began := time.Now()
			w.do = func(_ *web, path string, _ int, _ *http.Response) error {
				if strings.HasPrefix(path, "targets/") {
					came = time.Since(began)
				}
				return nil
			}
			_ = f.round(t.Context())
			delays = append(delays, came)
		})
	}
	if lo, hi := slices.Min(delays), slices.Max(delays); lo < 0 || hi > time.Hour || hi-lo < 20*time.Minute {
		t.Errorf("40 booths came between %s and %s", lo, hi)
	}
	synctest.Test(t, func(t *testing.T) {
		f, _, j, _ := fetching(t, nil)
		began := time.Now()
		_ = f.round(t.Context())
		if !j.applied || time.Since(began) > time.Second {
			t.Errorf("an empty booth waited %s", time.Since(began))
		}
	})
}

// No redirect is followed: it could lead anywhere.
func TestFetchFollowsNobody(t *testing.T) {
	f, _, j, log := fetching(t, func(_ *web, _ string, _ int, r *http.Response) error {
		r.StatusCode, r.Status = http.StatusFound, "302 Found"
		r.Header.Set("Location", "https://elsewhere/lists/")
		return nil
	})
	f.client.CheckRedirect = (&booth{}).webClient().CheckRedirect
	_ = f.round(t.Context())
	if j.takes != 0 || !strings.Contains(log.String(), "302 Found") {
		t.Errorf("judged %d times\n%s", j.takes, log)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "timestamp.json")); err == nil {
		t.Error("something was kept")
	}
}
