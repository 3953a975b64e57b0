package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"boothd/agent/status"
)

// A heartbeat of the list office, over the broker, makes a booth's lists young
// again; one that is not signed by it makes nothing.
func TestI6_HeartbeatOverTheBroker(t *testing.T) {
	t.Parallel()
	broker := mosquitto(t)
	dir := filepath.Join(t.TempDir(), "booth")
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "boothsim"), "demo", "--bin", programs, "--broker", broker, "--dir", dir, "--for", "60s", "--speed", "0.5")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // interrupted
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(dir, "boothd.log"))
			t.Logf("boothd: %s", b)
		}
	})
	// age is that of the cards list.
	age := func() time.Duration {
		p, err := status.Dial("unix:" + filepath.Join(dir, "boothd.sock")).Get(t.Context())
		if err != nil {
			return -1
		}
		for _, l := range p.Lists {
			if l.Kind == "cards" && l.Generation > 0 {
				return time.Duration(l.AgeMS) * time.Millisecond
			}
		}
		return -1
	}
	await := func(what string, ok func(time.Duration) bool) {
		t.Helper()
		for end := time.Now().Add(25 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if ok(age()) {
				return
			}
		}
		t.Fatalf("lists never %s: %v old", what, age())
	}
	hq := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(filepath.Join(programs, "boothhq"), args...).CombinedOutput(); err != nil {
			t.Fatalf("boothhq %v: %v\n%s", args, err, out)
		}
	}
	await("imported", func(a time.Duration) bool { return a >= 0 })
	await("aged", func(a time.Duration) bool { return a > 7*time.Second })
	// A stranger's office says the same of itself, and is not believed.
	strange := filepath.Join(t.TempDir(), "hq")
	pass := filepath.Join(dir, "passphrase")
	hq("lists", "init", strange, "--passphrase-file", pass)
	hq("lists", "publish", strange, "--lists", filepath.Join(dir, "built"), "--timestamp", "4h", "--passphrase-file", pass)
	hq("lists", "send", strange, "--broker", "tcp://"+broker)
	time.Sleep(2 * time.Second)
	if a := age(); a < 8*time.Second {
		t.Errorf("I6: lists are %v old after a stranger's heartbeat", a)
	}
	sent := time.Now()
	hq("lists", "heartbeat", filepath.Join(dir, "hq"), "--timestamp", "4h", "--passphrase-file", pass, "--broker", "tcp://"+broker)
	await("young again", func(a time.Duration) bool { return a >= 0 && a < time.Since(sent)+2*time.Second })
	t.Logf("in force %v after it was sent", time.Since(sent).Round(time.Millisecond))
}
