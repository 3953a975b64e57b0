package status

import (
	"time"

	"boothd/agent/passage"
)

// Totals counts passages since start, by their last public advice. It is a
// value: the lane owns one and puts a copy into each picture.
type Totals struct {
	Expedite   uint64  `json:"expedite"`
	Primary    uint64  `json:"primary"`
	Refer      uint64  `json:"refer"`
	Hold       uint64  `json:"hold"`
	Overridden uint64  `json:"overridden"`
	Unplaced   uint64  `json:"unplaced"` // reads that were of no vehicle, or not surely of the one in the lane
	Decision   Latency `json:"decision"`
}

// Note counts one finished passage. A passage that never was decided, because
// it turned away, has no latency: took is 0 then.
func (t *Totals) Note(o passage.Outcome, overridden bool, took time.Duration) {
	switch o {
	case passage.Expedite:
		t.Expedite++
	case passage.Refer:
		t.Refer++
	case passage.Hold:
		t.Hold++
	default:
		t.Primary++
	}
	if overridden {
		t.Overridden++
	}
	if took > 0 {
		t.Decision.Note(took)
	}
}

// latencyBounds are the upper bounds of the buckets, in microseconds: from a
// look-up in memory to the 50 ms budget of a decision (domain reference,
// section 8) and the 250 ms limit of the commit.
var latencyBounds = [...]int64{50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 250_000}

// Latency is a histogram of decision times. Buckets hold each its own, not the
// sum of those below; the last one is all above 250 ms.
type Latency struct {
	Count   uint64                         `json:"count"`
	SumUS   int64                          `json:"sum_us"`
	Buckets [len(latencyBounds) + 1]uint64 `json:"buckets"`
}

// Note counts one time.
func (l *Latency) Note(took time.Duration) {
	us := took.Microseconds()
	i := 0
	for i < len(latencyBounds) && us > latencyBounds[i] {
		i++
	}
	l.Buckets[i]++
	l.Count++
	l.SumUS += us
}

// P99 is the upper bound of the bucket that 99 of 100 times are within, at
// most 250 ms; 0 before the first.
func (l *Latency) P99() time.Duration {
	var sum uint64
	for i, n := range l.Buckets {
		if sum += n; n > 0 && sum*100 >= l.Count*99 {
			return time.Duration(latencyBounds[min(i, len(latencyBounds)-1)]) * time.Microsecond
		}
	}
	return 0
}
