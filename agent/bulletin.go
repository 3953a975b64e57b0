package agent

import (
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"boothd/agent/contract"
	"boothd/agent/lists"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/agent/status"
	"boothd/agent/uplink"
	"boothd/configs"
)

// bulletinEvery is how often the page is told that the booth is alive, also
// when nothing has changed.
const bulletinEvery = 500 * time.Millisecond

// bulletinPause is the least time between two pictures: nobody looks faster,
// and a burst of changes belongs to the lane.
const bulletinPause = 50 * time.Millisecond

// bulletin tells the page and headquarters how the booth is. It reads what the
// parts have left for it and owns nothing, so that no viewer and no broker can
// make the lane wait (I5).
type bulletin struct {
	cfg       *configs.Config
	world     World
	startedAt time.Time
	simulated bool
	policy    func() passage.Policy // in force
	time      *timekeeper
	shelf     *shelf
	outbox    *outbox
	board     *status.Board
	key       string   // id of the booth's signing key; "" if there is none
	found     []string // warnings of what was found at the start

	notice func(at time.Time) (contract.FleetNotice, bool) // what headquarters has all booths show

	certUntil atomic.Pointer[time.Time] // end of the booth's certificate; nil: none was needed yet

	lane    atomic.Pointer[picture]
	lit     atomic.Pointer[lit]
	ring    chan struct{} // holds one: there is something new
	changed chan struct{} // holds one: headquarters should hear of it
	level   signal.Health // last told; run's own
}

// lit is what the lamps goroutine drives.
type lit struct {
	levels  signal.Levels
	aspects signal.Aspects
	sight   signal.Sight
}

// show takes the lane's picture; it never blocks.
func (b *bulletin) show(p picture) {
	b.lane.Store(&p)
	nudge(b.ring)
}

// lamps takes what is lit; it never blocks.
func (b *bulletin) lamps(lv signal.Levels, a signal.Aspects, seen signal.Sight) {
	b.lit.Store(&lit{levels: lv, aspects: a, sight: seen})
	nudge(b.ring)
}

// nudge fills a channel of one.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run publishes until ctx ends.
func (b *bulletin) run(ctx context.Context) {
	t := time.NewTicker(bulletinEvery)
	defer t.Stop()
	for ready := false; ; sleep(ctx, bulletinPause) {
		select {
		case <-ctx.Done():
			return
		case <-b.ring:
		case <-t.C:
		}
		p := b.lane.Load()
		if p == nil {
			continue
		}
		b.board.Publish(b.picture(p))
		if !ready { // the lane runs, and can be asked
			ready = true
			b.world.Notify("READY=1")
		}
		if p.Health != b.level {
			b.level = p.Health
			nudge(b.changed)
		}
	}
}

