package uplink

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"boothd/agent/contract"
)

// byteConn gives its bytes in pieces of the given size.
type byteConn struct {
	net.Conn
	r     io.Reader
	piece int
}

func (c *byteConn) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.piece)]) }

func TestBoundedConn(t *testing.T) {
	packet := func(n int) []byte {
		b := []byte{0x30}
		for rest := n; ; {
			digit := byte(rest & 0x7f)
			if rest >>= 7; rest == 0 {
				b = append(b, digit)
				break
			}
			b = append(b, digit|0x80)
		}
		return append(b, make([]byte, n)...)
	}
	stream := bytes.Join([][]byte{packet(0), packet(127), packet(128), packet(contract.MaxPacket), packet(3)}, nil)
	for _, piece := range []int{1, 3, 4096} {
		got, err := io.ReadAll(newBoundedConn(&byteConn{r: bytes.NewReader(stream), piece: piece}))
		if err != nil || !bytes.Equal(got, stream) {
			t.Errorf("pieces of %d: %d of %d bytes, %v", piece, len(got), len(stream), err)
		}
		bad := append(bytes.Clone(stream), packet(contract.MaxPacket+1)...)
		if _, err := io.ReadAll(newBoundedConn(&byteConn{r: bytes.NewReader(bad), piece: piece})); err == nil {
			t.Errorf("pieces of %d: a packet over the limit came through", piece)
		}
	}
	if _, err := io.ReadAll(newBoundedConn(&byteConn{r: bytes.NewReader([]byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x80}), piece: 9})); err == nil {
		t.Error("a length without end came through")
	}
}

func TestWait(t *testing.T) {
	cfg := Config{BackoffFirst: backoffFirst, BackoffMost: backoffMost, TwinPause: twinPause}
	var w wait
	for i := range 12 {
		most := min(time.Minute, time.Second<<i)
		if got, _ := w.after(cfg, 0, false); got <= 0 || got > most {
			t.Errorf("pause %d = %v, want at most %v", i+1, got, most)
		}
	}
	if got, _ := w.after(cfg, time.Hour, false); got > time.Second {
		t.Errorf("pause after an hour of health = %v, want at most 1 s", got)
	}
	if got, _ := w.after(cfg, time.Second, false); got > 2*time.Second {
		t.Errorf("pause after one early end = %v, want a short one: links flap", got)
	}
	if got, _ := w.after(cfg, time.Second, false); got < cfg.TwinPause/2 {
		t.Errorf("pause after two early ends = %v, want at least %v", got, cfg.TwinPause/2)
	}
	w = wait{}
	for i, want := range []bool{false, false, true, false, false, true} {
		if _, next := w.after(cfg, 0, false); next != want {
			t.Errorf("failure %d: next broker = %v, want %v", i+1, next, want)
		}
	}
	if _, next := new(wait).after(cfg, 0, true); !next {
		t.Error("a broker that does not answer is tried again first")
	}
}

func TestAir(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	a := newAir()
	for n := range 6 {
		a.sent(7, now, time.Minute)
		pause := min(resendMost, time.Minute<<n)
		if _, due := a.due(now.Add(pause)); due {
			t.Errorf("try %d: due without PUBACK, on the same connection", n+1)
		}
		a.acked(7)
		if _, due := a.due(now.Add(pause - 1)); due {
			t.Errorf("try %d: due before %v", n+1, pause)
		}
		now = now.Add(pause)
		if seq, due := a.due(now); !due || seq != 7 {
			t.Errorf("try %d: not due after %v", n+1, pause)
		}
	}
	a.sent(8, now, time.Minute)
	a.lost()
	if !a.aloft(7) || a.aloft(8) {
		t.Errorf("after the line was lost: 7 aloft %v, 8 aloft %v, want only the one with PUBACK", a.aloft(7), a.aloft(8))
	}
	a.hold(now.Add(time.Hour))
	if _, due := a.due(now.Add(time.Hour - 1)); due {
		t.Error("due while it was put off")
	}
	a.receipted(contract.Receipt{Upto: 6, Have: [][2]uint64{{7, 7}}})
	if a.aloft(7) {
		t.Error("in the air after its receipt")
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"list/v1/#", "list/v1/tuf/root/1", true}, {"list/v1/#", "list/v2/x", false}, {"fleet/v1/notice", "fleet/v1/notice", true},
		{"fleet/v1/notice", "fleet/v1", false}, {"a/+/c", "a/b/c", true}, {"a/+/c", "a/b/d", false}, {"a/+", "a/b/c", false},
	} {
		if got := matches(c.filter, c.topic); got != c.want {
			t.Errorf("matches(%q, %q) = %v, want %v", c.filter, c.topic, got, c.want)
		}
	}
}

func TestABrokenCounterIsNotStartedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conn")
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := ConnFile(path)(); err == nil {
		t.Errorf("ConnFile = %d from garbage, want an error", n)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"bad booth":  {Booth: "Pac Hwy", Brokers: []string{"tcp://a:1"}},
		"no broker":  {Booth: "pac-1"},
		"no port":    {Booth: "pac-1", Brokers: []string{"ssl://a"}},
		"no TLS":     {Booth: "pac-1", Brokers: []string{"ssl://a:8883"}},
		"websockets": {Booth: "pac-1", Brokers: []string{"ws://a:80"}},
	} {
		if _, err := New(cfg, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
