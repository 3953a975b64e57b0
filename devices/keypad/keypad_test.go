package keypad

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/port"
	"boothd/devices/sim"
)

// say writes a press in few words, the plate in clear.
func say(k devices.Key) string {
	switch {
	case k.Button != "":
		return k.Button
	case k.Jurisdiction != "":
		return k.Jurisdiction + "/" + string(k.Plate)
	}
	return string(k.Plate)
}

// pipe is a port in memory: silence is 0, nil after 100 ms.
type pipe struct{ net.Conn }

func (p pipe) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, err
}

// desk is a pad at work in virtual time.
type desk struct {
	t      *testing.T
	k      *Keypad
	far    net.Conn
	cancel context.CancelFunc
	got    []string // what was pressed, and "refused"
	last   devices.Read
	over   chan struct{}
	err    error // why Reads ended; read after over
}

func play(t *testing.T, cfg Config, act func(d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		cfg.Name = "desk"
		d := &desk{t: t, far: far, cancel: cancel, over: make(chan struct{})}
		cfg.Refused = func() { d.got = append(d.got, "refused") }
		k, err := Open(ctx, pipe{near}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		d.k = k
		go func() {
			defer close(d.over)
			for r, err := range k.Reads(ctx) {
				if err != nil {
					d.err = err
					continue
				}
				d.got, d.last = append(d.got, say(*r.Key)), r
			}
		}()
		act(d)
		cancel()
		<-d.over
		_ = far.Close()
	})
}

func (d *desk) keys(b string) {
	d.t.Helper()
	if _, err := d.far.Write([]byte(b)); err != nil {
		d.t.Fatal(err)
	}
	synctest.Wait()
}

func (d *desk) want(words ...string) {
	d.t.Helper()
	synctest.Wait()
	if !slices.Equal(d.got, words) {
		d.t.Errorf("pressed %q, want %q", d.got, words)
	}
	d.got = nil
}

func TestReadTellsWhoAndWhen(t *testing.T) {
	play(t, Config{Role: devices.RoleKeypad}, func(d *desk) {
		d.keys("A1")
		time.Sleep(3 * time.Second)
		d.keys("\r")
		if r := d.last; r.Device != "desk" || r.Role != devices.RoleKeypad || !r.At.Equal(time.Now()) {
			t.Errorf("read %+v, want device, role and the time of the last key", r)
		}
		if c := d.k.Counters(); c != (devices.Counters{Bytes: 3, Frames: 1}) {
			t.Errorf("counted %+v", c)
		}
	})
}

// TestI7_HalfAPlateIsWiped: after the idle time, at the end, and whatever was
// typed when it is entered or dropped, no byte of it stays in the pad.
func TestI7_HalfAPlateIsWiped(t *testing.T) {
	for _, template := range []Template{Strokes, Lines} {
		for name, after := range map[string]func(d *desk){
			"idle":      func(d *desk) { time.Sleep(11 * time.Second) },
			"cancelled": func(d *desk) { d.cancel(); <-d.over },
			"unplugged": func(d *desk) { _ = d.far.Close(); <-d.over },
			"entered":   func(d *desk) { d.keys("\r") },
			"a button":  func(d *desk) { d.keys("\r#\r") },
		} {
			t.Run(string(template)+"/"+name, func(t *testing.T) {
				play(t, Config{Template: template}, func(d *desk) {
					d.keys("ON-SECRET")
					synctest.Wait()
					after(d)
					synctest.Wait()
					held := slices.Concat(d.k.editor.typed[:], d.k.in[:])
					if l, ok := d.k.decoder.(*lines); ok {
						held = append(held, l.held[:]...)
					}
					if len(bytes.Trim(held, "\x00")) > 0 {
						t.Errorf("the pad holds %q", held)
					}
				})
			})
		}
	}
}

