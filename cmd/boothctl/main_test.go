package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"boothd/configs"
)

var update = flag.Bool("update", false, "rewrite golden parts of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"boothctl": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(env.WorkDir, "creds"))
			env.Setenv("TODAY", time.Now().UTC().Format(time.DateOnly)) // lookouts are in force for 90 days at most
			env.Setenv("NEXT_MONTH", time.Now().UTC().AddDate(0, 1, 0).Format(time.DateOnly))
			env.Values["boothd"] = &daemon{}
			return booth(env)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"boothd":  boothdCmd,
			"cert":    certCmd,
			"edit":    editCmd,
			"hq":      hqCmd,
			"journal": journalCmd,
			"mode":    modeCmd,
			"unpack":  unpackCmd,
		},
	})
}

// booth lays out a whole booth that is in order: $WORK/etc/boothd.toml and all
// that it names. Each script then breaks one thing.
func booth(env *testscript.Env) error {
	w := env.WorkDir
	for _, d := range []string{"etc", "creds", "store", "tls"} {
		if err := os.MkdirAll(filepath.Join(w, d), 0o700); err != nil {
			return err
		}
	}
	if err := writeRoot(filepath.Join(w, "etc/root.json"), time.Now().AddDate(1, 0, 0)); err != nil {
		return err
	}
	if err := writeCert(filepath.Join(w, "tls"), "pac-hwy-nexus-03", 90*24*time.Hour); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w, "creds/token-key"), []byte(strings.Repeat("0123456789abcdef", 4)+"\n"), 0o600); err != nil {
		return err
	}
	if err := writeSigning(filepath.Join(w, "creds/booth-key"), filepath.Join(w, "etc/command-keys.pem")); err != nil {
		return err
	}
	text, err := os.ReadFile("../../configs/nexus.toml")
	if err != nil {
		return err
	}
	config := strings.NewReplacer(
		`# socket = "/run/boothd/boothd.sock"`, `socket = "`+w+`/sock"`,
		"/etc/boothd/tls/", w+"/tls/",
		"credential:mqtt-key", w+"/tls/booth.key",
		`# keys = "/etc/boothd/trust/command-keys.pem"`, `keys = "`+w+`/etc/command-keys.pem"`,
		`# root = "/etc/boothd/trust/root.json"`, `root = "`+w+`/etc/root.json"`,
		`# dir = "/var/lib/boothd"`, `dir = "`+w+`/store"`,
		`# max_bytes = "2GiB"`, `max_bytes = "64MiB"`,
		"/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0", "/dev/null",
		"/dev/serial/by-id/usb-Prolific_Technology_Inc._USB-Serial_Controller-if00-port0", "/dev/zero",
		"pinctrl-bcm2711", "sim:"+w+"/chip",
	).Replace(string(text))
	if err := os.WriteFile(filepath.Join(w, "etc/boothd.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	return chipBoard(env, filepath.Join(w, "etc/boothd.toml"))
}

// cert CN DAYS: another certificate and key in $WORK/tls.
func certCmd(ts *testscript.TestScript, _ bool, args []string) {
	days, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(writeCert(ts.MkAbs("tls"), args[0], time.Duration(days)*24*time.Hour))
}

// edit FILE OLD NEW: replaces a text that must be there.
func editCmd(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("no %q in %s", args[1], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o600))
}

// mode OCTAL FILE: chmod, whatever the umask.
func modeCmd(ts *testscript.TestScript, _ bool, args []string) {
	m, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	ts.Check(os.Chmod(ts.MkAbs(args[1]), fs.FileMode(m)))
}

