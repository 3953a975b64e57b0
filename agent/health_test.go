package agent

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/devices"
)

// A vehicle is let go when something of the booth fails, and the disk is slow: its
// green is over at once. What failed is stored before the decision that it led to.
func TestI9_GreenEndsBeforeAFaultIsRecorded(t *testing.T) {
	gone := errors.New("gone")
	for name, tc := range map[string]struct {
		fails func(b *bench, judged chan<- signal.Judged)
		event contract.Type
		lead  passage.Code
	}{
		"a reader": {func(b *bench, _ chan<- signal.Judged) {
			b.lane.inbox.tell(b.t.Context(), deviceNews{device: "pre", reason: gone, at: time.Now()})
		}, contract.TypeDeviceChanged, passage.ReaderFault},
		"the camera": {func(b *bench, _ chan<- signal.Judged) {
			b.lane.inbox.tell(b.t.Context(), deviceNews{device: "cam", reason: gone, at: time.Now()})
		}, contract.TypeDeviceChanged, passage.LPRFault},
		"the loops": {func(b *bench, _ chan<- signal.Judged) {
			b.lane.inbox.tell(b.t.Context(), deviceNews{device: "loops", reason: gone, at: time.Now()})
		}, contract.TypeDeviceChanged, passage.PresenceFault},
		"an output": {func(b *bench, _ chan<- signal.Judged) {
			b.lane.inbox.tell(b.t.Context(), deviceNews{device: lampsDevice, reason: gone, at: time.Now()})
		}, contract.TypeSignalFault, passage.SignalFault},
		"the lamps' feedback": {func(_ *bench, judged chan<- signal.Judged) {
			judged <- signal.Judged{Doubt: true}
		}, contract.TypeSignalFault, passage.SignalFault},
		"a lamp": {func(_ *bench, judged chan<- signal.Judged) {
			judged <- signal.Judged{Fault: signal.Fault{Head: "traveller", Lamp: signal.TravellerRed, Kind: signal.Forgotten}}
		}, contract.TypeSignalFault, passage.SignalFault},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, judged := newBench(t), make(chan signal.Judged)
				b.lane.mode, b.lane.judged, b.lane.latch = signal.Auto, judged, newLatch(t.TempDir())
				b.lane.health.devices = append(b.lane.health.devices, deviceState{Name: "loops", Role: roleWiring, Online: true, Since: time.Now()})
				b.lane.health.dark = map[string]bool{}
				shown := func() signal.Aspects { return signal.Show(b.now().View) }
				stored := func() []contract.Data { // the lane may be at it
					b.mu.Lock()
					defer b.mu.Unlock()
					return slices.Clone(b.kept)
				}
				b.run(func() {
					b.arrive(goodCard)
					b.press("count_1")
					if a := shown(); a.Traveller != signal.Green {
						t.Fatalf("not let go: %+v", a)
					}
					before := len(stored())
					b.slow.Store(int64(200 * time.Millisecond))
					tc.fails(b, judged)
					synctest.Wait()
					if a := shown(); a.Traveller == signal.Green || a.OfficerGreen != signal.Off || len(stored()) != before {
						t.Errorf("shown while the record waits, %d stored: %+v", len(stored())-before, a)
					}
					time.Sleep(200 * time.Millisecond)
					synctest.Wait()
					kept := stored()[before:]
					if len(kept) != 2 || kept[0].Type() != tc.event || kept[1].Type() != contract.TypeCrossingDecided {
						t.Fatalf("one record took in %+v", kept)
					}
					if c := kept[1].(contract.CrossingDecided); passage.Code(c.Decision.Lead) != tc.lead || b.now().Decision.Lead != tc.lead {
						t.Errorf("decided %+v, shown %v, want %d", c.Decision, b.now().Decision, tc.lead)
					}
				})
			})
		})
	}
}

// What happens to a device that no decision asks for is stored by itself, and when
// that shows that the journal does not answer, nobody is let go any more.
func TestI2_ARecordOfADeviceFindsTheStoreBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lane.health.devices = append(b.lane.health.devices, deviceState{Name: "pad", Role: devices.RoleKeypad, Online: true, Since: time.Now()})
		away := func(online bool) {
			b.lane.inbox.tell(t.Context(), deviceNews{device: "pad", online: online, at: time.Now()})
			synctest.Wait()
		}
		b.run(func() {
			away(false)
			b.arrive(goodCard)
			b.press("count_1")
			before := len(b.kept)
			away(true)
			if kept := b.kept[before:]; len(kept) != 1 || kept[0].Type() != contract.TypeDeviceChanged || b.now().Decision.Outcome != passage.Expedite {
				t.Errorf("stored %+v, decided %v", kept, b.now().Decision)
			}
			b.broken(errors.New("the disk is gone"))
			away(false)
			if p := b.now(); p.Decision.Lead != passage.StoreFault || p.StoreOK || p.Health != signal.Degraded {
				t.Errorf("decided %v, store %t, health %d", p.Decision, p.StoreOK, p.Health)
			}
			b.broken(nil)
			time.Sleep(2 * pulseEvery)
		})
	})
}
