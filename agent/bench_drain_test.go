package agent

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/buffer/journal"
)

// plainBroker runs mosquitto on loopback, without a word to anybody.
func plainBroker(b *testing.B, command func(name string, args ...string) *exec.Cmd) (addr string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(b.TempDir(), "mosquitto.conf")
	text := "listener " + port + " 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\nmax_inflight_messages 0\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	bin := "/usr/sbin/mosquitto"
	if found, err := exec.LookPath("mosquitto"); err == nil {
		bin = found
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	cmd := command(bin, "-c", conf)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return addr
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.Fatal("mosquitto does not start")
	return ""
}

// bareLoop publishes n messages with QoS 1, at most window without their PUBACK,
// and nothing else: no client library, no journal, one packet made once and
// written again and again. It is the limit, not a program that anybody has.
func bareLoop(b *testing.B, addr, topic string, body []byte, n, window int) time.Duration {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.ClientIdentifier, connect.CleanSession = "MQTT", 4, "bare", true
	in := bufio.NewReader(c)
	if err := connect.Write(c); err != nil {
		b.Fatal(err)
	}
	if _, err := packets.ReadPacket(in); err != nil {
		b.Fatal(err)
	}
	air := make(chan struct{}, window)
	ended := make(chan error, 1)
	began := time.Now()
	go func() {
		var ack [4]byte
		for range n {
			if _, err := in.Read(ack[:1]); err != nil {
				ended <- err
				return
			}
			for i := 1; i < 4; {
				k, err := in.Read(ack[i:])
				if err != nil {
					ended <- err
					return
				}
				i += k
			}
			<-air
		}
		ended <- nil
	}()
	var one bytes.Buffer
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Qos, p.MessageID = topic, body, 1, 1
	if err := p.Write(&one); err != nil {
		b.Fatal(err)
	}
	wire := one.Bytes()
	id := len(wire) - len(body) - 2
	out := bufio.NewWriterSize(c, 64<<10)
	for i := range n {
		select {
		case air <- struct{}{}:
		default:
			if err := out.Flush(); err != nil {
				b.Fatal(err)
			}
			air <- struct{}{}
		}
		seq := i%65535 + 1
		wire[id], wire[id+1] = byte(seq>>8), byte(seq)
		if _, err := out.Write(wire); err != nil {
			b.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// libraryLoop does the same with the client library that the product has: its
// memory store, each token awaited, the oldest when the window is full, and no
// journal behind it.
func libraryLoop(b *testing.B, addr, topic string, body []byte, n, window int) time.Duration {
	b.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("library").SetAutoReconnect(false).SetStore(mqtt.NewMemoryStore()))
	if t := c.Connect(); t.Wait() && t.Error() != nil {
		b.Fatal(t.Error())
	}
	defer c.Disconnect(0)
	air := make(chan mqtt.Token, window)
	landed := func() {
		if t := <-air; t.Wait() && t.Error() != nil {
			b.Fatal(t.Error())
		}
	}
	began := time.Now()
	for range n {
		if len(air) == window {
			landed()
		}
		air <- c.Publish(topic, 1, false, body)
	}
	for len(air) > 0 {
		landed()
	}
	return time.Since(began)
}

// drained opens a booth's link on a journal full of backlog and gives what it
// takes until headquarters' receipts have emptied it, in time and in processor
// time of this process. Receipts come fifty times a second for what the broker
// has, as from a receiver that costs nothing.
func drained(b *testing.B, addr string, j *journal.Journal) (took, cpu time.Duration) {
	b.Helper()
	const booth = "drain-01"
	hq := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("hq"))
	if t := hq.Connect(); t.Wait() && t.Error() != nil {
		b.Fatal(t.Error())
	}
	defer hq.Disconnect(0)
	receipt := func(upto uint64) {
		body, err := contract.EncodeReceipt(contract.Receipt{Epoch: j.Epoch(), Upto: upto, Rate: 1e6, Window: 4096, At: time.Now().UTC()})
		if err != nil {
			b.Fatal(err)
		}
		if t := hq.Publish(contract.ReceiptTopic(booth), 1, true, body); t.Wait() && t.Error() != nil {
			b.Fatal(t.Error())
		}
	}
	first := j.Last() - j.Stats().Waiting
	receipt(first)
	ctx, cancel := context.WithCancel(b.Context())
	var conns atomic.Uint64
	var dialer net.Dialer
	u, err := uplink.New(uplink.Config{Booth: booth, Version: "bench", Boot: "bench", Brokers: []string{"tcp://" + addr}, Dial: dialer.DialContext,
		Conn: func() (uint64, error) { return conns.Add(1), nil }, Report: func(n contract.Notice) { b.Error(n) },
		State: func() contract.State { return contract.State{} },
		Log:   slog.New(slog.DiscardHandler)}, uplink.Outbox{Journal: j})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	before, began := used(b), time.Now()
	go func() { ended <- u.Run(ctx) }()
	for sent := uint64(0); sent < j.Last()-first; {
		time.Sleep(20 * time.Millisecond)
		if now := u.Status().Sent; now > sent {
			sent = now
			receipt(first + sent)
		}
		select {
		case err := <-ended:
			b.Fatal(err, u.Status())
		default:
		}
	}
	for j.Stats().Waiting > 0 {
		time.Sleep(time.Millisecond)
	}
	took, cpu = time.Since(began), used(b)-before
	cancel()
	<-ended
	return took, cpu
}

// used is the processor time of this process so far.
func used(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// filled makes a journal with n events of one body that wait.
func filled(b *testing.B, n int, body []byte) *journal.Journal {
	b.Helper()
	j, _, err := journal.Open(b.Context(), journal.Config{Path: filepath.Join(b.TempDir(), "journal.db")})
	if err != nil {
		b.Fatal(err)
	}
	for range n / 50 {
		some := make([]journal.Entry, 50)
		for i := range some {
			some[i] = journal.Entry{Class: "crossing", At: time.Now(), Build: func(journal.Stamp) ([]byte, error) { return body, nil }}
		}
		if _, err := j.Append(b.Context(), some...); err != nil {
			b.Fatal(err)
		}
	}
	return j
}

// BenchmarkP9Drain empties a backlog out of the real journal over mosquitto, in
// turn with two loops that keep 256 messages in the air on the same broker and
// have no journal to read and no receipts to note (product design, section 9:
// P9; at least half as many a second, and 10,000 a second of one processor).
//
// P9-ratio is against the raw socket, which is the bare loop of the target and
// the harder one. P9-library-ratio is against a bare loop over the client library
// that the product is bound to: what of the first is missing and not of the second
// is the library's.
func BenchmarkP9Drain(b *testing.B) {
	const rounds, events, window = 5, 100_000, 256
	addr := plainBroker(b, child)
	body := []byte(`{"pad":"` + strings.Repeat("0123456789", 59) + `"}`)
	var ours, bare, library, core, ratios, libraryRatios []float64
	for b.Loop() {
		for range rounds {
			j := filled(b, events, body)
			limit := bareLoop(b, addr, contract.EventTopic("bare-01", "crossing"), body, events, window)
			peer := libraryLoop(b, addr, contract.EventTopic("library-01", "crossing"), body, events, window)
			took, cpu := drained(b, addr, j)
			if err := j.Close(); err != nil {
				b.Fatal(err)
			}
			ours, bare, library = append(ours, events/took.Seconds()), append(bare, events/limit.Seconds()), append(library, events/peer.Seconds())
			core = append(core, events/cpu.Seconds())
			ratios, libraryRatios = append(ratios, limit.Seconds()/took.Seconds()), append(libraryRatios, peer.Seconds()/took.Seconds())
		}
	}
	for _, all := range [][]float64{ours, bare, library, core, ratios, libraryRatios} {
		slices.Sort(all)
	}
	mid, last := len(ratios)/2, len(ratios)-1
	b.Logf("%d events of %d bytes: %.0f a second; raw socket %.0f: P9 %.2f (%.2f to %.2f in %d rounds), target 0.5; client library %.0f: %.2f (%.2f to %.2f); %.0f a second of one processor of ours, target 10,000",
		events, len(body), ours[mid], bare[mid], ratios[mid], ratios[0], ratios[last], len(ratios),
		library[mid], libraryRatios[mid], libraryRatios[0], libraryRatios[last], core[mid])
	b.ReportMetric(ratios[mid], "P9-ratio")
	b.ReportMetric(libraryRatios[mid], "P9-library-ratio")
	b.ReportMetric(core[mid], "P9-events/core-s")
	b.ReportMetric(0, "ns/op")
}
