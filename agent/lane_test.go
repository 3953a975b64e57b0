package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/agent/token"
	"boothd/agent/uplink"
	"boothd/configs"
	"boothd/devices"
)

// bench is a lane in virtual time with its far ends in memory: a store that
// can be slow or broken, lists as maps, and a trace of everything it was told.
type bench struct {
	t     *testing.T
	lane  *lane
	key   *token.Key
	trace []string // "show ..." and "store ...", in the order of happening
	kept  []contract.Data
	rows  map[string][]byte
	slow  atomic.Int64 // nanoseconds a commit takes
	mu    sync.Mutex   // kept, fail and last are read and written while the lane runs
	fail  error
	clock passage.Clock
	last  picture
	age   time.Duration
	fed   int
	apart bool   // headquarters is out of reach
	gen   uint64 // of every list
}

const (
	goodCard, otherCard = devices.Ident("3500E86F8000A9E000000586"), devices.Ident("3074257BF7194E4000001A85")
	goodPlate           = devices.Ident("ABC 123")
	chip                = devices.Ident("E200341201")
)

func newBench(t *testing.T) *bench {
	key, err := token.ParseKey([]byte(strings.Repeat("1f", 32)))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, key: key, rows: map[string][]byte{}, clock: passage.ClockSynced, age: time.Minute, gen: 3}
	n := 0
	b.lane = &lane{
		log: slog.New(slog.DiscardHandler), key: key, inbox: newInbox(), recent: newRecent(), machine: passage.NewMachine(false), storeOK: true,
		policy: passage.Policy{Lane: passage.NEXUS, Direction: passage.ToCanada, Port: "CBSA/0813", AcceptedPrograms: []string{"NEXUS"},
			AntiPassback: true, AntiPassbackFor: passage.Of(10 * time.Minute), PlateConfidence: 0.8, PlatePresent: true,
			ReaderCapacity: 8, SoftAge: passage.Of(15 * time.Minute), HardAge: passage.Of(4 * time.Hour)},
		store: b.store, lookup: b.lookup, lists: b.lists, edition: func() edition { return edition{view: b.gen} },
		quality: func() passage.Clock { return b.clock },
		stamp:   func(time.Time) contract.Clock { return contract.Clock{Boot: "boot", Quality: "synced"} },
		apart:   func(time.Time) bool { return b.apart },
		show:    b.show, publish: func(p picture) { b.mu.Lock(); defer b.mu.Unlock(); b.last = p }, alive: func() { b.fed++ },
		newID: func() string { n++; return fmt.Sprintf("01931f0c-8a51-7000-8000-%012d", n) },
	}
	b.lane.health.devices = []deviceState{{Name: "pre", Role: devices.RoleCard, Online: true, Since: time.Now()}, {Name: "cam", Role: devices.RolePlateFront, Online: true, Since: time.Now()}}
	b.card(goodCard, passage.Issued, passage.Active)
	return b
}

func (b *bench) store(ctx context.Context, _ time.Time, events ...contract.Data) (uint64, error) {
	if slow := time.Duration(b.slow.Load()); slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return 0, b.fail
	}
	for _, e := range events {
		b.kept = append(b.kept, e)
		if c, ok := e.(contract.CrossingDecided); ok {
			b.trace = append(b.trace, fmt.Sprintf("store %s %d", c.Decision.Outcome, c.Decision.Lead))
		}
	}
	return uint64(len(b.kept)), nil
}

func (b *bench) lookup(dst []byte, kind string, t passage.Token) ([]byte, bool, error) {
	v, ok := b.rows[kind+"/"+string(t)]
	return append(dst, v...), ok, nil
}

func (b *bench) lists(time.Time) (out []passage.List) {
	for _, kind := range passage.RequiredLists(b.lane.policy) {
		out = append(out, passage.List{Kind: kind, Generation: b.gen, Age: passage.Of(b.age)})
	}
	return out
}

