package llrp

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"boothd/devices"
)

// Sim is the reader's side: it greets, takes the set-up, reports the tags in
// its field and keeps alive. It has one client at a time, as LLRP wants it. Its
// fields are set before Serve; its methods may be called from any goroutine.
type Sim struct {
	Antennas int               // default 4
	Every    time.Duration     // between two rounds of the field; default 40 ms
	Ahead    time.Duration     // of its clock before ours
	Uptime   bool              // it has no clock: times are since its start
	EPCData  bool              // every EPC is told in the form for other lengths than 96 bits
	Refuses  map[uint16]uint16 // status by type of message
	Greeting uint16            // status of the connection attempt
	Kept     []SimTag          // from before the connection, told right after the greeting

	mu        sync.Mutex // Serve's goroutines and the methods share what is below
	out       chan []byte
	wake      chan struct{}
	born      time.Time
	tags      []SimTag
	mute      bool
	deaf      bool
	keepalive time.Duration
	spec      []byte // of the ROSpec
	enabled   bool
	access    int // 1 added, 2 enabled
	antennas  []uint16
	power     int
	id        uint32
	alive     uint32 // id of the last keep-alive
	acks      int
	heard     []uint16
}

// SimTag is a tag in the field of a simulated reader.
type SimTag struct {
	EPC, TID string // hex
	RSSIDBm  int
	Antenna  int
}

const (
	simOut  = 256             // messages that wait for a slow host; more are lost
	simPast = 2 * time.Minute // age of what was kept
)

var errSimWire = errors.New("not an LLRP message")

// Present sets the tags in the field.
func (s *Sim) Present(tags ...SimTag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tags = slices.Clone(tags)
}

// Mute makes the reader fall silent, or speak again.
func (s *Sim) Mute(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = on
}

// Deaf makes the reader take no notice of requests, while it still keeps alive.
func (s *Sim) Deaf(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = on
}

// Antenna tells that an antenna is connected, or no longer.
func (s *Sim) Antenna(n uint16, connected bool) {
	body := []byte{0}
	if connected {
		body[0] = 1
	}
	s.event(255, binary.BigEndian.AppendUint16(body, n))
}

// Exception tells of a trouble in words.
func (s *Sim) Exception(text string) {
	s.event(252, append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...))
}

// Hangup tells that the reader closes the connection.
func (s *Sim) Hangup() { s.event(257, nil) }

// Restart forgets the set-up and greets anew.
func (s *Sim) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greet()
}

// Acks tells how many keep-alives were acknowledged, each with its own id.
func (s *Sim) Acks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks
}

// Heard tells the types of the messages that came on this connection.
func (s *Sim) Heard() []uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

// Reading tells whether the reader was told to read, with which entry of its
// power table (0: its own) and on which antennas.
func (s *Sim) Reading() (on bool, power int, antennas []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enabled, s.power, slices.Clone(s.antennas)
}

// Raw puts bytes on the wire as they are.
func (s *Sim) Raw(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out == nil {
		return errors.New("simulated reader is not serving")
	}
	select {
	case s.out <- slices.Clone(b):
		return nil
	default:
		return errors.New("simulated reader: the host does not read")
	}
}

// Report is the whole message that tells of a tag.
func (s *Sim) Report(id uint32, tags ...SimTag) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report(id, s.now(), tags)
}

// Accept serves one client after the other, and refuses those that come while
// one is served, until the listener is closed.
func (s *Sim) Accept(l net.Listener) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return fmt.Errorf("simulated reader: %w", err)
		}
		all.Go(func() {
			_ = s.Serve(c) // ends with the connection
			_ = c.Close()
		})
	}
}

// Serve plays the reader on one connection until it ends. If there is one
// already it says so and returns.
func (s *Sim) Serve(wire io.ReadWriter) error {
	s.mu.Lock()
	if s.out != nil {
		b := s.notice(256, []byte{0, 2})
		s.mu.Unlock()
		_, err := wire.Write(b)
		return errors.Join(errors.New("simulated reader: a client is connected"), err)
	}
	s.out, s.wake = make(chan []byte, simOut), make(chan struct{}, 1)
	out := s.out
	if s.born.IsZero() {
		s.born = time.Now().Add(-simPast - time.Minute)
	}
	s.greet()
	if len(s.Kept) > 0 {
		s.say(s.report(0, s.now().Add(-simPast), s.Kept))
	}
	s.mu.Unlock()
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { simSend(wire, out, stop) })
	all.Go(func() { s.work(stop) })
	err := s.listen(wire)
	close(stop)
	all.Wait()
	s.mu.Lock()
	s.out = nil
	s.mu.Unlock()
	return fmt.Errorf("simulated reader: %w", err)
}

