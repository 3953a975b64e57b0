package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
	"boothd/cmd/boothhq/internal/receiver/receivertest"
)

// server is the PostgreSQL of all tests here; each has its own database.
var server *receivertest.Postgres

func TestMain(m *testing.M) {
	var err error
	if server, err = receivertest.StartPostgres(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

// running is a receiver at work on a real database.
type running struct {
	end func()
}

func startReceiver(t *testing.T, b *uplinktest.Broker, path string) running {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{
		Brokers: []string{"tcp://broker:1883"}, Dial: b.Dial, Log: slog.New(slog.DiscardHandler), PauseMost: 5 * time.Second, PauseTwin: 5 * time.Second,
	}, s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return running{end: func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}}
}

// startBooth runs the real uplink on a journal in memory.
func startBooth(t *testing.T, b *uplinktest.Broker, name string, edit ...func(*uplink.Config)) (mem *uplinktest.Memory, end func()) {
	t.Helper()
	mem = uplinktest.NewMemory(epochA)
	var conn atomic.Uint64
	cfg := uplink.Config{
		Booth: name, Brokers: []string{"tcp://broker:1883"}, Dial: b.Dial, Log: slog.New(slog.DiscardHandler),
		Conn:  func() (uint64, error) { return conn.Add(1), nil },
		State: func() contract.State { return contract.State{} },
	}
	for _, f := range edit {
		f(&cfg)
	}
	u, err := uplink.New(cfg, mem)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := u.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("uplink ended with %v", err)
		}
	}()
	return mem, func() {
		cancel()
		<-done
	}
}

// settled waits until the booth knows that everything is kept.
func settled(mem *uplinktest.Memory, n int) bool {
	for deadline := time.Now().Add(3 * time.Hour); time.Now().Before(deadline); time.Sleep(time.Second) {
		if seqs, _ := mem.Receipts(); len(seqs) >= n {
			return true
		}
	}
	return false
}

func TestI4_FiveThousandEventsThroughEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	synctest.Test(t, func(t *testing.T) {
		const events = 5000
		rng := rand.New(rand.NewPCG(7, 7))
		b := uplinktest.NewBroker(t)
		hq := startReceiver(t, b, path)
		mem, end := startBooth(t, b, boothA)
		for sent := 0; sent < events; {
			n := min(1+rng.IntN(60), events-sent)
			mem.Append(contract.ClassAudit, n, func(seq uint64, _ bool) []byte { return event(boothA, epochA, seq) })
			sent += n
			if rng.IntN(2) == 0 { // else the fault comes while they are on the way
				time.Sleep(time.Duration(rng.IntN(6000)) * time.Millisecond) // virtual: the traffic's own pace
			}
			switch rng.IntN(15) {
			case 0, 1:
				b.Cut()
			case 2:
				b.Down(true)
				time.Sleep(time.Duration(rng.IntN(120)) * time.Second)
				b.Down(false)
			case 3: // the broker loses all it has acknowledged
				b.Down(true)
				synctest.Wait() // the broker may not close while it takes a connection
				b.Wipe()
			case 4: // headquarters restarts, and knows what it has
				hq.end()
				time.Sleep(time.Duration(rng.IntN(30)) * time.Second)
				hq = startReceiver(t, b, path)
			}
		}
		if !settled(mem, events) {
			seqs, n := mem.Receipts()
			t.Errorf("the booth knows of %d of %d events kept, after %d receipts", len(seqs), events, n)
		}
		time.Sleep(time.Minute) // whoever was cut off last is back
		end()
		time.Sleep(time.Second) // the stopping reaches headquarters
		hq.end()
		b.Close()
		sum := summary(t, path)
		e := sum.Booths[0].Epochs[0]
		if sum.Missing != 0 || sum.Doubled != 0 || sum.Events != events || e.Upto != events || e.Conflicts != 0 || e.Rejected != 0 {
			t.Errorf("headquarters holds %+v", sum)
		}
		if got := sum.Booths[0].Status; got != contract.Stopping {
			t.Errorf("status %q after a clean stop", got)
		}
		t.Logf("%d repeated on the wire", e.Again)
	})
}

func TestI4_HeadquartersThatLostItsDatabaseGetsEverythingAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		hq := startReceiver(t, b, filepath.Join(dir, "first.db"))
		mem, end := startBooth(t, b, boothA)
		time.Sleep(5 * time.Second)
		body := func(seq uint64, _ bool) []byte { return event(boothA, epochA, seq) }
		mem.Append(contract.ClassAudit, 300, body)
		if !settled(mem, 300) {
			t.Fatal("the first 300 do not settle")
		}
		hq.end()
		hq = startReceiver(t, b, filepath.Join(dir, "second.db"))
		mem.Append(contract.ClassAudit, 1, body) // its first event tells it what it lacks
		time.Sleep(10 * time.Minute)             // virtual; the event may be lost once, before headquarters listens
		end()
		hq.end()
		b.Close()
		if sum := summary(t, filepath.Join(dir, "second.db")); sum.Events != 301 || sum.Missing != 0 {
			t.Errorf("the new database holds %+v, want all 301", sum)
		}
	})
}

func TestReceiptFollowsTheCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	synctest.Test(t, func(t *testing.T) {
		b := uplinktest.NewBroker(t)
		var early atomic.Int64
		b.Listen(contract.ReceiptTopic(boothA), func(_ string, payload []byte) {
			r, err := contract.DecodeReceipt(payload)
			if err != nil {
				t.Error(err)
				return
			}
			if sum := summary(t, path); uint64(sum.Events) < r.Upto {
				early.Add(1)
			}
		})
		hq := startReceiver(t, b, path)
		mem, end := startBooth(t, b, boothA)
		time.Sleep(3 * time.Second)
		for range 20 {
			mem.Append(contract.ClassAudit, 25, func(seq uint64, _ bool) []byte { return event(boothA, epochA, seq) })
			time.Sleep(700 * time.Millisecond)
		}
		if !settled(mem, 500) {
			t.Error("500 events do not settle")
		}
		_, receipts := mem.Receipts()
		if early.Load() != 0 || receipts < 5 || receipts > 25 { // 14 s at one a second, and the last
			t.Errorf("%d receipts ahead of the database, %d in all", early.Load(), receipts)
		}
		end()
		hq.end()
		b.Close()
	})
}

func TestABrokenDatabaseEndsTheReceiver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	if err := os.WriteFile(path, []byte("this is no database, and long enough to be seen as none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), path); err == nil {
		s.Close()
		t.Error("a broken file was opened")
	}
}
