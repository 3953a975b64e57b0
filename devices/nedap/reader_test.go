package nedap

import (
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
	"boothd/devices/line"
	"boothd/devices/port"
)

// wire is a line in memory, with the manners of a port.
type wire struct {
	net.Conn
	stuck bool // nothing that is written gets through
}

func (w wire) Read(b []byte) (int, error) {
	if err := w.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := w.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

func (w wire) Write(b []byte) (int, error) {
	if w.stuck {
		time.Sleep(time.Second)
		return 0, port.ErrStuck
	}
	return w.Conn.Write(b)
}

// follow is a reader at work in virtual time.
type follow struct {
	*testing.T
	r      *Reader
	cam    *Camera
	reads  []devices.Read
	faults []error
	over   chan struct{}
	err    error // why Reads ended; read after over
}

// play runs a reader against a camera, acts, and pulls the plug.
func play(t *testing.T, cam *Camera, cfg Config, act func(f *follow)) *follow {
	t.Helper()
	f := &follow{T: t, cam: cam}
	synctest.Test(t, func(t *testing.T) {
		f.T, f.over = t, make(chan struct{}) // of the bubble, so that waiting for it lets time pass
		near, far := net.Pipe()
		cfg.Name, cfg.Role, cfg.Packets = "front", devices.RolePlateFront, cam.Packets
		if cfg.Text == nil {
			cfg.Text = textOf(t, line.Config{})
		}
		cfg.Health = func(err error) { f.faults = append(f.faults, err) }
		var err error
		if f.r, err = Open(t.Context(), wire{near, cfg.Ack == stuckAck}, cfg); err != nil {
			t.Fatal(err)
		}
		go func() { _ = cam.Serve(far) }() // ends with the wire
		go func() {
			defer close(f.over)
			for read, err := range f.r.Reads(t.Context()) {
				if err != nil {
					f.err = err
					continue
				}
				f.reads = append(f.reads, read)
			}
		}()
		synctest.Wait()
		act(f)
		_ = far.Close() // the plug is pulled, if Reads has not ended already
		<-f.over
		_ = f.r.Close()
		synctest.Wait()
	})
	return f
}

const stuckAck = "06 06 06" // of the test whose writes do not get through

// do lets the camera act, and the reader read it.
func (f *follow) do(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

func (f *follow) texts() (all string) {
	for _, r := range f.reads {
		all += r.Plate.Text.Reveal() + " "
	}
	return strings.TrimSpace(all)
}

// A camera that is answered sends each report once; one that is not sends it
// again, and it is read once all the same.
func TestAnswers(t *testing.T) {
	const form = "{open} {id} 00000000 {xor} {close}"
	answer := func(id uint32) []byte { // by another hand
		b := []byte{0x89, 0xAB, 0xCD, 0xEF, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id), 0, 0, 0, 0}
		return append(b, xor(b), 0x12, 0x34, 0x56, 0x78)
	}
	for _, c := range []struct {
		name    string
		ack     string
		sent    int
		repeats uint64
	}{{"answered", form, 3, 0}, {"not answered", "", 9, 6}, {"answered with another thing", "06", 9, 6}} {
		t.Run(c.name, func(t *testing.T) {
			cam := &Camera{Answer: answer, Retries: 2}
			f := play(t, cam, Config{Ack: c.ack}, func(f *follow) {
				for _, plate := range []string{"AAA1", "AAA1", "BBB2"} { // the second is another vehicle's report
					f.do(cam.Plate(plate, "ON", 0))
					time.Sleep(windowUsual)
				}
			})
			if got := f.texts(); got != "AAA1 AAA1 BBB2" || cam.Sent() != c.sent || f.r.Counters().Repeats != c.repeats || f.r.Counters().Frames != uint64(c.sent) {
				t.Errorf("read %q, sent %d times, %+v", got, cam.Sent(), f.r.Counters())
			}
		})
	}
}

// One whose answer is lost is sent again, answered again, and read once.
func TestLostAnswers(t *testing.T) {
	heard := 0
	cam := &Camera{Retries: 9, Answer: func(uint32) []byte {
		if heard++; heard < 3 {
			return nil // nothing that comes is the answer
		}
		return []byte{0x06}
	}}
	f := play(t, cam, Config{Ack: "06"}, func(f *follow) {
		f.do(cam.Plate("AAA1", "ON", 0))
		time.Sleep(10 * time.Second)
	})
	if f.texts() != "AAA1" || cam.Sent() != 3 || f.r.Counters().Repeats != 2 {
		t.Errorf("read %q, sent %d times, %+v", f.texts(), cam.Sent(), f.r.Counters())
	}
}

// One with the id and the text of the last one is that one again; every other
// one is another, and an id that goes back is a camera that was started anew.
func TestIDs(t *testing.T) {
	type said struct {
		id   uint32
		text string
	}
	for _, c := range []struct {
		name      string
		says      []said
		want      string
		restarted int
	}{
		{"one after the other", []said{{1, "A"}, {2, "A"}, {3, "B"}}, "A A B", 0},
		{"again", []said{{5, "A"}, {5, "A"}, {5, "A"}, {6, "B"}}, "A B", 0},
		{"again after another", []said{{5, "A"}, {6, "B"}, {5, "A"}}, "A B A", 1},
		{"same id, another text", []said{{5, "A"}, {5, "B"}}, "A B", 0},
		{"reports that were lost", []said{{5, "A"}, {90, "B"}}, "A B", 0},
		{"started anew", []said{{5, "A"}, {1, "A"}, {2, "B"}}, "A A B", 1},
		{"started anew, its first report lost", []said{{5, "A"}, {2, "B"}, {3, "C"}}, "A B C", 1},
		{"started anew after its first report", []said{{1, "A"}, {1, "B"}, {1, "B"}, {2, "C"}}, "A B C", 1},
		{"begins at 1", []said{{1, "A"}}, "A", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cam := &Camera{Little: true}
			f := play(t, cam, Config{Window: time.Nanosecond}, func(f *follow) {
				for _, s := range c.says {
					f.do(cam.Raw(cam.frame(s.id, s.text)))
				}
			})
			told := 0
			for _, err := range f.faults {
				if errors.Is(err, ErrRestarted) {
					told++
				}
			}
			if got := f.texts(); got != c.want || told != c.restarted {
				t.Errorf("read %q, want %q; faults %v", got, c.want, f.faults)
			}
		})
	}
}

