package relay

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Timings of a line.
const (
	answerWait = 300 * time.Millisecond // Modbus-RTU: timeout
	tries      = 3                      // and two repeats
	// usbSilence is the least silence between two frames: a USB adapter hands
	// bytes on in packets (Modbus-RTU, silent interval).
	usbSilence = 5 * time.Millisecond
	// settleMost is how long a line that babbles is waited for before a request
	// goes out all the same; ours.
	settleMost = 20 * time.Millisecond
)

// heldMost bounds what is held of a line that answers with garbage.
const heldMost = 2 * frameMost

// ErrSilent ends a board that does not answer: it has no power, or its cable is
// off.
var ErrSilent error = devices.Silent("board does not answer")

// errGivenUp is an answer that did not come in time.
var errGivenUp = errors.New("no answer in time")

// wire is what a board needs of its line: a Read that gives 0, nil on silence
// and a Write that does not hang.
type wire interface {
	io.ReadWriteCloser
}

// link asks and waits for answers. It belongs to one goroutine.
type link struct {
	port   wire
	gap    time.Duration // silence between two frames
	heard  chan []byte   // closed when the line ends
	stop   chan struct{} // closed when nobody listens to heard any more
	err    error         // why the line ended; read after heard is closed
	held   []byte
	at     time.Time // of the last byte, either way
	counts devices.Counters
	count  atomic.Pointer[devices.Counters]
}

func newLink(p wire, baud int) *link {
	l := &link{port: p, gap: max(usbSilence, silence(baud)), heard: make(chan []byte), stop: make(chan struct{}),
		held: make([]byte, 0, heldMost), at: time.Now()}
	go l.listen()
	return l
}

// listen reads the line until it ends, so that a board that is pulled out is
// noticed while nothing is asked.
func (l *link) listen() {
	defer close(l.heard)
	var in [frameMost]byte
	for {
		n, err := l.port.Read(in[:])
		if n > 0 {
			select {
			case l.heard <- append([]byte(nil), in[:n]...):
			case <-l.stop:
				return
			}
		}
		if err != nil {
			l.err = err
			return
		}
	}
}

// close gives up the line.
func (l *link) close() error {
	close(l.stop)
	return l.port.Close()
}

// take notes what was heard; ok is false when the line has ended.
func (l *link) take(b []byte, ok bool) error {
	if !ok {
		return l.err
	}
	l.at = time.Now()
	l.counts.Bytes += uint64(len(b))
	return nil
}

// idle drops what a board says unasked.
func (l *link) idle(b []byte, ok bool) error {
	err := l.take(b, ok)
	l.counts.Resyncs++
	l.tell()
	return err
}

// exchange sends a request until it is answered, tries times at most. answer
// looks at the front of what was heard: used 0 asks for more, errStray and
// errDamaged skip, and what else it says is the answer.
func (l *link) exchange(request []byte, answer func(b []byte) (used int, err error)) error {
	defer l.tell()
	for range tries {
		if err := l.send(request); err != nil {
			return err
		}
		err := l.await(answer)
		if !errors.Is(err, errGivenUp) {
			return err
		}
		l.counts.Timeouts++
	}
	return fmt.Errorf("%w to %d requests in %v", ErrSilent, tries, tries*answerWait)
}

// send writes a request after the silence that separates frames. What was
// heard before is of an earlier one, and dropped.
func (l *link) send(request []byte) error {
	most := time.Now().Add(settleMost)
	for {
		now := time.Now()
		quiet := l.at.Add(l.gap)
		if now.After(most) || !now.Before(quiet) {
			break
		}
		t := time.NewTimer(min(quiet.Sub(now), most.Sub(now)+1))
		select {
		case b, ok := <-l.heard:
			if err := l.take(b, ok); err != nil {
				return err
			}
			l.counts.Resyncs++
		case <-t.C:
		}
		t.Stop()
	}
	_, err := l.port.Write(request)
	l.at = time.Now()
	return err
}

func (l *link) await(answer func(b []byte) (used int, err error)) error {
	t := time.NewTimer(answerWait)
	defer t.Stop()
	l.held = l.held[:0]
	for {
		select {
		case b, ok := <-l.heard:
			if err := l.take(b, ok); err != nil {
				return err
			}
			if over := len(l.held) + len(b) - heldMost; over > 0 { // b is a half at most
				l.held = append(l.held[:0], l.held[over:]...)
			}
			l.held = append(l.held, b...)
		case <-t.C:
			return errGivenUp
		}
		if done, err := l.look(answer); done {
			return err
		}
	}
}

// look searches what is held for the answer.
func (l *link) look(answer func(b []byte) (used int, err error)) (done bool, _ error) {
	from := 0
	defer func() { l.held = append(l.held[:0], l.held[from:]...) }()
	for {
		used, err := answer(l.held[from:])
		if used == 0 {
			return false, nil
		}
		from += used
		switch {
		case errors.Is(err, errDamaged):
			l.counts.CheckErrors++
			l.counts.Resyncs++
		case errors.Is(err, errStray):
			l.counts.Resyncs++
		default:
			l.counts.Frames++
			if from < len(l.held) { // what follows an answer was not asked for
				l.counts.Resyncs++
				from = len(l.held)
			}
			return true, err
		}
	}
}

// tell lets any goroutine see the counters.
func (l *link) tell() {
	c := l.counts
	l.count.Store(&c)
}
