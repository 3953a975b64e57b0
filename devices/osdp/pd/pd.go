// Package pd plays the reader's side of OSDP v2, secure channel included, for
// tests and boothsim. It is written from the protocol page and shares no code
// with the panel's side, so that each checks the other.
//
// As real readers do, it is silent to what fails its check, answers a repeated
// command with the very same bytes, refuses a wrong sequence with NAK 4, forgets
// its secure channel at sequence 0, after 8 s without a command and at a
// reboot, and keeps what it has to report until it is polled.
//
// Source: OSDP protocol, all sections, and its table of libosdp 3.2.0 as
// peripheral.
package pd

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"boothd/devices"
)

// offline is when a reader that hears no command gives up its channel.
const offline = 8 * time.Second

// queueMost is how many reports wait to be polled; more are lost, as in a real
// reader.
const queueMost = 512

// DefaultKey is SCBK-D, with which a reader leaves the factory.
var DefaultKey = [16]byte{0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F}

// Device is a simulated reader. Its fields are set before Serve; its methods
// may be called from any goroutine.
type Device struct {
	Address  byte     // 00 to 7E
	Key      [16]byte // SCBK; DefaultKey: fresh from the factory; zero: it knows no secure channel
	Strict   bool     // in clear it answers nothing but who it is and the handshake
	NoStatus bool     // it cannot tell tamper and power
	ClearACK bool     // it acknowledges a new key in clear
	Fixed    bool     // it cannot be given another address or speed
	Slow     bool     // it has 9600 baud alone

	// Told is called from Serve with each LED, buzzer, text and output command;
	// may be nil.
	Told func(code byte, data []byte)
	// Wire is called from Serve with each reply as it would go out and gives what
	// does: damaged, late, more, or nothing. again says that it repeats the last.
	Wire func(reply []byte, again bool) []byte

	mu     sync.Mutex // Serve and the methods share what is below
	queue  []report
	tamper bool
	power  bool
	// How its inputs and outputs and the readers that hang on it are; of a kind of
	// which it has none it knows nothing.
	inputs, outputs, readers []byte

	moves func() // to another address, once the reply is made
	baud  int

	busy int
	mute bool

	last    []byte // the command answered last
	cached  []byte // and its reply
	seq     byte
	started bool // a command was taken since the reboot
	heard   time.Time
	channel channel
}

// report is what the reader has to say when it is polled.
type report struct {
	code byte
	data []byte
}

func (d *Device) report(code byte, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) < queueMost {
		d.queue = append(d.queue, report{code, data})
	}
}

// Card presents a card of so many bits, left justified in data. Format is 0 for
// raw, 1 for parity, data, parity.
func (d *Device) Card(format byte, bits int, data []byte) {
	d.report(0x50, append([]byte{0, format, byte(bits), byte(bits >> 8)}, data...))
}

// Formatted presents a card that the reader formats by itself (reply 51).
func (d *Device) Formatted(text string) {
	d.report(0x51, append([]byte{0, 0, byte(len(text))}, text...))
}

// Strike strikes keys: 0 to 9, * and #.
func (d *Device) Strike(keys string) {
	b := []byte{0, byte(len(keys))}
	for _, k := range []byte(keys) {
		switch k {
		case '*':
			k = 0x7F
		case '#':
			k = 0x0D
		}
		b = append(b, k)
	}
	d.report(0x53, b)
}

// Status sets tamper and power fault, and reports them.
func (d *Device) Status(tamper, power bool) {
	d.mu.Lock()
	d.tamper, d.power = tamper, power
	b := d.status()
	d.mu.Unlock()
	d.report(0x48, b)
}

func (d *Device) status() []byte {
	b := []byte{0, 0}
	if d.tamper {
		b[0] = 1
	}
	if d.power {
		b[1] = 1
	}
	return b
}

// Spoil replaces Wire while the reader is at work.
func (d *Device) Spoil(wire func(reply []byte, again bool) []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Wire = wire
}

// Busy makes the reader answer the next n commands, repeats included, with BUSY.
func (d *Device) Busy(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy = n
}

// Mute makes the reader fall silent, or speak again.
func (d *Device) Mute(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mute = on
}

// Reboot forgets sequence and channel, but not the key.
func (d *Device) Reboot() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
}

func (d *Device) forget() {
	d.started, d.last, d.cached, d.channel = false, nil, nil, channel{}
}

// Waiting tells how many reports wait to be polled.
func (d *Device) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.queue)
}

// Secure tells whether the secure channel is up.
func (d *Device) Secure() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.channel.up
}

// OwnKey tells the key now kept.
func (d *Device) OwnKey() [16]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Key
}

// Serve plays the reader on a wire until it fails or is closed.
func (d *Device) Serve(wire io.ReadWriter) error {
	var l Line
	l.Hang(d)
	return l.Serve(wire)
}

// Line is a line that several readers hang on, each with an address of its own.
type Line struct {
	mu      sync.Mutex // Serve and Hang share the readers
	devices []*Device
}

// Hang puts a reader on the line, also while it is served.
func (l *Line) Hang(d *Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.devices = append(l.devices, d)
}

// Serve plays all readers of the line on a wire until it fails or is closed.
func (l *Line) Serve(wire io.ReadWriter) error {
	var buf []byte
	chunk := make([]byte, 512)
	for {
		n, err := wire.Read(chunk)
		if err != nil {
			return fmt.Errorf("simulated OSDP reader: %w", err)
		}
		buf = append(buf, chunk[:n]...)
		for {
			b, rest := cut(buf)
			buf = rest
			if b == nil {
				break
			}
			if err := l.hear(b, wire); err != nil {
				return fmt.Errorf("simulated OSDP reader: %w", err)
			}
		}
	}
}

