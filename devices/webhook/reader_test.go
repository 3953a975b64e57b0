package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

const testToken = "0123456789abcdef-of-a-camera"

// street is a listener in memory, and the way to it.
type street struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	why    error // of Accept, once closed
}

func newStreet() *street {
	return &street{conns: make(chan net.Conn), closed: make(chan struct{}), why: net.ErrClosed}
}

func (s *street) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, s.why
	}
}

func (s *street) Close() error   { s.end(net.ErrClosed); return nil }
func (s *street) Addr() net.Addr { return peer("street") }

func (s *street) end(why error) { s.once.Do(func() { s.why = why; close(s.closed) }) }

// from dials as a machine of that address.
func (s *street) from(ctx context.Context, name string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case s.conns <- named{near, peer(name)}:
		return far, nil
	case <-s.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *street) camera(template string) *Camera {
	return &Camera{URL: "http://booth/front", Token: testToken, Template: template, Client: &http.Client{Timeout: time.Minute,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.from(ctx, "camera:1")
		}}}}
}

type peer string

func (p peer) Network() string { return "street" }
func (p peer) String() string  { return string(p) }

type named struct {
	net.Conn
	peer
}

func (n named) RemoteAddr() net.Addr { return n.peer }

// follow opens a reader and gathers what it reads, until the test ends it.
type follow struct {
	*street
	*Camera
	r      *Reader
	faults []error
	reads  []devices.Read
	err    error // why Reads ended; read after over
	over   chan struct{}
	cancel context.CancelFunc
}

func start(t *testing.T, template string, cfg Config) *follow {
	t.Helper()
	s := newStreet()
	cfg = ready(template, cfg)
	f := &follow{street: s, Camera: s.camera(template), over: make(chan struct{})}
	cfg.Name, cfg.Role, cfg.Path, cfg.Token = "front", devices.RolePlateFront, "/front", []byte(testToken)
	cfg.Health = func(err error) { f.faults = append(f.faults, err) }
	ctx, cancel := context.WithCancel(t.Context())
	f.cancel = cancel
	var err error
	if f.r, err = Open(ctx, s, cfg); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.over)
		for read, err := range f.r.Reads(ctx) {
			if err != nil {
				f.err = err
				continue
			}
			f.reads = append(f.reads, read)
		}
	}()
	return f
}

func (f *follow) end() {
	f.cancel()
	<-f.over
	_ = f.r.Close() // it is closed already
	linger()
}

