// Package mercury reads UHF cards through readers that speak the Mercury
// serial protocol: ThingMagic and JADAK M6e, M6e Nano and Micro, M7e.
//
// RSSI is in dBm, antenna ports count from 1, power is in hundredths of a dBm,
// times are arrival at this box. A damaged frame is skipped, since the reader
// repeats itself; a reader that is silent, has rebooted or lost its set-up
// ends Reads with an error, and the caller opens again from the start.
//
// Source: Mercury serial protocol, framing, streaming and start-up; sizes,
// layouts and codes from there, timings marked where they are ours.
package mercury

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"sync/atomic"
	"time"

	"boothd/devices"
)

// Opcodes used.
const (
	opVersion   = 0x03
	opBootFW    = 0x04
	opBaud      = 0x06
	opProgram   = 0x0C
	opTag       = 0x22
	opReadData  = 0x28
	opClear     = 0x2A
	opStream    = 0x2F
	opAntennas  = 0x91
	opPower     = 0x92
	opProtocol  = 0x93
	opRegion    = 0x97
	opParameter = 0x9A
	opAutonomy  = 0x9D
	opTemp      = 0x72
)

// Status words that are handled by name.
const (
	statusOK        = 0x0000
	statusRunning   = 0x0101 // to boot firmware: the application runs already
	statusNoTags    = 0x0400
	statusNoProto   = 0x0401
	statusBadProto  = 0x0402
	statusNoRF      = 0x0405
	statusNoAntenna = 0x0503
	statusHot       = 0x0504
	statusReturn    = 0x0505
	statusFull      = 0x0601
)

// Timings. The source gives none as binding; these are ours, from its table of
// faults and the start-up machine.
const (
	probeWait   = 100 * time.Millisecond
	commandWait = time.Second
	bootWait    = 2 * time.Second
	byteGap     = 100 * time.Millisecond // silence inside a frame that drops it
	cycle       = time.Second            // a search: its end is told, which is how a reader that streams is polled
	hotPause    = 2 * time.Second
	antennaWait = 30 * time.Second
	faultOver   = 5 * time.Second // of sound frames since the last fault; five search cycles
	coolBelow   = 60              // degrees C at which a hot module may transmit again

	// silence is how long no frame comes until the reader is asked for its
	// temperature, twice; then it is missed, within three polls. The page has 5 s,
	// and says that its time-outs are choices. On a line that is not clean the end
	// of one search may be lost, and the next may be late by half of one.
	silence    = 5 * cycle / 2
	answerWait = 3 * cycle / 10 // so that the end of the third search may be late by a tenth
)

// Rates are probed in this order after the configured one.
var rates = [...]int{9600, 115200, 921600, 19200, 38400, 57600, 230400, 460800}

// Ways a reader ends.
var (
	ErrSilent error = devices.Silent("reader does not answer")
	ErrReboot       = errors.New("reader rebooted")
	ErrSetUp        = errors.New("reader lost its set-up")
)

// Status is a refusal of the reader: its status word.
type Status struct {
	Op   byte
	Code uint16
}

func (s Status) Error() string {
	return fmt.Sprintf("reader refuses command %02X with status %04X", s.Op, s.Code)
}

// Fault is a state of the reader that does not end it: too hot (0504), no
// antenna (0503), return loss (0505). Code 0 says that it is over.
type Fault struct{ Code uint16 }

// Config says which reader and how.
type Config struct {
	Name     string
	Role     devices.Role
	Baud     int           // tried first; the reader is brought to it
	Region   byte          // 01 North America, 0D NA2 (Nano), ...
	Power    int           // hundredths of a dBm
	Antennas []int         // ports, from 1
	ReadTID  bool          // read the chip number with each card
	Health   func(f Fault) // called from Reads; may be nil
}

// wire is what a reader needs of its line: a Read that gives 0, nil on
// silence.
type wire interface {
	io.ReadWriteCloser
	SetBaud(baud int) error
}

