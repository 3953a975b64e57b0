package docs_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/test/programs"
)

// The consumer that integrators.md shows takes every event of a booth once: what
// it prints is what the booth's journal holds.
func TestTheConsumerTakesEveryEventOnce(t *testing.T) {
	t.Parallel()
	bin, err := programs.Dir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "booth")
	if b, err := os.ReadFile("consumer/main.go"); err != nil || strings.Count(string(b), "\n") > 70 {
		t.Errorf("the example has %d lines, %v", strings.Count(string(b), "\n"), err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	broker := free.Addr().String()
	_, port, _ := net.SplitHostPort(broker)
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "listener %s 127.0.0.1\nallow_anonymous true\n", port), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	mosquitto := exec.Command("/usr/sbin/mosquitto", "-c", conf)
	if err := mosquitto.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mosquitto.Process.Kill(); _ = mosquitto.Wait() })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", broker); err == nil {
			_ = c.Close()
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	consumer := exec.Command(filepath.Join(bin, "consumer"), "tcp://"+broker)
	out, err := consumer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := consumer.Start(); err != nil {
		t.Fatal(err)
	}
	taken := make(chan map[string]int)
	go func() {
		all := map[string]int{}
		for in := bufio.NewScanner(out); in.Scan(); {
			f := strings.Fields(in.Text())
			all[f[3]+" "+f[4]]++ // number and type
		}
		taken <- all
	}()
	demo := exec.Command(filepath.Join(bin, "boothsim"), "demo", "--bin", bin, "--broker", broker, "--dir", dir, "--for", "8s", "--speed", "0.5")
	if text, err := demo.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := consumer.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	got := <-taken
	_ = consumer.Wait() // interrupted
	text, err := exec.Command(filepath.Join(bin, "boothctl"), "events", "1", "--journal", filepath.Join(dir, "store", "journal.db"), "--json").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	held := strings.Count(string(text), `"org.boothd.`)
	for k, n := range got {
		if n != 1 {
			t.Errorf("%s came %d times", k, n)
		}
	}
	if len(got) < 15 || len(got) < held-2 { // what the booth says last, as it stops, may still wait
		t.Errorf("%d events were taken, the journal holds %d", len(got), held)
	}
	t.Logf("%d events taken, %d held", len(got), held)
}
