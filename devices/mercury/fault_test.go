package mercury

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// uart is the module's end of a line that has a speed at either end. It keeps
// what the host said at the right one.
type uart struct {
	io.ReadWriter
	mu           sync.Mutex // the module reads and writes, the host sets its speed
	host, module int
	next         int // the module's, once it has answered
	heard        bytes.Buffer
}

func (u *uart) Read(b []byte) (int, error) {
	n, err := u.ReadWriter.Read(b)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.host != u.module {
		garble(b[:n])
		return n, err
	}
	u.heard.Write(b[:n])
	if i := bytes.Index(b[:n], []byte{start, 4, opBaud}); i >= 0 && n >= i+7 {
		u.next = int(binary.BigEndian.Uint32(b[i+3:]))
	}
	return n, err
}

func (u *uart) Write(b []byte) (int, error) {
	u.mu.Lock()
	if u.host != u.module {
		b = bytes.Clone(b)
		garble(b)
	} else if len(b) > 2 && b[2] == opBaud && u.next > 0 {
		u.module, u.next = u.next, 0 // from its next frame on
	}
	u.mu.Unlock()
	return u.ReadWriter.Write(b)
}

func garble(b []byte) {
	for i := range b {
		b[i] = b[i]<<4 | b[i]&0x0F
	}
}

func (u *uart) speeds() (host, module int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.host, u.module
}

func (u *uart) said() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return bytes.Clone(u.heard.Bytes())
}

// timed is the host's end.
type timed struct {
	pipe
	line *uart
}

func (w timed) SetBaud(baud int) error {
	w.line.mu.Lock()
	defer w.line.mu.Unlock()
	w.line.host = baud
	return nil
}

// onLine runs act with a module that speaks at a speed.
func onLine(t *testing.T, m *Sim, baud int, act func(t *testing.T, u *uart, open func() (*Reader, error))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		u := &uart{ReadWriter: far, module: baud}
		served := make(chan struct{})
		go func() { defer close(served); _ = m.Serve(u) }() // ends with the wire
		synctest.Wait()
		act(t, u, func() (*Reader, error) { return Open(t.Context(), timed{pipe{near}, u}, config) })
		_ = near.Close() // the driver may have closed it
		_ = far.Close()
		<-served
	})
}

// Whatever speed a module was left at, it is found and brought to ours; so is
// one that restarts into its boot loader and speaks as from the factory.
func TestFindsEverySpeed(t *testing.T) {
	for _, baud := range rates {
		for _, boot := range []bool{false, true} {
			onLine(t, &Sim{BootLoader: boot, Gap: probeWait - 10*time.Millisecond}, baud, func(t *testing.T, u *uart, open func() (*Reader, error)) {
				from := time.Now()
				r, err := open()
				if err != nil {
					t.Fatalf("at %d: %v", baud, err)
				}
				if host, module := u.speeds(); host != config.Baud || module != config.Baud {
					t.Errorf("found at %d, now at %d and %d", baud, host, module)
				}
				if took := time.Since(from); took > 2500*time.Millisecond {
					t.Errorf("at %d it took %v", baud, took)
				}
				_ = r.Close()
			})
		}
	}
}

// A module that sleeps hears nothing until it has been sent 16 bytes of FF.
func TestWakesASleepingModule(t *testing.T) {
	onLine(t, &Sim{}, config.Baud, func(t *testing.T, u *uart, open func() (*Reader, error)) {
		r, err := open()
		if err != nil {
			t.Fatal(err)
		}
		said := u.said()
		if i := bytes.IndexFunc(said, func(r rune) bool { return r != 0xFFFD }); i < 16 || !bytes.HasPrefix(said, bytes.Repeat([]byte{start}, 16)) {
			t.Errorf("it begins with % X", said[:20])
		}
		_ = r.Close()
	})
}

// life is a driver at work on a simulated module, and what it told.
type life struct {
	m      *Sim
	mu     sync.Mutex // of faults: the driver tells, the test reads
	faults []uint16
	reads  atomic.Int64
	over   chan struct{}
	err    error // read after over
	r      *Reader
}

