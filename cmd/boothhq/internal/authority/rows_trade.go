package authority

import (
	"slices"
	"strings"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/devices"
)

// tablesOfTrade are the tables of documents, traders, trips and containers. A
// trip's shipments are in a table of their own, after it.
func (o *office) tablesOfTrade() []table {
	trader := []string{"status", "programs", "valid_from", "valid_until"}
	return []table{
		{"documents.csv", contract.ListDocuments, []string{"issuer", "number", "epc"}, o.document},
		{"carriers.csv", contract.ListCarriers, append([]string{"carrier"}, trader...), o.carrier},
		{"importers.csv", contract.ListImporters, append([]string{"importer"}, trader...), o.importer},
		{"tractors.csv", contract.ListVehicles, []string{"carrier", "plate", "jurisdiction"}, o.tractor},
		{"trips.csv", contract.ListTrips, []string{"trip", "carrier", "empty", "trailer", "seal_required", "high_seal", "screening", "containers",
			"valid_from", "valid_until"}, o.trip},
		{"shipments.csv", contract.ListTrips, []string{"trip", "cargo", "importer", "eligible", "goods"}, o.shipment},
		{"containers.csv", contract.ListContainers, []string{"container", "status", "seal", "seal_class", "size_type", "source", "valid_from", "valid_until"}, o.container},
	}
}

var memberStatus = map[string]passage.Status{"ACTIVE": passage.Active, "SUSPENDED": passage.Suspended, "REVOKED": passage.Revoked, "PENDING": passage.Pending}

func (o *office) document(r *record) {
	t := r.identifier("number", func(n devices.Ident) passage.Token { return o.key.Document(r.field("issuer"), n) })
	if n := len(r.field("issuer")); n < 1 || n > 3 {
		r.fault("issuer", "is no state's code such as CAN")
	}
	o.once(r, contract.ListDocuments, t, "number", contract.DocumentRow{Card: r.identifier("epc", o.hex(o.key.Card))})
}

func (o *office) trader(r *record) contract.TraderRow {
	return contract.TraderRow{Status: choice(r, "status", memberStatus), Programs: r.words("programs", contract.TraderPrograms()),
		ValidFrom: r.time("valid_from", false), ValidUntil: r.time("valid_until", true)}
}

func (o *office) carrier(r *record) {
	o.once(r, contract.ListCarriers, r.identifier("carrier", o.key.Carrier), "carrier", o.trader(r))
}

func (o *office) importer(r *record) {
	o.once(r, contract.ListImporters, o.business(r), "importer", o.trader(r))
}

// business is an importer's number, checked as the booth checks a scan of it.
func (o *office) business(r *record) passage.Token {
	kind, mark := o.key.Scan(devices.Ident(r.field("importer")), passage.ToCanada)
	if kind != passage.ScanImporter || mark.Malformed {
		r.fault("importer", "is no business number such as 123456782RM0001, its check digit included")
		return ""
	}
	return mark.Token
}

// tractor has two rows: by the plate with its jurisdiction and without.
func (o *office) tractor(r *record) {
	carrier := r.identifier("carrier", o.key.Carrier)
	p := o.plate(r, "plate")
	if p.Full == "" && p.Bare != "" {
		r.fault("jurisdiction", "is missing")
	}
	if r.bad {
		return
	}
	row := contract.VehicleRow{Plates: []contract.VehiclePlate{{Full: p.Full, Bare: p.Bare}}}
	o.once(r, contract.ListVehicles, o.key.Tractor(carrier, p.Full), "plate", row)
	// The same letters in two jurisdictions are two tractors: without one, the
	// last of them stands.
	value, err := row.Append(nil)
	if err != nil {
		r.fault("", err.Error())
		return
	}
	e, _ := o.at(r, contract.ListVehicles, o.key.Tractor(carrier, p.Bare))
	e.value = value
}

func (o *office) trip(r *record) {
	row := contract.TripRow{Carrier: r.identifier("carrier", o.key.Carrier), Empty: r.yes("empty"), Trailer: r.yes("trailer"),
		SealNeeded: r.yes("seal_required"), HighSeal: r.yes("high_seal"), Screening: r.yes("screening"),
		ValidFrom: r.time("valid_from", false), ValidUntil: r.time("valid_until", true)}
	for _, number := range strings.FieldsFunc(r.field("containers"), func(c rune) bool { return c == ' ' || c == ';' }) {
		kind, mark := o.key.Scan(devices.Ident(number), passage.ToCanada)
		if kind != passage.ScanContainer || mark.Malformed {
			r.fault("containers", "has one that is no container number, its check digit included")
			continue
		}
		row.Containers = append(row.Containers, mark.Token)
	}
	t := r.identifier("trip", o.key.Cargo)
	o.once(r, contract.ListTrips, t, "trip", row)
	if b, err := contract.TokenBytes(t); err == nil && !r.bad {
		o.lists[contract.ListTrips][b].trip = row
	}
}

func (o *office) shipment(r *record) {
	s := passage.Shipment{Cargo: r.identifier("cargo", o.key.Cargo), Importer: o.business(r), Eligible: r.yes("eligible"), Goods: r.yes("goods")}
	trip := r.identifier("trip", o.key.Cargo)
	if r.bad {
		return
	}
	e, first := o.at(r, contract.ListTrips, trip)
	if first || e.trip.Carrier == "" {
		r.fault("trip", "is not in trips.csv")
		return
	}
	o.once(r, contract.ListTrips, s.Cargo, "cargo", contract.TripRow{Of: trip})
	if r.bad {
		return
	}
	e.trip.Shipments = append(slices.Clip(e.trip.Shipments), s)
	value, err := e.trip.Append(nil)
	if err != nil {
		r.fault("", err.Error())
		return
	}
	e.value = value
}

func (o *office) container(r *record) {
	row := contract.ContainerRow{
		Status: choice(r, "status", map[string]passage.ContainerStatus{"NONE": passage.ContainerNone, "PRESCREENED": passage.ContainerPrescreened,
			"HOLD": passage.ContainerOnHold, "DO_NOT_RELEASE": passage.ContainerDoNotRelease}),
		SealClass: r.field("seal_class"), SizeType: r.field("size_type"), Source: r.field("source"),
		ValidFrom: r.time("valid_from", false), ValidUntil: r.time("valid_until", true)}
	if r.field("seal") != "" {
		row.Seal = r.identifier("seal", o.key.Seal)
	}
	kind, mark := o.key.Scan(devices.Ident(r.field("container")), passage.ToCanada)
	if kind != passage.ScanContainer || mark.Malformed {
		r.fault("container", "is no container number, its check digit included")
		return
	}
	o.once(r, contract.ListContainers, mark.Token, "container", row)
}

// subject looks for what is not a plate: card, document, container or carrier.
func (o *office) subject(r *record, l contract.Lookout) {
	var t passage.Token
	switch l.Subject {
	case "CARD":
		t = r.identifier("subject", o.hex(o.key.Card))
	case "DOCUMENT":
		t = r.identifier("subject", func(s devices.Ident) passage.Token {
			issuer, number, _ := strings.Cut(r.field("subject"), "/")
			return o.key.Document(issuer, devices.Ident(number))
		})
	case "CONTAINER":
		t = r.identifier("subject", o.key.Container)
	case "CARRIER":
		t = r.identifier("subject", o.key.Carrier)
	}
	o.lookFor(r, l, contract.MatchExact, t)
}
