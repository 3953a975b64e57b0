package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/uplink"
	"boothd/buffer/journal"
)

// stand is a booth as far as headquarters can tell: the daemon's own journal,
// on disk, and its own uplink.
type stand struct {
	*journal.Journal
	name string
	path string
	link *uplink.Uplink
}

// newStand opens a booth that knows these brokers.
func newStand(t *testing.T, name string, as *tls.Config, brokers ...string) *stand {
	t.Helper()
	return newStandWith(t, journal.Config{}, name, as, brokers...)
}

// newStandWith does so with limits to its journal.
func newStandWith(t *testing.T, cfg journal.Config, name string, as *tls.Config, brokers ...string) *stand {
	t.Helper()
	dir := t.TempDir()
	s := &stand{name: name, path: filepath.Join(dir, "journal.db")}
	cfg.Path = s.path
	var err error
	if s.Journal, _, err = journal.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s.link, err = uplink.New(uplink.Config{
		Booth: name, Brokers: brokers, TLS: as, Dial: new(net.Dialer).DialContext, Log: slog.New(slog.DiscardHandler),
		Conn: uplink.ConnFile(filepath.Join(dir, "conn")), State: func() contract.State { return contract.State{} },
		BackoffFirst: 50 * time.Millisecond, BackoffMost: 400 * time.Millisecond, TwinPause: 200 * time.Millisecond,
		ResendFirst: time.Second, ReturnAfter: 2 * time.Second,
	}, uplink.Outbox{Journal: s.Journal})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.link.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended // ctx's error, and no other
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// alertEvery is how often an event is a lookout's.
const alertEvery = 40

// store makes n events durable, twenty in a transaction.
func (s *stand) store(t *testing.T, n int) {
	t.Helper()
	for n > 0 {
		now := time.Now().UTC()
		var entries []journal.Entry
		for range min(n, 20) {
			d := contract.Data(contract.CrossingEnded{Passage: epoch, Revisions: 1, Outcome: "PRIMARY", End: "cleared", StartedAt: now, EndedAt: now})
			if at := s.Last() + uint64(len(entries)) + 1; at%alertEvery == 0 {
				d = contract.LookoutAlert{Passage: fmt.Sprintf("01931e00-0000-7000-8000-%012x", at), Revision: 1, Decision: contract.Decision{Outcome: "REFER"},
					Hits: []passage.Hit{{ID: "LK-1", Version: 3, Action: passage.Check, Subject: "PLATE", ReasonCode: "CUSTOMS-07", Caveat: "NO_ONWARD",
						Agency: "CBSA", Region: "PACIFIC", ValidFrom: noon, ValidUntil: noon}}}
			}
			entries = append(entries, journal.Entry{Class: string(d.Type().Class()), Alert: d.Type().Alert(), At: now, Build: func(at journal.Stamp) ([]byte, error) {
				return contract.Encode(contract.Stamp(at), contract.Head{Booth: s.name, Time: now}, d)
			}})
		}
		if _, err := s.Append(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
		n -= len(entries)
	}
}

// waiting is how many events have no receipt.
func (s *stand) waiting() uint64 {
	n := s.Stats()
	return n.Waiting + n.Alerts
}

// kept is a row at headquarters.
type kept struct {
	booth, epoch string
	seq          uint64
}

// held is what two sides say of each other. The zero value is good.
type held struct {
	Missing, Extra, Doubled, Altered int // events
	Rejected, Conflicts              int64
	Alerts                           int // more or fewer hits at the watch desk than the booths had
}

// compare holds every row in PostgreSQL against the journals, byte for byte.
func compare(ctx context.Context, url string, stands []*stand) (h held, n int, err error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return h, 0, err
	}
	defer c.Close(context.WithoutCancel(ctx))
	there, ids := make(map[kept][]byte), make(map[string]bool)
	rows, err := c.Query(ctx, "SELECT b.name, e.name, v.seq, v.id, v.body FROM event v JOIN epoch e ON e.id = v.epoch JOIN booth b ON b.id = e.booth")
	if err != nil {
		return h, 0, err
	}
	var k kept
	var id string
	var body []byte
	if _, err := pgx.ForEachRow(rows, []any{&k.booth, &k.epoch, &k.seq, &id, &body}, func() error {
		if _, twice := there[k]; twice || ids[id] {
			h.Doubled++
		}
		there[k], ids[id] = bytes.Clone(body), true
		return nil
	}); err != nil {
		return h, 0, err
	}
	alerts, n := 0, len(there)
	for _, s := range stands {
		for r, err := range s.Range(ctx, 1, math.MaxInt64) {
			if err != nil {
				return h, n, err
			}
			if r.Alert {
				alerts++
			}
			k := kept{s.name, s.Epoch(), r.Seq}
			switch body, ok := there[k]; {
			case !ok:
				h.Missing++
			case !bytes.Equal(body, r.Body):
				h.Altered++
			}
			delete(there, k)
		}
	}
	h.Extra = len(there)
	err = c.QueryRow(ctx, "SELECT (SELECT count(*) FROM reject), (SELECT coalesce(sum(conflicts), 0)::bigint FROM epoch), (SELECT count(*) FROM hit)").
		Scan(&h.Rejected, &h.Conflicts, &h.Alerts)
	h.Alerts -= alerts
	return h, n, err
}
