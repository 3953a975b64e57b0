package signal

import (
	"testing"

	"boothd/agent/passage"
)

// Over the whole table, to identify a booth changes its health lamp alone, and
// that neither where the booth is out nor beside READY n.
func TestI9_IdentifyHidesNothing(t *testing.T) {
	shown := 0
	for health := Out; health <= Healthy; health++ {
		for state := passage.Idle; state <= passage.Clearing; state++ {
			for bits := range 16 {
				for _, d := range decisions {
					v := View{Mode: LightMode(bits & 1), Health: health, State: state, Active: true, Durable: bits&2 != 0, Released: bits&4 != 0, Closed: bits&8 != 0, Decision: d}
					was := Show(v)
					is := Identify(was)
					if is == was {
						if health != Out && was.Count == 0 {
							t.Errorf("%+v does not show it", v)
						}
						continue
					}
					shown++
					if health == Out || was.OfficerGreen == Blinks {
						t.Errorf("%+v: %+v becomes %+v", v, was, is)
					}
					is.OfficerHealth, is.Count = was.OfficerHealth, was.Count
					if is != was {
						t.Errorf("%+v: more than the health lamp changes", v)
					}
				}
			}
		}
	}
	if shown == 0 {
		t.Error("it is never shown")
	}
	for _, h := range []Rhythm{Steady, Slow, Fast} {
		if Identify(Aspects{OfficerHealth: h}).OfficerHealth == h && h != Fast {
			t.Errorf("rhythm %d is a state of health", h)
		}
	}
}
