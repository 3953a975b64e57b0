package passage

import "slices"

// Rows 700 to 711. Where nothing was scanned a general lane has a car before
// it: there only what was scanned is judged.
func (c *weighing) trade() {
	t, f := c.scanned()
	truck := c.pol.Lane == FAST
	c.when(truck && !c.pol.FASTPort, PortNotParticipating)
	empty := t.Empty || slices.ContainsFunc(f.Trips, func(t Trip) bool { return t.Empty })
	c.when(truck && empty && !c.pol.AllowEmpty, EmptyNotAllowed)
	c.when(len(f.Carriers) != len(t.Carriers) || len(f.Containers) != len(t.Containers), DecisionTimeout)

	c.carriers(t, f, truck)
	c.importers(t, f, truck && !empty)
	c.cargo(t, f, truck && !empty)
	c.trips(t, f, truck)
	c.shipments(f, empty)
}

// scanned gives what was scanned and what is known of it, both zero for a car.
func (c *weighing) scanned() (t Trade, f TradeFacts) {
	if c.ev.Trade != nil {
		t = *c.ev.Trade
	}
	if c.f.Trade != nil {
		f = *c.f.Trade
	}
	return t, f
}

func malformed(marks []Mark) bool {
	return slices.ContainsFunc(marks, func(m Mark) bool { return m.Malformed || m.Token == "" })
}

func (c *weighing) carriers(t Trade, f TradeFacts, needed bool) {
	c.when(malformed(t.Carriers) || needed && len(t.Carriers) == 0, CarrierUnknown)
	for i, m := range t.Carriers {
		switch {
		case m.Malformed || i >= len(f.Carriers):
		case !f.Carriers[i].Found:
			c.say(CarrierUnknown)
		default:
			c.when(!c.approved(f.Carriers[i]), CarrierNotApproved)
		}
	}
}

func (c *weighing) importers(t Trade, f TradeFacts, needed bool) {
	c.when(malformed(t.Importers), ImporterIDInvalid)
	known := 0
	for _, token := range importersOf(t, f) {
		i := slices.IndexFunc(f.Importers, func(have Trader) bool { return have.Token == token })
		if i < 0 || !f.Importers[i].Found || !c.approved(f.Importers[i]) {
			c.say(ImporterNotApproved)
		}
		known++
	}
	c.when(needed && known == 0, ImporterNotApproved)
	// One that no trip names is not the importer of anything on board.
	for _, m := range t.Importers {
		c.when(!m.Malformed && len(f.Trips) > 0 && !named(f, m.Token), ImporterNotApproved)
	}
}

// importersOf gives every importer concerned: scanned, or of a shipment.
func importersOf(t Trade, f TradeFacts) []Token {
	var all []Token
	for _, m := range t.Importers {
		if !m.Malformed {
			all = append(all, m.Token)
		}
	}
	for _, trip := range f.Trips {
		for _, s := range trip.Shipments {
			all = append(all, s.Importer)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func named(f TradeFacts, importer Token) bool {
	return slices.ContainsFunc(f.Trips, func(t Trip) bool {
		return slices.ContainsFunc(t.Shipments, func(s Shipment) bool { return s.Importer == importer })
	})
}

// cargo: a control number is missing if neither it was scanned nor a trip
// names any.
func (c *weighing) cargo(t Trade, f TradeFacts, needed bool) {
	named := slices.ContainsFunc(f.Trips, func(t Trip) bool { return len(t.Shipments) > 0 })
	c.when(malformed(t.Cargo) || needed && len(t.Cargo) == 0 && !named, CCNInvalid)
	for _, m := range t.Cargo {
		c.when(!m.Malformed && !announced(f, m.Token), TripNotFound)
	}
}

// announced tells whether a shipment of some trip has the control number.
func announced(f TradeFacts, cargo Token) bool {
	return slices.ContainsFunc(f.Trips, func(t Trip) bool {
		return slices.ContainsFunc(t.Shipments, func(s Shipment) bool { return s.Cargo == cargo })
	})
}

func (c *weighing) trips(t Trade, f TradeFacts, needed bool) {
	c.when(needed && len(f.Trips) == 0, TripNotFound)
	for _, m := range t.Trips {
		found := slices.ContainsFunc(f.Trips, func(t Trip) bool { return t.Token == m.Token })
		c.when(!found || m.Malformed, TripNotFound)
	}
	for _, trip := range f.Trips {
		c.when(c.outside(trip.ValidFrom, trip.ValidUntil), TripNotFound)
	}
	// One carrier: of its document, of every number that begins with its code,
	// and of the trip; and one trip.
	var carriers []Token
	for _, m := range t.Carriers {
		carriers = append(carriers, m.Token)
	}
	for _, m := range slices.Concat(t.Cargo, t.Trips) {
		carriers = append(carriers, m.Carrier)
	}
	for _, trip := range f.Trips {
		carriers = append(carriers, trip.Carrier)
	}
	carriers = slices.DeleteFunc(carriers, func(t Token) bool { return t == "" })
	slices.Sort(carriers)
	c.when(len(slices.Compact(carriers)) > 1 || len(f.Trips) > 1, CarrierMismatch)
}

// shipments: each of every trip must be eligible, its goods too.
func (c *weighing) shipments(f TradeFacts, empty bool) {
	good, bad := 0, 0
	for _, trip := range f.Trips {
		for _, s := range trip.Shipments {
			c.when(!s.Eligible, TripIneligible)
			c.when(!s.Goods, GoodsNotEligible)
			i := slices.IndexFunc(f.Importers, func(have Trader) bool { return have.Token == s.Importer })
			if s.Eligible && s.Goods && i >= 0 && f.Importers[i].Found && c.approved(f.Importers[i]) {
				good++
			} else {
				bad++
			}
		}
		c.when(len(trip.Shipments) == 0 && !empty, TripIneligible)
	}
	c.when(good > 0 && bad > 0, MixedLoad)
}

// approved tells whether a trader is what the port's policy asks for.
func (c *weighing) approved(t Trader) bool {
	has := func(program string) bool { return slices.Contains(t.Programs, program) }
	program := false
	switch c.pol.FAST {
	case CSAAndPIP:
		program = has("CSA") && has("PIP")
	case PIPOrBoth:
		program = has("PIP")
	case CTPAT:
		program = has("CTPAT")
	}
	return program && t.Found && t.Status == Active && !c.outside(t.ValidFrom, t.ValidUntil)
}