func live(t *testing.T, m *Sim, act func(t *testing.T, l *life)) {
	t.Helper()
	l := &life{m: m}
	cfg := config
	cfg.Health = func(f Fault) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.faults = append(l.faults, f.Code)
	}
	play(t, m, cfg, func(ctx context.Context, r *Reader) {
		ctx, cancel := context.WithCancel(ctx)
		l.r, l.over = r, make(chan struct{})
		go func() {
			defer close(l.over)
			for _, err := range r.Reads(ctx) {
				if l.err = err; err == nil {
					l.reads.Add(1)
				}
			}
		}()
		synctest.Wait()
		act(t, l)
		cancel()
		<-l.over
	})
}

// told is what was told so far.
func (l *life) told() []uint16 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.faults)
}

// wait lets d pass while every second a fault is told; 0: none.
func (l *life) wait(d time.Duration, fault uint16) {
	for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(time.Second) {
		if fault != 0 {
			_ = l.m.Fault(fault) // the driver may have ended
		}
		synctest.Wait()
	}
	synctest.Wait()
}

// An antenna that is missing is told once, with however many searches, tried
// anew every 30 s, and over when the reader has read without it for a while.
func TestAntennaFaults(t *testing.T) {
	for _, code := range []uint16{statusNoAntenna, statusReturn} {
		m := &Sim{}
		live(t, m, func(t *testing.T, l *life) {
			frames := l.r.Counters().Frames
			starts := m.starts()
			l.wait(95*time.Second, code)
			if n := m.starts() - starts; n != 3 {
				t.Errorf("%04X: started anew %d times in 95 s, want 3", code, n)
			}
			if !slices.Equal(l.told(), []uint16{code}) || l.err != nil || l.r.Counters().Frames == frames {
				t.Errorf("%04X: told %04X, %v", code, l.told(), l.err)
			}
			l.wait(10*time.Second, 0)
			if !slices.Equal(l.told(), []uint16{code, 0}) {
				t.Errorf("%04X: told %04X, want it over", code, l.told())
			}
			starts = m.starts()
			l.wait(time.Minute, 0)
			if m.starts() != starts {
				t.Errorf("%04X: started anew when it was over", code)
			}
		})
	}
}

// A module that stops reading for want of an antenna is started again; one that
// goes away meanwhile is missed as any other.
func TestStoppedByAnAntenna(t *testing.T) {
	m := &Sim{}
	live(t, m, func(t *testing.T, l *life) {
		_ = m.Fault(statusNoAntenna)
		m.halt()
		l.wait(32*time.Second, 0)
		if !m.Streaming() || l.err != nil {
			t.Errorf("streaming is %t, %v", m.Streaming(), l.err)
		}
		_ = m.Fault(statusNoAntenna)
		synctest.Wait()
		m.Mute(true)
		from := time.Now()
		<-l.over
		if took := time.Since(from); !errors.Is(l.err, ErrSilent) || took > 3*cycle+200*time.Millisecond {
			t.Errorf("%v after %v", l.err, took)
		}
	})
}

// What ends a reader, and after how long: each time it is set up anew.
func TestEndsWhenItsSetUpIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(m *Sim)
		want error
		most time.Duration
	}{
		"restart, said":                   {func(m *Sim) { _ = m.Reboot() }, ErrReboot, 0},
		"restart, with its version":       {func(m *Sim) { _ = m.send(opVersion, 0, make([]byte, 20)...) }, ErrReboot, 0},
		"reads by itself":                 {func(m *Sim) { _ = m.send(opAutonomy, 0) }, ErrReboot, 0},
		"restart, unheard":                {func(m *Sim) { m.halt() }, ErrReboot, silence + time.Second},
		"no protocol":                     {func(m *Sim) { _ = m.Fault(statusNoProto) }, ErrSetUp, 0},
		"bad protocol":                    {func(m *Sim) { _ = m.Fault(statusBadProto) }, ErrSetUp, 0},
		"no radio":                        {func(m *Sim) { _ = m.Fault(statusNoRF) }, ErrSetUp, 0},
		"an assertion of its own failed":  {func(m *Sim) { _ = m.send(opTag, 0x7F01, []byte("\x00\x00\x01\x00main.c")...) }, Status{opTag, 0x7F01}, 0},
		"silence":                         {func(m *Sim) { m.Mute(true) }, ErrSilent, 3*cycle + 100*time.Millisecond},
		"silence when it was hot":         {func(m *Sim) { _ = m.Fault(statusHot); m.Mute(true) }, ErrSilent, hotPause + answerWait + commandWait + 100*time.Millisecond},
		"silence in the middle of a tag":  {func(m *Sim) { _ = m.Raw([]byte{start, 40, opTag, 0}); m.Mute(true) }, ErrSilent, 3*cycle + 100*time.Millisecond},
		"silence and garbage, no frame":   {func(m *Sim) { m.Mute(true); go drip(m) }, ErrSilent, 3*cycle + 100*time.Millisecond},
		"silence behind a damaged length": {func(m *Sim) { _ = m.Raw([]byte{start, 250}); m.Mute(true) }, ErrSilent, 3*cycle + 100*time.Millisecond},
	} {
		m := &Sim{}
		live(t, m, func(t *testing.T, l *life) {
			l.wait(3*time.Second, 0)
			from := time.Now()
			c.act(m)
			<-l.over
			if took := time.Since(from); !errors.Is(l.err, c.want) || took > c.most+100*time.Millisecond {
				t.Errorf("%s: %v after %v, want %v", name, l.err, took, c.want)
			}
			time.Sleep(20 * time.Second) // drip ends
		})
	}
}

