package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"boothd/agent/contract"
	"boothd/cmd/boothhq/internal/receiver"
)

// scrape reads a page of a receiver; "" while it does not answer.
func scrape(socket, path string) (code int, body string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialUnix(socket)}}
	r, err := client.Get("http://localhost" + path)
	if err != nil {
		return 0, ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, ""
	}
	return r.StatusCode, string(b)
}

func TestAReceiverTellsWhatItDoes(t *testing.T) {
	m := newMosquitto(t)
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	hq := startReceiver(t, m, filepath.Join(dir, "events.db"), "--listen", "unix:"+socket)
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				_, body := scrape(socket, "/metrics")
				t.Fatalf("never %s:\n%s", what, body)
			}
		}
	}
	until("receives", func() bool {
		code, body := scrape(socket, "/healthz")
		return code == http.StatusOK && body == "receiving\n"
	})

	c, _ := m.connect(booth, booth)
	topic := contract.EventTopic(booth, contract.ClassAudit)
	head := contract.Head{Booth: booth, Time: time.Now().Add(-3 * time.Second)}
	body := func(seq uint64, live bool, reason string) []byte {
		id := fmt.Sprintf("01931f0c-8a5e-7c3b-9d5e-%012d", seq)
		b, err := contract.Encode(contract.Stamp{Epoch: epoch, Seq: seq, ID: id, Live: live}, head, contract.Stopped{Reason: reason})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, b := range [][]byte{
		body(1, true, "signal"), body(1, true, "signal"), // the same again
		body(1, true, "fault"), // other bytes under its number
		bytes.Replace(body(2, true, "signal"), []byte("/booth/"+booth), []byte("/booth/another"), 1),
		body(5, false, "signal"), // 3 and 4 are missing
	} {
		wait(t, c.Publish(topic, contract.QoS, false, b))
	}
	want := []string{
		`boothhq_receiver_events_total{result="kept"} 2` + "\n", `boothhq_receiver_events_total{result="again"} 1` + "\n",
		`boothhq_receiver_events_total{result="conflict"} 1` + "\n", `boothhq_receiver_events_total{result="refused"} 1` + "\n",
		`boothhq_receiver_events_total{result="later"} 0` + "\n", "boothhq_receiver_receiving 1\n", "boothhq_receiver_dropped_messages_total 0\n",
		"\nboothhq_receiver_live_lag_seconds ", "\nboothhq_receiver_commit_timestamp_seconds ", "\ngo_goroutines ", "\nprocess_resident_memory_bytes ",
	}
	until("counts all", func() bool {
		_, page := scrape(socket, "/metrics")
		for _, w := range want {
			if !strings.Contains(page, w) {
				return false
			}
		}
		return !strings.Contains(page, "boothhq_receiver_receipts_total 0\n") && !strings.Contains(page, "boothhq_receiver_wanted_ranges_total 0\n")
	})
	if _, page := scrape(socket, "/metrics"); strings.Contains(page, booth) {
		t.Error("a booth is named: the board tells of booths")
	}
	hq.stop()
}

// It goes on telling while there is no broker, and then says so.
func TestAReceiverWithoutABrokerIsUnwell(t *testing.T) {
	s, err := receiver.Open(t.Context(), filepath.Join(t.TempDir(), "events.db"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := receiver.New(receiver.Config{Brokers: []string{"tcp://127.0.0.1:1"}, Log: slog.New(slog.DiscardHandler)}, s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: receiverPages(r)}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	if code, _ := scrape(l.Addr().String(), "/healthz"); code != http.StatusServiceUnavailable {
		t.Errorf("/healthz is %d", code)
	}
	if _, page := scrape(l.Addr().String(), "/metrics"); !strings.Contains(page, "boothhq_receiver_receiving 0\n") || strings.Contains(page, "commit_timestamp") {
		t.Errorf("before anything came: %s", page)
	}
}

// The page for whoever runs headquarters tells every figure of a receiver, and
// no flag that is none.
func TestThePageOfHeadquarters(t *testing.T) {
	page, err := os.ReadFile("../../docs/headquarters.md")
	if err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc, 100)
	newReceiverCollector(nil).Describe(descs)
	close(descs)
	for d := range descs {
		name := regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1]
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/headquarters.md lacks %s", name)
		}
	}
	for _, m := range regexp.MustCompile(`configs/hq/[a-z0-9.-]*[a-z0-9]`).FindAllString(string(page), -1) {
		if _, err := os.Stat(filepath.Join("../..", m)); err != nil {
			t.Error(err)
		}
	}
	blocks := regexp.MustCompile(`(?m)^    boothhq (receive|board) (--.*(?:\\\n.*)*)$`).FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 3 {
		t.Errorf("%d commands to be typed, want 3", len(blocks))
	}
	for _, block := range blocks {
		var help bytes.Buffer
		run(t.Context(), []string{block[1], "--help"}, &help, io.Discard)
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(block[2], -1) {
			if !strings.Contains(help.String(), flag+"=") && !strings.Contains(help.String(), flag+" ") {
				t.Errorf("docs/headquarters.md: boothhq %s has no %s", block[1], flag)
			}
		}
	}
}
