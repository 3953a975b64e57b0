package line

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/url"
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

// A name in CONNECT is one that a password may be asked for: where a certificate
// gives it, none is said.
func TestWhoIsNamedInConnect(t *testing.T) {
	shown := &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil }}
	for _, tt := range []struct {
		broker, user, password string
		tls                    *tls.Config
		want                   string
	}{
		{"tcp://hq:1883", "lane-1", "", nil, "lane-1"},
		{"ssl://hq:8883", "lane-1", "", new(tls.Config), "lane-1"},
		{"ssl://hq:8883", "lane-1", "", shown, ""},
		{"ssl://hq:8883", "another", "", shown, "another"},
		{"ssl://hq:8883", "lane-1", "secret", shown, "lane-1"},
		{"tcp://hq:1883", "lane-1", "", shown, "lane-1"},
	} {
		at, err := url.Parse(tt.broker)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Config{Broker: at, ClientID: "lane-1", Username: tt.user, Password: tt.password, TLS: tt.tls}).user(); got != tt.want {
			t.Errorf("%+v: CONNECT names %q", tt, got)
		}
	}
}

func TestPause(t *testing.T) {
	var w Pause
	for i := range 12 {
		most := min(time.Minute, 2*time.Second<<i)
		if got, _ := w.After(0, nil); got < time.Second || got > most {
			t.Errorf("pause %d = %v, want 1 s to %v", i+1, got, most)
		}
	}
	if got, _ := w.After(time.Hour, nil); got < time.Second || got > 2*time.Second {
		t.Errorf("pause after an hour of health = %v, want 1 s to 2 s", got)
	}
	if got, _ := w.After(time.Second, nil); got > 4*time.Second || w.Twins() {
		t.Errorf("pause after one early end = %v, want a short one: links flap", got)
	}
	if got, _ := w.After(time.Second, nil); got < twinPause/2 || !w.Twins() {
		t.Errorf("pause after two early ends = %v, want at least %v", got, twinPause/2)
	}
	w = Pause{}
	for i, want := range []bool{false, false, true, false, false, true} {
		if _, next := w.After(0, nil); next != want {
			t.Errorf("failure %d: next broker = %v, want %v", i+1, next, want)
		}
	}
	if _, next := new(Pause).After(0, ErrNoConnack); !next {
		t.Error("a broker that does not answer is tried again first")
	}
}

// FuzzBounded: in whatever pieces a stream comes, its packets are passed on as
// they are, and none that is announced as larger than the limit.
func FuzzBounded(f *testing.F) {
	f.Add([]byte{0x40, 2, 0, 1, 0xD0, 0, 0x30, 0x80, 0x01}, uint8(1))
	f.Add(append([]byte{0x30, 0x80, 0x80, 0x10}, make([]byte, 600)...), uint8(200))
	f.Add([]byte{0x30, 0x81, 0x80, 0x10, 'x'}, uint8(3))
	f.Add([]byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x80}, uint8(9))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		passed, giant := 0, false // what the limit lets through, packet by packet
		for rest := stream; len(rest) > 0 && !giant; rest = stream[passed:] {
			length, n := 0, 1
			for ; n < len(rest) && n <= 4; n++ {
				length |= int(rest[n]&0x7F) << (7 * (n - 1))
				if rest[n]&0x80 == 0 {
					break
				}
			}
			giant = length > contract.MaxPacket || n == 5
			passed += min(n+1+length, len(rest))
		}
		got, err := io.ReadAll(newBoundedConn(&byteConn{r: bytes.NewReader(stream), piece: 1 + int(piece)}))
		if (err != nil) != giant {
			t.Fatalf("%v, want an error: %t", err, giant)
		}
		if !bytes.HasPrefix(stream, got) || !giant && len(got) != len(stream) || giant && len(got) >= passed {
			t.Fatalf("%d bytes of %d passed", len(got), len(stream))
		}
	})
}