// writeCert writes ca.pem, booth.pem and booth.key; life counts from now and
// may be negative.
func writeCert(dir, cn string, life time.Duration) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: cn},
		NotBefore:    time.Now().Add(-400 * 24 * time.Hour),
		NotAfter:     time.Now().Add(life + time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	template.NotAfter, template.IsCA, template.BasicConstraintsValid = time.Now().AddDate(5, 0, 0), true, true
	ca, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":    {Type: "CERTIFICATE", Bytes: ca},
		"booth.pem": {Type: "CERTIFICATE", Bytes: leaf},
		"booth.key": {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeSigning writes a booth's signing key, and its public half as the key of
// those who command.
func writeSigning(private, public string) error {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	pkix, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{private: {Type: "PRIVATE KEY", Bytes: pkcs8}, public: {Type: "PUBLIC KEY", Bytes: pkix}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeRoot writes a TUF root that one key has signed.
func writeRoot(path string, expires time.Time) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	root := metadata.Root(expires)
	key, err := metadata.KeyFromPublicKey(public)
	if err != nil {
		return err
	}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		if err := root.Signed.AddKey(key, role); err != nil {
			return err
		}
	}
	signer, err := signature.LoadED25519Signer(private)
	if err != nil {
		return err
	}
	if _, err := root.Sign(signer); err != nil {
		return err
	}
	return root.ToFile(path, true)
}

func TestRootMustBeSignedAndMayBeExpired(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.json")
	if err := writeRoot(path, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	look := func() finding {
		k := check{cfg: &configs.Config{Lists: configs.Lists{Root: configs.Path(path)}}, now: time.Now()}
		k.root()
		if len(k.found) != 1 {
			t.Fatalf("%d findings, want 1: %v", len(k.found), k.found)
		}
		return k.found[0]
	}
	if f := look(); f.State != doubt {
		t.Errorf("an expired root is %+v, want a warning: newer ones chain from it", f)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), `"version": 1`, `"version": 2`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := look(); f.State != broken {
		t.Errorf("a root changed after signing is %+v, want something to fix", f)
	}
}

func TestLines(t *testing.T) {
	cfg := &configs.Config{GPIO: configs.GPIO{
		In:  map[string]configs.InLine{"ack": {Line: "GPIO1"}, "refer": {Line: "GPIO2"}, "release": {Line: "GPIO3"}},
		Out: map[string]configs.OutLine{"buzzer": {Line: "GPIO4"}, "traveller_red": {Line: "GPIO5"}},
	}, Devices: []configs.Device{{Name: "door", Driver: "wiegand", Data0: "GPIO6", Data1: "GPIO7"}}}
	k := check{cfg: cfg}
	k.lines(chip{label: "booth-gpio", twice: []string{"GPIO4"}, lines: map[string]chipLine{
		"GPIO1": {}, "GPIO2": {used: true, consumer: "boothd refer"}, "GPIO3": {used: true, consumer: "w1"}, "GPIO4": {}, "GPIO6": {}}})
	var got []string
	for _, f := range k.found {
		got = append(got, string(f.State)+" "+f.Name)
	}
	want := []string{"ok gpio.chip", "fix device door data1", "fix gpio.in.release", "fix gpio.out.buzzer", "fix gpio.out.traveller_red"}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("found %v, want %v", got, want)
	}
}

// fakeInfo is a file's mode and owner without the file.
type fakeInfo struct {
	fs.FileInfo
	mode     fs.FileMode
	uid, gid uint32
}

func (f fakeInfo) Mode() fs.FileMode { return f.mode }
func (f fakeInfo) Sys() any          { return &syscall.Stat_t{Uid: f.uid, Gid: f.gid} }

func TestMay(t *testing.T) {
	id := identity{uid: 990, gids: []uint32{990, 20}}
	for _, tt := range []struct {
		name string
		info fakeInfo
		want fs.FileMode
		ok   bool
	}{
		{"own file", fakeInfo{mode: 0o600, uid: 990}, 4, true},
		{"root's secret", fakeInfo{mode: 0o600}, 4, false},
		{"dialout", fakeInfo{mode: 0o660, gid: 20}, 6, true},
		{"dialout, reading only", fakeInfo{mode: 0o640, gid: 20}, 6, false},
		{"everybody's", fakeInfo{mode: 0o644}, 4, true},
		{"owner shut out by own bits", fakeInfo{mode: 0o066, uid: 990}, 4, false},
	} {
		if got := id.may(tt.info, tt.want); got != tt.ok {
			t.Errorf("%s: may(%o of %o) = %v, want %v", tt.name, tt.want, tt.info.mode, got, tt.ok)
		}
	}
	if !(identity{}).may(fakeInfo{mode: 0, uid: 5}, 6) {
		t.Error("root is refused")
	}
}
