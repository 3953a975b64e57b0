package passage

import "time"

// Limits of one session at a kiosk.
const (
	// sessionQuiet is how long a traveller may do nothing before the session is
	// void (856): the next one must not find it open.
	sessionQuiet = 45 * time.Second
	// sessionLimit bounds a session whatever happens.
	sessionLimit = 5 * time.Minute
	// verdictWait is how long a complete session waits for the matcher (851).
	verdictWait = 20 * time.Second
	// receiptWait is how long the result stays before the kiosk is free again.
	receiptWait = 10 * time.Second
	// verdictsMost bounds the verdicts of one session; further ones are dropped.
	verdictsMost = 8
	partyMost    = 20
)

// Kiosk attributes what happens at a kiosk to one traveller's session at a
// time: a passage without loops. It is owned by one goroutine, as a Machine is.
//
//	Idle -> AtBooth (a card or document was presented) -> Acted (complete: the
//	result is shown) -> Idle
//
// A session is complete when a card was read, the party stated, the question
// for goods answered, and the matcher has said something, or has not in time.
// What belongs to no session is dropped. Nothing of one session outlives it.
//
// Source: domain reference, sections 4 and 8.
type Kiosk struct {
	closed  bool
	toggle  bool
	active  bool
	ev      Evidence
	began   time.Time // with monotonic part
	quietAt time.Time // when the session is void, or over
	waitAt  time.Time // when the matcher is late; zero: nothing waits for it
}

// NewKiosk makes a free kiosk.
func NewKiosk(closed bool) *Kiosk { return &Kiosk{closed: closed} }

// Active tells whether there is a session.
func (k *Kiosk) Active() bool { return k.active }

// Awaiting tells whether a traveller stands there and has no result.
func (k *Kiosk) Awaiting() bool { return k.active && k.ev.State == AtBooth }

// Stuck is false: a kiosk has no loop.
func (k *Kiosk) Stuck() bool { return false }

// Closed tells whether the kiosk is closed for the next session.
func (k *Kiosk) Closed() bool { return k.closed }

// ClosedNext tells whether it will be for the session after this one.
func (k *Kiosk) ClosedNext() bool { return k.closed != k.toggle }

// Evidence is what is known of the present session. The copy shares nothing
// with the kiosk.
func (k *Kiosk) Evidence() Evidence { return k.ev.clone() }

// Step takes one input, under the terms of Machine.Step.
func (k *Kiosk) Step(in Input) Step {
	var s Step
	k.expire(in, &s)
	switch in.Kind {
	case CardRead, CardUnread, DocumentRead:
		k.present(in, &s)
	case PartyStated, Declare, VerdictIn, SessionOver:
		k.session(in, &s)
	case PressRefer:
		if k.active {
			k.ev.Refers = min(k.ev.Refers+1, pressesMost)
			s.Changed = true
		}
	case PressOpenClose:
		k.toggle = !k.toggle
	}
	if k.active && k.ev.State == AtBooth && s.Ended == nil {
		k.complete(in, &s)
	}
	if !k.active && k.toggle {
		k.closed, k.toggle = !k.closed, false
		s.Changed = true
	}
	if k.active {
		s.WakeAt = k.quietAt
		if !k.waitAt.IsZero() && k.waitAt.Before(s.WakeAt) {
			s.WakeAt = k.waitAt
		}
	}
	return s
}

// present takes a card or a document; the first one begins a session.
func (k *Kiosk) present(in Input, s *Step) {
	if k.active && k.ev.State != AtBooth {
		s.Dropped = true // the result of the one before is still shown
		return
	}
	if !k.active {
		k.active, k.began, k.waitAt = true, in.At, time.Time{}
		k.ev = Evidence{ID: in.NewID, State: AtBooth, AtBooth: true, StartedAt: in.At.Round(0).UTC(), Closed: k.closed,
			Session: &Session{Nonce: in.NewNonce}}
		s.Started, s.Changed = true, true
	}
	changed := false
	switch in.Kind {
	case CardRead:
		changed = k.ev.hold(in.Card)
	case CardUnread:
		changed = k.ev.Unreadable == 0
		k.ev.Unreadable = min(k.ev.Unreadable+1, 1<<20)
	case DocumentRead:
		changed = k.ev.document(in.Document)
	}
	s.Changed = s.Changed || changed
	if changed {
		k.touch(in)
	}
}

// session takes the traveller's answers and the matcher's.
func (k *Kiosk) session(in Input, s *Step) {
	if !k.active || k.ev.State != AtBooth && in.Kind != SessionOver {
		s.Dropped = true
		return
	}
	o := k.ev.Session
	switch in.Kind {
	case PartyStated:
		if in.Count < 1 || in.Count > partyMost || o.Party == in.Count {
			return
		}
		o.Party = in.Count
	case Declare:
		if o.Answered && o.Declared == in.Yes {
			return
		}
		o.Answered, o.Declared = true, in.Yes
	case VerdictIn:
		if len(o.Verdicts) >= verdictsMost {
			s.Dropped = true
			return
		}
		v := in.Verdict
		v.ReceivedAt = in.At.Round(0).UTC()
		v.ProducedAt = v.ProducedAt.Round(0).UTC()
		o.Verdicts = append(o.Verdicts, v)
	case SessionOver:
		k.over(in, s)
		return
	}
	s.Changed = true
	k.touch(in)
}

// over ends the session: void before its result was there, cleared after.
func (k *Kiosk) over(in Input, s *Step) {
	how := Cleared
	if k.ev.State == AtBooth {
		k.ev.Session.TimedOut = true
		how = TimedOut
	}
	ended := k.Evidence()
	s.Ended, s.How, s.Changed = &ended, how, true
	k.active, k.ev, k.quietAt, k.waitAt = false, Evidence{}, time.Time{}, time.Time{}
}

// touch puts the end of the session off: the traveller is there.
func (k *Kiosk) touch(in Input) {
	k.quietAt = in.At.Add(sessionQuiet)
	if last := k.began.Add(sessionLimit); last.Before(k.quietAt) {
		k.quietAt = last
	}
}

func (k *Kiosk) expire(in Input, s *Step) {
	switch {
	case !k.active:
	case !in.At.Before(k.quietAt):
		k.over(in, s)
	case !k.waitAt.IsZero() && !in.At.Before(k.waitAt):
		k.ev.Session.Waited, k.waitAt = true, time.Time{}
		s.Changed = true
	}
}

// complete shows the result once all is there that can be had.
func (k *Kiosk) complete(in Input, s *Step) {
	o := k.ev.Session
	switch {
	case o.Party == 0 || !o.Answered:
	case o.Waited || k.answered():
		k.ev.State = Acted
		k.quietAt, k.waitAt = in.At.Add(receiptWait), time.Time{}
		s.Changed = true
	case k.waitAt.IsZero():
		k.waitAt = in.At.Add(verdictWait)
	}
}

// answered tells whether the matcher has said something of this session. What
// a verdict is worth is for Decide.
func (k *Kiosk) answered() bool {
	for _, v := range k.ev.Session.Verdicts {
		if v.Sealed && v.Nonce == k.ev.Session.Nonce && v.Passage == k.ev.ID {
			return true
		}
	}
	return false
}
