package uhf18

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
)

// pipe is a wire in memory.
type pipe struct {
	net.Conn
	baud *int
}

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

var errBaud = errors.New("no such speed")

func (p pipe) SetBaud(baud int) error {
	*p.baud = baud
	if baud == 1 {
		return errBaud
	}
	return nil
}

const cardEPC = "3074257BF7194E4000001A85"

// bench is a driver and the reader it is connected to.
type bench struct {
	t     *testing.T
	sim   *Sim
	baud  int
	reads []devices.Read
	over  chan struct{}
	err   error // why Reads ended; read after over
}

func (b *bench) open(ctx context.Context, cfg Config) (*Reader, error) {
	near, far := net.Pipe()
	go func() {
		_ = b.sim.Serve(far) // ends with the wire
		_ = far.Close()
	}()
	return Open(ctx, pipe{near, &b.baud}, cfg)
}

// play runs act in virtual time with the driver connected to s.
func play(t *testing.T, s *Sim, cfg Config, act func(b *bench, r *Reader)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, sim: s, over: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		r, err := b.open(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close(b.over)
			for read, err := range r.Reads(ctx) {
				if b.err = err; err == nil {
					b.reads = append(b.reads, read)
				}
			}
		}()
		synctest.Wait()
		act(b, r)
		cancel()
		<-b.over
		_ = r.Close() // it may be closed already
		synctest.Wait()
	})
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
		r, err := (&bench{t: t, sim: s}).open(t.Context(), cfg)
		if end, took = err, time.Since(from); err == nil {
			t.Error("opened")
			_ = r.Close()
		}
		synctest.Wait()
	})
	return took, end
}

