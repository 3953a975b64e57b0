package status

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/page.css
var pageCSS string

//go:embed page/page.js
var pageJS string

// ageHeader carries the picture's age in milliseconds beside /state.json.
const ageHeader = "Picture-Age-Ms"

// Handler answers GET and HEAD for / (the page), /events (server-sent events),
// /state.json (the Picture), /metrics (Prometheus) and /healthz. Everything
// else is 404 or 405, and a request that names another host is 421.
func (b *Board) Handler() http.Handler {
	mux := http.NewServeMux()
	page, policy := assemble()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		write(w, http.StatusOK, page)
	})
	mux.HandleFunc("GET /state.json", b.state)
	mux.HandleFunc("GET /healthz", b.healthz)
	mux.HandleFunc("GET /events", b.events)
	mux.Handle("GET /metrics", b.metrics())
	return guard(mux)
}

// assemble puts style and script into the page, so that it is one resource,
// and allows exactly these two by their digest.
func assemble() (page []byte, policy string) {
	digest := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	html := strings.NewReplacer("/*style*/", pageCSS, "/*script*/", pageJS).Replace(pageHTML)
	return []byte(html), "default-src 'none'; script-src " + digest(pageJS) + "; style-src " + digest(pageCSS) +
		"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// guard keeps other sites' pages out, which the browser on this machine might
// be showing: by the host they ask for, and by what the browser says of them.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		switch {
		case !thisHost(r.Host):
			http.Error(w, "this booth answers only as localhost", http.StatusMisdirectedRequest)
		case foreign(r):
			http.Error(w, "asked for by another site", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// thisHost tells whether a Host header means this machine. The port may be any:
// a tunnel to the booth has its own.
func thisHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	at, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && at.IsLoopback()
}

// foreign tells whether a page of another site makes the browser ask. Following
// a link to the page is not foreign; filling the viewers' places would be.
func foreign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "cross-site" || site == "same-site") && r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

func (b *Board) state(w http.ResponseWriter, _ *http.Request) {
	f := b.now.Load()
	text, err := f.json()
	switch {
	case f.empty:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the booth is starting", http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set(ageHeader, strconv.FormatInt(f.age().Milliseconds(), 10))
		write(w, http.StatusOK, text)
	}
}

// verdict is the body of /healthz.
type verdict struct {
	Status  string   `json:"status"` // healthy, degraded, out, starting, stale
	Reasons []Reason `json:"reasons"`
	AgeMS   int64    `json:"age_ms"` // of the picture judged
}

// healthz answers 200 while the lane decides (healthy, degraded), and 503 when
// it does not or has not been heard of: out, starting, stale.
func (b *Board) healthz(w http.ResponseWriter, _ *http.Request) {
	f := b.now.Load()
	v := verdict{Status: string(f.picture.Health), Reasons: reasons(f.picture.Why), AgeMS: f.age().Milliseconds()}
	code := http.StatusServiceUnavailable
	switch {
	case f.empty:
		v.Status = "starting"
	case f.stale():
		v.Status = "stale"
	case f.picture.Health == Healthy || f.picture.Health == Degraded:
		code = http.StatusOK
	default:
		v.Status = string(Out)
	}
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	write(w, code, append(body, '\n'))
}

// write sends a whole body. That the asker has gone is nobody's trouble here.
func write(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
