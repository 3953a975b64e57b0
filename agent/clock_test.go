package agent

import (
	"testing"
	"time"

	"boothd/agent/passage"
)

func TestClockWatch(t *testing.T) {
	build := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	noon := build.Add(1000 * time.Hour)
	type look struct {
		wall   time.Time
		mono   time.Duration
		kernel passage.Clock
		want   passage.Clock
		moved  bool
	}
	tests := map[string][]look{
		"disciplined":               {{noon, 0, passage.ClockSynced, passage.ClockSynced, false}},
		"never disciplined":         {{noon, 0, passage.ClockUnset, passage.ClockUnset, false}},
		"1970, though said good":    {{time.Unix(0, 0), 0, passage.ClockSynced, passage.ClockUnset, false}},
		"one second before build":   {{build.Add(-time.Second), 0, passage.ClockSynced, passage.ClockUnset, false}},
		"discipline lost":           {{noon, 0, passage.ClockSynced, passage.ClockSynced, false}, {noon.Add(time.Hour), time.Hour, passage.ClockUnset, passage.ClockHoldover, false}},
		"restored at boot":          {{noon, 0, passage.ClockRestored, passage.ClockRestored, false}},
		"slewed by half a second":   {{noon, 0, passage.ClockSynced, passage.ClockSynced, false}, {noon.Add(time.Minute - time.Second/2), time.Minute, passage.ClockSynced, passage.ClockSynced, false}},
		"stepped forward a day":     {{noon, 0, passage.ClockSynced, passage.ClockSynced, false}, {noon.Add(24 * time.Hour), time.Second, passage.ClockSynced, passage.ClockSynced, true}},
		"stepped back, disciplined": {{noon, 0, passage.ClockSynced, passage.ClockSynced, false}, {noon.Add(-time.Hour), time.Second, passage.ClockSynced, passage.ClockUnset, true}, {noon.Add(-time.Hour + time.Second), 2 * time.Second, passage.ClockSynced, passage.ClockSynced, false}},
		"stepped back, in holdover": {{noon, 0, passage.ClockSynced, passage.ClockSynced, false}, {noon.Add(-time.Hour), time.Second, passage.ClockUnset, passage.ClockUnset, true}, {noon.Add(-time.Second), time.Hour, passage.ClockUnset, passage.ClockUnset, false}},
		"stepped to 1970":           {{noon, 0, passage.ClockSynced, passage.ClockSynced, false}, {time.Unix(9, 0), time.Second, passage.ClockSynced, passage.ClockUnset, true}, {time.Unix(10, 0), 2 * time.Second, passage.ClockSynced, passage.ClockUnset, false}},
	}
	for name, looks := range tests {
		w := clockWatch{floor: build}
		for i, l := range looks {
			_, moved := w.look(l.wall, l.mono, l.kernel)
			if w.quality != l.want || moved != l.moved {
				t.Errorf("%s, look %d: quality %d moved %t, want %d %t", name, i, w.quality, moved, l.want, l.moved)
			}
		}
	}
}
