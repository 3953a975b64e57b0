package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
	"boothd/cmd/boothhq/internal/receiver"
)

// headquarters is the program at work.
type headquarters struct {
	t     *testing.T
	kept  chan string // every event that it prints
	end   context.CancelFunc
	ended chan int
	db    string
}

// startReceiver runs "boothhq receive" in this process.
func startReceiver(t *testing.T, m *mosquitto, db string, more ...string) *headquarters {
	t.Helper()
	cert, key := m.ca.issue(t, "HQ-receiver")
	ctx, cancel := context.WithCancel(t.Context())
	h := &headquarters{t: t, kept: make(chan string, 10000), end: cancel, ended: make(chan int, 1), db: db}
	out, in := io.Pipe()
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			h.kept <- lines.Text()
		}
		close(h.kept)
	}()
	go func() {
		code := run(ctx, append([]string{"receive", "--broker", m.url, "--ca", filepath.Join(m.dir, "ca.pem"), "--cert", cert, "--key", key,
			"--db", db, "--interval", "50ms", "--print"}, more...), in, io.Discard)
		in.Close()
		h.ended <- code
	}()
	return h
}

// await waits until it has printed so many events more.
func (h *headquarters) await(n int) {
	h.t.Helper()
	for range n {
		if _, ok := <-h.kept; !ok {
			h.t.Fatalf("boothhq receive has ended")
		}
	}
}

// stop ends the program in order.
func (h *headquarters) stop() {
	h.t.Helper()
	h.end()
	if code := <-h.ended; code != 0 {
		h.t.Errorf("boothhq receive left with %d, want 0", code)
	}
}

// report runs "boothhq report --strict --json".
func (h *headquarters) report() (s receiver.Summary) {
	h.t.Helper()
	var out, log bytes.Buffer
	if code := run(h.t.Context(), []string{"report", "--db", h.db, "--json", "--strict"}, &out, &log); code != 0 {
		h.t.Errorf("boothhq report left with %d: %s", code, &log)
	}
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// audited is an event body for a number.
func audited(seq uint64, live bool) []byte {
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte{byte(seq >> 8), byte(seq)})
	b, err := contract.Encode(contract.Stamp{Epoch: epoch, Seq: seq, ID: id.String(), Live: live}, contract.Head{Booth: booth, Time: noon},
		contract.Stopped{Reason: "signal"})
	if err != nil {
		panic(err) // the arguments above are wrong
	}
	return b
}

// I4: a booth that repeats itself is kept once, and the receipt waits for it.
func TestI4_WhatIsSentTwiceIsKeptOnce(t *testing.T) {
	t.Parallel()
	m := newMosquitto(t)
	hq := startReceiver(t, m, filepath.Join(t.TempDir(), "events.db"))
	c, in := m.connect(booth, booth)
	wait(t, c.Subscribe(contract.ReceiptTopic(booth), contract.QoS, nil))
	const events = 40
	topic := contract.EventTopic(booth, contract.ClassAudit)
	for seq := uint64(1); seq <= events; seq++ {
		wait(t, c.Publish(topic, contract.QoS, false, audited(seq, true)))
		wait(t, c.Publish(topic, contract.QoS, false, audited(seq, true)))
	}
	for len(hq.kept) == 0 { // the receiver may have come after the first of them
		wait(t, c.Publish(topic, contract.QoS, false, audited(1, true)))
	}
	for upto := uint64(0); upto < events; {
		r, err := contract.DecodeReceipt((<-in).Payload())
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range r.Want {
			for seq := want[0]; seq <= want[1]; seq++ {
				wait(t, c.Publish(topic, contract.QoS, false, audited(seq, true)))
			}
		}
		if upto = r.Upto; len(r.Want) == 0 && upto < events {
			wait(t, c.Publish(topic, contract.QoS, false, audited(events, true)))
		}
	}
	c.Disconnect(100)

	again, in := m.connect(booth, booth)
	wait(t, again.Subscribe(contract.ReceiptTopic(booth), contract.QoS, nil))
	msg := <-in
	if r, err := contract.DecodeReceipt(msg.Payload()); err != nil || r.Upto != events || !msg.Retained() {
		t.Errorf("a booth that comes back gets %+v, retained %v, %v", r, msg.Retained(), err)
	}
	hq.stop()
	s := hq.report()
	if e := s.Booths[0].Epochs[0]; e.Events != events || e.Distinct != events || e.Again == 0 || e.Upto != events {
		t.Errorf("kept %+v, want %d once each and repetitions seen", e, events)
	}
	printed := 0
	for range hq.kept {
		printed++
	}
	if printed != events {
		t.Errorf("printed %d events, want %d", printed, events)
	}
}

// told is a journal that says when headquarters has all of so many.
type told struct {
	*uplinktest.Memory
	n   int
	all chan struct{}
}

// Receipted notes what headquarters has.
func (j *told) Receipted(ctx context.Context, r contract.Receipt) error {
	err := j.Memory.Receipted(ctx, r)
	if seqs, _ := j.Receipts(); len(seqs) == j.n {
		select {
		case j.all <- struct{}{}:
		default:
		}
	}
	return err
}

// I4: the broker dies twice with all that it has acknowledged, headquarters
// once; every event is kept once, and the booth knows.
func TestI4_ABrokerThatLosesEverythingLosesNothing(t *testing.T) {
	t.Parallel()
	const events = 1200
	m := newMosquitto(t)
	db := filepath.Join(t.TempDir(), "events.db")
	hq := startReceiver(t, m, db)
	journal := &told{Memory: uplinktest.NewMemory(epoch), n: events, all: make(chan struct{}, 1)}
	var conn atomic.Uint64
	u, err := uplink.New(uplink.Config{
		Booth: booth, Brokers: []string{m.url}, TLS: m.ca.client(t, booth), Dial: new(net.Dialer).DialContext,
		Log: slog.New(slog.DiscardHandler), Conn: func() (uint64, error) { return conn.Add(1), nil },
		State:        func() contract.State { return contract.State{} },
		BackoffFirst: 50 * time.Millisecond, BackoffMost: 200 * time.Millisecond, TwinPause: 200 * time.Millisecond, ResendFirst: time.Second,
	}, journal)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()

	third := func() { journal.Append(contract.ClassAudit, events/3, audited) }
	third()
	hq.await(1) // it flows, and is not over
	m.lose()
	third()
	hq.await(events / 3) // some of the second third, through the second broker
	hq.stop()
	witness, heard := m.connect("HQ-receiver", "witness")
	wait(t, witness.Subscribe(contract.FilterEvents, contract.QoS, nil))
	third()
	<-heard // the broker has some of the last third, and nobody keeps it
	m.lose()
	hq = startReceiver(t, m, db)
	<-journal.all

	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("uplink ended with %v", err)
	}
	hq.stop()
	s := hq.report()
	if e := s.Booths[0].Epochs[0]; s.Missing != 0 || s.Doubled != 0 || e.Events != events || e.Distinct != events || e.Upto != events {
		t.Errorf("headquarters holds %+v", s)
	}
	t.Logf("%d connections of the booth, %d repetitions", conn.Load(), s.Booths[0].Epochs[0].Again)
}
