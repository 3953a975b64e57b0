package llrp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
)

// pipe is a wire in memory.
type pipe struct{ net.Conn }

func (p pipe) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, err
}

const (
	cardEPC = "3074257BF7194E4000001A85"
	cardTID = "E28011602000000000000001"
)

var card = SimTag{EPC: cardEPC, TID: cardTID, RSSIDBm: -50, Antenna: 1}

// bench is a driver and the reader it is connected to.
type bench struct {
	t      *testing.T
	sim    *Sim
	cfg    Config
	faults []string // what Health was told, in order
	r      *Reader
	cancel context.CancelFunc
	reads  []devices.Read
	over   chan struct{}
	err    error // why Reads ended; read after over
}

// play runs act in virtual time with the driver connected to s.
func play(t *testing.T, s *Sim, cfg Config, act func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, sim: s, cfg: cfg, over: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		b.cancel = cancel
		err := b.open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close(b.over)
			for read, err := range b.r.Reads(ctx) {
				if b.err = err; err == nil {
					b.reads = append(b.reads, read)
				}
			}
		}()
		synctest.Wait()
		act(b)
		cancel()
		<-b.over
		_ = b.r.Close() // it may be closed already
		synctest.Wait()
	})
}

func (b *bench) open(ctx context.Context) error {
	near, far := net.Pipe()
	go func() {
		_ = b.sim.Serve(far) // ends with the wire
		_ = far.Close()
	}()
	b.cfg.Name, b.cfg.Role = "lane", devices.RoleCard
	b.cfg.Health = func(err error) { b.faults = append(b.faults, fmt.Sprint(err)) }
	var err error
	b.r, err = Open(ctx, pipe{near}, b.cfg)
	return err
}

// ends waits for Reads to end and tells why and after how long.
func (b *bench) ends() (time.Duration, error) {
	from := time.Now()
	<-b.over
	return time.Since(from), b.err
}

func (b *bench) raw(p []byte) {
	b.t.Helper()
	if err := b.sim.Raw(p); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// openError is how Open ends with this reader, and after how long.
func openError(t *testing.T, s *Sim, cfg Config) (took time.Duration, end error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		b := &bench{t: t, sim: s, cfg: cfg}
		if end = b.open(t.Context()); end == nil {
			t.Error("opened")
			_ = b.r.Close()
		}
		took = time.Since(from)
		synctest.Wait()
	})
	return took, end
}

