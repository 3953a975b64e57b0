package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
)

// The contract's wire is the network that the camera is on: what is said goes
// over a connection of its own, anew if the last one was closed, and when the
// wire is gone so is the listener.
func TestContract(t *testing.T) {
	var next, here *street // of the session that begins: played first, then opened; and of the one at work
	devicestest.Run(t, devicestest.Device{
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			s := next
			if next = nil; s == nil {
				s = newStreet() // nobody plays
			}
			here = s
			go func() {
				b := make([]byte, 64)
				for {
					if _, err := w.Read(b); err != nil {
						s.end(err)
						return
					}
				}
			}()
			r, err := Open(ctx, s, ready("plate-recognizer", Config{Name: "front", Role: devices.RolePlateFront, Path: "/front", Token: []byte(testToken)}))
			if err != nil {
				return nil, err
			}
			return onWire{r, w, func() { here = nil }}, nil
		},
		Play: func(io.ReadWriter) func([]byte) error {
			chunks := make(chan []byte, 1<<10) // a network takes what nobody has read yet
			s := here
			if s == nil { // else it is another camera, in the same street
				next = newStreet()
				s = next
			}
			go s.send(chunks)
			return func(b []byte) error {
				chunks <- b
				return nil
			}
		},
		Frame: func(n int) []byte {
			return request(string((&Camera{}).Report(time.Now().Truncate(time.Second), plateOf(n), "on", 0.9)))
		},
		Is: func(r devices.Read, n int) bool {
			return r.Plate != nil && r.Plate.Text.Reveal() == plateOf(n) && r.Role == devices.RolePlateFront && r.Device == "front"
		},
		Weak:   true, // of HTTP; under TLS every bit is checked
		Pause:  askMost + time.Second,
		Posted: true,
		Linger: time.Second, // net/http lingers on its connections
	})
}

// BenchmarkLatency posts over a loopback connection that is kept, as cameras do.
func BenchmarkLatency(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var camera net.Conn
	devicestest.Latency(b, devicestest.Device{
		Open: func(ctx context.Context, w devicestest.Wire) (devicestest.Reader, error) {
			r, err := Open(ctx, ln, ready("plate-recognizer", Config{Name: "front", Role: devices.RolePlateFront, Path: "/front", Token: []byte(testToken), Window: time.Nanosecond}))
			if err != nil {
				return nil, err
			}
			if camera, err = net.Dial("tcp", ln.Addr().String()); err != nil {
				return nil, errors.Join(err, r.Close())
			}
			go answers(camera)
			return onWire{r, w, func() {}}, nil
		},
		Play: func(io.ReadWriter) func([]byte) error {
			return func(p []byte) error { _, err := camera.Write(p); return err }
		},
		Frame: func(n int) []byte {
			return request(string((&Camera{}).Report(time.Now(), plateOf(n), "on", 0.9)))
		},
		Posted: true,
	})
}

// send writes to one connection after another, until the listener is closed.
func (s *street) send(chunks <-chan []byte) {
	var c net.Conn
	for {
		select {
		case b := <-chunks:
			for tries := 0; tries < 2; tries++ { // one that was closed is opened anew
				if c == nil {
					var err error
					if c, err = s.from(context.Background(), "camera:1"); err != nil {
						return
					}
					go answers(c)
				}
				if _, err := c.Write(b); err == nil {
					break
				}
				c = nil
			}
		case <-s.closed:
			return
		}
	}
}

func plateOf(n int) string { return fmt.Sprintf("ABC%03d", n) }

// answers takes the booth's answers off a connection until it ends.
func answers(c net.Conn) {
	defer c.Close()
	for in := bufio.NewReader(c); ; {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.Close {
			return
		}
	}
}

// onWire is a reader that lets go of the wire as well.
type onWire struct {
	*Reader
	wire io.Closer
	left func()
}

func (o onWire) Close() error {
	o.left()
	return errors.Join(o.Reader.Close(), o.wire.Close())
}
