package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

//go:embed board.html
var boardHTML string

//go:embed board.css
var boardCSS string

// boardPages answers GET and HEAD for / (the page), /board.json, /metrics and
// /healthz. A request that names another host is 421: another site's page in a
// browser on this machine.
func boardPages(s *boardSource) http.Handler {
	page := template.Must(template.New("board").Funcs(template.FuncMap{"span": span, "when": when, "style": func() template.CSS { return template.CSS(boardCSS) }}).Parse(boardHTML))
	digest := sha256.Sum256([]byte(boardCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		b, ok := s.orNothing(w, r)
		if !ok {
			return
		}
		var out bytes.Buffer
		if err := page.Execute(&out, b); err != nil {
			s.log.Error("cannot make the page", "err", err)
			http.Error(w, "the page cannot be made", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Security-Policy", policy)
		answer(w, "text/html; charset=utf-8", out.Bytes())
	})
	mux.HandleFunc("GET /board.json", func(w http.ResponseWriter, r *http.Request) {
		b, ok := s.orNothing(w, r)
		if !ok {
			return
		}
		out, err := json.Marshal(b)
		if err != nil {
			s.log.Error("cannot make the board's JSON", "err", err)
			http.Error(w, "the JSON cannot be made", http.StatusInternalServerError)
			return
		}
		answer(w, "application/json", append(out, '\n'))
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if _, ok := s.orNothing(w, r); ok {
			answer(w, "text/plain; charset=utf-8", []byte("the database answers\n"))
		}
	})
	mux.Handle("GET /metrics", boardMetrics(s))
	return here(mux)
}

// orNothing gives the board, or says that there is none. What went wrong is in
// the log, not on the page.
func (s *boardSource) orNothing(w http.ResponseWriter, r *http.Request) (board, bool) {
	b, err := s.board(r.Context())
	if err != nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return board{}, false
	}
	return b, true
}

// answer sends a whole body. That the asker has gone is nobody's trouble here.
func answer(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// here answers only who asks for this machine. The port may be any: a tunnel has
// its own.
func here(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		name := r.Host
		if bare, _, err := net.SplitHostPort(name); err == nil {
			name = bare
		}
		if at, err := netip.ParseAddr(strings.Trim(name, "[]")); (err != nil || !at.IsLoopback()) && !strings.EqualFold(name, "localhost") {
			http.Error(w, "the board answers only as localhost", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// when is a time as the page shows it.
func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}
