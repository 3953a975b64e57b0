package uhf18

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"boothd/devices"
)

// Sim is the reader's side: it answers the host, and an inventory when it has
// found the tags in its field or its scan time is over. Its fields are set
// before Serve; its methods may be called from any goroutine.
type Sim struct {
	Address  byte
	ScanTime byte          // tenths of a second; 10 if not given
	Find     time.Duration // how long it takes to find tags; 50 ms if not given
	Old      bool          // its information does not tell the scan time
	Refuses  map[byte]byte // status by command

	mu    sync.Mutex // Serve's goroutines and the methods share what is below
	out   chan []byte
	wake  chan struct{}
	tags  [][]byte
	mute  bool
	power byte
	since time.Time // the inventory it is busy with; zero: none
	asked int
}

const (
	simOut   = 256
	simPower = 30 // dBm, from the factory
	simFrame = 3  // tags in one frame of its answer: of the longest, as many as fit
)

// Present sets the tags in the field, by their EPCs in hex.
func (s *Sim) Present(epcs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tags = nil
	for _, epc := range epcs {
		b, _ := hex.DecodeString(epc) // what is no hex is a tag without a number
		s.tags = append(s.tags, b)
	}
}

// Mute makes the reader deaf and dumb, or not.
func (s *Sim) Mute(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute, s.since = on, time.Time{}
}

// Restart starts the reader anew, at once: it has forgotten the inventory that it
// was busy with, and its power too if it is of those that do.
func (s *Sim) Restart(forgets bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Time{}
	if forgets {
		s.power = 0
	}
}

// Power tells what it was set to, in dBm; 0: not set.
func (s *Sim) Power() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.power)
}

// Asked tells how many inventories were asked for and taken up.
func (s *Sim) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Raw puts bytes on the wire in the place of the answer to an inventory.
func (s *Sim) Raw(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out == nil {
		return errors.New("simulated reader is not serving")
	}
	s.since = time.Time{}
	s.say(slices.Clone(b))
	return nil
}

// Answer is a frame of the reader, whole. It is put together by another hand
// than the driver's.
func (s *Sim) Answer(cmd, status byte, data ...byte) []byte {
	b := append([]byte{byte(5 + len(data)), s.Address, cmd, status}, data...)
	check := simCheck(b)
	return append(b, check[0], check[1])
}

// simCheck is the check value, a bit at a time.
func simCheck(b []byte) [2]byte {
	var r uint32 = 0xFFFF
	for _, c := range b {
		for i := range 8 {
			differs := (r^uint32(c)>>i)&1 == 1
			if r >>= 1; differs {
				r ^= 0x8408
			}
		}
	}
	return [2]byte{byte(r), byte(r >> 8)}
}

// Report is the answer to an inventory that has found tags, whole.
func (s *Sim) Report(status byte, epcs ...[]byte) []byte {
	data := []byte{byte(len(epcs))}
	for _, epc := range epcs {
		data = append(append(data, byte(len(epc))), epc...)
	}
	return s.Answer(0x01, status, data...)
}

// Serve plays the reader on a wire until it ends.
func (s *Sim) Serve(wire io.ReadWriter) error {
	s.mu.Lock()
	s.out, s.wake, s.since = make(chan []byte, simOut), make(chan struct{}, 1), time.Time{}
	out := s.out
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
	all.Go(func() { s.work(stop) })
	err := s.listen(wire)
	close(stop)
	all.Wait()
	return fmt.Errorf("simulated reader: %w", err)
}

// work answers inventories when their time has come.
func (s *Sim) work(stop chan struct{}) {
	for {
		s.mu.Lock()
		var due <-chan time.Time
		if !s.since.IsZero() {
			due = time.After(time.Until(s.due()))
		}
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-stop:
			return
		case <-wake:
		case <-due:
			s.mu.Lock()
			if !s.since.IsZero() && !time.Now().Before(s.due()) {
				s.since = time.Time{}
				s.found()
			}
			s.mu.Unlock()
		}
	}
}

// due is when the inventory is over; the caller holds mu.
func (s *Sim) due() time.Time {
	scan, find := time.Duration(s.ScanTime)*100*time.Millisecond, s.Find
	if scan == 0 {
		scan = time.Second
	}
	if find == 0 {
		find = 50 * time.Millisecond
	}
	if len(s.tags) > 0 {
		return s.since.Add(min(find, scan))
	}
	return s.since.Add(scan)
}

// found answers an inventory; the caller holds mu.
func (s *Sim) found() {
	if len(s.tags) == 0 {
		s.say(s.Answer(0x01, 0xFB))
		return
	}
	for rest := s.tags; len(rest) > 0; {
		n, status := min(simFrame, len(rest)), byte(0x01)
		if n < len(rest) {
			status = 0x03
		}
		s.say(s.Report(status, rest[:n]...))
		rest = rest[n:]
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

// listen reads what the host says; half a frame that does not go on for 100 ms
// is forgotten.
func (s *Sim) listen(wire io.Reader) error {
	var in [256]byte
	var buf []byte
	last := time.Now()
	for {
		n, err := wire.Read(in[:])
		if now := time.Now(); now.Sub(last) > 100*time.Millisecond {
			buf = buf[:0]
		}
		last = time.Now()
		buf = append(buf, in[:n]...)
		for len(buf) > 0 && len(buf) > int(buf[0]) {
			frame := buf[:int(buf[0])+1]
			buf = buf[len(frame):]
			s.obey(frame)
		}
		if err != nil {
			return err
		}
	}
}

// obey takes one frame of the host. It hears nothing while it looks for tags.
func (s *Sim) obey(f []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(f) < 5 || f[1] != s.Address && f[1] != 0xFF || s.mute || !s.since.IsZero() {
		return
	}
	if simCheck(f[:len(f)-2]) != [2]byte(f[len(f)-2:]) {
		return
	}
	cmd, data := f[2], f[3:len(f)-2]
	if status, refused := s.Refuses[cmd]; refused {
		s.say(s.Answer(cmd, status))
		return
	}
	switch {
	case cmd == 0x01 && len(data) == 0:
		s.since = time.Now()
		s.asked++
		select {
		case s.wake <- struct{}{}:
		default:
		}
	case cmd == 0x21 && s.Old:
		s.say(s.Answer(cmd, 0, 0, 22))
	case cmd == 0x21:
		scan := s.ScanTime
		if scan == 0 {
			scan = 10
		}
		power := s.power
		if power == 0 {
			power = simPower
		}
		s.say(s.Answer(cmd, 0, 0, 22, 9, 3, 0x4E, 0, power, scan))
	case cmd == 0x2F && len(data) == 1 && data[0] <= 30:
		s.power = data[0]
		s.say(s.Answer(cmd, 0))
	case cmd == 0x2F:
		s.say(s.Answer(cmd, 0xFF))
	default:
		s.say(s.Answer(cmd, 0xFE))
	}
}

// Far is the reader as a lane is played with.
func (s *Sim) Far() devices.Far {
	return devices.Far{Serve: s.Serve, Mute: s.Mute, Present: func(tags ...devices.FarTag) error {
		var field []string
		for _, t := range tags {
			if _, err := t.Bytes(); err != nil {
				return err
			}
			field = append(field, t.Number)
		}
		s.Present(field...)
		return nil
	}}
}
