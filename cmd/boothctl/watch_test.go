package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boothd/agent/passage"
	"boothd/agent/status"
)

// TestWatchTellsChangesAndTheEnd plays two pictures and an end.
func TestWatchTellsChangesAndTheEnd(t *testing.T) {
	quiet := status.Picture{At: time.Date(2026, 11, 23, 7, 15, 0, 0, time.UTC), Health: status.Healthy,
		Lane:    status.Lane{Type: "nexus", Mode: "staffed", Open: true, State: "idle", Plate: status.PlateNone},
		Lamps:   []status.Lamp{{Name: "traveller_red", Wired: true, Shows: status.Steady}},
		Devices: []status.Device{{Name: "pre-read", Online: true}}, Outbox: status.Outbox{ReceiptMS: -1, OldestMS: -1}}
	busy := quiet
	busy.At = quiet.At.Add(2500 * time.Millisecond)
	busy.Health, busy.Why = status.Degraded, []status.Reason{status.Because(passage.ReaderFault)}
	ready := status.Advise(passage.Decision{Lead: passage.OccupantsUnconfirmed, Reasons: []passage.Code{passage.OccupantsUnconfirmed}, Ready: 2})
	busy.Lane.State, busy.Lane.Now, busy.Lane.Cards, busy.Lane.Plate = "at_booth", &ready, 2, status.PlateRead
	busy.Lamps = []status.Lamp{{Name: "traveller_red", Wired: true, Shows: status.Steady}, {Name: "officer_green", Wired: true, Shows: status.Blinks, Count: 2}}
	busy.Devices = []status.Device{{Name: "pre-read", Reason: "line gone"}}
	busy.Last = []status.Passage{{ID: "0193", End: "cleared", Advice: status.Advise(passage.Decision{Lead: passage.NoCard}), Plate: status.PlateRead, DecisionUS: 312}}
	busy.Outbox.Link, busy.Outbox.Broker = true, "hq-a:8883"

	socket := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "retry: 2000\n\n")
		for _, p := range []status.Picture{quiet, quiet, busy} {
			b, err := json.Marshal(p)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "event: picture\ndata: %s\n\nevent: beat\ndata: {\"age_ms\":1}\n\n", b)
		}
	})}
	go func() { _ = srv.Serve(l) }() // ends with Close
	defer srv.Close()

	var out, errs bytes.Buffer
	if code := run([]string{"watch", "--socket", socket}, &out, &errs); code != exitFix {
		t.Errorf("exit %d, want %d", code, exitFix)
	}
	want := strings.TrimLeft(`
07:15:00.000  health   healthy
07:15:00.000  lane     nexus, staffed, open, idle
07:15:00.000  lamps    traveller_red steady
07:15:00.000  device   pre-read online
07:15:00.000  link     0 waiting; last receipt never since start; no link to headquarters
07:15:02.500  health   degraded, 207 READER_FAULT
07:15:02.500  lane     nexus, staffed, open, at_booth: PRIMARY, 500 OCCUPANTS_UNCONFIRMED: occupants are not counted yet, READY 2 (2 cards, plate read)
07:15:02.500  lamps    traveller_red steady, officer_green blinks 2
07:15:02.500  passage  0193 cleared, PRIMARY, 400 NO_CARD: no card was presented, 0 cards, plate read, decided in 312 us
07:15:02.500  device   pre-read offline: line gone
07:15:02.500  link     0 waiting; last receipt never since start; linked to hq-a:8883
`, "\n")
	if got := out.String(); got != want {
		t.Errorf("watch wrote\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(errs.String(), "boothd has ended") {
		t.Errorf("stderr is %q", errs.String())
	}
}
