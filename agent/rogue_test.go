package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/line"
	"boothd/devices/nedap"
	"boothd/devices/osdp"
	"boothd/devices/port"
	"boothd/devices/webhook"
)

// rogues are the ways in which a device misbehaves, each counted as it happens.
type rogues struct {
	babbled, stuck, cut atomic.Int64
}

// The ways, as paths of the devices.
const (
	babbles = "/dev/rogue-babbles" // talks without end, and nothing that it says is whole
	deaf    = "/dev/rogue-deaf"    // takes no byte: a Write waits for ever
	hangs   = "/dev/rogue-hangs"   // is there when it is opened, and gone with the first byte
)

// roguePort is a line to a device that misbehaves.
type roguePort struct {
	way    string
	seen   *rogues
	begins string // of a frame of its protocol
	greets string // what a deaf one says first
	closed chan struct{}
	once   sync.Once
}

func (p *roguePort) Read(b []byte) (int, error) {
	silence := 100 * time.Millisecond
	if p.way == babbles {
		silence = time.Millisecond // a line of four million bytes a second
	}
	select {
	case <-p.closed:
		return 0, fmt.Errorf("reading %s: %w", p.way, port.ErrGone)
	case <-time.After(silence):
	}
	switch p.way {
	case babbles:
		n := copy(b, p.begins)
		for i := n; i < len(b); i++ {
			b[i] = 0x80 | byte(rand.Uint32()) // neither the end of a report nor a character of one
		}
		p.seen.babbled.Add(int64(len(b)))
		return len(b), nil
	case deaf:
		n := copy(b, p.greets)
		p.greets = p.greets[n:]
		return n, nil
	case hangs:
		p.seen.cut.Add(1)
		return 0, fmt.Errorf("reading %s: %w", p.way, port.ErrGone)
	}
	return 0, nil
}

func (p *roguePort) Write(b []byte) (int, error) {
	if p.way == deaf {
		p.seen.stuck.Add(1)
		<-p.closed
		return 0, fmt.Errorf("writing %s: %w", p.way, port.ErrGone)
	}
	return len(b), nil
}

func (p *roguePort) SetBaud(int) error { return nil }

func (p *roguePort) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// caller posts to a webhook as a camera that misbehaves would.
func (s *rogues) caller(ctx context.Context, way, at string) {
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = 0x80 | byte(i)
	}
	for sleep(ctx, 5*time.Millisecond) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
		if err != nil {
			continue // it does not listen yet
		}
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		_, err = c.Write([]byte("POST /plates HTTP/1.1\r\nHost: booth\r\nContent-Length: 100000000\r\n\r\n"))
		switch way {
		case babbles:
			for err == nil && sleep(ctx, time.Millisecond) {
				_, err = c.Write(noise)
				s.babbled.Add(int64(len(noise)))
			}
		case deaf: // half a request, and it takes no answer
			s.stuck.Add(1)
			sleep(ctx, time.Second)
		case hangs:
			s.cut.Add(1)
		}
		stop()
		_ = c.Close() // it may be closed already
	}
}

// llrpGreeting is a reader's first word: the connection was made.
const llrpGreeting = "\x04\x3F\x00\x00\x00\x20\x0A\xB2\x88\xC9\x00\xF6\x00\x16\x00\x80\x00\x0C\x00\x04\xF8\x53\x5B\xAA\xDA\xFF\x01\x00\x00\x06\x00\x00"

// rogueDrivers are those of the devices on lines and of cameras that post, with
// what begins a frame. answers tells that a device is written to: a scanner and a
// keypad never are, nor a camera of which no report was whole.
var rogueDrivers = []struct {
	d       configs.Device
	begins  string
	answers bool
	greets  string // what must be heard before it is written to
}{
	{configs.Device{Driver: "mercury", Baud: 115200}, "\xFF\x1F\x22\x00\x00", true, ""},
	{configs.Device{Driver: "llrp"}, "\x04\x3D\x00\x00\x10\x00\x00\x00\x00\x01", true, llrpGreeting},
	{configs.Device{Driver: "uhf18", Baud: 57600}, "\x11\x00\x21\x00", true, ""},
	{configs.Device{Driver: "amtech", Baud: 9600}, "#KING 13", true, ""},
	{configs.Device{Driver: "osdp", Baud: 9600, Own: &osdp.Settings{Clear: true}}, "\x53\x80\xFF\x01\x05", true, ""},
	{configs.Device{Driver: "line", Baud: 9600, Own: &line.Settings{End: "\r\n"}, Separator: ";", Fields: []configs.Field{"plate", "state", "confidence"}}, "ABC123;ON;9", false, ""},
	{configs.Device{Driver: "nedap", Baud: 9600, Own: &nedap.Settings{Ack: "06 01"}}, "\x02", false, ""},
	{configs.Device{Driver: "barcode", Baud: 9600}, "9999PARS", false, ""},
	{configs.Device{Driver: "mrz", Baud: 9600}, "P<UTO", false, ""},
	{configs.Device{Driver: "keypad", Baud: 9600}, "12", false, ""},
	{configs.Device{Driver: "webhook", Own: &webhook.Settings{Paths: map[string]string{"plate": "plate"}}}, "", true, ""},
}

// owned is a device with the defaults of its driver's own keys, if it has none.
func owned(d configs.Device) configs.Device {
	if of, ok := Drivers.Of(d.Driver); ok && d.Own == nil {
		d.Own = of.Own()
	}
	return d
}