// linger waits in the bubble until net/http has let go of its connections: half
// a second after it answered somebody who was not read to the end.
func linger() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// texts are the plates read so far, "-" for one that was not read.
func (f *follow) texts() string {
	synctest.Wait()
	var all []string
	for _, r := range f.reads {
		text := r.Plate.Text.Reveal()
		if r.Plate.NoRead {
			text = "-"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func TestReads(t *testing.T) {
	for _, template := range templates() {
		synctest.Test(t, func(t *testing.T) {
			f := start(t, template, Config{})
			defer f.end()
			if err := errors.Join(f.Plate(t.Context(), "ABC123", "on", 0.9), f.Plate(t.Context(), "ABC123", "on", 0.9),
				f.Beat(t.Context()), f.NoRead(t.Context()), f.Plate(t.Context(), "XYZ9", "", 0.9)); err != nil {
				t.Fatal(err)
			}
			if got := f.texts(); got != "ABC123 - XYZ9" {
				t.Errorf("%s: read %q", template, got)
			}
			want := devices.Read{Device: "front", Role: devices.RolePlateFront, At: f.reads[0].At,
				Plate: &devices.Plate{Text: "ABC123", Jurisdiction: "ON", Confidence: 0.9, Camera: "camera-1", DeviceAt: time.Now().UTC()}}
			if template == "axis" {
				want.Plate.Jurisdiction, want.Plate.Confidence = "", -1
			}
			if !reflect.DeepEqual(f.reads[0], want) || !f.reads[0].At.Equal(time.Now()) {
				t.Errorf("%s: %+v %+v, want %+v %+v", template, f.reads[0], f.reads[0].Plate, want, want.Plate)
			}
			if c := f.r.Counters(); c.Frames != 4 || c.Bytes == 0 || c.CheckErrors+c.Timeouts+c.Resyncs != 0 {
				t.Errorf("%s: %+v", template, c)
			}
		})
	}
}

// A form's part "json" is the report; the images beside it are not kept.
func TestForms(t *testing.T) {
	multi := "--xx\r\nContent-Disposition: form-data; name=\"upload\"; filename=\"a.jpg\"\r\n\r\n\xff\xd8{jpeg}\r\n" +
		"--xx\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n" + published + "\r\n--xx--\r\n"
	for _, c := range []struct{ kind, body, want string }{
		{"application/json", published, published},
		{"text/plain", " \r\n" + published, " \r\n" + published},
		{"", published, published},
		{"multipart/form-data; boundary=xx", multi, published},
		{"multipart/form-data; boundary=yy", multi, ""},
		{"multipart/form-data", multi, ""},
		{"multipart/form-data; boundary=xx", multi[:len(multi)-20], ""},
		{"multipart/form-data; boundary=xx", strings.Repeat("--xx\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n\r\n", partsMost) + multi, ""},
		{"application/x-www-form-urlencoded", "a=b&json=%7B%22plate%22%3A1%7D&c", `{"plate":1}`},
		{"application/x-www-form-urlencoded", "a=b&json=%7", ""},
		{"application/x-www-form-urlencoded", "xjson=1", ""},
		{"image/jpeg", "\xff\xd8", ""},
	} {
		got, err := unwrap(c.kind, []byte(c.body))
		if string(got) != c.want || (err != nil) != (c.want == "") || err != nil && !errors.Is(err, errFormat) {
			t.Errorf("unwrap(%q, %q) = %q, %v, want %q", c.kind, c.body, got, err, c.want)
		}
	}
}

// Who does not know the token is told nothing and nothing of his is read.
func TestWrongToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "axis", Config{})
		defer f.end()
		for _, auth := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Bearer " + testToken + "x", "Bearer " + testToken[1:], "Digest " + testToken, testToken} {
			for _, path := range []string{"/front", "/"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://booth"+path, strings.NewReader(published))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", auth)
				resp, err := f.Client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != http.StatusUnauthorized || len(body) > 0 {
					t.Errorf("%q to %s: %s %q %v", auth, path, resp.Status, body, err)
				}
				_ = resp.Body.Close()
			}
		}
		if f.texts() != "" || len(f.faults) != 1 || !errors.Is(f.faults[0], ErrToken) || f.r.Counters().CheckErrors != 16 {
			t.Errorf("read %q, faults %v, %+v", f.texts(), f.faults, f.r.Counters())
		}
		if err := f.Plate(t.Context(), "A1", "", 1); err != nil || len(f.faults) != 1 {
			t.Errorf("%v, faults %v: it is not over yet", err, f.faults)
		}
		time.Sleep(faultEvery)
		if err := f.Plate(t.Context(), "B2", "", 1); err != nil || len(f.faults) != 2 || f.faults[1] != nil {
			t.Errorf("%v, faults %v", err, f.faults)
		}
	})
}

func TestTokenInOtherForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "axis", Config{})
		defer f.end()
		for _, set := range []func(*http.Request){
			func(r *http.Request) { r.SetBasicAuth("anybody", testToken) },
			func(r *http.Request) { r.Header.Set("Authorization", "Token "+testToken) },
			func(r *http.Request) { r.Header.Set("Authorization", "bearer "+testToken) },
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://booth/front", strings.NewReader(`{"plate":""}`))
			if err != nil {
				t.Fatal(err)
			}
			set(req)
			resp, err := f.Client.Do(req)
			if err != nil || resp.StatusCode != http.StatusNoContent {
				t.Fatalf("%v %v", resp, err)
			}
			_ = resp.Body.Close()
		}
		if got := f.texts(); got != "- - -" {
			t.Errorf("read %q", got)
		}
	})
}

// FuzzUnwrap: what is found in a body is part of it, and finding it costs in
// proportion to it: the head of a form's part, in lines of five bytes, costs most.
func FuzzUnwrap(f *testing.F) {
	f.Add("application/json", []byte(published))
	f.Add("multipart/form-data; boundary=xx", []byte("--xx\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n"+published+"\r\n--xx--\r\n"))
	f.Add("multipart/form-data; boundary=xx", []byte("--xx\r\nContent-Disposition: form-data; name=\"upload\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\r\n--xx\r\n"))
	f.Add("multipart/form-data; boundary=x", bytes.Repeat([]byte("--x\r\na: b\r\n\r\n"), 99))
	f.Add("application/x-www-form-urlencoded", []byte("a=%zz&json=%7B%22plate%22%3A%22A1%22%7D&json"))
	f.Add("multipart/form-data; boundary=\"", []byte("--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		var text []byte
		var err error
		devicestest.FrugalBeside(t, 30*(len(body)+len(contentType)), func() int {
			text, err = unwrap(contentType, body)
			return 1
		})
		if err != nil && (text != nil || !errors.Is(err, errFormat)) || len(text) > len(body) {
			t.Fatalf("%d bytes of %d, %v", len(text), len(body), err)
		}
	})
}