// The same plate within the window updates what is known of it and is no other
// vehicle; whatever tells it again is answered.
func TestWindow(t *testing.T) {
	type said struct {
		after         time.Duration
		text, country string
		confidence    float64
	}
	for _, c := range []struct {
		name    string
		window  time.Duration
		says    []said
		want    string
		repeats uint64
	}{
		{"again", 0, []said{{0, "AAA1", "ON", 0.9}, {windowUsual - time.Second, "AAA1", "ON", 0.9}}, "AAA1/ON/0.9", 1},
		{"when it is over", 0, []said{{0, "AAA1", "ON", 0.9}, {windowUsual, "AAA1", "ON", 0.9}}, "AAA1/ON/0.9 AAA1/ON/0.9", 0},
		{"less sure", 0, []said{{0, "AAA1", "ON", 0.9}, {time.Second, "AAA1", "ON", 0.5}, {time.Second, "AAA1", "", 0.5}}, "AAA1/ON/0.9", 2},
		{"surer", 0, []said{{0, "AAA1", "ON", 0.5}, {time.Second, "AAA1", "ON", 0.9}, {time.Second, "AAA1", "ON", 0.9}}, "AAA1/ON/0.5 AAA1/ON/0.9", 1},
		{"with its jurisdiction", 0, []said{{0, "AAA1", "", 0.9}, {time.Second, "AAA1", "ON", 0.9}}, "AAA1//0.9 AAA1/ON/0.9", 0},
		{"of another jurisdiction", 0, []said{{0, "AAA1", "NY", 0.9}, {time.Second, "AAA1", "ON", 0.9}}, "AAA1/NY/0.9 AAA1/ON/0.9", 0},
		{"another plate between", 0, []said{{0, "AAA1", "ON", 0.9}, {time.Second, "BBB2", "ON", 0.9}, {time.Second, "AAA1", "ON", 0.9}}, "AAA1/ON/0.9 BBB2/ON/0.9", 1},
		{"two without a plate", 0, []said{{0, "", "", 0}, {time.Second, "", "", 0}}, "//0 //0", 0},
		{"of its own", 2 * time.Second, []said{{0, "AAA1", "ON", 0.9}, {2 * time.Second, "AAA1", "ON", 0.9}}, "AAA1/ON/0.9 AAA1/ON/0.9", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cam := &Camera{Packets: true}
			f := play(t, cam, Config{Window: c.window}, func(f *follow) {
				for _, s := range c.says {
					time.Sleep(s.after)
					f.do(cam.Plate(s.text, s.country, s.confidence))
				}
			})
			var got []string
			for _, r := range f.reads {
				got = append(got, fmt.Sprintf("%s/%s/%.3g", r.Plate.Text.Reveal(), r.Plate.Jurisdiction, r.Plate.Confidence))
			}
			if s := strings.Join(got, " "); s != c.want || f.r.Counters().Repeats != c.repeats {
				t.Errorf("read %s, want %s; %+v", s, c.want, f.r.Counters())
			}
		})
	}
	cam := &Camera{Retries: 3, Answer: func(uint32) []byte { return []byte{0x06} }}
	f := play(t, cam, Config{Ack: "06"}, func(f *follow) {
		f.do(cam.Plate("AAA1", "ON", 0))
		f.do(cam.Plate("AAA1", "ON", 0)) // the next report of the same plate
	})
	if f.texts() != "AAA1" || cam.Sent() != 2 || f.r.Counters().Repeats != 1 {
		t.Errorf("read %q, sent %d times, %+v", f.texts(), cam.Sent(), f.r.Counters())
	}
}

