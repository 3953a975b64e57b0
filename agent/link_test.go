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
	g.conf = &tls.Config{Certificates: []tls.Certificate{shown.Certificate}, ClientAuth: tls.RequireAnyClientCert, ClientCAs: pool}
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

// The booth's certificate and headquarters' are replaced, one of them half
// written first: the link takes them up, without a restart.
func TestTheLinkTakesUpRenewedCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &guard{Listener: l, came: make(chan []byte, 1)}
	t.Cleanup(func() { _ = l.Close() })
	oldHQ, oldBooth, newHQ, newBooth := issue(t, dir, "hq"), issue(t, dir, "booth"), issue(t, dir, "hq-2"), issue(t, dir, "booth-2")
	g.change(t, oldHQ, oldBooth)
	go g.serve()
	at := func(name string) string { return filepath.Join(dir, name) }
	place := func(name, from string) {
		b, err := os.ReadFile(from)
		if err = errors.Join(err, os.WriteFile(at(name), b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	place("ca", oldHQ.cert)
	place("cert", oldBooth.cert)
	place("key", oldBooth.key)

	b := &booth{cfg: &configs.Config{}, bulletin: &bulletin{}, log: slog.New(slog.DiscardHandler), time: newTimekeeper(World{
		Mono: func() time.Duration { return 0 }, Clock: func() (passage.Clock, time.Duration) { return passage.ClockSynced, 0 }}, "host")}
	b.world.Secret = func(ref configs.Ref) ([]byte, error) { return os.ReadFile(string(ref)) }
	b.cfg.MQTT = configs.MQTT{Brokers: []configs.Broker{configs.Broker("ssl://" + l.Addr().String())}, CA: configs.Ref(at("ca")), Cert: configs.Ref(at("cert")), Key: configs.Ref(at("key"))}
	conf, err := b.tls()
	if err != nil {
		t.Fatal(err)
	}
	u, err := uplink.New(uplink.Config{Booth: "lane-1", Brokers: []string{"ssl://" + l.Addr().String()}, TLS: conf, Renew: b.tls, Dial: new(net.Dialer).DialContext,
		Conn: func() (uint64, error) { return 1, nil }, State: func() contract.State { return contract.State{} }, Log: b.log,
		BackoffFirst: time.Millisecond, BackoffMost: 10 * time.Millisecond}, uplinktest.NewMemory("e"))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = u.Run(t.Context()) }) // ctx's error, and no other
	t.Cleanup(running.Wait)
	g.comes(t, oldBooth)
	if err := os.WriteFile(at("cert"), []byte("-----BEGIN CERTI"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.comes(t, oldBooth)
	g.comes(t, oldBooth) // the one before may have been called for earlier
	place("cert", newBooth.cert)
	place("key", newBooth.key)
	g.comes(t, newBooth)
	place("ca", newHQ.cert)
	g.change(t, newHQ, newBooth)
	g.comes(t, newBooth)
	g.comes(t, newBooth)
}
