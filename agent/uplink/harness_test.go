package uplink_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
)

const (
	booth = "pac-hwy-nexus-03"
	epoch = "01931e00-0000-7000-8000-000000000001"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func body(seq uint64, live bool) []byte {
	b, err := contract.Encode(contract.Stamp{Epoch: epoch, Seq: seq, ID: "01931f0c-8a5e-7c3b-9d5e-2f4a6b8c0d1e", Live: live},
		contract.Head{Booth: booth, Time: time.Unix(1_700_000_000, 0)}, contract.Stopped{Reason: "signal"})
	if err != nil {
		panic(err)
	}
	return b
}

// link is an uplink under test with everything around it.
type link struct {
	*uplink.Uplink
	mem  *uplinktest.Memory
	logs *syncBuffer
	end  func() // stops it and waits

	mu      sync.Mutex // Report and Conn run in the uplink's goroutine
	notices []contract.Notice
	conn    uint64
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (l *link) noticed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var words []string
	for _, n := range l.notices {
		words = append(words, n.What)
	}
	return words
}

// start runs an uplink; call end before the bubble ends.
func start(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), edit func(*uplink.Config)) *link {
	t.Helper()
	return startOn(t, dial, edit, func(m *uplinktest.Memory) uplink.Source { return m })
}

// startOn does so on what source makes of the journal.
func startOn(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), edit func(*uplink.Config),
	source func(*uplinktest.Memory) uplink.Source) *link {
	t.Helper()
	l := &link{mem: uplinktest.NewMemory(epoch), logs: new(syncBuffer)}
	cfg := uplink.Config{
		Booth: booth, Version: "test", Brokers: []string{"tcp://hq-a:1883"}, Dial: dial,
		Conn: func() (uint64, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.conn++
			return l.conn, nil
		},
		State: func() contract.State { return contract.State{Health: contract.StateHealth{At: time.Now().UTC()}} },
		Report: func(n contract.Notice) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.notices = append(l.notices, n)
		},
		Log: slog.New(slog.NewTextHandler(l.logs, nil)),
	}
	if edit != nil {
		edit(&cfg)
	}
	u, err := uplink.New(cfg, source(l.mem))
	if err != nil {
		t.Fatal(err)
	}
	l.Uplink = u
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := u.Run(ctx); ctx.Err() == nil {
			t.Errorf("Run ended by itself: %v", err)
		}
	}()
	l.end = func() {
		cancel()
		<-done
	}
	return l
}

// hq is a small headquarters: it keeps what it gets and receipts once a second.
type hq struct {
	b    *uplinktest.Broker
	mu   sync.Mutex // the broker's goroutines and the ticker
	got  map[uint64]int
	wire []uint64 // in order of arrival
	stop chan struct{}
	done sync.WaitGroup
}

func headquarters(b *uplinktest.Broker, rate float64) *hq {
	h := &hq{b: b, got: make(map[uint64]int), stop: make(chan struct{})}
	h.listen()
	h.done.Go(func() {
		for {
			select {
			case <-h.stop:
				return
			case <-time.After(time.Second):
				h.receipt(rate)
			}
		}
	})
	return h
}

func (h *hq) listen() {
	h.b.Listen(contract.FilterEvents, func(_ string, payload []byte) {
		e, err := contract.Decode(payload)
		if err != nil {
			panic(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got[e.Seq]++
		h.wire = append(h.wire, e.Seq)
	})
}

func (h *hq) receipt(rate float64) {
	h.mu.Lock()
	r := contract.Receipt{Epoch: epoch, Rate: rate, At: time.Now().UTC()}
	for h.got[r.Upto+1] > 0 {
		r.Upto++
	}
	for seq := range h.got {
		if seq > r.Upto && len(r.Have) < 500 {
			r.Have = append(r.Have, [2]uint64{seq, seq})
		}
	}
	h.mu.Unlock()
	payload, err := contract.EncodeReceipt(r)
	if err != nil {
		panic(err)
	}
	h.b.Publish(contract.ReceiptTopic(booth), true, payload)
}

func (h *hq) order() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.wire)
}

// times tells how often an event came.
func (h *hq) times(seq uint64) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got[seq]
}

func (h *hq) end() {
	close(h.stop)
	h.done.Wait()
}

// connected waits until the link is.
func (l *link) connected() {
	for !l.Status().Connected {
		time.Sleep(10 * time.Millisecond)
	}
}

// endsSoon stops the link, which must not wait for anything.
func (l *link) endsSoon(t *testing.T) {
	t.Helper()
	began := time.Now()
	l.end()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// receipted tells how many events the booth knows to be kept.
func (l *link) receipted() int {
	seqs, _ := l.mem.Receipts()
	return len(seqs)
}
