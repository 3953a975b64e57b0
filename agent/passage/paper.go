package passage

import "slices"

// marksMost bounds each kind of scan of one passage: a mixed load has a few
// dozen control numbers.
const marksMost = 64

// paper takes what is handed over at the booth: documents and bar codes, and
// what the lane's sensors say of the vehicle there. A vehicle that waits on the
// approach has not handed over anything yet.
func (m *Machine) paper(in Input, s *Step) {
	if !m.active || m.ev.State != AtBooth {
		s.Dropped = true
		return
	}
	switch in.Kind {
	case DocumentRead:
		s.Changed = m.ev.document(in.Document) || s.Changed
	case Scan:
		s.Changed = m.ev.scan(in.ScanKind, in.Mark) || s.Changed
	case TrailerSeen:
		s.Changed = s.Changed || !m.ev.trade().Trailer
		m.ev.trade().Trailer = true
	case TruckSeen:
		s.Changed = s.Changed || !m.ev.VehicleWrong
		m.ev.VehicleWrong = true
	}
}

// document adds a document that is not known yet.
func (ev *Evidence) document(d Document) (changed bool) {
	if slices.Contains(ev.Documents, d) || len(ev.Documents) >= cardsMost {
		return false
	}
	ev.Documents = append(ev.Documents, d)
	return true
}

// scan adds a mark that is not known yet. The same number again may be better
// known: a container's size and type are printed beside it.
func (ev *Evidence) scan(kind ScanKind, mark Mark) (changed bool) {
	t := ev.trade()
	var marks *[]Mark
	switch kind {
	case ScanCarrier:
		marks = &t.Carriers
	case ScanImporter:
		marks = &t.Importers
	case ScanCargo:
		marks = &t.Cargo
	case ScanTrip:
		marks = &t.Trips
	case ScanContainer:
		marks = &t.Containers
	case ScanSeal:
		marks = &t.Seals
	default:
		return false
	}
	i := slices.IndexFunc(*marks, func(have Mark) bool { return have.Token == mark.Token && have.Malformed == mark.Malformed })
	switch {
	case i < 0 && len(*marks) < marksMost:
		*marks = append(*marks, mark)
		return true
	case i >= 0 && (*marks)[i].SizeType == "" && mark.SizeType != "":
		(*marks)[i].SizeType = mark.SizeType
		return true
	}
	return false
}

func (ev *Evidence) trade() *Trade {
	if ev.Trade == nil {
		ev.Trade = new(Trade)
	}
	return ev.Trade
}

// clone shares nothing with the evidence.
func (ev Evidence) clone() Evidence {
	ev.Cards = slices.Clone(ev.Cards)
	ev.Documents = slices.Clone(ev.Documents)
	if ev.Trade != nil {
		t := *ev.Trade
		for _, marks := range []*[]Mark{&t.Carriers, &t.Importers, &t.Cargo, &t.Trips, &t.Containers, &t.Seals} {
			*marks = slices.Clone(*marks)
		}
		ev.Trade = &t
	}
	if ev.Session != nil {
		s := *ev.Session
		s.Verdicts = slices.Clone(s.Verdicts)
		ev.Session = &s
	}
	return ev
}