func (b *bench) show(v signal.View) {
	a := signal.Show(v)
	s := fmt.Sprintf("show traveller=%d green=%d amber=%d red=%d ready=%d", a.Traveller, a.OfficerGreen, a.OfficerAmber, a.OfficerRed, a.Count)
	if len(b.trace) == 0 || b.trace[len(b.trace)-1] != s {
		b.trace = append(b.trace, s)
	}
}

// broken makes the store fail from now on, or work again.
func (b *bench) broken(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = err
}

// now is the latest picture.
func (b *bench) now() picture {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

func (b *bench) card(epc devices.Ident, card, member passage.Status) {
	m := b.key.Membership(epc)
	row, err := contract.CardRow{Status: card, Member: m, TID: b.key.TID(chip)}.Append(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.rows["cards/"+string(b.key.Card(epc))] = row
	until := time.Now().AddDate(1, 0, 0).Truncate(time.Second).UTC()
	row, err = contract.MemberRow{Status: member, Programs: []string{"NEXUS"}, ValidUntil: until}.Append(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.rows["members/"+string(m)] = row
}

func (b *bench) lookout(a passage.Action) {
	from := time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	row, err := contract.LookoutRow{Lookouts: []contract.Lookout{{ID: "L-1", Version: 1, Match: contract.MatchExact, Action: a, Subject: "CARD",
		ReasonCode: "R1", Agency: "RCMP", Region: "Pacific", ValidFrom: from, ValidUntil: from.AddDate(0, 1, 0)}}}.Append(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.rows["lookouts/"+string(b.key.Card(goodCard))] = row
}

// run starts the lane in a bubble, drives it with f and stops it.
func (b *bench) run(f func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- b.lane.run(ctx) }()
	synctest.Wait()
	f()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		b.t.Errorf("lane ended with %v", err)
	}
}

func (b *bench) point(name string, on bool) { b.late(name, on, 0) }

// late is a change of a point that is taken so long after it happened.
func (b *bench) late(name string, on bool, by time.Duration) {
	if err := b.lane.inbox.press(b.t.Context(), press{point: name, active: on, at: time.Now().Add(-by)}); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) press(name string) { b.point(name, true); b.point(name, false) }

func (b *bench) tag(epc devices.Ident) {
	b.lane.inbox.read(devices.Read{Device: "pre", Role: devices.RoleCard, At: time.Now(), Tag: &devices.Tag{EPC: epc, TID: chip, RSSIDBm: -50, Antenna: 1}})
	synctest.Wait()
}

func (b *bench) plate(text devices.Ident) {
	b.lane.inbox.read(devices.Read{Device: "cam", Role: devices.RolePlateFront, At: time.Now(), Plate: &devices.Plate{Text: text, Jurisdiction: "BC", Confidence: 0.95}})
	synctest.Wait()
}

// arrive drives a car with one card and a plate up to the booth.
func (b *bench) arrive(epc devices.Ident) {
	b.point("approach_loop", true)
	if epc != "" {
		b.tag(epc)
	}
	b.plate(goodPlate)
	b.point("approach_loop", false)
	b.point("booth_loop", true)
}

// leave drives it over the exit loop.
func (b *bench) leave() {
	time.Sleep(time.Second)
	b.point("exit_loop", true)
	b.point("booth_loop", false)
	b.point("exit_loop", false)
}

func (b *bench) decided() (out []string) {
	for _, e := range b.kept {
		if c, ok := e.(contract.CrossingDecided); ok {
			out = append(out, fmt.Sprintf("%s %v", c.Decision.Outcome, c.Decision.Reasons))
		}
	}
	return out
}

func wantDecided(t *testing.T, b *bench, want ...string) {
	t.Helper()
	if got := b.decided(); !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

func TestLaneOnePressExpedites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(func() { b.arrive(goodCard); b.press("release"); b.leave() })
		wantDecided(t, b, "PRIMARY [500]", "EXPEDITE [100 902]")
		end, ok := b.kept[len(b.kept)-1].(contract.CrossingEnded)
		if !ok || end.End != "cleared" || !end.Released || end.Outcome != "EXPEDITE" {
			t.Errorf("ended %+v", b.kept[len(b.kept)-1])
		}
	})
}