// newRogueRig is a booth to which ports at the rogues' paths lead to them, with
// what they did. pulses waits until the lane's loop has fed the watchdog thrice.
func newRogueRig(t *testing.T, begins, greets string) (r *rig, seen *rogues, pulses func(when string)) {
	t.Helper()
	r, seen = newRig(t), &rogues{}
	r.listed()
	var fed atomic.Int64
	r.world.Notify = func(state string) {
		if strings.Contains(state, "WATCHDOG=1") {
			fed.Add(1)
		}
	}
	open := r.world.OpenPort
	r.world.OpenPort = func(ctx context.Context, s port.Spec) (port.Port, error) {
		if s.Path != babbles && s.Path != deaf && s.Path != hangs {
			return open(ctx, s)
		}
		return &roguePort{way: s.Path, seen: seen, begins: begins, greets: greets, closed: make(chan struct{})}, nil
	}
	return r, seen, func(when string) {
		t.Helper()
		from := fed.Load()
		r.await("fed "+when, func(status.Picture) bool { return fed.Load() >= from+3 })
	}
}

// TestI5_LaneIsUnmovedByADeviceThatMisbehaves: beside a good reader and a good
// camera a driver's devices babble without end, take no bytes, and hang up again
// and again. Their role is one that no decision asks for, so that a vehicle must
// be decided on as without them; the lane's loop goes on feeding the watchdog
// before, while and after it passes, and the booth ends when it is told to.
func TestI5_LaneIsUnmovedByADeviceThatMisbehaves(t *testing.T) {
	for _, c := range rogueDrivers {
		t.Run(string(c.d.Driver), func(t *testing.T) {
			t.Parallel()
			r, seen, pulses := newRogueRig(t, c.begins, c.greets)
			token := filepath.Join(r.dir, "camera.token")
			if err := os.WriteFile(token, []byte(cameraToken), 0o600); err != nil {
				t.Fatal(err)
			}
			good := len(r.cfg.Devices)
			for _, way := range []string{babbles, deaf, hangs} {
				d := owned(c.d)
				d.Name, d.Role, d.Path = filepath.Base(way), configs.RoleSeal, configs.Port(way)
				if d.Driver == "webhook" {
					at := "127.0.0.1:" + freePort(t)
					d.Path, d.Token = configs.Port("http://"+at+"/plates"), configs.Ref(token)
					ctx, cancel := context.WithCancel(context.Background())
					var gone sync.WaitGroup
					gone.Go(func() { seen.caller(ctx, way, at) })
					t.Cleanup(func() { cancel(); gone.Wait() })
				}
				r.cfg.Devices = append(r.cfg.Devices, d)
			}
			stop := r.run()
			r.await("at work, and misbehaved to", func(p status.Picture) bool {
				return len(p.Devices) == good+4 && !slices.ContainsFunc(p.Devices, func(d status.Device) bool { return !d.Online && !strings.Contains(d.Name, "rogue") }) &&
					seen.babbled.Load() > 1<<16 && (seen.stuck.Load() > 0 || !c.answers) && seen.cut.Load() > 1
			})
			pulses("before")
			before := seen.babbled.Load()
			r.come()
			// A disk that others keep busy may cost her a 206, until the next pulse.
			r.says(r.await("decided on as without them", func(p status.Picture) bool {
				return p.Lane.State == "at_booth" && p.Lane.Now != nil && p.Lane.Now.Outcome == "EXPEDITE"
			}), "EXPEDITE", passage.Eligible)
			pulses("while she is there")
			r.leaves()
			pulses("after")
			if seen.babbled.Load() == before {
				t.Error("nothing babbled while she passed")
			}
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			decided := 0
			for _, e := range r.events() {
				if e.Type == contract.TypeCrossingDecided {
					decided++
				}
			}
			if got := strings.Count(types(r.events()), "crossing.ended"); got != 1 || decided < 2 {
				t.Errorf("%d passages ended, %d decisions recorded", got, decided)
			}
		})
	}
}

// TestI5_LoopOutlivesABoardThatMisbehaves: a relay board is no device that a lane
// can do without, whatever hangs on it. The lane is out; its loop goes on feeding
// the watchdog, a vehicle is slowed, and the booth ends when it is told to.
func TestI5_LoopOutlivesABoardThatMisbehaves(t *testing.T) {
	for way, counted := range map[string]func(*rogues) int64{
		babbles: func(s *rogues) int64 { return s.babbled.Load() },
		deaf:    func(s *rogues) int64 { return s.stuck.Load() },
		hangs:   func(s *rogues) int64 { return s.cut.Load() },
	} {
		t.Run(filepath.Base(way), func(t *testing.T) {
			t.Parallel()
			r, seen, pulses := newRogueRig(t, "\x01\x01\x01", "")
			r.cfg.Boards = []configs.Board{{Name: "rogue", Protocol: configs.BoardModbus, Path: configs.Port(way), Baud: 9600, Address: 1,
				Out: map[string]configs.BoardOut{"reader_light": {Channel: 1}}}}
			stop := r.run()
			r.await("misbehaved to", func(p status.Picture) bool {
				return counted(seen) > 0 && !slices.ContainsFunc(p.Devices, func(d status.Device) bool { return !d.Online && d.Name != "rogue" })
			})
			pulses("before")
			before := counted(seen)
			r.come()
			r.await("slowed", func(p status.Picture) bool {
				return p.Health == status.Out && p.Lane.State == "at_booth" && p.Lane.Now != nil && p.Lane.Now.Outcome == "PRIMARY"
			})
			if r.lit(signal.TravellerGreen) || !r.lit(signal.TravellerRed) {
				t.Error("the lane is out, and does not show red alone")
			}
			pulses("while she is there")
			if way == babbles && counted(seen) == before {
				t.Error("nothing babbled while she passed")
			}
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}
