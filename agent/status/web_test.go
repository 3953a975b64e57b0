package status

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/passage"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func board() *Board { return New(slog.New(slog.DiscardHandler)) }

// ask sends one request to the handler, as the machine's own browser would.
func ask(b *Board, method, path string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:7080"+path, nil)
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	return w
}

func TestPageIsOneResourceUnderItsPolicy(t *testing.T) {
	w := ask(board(), "GET", "/", nil)
	body := w.Body.String()
	policy := w.Header().Get("Content-Security-Policy")
	if w.Code != http.StatusOK || !strings.HasPrefix(policy, "default-src 'none'; script-src 'sha256-") || strings.Contains(policy, "unsafe") {
		t.Errorf("GET / = %d with policy %q", w.Code, policy)
	}
	if m := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]|@import|url\(|\sstyle="|\son[a-z]+="|innerHTML|eval\(`).FindString(body); m != "" {
		t.Errorf("page has %q: an outside resource, or what its policy forbids", m)
	}
	if strings.Contains(body, "/*style*/") || strings.Contains(body, "/*script*/") {
		t.Error("page was not put together")
	}
	for _, tag := range []string{"script", "style"} {
		all := regexp.MustCompile(`(?s)<`+tag+`[^>]*>(.*?)</`+tag+`>`).FindAllStringSubmatch(body, -1)
		if len(all) != 1 {
			t.Fatalf("page has %d of %s, want 1", len(all), tag)
		}
		sum := sha256.Sum256([]byte(all[0][1]))
		if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("policy %q does not allow the page's own %s", policy, tag)
		}
	}
}

// Pieces that people and tests of the whole booth rely on.
func TestPagePieces(t *testing.T) {
	body := ask(board(), "GET", "/", nil).Body.String()
	for _, want := range []string{
		`<html lang="en-CA" data-live="no">`, // not live until told
		`role="alert">Connecting to boothd. Nothing below is known yet.`,
		`<svg id="traveller" viewBox="0 0 96 248" role="img" aria-label="Traveller's light: not known">`,
		`<div class="veil" id="veil">`, `<noscript>`, `name="viewport"`, `id="simulated"`, `prefers-color-scheme: dark`, `prefers-reduced-motion`,
		`const SILENT_MS = 3000`, `const VEIL_MS = 4000`, `drawLamps(null)`, `No connection to boothd.`, `its lane has stopped reporting`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	for _, lamp := range sample().Lamps {
		if !strings.Contains(body, `data-lamp="`+lamp.Name+`"`) {
			t.Errorf("page has no lamp %s", lamp.Name)
		}
	}
	// The veil is opaque by default: only a beat lifts it.
	if !regexp.MustCompile(`(?s)\.veil \{[^}]*opacity: 1;`).MatchString(body) {
		t.Error("veil is not down by default")
	}
}

func TestGuard(t *testing.T) {
	tests := []struct {
		name string
		edit func(*http.Request)
		want int
	}{
		{"address", nil, http.StatusOK},
		{"localhost through a tunnel", func(r *http.Request) { r.Host = "localhost:9999" }, http.StatusOK},
		{"IPv6", func(r *http.Request) { r.Host = "[::1]:7080" }, http.StatusOK},
		{"IPv6 without port", func(r *http.Request) { r.Host = "[::1]" }, http.StatusOK},
		{"a name rebound to this address", func(r *http.Request) { r.Host = "evil.example:7080" }, http.StatusMisdirectedRequest},
		{"a name that only begins so", func(r *http.Request) { r.Host = "127.0.0.1.evil.example" }, http.StatusMisdirectedRequest},
		{"another address", func(r *http.Request) { r.Host = "192.0.2.1:7080" }, http.StatusMisdirectedRequest},
		{"no host", func(r *http.Request) { r.Host = "" }, http.StatusMisdirectedRequest},
		{"another site's script", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "no-cors")
		}, http.StatusForbidden},
		{"a link from another site", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
		}, http.StatusOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := board()
			b.Publish(sample())
			for _, path := range []string{"/", "/state.json", "/healthz", "/metrics"} {
				if got := ask(b, "GET", path, tt.edit).Code; got != tt.want {
					t.Errorf("GET %s = %d, want %d", path, got, tt.want)
				}
			}
		})
	}
}

func TestNothingCanBeChanged(t *testing.T) {
	b := board()
	for _, path := range []string{"/", "/state.json", "/events", "/metrics", "/healthz"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			if got := ask(b, method, path, nil).Code; got != http.StatusMethodNotAllowed {
				t.Errorf("%s %s = %d, want 405", method, path, got)
			}
		}
	}
	if got := ask(b, "GET", "/lamp", nil).Code; got != http.StatusNotFound {
		t.Errorf("GET /lamp = %d, want 404", got)
	}
}

func TestHealthz(t *testing.T) {
	tests := []struct {
		name    string
		publish *Picture
		wait    time.Duration
		code    int
		want    verdict
	}{
		{"starting", nil, 0, 503, verdict{Status: "starting", Reasons: []Reason{}}},
		{"healthy", &Picture{Health: Healthy}, staleAfter, 200, verdict{Status: "healthy", Reasons: []Reason{}, AgeMS: 3000}},
		{"degraded", &Picture{Health: Degraded, Why: []Reason{Because(passage.ListStale)}}, 0, 200,
			verdict{Status: "degraded", Reasons: []Reason{Because(passage.ListStale)}}},
		{"out", &Picture{Health: Out}, 0, 503, verdict{Status: "out", Reasons: []Reason{}}},
		{"forgotten", &Picture{}, 0, 503, verdict{Status: "out", Reasons: []Reason{}}},
		{"stale", &Picture{Health: Healthy}, staleAfter + time.Millisecond, 503, verdict{Status: "stale", Reasons: []Reason{}, AgeMS: 3001}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := board()
				if tt.publish != nil {
					b.Publish(*tt.publish)
				}
				time.Sleep(tt.wait) // virtual
				w := ask(b, "GET", "/healthz", nil)
				want, err := json.Marshal(tt.want)
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.TrimSpace(w.Body.String()); w.Code != tt.code || got != string(want) {
					t.Errorf("GET /healthz = %d %s, want %d %s", w.Code, got, tt.code, want)
				}
			})
		})
	}
}

func TestStateBeforeTheFirstPicture(t *testing.T) {
	if w := ask(board(), "GET", "/state.json", nil); w.Code != http.StatusServiceUnavailable {
		t.Errorf("GET /state.json = %d, want 503", w.Code)
	}
}

func TestMetrics(t *testing.T) {
	b := board()
	b.Publish(sample())
	w := ask(b, "GET", "/metrics", nil)
	text := w.Body.Bytes()
	problems, err := promlint.New(bytes.NewReader(text)).Lint() // parses every line
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("GET /metrics = %d, %v:\n%s", w.Code, err, text)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "boothd_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	var ours bytes.Buffer
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "boothd_") && !strings.HasPrefix(line, "boothd_picture_age_seconds ") {
			ours.WriteString(line)
		}
	}
	golden(t, "metrics.txt", ours.Bytes())
}

// An alert rule must not take an old good word for a new one.
func TestStaleMetricsHaveNoHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := board()
		b.Publish(sample())
		time.Sleep(staleAfter + time.Second) // virtual
		body, err := io.ReadAll(ask(b, "GET", "/metrics", nil).Body)
		if err != nil {
			t.Fatal(err)
		}
		text := string(body)
		if !strings.Contains(text, "boothd_picture_age_seconds 4\n") || !strings.Contains(text, `boothd_health{state="healthy"} 0`) ||
			strings.Contains(text, "boothd_lamp_on{") {
			t.Errorf("stale metrics:\n%s", text)
		}
	})
}