// However many plates pass, so many are remembered, and the oldest gives way.
func TestWindowIsBounded(t *testing.T) {
	cam := &Camera{}
	f := play(t, cam, Config{Window: time.Minute}, func(f *follow) {
		for n := range 3 * devices.GlancesMost {
			f.do(cam.Plate(plateOf(n), "ON", 0))
		}
		f.do(cam.Plate(plateOf(3*devices.GlancesMost-1), "ON", 0)) // the newest
		f.do(cam.Plate(plateOf(2*devices.GlancesMost), "ON", 0))   // the oldest that is remembered
		f.do(cam.Plate(plateOf(2*devices.GlancesMost-1), "ON", 0)) // the one before it
	})
	if c := f.r.Counters(); len(f.reads) != 3*devices.GlancesMost+1 || c.Repeats != 2 {
		t.Errorf("%d reads, %+v", len(f.reads), c)
	}
}

// That a camera was started anew stands until its next report.
func TestRestartIsToldAndOver(t *testing.T) {
	cam := &Camera{}
	play(t, cam, Config{}, func(f *follow) {
		f.do(cam.Plate("AAA1", "", 0))
		f.do(cam.Plate("BBB2", "", 0))
		cam.Reboot()
		f.do(cam.Raw(cam.frame(3, "CUT")[:15])) // in the middle of a report
		f.do(cam.Plate("CCC3", "", 0))
		time.Sleep(2 * time.Second)
		if got := f.texts(); got != "AAA1 BBB2 CCC3" || len(f.faults) != 1 || f.faults[0] != ErrRestarted {
			f.Errorf("read %q, faults %v", got, f.faults)
		}
		f.do(cam.Plate("DDD4", "", 0))
		if got := f.texts(); got != "AAA1 BBB2 CCC3 DDD4" || len(f.faults) != 2 || f.faults[1] != nil {
			f.Errorf("read %q, faults %v", got, f.faults)
		}
	})
}

