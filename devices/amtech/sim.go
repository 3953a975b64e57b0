package amtech

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"boothd/devices"
)

// Sim is the far end of a reader's line: it reports the tags presented to it in
// its mode, with ECP until they are acknowledged, and takes commands. Its
// fields are set before Serve; its methods may be called from any goroutine.
type Sim struct {
	Mode    Mode
	Start   byte // # if not given
	CRC     CRC
	Parity  Parity
	Refuses []string // commands that it does not know
	// Old says that it reports no tags in command mode.
	Old bool
	// Fresh says that it has just been given power: it signs on.
	Fresh bool

	mu      sync.Mutex // Serve's goroutines and the methods share what is below
	out     chan []byte
	wake    chan struct{}
	mode    Mode // now
	queue   []string
	sent    bool // the first of queue is on its way
	wait    time.Duration
	sentAt  time.Time
	number  int // of the first of queue
	command bool
	mute    bool
	deaf    int  // acknowledgements still to be lost
	lastNo  byte // of the last command
	lastOut []byte
	held    []byte
	repeats int
	ready   bool
}

// Limits of the simulated reader.
const (
	simQueue  = 256
	simOut    = 256
	simWait   = 12700 * time.Millisecond
	simSignOn = "Model eGo2000 Series Ver X.0X SN97001P"
)

// Present reports one message, such as "KING 1302".
func (s *Sim) Present(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) < simQueue { // its own buffer is full: lost, as in a reader
		s.queue = append(s.queue, text)
	}
	s.nudge()
}

// Mute makes the reader fall silent, or speak again.
func (s *Sim) Mute(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = on
	s.nudge()
}

// Deaf loses the next n acknowledgements.
func (s *Sim) Deaf(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = n
}

// Reboot loses what the reader holds, and signs on.
func (s *Sim) Reboot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue, s.number, s.sent, s.command, s.wait, s.held, s.lastOut, s.ready = []string{simSignOn}, 0, false, false, simWait, nil, nil, false
	s.nudge()
}

// Waiting tells how many messages are not reported, or not acknowledged.
func (s *Sim) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// Ready tells whether a host has taken it through command mode since it was
// given power.
func (s *Sim) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// Repeats tells how many messages were sent again.
func (s *Sim) Repeats() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repeats
}

// Raw puts bytes on the wire as they are.
func (s *Sim) Raw(b []byte) error {
	s.mu.Lock()
	out := s.out
	s.mu.Unlock()
	if out == nil {
		return errors.New("simulated reader is not serving")
	}
	select {
	case out <- slices.Clone(b):
		return nil
	default:
		return errors.New("simulated reader: the host does not read")
	}
}

// Report is the whole frame of a message; number is for ECP.
func (s *Sim) Report(number int, text string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frame(s.Mode, number, text)
}

func (s *Sim) frame(mode Mode, number int, text string) []byte {
	body := text
	if mode == ECP {
		body = fmt.Sprintf("%X%s", number&15, text)
	}
	wire := s.parity(body)
	if mode == ECP {
		wire = append(wire, s.parity(fmt.Sprintf("%04X", simCRC(s.CRC, wire)))...)
	}
	return slices.Concat(s.parity(string(s.start())), wire, s.parity("\r\n"))
}

func (s *Sim) start() byte {
	if s.Start == 0 {
		return '#'
	}
	return s.Start
}

// parity writes characters as the line does, counting bits one by one.
func (s *Sim) parity(text string) []byte {
	out := []byte(text)
	for i, c := range out {
		ones := 0
		for b := c & 0x7F; b > 0; b >>= 1 {
			ones += int(b & 1)
		}
		if s.Parity == ParityEven && ones%2 == 1 || s.Parity == ParityOdd && ones%2 == 0 {
			out[i] = c | 0x80
		}
	}
	return out
}

// simCRC divides bit by bit, so that it is another hand's than the driver's.
func simCRC(c CRC, b []byte) uint16 {
	var r uint32
	shift := func(bit uint32) {
		r = r<<1 | bit
		if r&0x10000 != 0 {
			r ^= 0x11021
		}
	}
	for _, x := range b {
		for i := 7; i >= 0; i-- {
			shift(uint32(x>>i) & 1)
		}
	}
	if c == CRCXModem {
		for range 16 {
			shift(0)
		}
	}
	return uint16(r)
}

// Serve plays the reader on a wire until it ends.
func (s *Sim) Serve(wire io.ReadWriter) error {
	s.mu.Lock()
	s.out, s.wake, s.mode, s.wait = make(chan []byte, simOut), make(chan struct{}, 1), s.Mode, simWait
	if s.Fresh {
		s.queue = append(s.queue, simSignOn)
	}
	out := s.out
	s.nudge()
	s.mu.Unlock()
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
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
	})
	all.Go(func() { s.report(stop) })
	err := s.listen(wire)
	close(stop)
	all.Wait()
	return fmt.Errorf("simulated reader: %w", err)
}

