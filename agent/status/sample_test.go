package status

import (
	"time"

	"boothd/agent/passage"
	"boothd/agent/signal"
)

var noon = time.Date(2026, 5, 4, 19, 0, 0, 0, time.UTC)

// sample is a booth with a vehicle at it: one card read, counted by the press.
func sample() Picture {
	ready := passage.Decision{Outcome: passage.Primary, Lead: passage.OccupantsUnconfirmed,
		Reasons: []passage.Code{passage.ListAging, passage.OccupantsUnconfirmed}, Ready: 2}
	view := signal.View{Health: signal.Healthy, Active: true, State: passage.AtBooth, Durable: true, Decision: ready}
	now := Advise(ready)
	var t Totals
	t.Note(passage.Expedite, false, 400*time.Microsecond)
	t.Note(passage.Refer, true, 30*time.Millisecond)
	return Picture{
		At: noon, StartedAt: noon.Add(-26 * time.Hour), Version: "1.0.0",
		Booth:    Booth{ID: "pac-hwy-nexus-03", Site: "Pacific Highway, lane 3", Port: "CBSA/0813", Direction: "CA"},
		Health:   HealthWord(view.Health),
		Warnings: []Warning{{Code: "list_aging", Words: "list cards: headquarters last vouched for it 20m0s ago, and in 3h40m0s nobody is expedited by it"}},
		Lane:     Lane{Type: "nexus", Mode: "staffed", Open: true, State: StateWord(view.State), Now: &now, Durable: true, Cards: 2, Plate: PlateRead},
		Lamps: Lit(signal.Levels{signal.TravellerRed: true}, signal.Show(view),
			func(l signal.Lamp) bool { return l != signal.GateOpen && l != signal.GateClose }),
		Last: []Passage{{ID: "0196a1b2-0000-7000-8000-000000000001", At: noon.Add(-time.Minute), Cards: 1, Plate: PlateRead,
			Advice: Advise(passage.Decision{Outcome: passage.Expedite, Lead: passage.Eligible, Reasons: []passage.Code{passage.Eligible}}),
			End:    "cleared", Released: true, DecisionUS: 412, Delivery: Delivered}},
		Totals: t,
		Devices: []Device{
			{Name: "pre-read", Driver: "mercury", Role: "card", Online: true, Since: noon.Add(-26 * time.Hour), ReadAt: noon.Add(-2 * time.Second),
				Counts: Counts{Bytes: 81_000, Frames: 1500, CheckErrors: 1, Resyncs: 1}},
			{Name: "front", Driver: "line", Role: "plate.front", Since: noon.Add(-time.Minute), Reason: "opening /dev/ttyUSB1: no such device"},
		},
		Lists: []List{
			{Kind: "cards", Generation: 118, Rows: 2_300_000, AgeMS: 1_200_000, State: Aging},
			{Kind: "lookouts", AgeMS: -1, State: Missing},
		},
		Outbox: Outbox{Link: true, Since: noon.Add(-time.Hour), Broker: "hq-a:8883", Waiting: 3, OldestMS: 900, ReceiptMS: 400},
		Store:  Store{OK: true, Bytes: 412 << 20, MaxBytes: 2 << 30, FreeBytes: 21 << 30, FlashDay: 90 << 20, HoldsMS: 40 * 24 * 3600 * 1000},
		Clock:  Clock{Quality: "synced", ErrMS: 2},
	}
}
