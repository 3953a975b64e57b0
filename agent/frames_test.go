package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"boothd/agent/status"
	"boothd/devices/mercury"
	"boothd/devices/port"
)

// lookAt opens a device's frames over the socket, as boothctl does.
func (r *rig) lookAt(what string) *http.Response {
	r.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", string(r.cfg.Socket))
	}}}
	ctx, cancel := context.WithTimeout(r.t.Context(), 45*time.Second)
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://booth/frames/"+what, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// until reads frames up to one of that kind and gives all of them.
func until(t *testing.T, resp *http.Response, kind string) (all []Frame) {
	t.Helper()
	for in := json.NewDecoder(resp.Body); ; {
		var f Frame
		if err := in.Decode(&f); err != nil {
			t.Fatalf("after %+v: %v", all, err)
		}
		if all = append(all, f); f.Kind == kind {
			return all
		}
	}
}

// Who looks at a device sees its frames and what was read of them: masked, or,
// if that was asked for, the bytes. Nothing of it is kept or logged (I7).
func TestI7_FramesAreShownToWhoLooks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.await("online", func(p status.Picture) bool { return r.seen(p).Online && p.Devices[0].Online })
	masked, raw := r.lookAt("front"), r.lookAt("front?raw=1")
	if err := r.camera.Plate("KAYAK7", "ON", 0.91); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(until(t, masked, "read"))
	for _, want := range []string{`bytes "AAAAA9;AA;99;AA\r\n"`, "plate  #1 (6 characters)  of ON  confidence 0.91"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "KAYAK7") || strings.Contains(text, "4B 41 59") {
		t.Errorf("masked, it shows %s", text)
	}
	text = fmt.Sprint(until(t, raw, "read"))
	for _, want := range []string{"4B 41 59 41 4B 37 3B 4F 4E", "plate  #1 (6 characters)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	reader := r.lookAt("pre-read")
	r.reader.Present(mercury.SimTag{EPC: "E28011606000020000000001", RSSIDBm: -50, Antenna: 1})
	text = fmt.Sprint(until(t, reader, "read"))
	if !strings.Contains(text, "tag  #1 (24 characters)  -50 dBm, antenna 1") || strings.Contains(text, "E2") {
		t.Errorf("of a reader: %s", text)
	}
	r.unplug()
	until(t, reader, "!")
	r.await("offline", func(p status.Picture) bool { return !p.Devices[0].Online })
	r.plug()
	if all := until(t, reader, "<"); len(all) < 2 || all[len(all)-2].Kind != ">" {
		t.Errorf("plugged in again: %+v", all)
	}
	log := r.log.String()
	if strings.Contains(log, "KAYAK7") || strings.Contains(log, "4B 41") || strings.Count(log, "shown to a technician, in clear") != 1 {
		t.Errorf("the log: %s", log)
	}
}

func TestFramesOfNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.await("online", func(p status.Picture) bool { return r.seen(p).Online })
	if resp := r.lookAt("rear"); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Error(resp.Status)
	}
	for range lookersMost {
		if resp := r.lookAt("front"); resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	}
	if resp := r.lookAt("front"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Error(resp.Status)
	}
	resp, err := http.Get("http://" + string(r.cfg.Status.Listen) + "/frames/front?raw=1") // I7: not on the page
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the page answers %s", resp.Status)
	}
}

// A line never waits for who looks at it, and he is told what he missed.
func TestI5_LineDoesNotWaitForOnlookers(t *testing.T) {
	f := &frames{}
	l := &onlooker{device: "front", text: true, out: make(chan happening, lookBehind)}
	f.add(l)
	for range 10 * lookBehind {
		f.note("front", happening{kind: "<", data: []byte("ABC123")})
		f.note("rear", happening{kind: "<", data: []byte("another line")})
	}
	if n := l.lost.Load(); n != 9*lookBehind || len(l.out) != lookBehind {
		t.Errorf("%d kept, %d lost", len(l.out), n)
	}
	f.remove(l)
	f.note("front", happening{kind: "<", data: []byte("ABC123")})
	if len(l.out) != lookBehind || f.looking.Load() != 0 {
		t.Error("it is still told")
	}
}

// still is a port on which the same comes without end.
type still struct{ port.Port }

func (still) Read(b []byte) (int, error) { return copy(b, "ABC123\r\n"), nil }

// Nobody looking, what a line is seen through costs no allocation.
func TestUnseenLineCostsNothing(t *testing.T) {
	f := &frames{}
	p := &seenPort{still{}, f, "front"}
	b := make([]byte, 512)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := io.ReadFull(p, b[:8]); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a read", n)
	}
}
