package mercury

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"boothd/devices"
)

// SimTag is a card in the field of a simulated reader.
type SimTag struct {
	EPC, TID string // hex
	RSSIDBm  int
	Antenna  int
	Damaged  bool // its EPC fails the tag's check value
}

// Sim is the reader's side of the Mercury serial protocol: it answers the
// start-up, streams the tags in its field and keeps alive. Its fields are set
// before Serve; its methods may be called from any goroutine.
type Sim struct {
	BootLoader bool          // starts in the boot loader
	Every      time.Duration // between two rounds of the field; default 40 ms
	Gap        time.Duration // silence after which a half command is forgotten; 0: it never is

	mu        sync.Mutex  // Serve's goroutines and the methods share what is below
	out       chan []byte // nil: not serving
	tags      []SimTag
	streaming bool
	temp      int8
	mute      bool
	started   int // times that it was told to read
	emptied   int // and to empty its buffer
}

// Present sets the tags in the field.
func (m *Sim) Present(tags ...SimTag) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tags = slices.Clone(tags)
}

// Mute makes the reader fall silent, or speak again.
func (m *Sim) Mute(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mute = on
}

// Streaming tells whether the reader has been brought to reading.
func (m *Sim) Streaming() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.streaming
}

// halt forgets that it was told to read, as after a loss of power that nobody
// heard of.
func (m *Sim) halt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streaming = false
}

// starts tells how often it was told to read.
func (m *Sim) starts() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.started
}

// cleared tells how often it was told to empty its buffer.
func (m *Sim) cleared() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.emptied
}

// Temperature sets what the module answers, in degrees C.
func (m *Sim) Temperature(c int8) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.temp = c
}

// Fault sends a fault of the stream, such as 0x0504.
func (m *Sim) Fault(status uint16) error { return m.send(0x22, status) }

// Reboot forgets the set-up and says so, as a module does after a reset.
func (m *Sim) Reboot() error {
	m.mu.Lock()
	m.streaming = false
	m.mu.Unlock()
	return m.send(0x04, 0)
}

// simOut is how many frames wait for a slow host before the reader's own
// buffer overflows and frames are lost, as in a real module.
const simOut = 256

// Raw puts bytes on the wire as they are.
func (m *Sim) Raw(b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.out == nil {
		return errors.New("simulated reader is not serving")
	}
	select {
	case m.out <- slices.Clone(b):
	default:
	}
	return nil
}

// Serve plays the reader on a wire until it fails or is closed.
func (m *Sim) Serve(wire io.ReadWriter) error {
	out := make(chan []byte, simOut)
	m.mu.Lock()
	m.out = out
	if m.temp == 0 {
		m.temp = 37
	}
	every := m.Every
	m.mu.Unlock()
	if every <= 0 {
		every = 40 * time.Millisecond
	}
	search := max(1, min(10, int(time.Second/every))) // a second is what it is told
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				m.round(n, search)
			}
		}
	}()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for {
			select {
			case <-stop:
				return
			case b := <-out:
				if _, err := wire.Write(b); err != nil {
					return // the read fails too, and says why
				}
			}
		}
	}()
	err := m.listen(wire)
	close(stop)
	<-done
	<-written
	return err
}

// round sends what the field holds, and each time a search is over, which takes
// so many rounds, a keep-alive.
func (m *Sim) round(n, search int) {
	m.mu.Lock()
	tags, on := slices.Clone(m.tags), m.streaming
	m.mu.Unlock()
	if !on {
		return
	}
	for _, t := range tags {
		if b, err := t.Record(); err == nil && m.send(0x22, 0, b...) != nil {
			return
		}
	}
	if n%search == 0 {
		m.send(0x22, 0x0400) // an error shows at the next command
	}
}

// Record is the data of a streaming tag record.
func (t SimTag) Record() ([]byte, error) {
	epc, err := hex.DecodeString(t.EPC)
	if err != nil || len(epc)%2 != 0 || len(epc) > 62 {
		return nil, fmt.Errorf("tag: EPC of %d digits", len(t.EPC))
	}
	tid, err := hex.DecodeString(t.TID)
	if err != nil || len(tid) > 64 {
		return nil, fmt.Errorf("tag: TID of %d digits", len(t.TID))
	}
	ant := byte(max(t.Antenna, 1) & 15)
	b := []byte{0x10, 0x00, 0x1B, 0x01, 0xFF, 0x01, 0x01, byte(int8(t.RSSIDBm)), ant<<4 | ant, 0x0E, 0x16, 0x40, 0, 0, 1, 0x27, 0, 0, 5}
	b = binary.BigEndian.AppendUint16(b, uint16(len(tid)*8))
	b = append(b, tid...)
	b = append(b, 0x0F)
	body := binary.BigEndian.AppendUint16(nil, uint16(len(epc)/2)<<11)
	body = append(body, epc...)
	check := simTagCRC(body)
	if t.Damaged {
		check ^= 0x5A5A
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)+2)*8)
	return binary.BigEndian.AppendUint16(append(b, body...), check), nil
}