// A reader is missed within three polls: of the ends of its searches two are gone,
// then two questions, and at the third it is silent. One that is lost is not
// enough, nor are two when it answers and streams again.
func TestSilentWithinThreePolls(t *testing.T) {
	for _, c := range []struct {
		quiet time.Duration
		asked int // for its temperature
		want  error
	}{
		{cycle + cycle/2, 0, nil},
		{2*cycle + cycle/4, 2, nil}, // both are answered
		{time.Minute, 2, ErrSilent},
	} {
		u := &uart{host: 115200, module: 115200}
		m := &Sim{Every: cycle / 10} // ten rounds are a search
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			u.ReadWriter = far
			opened := time.Now()
			go func() { _ = m.Serve(u) }() // ends with the wire
			r, err := Open(t.Context(), pipe{near}, config)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(opened.Add(cycle + cycle/10))) // a search has just ended
			synctest.Wait()
			began := time.Now()
			time.AfterFunc(c.quiet, func() { m.Mute(false) })
			m.Mute(true)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for _, err := range r.Reads(ctx) {
				if c.want == nil && !errors.Is(err, context.DeadlineExceeded) || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("quiet for %v: %v, want %v", c.quiet, err, c.want)
				}
			}
			if took := time.Since(began); c.want != nil && (took <= 2*cycle || took > 3*cycle+200*time.Millisecond) {
				t.Errorf("silent after %v, want three searches of %v", took, cycle)
			}
			_ = far.Close()
			synctest.Wait()
		})
		if n := bytes.Count(u.heard.Bytes(), appendCommand(nil, opTemp)); n != c.asked {
			t.Errorf("quiet for %v: asked %d times, want %d", c.quiet, n, c.asked)
		}
	}
}

// A field that is looked at seldom is a slow one, and no silent reader.
func TestSlowFieldIsNoSilence(t *testing.T) {
	for _, every := range []time.Duration{400 * time.Millisecond, time.Second} {
		live(t, &Sim{Every: every}, func(t *testing.T, l *life) {
			l.wait(time.Minute, 0)
			if l.err != nil {
				t.Errorf("every %v: %v", every, l.err)
			}
		})
	}
}

// drip is a line that hums: bytes, and never a frame.
func drip(m *Sim) {
	for range 200 {
		_ = m.Raw([]byte{0x55, start, start}) // the driver may have ended
		time.Sleep(50 * time.Millisecond)
	}
}

// A module that restarts while it is set up is set up from the start.
func TestRestartDuringSetUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		m := &Sim{}
		served := make(chan struct{})
		go func() { defer close(served); _ = m.Serve(restarting{far, m}) }() // ends with the wire
		if _, err := Open(t.Context(), pipe{near}, config); !errors.Is(err, ErrReboot) {
			t.Errorf("Open = %v, want %v", err, ErrReboot)
		}
		_ = far.Close()
		<-served
	})
}

// restarting is a module that restarts when its antennas are set.
type restarting struct {
	io.ReadWriter
	m *Sim
}

func (r restarting) Write(b []byte) (int, error) {
	if len(b) > 2 && b[2] == opAntennas {
		return r.ReadWriter.Write(simFrame(opBootFW, 0, nil))
	}
	return r.ReadWriter.Write(b)
}

