package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"boothd/agent/glimpse"
	"boothd/configs"
	"boothd/devices"
	"boothd/devices/port"
)

// Bounds of a look at a device's line.
const (
	lookMost    = 10 * time.Minute // one thing at a time, as a capture
	lookersMost = 4
	lookBehind  = 256     // happenings that a slow terminal may be behind
	lookBytes   = 4 << 10 // of one happening; more are counted and not shown
	lookWrite   = 5 * time.Second
)

// Frame is one thing that happened on a device's line, as a technician who looks
// is shown it.
type Frame struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"` // "<" from the device, ">" to it, "=" its speed, "!" its end, "read", "lost"
	Text string    `json:"text"`
}

// happening is such a thing before it is masked.
type happening struct {
	at   time.Time
	kind string
	data []byte
	text string
	read *devices.Read
}

// frames hands what happens on the lines to those who look. Nobody looking, it
// costs a line one load of a number, and nothing is kept.
type frames struct {
	looking atomic.Int32

	mu    sync.Mutex // lines and lookers have goroutines of their own
	looks []*onlooker
}

// onlooker is one technician looking at one device.
type onlooker struct {
	device string
	text   bool // its protocol is text, so that the shape of its bytes may be shown
	out    chan happening
	lost   atomic.Int64 // what a slow terminal missed: the line never waits for it
}

func (f *frames) add(l *onlooker) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.looks) == lookersMost {
		return false
	}
	f.looks = append(f.looks, l)
	f.looking.Store(int32(len(f.looks)))
	return true
}

func (f *frames) remove(l *onlooker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks = slices.DeleteFunc(f.looks, func(o *onlooker) bool { return o == l })
	f.looking.Store(int32(len(f.looks)))
}

// note shows what happens on a device's line. The data is copied.
func (f *frames) note(device string, h happening) {
	if f.looking.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	h.at = time.Now()
	h.data = slices.Clone(h.data)
	for _, l := range f.looks {
		if l.device != device {
			continue
		}
		select {
		case l.out <- h:
		default:
			l.lost.Add(1)
		}
	}
}

// read shows what a driver made of it.
func (f *frames) read(device string, r devices.Read) {
	if f.looking.Load() > 0 {
		seen := r // so that one nobody sees stays on the stack
		f.note(device, happening{kind: "read", read: &seen})
	}
}

// world is one whose ports are seen by those who look at a device.
func (f *frames) world(w World, device string) World {
	open := w.OpenPort
	w.OpenPort = func(ctx context.Context, s port.Spec) (port.Port, error) {
		p, err := open(ctx, s)
		if err != nil {
			return nil, err
		}
		return &seenPort{p, f, device}, nil
	}
	return w
}

// seenPort is a line that can be looked at.
type seenPort struct {
	port.Port
	frames *frames
	device string
}

func (p *seenPort) Read(b []byte) (int, error) {
	n, err := p.Port.Read(b)
	if n > 0 {
		p.frames.note(p.device, happening{kind: "<", data: b[:n]})
	}
	if err != nil {
		p.frames.note(p.device, happening{kind: "!", text: err.Error()})
	}
	return n, err
}

func (p *seenPort) Write(b []byte) (int, error) {
	p.frames.note(p.device, happening{kind: ">", data: b}) // before it goes, so that its answer comes after it
	return p.Port.Write(b)
}

func (p *seenPort) SetBaud(baud int) error {
	p.frames.note(p.device, happening{kind: "=", text: strconv.Itoa(baud)})
	return p.Port.SetBaud(baud)
}

// lookAt answers a GET of /frames/DEVICE with a line of JSON for each frame and
// read, until the one who looks has gone or has looked for long enough. With
// raw=1 the bytes are shown: it is on the socket alone, which root and boothd's
// group can open, and is said in the log, as often as somebody asks (I7).
func (b *booth) lookAt(w http.ResponseWriter, r *http.Request) {
	name, raw := r.PathValue("device"), r.URL.Query().Get("raw") == "1"
	i := slices.IndexFunc(b.cfg.Devices, func(d configs.Device) bool { return d.Name == name })
	if i < 0 && !slices.ContainsFunc(b.cfg.Boards, func(c configs.Board) bool { return c.Name == name }) {
		http.Error(w, fmt.Sprintf("no device or board %q", name), http.StatusUnprocessableEntity)
		return
	}
	l := &onlooker{device: name, out: make(chan happening, lookBehind)}
	if i >= 0 {
		l.text = Textual(b.cfg.Devices[i])
	}
	if !b.frames.add(l) {
		http.Error(w, fmt.Sprintf("%d others look already", lookersMost), http.StatusServiceUnavailable)
		return
	}
	defer b.frames.remove(l)
	if raw {
		b.log.Warn("bytes of a device are shown to a technician, in clear", "device", name)
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookMost)
	defer cancel()
	w.Header().Set("Content-Type", "application/x-ndjson")
	if err := l.follow(ctx, http.NewResponseController(w), json.NewEncoder(w), raw); err != nil && ctx.Err() == nil {
		b.log.Info("frames shown to nobody", "device", name, "err", err)
	}
}

// follow writes what happens, as it is to be shown.
func (l *onlooker) follow(ctx context.Context, rc *http.ResponseController, out *json.Encoder, raw bool) error {
	seen, begun := glimpse.Labels{}, time.Now()
	say := func(f Frame) error {
		return errors.Join(rc.SetWriteDeadline(time.Now().Add(lookWrite)), out.Encode(f), rc.Flush())
	}
	if err := errors.Join(rc.SetWriteDeadline(time.Now().Add(lookWrite)), rc.Flush()); err != nil { // it is being looked at
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-l.out:
			f := Frame{At: h.at, Kind: h.kind, Text: h.text}
			switch {
			case h.read != nil:
				f.Text = seen.Of(*h.read, begun).String()
			case len(h.data) > 0 && raw:
				f.Text = fmt.Sprintf("%d bytes %s", len(h.data), glimpse.Hexes(h.data[:min(len(h.data), lookBytes)]))
			case len(h.data) > 0:
				f.Text = glimpse.Masked(h.data[:min(len(h.data), lookBytes)], l.text)
			}
			if n := l.lost.Swap(0); n > 0 {
				if err := say(Frame{At: h.at, Kind: "lost", Text: fmt.Sprintf("%d more, since this terminal is slow", n)}); err != nil {
					return err
				}
			}
			if err := say(f); err != nil {
				return err
			}
		}
	}
}
