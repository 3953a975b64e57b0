package passage

// officer takes a press. One without a vehicle at the booth means nothing.
func (m *Machine) officer(in Input, s *Step) {
	if !m.active || m.ev.State == Clearing {
		return
	}
	ev := &m.ev
	switch in.Kind {
	case PlateKeyed:
		p := in.Plate
		ev.Keyed = &p
	case PressDeclaration:
		ev.Declaration = !ev.Declaration
	case PressGoods:
		ev.Goods = !ev.Goods
	case PressEmpty:
		trade := ev.trade()
		trade.Empty = !trade.Empty
	case PressCount:
		if in.Count < 1 || in.Count > 99 || ev.State == Acted {
			return
		}
		ev.Occupants = in.Count
	case PressRelease:
		if !releasable(*ev) {
			return
		}
		ev.Releases = min(ev.Releases+1, pressesMost)
	case PressRefer:
		// Before the booth it is kept for when the vehicle is there.
		ev.Refers = min(ev.Refers+1, pressesMost)
		ev.Released, ev.Overridden, ev.Releases = false, false, 0
		if ev.State != Approach {
			ev.State = Acted
			m.wakeAt = in.At.Add(boothLimit)
		}
	case LetGo:
		if ev.State != AtBooth {
			return
		}
		ev.State = Acted
		m.wakeAt = in.At.Add(actedLimit)
	case ReleaseTaken:
		if !releasable(*ev) || ev.Releases == 0 {
			return
		}
		ev.State, ev.Released, ev.Overridden = Acted, true, in.Override
		if in.Count > 0 {
			ev.Occupants = in.Count
		}
		m.wakeAt = in.At.Add(actedLimit)
	}
	s.Changed = true
}

// pressesMost bounds the counts of presses: two are enough for every rule.
const pressesMost = 1 << 20

// releasable tells whether a press of release means anything: at the booth, or
// referred and still there.
func releasable(ev Evidence) bool {
	return ev.State == AtBooth || ev.State == Acted && !ev.Released
}

// Act is what a press of the release button comes to.
type Act uint8

const (
	NoAct      Act = iota // the press has no effect; over REFER a second one has
	Release               // 902
	ReleaseAll            // 902, and the press confirms dec.Ready occupants
	Override              // 903
)

// Press weighs the officer's press of release, which ev already counts,
// against the decision in force. Nobody moves on HOLD; over REFER it takes a
// second press; while READY n is shown the press says "I counted n" (domain
// reference, 7.1 and 7.5).
func Press(ev Evidence, dec Decision) Act {
	if !releasable(ev) || ev.Releases == 0 {
		return NoAct
	}
	switch dec.Outcome {
	case Expedite:
		return Release
	case Primary:
		if dec.Ready > 0 {
			return ReleaseAll
		}
		return Release
	case Refer:
		if ev.Releases >= 2 {
			return Override
		}
	}
	return NoAct
}
