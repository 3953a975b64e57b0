package fleet

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/agent/uplink/uplinktest"
	"boothd/buffer/journal"
	"boothd/test/long"
)

const away = "pac-hwy-nexus-03"

// desk is a small headquarters for one booth: it notes what comes and when, and
// gives a receipt every second, as boothhq receive does with its defaults.
type desk struct {
	broker *uplinktest.Broker
	epoch  string

	mu    sync.Mutex // the broker's goroutines, and the ticker
	at    map[uint64]time.Time
	sums  map[uint64][32]byte
	above []uint64 // had, above upto
	upto  uint64
}

func (d *desk) take(_ string, payload []byte) {
	now := time.Now()
	e, err := contract.Decode(payload)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || e.Epoch != d.epoch {
		return // it will be missing in the end
	}
	if _, again := d.at[e.Seq]; again {
		return
	}
	d.at[e.Seq], d.sums[e.Seq] = now, sha256.Sum256(payload)
	d.above = append(d.above, e.Seq)
}

// receipt says what is here.
func (d *desk) receipt() contract.Receipt {
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.Sort(d.above)
	for len(d.above) > 0 && d.above[0] == d.upto+1 {
		d.upto, d.above = d.upto+1, d.above[1:]
	}
	r := contract.Receipt{Epoch: d.epoch, Upto: d.upto, Rate: 500, Window: 256, At: time.Now().UTC()}
	for _, seq := range d.above {
		if n := len(r.Have); n > 0 && r.Have[n-1][1]+1 == seq {
			r.Have[n-1][1] = seq
		} else if n < 500 {
			r.Have = append(r.Have, [2]uint64{seq, seq})
		}
	}
	return r
}

// run gives receipts until ctx ends.
func (d *desk) run(ctx context.Context, t *testing.T) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		payload, err := contract.EncodeReceipt(d.receipt())
		if err != nil {
			t.Error(err)
			return
		}
		d.broker.Publish(contract.ReceiptTopic(away), true, payload)
	}
}

// real is a clock that a bubble does not bend.
func real(t *testing.T) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// lonely is a booth with its journal and uplink, and a broker that is away.
type lonely struct {
	t       *testing.T
	journal *journal.Journal
	link    *uplink.Uplink
	stored  map[uint64]time.Time // what the test waits for, by number
	took    []time.Duration      // real, of each append
}