// What happened while the process was held up lets nobody go: the release is to
// be pressed again, and a light without an officer waits until the lane has looked
// at the road as it is now.
func TestI1_WhatIsTakenLateLetsNobodyGo(t *testing.T) {
	t.Run("release", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.run(func() {
				b.arrive(goodCard)
				time.Sleep(5 * time.Second)
				b.late("release", true, fresh+time.Millisecond)
				b.point("release", false)
				if ev := b.now().Evidence; ev.Released || ev.Releases != 0 {
					t.Errorf("released %v after %d presses by a press that came late", ev.Released, ev.Releases)
				}
				b.late("release", true, fresh)
				if !b.now().Evidence.Released {
					t.Error("a press that is still fresh did not count")
				}
			})
			wantDecided(t, b, "PRIMARY [500]", "EXPEDITE [100 902]")
		})
	})
	t.Run("road", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.lane.mode = signal.Auto
			b.run(func() {
				b.point("approach_loop", true)
				b.tag(goodCard)
				b.plate(goodPlate)
				b.press("count_1")
				time.Sleep(5 * time.Second)
				b.late("booth_loop", true, fresh+time.Millisecond)
				if p := b.now(); p.Evidence.State != passage.AtBooth || p.Decision.Outcome != passage.Primary {
					t.Errorf("%v, %v by what came late", p.Decision, p.Evidence.State)
				}
				time.Sleep(2 * pulseEvery)
				if p := b.now(); p.Evidence.State != passage.Acted {
					t.Errorf("who is still there was not let go: %v, %v", p.Decision, p.Evidence.State)
				}
			})
			wantDecided(t, b, "PRIMARY [210]", "EXPEDITE [100]")
		})
	})
}

// No lamp that lets a vehicle go is lit before the record is durable.
func TestI2_CommitComesBeforeGreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.slow.Store(int64(20 * time.Millisecond))
		b.run(func() {
			b.arrive(goodCard)
			time.Sleep(time.Second)
			b.press("release")
			time.Sleep(time.Second)
			b.leave()
		})
		stored := 0
		for _, line := range b.trace {
			if strings.HasPrefix(line, "store EXPEDITE") {
				stored++
			}
			if strings.Contains(line, "traveller=2") && stored == 0 {
				t.Errorf("green before the record:\n%s", strings.Join(b.trace, "\n"))
			}
		}
		if stored == 0 || !strings.Contains(strings.Join(b.trace, "\n"), "traveller=2") {
			t.Errorf("never green:\n%s", strings.Join(b.trace, "\n"))
		}
	})
}

func TestI2_AStoreThatHangsGivesPrimaryAndNoGreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.slow.Store(int64(time.Hour))
		b.run(func() {
			b.arrive(goodCard)
			time.Sleep(300 * time.Millisecond)
			synctest.Wait()
			if d := b.last.Decision; d.Outcome != passage.Primary || !slices.Contains(d.Reasons, passage.StoreFault) {
				t.Errorf("decision after 300 ms: %+v", d)
			}
			b.press("release")
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if strings.Contains(strings.Join(b.trace, "\n"), "traveller=2") {
				t.Error("green without a record")
			}
			b.slow.Store(0)
			time.Sleep(5 * time.Second) // the fault ends
			synctest.Wait()
			if b.last.Health != signal.Healthy || len(b.decided()) == 0 {
				t.Errorf("5 s after the fault: health %d, recorded %q", b.last.Health, b.decided())
			}
		})
	})
}