// Reader is an open reader that streams. Reads belongs to one goroutine.
type Reader struct {
	port    wire
	cfg     Config
	scan    scanner
	in      [256]byte
	pending []byte    // of in, not yet fed
	at      time.Time // arrival of the bytes last read
	lastAt  time.Time // the same, of any byte
	heard   time.Time // last whole frame
	found   bool      // it has answered at its speed: from here on it is not to restart
	wrong   uint16    // the fault last told; 0: none
	wrongAt time.Time // the last frame that told one
	count   atomic.Pointer[devices.Counters]
}

// Open brings the reader from any state to streaming: baud, program, region,
// power, antennas, protocol, parameters. It owns the port from here on and
// closes it on an error.
func Open(ctx context.Context, p wire, cfg Config) (*Reader, error) {
	r := &Reader{port: p, cfg: cfg}
	stop := context.AfterFunc(ctx, func() { p.Close() })
	defer stop()
	if err := r.setUp(ctx); err != nil {
		p.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("mercury %s: %w", cfg.Name, err)
	}
	return r, nil
}

// Close gives up the port.
func (r *Reader) Close() error { return r.port.Close() }

// Counters tells what was counted up to the last Read. Any goroutine may ask.
func (r *Reader) Counters() devices.Counters {
	if c := r.count.Load(); c != nil {
		return *c
	}
	return devices.Counters{}
}

func (r *Reader) setUp(ctx context.Context) error {
	baud, err := r.probe(ctx)
	if err != nil {
		return err
	}
	r.found = true
	if err := r.program(); err != nil {
		return err
	}
	if baud != r.cfg.Baud && r.cfg.Baud > 0 {
		if _, err := r.ask(opBaud, commandWait, binary.BigEndian.AppendUint32(nil, uint32(r.cfg.Baud))...); err != nil {
			return err
		}
		if err := r.port.SetBaud(r.cfg.Baud); err != nil {
			return err
		}
	}
	antennas := []byte{0x02}
	for _, a := range r.cfg.Antennas {
		antennas = append(antennas, byte(a), byte(a))
	}
	steps := []struct {
		op   byte
		data []byte
	}{
		{opRegion, []byte{r.cfg.Region}},
		{opPower, binary.BigEndian.AppendUint16(nil, uint16(r.cfg.Power))},
		{opAntennas, antennas},
		{opProtocol, []byte{0x00, 0x05}},
		{opParameter, []byte{0x01, 0x0C, 0x00}}, // read filter off: report every read
		{opParameter, []byte{0x01, 0x09, 0x01}}, // RSSI in dBm
	}
	for _, s := range steps {
		if _, err := r.ask(s.op, commandWait, s.data...); err != nil {
			return err
		}
	}
	return r.stream()
}

