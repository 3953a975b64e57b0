package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/signal"
	"boothd/agent/verdict"
)

// silence is what can be seen from outside of one day on a lane, each thing with
// its time since the start.
type silence struct {
	traveller []string // the traveller's head, the gate, and a kiosk's receipt
	officer   []string // the officer's lamps and buzzer beside
	public    []string // events on shared topics: what and when, and what they say
	commits   []string // when the store was asked
	alerts    int
}

// watch drives a lane with something put on it, and keeps what is seen.
func watch(t *testing.T, lane passage.LaneType, mode signal.LightMode, put func(*bench), drive func(b *bench)) (s silence) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var asked *challenges
		var faces chan verdict.Arrival
		switch lane {
		case passage.NEXUSAir:
			asked, faces, _ = b.kiosk()
		case passage.FAST:
			b.truck(nil)
		default:
			b.as(lane, "NEXUS")
		}
		if lane != passage.NEXUSAir {
			b.lane.mode = mode
		}
		if put != nil {
			put(b)
		}
		b.slow.Store(int64(5 * time.Millisecond)) // a commit takes time, two take twice as long
		began := time.Now()
		note := func(to *[]string, what string) {
			*to = append(*to, fmt.Sprintf("%v %s", time.Since(began), what))
		}
		last := [2]string{}
		b.lane.show = func(v signal.View) {
			a := signal.Show(v)
			head := fmt.Sprintf("head %d gate %v reader %d", a.Traveller, a.GateOpen, a.Taken)
			a.Traveller, a.GateOpen, a.Taken = 0, false, 0
			beside := fmt.Sprintf("%+v", a)
			if head != last[0] {
				note(&s.traveller, head)
			}
			if beside != last[1] {
				note(&s.officer, beside)
			}
			last = [2]string{head, beside}
		}
		b.lane.print = func(r receipt) { note(&s.traveller, strings.Join(r.lines("k"), "|")) }
		b.lane.store = func(ctx context.Context, at time.Time, events ...contract.Data) (uint64, error) {
			note(&s.commits, "commit")
			seq, err := b.store(ctx, at, events...)
			for _, e := range events {
				switch e := e.(type) {
				case contract.LookoutAlert:
					s.alerts++
				case contract.CrossingDecided:
					note(&s.public, fmt.Sprintf("decided %s %d %v", e.Decision.Outcome, e.Decision.Lead, e.Decision.Reasons))
				default:
					note(&s.public, fmt.Sprintf("%T %+v", e, e))
				}
			}
			return seq, err
		}
		b.run(func() {
			if lane == passage.NEXUSAir {
				b.tag(goodCard)
				b.press("count_1")
				b.press("declare_no")
				time.Sleep(time.Second)
				synctest.Wait()
				b.face(asked, faces, verdict.Match)
				time.Sleep(time.Minute)
				synctest.Wait()
				return
			}
			drive(b)
		})
	})
	return s
}

// throughLane drives one vehicle up; the officer counts, refers, and releases against
// it with two presses.
func throughLane(lane passage.LaneType) func(b *bench) {
	return func(b *bench) {
		if lane == passage.FAST {
			b.present(carrier, importer, crn, ccn, container)
		} else {
			b.arrive(goodCard)
		}
		time.Sleep(time.Second)
		b.press("count_1")
		time.Sleep(time.Second)
		b.press("refer")
		time.Sleep(time.Second)
		b.press("release")
		time.Sleep(time.Second)
		b.press("release")
		b.leave()
		time.Sleep(time.Minute)
		synctest.Wait()
	}
}

// lanes are all that boothd drives.
var lanes = []struct {
	name string
	lane passage.LaneType
	mode signal.LightMode
}{
	{"nexus", passage.NEXUS, signal.Staffed}, {"egate", passage.NEXUS, signal.Auto}, {"fast", passage.FAST, signal.Staffed},
	{"nexus-air", passage.NEXUSAir, signal.Auto}, {"ready", passage.Ready, signal.Staffed}, {"general", passage.General, signal.Staffed},
}

// TestI3_EveryLaneIsSilentAboutObserve: with a lookout that observes, a lane
// shows, prints, says and times exactly what it does without.
func TestI3_EveryLaneIsSilentAboutObserve(t *testing.T) {
	for _, l := range lanes {
		t.Run(l.name, func(t *testing.T) {
			plain := watch(t, l.lane, l.mode, nil, throughLane(l.lane))
			seen := watch(t, l.lane, l.mode, func(b *bench) { b.lookout(passage.Observe) }, throughLane(l.lane))
			differ(t, "traveller", plain.traveller, seen.traveller)
			differ(t, "officer", plain.officer, seen.officer)
			differ(t, "public events", plain.public, seen.public)
			differ(t, "commits", plain.commits, seen.commits)
			if plain.alerts != 0 || seen.alerts == 0 {
				t.Errorf("%d and %d alerts", plain.alerts, seen.alerts)
			}
		})
	}
}

// TestI3_EveryLaneHidesWhoIsLookedFor: a vehicle that a lookout refers, one that
// is drawn at random and one that the officer refers give the traveller the same
// lights, gate and receipt at the same times, and headquarters' shared topics the
// same events at the same times.
func TestI3_EveryLaneHidesWhoIsLookedFor(t *testing.T) {
	for _, l := range lanes {
		t.Run(l.name, func(t *testing.T) {
			hit := watch(t, l.lane, l.mode, func(b *bench) { b.lookout(passage.Check) }, throughLane(l.lane))
			drawn := watch(t, l.lane, l.mode, func(b *bench) { b.lane.policy.RandomRate = 1 }, throughLane(l.lane))
			differ(t, "traveller", drawn.traveller, hit.traveller)
			differ(t, "officer", drawn.officer, hit.officer)
			differ(t, "public events", drawn.public, hit.public)
			differ(t, "commits", drawn.commits, hit.commits)
			if hit.alerts == 0 || drawn.alerts != 0 {
				t.Errorf("%d and %d alerts", hit.alerts, drawn.alerts)
			}
			if l.mode == signal.Auto {
				return // nobody refers before the light has told
			}
			referred := watch(t, l.lane, l.mode, nil, throughLane(l.lane))
			differ(t, "traveller, referred by the officer", referred.traveller, hit.traveller)
		})
	}
}

func differ(t *testing.T, what string, want, got []string) {
	t.Helper()
	if !slices.Equal(want, got) {
		t.Errorf("%s:\n%s\nwith a lookout:\n%s", what, strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}
