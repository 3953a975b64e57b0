package line

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// answered is a camera's end that keeps what it is sent.
type answered struct {
	pipe
	mu   sync.Mutex // the driver writes, the test reads
	sent bytes.Buffer
}

func (a *answered) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sent.Write(b)
}

func (a *answered) heard() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.sent.Reset()
	return a.sent.String()
}

// A camera that waits is answered: every report that was taken, again when it is
// sent again, and one whose checksum is wrong; nothing else, and not before the
// report has been handed on.
func TestAnswers(t *testing.T) {
	numbered := Config{Start: "\x02", End: "\x03", Separator: ",", Fields: []string{"seq", "plate"}, Checksum: "sum-hex",
		Heartbeat: "BEAT", Ack: "02 {seq} 06 03", Nak: "15"}
	plain := form("nedap-raw", Config{Checksum: "sum-hex", Ack: "06", Nak: "15 0D"})
	report := func(body string) string { return body + sumHex(body) }
	for _, c := range []struct {
		name       string
		cfg        Config
		say, wants string
	}{
		{"taken", plain, report("AB1") + "\r\n", "\x06"},
		{"again", plain, report("AB1") + "\r\n" + report("AB1") + "\r\n", "\x06\x06"},
		{"damaged", plain, "AB1FF\r\n", "\x15\r"},
		{"of no use, and whole", plain, report("\xfc") + "\r\n", ""},
		{"no plate", plain, report("NOREAD") + "\r\n", "\x06"},
		{"blank", plain, "\r\n\r\n", ""},
		{"cut off", plain, "AB", ""},
		{"its number", numbered, "\x02" + report("0042,AB1") + "\x03", "\x020042\x06\x03"},
		{"a number of any length", numbered, "\x02" + report(strings.Repeat("7", 100)+",AB1") + "\x03", "\x02" + strings.Repeat("7", answerMost) + "\x06\x03"},
		{"heartbeat", numbered, "\x02BEAT\x03", ""},
		{"nothing set", form("nedap-raw", Config{Checksum: "sum-hex"}), report("AB1") + "\r\nAB1FF\r\n", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &answered{pipe: pipe{in: make(chan []byte, 8)}}
			r, err := Open(t.Context(), p, c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			p.in <- []byte(c.say)
			close(p.in)
			for _, err := range r.Reads(t.Context()) {
				if s := p.heard(); err == nil && s != "" {
					t.Errorf("%s: answered %q before it was taken", c.name, s)
				}
			}
			_ = r.Close()
		})
		synctest.Test(t, func(t *testing.T) {
			p := &answered{pipe: pipe{in: make(chan []byte, 8)}}
			r, err := Open(t.Context(), p, c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			p.in <- []byte(c.say)
			over := make(chan struct{})
			go func() {
				defer close(over)
				for range r.Reads(t.Context()) {
					continue
				}
			}()
			time.Sleep(time.Second)
			synctest.Wait()
			if got := p.heard(); got != c.wants {
				t.Errorf("%s: answered %q, want %q", c.name, got, c.wants)
			}
			close(p.in)
			<-over
		})
	}
}

// What the caller did not take is not answered: the camera sends it again.
func TestNotTakenIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &answered{pipe: pipe{in: make(chan []byte, 8)}}
		r, err := Open(t.Context(), p, form("nedap-raw", Config{Ack: "06"}))
		if err != nil {
			t.Fatal(err)
		}
		p.in <- []byte("AB1\r\nCD2\r\n")
		for range r.Reads(t.Context()) {
			break
		}
		close(p.in)
		for range r.Reads(t.Context()) {
			continue
		}
		if got := p.heard(); got != "" {
			t.Errorf("answered %q", got)
		}
	})
}

func sumHex(body string) string {
	const digits = "0123456789ABCDEF"
	sum := checksum("sum-hex", []byte(body))
	return string([]byte{digits[sum>>4], digits[sum&15]})
}