func TestIdle(t *testing.T) {
	play(t, Config{Idle: 2 * time.Second}, func(d *desk) {
		for range 5 { // keys in time keep it
			d.keys("A")
			time.Sleep(1900 * time.Millisecond)
		}
		d.keys("\r")
		d.want("AAAAA")
		d.keys("AB")
		time.Sleep(2100 * time.Millisecond)
		d.keys("C1\r")
		d.want("C1")
		d.keys("\x1b[1") // nor is half a sequence the beginning of the next key
		time.Sleep(200 * time.Millisecond)
		d.keys("1~\r")
		d.want("1")
		d.keys("AB\x1b") // an ESC that nothing follows
		time.Sleep(200 * time.Millisecond)
		d.keys("[C1\r")
		d.want("C1")
		if c := d.k.Counters(); c.Timeouts != 1 {
			t.Errorf("%d plates were forgotten, want 1", c.Timeouts)
		}
	})
}

// A caller who takes his time is no silence of the officer.
func TestSlowCallerForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		k, err := Open(t.Context(), pipe{near}, Config{})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = far.Write([]byte("#AB")); _, _ = far.Write([]byte("1\r")); _ = far.Close() }()
		var got []string
		for p, err := range k.Reads(t.Context()) {
			if err == nil {
				got = append(got, say(*p.Key))
				time.Sleep(time.Minute)
			}
		}
		if !slices.Equal(got, []string{"release", "AB1"}) {
			t.Errorf("pressed %q", got)
		}
	})
}

func TestEnds(t *testing.T) {
	play(t, Config{}, func(d *desk) {
		d.cancel()
		if <-d.over; !errors.Is(d.err, context.Canceled) {
			t.Errorf("Reads ended with %v", d.err)
		}
	})
	play(t, Config{}, func(d *desk) {
		d.keys("A1\r")
		_ = d.far.Close() // the plug is pulled
		if <-d.over; !errors.Is(d.err, io.EOF) {
			t.Errorf("Reads ended with %v, want %v", d.err, io.EOF)
		}
		d.want("A1")
	})
	play(t, Config{}, func(d *desk) { // a silent pad is no fault
		time.Sleep(time.Hour)
		d.keys("#")
		d.want("release")
	})
	synctest.Test(t, func(t *testing.T) { // enough is enough
		near, far := net.Pipe()
		k, err := Open(t.Context(), pipe{near}, Config{})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = far.Write([]byte("##")) }()
		n := 0
		for range k.Reads(t.Context()) {
			n++
			break
		}
		if err := k.Close(); n != 1 || err != nil {
			t.Errorf("%d presses, %v", n, err)
		}
		_ = far.Close()
	})
}

func TestOpenRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"template": {Template: "morse"}, "short idle": {Idle: time.Millisecond}, "long idle": {Idle: time.Hour},
		"unknown key": {Buttons: map[string]string{"F13": "release"}}, "letter with strokes": {Buttons: map[string]string{"A": "release"}},
		"digit": {Template: Matrix, Buttons: map[string]string{"1": "release"}}, "jurisdiction": {Jurisdictions: []string{"Ontario"}},
	} {
		near, far := net.Pipe()
		if _, err := Open(t.Context(), near, cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the port is still open: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	near, _ := net.Pipe()
	if _, err := Open(ctx, near, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want %v", err, context.Canceled)
	}
}

// TestPTY types on the kernel's line and through the serial library; then the
// plug is pulled in the middle of a plate.
func TestPTY(t *testing.T) {
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	line, err := port.Open(t.Context(), port.Spec{Path: path, Baud: 9600})
	if err != nil {
		t.Fatal(err)
	}
	k, err := Open(t.Context(), line, Config{Name: "desk"})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := far.Write([]byte("ON-ABC123\r\x1b[11~#")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for p, err := range k.Reads(t.Context()) {
		if err != nil {
			if !errors.Is(err, port.ErrGone) {
				t.Errorf("after the unplug: %v, want %v", err, port.ErrGone)
			}
			continue
		}
		if got = append(got, say(*p.Key)); len(got) == 3 {
			if _, err := far.Write([]byte("HALF")); err != nil {
				t.Fatal(err)
			}
			if err := far.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := []string{"ON/ABC123", "goods", "release"}; !slices.Equal(got, want) {
		t.Errorf("pressed %q, want %q", got, want)
	}
}
