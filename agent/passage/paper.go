package passage

import "slices"

// evidenceMost bounds what one passage keeps: what was read and what is known of
// it must fit an event of 16 KiB. A card takes about twice as much as a mark;
// there is room for 16 cards and nothing else. What is more is dropped, and the
// passage is in doubt (213).
const (
	evidenceMost   = 100
	cardWeight     = 6
	documentWeight = 5
	markWeight     = 3
)

// room tells whether so much more can be kept.
func (ev *Evidence) room(weight int) bool {
	weight += cardWeight*len(ev.Cards) + documentWeight*len(ev.Documents)
	if ev.Trade != nil {
		weight += markWeight * ev.Trade.count()
	}
	return weight <= evidenceMost
}

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
	switch {
	case slices.Contains(ev.Documents, d):
		return false
	case !ev.room(documentWeight):
		return ev.doubt()
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
	case i < 0 && ev.room(markWeight):
		*marks = append(*marks, mark)
		return true
	case i < 0:
		return ev.doubt()
	case (*marks)[i].SizeType == "" && mark.SizeType != "":
		(*marks)[i].SizeType = mark.SizeType
		return true
	}
	return false
}

// doubt says that not everything that was read is known (213).
func (ev *Evidence) doubt() (changed bool) {
	changed = !ev.Ambiguous
	ev.Ambiguous = true
	return changed
}

// count is the number of marks of all kinds.
func (t *Trade) count() int {
	return len(t.Carriers) + len(t.Importers) + len(t.Cargo) + len(t.Trips) + len(t.Containers) + len(t.Seals)
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
