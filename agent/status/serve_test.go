package status

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener without a network, so that time may be virtual.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// served runs a board in a bubble; stop ends it and gives what serve said.
func served(t *testing.T, b *Board) (p *pipes, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p = newPipes()
	done := make(chan error, 1)
	go func() { done <- serve(ctx, b.log, p, b.Handler()) }()
	return p, func() error { cancel(); return <-done }
}

// watch opens the event stream.
func watch(t *testing.T, p *pipes) (net.Conn, *http.Response) {
	t.Helper()
	ours, theirs := net.Pipe()
	p.conns <- theirs
	if _, err := fmt.Fprint(ours, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ours, resp
}

// events reads messages: name and data.
type messages struct{ in *bufio.Scanner }

func newMessages(resp *http.Response) *messages {
	s := bufio.NewScanner(resp.Body)
	s.Buffer(nil, maxPicture)
	return &messages{s}
}

func (m *messages) next(t *testing.T) (name, data string) {
	t.Helper()
	for m.in.Scan() {
		line := m.in.Text()
		if v, ok := strings.CutPrefix(line, "event: "); ok {
			name = v
		}
		if v, ok := strings.CutPrefix(line, "data: "); ok {
			return name, v
		}
	}
	t.Fatalf("the stream ended: %v", m.in.Err())
	return "", ""
}

type beatData struct {
	AgeMS int64 `json:"age_ms"`
	Stale bool  `json:"stale"`
}

func TestEventsAreLiveAndTellOfStaleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := board()
		p, stop := served(t, b)
		conn, resp := watch(t, p)
		m := newMessages(resp)
		if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("Content-Type = %q", got)
		}
		// Before the first picture there are beats, and they say so.
		if name, data := m.next(t); name != "beat" || !strings.Contains(data, `"stale":true`) {
			t.Errorf("first message = %s %s, want a stale beat", name, data)
		}
		for _, version := range []string{"1", "2"} {
			pic := sample()
			pic.Version = version
			b.Publish(pic)
			began := time.Now()
			name, data := m.next(t)
			var got Picture
			if err := json.Unmarshal([]byte(data), &got); err != nil || name != "picture" || got.Version != version {
				t.Fatalf("message = %s %q, %v, want picture %s", name, got.Version, err, version)
			}
			if late := time.Since(began); late > sendEvery {
				t.Errorf("picture came after %s, want at most %s", late, sendEvery)
			}
			if name, data = m.next(t); name != "beat" || !strings.Contains(data, `"stale":false`) {
				t.Errorf("after the picture = %s %s, want a good beat", name, data)
			}
		}
		// The lane falls silent: beats go on and grow old until they are stale.
		for {
			name, data := m.next(t)
			var beat beatData
			if err := json.Unmarshal([]byte(data), &beat); err != nil || name != "beat" {
				t.Fatalf("message = %s %s, %v", name, data, err)
			}
			if want := beat.AgeMS > staleAfter.Milliseconds(); beat.Stale != want {
				t.Errorf("beat of %d ms says stale = %v, want %v", beat.AgeMS, beat.Stale, want)
			}
			if beat.Stale {
				break
			}
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A viewer that stops reading costs the lane nothing and is dropped.
func TestI5_SlowViewerHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := board()
		p, stop := served(t, b)
		slow, _ := watch(t, p)
		began := time.Now()
		for range 10_000 {
			b.Publish(sample())
		}
		if took := time.Since(began); took != 0 { // virtual: any waiting at all would show
			t.Errorf("Publish waited %s for a viewer", took)
		}
		_, resp := watch(t, p)
		if name, _ := newMessages(resp).next(t); name != "picture" {
			t.Errorf("the other viewer got %s, want picture", name)
		}
		time.Sleep(2 * sendLimit) // virtual
		synctest.Wait()
		if n := len(b.viewers); n != 0 {
			t.Errorf("%d viewers keep their places without reading, want 0", n)
		}
		if _, err := slow.Write([]byte("x")); err == nil {
			t.Error("the slow viewer's connection is still open")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestViewersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := board()
		p, stop := served(t, b)
		var first net.Conn
		for range MaxViewers {
			conn, resp := watch(t, p)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("a viewer within the limit got %s", resp.Status)
			}
			if first == nil {
				first = conn
			}
			go func() { // reads as a browser does
				for in := newMessages(resp).in; in.Scan(); {
				}
			}()
		}
		if conn, resp := watch(t, p); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("viewer %d got %s, want 503", MaxViewers+1, resp.Status)
		} else if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		conn, resp := watch(t, p)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("after one left the next got %s", resp.Status)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// The bubble itself fails if any goroutine outlives serve.
func TestServeEndsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := board()
		b.Publish(sample())
		p, stop := served(t, b)
		for range 3 {
			watch(t, p) // and never reads
		}
		half, theirs := net.Pipe() // says half a request
		p.conns <- theirs
		if _, err := fmt.Fprint(half, "GET / HT"); err != nil {
			t.Fatal(err)
		}
		_, theirs = net.Pipe() // says nothing
		p.conns <- theirs
		began := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("serve ended after %s, want within 1 s", took)
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := served(t, board())
		for range maxConns {
			_, theirs := net.Pipe()
			p.conns <- theirs
		}
		synctest.Wait()
		_, theirs := net.Pipe()
		select {
		case p.conns <- theirs:
			t.Errorf("connection %d was taken", maxConns+1)
		default:
		}
		time.Sleep(headerLimit + time.Second) // the silent ones are sent away
		synctest.Wait()
		select {
		case p.conns <- theirs:
		default:
			t.Error("no connection is taken after the silent ones' time is over")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestServeRefusesWhatOthersCouldReach(t *testing.T) {
	for _, address := range []string{"", ":7080", "0.0.0.0:7080", "[::]:7080", "192.0.2.1:7080", "localhost:7080", "example.org:80", "7080"} {
		if err := board().Serve(t.Context(), address); !errors.Is(err, ErrExposed) {
			t.Errorf("Serve(%q) = %v, want ErrExposed", address, err)
		}
	}
}

// running serves for real on a socket and returns when it answers.
func running(t *testing.T, b *Board, path string) (c *Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l, err := listen(ctx, "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serve(ctx, b.log, l, b.Handler()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return Dial("unix:" + path)
}

func TestClient(t *testing.T) {
	b := board()
	path := filepath.Join(t.TempDir(), "boothd.sock")
	c := running(t, b, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("socket has mode %v, %v, want %o", info.Mode(), err, socketMode)
	}
	if _, err := c.Get(t.Context()); err == nil || !strings.Contains(err.Error(), "the booth is starting") {
		t.Errorf("Get before the first picture = %v", err)
	}
	b.Publish(sample())
	if p, err := c.Get(t.Context()); err != nil || p.Booth != sample().Booth || len(p.Last) != 1 {
		t.Errorf("Get = %+v, %v", p, err)
	}
	b.now.Store(&frame{picture: sample(), at: time.Now().Add(-time.Minute), over: make(chan struct{})})
	if p, err := c.Get(t.Context()); !errors.Is(err, ErrStale) || p.Booth.ID == "" {
		t.Errorf("Get of a stale picture = %v, want ErrStale and the picture", err)
	}
	if _, err := Dial("unix:" + path + ".gone").Get(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Get without a daemon = %v", err)
	}
}

func TestSocketOfADeadProcessIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "boothd.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false) // as a kill leaves it
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	b := board()
	b.Publish(sample())
	c := running(t, b, path)
	if _, err := c.Get(t.Context()); err != nil {
		t.Error(err)
	}
	if err := board().Serve(t.Context(), "unix:"+path); err == nil || !strings.Contains(err.Error(), "served by another process") {
		t.Errorf("Serve on a socket in use = %v", err)
	}
	file := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := board().Serve(t.Context(), "unix:"+file); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("Serve on a file = %v", err)
	}
}