// hear lets every reader hear one whole command.
func (l *Line) hear(b []byte, wire io.Writer) error {
	l.mu.Lock()
	devices := slices.Clone(l.devices)
	l.mu.Unlock()
	for _, d := range devices {
		if out := d.hear(b, time.Now()); len(out) > 0 {
			if _, err := wire.Write(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// hear takes one whole command and gives what goes on the wire.
func (d *Device) hear(b []byte, now time.Time) []byte {
	d.mu.Lock()
	reply, again := d.answer(b, now)
	damage := d.Wire
	if d.mute {
		reply = nil
	}
	d.mu.Unlock()
	if damage != nil && reply != nil {
		return damage(bytes.Clone(reply), again)
	}
	return reply
}

// answer gives the reply to a command, and whether it is the last one again.
func (d *Device) answer(b []byte, now time.Time) (reply []byte, again bool) {
	if b[1] != d.Address {
		return nil, false
	}
	if d.started && now.Sub(d.heard) >= offline {
		d.forget()
	}
	d.heard = now
	if d.busy > 0 {
		d.busy--
		return d.wrap(b[4]&4, nil, 0x79, nil), false
	}
	switch seq := b[4] & 3; {
	case seq == 0:
		d.forget()
		d.seq = 0
	case !d.started:
		return d.nak(b[4], 4), false
	case seq == d.seq && d.last != nil:
		if bytes.Equal(d.last, b) {
			return d.cached, true
		}
		return d.nak(b[4], 4), false
	case seq != d.seq%3+1:
		return d.nak(b[4], 4), false
	default:
		d.seq = seq
	}
	d.started, d.last = true, slices.Clone(b)
	d.cached = d.obey(b)
	reply = d.cached
	if d.moves != nil {
		d.moves()
		d.moves = nil
		d.forget()
	}
	return reply, false
}

func (d *Device) nak(control, code byte) []byte {
	return d.wrap(control&7, nil, 0x41, []byte{code})
}

// obey carries a command out and gives the reply.
func (d *Device) obey(b []byte) []byte {
	control, body := b[4], b[5:len(b)-checkSize(b)]
	var block []byte
	if control&8 != 0 {
		n := int(body[0])
		if n < 2 || n >= len(body) {
			return d.nak(control, 6)
		}
		block, body = body[1:n], body[n:]
	}
	switch {
	case block == nil && d.channel.up:
		return d.nak(control, 6)
	case block != nil && block[0] >= 0x15:
		return d.secured(b, block[0], body)
	case block != nil:
		return d.handshake(control, block, body)
	}
	code, data := body[0], body[1:]
	if d.Strict && code != 0x61 && code != 0x62 && code != 0x76 {
		return d.nak(control, 6)
	}
	code, data = d.do(code, data, false)
	return d.wrap(control&7, nil, code, data)
}

var identity = []byte{0x69, 0x7A, 0x00, 0x99, 0x01, 0x04, 0x03, 0x02, 0x01, 0x0B, 0x0C, 0x0D}

// do carries out a command whose data is in clear and gives the reply.
func (d *Device) do(code byte, data []byte, secure bool) (byte, []byte) {
	switch code {
	case 0x60:
		if len(d.queue) == 0 {
			return 0x40, nil
		}
		r := d.queue[0]
		d.queue = d.queue[1:]
		return r.code, r.data
	case 0x61:
		return 0x45, identity
	case 0x62:
		aes := byte(0)
		if d.Key != [16]byte{} {
			aes = 1
		}
		return 0x46, append(d.capable(), 3, 1, 1, 4, 4, 1, 5, 2, 1, 6, 1, 1, 8, 1, 0, 9, aes, aes, 10, 0, 1, 13, 0, byte(max(len(d.readers), 1)), 16, 2, 0)
	case 0x64:
		if d.NoStatus {
			return 0x41, []byte{2}
		}
		return 0x48, d.status()
	case 0x65:
		return tell(0x49, d.inputs)
	case 0x66:
		return tell(0x4A, d.outputs)
	case 0x67:
		return tell(0x4B, d.readers)
	case 0x68, 0x69, 0x6A, 0x6B:
		if d.Told != nil {
			d.Told(code, slices.Clone(data))
		}
		if code == 0x68 && len(d.outputs) > 0 {
			return 0x4A, d.switched(data)
		}
		return 0x40, nil
	case 0x6E:
		return d.settings(data)
	case 0x75:
		if !secure {
			return 0x41, []byte{6}
		}
		if len(data) != 18 || data[0] != 1 || data[1] != 16 {
			return 0x41, []byte{9}
		}
		d.Key = [16]byte(data[2:])
		return 0x40, nil
	case 0x76:
		return 0x41, []byte{5}
	}
	return 0x41, []byte{3}
}

// Far is the reader as a lane is played with, hung on a line. Its cards have so many
// bits.
func (d *Device) Far(on *Line, bits int) devices.Far {
	on.Hang(d)
	return devices.Far{Serve: on.Serve, Mute: d.Mute, Reboot: devices.Done(d.Reboot), Present: devices.EachOnce(func(number []byte) error {
		if len(number) != (bits+7)/8 {
			return fmt.Errorf("card of %d bytes: the reader's cards have %d bits", len(number), bits)
		}
		d.Card(0, bits, number)
		return nil
	})}
}

// Number is the number of a person's card of so many bits, as lists have it: left
// justified.
func Number(bits, vehicle, person int) string {
	size := (bits + 7) / 8
	return fmt.Sprintf("%0*X", 2*size, uint64(vehicle<<4|person)<<(8*size-bits))
}
