package agent

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/verdict"
	"boothd/buffer/journal"
	"boothd/configs"
	"boothd/devices"
)

// One day on each kind of lane, in virtual time, with the journal on a real
// disk: nobody panics, every passage that began ends, what the journal holds
// adds up, and every decision of it is decided again to the same bytes (I8).
func TestADayOnEachLane(t *testing.T) {
	for _, lane := range []passage.LaneType{passage.NEXUS, passage.FAST, passage.NEXUSAir, passage.Ready, passage.General} {
		t.Run(string(lane), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { aDay(t, lane) })
		})
	}
}

func aDay(t *testing.T, lane passage.LaneType) {
	b := newBench(t)
	if b.truck(nil); lane != passage.FAST {
		b.as(lane, "NEXUS")
	}
	b.lane.policy.RandomRate = 0.02
	b.lane.policy.PlatePresent = lane != passage.NEXUSAir
	asked, faces, printed := b.kiosk()
	b.as(lane, b.lane.policy.AcceptedPrograms...)
	if lane != passage.NEXUSAir {
		b.lane.ask, b.lane.faces, b.lane.print, b.lane.mode = nil, nil, nil, 0
	}
	if lane == passage.FAST {
		b.truck(nil)
	} else {
		b.card(goodCard, passage.Issued, passage.Active)
	}
	o := newOutbox(slog.New(slog.DiscardHandler), &configs.Config{Store: configs.Store{Dir: configs.Path(t.TempDir()), MaxBytes: configs.Size{Bytes: 1 << 30}}},
		contract.Head{Booth: "day-01"})
	if err := o.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer o.close()
	j := o.journal.Load()
	b.lane.store = o.store
	if _, err := b.lane.store(t.Context(), time.Now(), contract.PolicySet{Digest: b.lane.policy.Digest(), Policy: b.lane.policy,
		Clock: contract.Clock{Boot: "boot", Quality: "synced"}}); err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(uint64(len(lane)), 24))
	began := 0
	end := time.Now().Add(24 * time.Hour)
	b.run(func() {
		for time.Now().Before(end) {
			began++
			if lane == passage.NEXUSAir {
				b.traveller(dice, asked, faces)
			} else {
				b.driver(dice, lane)
			}
			time.Sleep(time.Duration(2+dice.IntN(12)) * time.Minute)
			synctest.Wait()
		}
		time.Sleep(30 * time.Minute) // whoever is still there is given up
		synctest.Wait()
	})
	if b.lane.machine.Active() {
		t.Error("a passage has not ended")
	}
	if lane == passage.NEXUSAir && len(*printed) == 0 {
		t.Error("no receipt in a day")
	}
	addsUp(t, j, b, began)
}

// driver sends one vehicle through, well-behaved or not.
func (b *bench) driver(dice *rand.Rand, lane passage.LaneType) {
	card := []devices.Ident{goodCard, goodCard, otherCard, ""}[dice.IntN(4)]
	b.arrive(card)
	if lane == passage.FAST {
		if dice.IntN(8) > 0 {
			b.lane.inbox.read(devices.Read{Device: "rear", Role: devices.RolePlateRear, At: time.Now(), Plate: &devices.Plate{Text: "TRL 9", Jurisdiction: "ON", Confidence: 0.9}})
			synctest.Wait()
		}
		for _, i := range dice.Perm(5)[:3+dice.IntN(3)] {
			b.scan(devices.RoleScan, []devices.Ident{carrier, importer, crn, ccn, container}[i])
		}
		b.scan(devices.RoleSeal, seal)
	}
	switch dice.IntN(8) {
	case 0: // it backs out, or breaks down
		b.point("booth_loop", false)
		return
	case 1:
		b.press("refer")
	case 2: // it drives off before anybody acts
	default:
		b.press(fmt.Sprint("count_", 1+dice.IntN(2)))
		b.press("release")
		if dice.IntN(3) == 0 {
			b.press("release")
		}
	}
	if dice.IntN(20) == 0 {
		b.press("open_close")
		b.press("open_close")
	}
	b.leave()
}

// traveller has one session at the kiosk, and may give it up at any point.
func (b *bench) traveller(dice *rand.Rand, asked *challenges, faces chan verdict.Arrival) {
	b.tag([]devices.Ident{goodCard, goodCard, otherCard}[dice.IntN(3)])
	for step := range dice.IntN(5) {
		time.Sleep(time.Duration(dice.IntN(8)) * time.Second)
		switch step {
		case 0:
			b.press(fmt.Sprint("count_", 1+dice.IntN(2)))
		case 1:
			b.press([]string{"declare_no", "declare_no", "declare_yes"}[dice.IntN(3)])
		case 2:
			if last := asked.last(); last != (verdict.Challenge{}) {
				b.face(asked, faces, []verdict.Result{verdict.Match, verdict.Match, verdict.NoMatch, verdict.PoorQuality}[dice.IntN(4)])
			}
		case 3:
			b.press("session_over")
		}
	}
}

// addsUp reads the whole journal.
func addsUp(t *testing.T, j *journal.Journal, b *bench, began int) {
	t.Helper()
	if v, err := j.Verify(t.Context(), 1, j.Last()); err != nil || len(v.Gaps) > 0 {
		t.Errorf("I4: %+v, %v", v, err)
	}
	open, ended := map[string]bool{}, 0
	outcomes := map[string]int{}
	var decided *contract.CrossingDecided
	again := 0
	replay := func(a *contract.LookoutAlert) {
		if decided == nil {
			return
		}
		if _, err := contract.Replay(*decided, a, b.lane.policy); err != nil {
			t.Errorf("I8: %v", err)
		}
		decided, again = nil, again+1
	}
	for r, err := range j.Range(t.Context(), 1, j.Last()) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := contract.Decode(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		replay(nil)
		switch e.Type {
		case contract.TypeCrossingDecided:
			d, err := contract.As[contract.CrossingDecided](e)
			if err != nil {
				t.Fatal(err)
			}
			decided = &d
			open[d.Passage] = true
		case contract.TypeCrossingEnded:
			d, err := contract.As[contract.CrossingEnded](e)
			if err != nil {
				t.Fatal(err)
			}
			delete(open, d.Passage)
			ended++
			outcomes[d.Outcome]++
		}
	}
	replay(nil)
	if len(open) > 0 {
		t.Errorf("%d passages were decided and never ended", len(open))
	}
	total := 0
	for _, n := range outcomes {
		total += n
	}
	if ended < began || total != ended || ended > 2*began || again < began/2 {
		t.Errorf("%d began, %d ended, %v, %d decided again", began, ended, outcomes, again)
	}
	t.Logf("%d passages, %d decisions, %v, %d events", ended, again, outcomes, j.Last())
}
