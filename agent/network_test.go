package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent/status"
	"boothd/configs"
	"boothd/devices/llrp"
	"boothd/devices/webhook"
)

// issued is a certificate that is its own authority, in files of PEM.
type issued struct {
	tls.Certificate
	cert, key, fingerprint string
}

func issue(t *testing.T, dir, name string) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	c := issued{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"), hex.EncodeToString(sum[:])}
	for path, block := range map[string]*pem.Block{c.cert: {Type: "CERTIFICATE", Bytes: der}, c.key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// client trusts a certificate and shows others.
func client(trusts issued, shows ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	if leaf, err := x509.ParseCertificate(trusts.Certificate.Certificate[0]); err == nil {
		pool.AddCert(leaf)
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: shows}}}
}

const cameraToken = "a-token-of-the-front-camera"

// posting makes the front camera of a rig one that posts, and plays it.
func (r *rig) posting(scheme string) *webhook.Camera {
	r.t.Helper()
	token := filepath.Join(r.dir, "front.token")
	if err := os.WriteFile(token, []byte(cameraToken+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	i := slices.IndexFunc(r.cfg.Devices, func(d configs.Device) bool { return d.Role == configs.RolePlateFront })
	d := &r.cfg.Devices[i]
	name := d.Name
	*d, _ = Drivers.Device("webhook", "plate-recognizer")
	d.Name, d.Role, d.Token, d.Window = name, configs.RolePlateFront, configs.Ref(token), configs.Duration{Duration: 10 * time.Second}
	d.Path = configs.Port(scheme + "://127.0.0.1:" + freePort(r.t) + "/front")
	return &webhook.Camera{URL: string(d.Path), Token: cameraToken}
}

func (r *rig) front() *configs.Device {
	return &r.cfg.Devices[slices.IndexFunc(r.cfg.Devices, func(d configs.Device) bool { return d.Role == configs.RolePlateFront })]
}

// seen gives the front camera as the booth shows it.
func (r *rig) seen(p status.Picture) status.Device {
	i := slices.IndexFunc(p.Devices, func(d status.Device) bool { return d.Name == r.front().Name })
	if i < 0 {
		return status.Device{}
	}
	return p.Devices[i]
}

// A plate that a camera posts over TLS is the plate of the vehicle at the booth;
// strangers, other certificates and clear text bring nothing.
func TestPostedPlateIsAPassages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cam := r.posting("https")
	box, lens, other := issue(t, r.dir, "box"), issue(t, r.dir, "lens"), issue(t, r.dir, "other")
	d := r.front()
	d.Cert, d.Key, d.CA = configs.Ref(box.cert), configs.Ref(box.key), configs.Ref(lens.cert)
	stop := r.run()
	r.await("online", func(p status.Picture) bool { return r.seen(p).Online })
	r.set("booth_loop", true)
	r.await("at_booth", func(p status.Picture) bool { return p.Lane.State == "at_booth" })
	for name, c := range map[string]*webhook.Camera{
		"no certificate":      {URL: cam.URL, Token: cam.Token, Client: client(box)},
		"another certificate": {URL: cam.URL, Token: cam.Token, Client: client(box, other.Certificate)},
		"another token":       {URL: cam.URL, Token: cam.Token + "x", Client: client(box, lens.Certificate)},
		"in clear":            {URL: "http" + strings.TrimPrefix(cam.URL, "https"), Token: cam.Token, Client: client(box)},
		"another booth":       {URL: cam.URL, Token: cam.Token, Client: client(other, lens.Certificate)},
	} {
		if err := c.Plate(t.Context(), "EVIL666", "on", 1); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	p := r.await("told of strangers", func(p status.Picture) bool { return strings.Contains(r.seen(p).Reason, "token") })
	if !r.seen(p).Online || p.Lane.Plate != status.PlateNone {
		t.Errorf("%+v, plate %q", r.seen(p), p.Lane.Plate)
	}
	cam.Client = client(box, lens.Certificate)
	if err := cam.Plate(t.Context(), "ABC123", "on", 0.95); err != nil {
		t.Fatal(err)
	}
	r.await("read", func(p status.Picture) bool { return p.Lane.Plate == status.PlateRead })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, secret := range []string{"ABC123", "EVIL666", cameraToken} { // I7
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

// A camera that falls silent is offline, and back within 3 s of its first word.
func TestPostingCameraFallsSilent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cam := r.posting("http")
	r.front().Own.(*webhook.Settings).Quiet = time.Second
	stop := r.run()
	r.await("waiting for it", func(p status.Picture) bool { return p.Devices[0].Online && !r.seen(p).Online })
	var back []time.Duration
	for range 3 {
		var heard time.Time
		for end := time.Now().Add(30 * time.Second); heard.IsZero() && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if err := cam.Beat(t.Context()); err == nil { // refused until it listens again
				heard = time.Now()
			}
		}
		r.await("back", func(p status.Picture) bool { return r.seen(p).Online })
		back = append(back, time.Since(heard))
		p := r.await("silent", func(p status.Picture) bool { return !r.seen(p).Online })
		if !strings.Contains(r.seen(p).Reason, webhook.ErrSilent.Error()) {
			t.Errorf("offline for %q", r.seen(p).Reason)
		}
	}
	slices.Sort(back)
	if back[1] > 3*time.Second { // of three, as others may hold this box up
		t.Errorf("online %v after its first word", back)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A reader behind TLS is believed by its authority, its fingerprint or both, and
// not for having one of two.
func TestReaderBehindTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reader, other := issue(t, dir, "reader"), issue(t, dir, "other")
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{reader.Certificate}})
	if err != nil {
		t.Fatal(err)
	}
	s := &llrp.Sim{}
	go func() { _ = s.Accept(l) }() // ends with the listener
	t.Cleanup(func() { _ = l.Close() })
	s.Present(llrp.SimTag{EPC: goodCard.Reveal(), RSSIDBm: -50, Antenna: 1})
	r := newRig(t)
	for _, c := range []struct {
		name            string
		ca, fingerprint string
		believed        bool
	}{
		{"authority", reader.cert, "", true},
		{"fingerprint", "", reader.fingerprint, true},
		{"both", reader.cert, reader.fingerprint, true},
		{"another authority", other.cert, "", false},
		{"another fingerprint", "", other.fingerprint, false},
		{"authority, another fingerprint", reader.cert, other.fingerprint, false},
		{"fingerprint, another authority", other.cert, reader.fingerprint, false},
		{"neither", "", "", false},
		{"a file that is not there", filepath.Join(dir, "none"), "", false},
		{"a file without certificates", reader.key, "", false},
	} {
		d := configs.Device{Name: "portal", Role: configs.RoleCard, Driver: "llrp", Own: &llrp.Settings{}, Path: configs.Port("tls://" + l.Addr().String()),
			CA: configs.Ref(c.ca), Fingerprint: configs.Fingerprint(c.fingerprint)}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		got, err := OpenDevice(ctx, r.world, d, Place{}, func(error) {})
		for err != nil && strings.Contains(err.Error(), "another client") && ctx.Err() == nil { // it has not noticed yet that the last one left
			time.Sleep(20 * time.Millisecond)
			got, err = OpenDevice(ctx, r.world, d, Place{}, func(error) {})
		}
		if (err == nil) != c.believed {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			for read, err := range got.Reads(ctx) {
				if err != nil || read.Tag == nil || read.Tag.EPC != goodCard {
					t.Errorf("%s: read %+v, %v", c.name, read, err)
				}
				break
			}
			_ = got.Close() // the reader is not told goodbye
		}
		cancel()
	}
}

// What is wrong with a device that goes on is told for as long as it is so: the
// counters, which come later, do not take it away, and a good report does.
func TestFaultStaysTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run()
	r.await("online", func(p status.Picture) bool { return r.seen(p).Online })
	bad := func(n int) {
		for range n {
			if err := r.camera.Raw([]byte("neither;a;plate\r\n")); err != nil {
				t.Fatal(err)
			}
		}
	}
	bad(3)
	r.await("at fault", func(p status.Picture) bool { return r.seen(p).Reason != "" })
	bad(1)
	p := r.await("counted", func(p status.Picture) bool { return r.seen(p).Counts.CheckErrors == 4 })
	if d := r.seen(p); !d.Online || !strings.Contains(d.Reason, "another format") {
		t.Errorf("%+v", d)
	}
	if err := r.camera.Plate("ABC123", "ON", 0.9); err != nil {
		t.Fatal(err)
	}
	r.await("sound", func(p status.Picture) bool { return r.seen(p).Reason == "" })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
