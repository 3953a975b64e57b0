package line

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/devices"
	"boothd/devices/devicestest"
	"boothd/devices/port"
	"boothd/devices/sim"
)

func parserOf(t testing.TB, cfg Config) *parser {
	t.Helper()
	cfg, err := cfg.complete()
	if err != nil {
		t.Fatal(err)
	}
	p, err := newParser(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// all runs bytes through framer and parser.
func all(t testing.TB, cfg Config, b []byte) (out []devices.Plate, errs int, dropped uint64) {
	t.Helper()
	p := parserOf(t, cfg)
	f := p.framer()
	take := func(r []byte, _ time.Time) {
		plate, beat, err := p.parse(r)
		switch {
		case err != nil:
			errs++
		case !beat:
			out = append(out, plate)
		}
	}
	f.feed(b, time.Time{}, take)
	if p.cfg.End == "" {
		f.quiet(take)
	}
	return out, errs, f.dropped
}

func show(p devices.Plate) string {
	at := ""
	if !p.DeviceAt.IsZero() {
		at = p.DeviceAt.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s|%s|%.3g|%t|%s|%s", p.Text.Reveal(), p.Jurisdiction, p.Confidence, p.NoRead, p.Camera, at)
}

// Vectors of the licence plate readers' page, and what is derived from its tables.
func TestVectors(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		in   string
		want string // one per plate
		errs int
	}{
		// The page's; of the first two the values are its own.
		{"axxon", form("axxon", Config{}), "\x022026070412345601ABCD123\x03", "ABCD123||-1|false|01|2026-07-04T12:34:56Z", 0},
		{"axxon no read", form("axxon", Config{}), "\x022026070412345601Not defined\x03", "||-1|true|01|2026-07-04T12:34:56Z", 0},
		{"nedap", form("nedap-raw", Config{}), "46HVR9-NLD\r\n", "46HVR9|NLD|-1|false||", 0},
		{"date, time and device name", Config{End: "\n", Separator: "|", Fields: []string{"date", "time", "camera", "plate"}},
			"2011-07-28|12-34-56|NEDAP_ANPR1|46HVR9\n", "46HVR9||-1|false|NEDAP_ANPR1|2011-07-28T12:34:56Z", 0},
		// Derived.
		{"axxon in a zone", form("axxon", Config{Zone: "America/Vancouver"}), "\x022026070412345601A\x03", "A||-1|false|01|2026-07-04T19:34:56Z", 0},
		{"axxon cut short", form("axxon", Config{}), "\x0220260704\x03", "", 1},
		{"nedap plate with dash", form("nedap-raw", Config{}), "AB-1234\r\n", "AB-1234||-1|false||", 0},
		{"nedap no read", form("nedap-raw", Config{}), "NOREAD\r\n", "||-1|true||", 0},
		{"lumo", form("lumo", Config{}), "ABCD123;ON;97;IN\r\n", "ABCD123|ON|0.97|false||", 0},
		{"csv", form("csv-generic", Config{}), "2026-07-04T12:34:56,ABC 123,88.5,front\n", "ABC 123||0.885|false|front|2026-07-04T12:34:56Z", 0},
		{"csv with carriage return", form("csv-generic", Config{}), "2026-07-04 12:34:56,X1,100%,front\r\n", "X1||1|false|front|2026-07-04T12:34:56Z", 0},
		{"csv too few", form("csv-generic", Config{}), "2026-07-04,ABC\n", "", 1},
		{"csv mad confidence", form("csv-generic", Config{}), "x,ABC,NaN,c\ny,DEF,101,c\n", "ABC||-1|false|c| DEF||-1|false|c|", 0},
		{"literal and columns", Config{Start: "$", End: "#", Fields: []string{"literal:LP", "plate:8", "state:2"}},
			"$LPABC123  ON#$XXABC123  ON#", "ABC123|ON|-1|false||", 1},
		{"columns filled up", Config{End: "\n", Fields: []string{"plate:10:_", "state:3:.", "camera:4:*"}},
			"ABC123____ON.0071\n___A_BC__ .NY70**\n__________...****\n", "ABC123|ON|-1|false|0071| A_BC|NY|-1|false|70| ||-1|true||", 0},
		{"epoch ms", Config{End: "\n", Separator: ",", Fields: []string{"epoch", "plate"}}, "1586794095057,ABC123\n",
			"ABC123||-1|false||2020-04-13T16:08:15Z", 0},
		{"silence", Config{Silence: 50 * time.Millisecond, Fields: []string{"plate"}}, "ABC123", "ABC123||-1|false||", 0},
		{"heartbeat", form("nedap-raw", Config{Heartbeat: "ALIVE"}), "ALIVE\r\nABC\r\n", "ABC||-1|false||", 0},
		{"not ASCII", form("nedap-raw", Config{}), "AB\xfcC\r\n", "", 1},
		{"latin-1", form("nedap-raw", Config{Charset: "latin-1"}), "AB\xfcC\r\n", "ABüC||-1|false||", 0},
		{"bad UTF-8", form("nedap-raw", Config{Charset: "utf-8"}), "AB\xfcC\r\n", "", 1},
		{"glued, after noise", form("axxon", Config{}), "xx\x03\x022026070412345601AAA\x03\x022026070412345602BBB\x03",
			"AAA||-1|false|01|2026-07-04T12:34:56Z BBB||-1|false|02|2026-07-04T12:34:56Z", 0},
		{"cut off by the next", form("axxon", Config{}), "\x0220260704123\x022026070412345602BBB\x03", "BBB||-1|false|02|2026-07-04T12:34:56Z", 0},
		{"too long", form("nedap-raw", Config{MaxLength: 10}), strings.Repeat("A", 40) + "\r\nOK1\r\n", "OK1||-1|false||", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			plates, errs, _ := all(t, c.cfg, []byte(c.in))
			var got []string
			for _, p := range plates {
				got = append(got, show(p))
			}
			if strings.Join(got, " ") != c.want || errs != c.errs {
				t.Errorf("got  %s, %d errors\nwant %s, %d", strings.Join(got, " "), errs, c.want, c.errs)
			}
		})
	}
}

// Checksums of "123456789": the published check values of the CRCs.
func TestChecksums(t *testing.T) {
	for kind, want := range map[string]string{"xor-hex": "31", "sum-hex": "DD", "twos-hex": "23", "crc16-ibm": "BB3D", "crc16-ccitt-false": "29B1", "crc16-xmodem": "31C3"} {
		cfg := form("nedap-raw", Config{Checksum: kind})
		if plates, errs, _ := all(t, cfg, []byte("123456789"+want+"\r\n")); len(plates) != 1 || errs != 0 || plates[0].Text != "123456789" {
			t.Errorf("%s: %v, %d errors", kind, plates, errs)
		}
		for i := range 9 { // every flipped bit of the body is found
			b := []byte("123456789" + want + "\r\n")
			b[i] ^= 1 << (i % 6)
			if plates, errs, _ := all(t, cfg, b); len(plates) != 0 || errs != 1 {
				t.Errorf("%s: bit %d: %v, %d errors", kind, i, plates, errs)
			}
		}
	}
	if plates, _, _ := all(t, form("nedap-raw", Config{Checksum: "xor"}), []byte("AB\x03\r\n")); len(plates) != 1 {
		t.Error("xor byte")
	}
}

func TestBadConfigurations(t *testing.T) {
	for _, c := range []Config{{}, {End: "\n"}, {End: "\n", Fields: []string{"plate", "camera:2"}},
		{End: "\n", Fields: []string{"plate:0"}}, form("axxon", Config{Zone: "Mars/Olympus"}),
		{End: "\n", Fields: []string{"plate:8:"}}, {End: "\n", Fields: []string{"plate:8:xy"}}, {End: "\n", Fields: []string{"plate:8:0"}},
		form("axxon", Config{ChecksumEnd: true}), {Silence: time.Second, Fields: []string{"plate"}, Checksum: "xor", ChecksumEnd: true},
		form("axxon", Config{Ack: "6"}), form("axxon", Config{Ack: "{id}"}), form("axxon", Config{Ack: "{seq}"}), form("axxon", Config{Nak: "{seq}"}),
		form("axxon", Config{Ack: strings.Repeat("06", 65)})} {
		closed := &pipe{}
		if _, err := Open(t.Context(), closed, c); err == nil || !closed.closed {
			t.Errorf("%+v: %v, closed %t", c, err, closed.closed)
		}
	}
}

// pipe is a port fed by a channel; silence is 0, nil, as a serial port gives.
type pipe struct {
	in     chan []byte
	closed bool
}

func (p *pipe) Read(b []byte) (int, error) {
	select {
	case in, ok := <-p.in:
		if !ok {
			return 0, port.ErrGone
		}
		return copy(b, in), nil
	case <-time.After(100 * time.Millisecond):
		return 0, nil
	}
}
func (p *pipe) Write(b []byte) (int, error) { return len(b), nil }
func (p *pipe) Close() error                { p.closed = true; return nil }

// play runs a reader on a pipe in virtual time and gives what it read.
func play(t *testing.T, cfg Config, act func(say func(string))) (got []string, c devices.Counters, err error) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{in: make(chan []byte, 64)}
		cfg.Name, cfg.Role = "front", devices.RolePlateFront
		r, openErr := Open(t.Context(), p, cfg)
		if openErr != nil {
			t.Fatal(openErr)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for read, e := range r.Reads(t.Context()) {
				if err = e; e == nil {
					got = append(got, read.Plate.Text.Reveal())
				}
			}
		}()
		act(func(s string) { p.in <- []byte(s); synctest.Wait() })
		close(p.in)
		<-done
		c = r.Counters()
	})
	return got, c, err
}