// A checksum behind the end covers it: whatever its bytes look like, reports are
// told apart, and one that lost it costs no other.
func TestChecksumOverTheEnd(t *testing.T) {
	cfg := Config{Start: "\x02", End: "\x03", Fields: []string{"plate"}, Checksum: bareCheck, ChecksumEnd: true}
	frame := func(body string) string {
		body += "\x03"
		return "\x02" + body + string([]byte{byte(checksum(bareCheck, []byte(body)))})
	}
	sums := map[byte]bool{}
	for a := byte('0'); a <= 'Z'; a++ {
		for b := byte('0'); b <= 'Z'; b++ {
			body := string([]byte{'P', a, b})
			f := frame(body)
			sums[f[len(f)-1]] = true
			plates, errs, dropped := all(t, cfg, []byte(f+frame("NEXT")))
			if len(plates) != 2 || string(plates[0].Text) != body || errs != 0 || dropped != 0 {
				t.Errorf("%q: %v, %d errors, %d dropped", body, plates, errs, dropped)
			}
		}
	}
	if len(sums) < 30 {
		t.Errorf("only %d sums were tried", len(sums))
	}
	for _, c := range []struct {
		name, in string
		want     []string
		errs     int
	}{
		{"its sum is lost", "\x02AB1\x03" + frame("CD2"), []string{"CD2"}, 1},
		{"damaged", "\x02AB1\x03\x00" + frame("CD2"), []string{"CD2"}, 1},
		{"cut off", "\x02AB" + frame("CD2"), []string{"CD2"}, 0},
		{"longest", frame(strings.Repeat("A", 32)), []string{strings.Repeat("A", 32)}, 0},
		{"noise before", "\x03\x03x" + frame("CD2"), []string{"CD2"}, 0},
	} {
		plates, errs, _ := all(t, cfg, []byte(c.in))
		var got []string
		for _, p := range plates {
			got = append(got, string(p.Text))
		}
		if !slices.Equal(got, c.want) || errs != c.errs {
			t.Errorf("%s: %q, %d errors, want %q, %d", c.name, got, errs, c.want, c.errs)
		}
	}
	for kind := range map[string]bool{"xor-hex": true, "sum-hex": true, "twos-hex": true, "crc16-ibm": true, "crc16-ccitt-false": true, "crc16-xmodem": true} {
		cfg := form("nedap-raw", Config{Checksum: kind, ChecksumEnd: true})
		n, err := checkSize(kind)
		if err != nil {
			t.Fatal(err)
		}
		const digits = "0123456789abcdef"
		sum, tail := checksum(kind, []byte("46HVR9-NLD\r\n")), ""
		for i := n - 1; i >= 0; i-- {
			tail += string(digits[sum>>(4*i)&15])
		}
		if plates, errs, _ := all(t, cfg, []byte("46HVR9-NLD\r\n"+tail)); len(plates) != 1 || errs != 0 || plates[0].Text != "46HVR9" {
			t.Errorf("%s: %v, %d errors", kind, plates, errs)
		}
	}
}

// The forms of a camera's date and time, and its scales.
func TestFormsOfDateAndTime(t *testing.T) {
	at := time.Date(2026, 7, 4, 12, 34, 56, 0, time.UTC)
	for _, day := range []string{"20260704", "2026-07-04"} {
		for clock, want := range map[string]time.Time{"123456": at, "12-34-56": at, "12:34:56": at, "12:34:56.250": at.Add(250 * time.Millisecond)} {
			plates, _, _ := all(t, Config{End: "\n", Separator: "\t", Fields: []string{"date", "time", "plate"}}, []byte(day+"\t"+clock+"\tAB1\n"))
			if len(plates) != 1 || !plates[0].DeviceAt.Equal(want) {
				t.Errorf("%s %s: %+v, want %v", day, clock, plates, want)
			}
		}
	}
	for said, want := range map[string]time.Time{"1783168496": at, "1783168496000": at, "0": {}, "-5": {}, "x": {}} {
		plates, _, _ := all(t, Config{End: "\n", Separator: " ", Fields: []string{"epoch", "plate"}}, []byte(said+" AB1\n"))
		if len(plates) != 1 || !plates[0].DeviceAt.Equal(want) {
			t.Errorf("epoch %s: %+v, want %v", said, plates, want)
		}
	}
	for scale, said := range map[int]string{1: "0.5", 100: "50", 1000: "500"} {
		plates, _, _ := all(t, Config{End: "\n", Separator: "|", Fields: []string{"confidence", "plate"}, ConfidenceScale: scale}, []byte(said+"|AB1\n"))
		if len(plates) != 1 || plates[0].Confidence != 0.5 {
			t.Errorf("%s of %d: %+v", said, scale, plates)
		}
	}
}
