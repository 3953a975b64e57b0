package nedap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"boothd/devices"
)

// Camera is the camera's side: it counts its reports, and sends one again until
// it is answered. Its frames are put together by another hand than the
// driver's. Its fields are set before Serve; its methods may be called from any
// goroutine.
type Camera struct {
	Packets bool   // over TCP, in packets of tags
	Little  bool   // byte order of protocolled reports; else big endian
	Name    string // of packets; default "NEDAP_ANPR1"
	Image   int    // bytes of an image in each packet
	// Answer is what a protocolled report is waited for, by its id; nil: the
	// camera does not wait.
	Answer  func(id uint32) []byte
	Wait    time.Duration // for the answer; 500 ms if not given
	Retries int           // of one report

	mu   sync.Mutex // Serve and the methods share what is below
	out  chan []byte
	id   uint32
	mute bool
	sent int
}

const cameraQueue = 256 // reports that wait to be sent; more are lost, as they are by a camera

// frame is a protocolled report, whole.
func (c *Camera) frame(id uint32, text string) []byte {
	number := func(n uint32) []byte {
		b := []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
		if c.Little {
			b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
		}
		return b
	}
	var f bytes.Buffer
	for _, n := range []uint32{0x89ABCDEF, id, uint32(len(text))} {
		f.Write(number(n))
	}
	f.WriteString(text)
	check := byte(0)
	for _, x := range f.Bytes() {
		check ^= x
	}
	f.WriteByte(check)
	f.Write(number(0x12345678))
	return f.Bytes()
}

// simRecord is a record of a packet, whole, with its padding.
func simRecord(tag uint32, data []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, tag)
	b = append(binary.LittleEndian.AppendUint32(b, uint32(len(data))), data...)
	return append(b, make([]byte, (4-len(data)%4)%4)...)
}

// simPacket is a packet of records, whole.
func simPacket(code uint32, records ...[]byte) []byte {
	body := bytes.Join(records, nil)
	var b []byte
	for _, n := range []uint32{24, 40000, 0, 0, code, uint32(len(body))} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return append(b, body...)
}

// Report is report n of a plate, whole; no text: none was read. Confidence is a
// fraction from 0 to 1, told in packets alone.
func (c *Camera) Report(n uint32, at time.Time, text, country string, confidence float64) []byte {
	both := text
	if country != "" {
		both += "-" + country
	}
	if !c.Packets {
		if text == "" {
			both = "NOREAD"
		}
		return c.frame(n, both)
	}
	name := c.Name
	if name == "" {
		name = "NEDAP_ANPR1"
	}
	padded := func(s string, size int) []byte { return append([]byte(s), make([]byte, max(1, size-len(s)))...) }
	records := [][]byte{simRecord(14020, make([]byte, c.Image)), simRecord(14000, padded(at.UTC().Format("2006-01-02"), 12)), simRecord(14001, padded(at.UTC().Format("15-04-05"), 16)),
		simRecord(14002, padded(name, 32)), simRecord(14003, padded(both, 24)), simRecord(14004, padded(text, 20)), simRecord(14005, padded(country, 4)),
		simRecord(14009, binary.LittleEndian.AppendUint32(nil, n)), simRecord(14018, padded("GOAWAY", 12)),
		simRecord(14022, binary.LittleEndian.AppendUint32(nil, uint32(100*confidence+0.5)))}
	if c.Image == 0 {
		records = records[1:]
	}
	return simPacket(0, records...)
}

// Plate reports a plate.
func (c *Camera) Plate(text, country string, confidence float64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id++
	return c.say(c.Report(c.id, time.Now(), text, country, confidence))
}

// NoRead reports a vehicle without a readable plate.
func (c *Camera) NoRead() error { return c.Plate("", "", 0) }

// Raw puts any bytes on the wire. They are waited for as a report is.
func (c *Camera) Raw(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.say(bytes.Clone(b))
}

// Reboot starts the camera's count anew.
func (c *Camera) Reboot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id = 0
}

// Mute makes the camera fall silent, or speak again.
func (c *Camera) Mute(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = on
}

// Sent tells how many times reports were put on the wire.
func (c *Camera) Sent() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

// say queues a report; the caller holds mu.
func (c *Camera) say(b []byte) error {
	if c.mute {
		return nil
	}
	select {
	case c.queue() <- b:
		return nil
	default:
		return errors.New("playing a camera: nobody takes its reports")
	}
}

// queue is where reports wait, also for a wire that is not there yet; the caller
// holds mu.
func (c *Camera) queue() chan []byte {
	if c.out == nil {
		c.out = make(chan []byte, cameraQueue)
	}
	return c.out
}

// Serve plays the camera on a wire until it ends.
func (c *Camera) Serve(wire io.ReadWriter) error {
	c.mu.Lock()
	out := c.queue()
	c.mu.Unlock()
	heard, over := make(chan []byte), make(chan struct{})
	var listening sync.WaitGroup
	var why error
	listening.Go(func() {
		defer close(heard)
		buf := make([]byte, 256)
		for {
			n, err := wire.Read(buf)
			if err != nil {
				why = err
				return
			}
			select {
			case heard <- bytes.Clone(buf[:n]):
			case <-over:
			}
		}
	})
	err := c.serve(wire, out, heard)
	close(over)
	listening.Wait()
	return fmt.Errorf("playing a camera: %w", errors.Join(err, why))
}

// Accept plays the camera on a network port, to one client after the other,
// until it is closed.
func (c *Camera) Accept(l net.Listener) error {
	for {
		client, err := l.Accept()
		if err != nil {
			return fmt.Errorf("playing a camera: %w", err)
		}
		_ = c.Serve(client) // the client has gone, and the next one may come
		_ = client.Close()
	}
}

// serve sends one report after the other until the wire ends.
func (c *Camera) serve(wire io.Writer, out, heard chan []byte) error {
	for {
		select {
		case _, ok := <-heard: // nobody has asked
			if !ok {
				return nil
			}
		case b := <-out:
			for tries := 0; tries <= c.Retries; tries++ {
				c.mu.Lock()
				c.sent++ // first: whoever has read it finds it counted
				c.mu.Unlock()
				if _, err := wire.Write(b); err != nil {
					return err
				}
				if c.answered(b, heard) {
					break
				}
			}
		}
	}
}

// answered waits for the answer to a report. One that is no frame has none.
func (c *Camera) answered(b []byte, heard chan []byte) bool {
	if c.Answer == nil || c.Packets || len(b) < 8 {
		return true
	}
	id := binary.BigEndian.Uint32(b[4:])
	if c.Little {
		id = binary.LittleEndian.Uint32(b[4:])
	}
	want, wait := c.Answer(id), c.Wait
	if wait == 0 {
		wait = 500 * time.Millisecond
	}
	var got []byte
	for late := time.After(wait); ; {
		select {
		case part, ok := <-heard:
			if got = append(got, part...); !ok || bytes.Equal(got, want) {
				return true
			}
		case <-late:
			return false
		}
	}
}

// Far is the camera as a lane is played with.
func (c *Camera) Far() devices.Far {
	return devices.Far{Serve: c.Serve, Plate: c.Plate, NoRead: c.NoRead, Mute: c.Mute, Reboot: devices.Done(c.Reboot)}
}