// With and without an OBSERVE lookout everything that can be seen is the same,
// in the same order; the hit reaches the watch desk's event alone.
func TestI3_ObserveLeavesNoTrace(t *testing.T) {
	run := func(a passage.Action) (trace []string, alerts int, public []contract.Data) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			if a != "" {
				b.lookout(a)
			}
			b.run(func() { b.arrive(goodCard); b.press("release"); b.leave() })
			trace = b.trace
			for _, e := range b.kept {
				if _, ok := e.(contract.LookoutAlert); ok {
					alerts++
				} else {
					public = append(public, e)
				}
			}
		})
		return trace, alerts, public
	}
	plain, none, events := run("")
	observed, some, same := run(passage.Observe)
	if !slices.Equal(plain, observed) {
		t.Errorf("trace with OBSERVE:\n%s\nwithout:\n%s", strings.Join(observed, "\n"), strings.Join(plain, "\n"))
	}
	if !reflect.DeepEqual(events, same) {
		t.Errorf("public events differ:\n%+v\n%+v", same, events)
	}
	if none != 0 || some == 0 {
		t.Errorf("%d alerts without, %d with a lookout", none, some)
	}
}

func TestLaneOutcomes(t *testing.T) {
	for name, tc := range map[string]struct {
		drive func(b *bench)
		want  []string
	}{
		"unknown card":       {func(b *bench) { b.arrive(otherCard) }, []string{"PRIMARY [402 500]"}},
		"no card":            {func(b *bench) { b.arrive("") }, []string{"PRIMARY [400 500]"}},
		"revoked":            {func(b *bench) { b.card(goodCard, passage.Issued, passage.Revoked); b.arrive(goodCard) }, []string{"REFER [407 500]"}},
		"stale":              {func(b *bench) { b.age = 5 * time.Hour; b.arrive(goodCard) }, []string{"PRIMARY [204 500]"}},
		"clock at 1970":      {func(b *bench) { b.clock = passage.ClockUnset; b.arrive(goodCard) }, []string{"PRIMARY [202 500]"}},
		"clock restored":     {func(b *bench) { b.clock = passage.ClockRestored; b.arrive(goodCard) }, []string{"PRIMARY [202 500]"}},
		"no key":             {func(b *bench) { b.lane.key = nil; b.arrive(goodCard) }, []string{"PRIMARY [214 401 500 600]"}},
		"officer refers":     {func(b *bench) { b.arrive(goodCard); b.press("refer") }, []string{"PRIMARY [500]", "REFER [500 901]"}},
		"count differs":      {func(b *bench) { b.arrive(goodCard); b.press("count_2") }, []string{"PRIMARY [500]", "PRIMARY [501]"}},
		"count then release": {func(b *bench) { b.arrive(goodCard); b.press("count_1"); b.press("release") }, []string{"PRIMARY [500]", "EXPEDITE [100]", "EXPEDITE [100 902]"}},
		"REFER: one press":   {func(b *bench) { b.lookout(passage.Check); b.arrive(goodCard); b.press("release") }, []string{"REFER [500 900]"}},
		"REFER: two presses": {func(b *bench) { b.lookout(passage.Check); b.arrive(goodCard); b.press("release"); b.press("release") }, []string{"REFER [500 900]", "REFER [500 900 903]"}},
		"backs out": {func(b *bench) {
			b.point("approach_loop", true)
			b.tag(goodCard)
			b.point("approach_loop", false)
			time.Sleep(time.Minute)
		}, nil},
		"reads with no loop": {func(b *bench) { b.tag(goodCard); b.plate(goodPlate) }, nil},
		"same card, 2 passes": {func(b *bench) {
			b.arrive(goodCard)
			b.press("release")
			b.leave()
			time.Sleep(time.Minute)
			b.arrive(goodCard)
		}, []string{"PRIMARY [500]", "EXPEDITE [100 902]", "REFER [413 500]"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.run(func() { tc.drive(b) })
			if got := b.decided(); !slices.Equal(got, tc.want) {
				t.Errorf("%s: recorded %q, want %q", name, got, tc.want)
			}
		})
	}
}

