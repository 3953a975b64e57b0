package agent

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/nedap"
)

// A camera that connects to the box is heard, and nobody else is; it is offline
// as soon as it has hung up, and back when it has called again.
func TestCameraThatConnects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.front()
	at := "127.0.0.1:" + freePort(t)
	*d = configs.Device{Name: d.Name, Role: d.Role, Driver: "nedap", Own: &nedap.Settings{}, Template: nedap.TemplateTags,
		Path: configs.Port("tcp://" + at), From: "127.0.0.2"}
	stop := r.run()
	r.await("waiting for it", func(p status.Picture) bool { return p.Devices[0].Online && !r.seen(p).Online })
	r.set("booth_loop", true)
	r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	call := func(from string) net.Conn {
		t.Helper()
		dial := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			c, err := dial.DialContext(t.Context(), "tcp", at)
			if err == nil {
				return c
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	evil := call("127.0.0.3")
	_, _ = evil.Write((&nedap.Camera{Packets: true}).Report(1, time.Now(), "EVIL666", "ON", 1)) // it may be closed already
	_, _ = evil.Read(make([]byte, 1))                                                           // until it is
	_ = evil.Close()
	soonest := time.Hour
	for life, plate := range []string{"ABC123", "ABC124"} {
		cam := &nedap.Camera{Packets: true, Image: 5000}
		c := call("127.0.0.2")
		served := make(chan struct{})
		go func() { defer close(served); _ = cam.Serve(c) }() // ends with the connection
		called := time.Now()
		p := r.await("online", func(p status.Picture) bool { return r.seen(p).Online })
		soonest = min(soonest, time.Since(called))
		if life == 0 && p.Lane.Plate != status.PlateNone {
			t.Errorf("plate of a stranger: %q", p.Lane.Plate)
		}
		if err := cam.Plate(plate, "ON", 0.95); err != nil {
			t.Fatal(err)
		}
		r.await("read", func(p status.Picture) bool {
			return p.Lane.Plate == status.PlateRead && r.seen(p).Counts.Frames == uint64(life+1)
		})
		_ = c.Close() // its power is cut
		<-served
		r.await("hung up, and the passage in doubt", func(p status.Picture) bool {
			return !r.seen(p).Online && slices.Contains(codes(p), int(passage.LPRFault))
		})
	}
	if soonest > 3*time.Second { // of both lives, as others may hold this box up
		t.Errorf("online %v after it had called", soonest)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, secret := range []string{"ABC12", "EVIL666"} { // I7
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

// codes are the reasons of the passage at the booth.
func codes(p status.Picture) (all []int) {
	if p.Lane.Now != nil {
		for _, r := range p.Lane.Now.Reasons {
			all = append(all, r.Code)
		}
	}
	return all
}
