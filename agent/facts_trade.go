package agent

import (
	"slices"
	"time"

	"boothd/agent/contract"
	"boothd/agent/passage"
)

// documents looks up what was read by its printed zone: which card it is, and
// what the lists say of that.
func (l *lane) documents(ev passage.Evidence, f *passage.Facts, now time.Time) {
	for _, d := range ev.Documents {
		fact := passage.DocumentFact{Fact: passage.CardFact{Recent: -1}}
		if value, ok := l.find(contract.ListDocuments, d.Token); ok {
			row, err := contract.ParseDocumentRow(value)
			l.blame(err)
			if fact.Found, fact.Card = err == nil, row.Card; fact.Found {
				fact.Fact = l.card(row.Card)
				fact.Fact.Recent = l.passed(now, row.Card, d.Token)
				f.Hits = append(f.Hits, l.hits(row.Card)...)
			}
		}
		f.Documents = append(f.Documents, fact)
		f.Hits = append(f.Hits, l.hits(d.Token)...)
	}
}

// trade looks up what was scanned of truck and load.
func (l *lane) trade(ev passage.Evidence, f *passage.Facts) {
	t := ev.Trade
	if t == nil {
		return
	}
	known := &passage.TradeFacts{}
	f.Trade = known
	for _, m := range t.Carriers {
		known.Carriers = append(known.Carriers, l.trader(contract.ListCarriers, m.Token))
	}
	for _, m := range slices.Concat(t.Trips, t.Cargo) {
		l.follow(m, known)
	}
	importers := l.importers(t, known)
	for _, token := range importers {
		known.Importers = append(known.Importers, l.trader(contract.ListImporters, token))
	}
	for _, m := range t.Containers {
		var c passage.Container
		if value, ok := l.find(contract.ListContainers, m.Token); ok && !m.Malformed {
			row, err := contract.ParseContainerRow(value)
			l.blame(err)
			if err == nil {
				c = row.Container()
			}
		}
		known.Containers = append(known.Containers, c)
	}
	for _, m := range slices.Concat(t.Carriers, t.Cargo, t.Trips, t.Containers) {
		f.Hits = append(f.Hits, l.hits(m.Token)...)
		f.Hits = append(f.Hits, l.hits(m.Carrier)...)
	}
}

// follow adds the trip that a trip's or a cargo control number leads to.
func (l *lane) follow(m passage.Mark, known *passage.TradeFacts) {
	if m.Malformed {
		return
	}
	token := m.Token
	row, ok := l.trip(token)
	if ok && row.Of != "" {
		token = row.Of
		row, ok = l.trip(token)
	}
	if !ok || row.Of != "" || slices.ContainsFunc(known.Trips, func(t passage.Trip) bool { return t.Token == token }) {
		return
	}
	known.Trips = append(known.Trips, row.Trip(token))
}

// importers gives every importer concerned, in order and once.
func (l *lane) importers(t *passage.Trade, known *passage.TradeFacts) []passage.Token {
	var all []passage.Token
	for _, m := range t.Importers {
		if !m.Malformed {
			all = append(all, m.Token)
		}
	}
	for _, trip := range known.Trips {
		for _, s := range trip.Shipments {
			all = append(all, s.Importer)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (l *lane) trader(kind string, t passage.Token) passage.Trader {
	value, ok := l.find(kind, t)
	if !ok {
		return passage.Trader{Token: t}
	}
	row, err := contract.ParseTraderRow(value)
	if l.blame(err); err != nil {
		return passage.Trader{Token: t}
	}
	return row.Trader(t)
}

// tractors tells whether the plate is one of the carrier's (603).
func (l *lane) tractors(ev passage.Evidence, p *passage.Plate, f *passage.Facts) {
	if ev.Trade == nil || l.key == nil {
		return
	}
	plate := p.Full
	if plate == "" {
		plate = p.Bare
	}
	for _, m := range ev.Trade.Carriers {
		value, ok := l.find(contract.ListVehicles, l.key.Tractor(m.Token, plate))
		if !ok {
			continue
		}
		row, err := contract.ParseVehicleRow(value)
		l.blame(err)
		f.VehiclesOnFile = true
		f.VehicleLinked = f.VehicleLinked || row.Linked(p.Full, p.Bare)
	}
}
