package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of what listens; ours. A camera posts a few KiB within milliseconds.
const (
	askMost    = 5 * time.Second // for a whole request, the handshake and the body included
	answerMost = 10 * time.Second
	idleMost   = time.Minute     // between two requests of one connection
	handMost   = 3 * time.Second // until a report has been taken and kept
	headMost   = 8 << 10         // bytes
	partsMost  = 16              // of a form
	connsMost  = 8
	// peerMost leaves connections for the camera when another machine holds all
	// that it gets.
	peerMost = 4
)

// againAfter is what a camera is told to wait, in seconds, with a report that was
// not kept. A journal that did not open is tried every 2 s; ours.
const againAfter = "5"

// post is one request of somebody who knows the token, or the news that
// somebody does not.
type post struct {
	at     time.Time
	body   []byte // the JSON; nil: it only says that the camera is there
	err    error  // why there is none
	answer chan reply
}

// reply is what a post is answered once all that it owes is kept.
type reply struct {
	code int
	owes []*owed
}

// server returns what serves the reader's connections. Nothing is logged: what
// strangers send is no news, and what the camera sends is personal.
func (r *Reader) server() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{Handler: http.HandlerFunc(r.serve), Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0),
		ReadTimeout: askMost, ReadHeaderTimeout: askMost, WriteTimeout: answerMost, IdleTimeout: idleMost, MaxHeaderBytes: headMost,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			return context.WithValue(ctx, connKey{}, c)
		}}
}

type connKey struct{}

// serve answers one request. Whoever does not know the token learns nothing and
// has nothing read.
func (r *Reader) serve(w http.ResponseWriter, req *http.Request) {
	if c, ok := req.Context().Value(connKey{}).(*conn); ok {
		c.spoke.Store(true)
	}
	p := post{at: time.Now(), answer: make(chan reply, 1)}
	if !r.known(req) {
		p.err = ErrToken
		select {
		case r.posts <- p:
		case <-r.closed:
		case <-req.Context().Done():
		case <-time.After(handMost):
		}
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.Header().Set("Connection", "close") // its body stays unread
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch {
	case req.URL.Path != r.cfg.Path:
		http.Error(w, "no camera posts here", http.StatusNotFound)
		return
	case req.Method == http.MethodGet, req.Method == http.MethodHead:
	case req.Method != http.MethodPost && req.Method != http.MethodPut:
		w.Header().Set("Allow", "GET, HEAD, POST, PUT")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	default:
		body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, bodyMost))
		switch tooLong := (*http.MaxBytesError)(nil); {
		case errors.As(err, &tooLong):
			p.err = errLong
		case err != nil:
			p.err = fmt.Errorf("%w: cut off", errFormat)
		case len(body) > 0:
			p.body, p.err = unwrap(req.Header.Get("Content-Type"), body)
		}
	}
	code := r.hand(req.Context(), p)
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", againAfter)
		http.Error(w, "not stored; send it again", code)
		return
	}
	w.WriteHeader(code)
}

// hand gives a post to whoever reads and waits until it has been taken and all
// that it owes is kept: only then is a camera told that all is well.
func (r *Reader) hand(ctx context.Context, p post) int {
	ctx, cancel := context.WithTimeout(ctx, handMost)
	defer cancel()
	code := r.handed(ctx, p)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.count.timeouts.Add(1)
	}
	return code
}

func (r *Reader) handed(ctx context.Context, p post) int {
	select {
	case r.posts <- p:
	case <-r.closed:
		return http.StatusServiceUnavailable
	case <-ctx.Done():
		return http.StatusServiceUnavailable
	}
	select {
	case a := <-p.answer:
		for _, o := range a.owes {
			if r.settle(ctx, o) != nil {
				return http.StatusServiceUnavailable // Keep's owner tells why
			}
		}
		return a.code
	case <-ctx.Done():
	case <-r.closed:
	}
	return http.StatusServiceUnavailable
}

// known tells whether a request carries the token: as a bearer, as "Token", or
// as the password of any user. Digests are compared, so that neither the
// token's bytes nor its length show in the time it takes.
func (r *Reader) known(req *http.Request) bool {
	kind, given, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if _, password, ok := req.BasicAuth(); ok {
		given = password
	} else if !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "Token") {
		given = ""
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256(r.cfg.Token)
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// unwrap finds the JSON in a body: all of it, or the part "json" of a form. The
// images beside it are passed over.
func unwrap(contentType string, body []byte) ([]byte, error) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		return body, nil
	}
	kind, params, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && kind == "multipart/form-data":
		form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for range partsMost {
			part, err := form.NextPart()
			if err != nil {
				break
			}
			if part.FormName() != "json" {
				continue
			}
			if text, err := io.ReadAll(part); err == nil {
				return text, nil
			}
			break
		}
	case err == nil && kind == "application/x-www-form-urlencoded":
		for pair := range strings.SplitSeq(string(body), "&") {
			value, ok := strings.CutPrefix(pair, "json=")
			if !ok {
				continue
			}
			if text, err := url.QueryUnescape(value); err == nil {
				return []byte(text), nil
			}
		}
	}
	return nil, fmt.Errorf("%w: no JSON in it", errFormat)
}

// door lets so many connections in, and so many of one machine. Others are
// closed at once.
type door struct {
	net.Listener
	count *tally

	mu    sync.Mutex // connections are closed by their own goroutines
	all   int
	peers map[string]int
}

func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := c.RemoteAddr().String()
		if host, _, err := net.SplitHostPort(peer); err == nil {
			peer = host
		}
		d.mu.Lock()
		room := d.all < connsMost && d.peers[peer] < peerMost
		if room {
			d.all++
			d.peers[peer]++
		}
		d.mu.Unlock()
		if room {
			return &conn{Conn: c, door: d, peer: peer}, nil
		}
		d.count.resyncs.Add(1)
		_ = c.Close() // it was not let in
	}
}

// conn is a connection that is counted.
type conn struct {
	net.Conn
	door  *door
	peer  string
	spoke atomic.Bool // a whole request head came
	once  sync.Once
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.door.count.bytes.Add(uint64(n))
	return n, err
}

func (c *conn) Close() error {
	c.once.Do(func() {
		if !c.spoke.Load() {
			c.door.count.resyncs.Add(1)
		}
		c.door.mu.Lock()
		defer c.door.mu.Unlock()
		c.door.all--
		if c.door.peers[c.peer]--; c.door.peers[c.peer] == 0 {
			delete(c.door.peers, c.peer)
		}
	})
	return c.Conn.Close()
}
