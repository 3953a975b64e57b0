//go:build fieldbox

package fieldbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"boothd/agent"
	"boothd/configs"
)

// The people of the test: a card and a plate that go together.
const (
	card  = "E28011606000000000000001"
	plate = "BX00001"
	// keyed is what the officer types; it belongs to the same person.
	keyed = "BX00002"
)

const boothID = "pac-hwy-nexus-03"

// adapterPath is the name that udev gives QEMU's adapter.
const adapterPath = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_usb0-if00-port0"

// kit is what a technician brings to the box, as docs/install.md names it: the
// programs, the folder systemd, keys, certificates and lists of headquarters,
// and the configuration. It tells the configuration and the port's token key.
func kit(t *testing.T, dir string) *configs.Config {
	t.Helper()
	programs := filepath.Join(t.TempDir(), "programs")
	command(t, "go", "build", "-tags", "sqlite_omit_load_extension", "-o", programs+"/", "boothd/cmd/boothd", "boothd/cmd/boothctl", "boothd/cmd/boothhq")
	for _, name := range []string{"bin", "configs"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command(t, "cp", filepath.Join(programs, "boothd"), filepath.Join(programs, "boothctl"), filepath.Join(dir, "bin"))
	command(t, "cp", "-r", "../../systemd", filepath.Join(dir, "systemd"))
	lists(t, filepath.Join(programs, "boothhq"), dir)
	certificates(t, dir)
	cfg := configuration(t, filepath.Join(dir, "configs", "nexus.toml"))
	var chip strings.Builder
	for _, point := range slices.Sorted(maps.Keys(cfg.GPIO.In)) {
		fmt.Fprintln(&chip, cfg.GPIO.In[point].Line, pull(cfg.GPIO.In[point].ActiveLow))
	}
	for _, point := range slices.Sorted(maps.Keys(cfg.GPIO.Out)) {
		// The wiring shows red; all else is dark (docs/hardware.md).
		fmt.Fprintln(&chip, cfg.GPIO.Out[point].Line, pull((point == "traveller_red") != cfg.GPIO.Out[point].ActiveLow))
	}
	write(t, filepath.Join(dir, "gpio.conf"), []byte(chip.String()))
	return cfg
}

func pull(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

// configuration is the example of a NEXUS lane with this box's devices in it,
// and a keypad on the USB adapter.
func configuration(t *testing.T, path string) *configs.Config {
	t.Helper()
	text, err := os.ReadFile("../../configs/nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	for old, word := range map[string]string{
		`"pinctrl-bcm2711"`: `"` + Chip + `"`,
		`/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0`:                  UARTs + "/uart0",
		`/dev/serial/by-id/usb-Prolific_Technology_Inc._USB-Serial_Controller-if00-port0`: UARTs + "/uart1",
		`template = "axxon" `:  `template = "lumo" `,
		`# random_rate = 0.02`: `random_rate = 0.0`, `# anti_passback = true`: `anti_passback = false`,
		"\n[gpio]\n": "\n[[device]]\nname = \"keypad\"\ndriver = \"keypad\"\nrole = \"keypad\"\npath = \"" + adapterPath + "\"\n\n[gpio]\n",
	} {
		if !strings.Contains(string(text), old) {
			t.Fatalf("the example has no %q any more", old)
		}
		text = []byte(strings.ReplaceAll(string(text), old, word))
	}
	write(t, path, text)
	cfg, err := agent.Drivers.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// lists has headquarters build and sign lists with one person in them.
func lists(t *testing.T, boothhq, dir string) {
	t.Helper()
	work := t.TempDir()
	csv, office, phrase, built := filepath.Join(work, "csv"), filepath.Join(work, "hq"), filepath.Join(work, "phrase"), filepath.Join(work, "built")
	if err := os.Mkdir(csv, 0o700); err != nil {
		t.Fatal(err)
	}
	day := func(days int) string { return time.Now().AddDate(0, 0, days).Format(time.DateOnly) }
	for name, text := range map[string]string{
		"csv/members.csv":  "member,status,programs,valid_from,valid_until\nM1,ACTIVE,NEXUS,2020-01-01,2099-01-01\n",
		"csv/cards.csv":    "epc,status,member,card_until,extended,tid\n" + card + ",ISSUED,M1,2099-01-01,no,\n",
		"csv/vehicles.csv": "member,plate,jurisdiction\nM1," + plate + ",ON\nM1," + keyed + ",ON\n",
		"csv/lookouts.csv": "id,version,subject_type,subject,jurisdiction,action,reason_code,caveat,agency,region,officer_safety,valid_from,valid_until\n" +
			"L1,1,PLATE,WATCH01,ON,OBSERVE,TEST,SIM,CBSA,,no," + day(-1) + "," + day(60) + "\n",
		"phrase": "a phrase of the test, long enough\n",
	} {
		write(t, filepath.Join(work, name), []byte(text))
	}
	command(t, boothhq, "lists", "init", office, "--passphrase-file", phrase)
	command(t, boothhq, "lists", "build", "--in", csv, "--out", built, "--token-key", filepath.Join(office, "token.key"))
	command(t, boothhq, "lists", "publish", office, "--lists", built, "--timestamp", "24h", "--passphrase-file", phrase)
	command(t, "cp", filepath.Join(office, "root.json"), dir)
	command(t, "cp", filepath.Join(office, "token.key"), filepath.Join(dir, "token-key.txt"))
	command(t, "cp", "-r", filepath.Join(office, "repository"), filepath.Join(dir, "lists"))
}

// certificates are of a broker's authority, and of the booth.
func certificates(t *testing.T, dir string) {
	t.Helper()
	until := time.Now().AddDate(1, 0, 0)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "brokers"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	booth := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: boothID}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, kind string, der []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	put("ca.pem", "CERTIFICATE", der, err)
	der, err = x509.CreateCertificate(rand.Reader, booth, ca, &key.PublicKey, caKey)
	put("booth.pem", "CERTIFICATE", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(key)
	put("booth.key", "PRIVATE KEY", der, err)
}

// handbook are the commands of docs/install.md, steps 1 to 5, but for what only
// a person or a network can do.
func handbook(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	_, steps, begins := strings.Cut(string(text), "\n## 1. ")
	steps, _, ends := strings.Cut(steps, "\n## Later")
	if !begins || !ends {
		t.Fatal("docs/install.md has no steps from 1 to Later")
	}
	skip := []string{"apt install tzdata", "editor ", "boothctl watch", "boothctl status", "install -m 644 systemd/keypad.conf", "install -m 644 systemd/kiosk.conf"}
	var out []string
	for line := range strings.Lines(steps) {
		line, code := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !code {
			continue
		}
		if i := slices.IndexFunc(skip, func(s string) bool { return strings.HasPrefix(line, s) }); i >= 0 {
			continue
		}
		out = append(out, line)
	}
	if len(out) < 20 {
		t.Fatalf("docs/install.md has %d commands: %q", len(out), out)
	}
	return strings.Join(out, "\n")
}

// command runs a program of the host to its end.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = append(out, exit.Stderr...)
		}
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
