package fleet

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is what goes wrong.
type Kind string

// What goes wrong with one booth, and with all of them.
const (
	Closed   Kind = "closed"    // the line is reset, and nobody answers
	HalfOpen Kind = "half_open" // bytes vanish both ways, nobody is told
	Deaf     Kind = "deaf"      // what the booth says arrives, no answer comes back
	Step     Kind = "clock"     // the booth's wall clock jumps
	Restart  Kind = "restart"   // the booth stops and starts with what is on its disk

	KillBroker Kind = "kill_broker" // all that it held in memory is lost
	KillHQ     Kind = "kill_hq"     // kill -9 of the receiver
)

// Fault is one thing that goes wrong.
type Fault struct {
	Kind  Kind
	At    time.Duration // from the start of the run
	Lasts time.Duration // of an outage
	Clock time.Duration // a Step's new difference to the machine's clock
}

// Bounds of the plan.
const (
	// A line that is half open longer than the PUBACK's 30 s is found out by the
	// booth itself; one that heals before is only a delay.
	longestOutage = 50 * time.Second
	// Pauses between kills of broker or headquarters: a connection that lives
	// under 5 s counts as another client with the same id, which waits minutes.
	killPause = 12 * time.Second
	// To 1970, where a clock without a battery begins.
	oldest = -56 * 365 * 24 * time.Hour
)

// BoothPlan draws what goes wrong with booth number n (from 0) of a run: the
// same seed gives the same faults. Faults of one booth do not overlap, and the
// last one ends before the run does, so that the rest shows the recovery.
func BoothPlan(seed uint64, n int, length time.Duration) []Fault {
	r := rand.New(rand.NewPCG(seed, uint64(n)+1))
	every := min(40*time.Second, length/2)
	var out []Fault
	for at := between(r, 0, every); at < length*9/10; at += between(r, every/4, every*5/4) {
		f := Fault{At: at}
		most := min(longestOutage, length*9/10-at)
		switch draw := r.IntN(100); {
		case draw < 30:
			f.Kind, f.Lasts = Closed, between(r, 0, most)
		case draw < 50:
			f.Kind, f.Lasts = HalfOpen, between(r, 0, most)
		case draw < 70:
			f.Kind, f.Lasts = Deaf, between(r, 0, most)
		case draw < 80:
			f.Kind = Restart
		default:
			f.Kind, f.Clock = Step, clockStep(r)
		}
		out = append(out, f)
		at += f.Lasts
	}
	return out
}

// clockStep draws how wrong a clock is from now on: now and then not at all,
// seconds, a daylight hour, or back at 1970.
func clockStep(r *rand.Rand) time.Duration {
	switch r.IntN(5) {
	case 0:
		return 0
	case 1:
		return time.Hour
	case 2:
		return oldest
	}
	return between(r, -30*time.Second, 30*time.Second)
}

// WorldPlan draws when broker and headquarters are killed; can says which of
// the two may be. None is within killPause of another or of the end.
func WorldPlan(seed uint64, length time.Duration, can ...Kind) []Fault {
	r := rand.New(rand.NewPCG(seed, 0))
	var out []Fault
	if len(can) == 0 {
		return nil
	}
	for at := between(r, length/8, length/3); at < length*9/10; at += killPause + between(r, 0, 18*time.Second) {
		out = append(out, Fault{Kind: can[len(out)%len(can)], At: at})
	}
	return out
}

func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(max(1, int64(to-from))))
}

// counts adds up what plans hold.
func counts(plans ...[]Fault) map[Kind]int {
	n := make(map[Kind]int)
	for _, f := range slices.Concat(plans...) {
		n[f.Kind]++
	}
	return n
}
