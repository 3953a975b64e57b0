package line

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/port"
	"boothd/devices/sim"
)

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name string
		says []string
		want string
	}{
		{"two plates in view in turn", []string{"A;ON;90;i", "B;ON;90;i", "A;ON;90;i", "B;ON;80;i"}, "A B"},
		{"jurisdiction learnt", []string{"A;;90;i", "A;ON;90;i", "A;;90;i", "A;NY;90;i"}, "A A A"},
		{"two vehicles that were not read", []string{"NOREAD;;;i", "NOREAD;;;i"}, "NO NO"},
		{"more plates than are remembered", []string{"A;;9;", "B;;9;", "C;;9;", "D;;9;", "E;;9;", "F;;9;", "G;;9;", "H;;9;", "I;;9;", "B;;9;", "A;;9;"},
			"A B C D E F G H I A"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pipe{in: make(chan []byte, 64)}
				r, err := Open(t.Context(), p, form("lumo", Config{}))
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					for _, s := range c.says {
						p.in <- []byte(s + "\r\n")
						time.Sleep(time.Millisecond) // so that one is older than the next
					}
					close(p.in)
				}()
				var got []string
				for read, err := range r.Reads(t.Context()) {
					switch {
					case err != nil:
					case read.Plate.NoRead:
						got = append(got, "NO")
					default:
						got = append(got, string(read.Plate.Text))
					}
				}
				if s := strings.Join(got, " "); s != c.want || r.Counters().Repeats != uint64(len(c.says)-len(got)) || r.Counters().Frames != uint64(len(c.says)) {
					t.Errorf("%s, %d repeats, want %s", s, r.Counters().Repeats, c.want)
				}
			})
		})
	}
}

// A camera that cannot be understood is told once, and so is its end; again
// after a minute at the earliest.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		bad  string
		good string
		want error
	}{
		{"format", form("csv-generic", Config{}), "a;b\n", "x,A,1,c\n", errFormat},
		{"checksum", form("nedap-raw", Config{Checksum: "sum-hex"}), "AAA00\r\n", "A41\r\n", errCheck},
		{"no start in it", form("axxon", Config{}), strings.Repeat("\x80\xff", 250), "\x022026070412345601A\x03", ErrNoise},
		{"no end in it", form("nedap-raw", Config{}), strings.Repeat("\x80\xff", 250), "\r\nA\r\n", ErrNoise},
	} {
		t.Run(c.name, func(t *testing.T) {
			var faults []error
			c.cfg.Health = func(f Fault) { faults = append(faults, f.Why) }
			_, counters, _ := play(t, c.cfg, func(say func(string)) {
				say(c.bad)
				say(c.bad) // two may be chance
				if len(faults) != 0 {
					t.Errorf("a fault after two: %v", faults)
				}
				for range 20 {
					say(c.bad)
				}
				if len(faults) != 1 || !errors.Is(faults[0], c.want) {
					t.Errorf("faults %v, want %v", faults, c.want)
				}
				say(c.good)
				for range 20 {
					say(c.bad)
				}
				if len(faults) != 2 || faults[1] != nil {
					t.Errorf("faults %v, want it over, and said once a minute", faults)
				}
				time.Sleep(time.Minute)
				for range 20 {
					say(c.bad)
				}
				if len(faults) != 3 || faults[2] == nil {
					t.Errorf("faults %v, want it again", faults)
				}
			})
			if counters.Frames != 1 || counters.CheckErrors+counters.Resyncs == 0 {
				t.Errorf("%+v", counters)
			}
		})
	}
}

// A caller that is slow to take a read is no pause of the camera.
func TestSlowCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{in: make(chan []byte, 8)}
		r, err := Open(t.Context(), p, form("nedap-raw", Config{Heartbeat: "ALIVE"}))
		if err != nil {
			t.Fatal(err)
		}
		p.in <- []byte("AAA\r\nBB")
		p.in <- []byte("B\r\n")
		close(p.in)
		var got []string
		for read, err := range r.Reads(t.Context()) {
			if errors.Is(err, ErrSilent) {
				t.Error(err)
			}
			if err == nil {
				got = append(got, string(read.Plate.Text))
				time.Sleep(time.Minute)
			}
		}
		if strings.Join(got, " ") != "AAA BBB" {
			t.Errorf("read %q", got)
		}
	})
}

// A report that trickles in is one, as long as no pause within it is a cut, and
// it is timed by its first byte.
func TestTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{in: make(chan []byte)}
		r, err := Open(t.Context(), p, form("nedap-raw", Config{}))
		if err != nil {
			t.Fatal(err)
		}
		first := time.Now().Add(5 * time.Second)
		go func() {
			time.Sleep(5 * time.Second)
			for _, part := range []string{"AB", "C", "1\r", "\n"} {
				p.in <- []byte(part)
				time.Sleep(600 * time.Millisecond)
			}
			close(p.in)
		}()
		n := 0
		for read, err := range r.Reads(t.Context()) {
			if err != nil {
				continue
			}
			if n++; read.Plate.Text != "ABC1" || !read.At.Equal(first) {
				t.Errorf("read %+v of %v, want it at %v", read, read.At, first)
			}
		}
		if n != 1 || r.Counters().Resyncs != 0 {
			t.Errorf("%d reads, %+v", n, r.Counters())
		}
	})
}