// append stores events of the booth's own kinds, at the bubble's time.
func (l *lonely) append(data ...contract.Data) {
	l.t.Helper()
	now := time.Now()
	head := contract.Head{Booth: away, Time: now.UTC(), Simulated: true}
	var entries []journal.Entry
	for _, d := range data {
		entries = append(entries, journal.Entry{Class: string(d.Type().Class()), Alert: d.Type().Alert(), At: now,
			Build: func(s journal.Stamp) ([]byte, error) { return contract.Encode(contract.Stamp(s), head, d) }})
	}
	began := real(l.t)
	stamps, err := l.journal.Append(l.t.Context(), entries...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.took = append(l.took, real(l.t)-began)
	for _, s := range stamps {
		l.stored[s.Seq] = now
	}
}

// waitFor lets time pass until something is so, and gives up after most.
func (l *lonely) waitFor(what string, most time.Duration, so func() bool) {
	l.t.Helper()
	for began := time.Now(); !so(); time.Sleep(100 * time.Millisecond) { // virtual
		if time.Since(began) > most {
			l.t.Fatalf("%s: not after %v", what, most)
		}
	}
}

// I4, I5: three days without headquarters at 900 passages an hour with the real
// journal (eight hours in the quick run). On return alerts and live events
// overtake the 259,200 rows behind them, all the while these are sent, and nothing is lost. Time is
// virtual: what is bounded here is the protocol's waiting, and no machine is
// too slow for it.
func TestI4_ThreeDaysOffline(t *testing.T) {
	const passages, perPassage, group = 900, 4, 60
	hours := 8 // of the three days, in the quick run
	if n := long.Times(); n > 0 {
		hours = 72 * n
	}
	began := real(t)
	// In memory: three days of syncs say nothing here, and take minutes.
	dir, err := os.MkdirTemp("/dev/shm", "boothsim-offline-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) {
		broker := uplinktest.NewBroker(t)
		defer broker.Close()
		broker.Down(true)
		j, _, err := journal.Open(t.Context(), journal.Config{Path: filepath.Join(dir, "journal.db")})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		}()
		l := &lonely{t: t, journal: j, stored: make(map[uint64]time.Time)}
		l.link, err = uplink.New(uplink.Config{Booth: away, Brokers: []string{"tcp://hq:1883"}, Dial: broker.Dial, Log: slog.New(slog.DiscardHandler),
			Conn: uplink.ConnFile(filepath.Join(dir, "conn")), State: func() contract.State { return contract.State{} }},
			newSource(j, new(stats), rand.New(rand.NewPCG(1, 1))))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { _ = l.link.Run(ctx) })

		vehicles := newTraffic(1, 1, time.Now())
		vehicles.alerts = 4096 // 63 in three days
		for range hours * passages * perPassage / group {
			time.Sleep(group * time.Hour / (passages * perPassage))
			var data []contract.Data
			for len(data) < group {
				data = append(data, vehicles.next(time.Now()))
			}
			l.append(data...)
		}
		behind, dials := j.Stats(), broker.Dials()
		if n := behind.Waiting + behind.Alerts; n != uint64(hours*passages*perPassage) {
			t.Fatalf("%d rows wait after %d hours, want %d", n, hours, hours*passages*perPassage)
		}
		tenth := len(l.took) / 10
		t.Logf("offline: %d rows, %d tries to connect, %d MB; append of %d (real) p99 %v in the first tenth, %v in the last", behind.Waiting+behind.Alerts,
			dials, behind.Bytes>>20, group, high(l.took[:tenth]), high(l.took[len(l.took)-tenth:]))

		d := &desk{broker: broker, epoch: j.Epoch(), at: make(map[uint64]time.Time), sums: make(map[uint64][32]byte)}
		broker.Listen(contract.FilterEvents, d.take)
		running.Go(func() { d.run(ctx, t) })
		broker.Down(false)
		l.waitFor("the link", 2*time.Minute, func() bool { return l.link.Status().Connected })
		back := time.Now()
		clear(l.stored)
		alerts := make(map[uint64]bool)
		for n := 0; n < 100 || j.Stats().Waiting > 300; n++ {
			if time.Since(back) > 2*time.Hour {
				t.Fatalf("%d rows wait two hours after the return", j.Stats().Waiting)
			}
			if n%7 == 0 {
				l.append(vehicles.alert(time.Now()))
				alerts[j.Last()] = true
			} else {
				l.append(vehicles.approach(time.Now()))
			}
			time.Sleep(1700 * time.Millisecond) // not in step with the receipts
		}
		l.waitFor("the last receipt", time.Hour, func() bool { s := j.Stats(); return s.Waiting+s.Alerts == 0 })
		whole := time.Since(back)
		cancel()
		running.Wait()

		var fresh, live []time.Duration
		for seq, at := range l.stored {
			if late := d.at[seq].Sub(at); alerts[seq] {
				fresh = append(fresh, late)
			} else {
				live = append(live, late)
			}
		}
		t.Logf("back: everything receipted after %v (virtual); %d alerts p99 %v, max %v; %d live p99 %v, max %v", whole.Round(time.Second),
			len(fresh), high(fresh), slices.Max(fresh), len(live), high(live), slices.Max(live))
		if worst := slices.Max(fresh); worst > time.Second || slices.Min(fresh) < 0 {
			t.Errorf("an alert took %v to headquarters, at most 1 s is allowed", worst)
		}
		if worst := slices.Max(live); worst > 2*time.Second || slices.Min(live) < 0 {
			t.Errorf("a live event took %v to headquarters, at most 2 s are allowed", worst)
		}
		kept := uint64(0)
		for r, err := range j.Range(t.Context(), 1, math.MaxInt64) {
			if err != nil {
				t.Fatal(err)
			}
			if kept++; d.sums[r.Seq] != sha256.Sum256(r.Body) {
				t.Fatalf("%d is not at headquarters as it was stored", r.Seq)
			}
		}
		if kept != j.Last() || uint64(len(d.sums)) != kept {
			t.Errorf("%d stored, %d kept, %d at headquarters", j.Last(), kept, len(d.sums))
		}
	})
	t.Logf("took %v (real)", (real(t) - began).Round(time.Millisecond))
}

func high(took []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(took))
	return s[len(s)*99/100]
}