// Half a report is given up after a silence, and not before.
func TestSilenceInsideAReport(t *testing.T) {
	for _, c := range []struct {
		cam   *Camera
		pause time.Duration
	}{{&Camera{}, cutOff}, {&Camera{Packets: true}, packetCutOff}} {
		f := play(t, c.cam, Config{}, func(f *follow) {
			b := c.cam.Report(1, time.Unix(1e9, 0), "AAA1", "ON", 1)
			for _, part := range [][]byte{b[:9], b[9:10], b[10:20], b[20:]} {
				f.do(c.cam.Raw(part))
				time.Sleep(c.pause - 200*time.Millisecond)
			}
			if f.texts() != "AAA1" || f.r.Counters().Timeouts != 0 {
				f.Errorf("read %q, %+v", f.texts(), f.r.Counters())
			}
			f.do(c.cam.Raw(b[:9]))
			time.Sleep(c.pause + 200*time.Millisecond)
			f.do(c.cam.Raw(b[9:]))
		})
		if f.texts() != "AAA1" || f.r.Counters().Timeouts != 1 {
			t.Errorf("read %q, %+v", f.texts(), f.r.Counters())
		}
	}
}

// A report is answered when its read was taken; a caller that has had enough may
// go on later, and nothing is lost between.
func TestStopAndGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		r, err := Open(t.Context(), wire{Conn: near}, Config{Ack: "06", Text: textOf(t, line.Config{})})
		if err != nil {
			t.Fatal(err)
		}
		answers := 0
		go func() {
			for b := make([]byte, 1); ; {
				if _, err := far.Read(b); err != nil {
					return
				}
				answers++
			}
		}()
		cam := &Camera{}
		go func() { _, _ = far.Write(slices.Concat(cam.frame(1, "A1"), cam.frame(2, "B2"), cam.frame(3, "C3"))) }()
		var got []string
		for n := range 3 {
			for read := range r.Reads(t.Context()) {
				synctest.Wait()
				if answers != n {
					t.Errorf("%d answers while read %d is taken", answers, n)
				}
				got = append(got, read.Plate.Text.Reveal())
				break
			}
		}
		if synctest.Wait(); !slices.Equal(got, []string{"A1", "B2", "C3"}) || answers != 3 {
			t.Errorf("read %q, %d answers", got, answers)
		}
		_ = r.Close()
		_ = far.Close()
	})
}

// What the simulated camera tells is what is read, its images aside; front and
// rear are as configured.
func TestCamera(t *testing.T) {
	for name, c := range map[string]struct {
		cam  *Camera
		want string
	}{
		"big endian":    {&Camera{}, "AAA1|ON|-1 |-1 BBB2||-1"},
		"little endian": {&Camera{Little: true}, "AAA1|ON|-1 |-1 BBB2||-1"},
		"packets":       {&Camera{Packets: true, Image: 10_000, Name: "lane 5"}, "AAA1|ON|0.97 |0 BBB2||0.5"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			f := play(t, c.cam, Config{}, func(f *follow) {
				f.do(c.cam.Plate("AAA1", "ON", 0.97))
				f.do(c.cam.NoRead())
				c.cam.Mute(true)
				f.do(c.cam.Plate("UNHEARD", "ON", 0.97))
				c.cam.Mute(false)
				f.do(c.cam.Plate("BBB2", "", 0.5))
			})
			var got []string
			for _, r := range f.reads {
				p := r.Plate
				text := fmt.Sprintf("%s|%s|%.3g", p.Text.Reveal(), p.Jurisdiction, p.Confidence)
				if p.NoRead {
					text = fmt.Sprintf("|%.3g", p.Confidence)
				}
				got = append(got, text)
				if c.cam.Packets && (p.Camera != "lane 5" || p.DeviceAt.IsZero() || p.DeviceAt.After(began.Add(time.Hour))) {
					t.Errorf("camera %q at %v", p.Camera, p.DeviceAt)
				}
				if r.Device != "front" || r.Role != devices.RolePlateFront {
					t.Errorf("%+v", r)
				}
			}
			if s := strings.Join(got, " "); s != c.want || f.r.Counters().Resyncs+f.r.Counters().CheckErrors != 0 {
				t.Errorf("%s, want %s; %+v", s, c.want, f.r.Counters())
			}
		})
	}
}