// picture puts together what the page shows. Its time is the lane's: a lane
// that hangs must look stale, however well the rest does.
func (b *bulletin) picture(p *picture) status.Picture {
	link, kept := b.outbox.link(), b.outbox.stats()
	out := status.Picture{
		At: p.At, StartedAt: b.startedAt, Version: b.world.Version, Simulated: b.simulated,
		Booth:  status.Booth{ID: string(b.cfg.Booth.ID), Site: b.cfg.Booth.Site, Port: string(b.cfg.Booth.Port), Direction: string(b.cfg.Booth.Direction)},
		Health: status.HealthWord(p.Health), Lane: b.lanePicture(p), Lamps: b.lampPictures(p.Judged.Fault), Totals: p.Totals,
		Clock: status.Clock{Quality: contract.Quality(b.time.quality()), ErrMS: b.time.judgement.Load().most.Milliseconds()},
		Store: status.Store{OK: p.StoreOK, Bytes: kept.bytes, MaxBytes: b.cfg.Store.MaxBytes.Bytes, FreeBytes: free(string(b.cfg.Store.Dir)), Dropped: p.Dropped,
			FlashDay: kept.flash, HoldsMS: -1},
		Outbox: status.Outbox{Link: link.Connected, Since: link.Since, Broker: link.Broker, Waiting: kept.waiting, OldestMS: -1, ReceiptMS: -1,
			Quarantined: kept.quarantined},
	}
	if !kept.oldest.IsZero() {
		out.Outbox.OldestMS = max(p.At.Sub(kept.oldest), 0).Milliseconds()
	}
	if !link.ReceiptAt.IsZero() {
		out.Outbox.ReceiptMS = max(p.At.Sub(link.ReceiptAt), 0).Milliseconds()
	}
	if kept.holds > 0 {
		out.Store.HoldsMS = kept.holds.Milliseconds()
	}
	out.Warnings = b.warnings(p.At, kept, link, b.shelf.facts(p.At))
	for _, c := range p.Why {
		out.Why = append(out.Why, status.Because(c))
	}
	if f := p.Judged.Fault; f != (signal.Fault{}) {
		out.SignalFault = &status.SignalFault{Head: f.Head, Lamp: string(f.Lamp), Fault: string(f.Kind)}
	}
	for _, f := range p.Last {
		out.Last = append(out.Last, status.Passage{ID: f.ID, At: f.At, Advice: status.Advise(f.Decision), Cards: f.Cards, Plate: f.Plate, End: string(f.End),
			Released: f.Released, Overridden: f.Override, DecisionUS: f.Latency.Microseconds(), Delivery: delivery(f.Seq, link)})
	}
	for _, d := range p.Devices {
		out.Devices = append(out.Devices, status.Device{Name: d.Name, Driver: d.Driver, Role: string(d.Role), Online: d.Online, Since: d.Since,
			Reason: d.Reason, ReadAt: d.ReadAt, Counts: status.Counts{Bytes: d.Counters.Bytes, Frames: d.Counters.Frames,
				CheckErrors: d.Counters.CheckErrors, Timeouts: d.Counters.Timeouts, Resyncs: d.Counters.Resyncs, Reopens: d.Counters.Reopens, Repeats: d.Counters.Repeats}})
	}
	out.Lists = b.listPictures(p.At)
	return out
}

func (b *bulletin) lanePicture(p *picture) status.Lane {
	l := status.Lane{Type: string(p.Type), Next: string(p.Next), Mode: modeWord(p.View.Mode, p.Judged.Fault != (signal.Fault{})), Open: !p.Closed, State: status.StateWord(p.Evidence.State),
		Durable: p.Durable, Cards: len(p.Evidence.Cards), Plate: plateKind(p.Evidence), Released: p.Evidence.Released}
	if p.Active && p.Evidence.State != passage.Approach {
		a := status.Advise(p.Decision)
		l.Now = &a
	}
	return l
}

// lampPictures shows every output as it is driven, after the interlock, and
// what is seen of it.
func (b *bulletin) lampPictures(fault signal.Fault) []status.Lamp {
	now := b.lit.Load()
	if now == nil {
		return nil
	}
	lamps := status.Lit(now.levels, now.aspects, func(l signal.Lamp) bool { return b.cfg.HasOut(string(l)) })
	status.Look(lamps, now.sight, fault)
	return lamps
}

func (b *bulletin) listPictures(now time.Time) []status.List {
	needed := b.shelf.facts(now)
	var out []status.List
	for _, g := range b.shelf.generations() {
		age := b.shelf.ages.age(g.Kind, g.VerifiedAt, now)
		out = append(out, status.List{Kind: g.Kind, Generation: g.Generation, Rows: g.Rows, AgeMS: age.Milliseconds(), State: b.freshness(age)})
	}
	for _, l := range needed {
		i := 0
		for i < len(out) && out[i].Kind != l.Kind {
			i++
		}
		if i == len(out) {
			out = append(out, status.List{Kind: l.Kind, AgeMS: -1, State: status.Missing})
		}
		out[i].Rejected = l.Rejected
	}
	return out
}

func (b *bulletin) freshness(age time.Duration) status.Freshness {
	switch {
	case age > b.cfg.Lists.HardAge.Duration:
		return status.Stale
	case age > b.cfg.Lists.SoftAge.Duration:
		return status.Aging
	}
	return status.Fresh
}

// delivery tells whether headquarters has receipted a passage's end.
func delivery(seq uint64, link uplink.Status) status.Delivery {
	switch {
	case seq == 0:
		return ""
	case seq <= link.Upto:
		return status.Delivered
	}
	return status.Waiting
}

