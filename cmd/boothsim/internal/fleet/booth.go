package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"boothd/agent/contract"
	"boothd/agent/uplink"
	"boothd/buffer/journal"
)

// version is what the booths call themselves.
const version = "fleet"

// For ever, as far as a run goes: a booth whose clock is at 1970 would else
// drop what it has just stored as 56 years old, and nothing could be compared.
const retain = 100 * 365 * 24 * time.Hour

// Pauses are how patient a booth's uplink is. The zero value is the contract's
// numbers, with which a booth may be away for a minute after each fault.
type Pauses struct{ First, Most, Twin, Resend time.Duration }

// Short lets a run of minutes show as many faults as one of hours.
func Short() Pauses {
	return Pauses{First: 200 * time.Millisecond, Most: 5 * time.Second, Twin: 4 * time.Second, Resend: 10 * time.Second}
}

// booth is one booth: its journal and its uplink are the daemon's own, and the
// road between them and the broker is ours.
type booth struct {
	name    string
	dir     string
	brokers []string
	pauses  Pauses
	stats   *stats
	road    *road
	traffic *traffic
	plan    []Fault
	repeat  *rand.Rand

	// Owned by the goroutine of drive; read by others once it has ended.
	src     *source
	stored  uint64 // what Append has said is durable
	happens []Fault

	unplug context.CancelFunc // ends the uplink
	link   sync.WaitGroup
}

// open opens the journal and starts the uplink.
func (b *booth) open(ctx context.Context) error {
	j, _, err := journal.Open(ctx, journal.Config{Path: b.journalPath(), Retain: retain})
	if err != nil {
		return err
	}
	if b.src == nil {
		b.src = newSource(j, b.stats, b.repeat)
	} else {
		b.src.Journal = j // the uplink is not there, and the traffic is us
	}
	count := uplink.ConnFile(filepath.Join(b.dir, "conn"))
	u, err := uplink.New(uplink.Config{
		Booth: b.name, Version: version, Boot: b.traffic.boot, Brokers: b.brokers, Dial: b.road.dial, Log: slog.New(slog.DiscardHandler),
		Conn: func() (uint64, error) {
			b.stats.connects.Add(1)
			return count()
		},
		State:        b.state,
		BackoffFirst: b.pauses.First, BackoffMost: b.pauses.Most, TwinPause: b.pauses.Twin, ResendFirst: b.pauses.Resend,
	}, b.src)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	ctx, b.unplug = context.WithCancel(ctx)
	b.link.Go(func() { _ = u.Run(ctx) }) // ctx's error, and no other
	return nil
}

func (b *booth) journalPath() string { return filepath.Join(b.dir, "journal.db") }

// state is what the booth says of itself: little, for nobody reads it here.
func (b *booth) state() contract.State {
	now := time.Now().UTC()
	s := b.src.Stats()
	return contract.State{
		Info: contract.StateInfo{Contract: contract.Version, Version: version, Booth: b.name, Boot: b.traffic.boot, Epoch: b.src.Epoch(), Simulated: true},
		Health: contract.StateHealth{At: now, Level: "healthy", Simulated: true,
			Outbox: contract.OutboxHealth{Depth: int64(s.Waiting), Quarantined: int64(s.Quarantined), Bytes: s.Bytes}},
		Lists: contract.StateLists{At: now},
	}
}

// stopLink ends the uplink.
func (b *booth) stopLink() {
	if b.unplug != nil {
		b.unplug()
		b.link.Wait()
		b.unplug = nil
	}
}

// close ends the booth; the journal stays on disk.
func (b *booth) close() error {
	b.stopLink()
	if b.src == nil {
		return nil
	}
	return b.src.Close()
}

// drive is the booth's whole run: vehicles and faults in their order, until
// end. ctx is what the uplink lives in, so that it outlives the traffic.
func (b *booth) drive(ctx, end context.Context, began time.Time, perHour float64) error {
	wake := time.NewTimer(0)
	defer wake.Stop()
	defer b.road.become("")
	faults, mend := b.plan, time.Time{} // when an outage is over
	next := began.Add(b.traffic.pause(perHour))
	for {
		at := next
		if len(faults) > 0 {
			at = earlier(at, began.Add(faults[0].At))
		}
		if !mend.IsZero() {
			at = earlier(at, mend)
		}
		wake.Reset(time.Until(at))
		select {
		case <-end.Done():
			return nil
		case <-wake.C:
		}
		now := time.Now()
		switch {
		case !mend.IsZero() && !now.Before(mend):
			b.road.become("")
			mend = time.Time{}
		case len(faults) > 0 && !now.Before(began.Add(faults[0].At)):
			f := faults[0]
			faults = faults[1:]
			b.happens = append(b.happens, f)
			if f.Lasts > 0 {
				mend = now.Add(f.Lasts)
			}
			if err := b.suffer(ctx, f, now); err != nil {
				return fmt.Errorf("%s: %s: %w", b.name, f.Kind, err)
			}
		case !now.Before(next):
			next = next.Add(b.traffic.pause(perHour))
			if err := b.store(ctx, b.traffic.next(now), now); err != nil {
				return fmt.Errorf("%s: storing an event: %w", b.name, err)
			}
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// suffer lets a fault begin.
func (b *booth) suffer(ctx context.Context, f Fault, now time.Time) error {
	switch f.Kind {
	case Step:
		if d := b.traffic.step(f.Clock, now); d != nil {
			err := b.store(ctx, d, now)
			b.traffic.stepped = b.stored
			return err
		}
	case Restart:
		if err := b.close(); err != nil {
			return err
		}
		return b.open(ctx)
	default:
		b.road.become(f.Kind)
	}
	return nil
}

// store makes an event durable and remembers that the journal said so.
func (b *booth) store(ctx context.Context, d contract.Data, now time.Time) error {
	head := contract.Head{Booth: b.name, Time: b.traffic.wall(now), Simulated: true}
	live := false
	stamps, err := b.src.Append(ctx, journal.Entry{Class: string(d.Type().Class()), Alert: d.Type().Alert(), At: head.Time,
		Build: func(s journal.Stamp) ([]byte, error) {
			live = s.Live
			return contract.Encode(contract.Stamp(s), head, d)
		}})
	if err != nil {
		return err
	}
	b.stats.store.add(time.Since(now))
	b.stats.stored.Add(1)
	b.stored = stamps[0].Seq
	b.src.note(b.stored, event{at: now, live: live})
	return nil
}

// newBooth makes a booth that is not open yet.
func newBooth(cfg Config, n int, s *stats, began time.Time) (*booth, error) {
	b := &booth{name: fmt.Sprintf("fleet-%05d", n+1), stats: s, road: newRoad(&s.up, &s.down, &s.lost), pauses: cfg.Pauses,
		traffic: newTraffic(cfg.Seed, n, began), repeat: rand.New(rand.NewPCG(cfg.Seed, 0x0200_0000+uint64(n)))}
	if !cfg.Quiet {
		b.plan = BoothPlan(cfg.Seed, n, cfg.For)
	}
	// Each prefers another broker, so that the fleet spreads over all.
	at := n % len(cfg.Brokers)
	b.brokers = append(append(b.brokers, cfg.Brokers[at:]...), cfg.Brokers[:at]...)
	b.dir = filepath.Join(cfg.Dir, b.name)
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a booth's folder: %w", err)
	}
	return b, nil
}
