package agent

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/nedap"
)

// lens is a network port that tells which connections it has taken.
type lens struct {
	net.Listener
	taken chan net.Conn
}

func (l lens) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.taken <- c
	}
	return c, err
}

// A camera in front that waits for its answer, and one behind that sends packets
// with images over the network: their plates are the vehicle's. A camera that is
// cut off is offline and back, while the lane goes on.
func TestFramedPlatesAreAPassages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	front := &nedap.Camera{Little: true, Retries: 200, Answer: func(id uint32) []byte { return []byte{0x06, byte(id)} }}
	rear := &nedap.Camera{Packets: true, Image: 100_000}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	behind := lens{l, make(chan net.Conn, 8)}
	go func() { _ = rear.Accept(behind) }() // ends with the listener
	*r.front() = configs.Device{Name: "front", Role: configs.RolePlateFront, Driver: "nedap",
		Path: configs.Port(onPTY(t, front.Serve)), Baud: 9600, Own: &nedap.Settings{Ack: "06 01"}}
	r.cfg.Devices = append(r.cfg.Devices, configs.Device{Name: "rear", Role: configs.RolePlateRear, Driver: "nedap", Own: &nedap.Settings{}, Template: nedap.TemplateTags,
		Path: configs.Port("tcp://" + l.Addr().String())})
	stop := r.run()
	seen := func(p status.Picture, name string) status.Device {
		i := slices.IndexFunc(p.Devices, func(d status.Device) bool { return d.Name == name })
		if i < 0 {
			return status.Device{}
		}
		return p.Devices[i]
	}
	online := func(p status.Picture) bool { return seen(p, "front").Online && seen(p, "rear").Online }
	r.await("online", online)
	r.set("booth_loop", true)
	r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	for _, err := range []error{front.Plate("ABC123", "ON", 0), rear.Plate("TRL456", "ON", 0.95)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.await("read", func(p status.Picture) bool { return p.Lane.Plate == status.PlateRead })
	r.await("read behind", func(p status.Picture) bool { return seen(p, "rear").Counts.Frames == 1 })
	if n := front.Sent(); n != 1 {
		t.Errorf("the report was sent %d times, though it was answered", n)
	}
	_ = (<-behind.taken).Close()
	r.await("cut off", func(p status.Picture) bool { return seen(p, "front").Online && seen(p, "rear").Counts.Reopens == 1 })
	r.await("back", online)
	if err := rear.Plate("TRL456", "ON", 0.95); err != nil {
		t.Fatal(err)
	}
	p := r.await("read again", func(p status.Picture) bool { return seen(p, "rear").Counts.Frames == 2 })
	if p.Lane.State != "at_booth" || p.Lane.Plate != status.PlateRead {
		t.Errorf("lane %q, plate %q", p.Lane.State, p.Lane.Plate)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, secret := range []string{"ABC123", "TRL456"} { // I7
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

// What cannot be read as configured is refused, and its port given up.
func TestFramedCameraThatCannotBe(t *testing.T) {
	r := newRig(t)
	cam := &nedap.Camera{}
	for name, d := range map[string]configs.Device{
		"zone":   {Zone: "Mars/Olympus", Own: &nedap.Settings{}},
		"fields": {Fields: []configs.Field{"camera"}, Own: &nedap.Settings{}},
		"ack":    {Own: &nedap.Settings{Ack: "{seq}"}},
	} {
		d.Name, d.Role, d.Driver, d.Baud, d.Path = "front", configs.RolePlateFront, configs.Driver("nedap"), 9600, configs.Port(onPTY(t, cam.Serve))
		for range 2 { // a port that was kept could not be opened again
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			_, err := OpenDevice(ctx, r.world, d, Place{}, func(error) {})
			cancel()
			if err == nil || !strings.Contains(err.Error(), "nedap front: ") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