// state is what headquarters is told, retained.
func (b *bulletin) state() contract.State {
	now, policy := time.Now(), b.policy()
	info := contract.StateInfo{Contract: contract.Version, Version: b.world.Version, Booth: string(b.cfg.Booth.ID), Port: string(b.cfg.Booth.Port),
		Direction: string(b.cfg.Booth.Direction), Lane: string(policy.Lane), Board: b.world.Board, OS: b.world.OS, Boot: b.world.Boot,
		Epoch: b.outbox.Epoch(), Config: b.cfg.Digest(), Policy: policy.Digest(), Key: b.key,
		Capacity: contract.Capacity{JournalBytes: b.cfg.Store.MaxBytes.Bytes, ListRows: contract.MaxListRows,
			ListBytes: min(lists.MaxListBytes, free(string(b.cfg.Store.Dir))/fetchRoom)}, StartedAt: b.startedAt.UTC(), Simulated: b.simulated}
	if b.world.Program != nil {
		info.Program = b.world.Program()
	}
	for _, d := range b.cfg.Devices {
		info.Devices = append(info.Devices, contract.Device{Name: d.Name, Driver: string(d.Driver), Role: string(d.Role)})
	}
	st := contract.State{Info: info, Health: b.health(now)}
	st.Lists.At = now.UTC()
	refused := b.shelf.facts(now)
	for _, g := range b.shelf.generations() {
		l := contract.ListState{ListRef: listRef(g), KeyID: g.Key, AgeS: int64(b.shelf.ages.age(g.Kind, g.VerifiedAt, now) / time.Second)}
		for _, r := range refused {
			l.Rejected = l.Rejected || r.Kind == g.Kind && r.Rejected
		}
		st.Lists.Lists = append(st.Lists.Lists, l)
	}
	return st
}

func (b *bulletin) health(now time.Time) contract.StateHealth {
	kept, link := b.outbox.stats(), b.outbox.link()
	h := contract.StateHealth{At: now.UTC(), Level: string(status.HealthWord(signal.Out)), Simulated: b.simulated,
		Clock:  contract.ClockHealth{Quality: contract.Quality(b.time.quality()), ErrMS: b.time.judgement.Load().most.Milliseconds()},
		Disk:   contract.DiskHealth{FreeBytes: free(string(b.cfg.Store.Dir)), FlashBytesDay: kept.flash},
		Outbox: contract.OutboxHealth{Depth: kept.waiting, Quarantined: kept.quarantined, Bytes: kept.bytes, ReceiptS: -1, HoldsS: int64(kept.holds / time.Second)}}
	lists := b.shelf.facts(now)
	for _, w := range b.warnings(now, kept, link, lists) {
		if w.Code != warnNotice && !slices.Contains(h.Warnings, w.Code) { // headquarters knows what it said
			h.Warnings = append(h.Warnings, w.Code)
		}
	}
	if until := b.certUntil.Load(); until != nil {
		h.Disk.CertificateDays = int(until.Sub(now) / (24 * time.Hour))
	}
	if !kept.oldest.IsZero() {
		h.Outbox.OldestS = int64(max(now.Sub(kept.oldest), 0) / time.Second)
	}
	if !link.ReceiptAt.IsZero() {
		h.Outbox.ReceiptS = int64(max(now.Sub(link.ReceiptAt), 0) / time.Second)
	}
	for _, l := range lists {
		age := contract.ListAge{Kind: l.Kind, AgeS: -1}
		if l.Generation > 0 {
			age.AgeS = int64(l.Age) / 1000
		}
		h.Lists = append(h.Lists, age)
	}
	p := b.lane.Load()
	if p == nil || now.Sub(p.At) > 6*pulseEvery {
		return h // the lane loop is not heard of: out
	}
	h.Level = string(status.HealthWord(p.Health))
	for _, c := range p.Why {
		h.Codes = append(h.Codes, int(c))
	}
	for _, d := range p.Devices {
		h.Devices = append(h.Devices, contract.DeviceHealth{Name: d.Name, Online: d.Online, Since: d.Since.UTC(), Reason: shorten(d.Reason),
			Frames: d.Counters.Frames, CheckErrors: d.Counters.CheckErrors, Resyncs: d.Counters.Resyncs, Timeouts: d.Counters.Timeouts, Reopens: d.Counters.Reopens})
	}
	h.LatencyP99US = p.Totals.Decision.P99().Microseconds()
	return h
}

// free tells the room of a folder's file system; 0 if nobody knows.
func free(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Clean(dir), &st); err != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}
