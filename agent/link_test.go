package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
	"boothd/configs"
)

// guard is a broker's door: it tells whose certificate came in, and closes.
type guard struct {
	net.Listener
	mu   sync.Mutex // the test changes the guard
	conf *tls.Config
	most uint16      // version of TLS; 0: the newest
	came chan []byte // the caller's certificate
}

// change lets the guard show one certificate and believe another.
func (g *guard) change(t *testing.T, shown, believed issued) {
	t.Helper()
	leaf, err := x509.ParseCertificate(believed.Certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conf = &tls.Config{Certificates: []tls.Certificate{shown.Certificate}, ClientAuth: tls.RequireAnyClientCert, ClientCAs: pool, MaxVersion: g.most}
}

func (g *guard) serve() {
	for {
		c, err := g.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		secure := tls.Server(c, g.conf)
		g.mu.Unlock()
		if secure.Handshake() == nil {
			select {
			case g.came <- secure.ConnectionState().PeerCertificates[0].Raw:
			default:
			}
		}
		_ = secure.Close() // the booth is gone, perhaps
	}
}

// comes waits until somebody has come in with a certificate.
func (g *guard) comes(t *testing.T, who issued) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case raw := <-g.came:
			if string(raw) == string(who.Certificate.Certificate[0]) {
				return
			}
		case <-late:
			t.Fatal("the booth never comes with this certificate")
		}
	}
}

// linked is a booth's link to a guard that shows and believes what lies in a
// folder as ca, cert and key.
func linked(t *testing.T, dir string, g *guard) {
	t.Helper()
	at := func(name string) configs.Ref { return configs.Ref(filepath.Join(dir, name)) }
	b := &booth{cfg: &configs.Config{}, bulletin: &bulletin{}, log: slog.New(slog.DiscardHandler), time: newTimekeeper(World{
		Mono: func() time.Duration { return 0 }, Clock: func() (passage.Clock, time.Duration) { return passage.ClockSynced, 0 }}, "host")}
	b.world.Secret = func(ref configs.Ref) ([]byte, error) { return os.ReadFile(string(ref)) }
	broker := "ssl://" + g.Addr().String()
	b.cfg.MQTT = configs.MQTT{Brokers: []configs.Broker{configs.Broker(broker)}, CA: at("ca"), Cert: at("cert"), Key: at("key")}
	conf, err := b.tls()
	if err != nil {
		t.Fatal(err)
	}
	u, err := uplink.New(uplink.Config{Booth: "lane-1", Brokers: []string{broker}, TLS: conf, Renew: b.tls, Dial: new(net.Dialer).DialContext,
		Conn: func() (uint64, error) { return 1, nil }, State: func() contract.State { return contract.State{} }, Log: b.log,
		BackoffFirst: time.Millisecond, BackoffMost: 10 * time.Millisecond}, uplinktest.NewMemory("e"))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = u.Run(t.Context()) }) // ctx's error, and no other
	t.Cleanup(running.Wait)
}

func newGuard(t *testing.T) *guard {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &guard{Listener: l, came: make(chan []byte, 1)}
}

// place copies a file into a folder.
func place(t *testing.T, dir, name, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), b, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// A broker that knows no newer TLS than 1.2 is spoken to, one that knows 1.1 at
// most is not (mqtt contract; reliability reference, S5).
func TestTheLinkTakesTLS12(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		most  uint16
		comes bool
	}{{tls.VersionTLS13, true}, {tls.VersionTLS12, true}, {tls.VersionTLS11, false}} {
		dir, g := t.TempDir(), newGuard(t)
		g.most = c.most
		hq, booth := issue(t, dir, "hq"), issue(t, dir, "booth")
		g.change(t, hq, booth)
		g.conf.MinVersion = tls.VersionTLS10
		go g.serve()
		place(t, dir, "ca", hq.cert)
		place(t, dir, "cert", booth.cert)
		place(t, dir, "key", booth.key)
		linked(t, dir, g)
		if c.comes {
			g.comes(t, booth)
			continue
		}
		select {
		case <-g.came:
			t.Errorf("the booth comes by %s", tls.VersionName(c.most))
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// The booth's certificate and headquarters' are replaced, one of them half
// written first: the link takes them up, without a restart.
func TestTheLinkTakesUpRenewedCertificates(t *testing.T) {
	t.Parallel()
	dir, g := t.TempDir(), newGuard(t)
	oldHQ, oldBooth, newHQ, newBooth := issue(t, dir, "hq"), issue(t, dir, "booth"), issue(t, dir, "hq-2"), issue(t, dir, "booth-2")
	g.change(t, oldHQ, oldBooth)
	go g.serve()
	place(t, dir, "ca", oldHQ.cert)
	place(t, dir, "cert", oldBooth.cert)
	place(t, dir, "key", oldBooth.key)
	linked(t, dir, g)
	g.comes(t, oldBooth)
	if err := os.WriteFile(filepath.Join(dir, "cert"), []byte("-----BEGIN CERTI"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.comes(t, oldBooth)
	g.comes(t, oldBooth) // the one before may have been called for earlier
	place(t, dir, "cert", newBooth.cert)
	place(t, dir, "key", newBooth.key)
	g.comes(t, newBooth)
	place(t, dir, "ca", newHQ.cert)
	g.change(t, newHQ, newBooth)
	g.comes(t, newBooth)
	g.comes(t, newBooth)
}
