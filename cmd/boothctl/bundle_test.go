package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"boothd/agent/token"
	"boothd/devices"
)

// unpacked gives the files of an archive.
func unpacked(path string) (map[string][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		if out[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

// unpack FILE DIR: unpacks an archive, which nobody else may read.
func unpackCmd(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if info.Mode().Perm() != 0o600 {
		ts.Fatalf("%s has mode %04o", args[0], info.Mode().Perm())
	}
	files, err := unpacked(ts.MkAbs(args[0]))
	ts.Check(err)
	for name, body := range files {
		path := filepath.Join(ts.MkAbs(args[1]), name)
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
		ts.Check(os.WriteFile(path, body, 0o600))
	}
}

// Secrets, where they are, card numbers and plates, and what tells of a lookout
// are known here and looked for in all that an archive holds (reliability
// reference, S4).
func TestS4_I7_I3_BundleHoldsNothingThatIsNobodysBusiness(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"etc", "creds", "store", "tls"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const key = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210"
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(dir, "creds"))
	secrets := map[string]string{"creds/token-key": key, "creds/booth-key": "PRIVATE-SIGNING", "tls/the-key.pem": "PRIVATE-TLS"}
	for name, text := range secrets {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("../../configs/nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer(`# socket = "/run/boothd/boothd.sock"`, `socket = "`+dir+`/sock"`, "credential:mqtt-key", dir+"/tls/the-key.pem",
		`# dir = "/var/lib/boothd"`, `dir = "`+dir+`/store"`, `# username = `, `username = "somebodys-name" # `).Replace(string(text))
	if !strings.Contains(config, "somebodys-name") || !strings.Contains(config, "the-key.pem") {
		t.Fatal("the example has changed: nothing is seeded")
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/boothd.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := token.ParseKey([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	const card, plate = "3035307B2831B383E19E8EA1", "BOB0150"
	if err := writeJournal(filepath.Join(dir, "store/journal.db"), "card "+string(keys.Card(devices.Ident(card)))); err != nil {
		t.Fatal(err)
	}
	bin, _ := hex.DecodeString(card)
	hidden := []string{card, string(bin), plate, "BOB 0150", "PRIVATE-SIGNING", "PRIVATE-TLS", key, "somebodys-name", "the-key.pem", "creds/token-key", "creds/booth-key"}
	ofLookouts := []string{"LK-1", "lookout.alert", string(keys.Card(devices.Ident(card))), "crossing.decided"}
	var out, errs bytes.Buffer
	for _, tt := range []struct {
		name   string
		args   []string
		hidden []string
		shown  []string
	}{
		{"for anybody", nil, append(ofLookouts, hidden...), []string{"credential:redacted", "audit.started", "device.changed", "list.failed"}},
		{"for headquarters", []string{"--crossings"}, hidden, append(ofLookouts, `"tells_of_lookouts": true`)},
	} {
		path := filepath.Join(dir, tt.name)
		if code := run(append([]string{"bundle", path, "--config", filepath.Join(dir, "etc/boothd.toml")}, tt.args...), &out, &errs); code != 0 {
			t.Fatalf("%s: exit %d: %s", tt.name, code, &errs)
		}
		files, err := unpacked(path)
		if err != nil || len(files) < 7 {
			t.Fatalf("%s: %d files, %v", tt.name, len(files), err)
		}
		all := ""
		for name, body := range files {
			all += name + "\n" + string(body)
		}
		for _, raw := range tt.hidden {
			if i := strings.Index(strings.ToUpper(all), strings.ToUpper(raw)); i >= 0 {
				t.Errorf("%s: it holds %q: ...%s...", tt.name, raw, all[max(0, i-60):min(len(all), i+60)])
			}
		}
		for _, word := range tt.shown {
			if !strings.Contains(all, word) {
				t.Errorf("%s: it lacks %q", tt.name, word)
			}
		}
	}
}
