package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
	"boothd/agent/uplink/line"
	"boothd/agent/uplink/uplinktest"
	"boothd/cmd/boothhq/internal/authority"
)

// A sending that fails half way leaves nothing at the broker that no later one
// takes away again.
func TestNoPartStaysBehindAtABroker(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	hq, csv, pass := filepath.Join(top, "hq"), filepath.Join(top, "csv"), filepath.Join(top, "pass")
	if err := errors.Join(os.Mkdir(csv, 0o700), os.WriteFile(pass, []byte("correct horse battery staple"), 0o600)); err != nil {
		t.Fatal(err)
	}
	must(t, "lists", "init", hq, "--passphrase-file", pass)
	builds := 0
	publish := func(from, to int) { // members of a range of numbers
		rows := []byte("member,status,programs,valid_from,valid_until\n")
		for i := from; i < to; i++ {
			rows = fmt.Appendf(rows, "98%07d,ACTIVE,NEXUS,,\n", i)
		}
		if err := os.WriteFile(filepath.Join(csv, "members.csv"), rows, 0o600); err != nil {
			t.Fatal(err)
		}
		builds++
		built := filepath.Join(top, fmt.Sprint("built-", builds))
		must(t, "lists", "build", "--in", csv, "--out", built, "--token-key", filepath.Join(hq, "token.key"))
		must(t, "lists", "publish", hq, "--lists", built, "--force", "members", "--passphrase-file", pass)
	}
	b := uplinktest.NewBroker(t)
	defer b.Close()
	send := func() error {
		l, err := line.Open(t.Context(), line.Config{Broker: &url.URL{Scheme: "tcp", Host: "hq-a:1883"}, ClientID: "HQ-lists", Dial: b.Dial, Take: func(mqtt.Message) {}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return (&post{dir: hq, broker: "hq-a:1883", line: l}).send(t.Context())
	}
	retained := func() (topics []string) { // of the parts that the publication names
		all, err := authority.Parts(hq)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if p.Retained {
				topics = append(topics, contract.PartTopic(p.Kind, p.Digest))
			}
		}
		return topics
	}
	spoil := func(name string) (mend func()) { // a folder cannot be read
		whole := filepath.Join(hq, "repository", name)
		if err := errors.Join(os.Rename(whole, whole+".kept"), os.Mkdir(whole, 0o700)); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := errors.Join(os.Remove(whole), os.Rename(whole+".kept", whole)); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(0, 3000)
	publish(0, 4000)
	former := retained()
	if err := send(); err != nil || len(former) == 0 || b.Retained(former[0]) == nil {
		t.Fatalf("%d parts of a delta, %v", len(former), err)
	}

	publish(10_000, 13_000) // no delta leads there
	if now := retained(); len(now) > 0 {
		t.Fatalf("%d parts of deltas", len(now))
	}
	mend := spoil("snapshot.json")
	if err := send(); err == nil {
		t.Fatal("sent without a snapshot")
	}
	mend()
	if err := send(); err != nil {
		t.Fatal(err)
	}
	for _, topic := range former {
		if b.Retained(topic) != nil {
			t.Errorf("%s is named no more, and the broker still keeps it", topic)
		}
	}

	// Likewise parts that went out before a sending ended among them.
	publish(10_000, 14_000)
	publish(10_000, 15_000)
	first := retained()
	if len(first) < 2 {
		t.Fatalf("%d parts of deltas, want 2", len(first))
	}
	mend = spoil(filepath.Join("targets", "members-3-4.delta")) // the newer one goes first
	if err := send(); err == nil {
		t.Fatal("sent without a delta")
	}
	mend()
	publish(20_000, 23_000)
	if err := send(); err != nil {
		t.Fatal(err)
	}
	for _, topic := range first {
		if b.Retained(topic) != nil {
			t.Errorf("%s was sent, is named no more, and the broker still keeps it", topic)
		}
	}
}