func TestReadsTags(t *testing.T) {
	play(t, &Sim{}, Config{Name: "lane", Role: devices.RoleCard, Power: 26}, func(b *bench, r *Reader) {
		if b.sim.Power() != 26 || b.baud != 57600 {
			t.Errorf("power %d, %d baud", b.sim.Power(), b.baud)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := b.sim.Asked(); n != 3601 || len(b.reads) > 0 || b.err != nil {
			t.Errorf("asked %d times in an hour without tags: %d reads, %v", n, len(b.reads), b.err)
		}
		b.sim.Present(cardEPC, "", "ABCD", "E280", "00") // two frames
		time.Sleep(time.Second)
		at := time.Now()
		synctest.Wait()
		var got []string
		for _, read := range b.reads[:5] {
			got = append(got, fmt.Sprint(read.Tag.EPC.Reveal(), read.Tag.Unreadable, read.Tag.RSSIDBm, read.Tag.Antenna))
			if read.Device != "lane" || read.Role != devices.RoleCard || !read.At.Equal(at) && at.Sub(read.At) > time.Second {
				t.Errorf("%+v", read)
			}
		}
		want := []string{cardEPC + "false 0 0", "true 0 0", "ABCDfalse 0 0", "E280false 0 0", "00false 0 0"}
		if !slices.Equal(got, want) || len(b.reads)%5 != 0 {
			t.Errorf("%d reads: %q", len(b.reads), got)
		}
		if c := r.Counters(); c.CheckErrors+c.Timeouts+c.Resyncs != 0 || c.Frames < 3603 {
			t.Errorf("%+v", c)
		}
	})
}

// A read's time is that of its frame's first byte.
func TestArrival(t *testing.T) {
	play(t, &Sim{}, config, func(b *bench, _ *Reader) {
		p := b.sim.Report(statusAll, number(1))
		first := time.Now()
		b.raw(p[:4])
		time.Sleep(50 * time.Millisecond)
		b.raw(p[4:])
		if len(b.reads) != 1 || !b.reads[0].At.Equal(first) {
			t.Errorf("%+v, want at %v", b.reads, first)
		}
	})
}

// The reader is given its own scan time, as far as it tells it.
func TestScanTime(t *testing.T) {
	for _, tc := range []struct {
		sim  *Sim
		want time.Duration // until it is given up: three times the scan time and half a second
	}{
		{&Sim{ScanTime: 3}, 2400 * time.Millisecond},
		{&Sim{ScanTime: 255}, 78 * time.Second},
		{&Sim{Old: true}, 4500 * time.Millisecond},
	} {
		play(t, tc.sim, config, func(b *bench, r *Reader) {
			b.sim.Mute(true)
			from := time.Now()
			<-b.over
			if took := time.Since(from); !errors.Is(b.err, ErrSilent) || took != tc.want || r.Counters().Timeouts != 3 {
				t.Errorf("%v after %v, want %v; %+v", b.err, took, tc.want, r.Counters())
			}
		})
	}
}

func TestCannotBeOpened(t *testing.T) {
	mute := &Sim{}
	mute.Mute(true)
	for name, tc := range map[string]struct {
		sim  *Sim
		cfg  Config
		want error // nil: any other
		took time.Duration
	}{
		"silent":           {mute, config, ErrSilent, 4500 * time.Millisecond},
		"another address":  {&Sim{Address: 2}, config, ErrSilent, 4500 * time.Millisecond},
		"refuses to tell":  {&Sim{Refuses: map[byte]byte{cmdInfo: 0xFE}}, config, Status{cmdInfo, 0xFE}, 0},
		"refuses a power":  {&Sim{Refuses: map[byte]byte{cmdPower: 0x05}}, Config{Power: 20}, Status{cmdPower, 0x05}, 0},
		"power over 30":    {&Sim{}, Config{Power: 31}, nil, 0},
		"power below 0":    {&Sim{}, Config{Power: -1}, nil, 0},
		"speed not usable": {&Sim{}, Config{Baud: 1}, errBaud, 0},
	} {
		took, err := openError(t, tc.sim, tc.cfg)
		if tc.want != nil && !errors.Is(err, tc.want) || errors.Is(err, ErrSilent) != (tc.want == ErrSilent) || took != tc.took {
			t.Errorf("%s: %v after %v, want %v after %v", name, err, took, tc.want, tc.took)
		}
	}
}

// A reader that still looks for tags for a former owner is asked again.
func TestOpensABusyReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, sim: &Sim{ScanTime: 20}}
		near, far := net.Pipe()
		go func() { _ = b.sim.Serve(far) }() // ends with the wire
		if _, err := near.Write(appendCommand(nil, 0, cmdInventory)); err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), pipe{near, &b.baud}, config)
		if err != nil {
			t.Fatal(err)
		}
		if c := r.Counters(); c.Timeouts != 2 { // asked at 0, 1.5 and 3 s, of 2 that it is busy
			t.Errorf("%+v", c)
		}
		_ = r.Close()
		_ = far.Close()
	})
}

// What an inventory may say instead of tags.
func TestStatus(t *testing.T) {
	for _, status := range []byte{0x05, 0x0B, 0xFD, 0xFE, 0xFF, 0xF8} {
		play(t, &Sim{}, config, func(b *bench, _ *Reader) {
			b.raw(b.sim.Answer(cmdInventory, status))
			<-b.over
			if want := (Status{cmdInventory, status}); !errors.Is(b.err, want) {
				t.Errorf("status %02X: %v", status, b.err)
			}
		})
	}
	for name, p := range map[string][]byte{
		"weak tag":            (&Sim{}).Answer(cmdInventory, statusWeak),
		"tag's error":         (&Sim{}).Answer(cmdInventory, statusTag, 3),
		"time out, no tags":   (&Sim{}).Answer(cmdInventory, statusTimeOut, 0),
		"time out, no list":   (&Sim{}).Answer(cmdInventory, statusTimeOut),
		"late answer":         (&Sim{}).Answer(cmdInfo, 0, 1, 2),
		"list that is broken": (&Sim{}).Answer(cmdInventory, statusAll, 2, 2, 0xAB, 0xCD),
	} {
		play(t, &Sim{}, config, func(b *bench, r *Reader) {
			b.raw(p)
			b.raw(b.sim.Report(statusFull, number(1)))
			b.raw(b.sim.Report(statusTimeOut, number(2)))
			broken := uint64(0)
			if strings.Contains(name, "list") {
				broken = 1
			}
			if len(b.reads) != 2 || b.err != nil || r.Counters().CheckErrors != broken {
				t.Errorf("%s: %d reads, %v, %+v", name, len(b.reads), b.err, r.Counters())
			}
		})
	}
}

