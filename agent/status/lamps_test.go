package status

import (
	"strings"
	"testing"

	"boothd/agent/signal"
)

// What is seen of the lamps is on the page and in the metrics; the lamp of a
// fault is marked as long as it is latched, whatever it shows by then.
func TestI9_WhatIsSeenOfTheLamps(t *testing.T) {
	p := sample()
	Look(p.Lamps, signal.Sight{signal.TravellerRed: signal.Lit, signal.TravellerAmber: signal.Lost, signal.TravellerGreen: signal.Unlit},
		signal.Fault{Head: "traveller", Lamp: signal.TravellerGreen, Kind: signal.Conflict})
	p.SignalFault = &SignalFault{Head: "traveller", Lamp: "traveller_green", Fault: "conflict"}
	want := map[string]Lamp{
		"traveller_red":   {Feedback: Agrees, Seen: "lit"},
		"traveller_amber": {Feedback: Unseen},
		"traveller_green": {Feedback: Differs, Seen: "dark"},
		"officer_green":   {},
	}
	for _, l := range p.Lamps {
		if w, ok := want[l.Name]; ok && (l.Feedback != w.Feedback || l.Seen != w.Seen) {
			t.Errorf("%s: %q, seen %q", l.Name, l.Feedback, l.Seen)
		}
	}
	b := New(nil)
	b.Publish(p)
	text := ask(b, "GET", "/metrics", nil).Body.String()
	for _, line := range []string{
		`boothd_lamp_fault{lamp="traveller_green"} 1`, `boothd_lamp_fault{lamp="traveller_amber"} 0`,
		`boothd_lamp_unseen{lamp="traveller_amber"} 1`, `boothd_lamp_unseen{lamp="traveller_red"} 0`,
		`boothd_signal_fault{fault="conflict",head="traveller",lamp="traveller_green"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}
