package agent

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"boothd/agent/command"
	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/journal"
	"boothd/configs"
)

// collector is a web server that takes what booths with a certificate put there.
type collector struct {
	*httptest.Server
	mu     sync.Mutex // the server's goroutines write
	put    map[string]string
	answer int // else 201
}

func newCollector(t *testing.T, own, booth issued) *collector {
	t.Helper()
	p := &collector{put: map[string]string{}}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.answer != 0 {
			w.Header().Set("Location", "https://elsewhere/bundles/")
			w.WriteHeader(p.answer)
			return
		}
		all, err := unpacked(r.Body)
		if err != nil || r.Method != http.MethodPut {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		p.put[r.URL.Path] = all
		w.WriteHeader(http.StatusCreated)
	}))
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(booth.Certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	p.TLS = &tls.Config{Certificates: []tls.Certificate{own.Certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// unpacked gives all that an archive holds, names included.
func unpacked(b io.Reader) (string, error) {
	zip, err := gzip.NewReader(b)
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all.String(), nil
		} else if err != nil {
			return "", err
		}
		all.WriteString(h.Name + "\n")
		if _, err := io.Copy(&all, r); err != nil {
			return "", err
		}
	}
}

// hits leaves a journal that tells of a lookout, by its hit and by its end.
func (r *rig) hits() {
	r.t.Helper()
	path := filepath.Join(string(r.cfg.Store.Dir), "journal.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.t.Fatal(err)
	}
	j, _, err := journal.Open(r.t.Context(), journal.Config{Path: path})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, d := range []contract.Data{contract.LookoutAlert{Passage: "01931f0c-8a51-7000-8000-000000000001", Hits: []passage.Hit{{ID: "LK-1", Version: 3}}},
		contract.Purged{Kind: "lookouts", Generation: 1, Lookouts: []contract.LookoutRef{{ID: "LK-1", Version: 3}}}} {
		if _, err := j.Append(r.t.Context(), journal.Entry{Class: string(d.Type().Class()), Alert: d.Type().Alert(), At: time.Now(), Build: func(s journal.Stamp) ([]byte, error) {
			return contract.Encode(contract.Stamp(s), contract.Head{Booth: testBooth, Time: time.Now().UTC()}, d)
		}}); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// A command puts an archive where the booth's configuration says, over the
// booth's own certificate, and nothing that is nobody's business is in it
// (reliability reference, S4): a vehicle that a lookout is on has driven through.
func TestS4_I3_I7_BundleUpload(t *testing.T) {
	r := newRig(t)
	h := r.headquarters()
	server, own := issue(t, r.dir, "server"), issue(t, r.dir, "the-key-of-this-booth")
	p := newCollector(t, server, own)
	r.cfg.MQTT.CA, r.cfg.MQTT.Cert, r.cfg.MQTT.Key = configs.Ref(server.cert), configs.Ref(own.cert), configs.Ref(own.key)
	r.again("allow = ['list.refresh', 'outbox.resend', 'identify']", "allow = ['bundle.upload']\nupload = '"+p.URL+"/bundles/'")
	broker := r.world.Dial
	r.world.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == p.Listener.Addr().String() {
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
		return broker(ctx, network, addr)
	}
	r.hits()
	r.listed()
	stop := r.run()
	r.up()
	r.arrive()
	r.leaves()
	cmd := asked(t, command.BundleUpload, `{}`)
	if got := h.answer(cmd, 1); got.Outcome != contract.CommandDone || !strings.HasPrefix(got.Detail, testBooth+"-"+cmd.ID+".tar.gz, ") {
		t.Fatalf("the answer is %+v", got)
	}
	p.mu.Lock()
	all, ok := p.put["/bundles/"+testBooth+"-"+cmd.ID+".tar.gz"]
	p.answer = http.StatusTemporaryRedirect
	p.mu.Unlock()
	if !ok {
		t.Fatalf("put was %v", p.put)
	}
	for _, want := range []string{"bundle/config.toml", "credential:redacted", "bundle/info.json", "bundle/health.json", "bundle/lists.json", "bundle/status.json",
		"org.boothd.audit.started.v1", "org.boothd.device.changed.v1"} {
		if !strings.Contains(all, want) {
			t.Errorf("it lacks %s", want)
		}
	}
	key, err := os.ReadFile(own.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"the-key-of-this-booth.key", string(key[30:90]), "org.boothd.lookout", "org.boothd.crossing", "audit.purged", "LK-1", annaPlate, annaCard} {
		if strings.Contains(strings.ToUpper(all), strings.ToUpper(bad)) {
			t.Errorf("it holds %q", bad)
		}
	}

	// What the place says else is told, and no redirect is followed.
	if got := h.answer(asked(t, command.BundleUpload, `{}`), 1); got.Outcome != contract.CommandFailed || got.Reason != reasonUpload || !strings.Contains(got.Detail, "307") {
		t.Errorf("the answer is %+v", got)
	}
	if got := h.answer(asked(t, command.BundleUpload, `{"url":"https://elsewhere/"}`), 1); got.Reason != string(command.BadArgs) {
		t.Errorf("of a place that the command names: %+v", got)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