// simSend writes what is said until stop, and then what is left: the goodbye.
func simSend(wire io.Writer, out <-chan []byte, stop <-chan struct{}) {
	for last := false; ; {
		var b []byte
		if last {
			select {
			case b = <-out:
			default:
				return
			}
		} else {
			select {
			case <-stop:
				last = true
				continue
			case b = <-out:
			}
		}
		if _, err := wire.Write(b); err != nil {
			return // the read fails too, and says why
		}
	}
}

// work reports the field and keeps alive.
func (s *Sim) work(stop chan struct{}) {
	every := s.Every
	if every <= 0 {
		every = 40 * time.Millisecond
	}
	round := time.NewTicker(every)
	defer round.Stop()
	var alive *time.Ticker
	var tick <-chan time.Time
	for {
		select {
		case <-stop:
			if alive != nil {
				alive.Stop()
			}
			return
		case <-round.C:
			s.mu.Lock()
			s.field()
			s.mu.Unlock()
		case <-tick:
			s.mu.Lock()
			s.id++
			s.alive = s.id
			s.say(simMessage(62, s.id, nil))
			s.mu.Unlock()
		case <-s.wake:
			s.mu.Lock()
			period := s.keepalive
			s.mu.Unlock()
			if alive != nil {
				alive.Stop()
			}
			if tick = nil; period > 0 {
				alive = time.NewTicker(period)
				tick = alive.C
			}
		}
	}
}

// field reports each tag on an antenna that is read; the caller holds mu.
func (s *Sim) field() {
	if !s.enabled {
		return
	}
	for _, t := range s.tags {
		if len(s.antennas) == 0 || slices.Contains(s.antennas, uint16(t.Antenna)) {
			s.id++
			s.say(s.report(s.id, s.now(), []SimTag{t}))
		}
	}
}

// listen reads what the host says.
func (s *Sim) listen(wire io.Reader) error {
	var buf, in []byte
	in = make([]byte, 4096)
	for {
		n, err := wire.Read(in)
		buf = append(buf, in[:n]...)
		for len(buf) >= 10 {
			size := int(binary.BigEndian.Uint32(buf[2:]))
			if buf[0]>>2 != 1 || size < 10 || size > 65536 {
				return errSimWire
			}
			if len(buf) < size {
				break
			}
			bye := s.obey(binary.BigEndian.Uint16(buf)&0x3FF, binary.BigEndian.Uint32(buf[6:]), buf[10:size])
			if buf = buf[size:]; bye {
				return io.EOF
			}
		}
		if err != nil {
			return err
		}
	}
}

// greet forgets the set-up and tells how the connection went; the caller holds
// mu.
func (s *Sim) greet() {
	s.keepalive, s.spec, s.enabled, s.access, s.antennas, s.power, s.heard = 0, nil, false, 0, nil, 0, nil
	s.say(s.notice(256, binary.BigEndian.AppendUint16(nil, s.Greeting)))
	s.nudge()
}

func (s *Sim) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// event puts an event on the wire.
func (s *Sim) event(typ uint16, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.say(s.notice(typ, body))
}

// say puts a message on the wire; the caller holds mu.
func (s *Sim) say(b []byte) {
	if s.mute || s.out == nil {
		return
	}
	select {
	case s.out <- b:
	default: // the host does not read
	}
}

// now is the reader's clock; the caller holds mu.
func (s *Sim) now() time.Time { return time.Now().Add(s.Ahead) }

// unhex gives the bytes of a tag's number; what is no hex is empty.
func unhex(text string) []byte {
	b, _ := hex.DecodeString(text)
	return b
}

// Far is the reader as a lane is played with.
func (s *Sim) Far() devices.Far {
	return devices.Far{Serve: s.Serve, Mute: s.Mute, Reboot: devices.Done(s.Restart), Present: func(tags ...devices.FarTag) error {
		var field []SimTag
		for _, t := range tags {
			if _, err := t.Bytes(); err != nil {
				return err
			}
			field = append(field, SimTag{EPC: t.Number, RSSIDBm: t.RSSIDBm, Antenna: t.Antenna})
		}
		s.Present(field...)
		return nil
	}}
}
