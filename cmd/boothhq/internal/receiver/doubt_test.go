package receiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
)

// breaking is when a connection breaks: before the server hears of the COMMIT, while
// it commits, or when it has.
type breaking int

const (
	before breaking = iota
	during
	after
)

// cutting is a way to PostgreSQL that breaks in COMMIT, once it is armed.
type cutting struct {
	net.Conn
	armed *atomic.Bool
	at    breaking
	cut   atomic.Bool
}

func (c *cutting) Write(b []byte) (int, error) {
	if !bytes.Contains(b, []byte("commit\x00")) || !c.armed.CompareAndSwap(true, false) {
		return c.Conn.Write(b)
	}
	c.cut.Store(true)
	n := len(b)
	if c.at == before {
		return 0, errors.Join(io.ErrClosedPipe, c.Close())
	}
	if _, err := c.Conn.Write(b); err != nil {
		return 0, err
	}
	if c.at == during {
		return n, c.Close()
	}
	return n, nil
}

func (c *cutting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.cut.Load() {
		return 0, errors.Join(io.ErrUnexpectedEOF, c.Close()) // the server has answered, or nobody waits for it
	}
	return n, err
}

// cutAt has a store's next connections break in a COMMIT.
func cutAt(t *testing.T, s Store, at breaking) (armed *atomic.Bool) {
	t.Helper()
	db := s.(*Postgres).db
	dial := db.cfg.DialFunc
	armed = new(atomic.Bool)
	db.cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &cutting{Conn: c, armed: armed, at: at}, err
	}
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
	return armed
}

// I4: what was kept is handed on, also where the connection broke in COMMIT and
// nobody said that it was kept: it is receipted then, and never comes again.
func TestI4_WhatMayBeKeptIsHandedOn(t *testing.T) {
	for name, at := range map[string]breaking{"committed": after, "not committed": before, "committing": during} {
		t.Run(name, func(t *testing.T) {
			const events = 40
			db := newPostgres(t)
			s := openStore(t, db)
			if at == during {
				slow(t, db, 30*time.Millisecond)
			}
			armed := cutAt(t, s, at)
			b := uplinktest.NewBroker(t)
			var mu sync.Mutex
			printed := make(map[string]int)
			r, err := New(Config{
				Brokers: []string{"tcp://broker:1883"}, Dial: b.Dial, Log: slog.New(slog.DiscardHandler), Interval: 20 * time.Millisecond,
				PauseFirst: time.Millisecond, PauseMost: 10 * time.Millisecond, PauseTwin: 10 * time.Millisecond,
				Kept: func(body []byte) error {
					mu.Lock()
					defer mu.Unlock()
					printed[string(body)]++
					return nil
				},
			}, s)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			mem, end := startBooth(t, b, boothA, func(c *uplink.Config) { c.ResendFirst = 100 * time.Millisecond })
			for range events / 10 {
				armed.Store(true)
				mem.Append(contract.ClassAudit, 10, func(seq uint64, _ bool) []byte { return event(boothA, epochA, seq) })
				time.Sleep(20 * time.Millisecond) // one batch or another is hit
			}
			for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
				if seqs, _ := mem.Receipts(); len(seqs) == events {
					break
				}
			}
			if armed.Load() {
				t.Error("no connection was cut")
			}
			end()
			cancel()
			<-done
			b.Close()
			for seq := range uint64(events) {
				if n := printed[string(event(boothA, epochA, seq+1))]; n == 0 {
					t.Errorf("%d is kept, and was not handed on", seq+1)
				}
			}
		})
	}
}

// slow has every COMMIT take so long for each event, whoever wants it broken off:
// a disk that is asked to sync cannot be stopped either.
func slow(t *testing.T, db string, each time.Duration) {
	t.Helper()
	statements(t, db, fmt.Sprintf(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
			DECLARE over timestamptz := clock_timestamp() + make_interval(secs => %v);
			BEGIN
				WHILE clock_timestamp() < over LOOP
					BEGIN PERFORM pg_sleep(0.005); EXCEPTION WHEN query_canceled THEN NULL; END;
				END LOOP;
				RETURN NULL;
			END $$`, each.Seconds()),
		"CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()")
}

// Who stops a receiver while PostgreSQL commits waits for that, or what it says
// would be lost: what is committed is receipted.
func TestI4_AStopBreaksNoCommitOff(t *testing.T) {
	db := newPostgres(t)
	s := openStore(t, db)
	slow(t, db, time.Second)
	witness := openStore(t, db).(*Postgres).db
	ctx, cancel := context.WithCancel(t.Context())
	var stopped sync.WaitGroup
	defer stopped.Wait()
	stopped.Go(func() {
		defer cancel()
		for n := 0; n == 0; time.Sleep(10 * time.Millisecond) {
			if err := witness.queryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query = 'commit'").Scan(&n); err != nil {
				t.Error(err)
				return
			}
		}
	})
	ds := []Delivery{audit(boothA, 1)}
	if _, err := s.Add(ctx, ds); err != nil || !ds[0].Kept || ctx.Err() == nil {
		t.Errorf("Add = %v, kept %v, stopped %v", err, ds[0].Kept, ctx.Err())
	}
	if sum := summary(t, db); sum.Events != 1 {
		t.Errorf("%+v", sum)
	}
}

// counted is a way to PostgreSQL that counts what is said over it.
type counted struct {
	net.Conn
	said *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	c.said.Add(1)
	return c.Conn.Write(b)
}

// On a slow way to the database a receiver that asked for one event at a time would
// never come to the end of what it asks within the time that one call has, hold the
// rows of its booths meanwhile, and receive nothing more.
func TestI5_WhatMayBeKeptIsAskedForAtOnce(t *testing.T) {
	s := openStore(t, newPostgres(t)).(*Postgres)
	var ds, want []Delivery
	for i := range uint64(batch / 2) {
		ds = append(ds, audit(boothA, i+1), audit("lacolle-2", i+1))
	}
	for i := range ds {
		switch i % 5 {
		case 0: // not kept
		case 1:
			other := ds[i]
			other.Body = append([]byte(" "), other.Body...)
			mustAdd(t, s, other)
		default:
			want = append(want, ds[i])
		}
	}
	mustAdd(t, s, want...)
	dial, said := s.db.cfg.DialFunc, new(atomic.Int64)
	s.db.cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return counted{c, said}, err
	}
	if err := s.db.close(); err != nil {
		t.Fatal(err)
	}
	for i := range want { // as they came
		want[i].Kept = false
	}
	got, err := s.Here(t.Context(), ds)
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, %d are here, want %d (-want +got):\n%s", err, len(got), len(want), diff)
	}
	if n := said.Load(); n > 20 {
		t.Errorf("asked %d times for %d events", n, len(ds))
	}
}