// Reports without an end are told apart by the pause between them.
func TestSilenceEndsReports(t *testing.T) {
	got, c, _ := play(t, Config{Silence: 50 * time.Millisecond, Fields: []string{"plate"}}, func(say func(string)) {
		say("AB")
		time.Sleep(20 * time.Millisecond)
		say("C1")
		time.Sleep(60 * time.Millisecond)
		say("DEF2")
		time.Sleep(200 * time.Millisecond)
	})
	if strings.Join(got, " ") != "ABC1 DEF2" || c.Frames != 2 {
		t.Errorf("%q %+v", got, c)
	}
}

// I7: however a read, a fault or an error is printed, the plate is not in it.
func TestI7_NoPlateIsPrinted(t *testing.T) {
	const secret = "SECRET7"
	var printed strings.Builder
	log := slog.New(slog.NewJSONHandler(&printed, nil))
	show := func(v any) {
		fmt.Fprintf(&printed, "%v %+v %#v %s %q\n", v, v, v, v, v)
		log.Info("x", "v", v)
		if b, err := json.Marshal(v); err == nil {
			printed.Write(b)
		}
	}
	bad := []string{secret, secret + ";x", secret + ";ON;9;i;j", "\x01" + secret + ";ON;9;i", secret + secret + secret + secret + secret + ";;;"}
	var counters devices.Counters
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{in: make(chan []byte, 64)}
		r, err := Open(t.Context(), p, form("lumo", Config{Health: func(f Fault) { show(f); show(f.Why) }}))
		if err != nil {
			t.Fatal(err)
		}
		p.in <- []byte(secret + ";ON;90;i\r\n")
		for _, b := range bad {
			p.in <- []byte(b + "\r\n")
			_, _, err := r.parser.parse([]byte(b))
			show(err)
		}
		close(p.in)
		for read, err := range r.Reads(t.Context()) {
			show(err)
			fmt.Fprintf(&printed, "%v %+v %#v", read, read, read)
			log.Info("x", "v", read)
			if read.Plate != nil {
				show(*read.Plate)
			}
		}
		counters = r.Counters()
	})
	if counters.CheckErrors != uint64(len(bad)) {
		t.Errorf("%+v, want %d errors", counters, len(bad))
	}
	if printed.Len() < 1000 || strings.Contains(printed.String(), secret) {
		t.Errorf("a plate in clear, or nothing printed:\n%s", &printed)
	}
}

// onPTY opens a reader on a pty: library, kernel and driver are real.
func onPTY(t *testing.T, ctx context.Context, cfg Config) (*sim.PTY, *Reader) {
	t.Helper()
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() }) // a test may have pulled the plug
	p, err := port.Open(ctx, port.Spec{Path: path, Baud: 9600})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(ctx, p, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() }) // Reads may have closed it
	return far, r
}

// Babble, cuts and glue on a real line: each step waits for the report that
// closes it.
func TestNoiseOverAPTY(t *testing.T) {
	for _, template := range templates() {
		t.Run(template, func(t *testing.T) {
			far, r := onPTY(t, t.Context(), form(template, Config{}))
			cam := cameraOf(template, far)
			babble := []byte(strings.Repeat("\x00\xff\x02\x80;,", 100) + map[bool]string{true: "\x03"}[template == "axxon"] + "\r\n")
			steps := []func() error{
				func() error { return cam.Plate("GLUED1", "ON", 0.9) },
				func() error { return cam.Raw(babble) },
				func() error { return cam.Plate("AFTER2", "ON", 0.9) },
				cam.NoRead,
				func() error { return cam.Plate("LAST3", "ON", 0.9) },
			}
			for _, s := range steps {
				if err := s(); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for read, err := range r.Reads(t.Context()) {
				if err != nil {
					if !errors.Is(err, port.ErrGone) {
						t.Error(err)
					}
					break
				}
				got = append(got, string(read.Plate.Text))
				if read.Plate.Text == "LAST3" {
					if err := far.Close(); err != nil { // the plug is pulled
						t.Fatal(err)
					}
				}
			}
			if s := strings.Join(got, " "); s != "GLUED1 AFTER2  LAST3" {
				t.Errorf("read %q, counters %+v", s, r.Counters())
			}
		})
	}
}

// Half a report and the plug pulled: nothing is made of the half.
func TestCutOffByAnUnplug(t *testing.T) {
	far, r := onPTY(t, t.Context(), form("nedap-raw", Config{}))
	if _, err := far.WriteString("WHOLE1\r\nHAL"); err != nil {
		t.Fatal(err)
	}
	n := 0
	for read, err := range r.Reads(t.Context()) {
		if err != nil {
			if !errors.Is(err, port.ErrGone) {
				t.Error(err)
			}
			break
		}
		if n++; read.Plate.Text != "WHOLE1" {
			t.Errorf("read %+v", read)
		}
		if err := far.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n != 1 {
		t.Errorf("%d reads", n)
	}
}

// A silent line without heartbeats is no fault: a camera without a vehicle is
// silent. It ends with the context, at once, though Read waits.
func TestSilentPTYEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, r := onPTY(t, ctx, form("axxon", Config{}))
	cancel()
	var last error
	for _, err := range r.Reads(ctx) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("ended with %v", last)
	}
}