// simTagCRC is the tag's check value, written bit by bit so that it is another
// hand's than the driver's.
func simTagCRC(b []byte) uint16 {
	var c uint32 = 0xFFFF
	for _, x := range b {
		for i := 7; i >= 0; i-- {
			bit := uint32(x>>i) & 1
			top := c >> 15 & 1
			c = c << 1 & 0xFFFF
			if top^bit == 1 {
				c ^= 0x1021
			}
		}
	}
	return uint16(c ^ 0xFFFF)
}

// simCRC divides the message bit by bit, shifted in at the low end.
func simCRC(b []byte) uint16 {
	var c uint32 = 0xFFFF
	for _, x := range b {
		for i := 7; i >= 0; i-- {
			c = c<<1 | uint32(x>>i)&1
			if c&0x10000 != 0 {
				c ^= 0x11021
			}
		}
	}
	return uint16(c)
}

func (m *Sim) send(op byte, status uint16, data ...byte) error {
	m.mu.Lock()
	if m.mute {
		m.mu.Unlock()
		return nil
	}
	m.mu.Unlock()
	return m.Raw(simFrame(op, status, data))
}

// simFrame wraps an answer of the reader.
func simFrame(op byte, status uint16, data []byte) []byte {
	f := binary.BigEndian.AppendUint16([]byte{0xFF, byte(len(data)), op}, status)
	f = append(f, data...)
	return binary.BigEndian.AppendUint16(f, simCRC(f[1:]))
}

// Report is the whole frame in which a reader that streams reports a tag.
func (t SimTag) Report() ([]byte, error) {
	b, err := t.Record()
	if err != nil {
		return nil, err
	}
	return simFrame(0x22, 0, b), nil
}

// listen reads host commands and answers them.
func (m *Sim) listen(wire io.Reader) error {
	var buf []byte
	chunk := make([]byte, 512)
	last := time.Now()
	for {
		n, err := wire.Read(chunk)
		if err != nil {
			return err
		}
		if m.Gap > 0 && time.Since(last) > m.Gap {
			buf = nil
		}
		last = time.Now()
		buf = append(buf, chunk[:n]...)
		for {
			op, data, rest, ok := simCommand(buf)
			buf = rest
			if !ok {
				break
			}
			if err := m.answer(op, data); err != nil {
				return err
			}
		}
	}
}

// simCommand cuts the first whole command off b.
func simCommand(b []byte) (op byte, data, rest []byte, ok bool) {
	for len(b) >= 2 {
		if b[0] != 0xFF || b[1] > 250 {
			b = b[1:]
			continue
		}
		size := int(b[1]) + 5
		if len(b) < size {
			return 0, nil, b, false
		}
		if binary.BigEndian.Uint16(b[size-2:]) != simCRC(b[1:size-2]) {
			b = b[1:]
			continue
		}
		return b[2], b[3 : size-2], b[size:], true
	}
	return 0, nil, b, false
}

func (m *Sim) answer(op byte, data []byte) error {
	version, _ := hex.DecodeString("0709170001000001200710120905120000000010")
	m.mu.Lock()
	boot, temp := m.BootLoader, m.temp
	m.mu.Unlock()
	switch op {
	case 0x03:
		return m.send(op, 0, version...)
	case 0x04:
		m.mu.Lock()
		m.BootLoader = false
		m.mu.Unlock()
		return m.send(op, 0, version...)
	case 0x0C:
		if boot {
			return m.send(op, 0, 0x11)
		}
		return m.send(op, 0, 0x12)
	case 0x72:
		return m.send(op, 0, byte(temp))
	case 0x2F:
		return m.stream(data)
	case 0x06, 0x2A, 0x91, 0x92, 0x93, 0x97, 0x9A:
		if boot {
			return m.send(op, 0x0101)
		}
		if op == 0x2A {
			m.mu.Lock()
			m.emptied++
			m.mu.Unlock()
		}
		return m.send(op, 0)
	}
	return m.send(op, 0x0101)
}

func (m *Sim) stream(data []byte) error {
	on := len(data) > 3
	if err := m.send(0x2F, 0, 0, 0, map[bool]byte{true: 1, false: 2}[on]); err != nil {
		return err
	}
	m.mu.Lock()
	m.streaming = on
	if on {
		m.started++
	}
	m.mu.Unlock()
	return nil
}

// Far is the reader as a lane is played with.
func (m *Sim) Far() devices.Far {
	return devices.Far{Serve: m.Serve, Mute: m.Mute, Reboot: m.Reboot, Present: func(tags ...devices.FarTag) error {
		var field []SimTag
		for _, t := range tags {
			tag := SimTag{EPC: t.Number, RSSIDBm: t.RSSIDBm, Antenna: t.Antenna, Damaged: t.Damaged}
			if _, err := tag.Record(); err != nil {
				return err
			}
			field = append(field, tag)
		}
		m.Present(field...)
		return nil
	}}
}
