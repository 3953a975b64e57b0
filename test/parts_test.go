package test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/agent/contract"
	"boothd/test/long"
)

// A booth that hears of nothing but the broker gets a delta that the broker
// keeps, and a whole list that it has to ask for.
func TestListsComeOverMQTT(t *testing.T) {
	t.Parallel()
	broker, ears := recorded(t)
	o := newOffice(t, broker)
	o.start("90s")
	o.await(1)

	o.publish(20_000, 0) // most of its rows are new: no delta, but the whole list
	began := time.Now()
	o.serve()
	o.await(2)
	t.Logf("a whole list is in force %v after a server of parts began", time.Since(began).Round(time.Millisecond))
	o.publish(2_000, 100_000) // a delta; serve sees it and the broker keeps it
	began = time.Now()
	o.await(3)
	t.Logf("a delta of 2,000 cards is in force %v after it was published", time.Since(began).Round(time.Millisecond))
	if left, _ := filepath.Glob(filepath.Join(o.dir, "store", "arrival", "parts", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	ears.heard(t, "want.list", "list.part", "list.metadata", "org.boothd.list.applied.v1")
	tellsItsProgram(t, ears)
}

// tellsItsProgram holds what a booth says that it runs against the file: with a
// byte of it changed headquarters sees another.
func tellsItsProgram(t *testing.T, ears *recorder) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(programs, "boothd"))
	if err != nil {
		t.Fatal(err)
	}
	var info contract.StateInfo
	if err := json.Unmarshal(ears.last(t, "/state/info"), &info); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(b)); info.Program != want {
		t.Errorf("state/info tells of program %q, boothd is %s", info.Program, want)
	}
}

// The port's token key is replaced while the lane runs: lists under the former
// key serve on until those under the new one are there, and then members are
// expedited as before.
func TestI6_ATokenKeyIsReplaced(t *testing.T) {
	t.Parallel()
	o := newOffice(t, mosquitto(t))
	o.start("180s")
	o.await(1)
	log := filepath.Join(o.dir, "boothd.log")
	decided := func(from int) bool {
		b, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(b)[min(from, len(b)):], "outcome=EXPEDITE")
	}
	o.hq("lists", "rotate-token-key", o.office, "--overlap", "1h")
	hangUp(t, filepath.Join(o.dir, "boothd.toml")) // reads the credential again, once the passage that goes on is finished
	o.restarted(2)
	o.serve()
	o.publish(1, 0)
	o.await(2)
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	// The next member comes after some vehicles: the long run waits for one.
	for end := time.Now().Add(120 * time.Second); long.Times() > 0 && !decided(len(b)); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody is expedited under the new key")
		}
	}
	if strings.Contains(string(b), "list refused") {
		t.Errorf("a booth that has both keys refused a list: %s", b)
	}
}