// A buffer that is full is emptied, and reading goes on.
func TestFullBufferIsEmptied(t *testing.T) {
	m := &Sim{}
	m.Present(SimTag{EPC: "AABB"})
	live(t, m, func(t *testing.T, l *life) {
		_ = m.Fault(statusFull)
		l.wait(time.Second, 0)
		reads := l.reads.Load()
		l.wait(time.Second, 0)
		if m.cleared() != 1 || l.reads.Load() <= reads || l.err != nil || len(l.told()) > 0 {
			t.Errorf("emptied %d times, %d reads, %v, told %04X", m.cleared(), l.reads.Load()-reads, l.err, l.told())
		}
	})
}

// What nobody asked for is counted and passed over, and what the stream says
// beside tags.
func TestGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		frame []byte
		errs  uint64
	}{
		"answer to another command": {simFrame(0x62, 0, []byte{0, 0}), 1},
		"statistics":                {simFrame(opTag, 0, []byte{0x10, 0, 0x1B, 0, 0, streamStatus, 1, 0}), 0},
		"end of stream":             {simFrame(opTag, 0, []byte{0x10, 0, 0x1B, 0, 0, streamEnd}), 0},
		"keep-alive without tags":   {simFrame(opTag, statusNoTags, nil), 0},
		"keep-alive":                {simFrame(opTag, 0, nil), 0},
		"answer while it streams":   {simFrame(opStream, 0, []byte{0, 0, 4, opTemp, 0x25}), 0},
		"a Gen2 error":              {simFrame(opTag, 0x0423, nil), 0},
		"a busy channel":            {simFrame(opTag, 0x0501, nil), 0},
		"record that is cut short":  {simFrame(opTag, 0, []byte{0x10, 0, 0x1B, 1, 0xFF, streamTag, 1}), 1},
		"LEN over 250":              {[]byte{start, 251, opTag, 0, 0}, 0},
	} {
		m := &Sim{}
		live(t, m, func(t *testing.T, l *life) {
			if err := m.Raw(c.frame); err != nil {
				t.Fatal(err)
			}
			b, err := SimTag{EPC: "AABB"}.Report()
			if err == nil {
				err = m.Raw(b)
			}
			l.wait(time.Second, 0)
			if l.reads.Load() != 1 || l.err != nil || err != nil || l.r.Counters().CheckErrors != c.errs {
				t.Errorf("%s: %d reads, %v, %v, %+v", name, l.reads.Load(), l.err, err, l.r.Counters())
			}
		})
	}
}

// Fields of a record as the source lays them down, beyond its vectors.
func TestRecordFields(t *testing.T) {
	record := func(antenna byte, body ...byte) []byte {
		b := []byte{0x10, 0, 0x1B, 0, metaAntenna, streamTag, antenna}
		b = binary.BigEndian.AppendUint16(b, uint16(8*(len(body)+2)))
		return binary.BigEndian.AppendUint16(append(b, body...), simTagCRC(body))
	}
	for _, c := range []struct {
		name   string
		data   []byte
		want   string
		failed bool
	}{
		{"plain", record(0x22, 0x10, 0, 0xAA, 0xBB, 0xCC, 0xDD), "AABBCCDD 2 false", false},
		{"antenna 16", record(0x01, 0x08, 0, 0xAA, 0xBB), "AABB 16 false", false},
		{"XPC_W1", record(0x11, 0x1A, 0, 0x00, 0x01, 0xAA, 0xBB, 0xCC, 0xDD), "AABBCCDD 1 false", false},
		{"XPC_W1 and W2", record(0x11, 0x1A, 0, 0x80, 0x01, 0x00, 0x02, 0xAA, 0xBB), "AABB 1 false", false},
		{"XPC_W1 missing", record(0x11, 0x02, 0), "", true},
		{"XPC_W2 missing", record(0x11, 0x0A, 0, 0x80, 0x01), "", true},
		{"blank", record(0x11, 0, 0), " 1 true", false},
		{"no PC", []byte{0x10, 0, 0x1B, 0, 0, streamTag, 0, 16, 0xFF, 0xFF}, "", true},
	} {
		tag, err := tagRecord(c.data)
		if got := fmt.Sprint(tag.EPC.Reveal(), " ", tag.Antenna, " ", tag.Unreadable); (err != nil) != c.failed || err == nil && got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}