func TestReadsTags(t *testing.T) {
	play(t, &Sim{Every: time.Second, Ahead: time.Hour}, Config{}, func(b *bench) {
		if want := []uint16{1, 3, 3, 21, 41, 20, 24}; !slices.Equal(b.sim.Heard(), want) {
			t.Errorf("set-up by %d, want %d", b.sim.Heard(), want)
		}
		if on, power, antennas := b.sim.Reading(); !on || power != 0 || len(antennas) != 0 {
			t.Errorf("reading %t with power %d on %d", on, power, antennas)
		}
		b.sim.Present(card, SimTag{EPC: cardEPC + "AABBCCDD", RSSIDBm: -61, Antenna: 4})
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		at := time.Now().Add(-500 * time.Millisecond)
		its := time.UnixMicro(at.Add(time.Hour).UnixMicro()).UTC() // its clock is wrong
		want := []devices.Tag{{EPC: cardEPC, RSSIDBm: -50, Antenna: 1, Gen2: true, DeviceAt: its}, {EPC: cardEPC + "AABBCCDD", RSSIDBm: -61, Antenna: 4, Gen2: true, DeviceAt: its}}
		if len(b.reads) != 2 {
			t.Fatalf("%d reads", len(b.reads))
		}
		for i, read := range b.reads {
			if read.Tag == nil || *read.Tag != want[i] || read.Device != "lane" || read.Role != devices.RoleCard || !read.At.Equal(at) {
				t.Errorf("read %d: %+v of %s at %v", i, read, read.Tag.EPC.Reveal(), read.At)
			}
		}
		if c := b.r.Counters(); c.Frames != 10 || c.CheckErrors+c.Timeouts+c.Resyncs != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestSetsPowerAntennasAndTID(t *testing.T) {
	play(t, &Sim{}, Config{Power: 2740, Antennas: []int{1, 4}, ReadTID: true}, func(b *bench) {
		if want := []uint16{1, 3, 3, 21, 41, 20, 40, 42, 24}; !slices.Equal(b.sim.Heard(), want) {
			t.Errorf("set-up by %d, want %d", b.sim.Heard(), want)
		}
		// 10.00 dBm is step 1, and every 0.50 dBm one more: 27.00 dBm.
		if on, power, antennas := b.sim.Reading(); !on || power != 35 || !slices.Equal(antennas, []uint16{1, 4}) {
			t.Errorf("reading %t with power %d on %d", on, power, antennas)
		}
		b.sim.Present(SimTag{EPC: cardEPC, Antenna: 2}, card)
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if len(b.reads) != 1 || b.reads[0].Tag.TID != cardTID || b.reads[0].Tag.EPC != cardEPC {
			t.Errorf("%d reads: %+v", len(b.reads), b.reads)
		}
	})
}

// Every request refused, and what may be done without.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		typ   uint16
		cfg   Config
		fatal bool
	}{
		{msgGetCapabilities, Config{}, false},
		{msgGetCapabilities, Config{Power: 2000}, true},
		{msgSetConfig, Config{}, true},
		{msgDeleteROSpec, Config{}, true},
		{msgAddROSpec, Config{}, true},
		{msgEnableROSpec, Config{}, true},
		{msgDeleteAccessSpec, Config{}, false},
		{msgDeleteAccessSpec, Config{ReadTID: true}, true},
		{msgAddAccessSpec, Config{ReadTID: true}, true},
		{msgEnableAccessSpec, Config{ReadTID: true}, true},
	} {
		s := &Sim{Refuses: map[uint16]uint16{tc.typ: 401}}
		if !tc.fatal {
			play(t, s, tc.cfg, func(b *bench) {
				if on, _, _ := b.sim.Reading(); !on || len(b.faults) > 0 {
					t.Errorf("message %d refused: reading %t, told %q", tc.typ, on, b.faults)
				}
			})
			continue
		}
		_, err := openError(t, s, tc.cfg)
		var refused Status
		if !errors.As(err, &refused) || refused.Code != 401 || refused.Text != "no" || refused.RetryAfter() != 30*time.Second {
			t.Errorf("message %d refused: %v", tc.typ, err)
		}
	}
}

// A reader that somebody else owns is left alone for a minute.
func TestGreetings(t *testing.T) {
	for status, want := range map[uint16]struct {
		taken bool
		pause time.Duration
	}{1: {true, time.Minute}, 2: {true, time.Minute}, 3: {false, 30 * time.Second}, 4: {true, time.Minute}} {
		_, err := openError(t, &Sim{Greeting: status}, Config{})
		var later interface{ RetryAfter() time.Duration }
		if errors.Is(err, ErrTaken) != want.taken || !errors.As(err, &later) || later.RetryAfter() != want.pause {
			t.Errorf("status %d: %v", status, err)
		}
	}
	mute := &Sim{}
	mute.Mute(true)
	if took, err := openError(t, mute, Config{}); !errors.Is(err, ErrSilent) || took != 10*time.Second {
		t.Errorf("no greeting: %v after %v", err, took)
	}
	deaf := &Sim{}
	deaf.Deaf(true)
	if took, err := openError(t, deaf, Config{}); !errors.Is(err, ErrSilent) || took != 5*time.Second {
		t.Errorf("no answer: %v after %v", err, took)
	}
}

func TestCannotBeSet(t *testing.T) {
	for name, cfg := range map[string]Config{
		"keep-alive too short":     {Keepalive: time.Millisecond},
		"keep-alive too long":      {Keepalive: time.Hour},
		"negative power":           {Power: -1},
		"power over 40 dBm":        {Power: 4001},
		"power below the table":    {Power: 999},
		"antenna 0":                {Antennas: []int{0}},
		"antenna 256":              {Antennas: []int{256}},
		"antenna twice":            {Antennas: []int{1, 2, 1}},
		"more antennas than there": {Antennas: []int{5}},
		"33 antennas":              {Antennas: make([]int, 33)},
	} {
		if took, err := openError(t, &Sim{}, cfg); err == nil || errors.Is(err, ErrSilent) || took > time.Second {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
}

// A quiet reader keeps alive, and is answered with the same id at once; three
// of its periods without a word are its end.
func TestKeepalives(t *testing.T) {
	play(t, &Sim{}, Config{}, func(b *bench) {
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		if n := b.sim.Acks(); n != 360 || b.err != nil {
			t.Errorf("%d acknowledged in an hour, %v", n, b.err)
		}
	})
	for _, period := range []time.Duration{time.Second, 2 * time.Second, keepalive, time.Minute} {
		play(t, &Sim{}, Config{Keepalive: period}, func(b *bench) {
			time.Sleep(10*period + period/2)
			b.sim.Mute(true) // in the middle between two
			took, err := b.ends()
			if polls := took.Round(period/2) - period/2; !errors.Is(err, ErrSilent) || polls != 2*period || took > 5*period/2+100*time.Millisecond || b.r.Counters().Timeouts != 1 {
				t.Errorf("every %v: %v after %v, %+v", period, err, took, b.r.Counters())
			}
		})
	}
}

func TestEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		act  func(b *bench)
		want error
	}{
		"closed by the reader":  {func(b *bench) { b.sim.Hangup() }, ErrClosed},
		"restarted":             {func(b *bench) { b.sim.Restart() }, ErrRestart},
		"taken by another":      {func(b *bench) { b.raw(b.sim.notice(256, []byte{0, 2})) }, ErrTaken},
		"not LLRP":              {func(b *bench) { b.raw([]byte("Welcome\r\n")) }, ErrProtocol},
		"length over the limit": {func(b *bench) { b.raw([]byte{4, 61, 0, 0x10, 0, 1, 0, 0, 0, 1}) }, ErrProtocol},
		"TLV that lies":         {func(b *bench) { b.raw(simMessage(61, 1, []byte{0, 240, 0, 5})) }, ErrProtocol},
		"cut off":               {func(b *bench) { b.raw([]byte{4, 61, 0, 0, 0}) }, ErrCut},
		"trickle":               {func(b *bench) { trickle(b) }, ErrSilent},
		"line gone":             {func(b *bench) { _ = b.r.Close() }, io.ErrClosedPipe},
	} {
		play(t, &Sim{}, Config{}, func(b *bench) {
			tc.act(b)
			if took, err := b.ends(); !errors.Is(err, tc.want) || took > 31*time.Second {
				t.Errorf("%s: %v after %v, want %v", name, err, took, tc.want)
			}
		})
	}
}

// trickle says the greatest message a byte a second.
func trickle(b *bench) {
	b.sim.Mute(true)
	b.raw([]byte{4, 61, 0, 0x10, 0, 0})
	for range 40 {
		time.Sleep(time.Second)
		if b.sim.Raw([]byte{0}) != nil {
			return // the driver has ended, and the wire with it
		}
	}
}

// What does not end a reader: the next tag is read all the same.
func TestGoesOn(t *testing.T) {
	for name, tc := range map[string]struct {
		act    func(b *bench)
		faults []string
		errs   uint64
	}{
		"another client tries": {func(b *bench) { b.raw(b.sim.notice(256, []byte{0, 4})) }, nil, 0},
		"antenna off":          {func(b *bench) { b.sim.Antenna(3, false) }, []string{"antenna 3 is not connected"}, 0},
		"antennas off and on": {func(b *bench) {
			b.sim.Antenna(3, false)
			b.sim.Antenna(2, false)
			b.sim.Antenna(3, true)
			b.sim.Antenna(2, true)
		}, []string{"antenna 3 is not connected", "antenna 2 is not connected", "antenna 2 is not connected", "<nil>"}, 0},
		"exception":         {func(b *bench) { b.sim.Exception("PLL\x07") }, []string{`reader says "exception: PLL?"`}, 0},
		"error message":     {func(b *bench) { b.raw(simMessage(100, 9, simTLV(287, 0, 112, 0, 2, 'n', 'o'))) }, []string{`reader answers with message 100, status 112 "no"`}, 0},
		"unknown message":   {func(b *bench) { b.raw(simMessage(1023, 9, []byte{1, 2, 3})) }, nil, 1},
		"late answer":       {func(b *bench) { b.raw(simMessage(30, 99, simTLV(287, 0, 0, 0, 0))) }, nil, 1},
		"unknown TV":        {func(b *bench) { b.raw(simMessage(61, 9, simTLV(240, 0xFF, 1, 2))) }, nil, 1},
		"report of no EPC":  {func(b *bench) { b.raw(simMessage(61, 9, simTLV(240, 0x81, 0, 1))) }, nil, 1},
		"event of nothing":  {func(b *bench) { b.raw(simMessage(63, 9, nil)) }, nil, 1},
		"event cut short":   {func(b *bench) { b.raw(simMessage(63, 9, simTLV(246, simTLV(255, 0)...))) }, nil, 1},
		"error of nothing":  {func(b *bench) { b.raw(simMessage(100, 9, nil)) }, nil, 1},
		"report of version": {func(b *bench) { m := simMessage(62, 9, nil); m[0] |= 8; m[0] &^= 4; b.raw(m) }, nil, 0},
	} {
		play(t, &Sim{}, Config{}, func(b *bench) {
			tc.act(b)
			synctest.Wait()
			b.raw(b.sim.Report(1, card))
			if len(b.reads) != 1 || b.err != nil || !slices.Equal(b.faults, tc.faults) || b.r.Counters().CheckErrors != tc.errs {
				t.Errorf("%s: %d reads, %v, told %q, %+v", name, len(b.reads), b.err, b.faults, b.r.Counters())
			}
		})
	}
}

// A vehicle that was here before the connection is not the one that is here
// now, whatever the reader's clock says.
func TestI1_KeptReportsAreNotOfNow(t *testing.T) {
	for name, s := range map[string]*Sim{
		"clock":                 {},
		"clock an hour ahead":   {Ahead: time.Hour},
		"clock an hour behind":  {Ahead: -time.Hour},
		"no clock, only uptime": {Uptime: true},
	} {
		s.Kept = []SimTag{card, {EPC: "00", Antenna: 2}}
		play(t, s, Config{}, func(b *bench) {
			if len(b.reads) != 0 || b.r.Counters().Resyncs != 2 {
				t.Errorf("%s: %d reads of before, %+v", name, len(b.reads), b.r.Counters())
			}
			b.raw(b.sim.Report(1, card))
			if len(b.reads) != 1 {
				t.Errorf("%s: %d reads of now", name, len(b.reads))
			}
		})
	}
}
