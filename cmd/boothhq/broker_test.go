package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/test/freeport"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// mosquitto is the real broker under configs/hq, in a folder of its own.
type mosquitto struct {
	t   *testing.T
	dir string
	url string
	ca  *issuer

	process *exec.Cmd
	gone    chan struct{} // closed when the process has ended
}

// newMosquitto lays out certificates and configuration and starts the broker.
func newMosquitto(t *testing.T) *mosquitto {
	t.Helper()
	m := &mosquitto{t: t, dir: t.TempDir()}
	m.ca = newCA(t, m.dir)
	m.ca.issue(t, "broker")
	port := freePort(t)
	m.url = fmt.Sprintf("ssl://127.0.0.1:%d", port)
	conf, err := os.ReadFile("../../configs/hq/mosquitto.conf")
	if err != nil {
		t.Fatal(err)
	}
	acl, err := filepath.Abs("../../configs/hq/acl")
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	text := string(conf)
	for from, to := range map[string]string{
		"listener 8883 ":           fmt.Sprintf("listener %d ", port),
		"/etc/mosquitto/tls/":      m.dir + "/",
		"/etc/mosquitto/booth.acl": acl,
		"/var/lib/mosquitto/":      m.dir + "/",
	} {
		if !strings.Contains(text, from) {
			t.Fatalf("mosquitto.conf has no %q", from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	// The broker gives up root for another user, who cannot read here.
	m.write("mosquitto.conf", text+"user "+me.Username+"\n")
	m.start()
	t.Cleanup(func() { m.kill() })
	return m
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (m *mosquitto) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// start starts the broker and waits until it says that it runs.
func (m *mosquitto) start() {
	m.t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program = "/usr/sbin/mosquitto" // where Debian puts it, which is on root's path alone
	}
	m.process = exec.Command(program, "-c", filepath.Join(m.dir, "mosquitto.conf"))
	out, err := m.process.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.process.Start(); err != nil {
		m.t.Fatalf("%v; .ci/setup installs mosquitto", err)
	}
	running, gone := make(chan struct{}), make(chan struct{})
	m.gone = gone
	go func(p *exec.Cmd) {
		defer close(gone)
		lines, said := bufio.NewScanner(out), false
		for lines.Scan() {
			if strings.HasSuffix(lines.Text(), " running") && !said {
				close(running)
				said = true
			}
			if strings.Contains(lines.Text(), "Error") {
				m.t.Logf("mosquitto: %s", lines.Text())
			}
		}
		_, _ = io.Copy(io.Discard, out)
		_ = p.Wait() // it is killed: no exit code to ask for
	}(m.process)
	select {
	case <-running:
	case <-gone:
		m.t.Fatal("mosquitto ended at once")
	}
}

// kill ends the broker as a power cut would.
func (m *mosquitto) kill() {
	if err := m.process.Process.Kill(); err == nil {
		<-m.gone
	}
}

// forget kills the broker with all it has kept.
func (m *mosquitto) forget() error {
	m.kill()
	if err := os.Remove(filepath.Join(m.dir, "mosquitto.db")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// lose does so and starts another in its place.
func (m *mosquitto) lose() {
	m.t.Helper()
	if err := m.forget(); err != nil {
		m.t.Fatal(err)
	}
	m.start()
}

// connect opens a connection as the certificate of a name says, whatever
// client id it gives. Every message that comes goes into the channel, in order.
func (m *mosquitto) connect(name, id string) (mqtt.Client, chan mqtt.Message) {
	m.t.Helper()
	in := make(chan mqtt.Message, 1000)
	o := mqtt.NewClientOptions().AddBroker(m.url).SetClientID(id).SetTLSConfig(m.ca.client(m.t, name)).SetProtocolVersion(4)
	o.SetAutoReconnect(false).SetDefaultPublishHandler(func(_ mqtt.Client, msg mqtt.Message) { in <- msg })
	c := mqtt.NewClient(o)
	wait(m.t, c.Connect())
	m.t.Cleanup(func() { c.Disconnect(0) })
	return c, in
}

// wait waits for the broker's answer.
func wait(t *testing.T, tok mqtt.Token) {
	t.Helper()
	select {
	case <-tok.Done():
		if err := tok.Error(); err != nil {
			t.Fatal(err)
		}
	case <-t.Context().Done():
		t.Fatal("no answer from the broker")
	}
}

// issuer is who signs certificates.
type issuer struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T, dir string) *issuer {
	t.Helper()
	ca := &issuer{dir: dir}
	var err error
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	ca.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca.cert, ca.cert, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", der)
	return ca
}

// issue writes NAME.pem and NAME.key.
func (ca *issuer) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca.cert, own.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(ca.dir, name+".pem"), filepath.Join(ca.dir, name+".key")
	writePEM(t, cert, "CERTIFICATE", der)
	writePEM(t, key, "PRIVATE KEY", private)
	return cert, key
}

// client gives the settings of a caller with a certificate of its name.
func (ca *issuer) client(t *testing.T, name string) *tls.Config {
	t.Helper()
	c := brokerFlags{callerFlags: callerFlags{CA: filepath.Join(ca.dir, "ca.pem")}}
	c.Cert, c.Key = ca.issue(t, name)
	cfg, err := c.tls(nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