// Of a camera that sees who stands at the booth and nobody else, a plate is the
// vehicle's there, although another one waits.
func TestACameraAtTheBoothIsHeardInAQueue(t *testing.T) {
	for atBooth, want := range map[bool][]string{false: {"PRIMARY [500 600]"}, true: {"PRIMARY [500 600]", "PRIMARY [500]"}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.lane.aims = aimsOf(&configs.Config{Devices: []configs.Device{{Name: "cam", Role: configs.RolePlateFront, AtBooth: atBooth}}})
			b.run(func() {
				b.point("approach_loop", true)
				b.tag(goodCard)
				b.point("approach_loop", false)
				b.point("booth_loop", true)
				b.point("approach_loop", true) // another one waits
				b.plate(goodPlate)
			})
			wantDecided(t, b, want...)
		})
	}
}

// A lane that headquarters cannot be reached from says so by its health lamp and
// decides as ever.
func TestI5_HeadquartersOutOfReachIsSeenAndSlowsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.apart = true
		b.run(func() {
			b.arrive(goodCard)
			b.press("count_1")
			synctest.Wait()
			if b.last.Decision.Outcome != passage.Expedite || b.last.Health != signal.Degraded || len(b.last.Why) > 0 {
				t.Errorf("decision %+v, health %d for %v", b.last.Decision, b.last.Health, b.last.Why)
			}
		})
	})
}

func TestOutboxTellsWhenHeadquartersIsOutOfReach(t *testing.T) {
	began := time.Now()
	at := func(d time.Duration) time.Time { return began.Add(d) }
	for name, c := range map[string]struct {
		link uplink.Status
		now  time.Duration
		want bool
	}{
		"just begun":               {uplink.Status{}, apartAfter, false},
		"never connected":          {uplink.Status{}, apartAfter + 1, true},
		"connected":                {uplink.Status{Connected: true, Since: at(1)}, time.Hour, false},
		"down a moment":            {uplink.Status{Since: at(time.Hour)}, time.Hour + apartAfter, false},
		"down":                     {uplink.Status{Since: at(time.Hour)}, time.Hour + apartAfter + 1, true},
		"a receipt is due":         {uplink.Status{Connected: true, Owed: at(time.Hour)}, time.Hour + unheardAfter, false},
		"no receipts":              {uplink.Status{Connected: true, Owed: at(time.Hour)}, time.Hour + unheardAfter + 1, true},
		"no receipts, reconnected": {uplink.Status{Connected: true, Since: at(2 * time.Hour), Owed: at(time.Hour)}, 2*time.Hour + 1, true},
	} {
		if got := apart(c.link, at(c.now), began); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestI1_AReaderThatGoesSlowsTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(func() {
			b.arrive(goodCard)
			b.press("count_1")
			b.lane.inbox.tell(t.Context(), deviceNews{device: "pre", online: false, reason: errors.New("port gone"), at: time.Now()})
			synctest.Wait()
			if b.last.Decision.Lead != passage.ReaderFault || b.last.Health != signal.Degraded {
				t.Errorf("decision %+v, health %d", b.last.Decision, b.last.Health)
			}
			b.lane.inbox.tell(t.Context(), deviceNews{device: "pre", online: true, at: time.Now()})
			synctest.Wait()
			if b.last.Decision.Outcome != passage.Expedite {
				t.Errorf("not expedited once the reader is back: %+v", b.last.Decision)
			}
		})
	})
}

func TestI5_AFloodOfReadsLosesNoPress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(func() {
			b.arrive(goodCard)
			for range 10_000 {
				b.lane.inbox.read(devices.Read{Device: "pre", Role: devices.RoleCard, At: time.Now(), Tag: &devices.Tag{EPC: goodCard, TID: chip}})
			}
			b.press("release")
			if !b.last.Evidence.Released {
				t.Error("the press was lost")
			}
		})
	})
}

func TestI7_NothingRecordedHoldsARawIdentifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lookout(passage.Stop)
		b.run(func() { b.arrive(goodCard); b.press("release"); b.press("release"); b.leave() })
		all := strings.ToUpper(fmt.Sprintf("%+v %+v %+v", b.kept, b.last, b.trace))
		for _, raw := range []string{string(goodCard), "ABC 123", "ABC123"} {
			if strings.Contains(all, raw) {
				t.Errorf("%q is in what the lane recorded or published", raw)
			}
		}
	})
}
