package agent

import (
	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/configs"
	"boothd/devices"
)

// weakestOf is how weak a card may be read, by the readers that have a limit.
func weakestOf(cfg *configs.Config) map[string]int {
	out := map[string]int{}
	for _, d := range cfg.Devices {
		if d.Weakest != 0 {
			out[d.Name] = d.Weakest
		}
	}
	return out
}

// aimsOf is where those readers and cameras look of which that is known.
func aimsOf(cfg *configs.Config) map[string]passage.Aim {
	out := map[string]passage.Aim{}
	for _, d := range cfg.Devices {
		if len(d.BoothAntennas) > 0 || d.AtBooth {
			out[d.Name] = passage.Aim{Booth: d.BoothAntennas, WeakestDBm: d.BoothWeakest, Hand: d.AtBooth}
		}
	}
	return out
}

// input turns a report into what the machine takes, at the lane's door: raw
// identifiers become tokens here and go no further (I7). It is not ok if the
// report says nothing of a vehicle or a traveller.
func (l *lane) input(r devices.Read) (in passage.Input, ok bool) {
	in = passage.Input{At: r.At}
	switch {
	case r.Tag != nil:
		l.tag(&in, r)
	case r.Plate != nil && l.key != nil:
		l.plate(&in, r)
	case r.Document != nil:
		l.document(&in, r)
	case r.Scan != nil && l.key != nil:
		l.scan(&in, r)
	case r.Key != nil:
		return l.keyed(in, r)
	default:
		return in, false
	}
	return in, true
}

func (l *lane) tag(in *passage.Input, r devices.Read) {
	in.Place = l.aims[r.Device].Place(r.Tag.Antenna, r.Tag.RSSIDBm)
	in.Kind = passage.CardUnread // somebody presented a card; of a missing key 214 speaks
	if r.Tag.Unreadable || l.key == nil {
		return
	}
	in.Card = passage.Card{Token: l.key.Card(r.Tag.EPC), TID: l.key.TID(r.Tag.TID),
		Reader: r.Device, RSSIDBm: r.Tag.RSSIDBm, Antenna: r.Tag.Antenna}
	l.other(in.Card.Token, cardToken(r.Tag))
	if in.Card.Token != "" {
		in.Kind = passage.CardRead
	}
}

func (l *lane) plate(in *passage.Input, r devices.Read) {
	in.Kind, in.Place = passage.FrontPlate, l.aims[r.Device].Place(0, 0)
	if r.Role == devices.RolePlateRear {
		in.Kind = passage.RearPlate
	}
	in.Plate = plateOf(l.key, r)
}

func (l *lane) document(in *passage.Input, r devices.Read) {
	in.Kind = passage.DocumentRead
	if in.Document.CheckFailed = r.Document.CheckFailed; r.Document.CheckFailed {
		return
	}
	if l.key != nil && !r.Document.Unreadable {
		in.Document.Token = l.key.Document(r.Document.Issuer, r.Document.Number)
		l.other(in.Document.Token, documentToken(r.Document))
	}
	if in.Document.Token == "" {
		in.Kind = passage.CardUnread
	}
}

// scan makes a mark of a bar code. What has the form of a cargo control number
// is a trip's number if the list has a whole trip of it.
func (l *lane) scan(in *passage.Input, r devices.Read) {
	in.Kind = passage.Scan
	switch {
	case r.Role == devices.RoleSeal:
		in.ScanKind, in.Mark = passage.ScanSeal, l.key.SealMark(r.Scan.Text)
	case r.Scan.Unreadable:
		in.ScanKind, in.Mark = passage.ScanCargo, passage.Mark{Malformed: true}
	default:
		in.ScanKind, in.Mark = l.key.Scan(r.Scan.Text, l.policy.Direction)
	}
	if in.ScanKind != passage.ScanCargo || in.Mark.Malformed {
		return
	}
	if row, ok := l.trip(in.Mark.Token); ok && row.Of == "" {
		in.ScanKind = passage.ScanTrip
	}
}

// keyed takes the officer's keypad: a plate that was typed, or a button.
func (l *lane) keyed(in passage.Input, r devices.Read) (passage.Input, bool) {
	if r.Key.Button != "" {
		return l.button(in, r.Key.Button)
	}
	if l.key == nil {
		return in, false
	}
	in.Kind = passage.PlateKeyed
	in.Plate = l.key.Plate(r.Key.Plate, r.Key.Jurisdiction, 1) // who types, has looked
	in.Plate.Reader = r.Device
	return in, !in.Plate.NoRead
}

// trip reads a row of the trips, once per passage.
func (l *lane) trip(t passage.Token) (contract.TripRow, bool) {
	if row, ok := l.known.trips[t]; ok {
		return row, row.Of != "" || row.Carrier != ""
	}
	var row contract.TripRow
	if value, ok := l.find(contract.ListTrips, t); ok {
		var err error
		row, err = contract.ParseTripRow(value)
		l.blame(err)
	}
	if l.known.fault == nil {
		if l.known.trips == nil {
			l.known.trips = make(map[passage.Token]contract.TripRow)
		}
		l.known.trips[t] = row
	}
	return row, row.Of != "" || row.Carrier != ""
}