// probe finds the speed at which the reader answers. A reader left streaming
// by a former owner is told to stop first.
func (r *Reader) probe(ctx context.Context) (int, error) {
	try := append([]int{r.cfg.Baud}, rates[:]...)
	for _, baud := range try {
		if baud <= 0 {
			continue
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := r.port.SetBaud(baud); err != nil {
			return 0, err
		}
		r.scan.reset()
		// Sixteen FF wake a sleeping module; awake, it skips them.
		wake := make([]byte, 16)
		for i := range wake {
			wake[i] = start
		}
		if _, err := r.port.Write(appendCommand(wake, opStream, 0x00, 0x00, 0x02)); err != nil {
			return 0, err
		}
		for range 2 {
			_, err := r.ask(opVersion, probeWait)
			var refused Status
			switch {
			case err == nil, errors.As(err, &refused):
				return baud, nil
			case !errors.Is(err, ErrSilent):
				return 0, err
			}
		}
	}
	return 0, fmt.Errorf("%w at any speed", ErrSilent)
}

// program makes sure that the application runs, not the boot loader.
func (r *Reader) program() error {
	resp, err := r.ask(opProgram, commandWait)
	if err != nil {
		return err
	}
	if len(resp.data) > 0 && resp.data[0]&3 == 2 {
		return nil
	}
	_, err = r.ask(opBootFW, bootWait)
	var refused Status
	if errors.As(err, &refused) && refused.Code == statusRunning {
		return nil
	}
	return err
}

// stream starts continuous reading.
func (r *Reader) stream() error {
	meta := uint16(metaCount | metaRSSI | metaAntenna | metaFreq | metaTime | metaPhase | metaProtocol | metaData | metaGPIO)
	search := uint16(0x001B) // antenna list, streaming, large population
	if r.cfg.ReadTID {
		search |= 0x0004 // embedded command
	}
	sub := []byte{opTag, 0x10}
	sub = binary.BigEndian.AppendUint16(sub, search)
	sub = binary.BigEndian.AppendUint16(sub, 1000) // ms a search cycle
	sub = binary.BigEndian.AppendUint16(sub, meta)
	if r.cfg.ReadTID {
		// One embedded command of nine bytes: read six words of bank 2 from 0.
		sub = append(sub, 0x01, 0x09, opReadData, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x06)
	}
	data := append([]byte{0x00, 0x00, 0x01, opTag, 0x00, 0x00, 0x05, byte(len(sub) - 1)}, sub...)
	_, err := r.ask(opStream, commandWait, data...)
	return err
}

// ask sends one command and waits for its answer. Frames of other commands are
// passed over: a reader may stream until it has understood. One that says that
// it has just booted has forgotten what it was told before.
func (r *Reader) ask(op byte, wait time.Duration, data ...byte) (response, error) {
	if _, err := r.port.Write(appendCommand(nil, op, data...)); err != nil {
		return response{}, err
	}
	for until := time.Now().Add(wait); time.Now().Before(until); {
		resp, ok, err := r.frame()
		switch {
		case err != nil:
			return response{}, err
		case !ok:
			continue
		case resp.op == opBootFW && op != opBootFW && r.found:
			return response{}, ErrReboot
		case resp.op != op:
			if resp.op != opTag && resp.op != opStream {
				r.scan.count.CheckErrors++ // the answer to another command
			}
			continue
		case resp.status != statusOK:
			return response{}, Status{op, resp.status}
		}
		return resp, nil
	}
	return response{}, fmt.Errorf("%w to command %02X", ErrSilent, op)
}

// frame gives the next frame, or none after one look at the port: a line that is
// never silent must not keep it.
func (r *Reader) frame() (response, bool, error) {
	looked := false
	for {
		if resp, ok := r.scan.next(); ok {
			r.heard = r.lastAt
			return resp, true, nil
		}
		if len(r.pending) > 0 {
			if !r.scan.partial() {
				r.at = r.lastAt
			}
			r.pending = r.pending[r.scan.feed(r.pending):]
			continue
		}
		if looked {
			return response{}, false, nil
		}
		looked = true
		n, err := r.port.Read(r.in[:])
		count := r.scan.count
		r.count.Store(&count)
		now := time.Now()
		switch {
		case err != nil:
			return response{}, false, err
		case n > 0:
			r.pending, r.lastAt = r.in[:n], now
		default:
			if r.scan.partial() && now.Sub(r.lastAt) >= byteGap {
				r.scan.stale()
				continue // a whole frame may stand behind the false start
			}
			return response{}, false, nil
		}
	}
}

// Reads yields every tag report until ctx ends or the reader does; the error
// comes last, once.
func (r *Reader) Reads(ctx context.Context) iter.Seq2[devices.Read, error] {
	return func(yield func(devices.Read, error) bool) {
		stop := context.AfterFunc(ctx, func() { r.port.Close() })
		defer stop()
		err := r.run(func(t devices.Tag) bool {
			return yield(devices.Read{Device: r.cfg.Name, Role: r.cfg.Role, At: r.at, Tag: &t}, nil)
		})
		switch {
		case err == nil:
		case ctx.Err() != nil:
			yield(devices.Read{}, ctx.Err())
		case errors.Is(err, net.ErrClosed):
			yield(devices.Read{}, fmt.Errorf("mercury %s: closed", r.cfg.Name))
		default:
			yield(devices.Read{}, fmt.Errorf("mercury %s: %w", r.cfg.Name, err))
		}
	}
}

// run reads frames until tag says stop (nil) or the reader ends.
func (r *Reader) run(tag func(devices.Tag) bool) error {
	heard := time.Now() // the last frame of a search
	asked := 0          // temperatures asked for since, in a row
	there := false      // one was answered
	var again time.Time // when a reader in a fault is started again
	for {
		resp, ok, err := r.frame()
		if err != nil {
			return err
		}
		now := time.Now()
		if !again.IsZero() && now.After(again) {
			if again, err = r.restart(now); err != nil {
				return err
			}
			heard = r.heard
		}
		if !ok {
			if now.Sub(heard) >= silence+time.Duration(asked)*answerWait {
				switch asked++; {
				case asked > 2 && there: // it has restarted unheard
					return fmt.Errorf("%w: it answers and does not stream", ErrReboot)
				case asked > 2:
					return ErrSilent
				}
				if _, err := r.port.Write(appendCommand(nil, opTemp)); err != nil {
					return err
				}
			}
			continue
		}
		if resp.op == opTemp && r.wrong == 0 {
			there = true
			continue
		}
		heard, asked, there = r.heard, 0, false
		wait, err := r.take(resp, tag)
		switch {
		case errors.Is(err, errStop):
			return nil
		case err != nil:
			return err
		case wait > 0 && (again.IsZero() || wait < antennaWait): // a missing antenna is told with every search
			again = now.Add(wait)
		case r.wrong == 0:
			again = time.Time{}
		}
	}
}

var errStop = errors.New("the caller has enough")

// take handles one frame of the stream. It returns a pause after which
// reading is to be started again.
func (r *Reader) take(resp response, tag func(devices.Tag) bool) (time.Duration, error) {
	switch resp.op {
	case opTag:
		return r.tagAnswer(resp, tag)
	case opStream, opClear, opTemp:
		return 0, nil
	case opVersion, opBootFW, opAutonomy:
		return 0, ErrReboot
	}
	r.scan.count.CheckErrors++ // an answer that nobody asked for
	return 0, nil
}

func (r *Reader) tagAnswer(resp response, tag func(devices.Tag) bool) (time.Duration, error) {
	switch {
	case resp.status == statusHot:
		r.fault(resp.status)
		_, err := r.port.Write(appendCommand(nil, opStream, 0x00, 0x00, 0x02))
		return hotPause, err
	case resp.status == statusNoAntenna || resp.status == statusReturn:
		r.fault(resp.status)
		return antennaWait, nil
	case resp.status == statusNoProto || resp.status == statusBadProto || resp.status == statusNoRF:
		return 0, fmt.Errorf("%w (status %04X)", ErrSetUp, resp.status)
	case resp.status == statusFull:
		_, err := r.port.Write(appendCommand(nil, opClear))
		return 0, err
	case resp.status >= 0x7F00:
		return 0, Status{opTag, resp.status}
	}
	if (resp.status == statusOK || resp.status == statusNoTags) && time.Since(r.wrongAt) >= faultOver {
		r.fault(0)
	}
	if len(resp.data) == 0 { // keep-alive: status 0400 or 0000; others repeat themselves
		return 0, nil
	}
	if len(resp.data) >= 6 && resp.data[5] != streamTag {
		return 0, nil // status report or end of stream
	}
	t, err := tagRecord(resp.data)
	if err != nil {
		r.scan.count.CheckErrors++
		return 0, nil
	}
	if !tag(t) {
		return 0, errStop
	}
	return 0, nil
}

// fault tells what is wrong, once; 0: nothing any more.
func (r *Reader) fault(code uint16) {
	if code != 0 {
		r.wrongAt = time.Now()
	}
	if code == r.wrong {
		return
	}
	r.wrong = code
	if r.cfg.Health != nil {
		r.cfg.Health(Fault{code})
	}
}

// restart starts reading again after a fault, which is over when the reader
// reads for a while without telling it; a module that is still hot is left
// alone for longer.
func (r *Reader) restart(now time.Time) (time.Time, error) {
	resp, err := r.ask(opTemp, answerWait)
	if err == nil && len(resp.data) == 1 && int(int8(resp.data[0])) >= coolBelow {
		return now.Add(hotPause), nil
	}
	return time.Time{}, r.stream()
}