// As long as the reader says that more follows it is not asked again.
func TestMoreFollows(t *testing.T) {
	play(t, &Sim{Refuses: map[byte]byte{cmdPower: 0xFF}}, config, func(b *bench, _ *Reader) { // and no power is set
		for n := range 3 {
			b.raw(b.sim.Report(statusMore, number(n)))
			time.Sleep(scanLess*scanUnit + answerWait - time.Millisecond)
			synctest.Wait()
		}
		if b.sim.Asked() != 1 || len(b.reads) != 3 {
			t.Errorf("asked %d times, %d reads", b.sim.Asked(), len(b.reads))
		}
		b.raw(b.sim.Report(statusAll, number(4)))
		if b.sim.Asked() != 2 || len(b.reads) != 4 {
			t.Errorf("after the last: asked %d times, %d reads", b.sim.Asked(), len(b.reads))
		}
	})
}

// An answer that is damaged or lost is asked for again; two in a row do not end
// a reader.
func TestDamagedAnswers(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"a bit":   func(p []byte) []byte { p[7] ^= 4; return p },
		"cut off": func(p []byte) []byte { return p[:9] },
		"lost":    func([]byte) []byte { return nil },
	} {
		play(t, &Sim{}, config, func(b *bench, r *Reader) {
			b.raw(b.sim.Report(statusAll, number(0)))
			for range 2 {
				b.raw(damage(b.sim.Report(statusAll, number(1))))
				time.Sleep(scanLess*scanUnit + answerWait) // it is asked again
				synctest.Wait()
			}
			b.raw(b.sim.Report(statusAll, number(2)))
			if len(b.reads) != 2 || b.err != nil || r.Counters().Timeouts != 2 {
				t.Errorf("%s: %d reads, %v, %+v", name, len(b.reads), b.err, r.Counters())
			}
		})
	}
}

// A caller that has had enough may go on later; nothing is lost between.
func TestStopAndGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, sim: &Sim{}}
		r, err := b.open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		b.sim.Present("01", "02", "03")
		var got []string
		for range 3 {
			for read := range r.Reads(t.Context()) {
				got = append(got, read.Tag.EPC.Reveal())
				break
			}
			b.sim.Present()
		}
		if !slices.Equal(got, []string{"01", "02", "03"}) || b.sim.Asked() != 1 {
			t.Errorf("read %q, asked %d times", got, b.sim.Asked())
		}
		_ = r.Close() // ends the simulated reader too
	})
}

// A reader that was started anew between two looks, and lost its power setting,
// is set up again; one that keeps it loses a look at most. What it does not tell
// nobody can know.
func TestShortRestart(t *testing.T) {
	for name, c := range map[string]struct {
		sim     *Sim
		forgets bool
		ends    bool
	}{
		"forgets its power":   {&Sim{}, true, true},
		"keeps it":            {&Sim{}, false, false},
		"does not tell of it": {&Sim{Old: true}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			for phase := range 10 { // while it looks for tags and while it does not
				play(t, c.sim, Config{Name: "r", Power: 12}, func(b *bench, r *Reader) {
					c.sim.Present(cardEPC)
					time.Sleep(time.Second + time.Duration(phase)*7*time.Millisecond)
					c.sim.Restart(c.forgets)
					time.Sleep(checkEvery + 2*time.Second)
					synctest.Wait()
					select {
					case <-b.over:
						if !c.ends || !errors.Is(b.err, ErrReset) {
							t.Errorf("ended with %v", b.err)
						}
					default:
						if n := len(b.reads); c.ends || n < 500 {
							t.Errorf("goes on, with %d reads", n)
						}
					}
				})
			}
		})
	}
}
