package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/agent"
	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/buffer/journal"
	"boothd/configs"
	"boothd/devices/gpio"
	"boothd/devices/port"
)

// What a real booth signs, verify believes; a byte changed behind its back is
// told with where it is.
func TestVerifyBelievesARealBooth(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("../../configs/nexus.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := agent.Drivers.Parse("booth.toml", []byte(strings.NewReplacer(
		`# socket = "/run/boothd/boothd.sock"`, `socket = "`+dir+`/boothd.sock"`,
		`# signing_key = "credential:booth-key"`, `signing_key = "`+dir+`/booth.pem"`,
		`# dir = "/var/lib/boothd"`, `dir = "`+dir+`"`,
		`"pinctrl-bcm2711"`, `"sim:`+dir+`/none.sock"`,
		`["ssl://hq-a:8883", "ssl://hq-b:8883"]`, `["tcp://127.0.0.1:1"]`,
		`# listen = "127.0.0.1:7080"`, `listen = "127.0.0.1:1"`,
		"\nca = ", "\n# ca = ", "\ncert = ", "\n# cert = ", "\nkey = \"credential:mqtt-key\"", "\n# key").Replace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	key := signingKey(t, 1)
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed([]byte(strings.Repeat("\x01", ed25519.SeedSize))))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "booth.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "journal.db")
	head := runUntilSigned(t, cfg, path)

	pub := publicFile(t, key)
	v, code, said := verifyOf(t, "--journal", path, "--key", pub)
	if code != 0 || v.Checkpoints != 1 || v.SignedUpto != head || v.Signed != head {
		t.Fatalf("exit %d, %+v, checkpoint of event %d\n%s", code, v, head, said)
	}
	if v, code, _ := verifyOf(t, "--journal", path, "--key", publicFile(t, signingKey(t, 2))); code == 0 {
		t.Errorf("another booth's key: %+v", v)
	}
	forge(t, path, 2, `"version":"test"`, `"version":"best"`)
	if v, code, _ := verifyOf(t, "--journal", path, "--key", pub); code == 0 || !strings.Contains(v.Fault, "among events 1 to") {
		t.Errorf("forged: exit %d, %+v", code, v)
	}
}

// runUntilSigned runs a booth without hardware until its first checkpoint, and
// gives the event that this is of.
func runUntilSigned(t *testing.T, cfg *configs.Config, path string) (head uint64) {
	t.Helper()
	began, away := time.Now(), errors.New("not in this test")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, cfg, agent.World{
			OpenPort: func(context.Context, port.Spec) (port.Port, error) { return nil, away },
			OpenChip: gpio.OpenChip,
			Dial:     func(context.Context, string, string) (net.Conn, error) { return nil, away },
			Clock:    func() (passage.Clock, time.Duration) { return passage.ClockSynced, 0 },
			Mono:     func() time.Duration { return time.Since(began) },
			Secret: func(ref configs.Ref) ([]byte, error) {
				path, err := ref.File("")
				if err != nil {
					return nil, err
				}
				return os.ReadFile(path)
			},
			Notify: func(string) {}, Log: slog.New(slog.DiscardHandler), Version: "test", Boot: "boot",
		})
	}()
	for limit := time.Now().Add(30 * time.Second); head == 0 && time.Now().Before(limit); <-time.After(20 * time.Millisecond) {
		head = checkpointed(t, path)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("boothd: %v", err)
	}
	if head == 0 {
		t.Fatal("no checkpoint")
	}
	return head
}

// checkpointed gives the event of the first checkpoint; 0 if there is none yet.
func checkpointed(t *testing.T, path string) uint64 {
	t.Helper()
	r, err := journal.OpenReader(t.Context(), path)
	if err != nil {
		return 0 // not made yet
	}
	defer r.Close()
	for e, err := range entries(t.Context(), r, 1, 1<<40) {
		if err != nil {
			return 0
		}
		if c, err := contract.As[contract.Checkpoint](e.event); err == nil {
			return c.Seq
		}
	}
	return 0
}
