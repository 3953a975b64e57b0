package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// inOwnNetwork runs a test once more in a process that has a network of its own,
// in which it may do everything; here tells whether this is that process. No
// packet leaves it.
func inOwnNetwork(t *testing.T) (here bool) {
	t.Helper()
	if !inOwn(t, "network", syscall.CLONE_NEWNET) {
		return false
	}
	command(t, "ip", "link", "set", "lo", "up")
	return true
}

// inOwn runs a test once more in a process that has a namespace of its own; here
// tells whether this is that process.
func inOwn(t *testing.T, what string, flag uintptr) (here bool) {
	t.Helper()
	const mark = "BOOTHD_TEST_NAMESPACE"
	if os.Getenv(mark) != "" {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1", programsEnv+"="+programs)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flag | syscall.CLONE_NEWUSER, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("the kernel gives no %s namespace, which this test needs (as root, or with user namespaces): %v", what, err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// command runs a tool of the system to its end.
func command(t *testing.T, line ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), line[0], line[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", line, err, out) // .ci/setup installs it
	}
}

// wire is a way between this process and a booth over a router that can be told
// to lose packets. Each of the three has a network namespace of its own.
type wire struct {
	t             *testing.T
	router, booth []string // the command that runs another in it
	lost          []string // addresses to which nothing comes through
}

// The ends of the wire.
const (
	centerIP = "10.77.1.2"
	boothIP  = "10.77.2.2"
)

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{t: t}
	pids := [2]string{}
	for i := range pids {
		hold := exec.Command("sleep", "infinity") // a namespace lives as long as somebody is in it
		hold.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if err := hold.Start(); err != nil {
			t.Fatalf("a network namespace: %v", err)
		}
		t.Cleanup(func() {
			_ = hold.Process.Kill()
			_ = hold.Wait()
		})
		pids[i] = strconv.Itoa(hold.Process.Pid)
	}
	in := func(pid string) []string { return []string{"nsenter", "--net=/proc/" + pid + "/ns/net"} }
	w.router, w.booth = in(pids[0]), in(pids[1])
	do := func(in []string, line ...string) { t.Helper(); command(t, append(in[:len(in):len(in)], line...)...) }
	do(nil, "ip", "link", "add", "hq", "type", "veth", "peer", "name", "to-hq")
	do(nil, "ip", "link", "set", "to-hq", "netns", pids[0])
	do(w.router, "ip", "link", "add", "to-booth", "type", "veth", "peer", "name", "uplink")
	do(w.router, "ip", "link", "set", "uplink", "netns", pids[1])
	for _, end := range []struct {
		in        []string
		dev, addr string
	}{{nil, "hq", centerIP}, {w.router, "to-hq", "10.77.1.1"}, {w.router, "to-booth", "10.77.2.1"}, {w.booth, "uplink", boothIP}} {
		do(end.in, "ip", "addr", "add", end.addr+"/24", "dev", end.dev)
		do(end.in, "ip", "link", "set", end.dev, "up")
	}
	do(w.booth, "ip", "link", "set", "lo", "up")
	do(nil, "ip", "route", "add", "10.77.2.0/24", "via", "10.77.1.1")
	do(w.booth, "ip", "route", "add", "default", "via", "10.77.2.1")
	do(w.router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	return w
}

// lose lets the router drop what goes to the addresses from now on, and tell
// nobody: no reset, no word that they are out of reach. Without one all comes
// through again.
func (w *wire) lose(to ...string) {
	w.t.Helper()
	for _, addr := range w.lost {
		command(w.t, append(w.router[:len(w.router):len(w.router)], "ip", "route", "del", "blackhole", addr+"/32")...)
	}
	for _, addr := range to {
		command(w.t, append(w.router[:len(w.router):len(w.router)], "ip", "route", "add", "blackhole", addr+"/32")...)
	}
	w.lost = to
}

// certifier signs certificates.
type certifier struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	ca   string // its file
}

func newCertifier(t *testing.T) *certifier {
	t.Helper()
	a := &certifier{t: t, dir: t.TempDir()}
	a.cert, a.key, a.ca, _ = a.issue("test CA", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue makes a certificate, its own authority if there is none yet, in files.
func (a *certifier) issue(name string, form *x509.Certificate) (_ *x509.Certificate, _ *ecdsa.PrivateKey, cert, key string) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	form.SerialNumber, form.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	form.NotBefore, form.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = form, private
	}
	der, err := x509.CreateCertificate(crand.Reader, form, parent, private.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return made, private, cert, key
}

// server and client give the files of one.
func (a *certifier) server(ip string) (cert, key string) {
	_, _, cert, key = a.issue("broker", &x509.Certificate{IPAddresses: []net.IP{net.ParseIP(ip)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return cert, key
}

func (a *certifier) client(name string) (cert, key string) {
	_, _, cert, key = a.issue(name, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return cert, key
}

// listener is a port of mosquitto's that takes booths with certificates.
func (a *certifier) listener(ip string, port int) []string {
	cert, key := a.server(ip)
	return []string{fmt.Sprintf("listener %d %s", port, ip), "cafile " + a.ca, "certfile " + cert, "keyfile " + key, "require_certificate true", "use_identity_as_username true"}
}