func TestSamePlateWithinTheWindowIsOneReport(t *testing.T) {
	got, c, err := play(t, form("csv-generic", Config{}), func(say func(string)) {
		say("x,AAA,80,c\n")
		say("x,AAA,80,c\nx,AAA,70,c\n")
		say("x,AAA,90,c\n") // surer
		say("x,BBB,90,c\nx,AAA,90,c\n")
		time.Sleep(11 * time.Second)
		say("x,AAA,90,c\n")
	})
	if strings.Join(got, " ") != "AAA AAA BBB AAA" || c.Frames != 7 || !errors.Is(err, port.ErrGone) {
		t.Errorf("%v %+v %v", got, c, err)
	}
}

func TestHeartbeatsThatStop(t *testing.T) {
	_, c, err := play(t, form("nedap-raw", Config{Heartbeat: "ALIVE"}), func(say func(string)) {
		say("ALIVE\r\n")
		time.Sleep(29 * time.Second)
		say("ALIVE\r\n")
		time.Sleep(40 * time.Second)
	})
	if !errors.Is(err, ErrSilent) || c.Frames != 2 || c.Timeouts != 1 {
		t.Errorf("%+v %v", c, err)
	}
}

// A camera's heartbeats may come more often than every 30 s, and are missed sooner.
func TestQuiet(t *testing.T) {
	var told time.Duration
	_, _, err := play(t, form("nedap-raw", Config{Heartbeat: "ALIVE", Quiet: 3 * time.Second, Health: func(Fault) {}}), func(say func(string)) {
		for range 60 {
			say("ALIVE\r\n")
			time.Sleep(time.Second)
		}
		from := time.Now()
		time.Sleep(2100 * time.Millisecond) // 3.1 s after the last
		synctest.Wait()
		told = time.Since(from)
	})
	if !errors.Is(err, ErrSilent) || told > 3*time.Second {
		t.Errorf("%v after %v", err, told)
	}
}