// nudge lets report look again; the caller holds mu.
func (s *Sim) nudge() {
	if s.wake == nil {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// report sends what is presented, and again what is not acknowledged.
func (s *Sim) report(stop chan struct{}) {
	for {
		s.mu.Lock()
		s.push()
		var again <-chan time.Time
		if s.sent {
			again = time.After(time.Until(s.sentAt.Add(s.wait)))
		}
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-stop:
			return
		case <-wake:
		case <-again:
		}
	}
}

// push sends what may be sent; the caller holds mu.
func (s *Sim) push() {
	for len(s.queue) > 0 && !s.mute && (!s.command || !s.Old) {
		switch s.mode {
		case Inquiry:
			return // when it is asked
		case Basic:
			s.say(s.frame(s.mode, 0, s.queue[0]))
			s.queue = s.queue[1:]
			continue
		}
		if s.sent && time.Since(s.sentAt) < s.wait {
			return
		}
		if s.sent {
			s.repeats++
		}
		s.say(s.frame(s.mode, s.number, s.queue[0]))
		s.sent, s.sentAt = true, time.Now()
		return
	}
}

// say puts a frame on the wire; the caller holds mu.
func (s *Sim) say(b []byte) {
	if s.mute {
		return
	}
	select {
	case s.out <- b:
	default: // the host does not read
	}
}

// listen reads what the host says.
func (s *Sim) listen(wire io.Reader) error {
	var in [256]byte
	for {
		n, err := wire.Read(in[:])
		s.mu.Lock()
		for _, c := range in[:n] {
			s.hear(c)
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (s *Sim) hear(raw byte) {
	c := raw
	if s.Parity != ParityNone {
		if c = raw & 0x7F; s.parity(string(c))[0] != raw {
			s.held = nil
			return
		}
	}
	switch {
	case c == s.start():
		s.held = []byte{raw}
	case c == 0x05 && s.mode == Inquiry:
		if len(s.queue) > 0 && !(s.command && s.Old) {
			s.say(s.frame(s.mode, 0, s.queue[0]))
			s.queue = s.queue[1:]
		}
	case c == '\r' && len(s.held) > 0:
		s.obey(s.held[1:])
		s.held = nil
	case len(s.held) > 0 && len(s.held) < frameMost:
		s.held = append(s.held, raw)
	}
}

// obey takes one whole frame of the host.
func (s *Sim) obey(raw []byte) {
	text := make([]byte, len(raw))
	for i, c := range raw {
		if text[i] = c; s.Parity != ParityNone {
			text[i] = c & 0x7F
		}
	}
	if mode := s.mode; mode != ECP {
		s.say(s.frame(mode, 0, s.execute(string(text))))
		return
	}
	if len(text) < 6 || fmt.Sprintf("%04X", simCRC(s.CRC, raw[:len(raw)-4])) != string(text[len(text)-4:]) {
		return
	}
	number, rest := text[0], string(text[1:len(text)-4])
	switch {
	case rest == "@" || rest == "?":
		s.acknowledged(fmt.Sprintf("%X", s.number&15) == string(number), rest == "@")
	case s.lastOut != nil && number == s.lastNo:
		s.say(s.lastOut)
	default:
		answer := s.execute(rest)
		n, _ := unhexDigit(number)
		s.lastNo, s.lastOut = number, s.frame(ECP, int(n), answer)
		s.say(s.lastOut)
	}
}

func (s *Sim) acknowledged(ours, good bool) {
	switch {
	case !ours || !s.sent:
		return
	case s.deaf > 0:
		s.deaf--
		return
	case good:
		s.queue, s.number = s.queue[1:], s.number+2
	default:
		s.repeats++
	}
	s.sent = false
	s.nudge()
}

// execute does a command and gives the answer.
func (s *Sim) execute(cmd string) string {
	known := slices.ContainsFunc([]string{"00", "01", "20", "21", "30", "31", "32", "505", "520", "526", "60", "61", "63", "64"},
		func(k string) bool { return strings.HasPrefix(cmd, k) })
	if !known || slices.Contains(s.Refuses, cmd) {
		return "Error"
	}
	switch {
	case cmd == "505":
		return simSignOn
	case cmd == "520":
		return "PWRB 1"
	case cmd == "526":
		return "IOST C0 O2 I0 D24"
	case cmd == "00" || cmd == "01":
		s.command, s.ready = cmd == "01", s.ready || cmd == "00"
		s.nudge()
	case cmd == "610":
		s.mode = Basic
	case cmd == "611":
		s.mode = ECP
	case strings.HasPrefix(cmd, "612") && len(cmd) == 5:
		high, _ := unhexDigit(cmd[3])
		low, _ := unhexDigit(cmd[4])
		s.wait = time.Duration(int(high)<<4|int(low)) * 100 * time.Millisecond
	}
	return "Done"
}

// Far is the reader as a lane is played with. A tag's number is its text.
func (s *Sim) Far() devices.Far {
	return devices.Far{Serve: s.Serve, Mute: s.Mute, Reboot: devices.Done(s.Reboot), Present: devices.EachOnce(func(text []byte) error {
		s.Present(string(text))
		return nil
	})}
}

// SimNumber is the number of a person's tag, as lists have it.
func SimNumber(vehicle, person int) string {
	return fmt.Sprintf("%X", fmt.Sprintf("SIM %06d %02d", vehicle, person))
}
