package signal

import (
	"slices"
	"time"
)

// Lamp names one output as the configuration does.
type Lamp string

// The outputs.
const (
	TravellerRed   Lamp = "traveller_red"
	TravellerAmber Lamp = "traveller_amber"
	TravellerGreen Lamp = "traveller_green"
	OfficerGreen   Lamp = "officer_green"
	OfficerAmber   Lamp = "officer_amber"
	OfficerRed     Lamp = "officer_red"
	OfficerHealth  Lamp = "officer_health"
	Buzzer         Lamp = "buzzer"
	GateOpen       Lamp = "gate_open"
	GateClose      Lamp = "gate_close"
	ReaderLight    Lamp = "reader_light"
	ReaderBeeper   Lamp = "reader_beeper"
)

// Lamps lists every output, in the order in which they are switched.
var Lamps = [...]Lamp{TravellerRed, TravellerAmber, TravellerGreen, OfficerGreen, OfficerAmber,
	OfficerRed, OfficerHealth, Buzzer, GateOpen, GateClose, ReaderLight, ReaderBeeper}

// Safe tells the level an output has at start, at a crash and in doubt: red is
// lit, everything else is not (I9).
func Safe(l Lamp) bool { return l == TravellerRed }

// Beside tells whether a lamp may be lit while nobody knows of another one whether
// it is. What lets somebody go, and what moves the gate, waits until all is known;
// the others wait for the lamps of their own head.
func Beside(lamp, doubtful Lamp) bool {
	switch lamp {
	case TravellerAmber, TravellerGreen, OfficerGreen, GateOpen, GateClose:
		return false
	}
	for _, h := range heads {
		if slices.Contains(h.lamps[:], lamp) && slices.Contains(h.lamps[:], doubtful) {
			return false
		}
	}
	return true
}

// Times of the interlock and the rhythms.
const (
	settle    = 50 * time.Millisecond // off first, wait, then on
	gateGuard = time.Second           // after the vehicle has left the gate's area
	slowHalf  = 500 * time.Millisecond
	fastHalf  = 125 * time.Millisecond
	blinkHalf = 200 * time.Millisecond
	blinkRest = 1200 * time.Millisecond
	beepFor   = 150 * time.Millisecond // for each card that was taken
)

// Interlock turns aspects into levels, one set at a time, so that no two
// traveller lamps are ever lit together and the gate never moves onto a
// vehicle. It is stepped with times and owned by one goroutine; the zero value
// starts at the safe levels.
type Interlock struct {
	head     Head
	changing bool
	changeAt time.Time // when the new lamp may be lit
	gate     bool
	under    bool      // at the last step
	clearAt  time.Time // when the gate's area has been clear for long enough
	started  time.Time // of the rhythm
	beepTill time.Time
	want     Aspects
}

// Levels is every output's level.
type Levels map[Lamp]bool

// Step takes what should be shown, whether a vehicle or an obstacle is under
// the gate, and the time. It returns the levels to drive now and when to step
// again at the latest.
func (k *Interlock) Step(want Aspects, underGate bool, now time.Time) (Levels, time.Time) {
	if k.started.IsZero() || rhythmsDiffer(want, k.want) {
		k.started = now
	}
	if want.Taken > k.want.Taken {
		k.beepTill = now.Add(beepFor)
	}
	k.want = want
	next := now.Add(time.Second)
	if k.head != want.Traveller {
		k.head, k.changing, k.changeAt = want.Traveller, true, now.Add(settle)
	}
	if k.changing && !now.Before(k.changeAt) {
		k.changing = false
	}
	lv := make(Levels, len(Lamps))
	if k.changing {
		next = sooner(next, k.changeAt)
	} else {
		lv[TravellerRed] = k.head != Amber && k.head != Green // an unknown head is red
		lv[TravellerAmber] = k.head == Amber
		lv[TravellerGreen] = k.head == Green
	}
	lv[ReaderLight] = want.Taken > 0
	if lv[ReaderBeeper] = now.Before(k.beepTill); lv[ReaderBeeper] {
		next = sooner(next, k.beepTill)
	}
	since := now.Sub(k.started)
	for _, o := range []struct {
		lamp Lamp
		r    Rhythm
	}{{OfficerGreen, want.OfficerGreen}, {OfficerAmber, want.OfficerAmber}, {OfficerRed, want.OfficerRed}, {OfficerHealth, want.OfficerHealth}, {Buzzer, want.Buzzer}} {
		lit, turn := level(o.r, want.Count, since)
		lv[o.lamp] = lit
		if turn > 0 {
			next = sooner(next, now.Add(turn))
		}
	}
	next = sooner(next, k.gateStep(want, underGate, now, lv))
	for _, l := range Lamps {
		if !lv[l] {
			lv[l] = false // every output has a level
		}
	}
	return lv, next
}

// gateStep opens at once and closes only when nothing has been under the gate
// for a second; opening and closing are never commanded together.
func (k *Interlock) gateStep(want Aspects, under bool, now time.Time, lv Levels) time.Time {
	if under || k.under || want.GateOpen { // it was there until now
		k.clearAt = now.Add(gateGuard)
	}
	k.under = under
	switch {
	case want.GateOpen && !k.changing && k.head == Green:
		k.gate = true
	case k.gate && !under && !now.Before(k.clearAt):
		k.gate = false
	}
	lv[GateOpen] = k.gate && want.GateOpen
	lv[GateClose] = !k.gate && !under && !k.clearAt.IsZero() && !now.Before(k.clearAt)
	if k.gate && !want.GateOpen {
		return k.clearAt
	}
	return now.Add(time.Second)
}

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func rhythmsDiffer(a, b Aspects) bool {
	a.Traveller, b.Traveller, a.GateOpen, b.GateOpen, a.Taken, b.Taken = Red, Red, false, false, 0, 0
	return a != b
}

// level tells whether a rhythm is lit after some time, and how long it stays so.
func level(r Rhythm, count int, since time.Duration) (lit bool, turn time.Duration) {
	half := time.Duration(0)
	switch r {
	case Steady:
		return true, 0
	case Slow:
		half = slowHalf
	case Fast:
		half = fastHalf
	case Blinks:
		count = min(max(count, 1), 9)
		cycle := time.Duration(2*count)*blinkHalf + blinkRest
		at := since % cycle
		if at >= time.Duration(2*count)*blinkHalf {
			return false, cycle - at
		}
		return at/blinkHalf%2 == 0, blinkHalf - at%blinkHalf
	default:
		return false, 0
	}
	return since/half%2 == 0, half - since%half
}