// A report that pauses for a second was cut off; the next one is whole.
func TestCutAtEveryByte(t *testing.T) {
	whole := "\x022026070412345601ABCD123\x03"
	for cut := 1; cut < len(whole); cut++ {
		got, _, _ := play(t, form("axxon", Config{}), func(say func(string)) {
			say(whole[:cut])
			time.Sleep(2 * time.Second)
			say(strings.ReplaceAll(whole, "ABCD", "NEXT"))
		})
		if strings.Join(got, " ") != "NEXT123" {
			t.Errorf("cut at %d: %v", cut, got)
		}
	}
}

func TestOverAPTY(t *testing.T) {
	far, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	p, err := port.Open(t.Context(), port.Spec{Path: path, Baud: 9600})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), p, form("axxon", Config{Name: "front", Role: devices.RolePlateFront}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(far, "babble\x03\x00\xff\x022026070412345601ABCD123\x03"); err != nil {
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
		if n++; read.Plate.Text != "ABCD123" || read.Device != "front" || read.Role != devices.RolePlateFront {
			t.Errorf("%+v", read)
		}
		if err := far.Close(); err != nil { // the plug is pulled
			t.Fatal(err)
		}
	}
	if n != 1 {
		t.Errorf("%d reads", n)
	}
}

func TestReadsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Open(ctx, &pipe{in: make(chan []byte)}, form("axxon", Config{}))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for _, err := range r.Reads(ctx) {
		if !errors.Is(err, context.Canceled) && err != nil {
			t.Error(err)
		}
		break
	}
}

