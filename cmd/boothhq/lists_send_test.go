package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"boothd/agent/contract"
	"boothd/agent/lists"
	"boothd/buffer/eligibility"
	"boothd/cmd/boothhq/internal/authority"
)

// must runs a command line that succeeds.
func must(t *testing.T, args ...string) {
	t.Helper()
	var out, log bytes.Buffer
	if code := run(t.Context(), args, &out, &log); code != 0 {
		t.Fatalf("boothhq %s left with %d: %s", strings.Join(args, " "), code, &log)
	}
}

// A booth took its lists from a stick. The heartbeat comes over the broker.
func TestAHeartbeatOverTheBroker(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	hq, stick, pass := filepath.Join(top, "hq"), filepath.Join(top, "stick"), filepath.Join(top, "pass")
	for name, text := range map[string]string{"pass": "correct horse battery staple", "csv/members.csv": "member,status,programs,valid_from,valid_until\n980000017,ACTIVE,NEXUS,,\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "lists", "init", hq, "--passphrase-file", pass)
	must(t, "lists", "build", "--in", filepath.Join(top, "csv"), "--out", filepath.Join(top, "built"), "--token-key", filepath.Join(hq, "token.key"))
	must(t, "lists", "publish", hq, "--lists", filepath.Join(top, "built"), "--to", stick, "--passphrase-file", pass)
	trust := newTrust(t, hq)
	if res, err := trust.Take(t.Context(), os.DirFS(stick), time.Now()); err != nil || len(res.Applied) != 1 {
		t.Fatalf("Take of the stick = %+v, %v", res, err)
	}

	must(t, "lists", "heartbeat", hq, "--passphrase-file", pass)
	m := newMosquitto(t)
	cert, key := m.ca.issue(t, "HQ-lists")
	must(t, "lists", "send", hq, "--broker", m.url, "--ca", filepath.Join(m.dir, "ca.pem"), "--cert", cert, "--key", key)
	c, in := m.connect(booth, booth)
	wait(t, c.Subscribe("list/v1/tuf/#", contract.QoS, nil))
	source := filepath.Join(top, "heard")
	if err := os.MkdirAll(filepath.Join(source, "root"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 4 { // root/1, targets, snapshot, timestamp
		msg := <-in
		name := strings.TrimPrefix(msg.Topic(), "list/v1/tuf/") + ".json"
		name = strings.Replace(name, "root/1.json", "root/1.root.json", 1)
		if !msg.Retained() {
			t.Errorf("%s is not retained", msg.Topic())
		}
		if err := os.WriteFile(filepath.Join(source, name), msg.Payload(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	res, err := trust.Take(t.Context(), os.DirFS(source), time.Now())
	if err != nil || !res.Fresh || res.Timestamp != 2 || len(res.Verified) != 1 {
		t.Errorf("Take of what the broker keeps = %+v, %v, want a fresh timestamp 2", res, err)
	}
}

// Brokers keep the parts of the last eight deltas, and of none that is named no
// more.
func TestBrokersKeepTheLastDeltas(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	hq, csv, pass := filepath.Join(top, "hq"), filepath.Join(top, "csv"), filepath.Join(top, "pass")
	if err := errors.Join(os.Mkdir(csv, 0o700), os.WriteFile(pass, []byte("correct horse battery staple"), 0o600)); err != nil {
		t.Fatal(err)
	}
	must(t, "lists", "init", hq, "--passphrase-file", pass)
	m := newMosquitto(t)
	cert, key := m.ca.issue(t, "HQ-lists")
	rows := []byte("member,status,programs,valid_from,valid_until\n")
	for gen := range 11 {
		for i := range 1000 {
			rows = fmt.Appendf(rows, "98%07d,ACTIVE,NEXUS,,\n", gen*1000+i)
		}
		built := filepath.Join(top, fmt.Sprint("built-", gen))
		if err := os.WriteFile(filepath.Join(csv, "members.csv"), rows, 0o600); err != nil {
			t.Fatal(err)
		}
		must(t, "lists", "build", "--in", csv, "--out", built, "--token-key", filepath.Join(hq, "token.key"))
		must(t, "lists", "publish", hq, "--lists", built, "--passphrase-file", pass)
		must(t, "lists", "send", hq, "--broker", m.url, "--ca", filepath.Join(m.dir, "ca.pem"), "--cert", cert, "--key", key)
	}
	all, err := authority.Parts(hq)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{}
	for _, p := range all {
		if b, err := p.Bytes(); err != nil {
			t.Fatal(err)
		} else if p.Retained {
			want[contract.PartTopic(p.Kind, p.Digest)] = b
		}
	}
	if len(want) != 8 {
		t.Fatalf("%d parts of %d are to be kept, want 8: a delta is of one part here", len(want), len(all))
	}
	c, in := m.connect(booth, booth)
	wait(t, c.Subscribe("list/v1/+/part/#", contract.QoS, nil))
	wait(t, c.Subscribe("list/v1/tuf/timestamp", contract.QoS, nil)) // comes after them
	got := map[string][]byte{}
	for msg := range in {
		if msg.Topic() == "list/v1/tuf/timestamp" {
			break
		}
		got[msg.Topic()] = msg.Payload()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the broker keeps (-want +got):\n%s", diff)
	}
}

func newTrust(t *testing.T, hq string) *lists.Trust {
	t.Helper()
	root, err := os.ReadFile(filepath.Join(hq, "root.json"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := eligibility.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	trust, err := lists.Open(lists.Config{Dir: t.TempDir(), Root: root, Kinds: contract.ListKinds(), Store: store})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}
