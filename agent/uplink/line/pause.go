package line

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"time"
)

// Pauses between connections (mqtt contract, sections 5 and 8).
const (
	pauseFirst = time.Second // also the least: a fleet tries once a second and booth, at most
	pauseMost  = time.Minute
	twinPause  = 5 * time.Minute // the broker drops us right after CONNACK, twice
	twinLife   = 5 * time.Second // what "right after" means (lesson 19)

	failuresPerBroker = 3
)

// Pause decides how long to wait between connections; a value stepped with how
// the last one went. The zero numbers are the contract's.
type Pause struct {
	First, Most, Twin time.Duration

	failures int // in a row, without a connection that lasted
	atBroker int // of those, at the present broker
	early    int // connections in a row that ended right after CONNACK
}

// After gives the pause after a connection that lasted this long (0: it never
// came up) and ended so, and whether the next broker is to be tried.
func (w *Pause) After(life time.Duration, why error) (pause time.Duration, next bool) {
	switch {
	case life >= twinLife:
		*w = Pause{First: w.First, Most: w.Most, Twin: w.Twin}
	case life > 0:
		w.early++
	default:
		w.early = 0
	}
	w.failures++
	w.atBroker++
	if w.atBroker >= failuresPerBroker || errors.Is(why, ErrNoConnack) {
		w.atBroker, next = 0, true
	}
	if w.Twins() {
		twin := cmp.Or(w.Twin, twinPause)
		return twin/2 + rand.N(twin/2+1), next
	}
	first := cmp.Or(w.First, pauseFirst)
	most := min(cmp.Or(w.Most, pauseMost), first<<min(w.failures, 20))
	return first + rand.N(max(most-first, 1)), next // full jitter: a fleet must not come back in step
}

// Twins tells whether connections end right after CONNACK again and again. One
// such end may be a link that flaps; two are another client with our id, and the
// two would throw each other out all night.
func (w *Pause) Twins() bool { return w.early >= 2 }