// fuzzed are configurations for every way to frame, with a whole report each.
var fuzzed = []struct {
	name, good string
	cfg        Config
}{
	{"axxon", "\x022026070412345601ZZZ\x03", form("axxon", Config{})},
	{"nedap-raw", "ZZZ\r\n", form("nedap-raw", Config{})},
	{"lumo", "ZZZ;ON;1;x\r\n", form("lumo", Config{})},
	{"csv-generic", "x,ZZZ,1,c\n", form("csv-generic", Config{})},
	{"bare", "\x02ZZZZ\x03", Config{Start: "\x02", End: "\x03", Fields: []string{"plate"}, Checksum: bareCheck}},
	{"silence", "ZZZ", Config{Silence: time.Millisecond, Fields: []string{"plate"}, Charset: "latin-1", MaxLength: 4096}},
	{"over the end", "\x02ZZZ\x03Y", Config{Start: "\x02", End: "\x03", Fields: []string{"plate"}, Checksum: bareCheck, ChecksumEnd: true}},
	{"crc over the end", "ZZZ\r\n51EE", Config{End: "\r\n", Fields: []string{"plate"}, Checksum: "crc16-ibm", ChecksumEnd: true}},
	{"crc", "$$ZZZ83C4##", Config{Start: "$$", End: "##", Fields: []string{"plate"}, Checksum: "crc16-xmodem", Charset: "utf-8"}},
}

func FuzzFrame(f *testing.F) {
	for _, c := range fuzzed {
		f.Add(c.name, []byte(c.good))
	}
	f.Add("axxon", []byte("\x022026070412345601ABCD123\x03"))
	f.Add("nedap-raw", []byte("46HVR9-NLD\r\nNOREAD\r\n"))
	f.Add("bare", []byte("\x02AB\x03\x03\x02AC\x02\x03"))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		for _, c := range fuzzed {
			if c.name == name {
				fuzz(t, c.cfg, b, c.good)
			}
		}
	})
}

func fuzz(t *testing.T, cfg Config, b []byte, good string) {
	devicestest.Frugal(t, func() (frames int) {
		ps := parserOf(t, cfg)
		fr := ps.framer()
		fr.feed(b, time.Time{}, func(r []byte, _ time.Time) {
			frames++
			_, _, _ = ps.parse(r)
		})
		return frames
	})
	plates, _, _ := all(t, cfg, b)
	for _, p := range plates {
		if len(p.Text) > 4*plateMost || len(p.Camera) > cameraMost || len(p.Jurisdiction) > 3 || p.Confidence > 1 || p.NoRead != (p.Text == "") {
			t.Errorf("%+v", p)
		}
	}
	// Byte by byte or at once is the same.
	ps := parserOf(t, cfg)
	fr, n := ps.framer(), 0
	count := func(r []byte, _ time.Time) {
		if _, beat, err := ps.parse(r); err == nil && !beat {
			n++
		}
	}
	for i := range b {
		fr.feed(b[i:i+1], time.Time{}, count)
	}
	if ps.cfg.End == "" {
		fr.quiet(count)
	}
	if n != len(plates) || cap(fr.buf) > 4*(ps.cfg.MaxLength+8) {
		t.Errorf("%d plates one by one, %d at once; %d bytes held", n, len(plates), cap(fr.buf))
	}
	// After any noise and a silence, a whole report is read.
	fr.quiet(func([]byte, time.Time) {})
	n = 0
	read := func(r []byte, _ time.Time) {
		if p, _, err := ps.parse(r); err == nil && p.Text == "ZZZ" {
			n++
		}
	}
	fr.feed([]byte(good), time.Time{}, read)
	fr.quiet(read)
	if n != 1 {
		t.Errorf("not resynchronised after %q", b)
	}
}

func BenchmarkCodec(b *testing.B) {
	report := []byte("\x022026070412345601ABCD123\x03")
	cfg, err := form("axxon", Config{}).complete()
	if err != nil {
		b.Fatal(err)
	}
	p, err := newParser(cfg)
	if err != nil {
		b.Fatal(err)
	}
	f := p.framer()
	devicestest.Codec(b, report, func(wire []byte) {
		f.feed(wire, time.Time{}, func(r []byte, _ time.Time) { _, _, _ = p.parse(r) })
	})
}
