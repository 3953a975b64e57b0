package passage

import "time"

// FASTPolicy is what a trader must be to be expedited (domain reference,
// section 3). It is data of port and direction.
type FASTPolicy string

// FAST policies. The zero value approves nobody.
const (
	CSAAndPIP FASTPolicy = "CSA_AND_PIP" // both
	PIPOrBoth FASTPolicy = "PIP_OR_BOTH" // PIP, with or without CSA
	CTPAT     FASTPolicy = "CTPAT"
)

// Mark is one thing that was scanned or keyed: a bar code, a container's
// number, a seal.
type Mark struct {
	Token Token `json:"token,omitzero"` // of the canonical text
	// Carrier is the token of the carrier code that a cargo control number or a
	// trip's number begins with.
	Carrier   Token  `json:"carrier,omitzero"`
	SizeType  string `json:"size_type,omitzero"` // of a container, ISO 6346
	Malformed bool   `json:"malformed,omitzero"` // pattern or check digit is wrong
}

// Trade is what was scanned of a truck, each kind distinct and in order.
type Trade struct {
	Carriers   []Mark `json:"carriers,omitzero"`
	Importers  []Mark `json:"importers,omitzero"` // BN15
	Cargo      []Mark `json:"cargo,omitzero"`     // CCN, PARS or PAPS
	Trips      []Mark `json:"trips,omitzero"`     // CRN
	Containers []Mark `json:"containers,omitzero"`
	Seals      []Mark `json:"seals,omitzero"`
	Trailer    bool   `json:"trailer,omitzero"` // one was seen
	Empty      bool   `json:"empty,omitzero"`   // the officer says so
}

// Trader is what a list says of a carrier or an importer.
type Trader struct {
	Token      Token     `json:"token"`
	Found      bool      `json:"found"`
	Status     Status    `json:"status"`   // Active, Suspended, Revoked, Pending
	Programs   []string  `json:"programs"` // CSA, PIP, CTPAT
	ValidFrom  time.Time `json:"valid_from,omitzero"`
	ValidUntil time.Time `json:"valid_until,omitzero"`
}

// Trip is one pre-arrival record.
type Trip struct {
	Token      Token      `json:"token"` // of the trip's number
	Carrier    Token      `json:"carrier"`
	Empty      bool       `json:"empty,omitzero"`   // no load
	Trailer    bool       `json:"trailer,omitzero"` // one is announced
	Shipments  []Shipment `json:"shipments,omitzero"`
	Containers []Token    `json:"containers,omitzero"` // on the manifest
	SealNeeded bool       `json:"seal_needed,omitzero"`
	HighSeal   bool       `json:"high_seal,omitzero"` // class H is required
	Screening  bool       `json:"screening,omitzero"` // CSI status is required
	ValidFrom  time.Time  `json:"valid_from,omitzero"`
	ValidUntil time.Time  `json:"valid_until,omitzero"`
}

// Shipment is one of a trip.
type Shipment struct {
	Cargo    Token `json:"cargo"`
	Importer Token `json:"importer"`
	Eligible bool  `json:"eligible"` // notice FLE; FLI and no notice are not
	Goods    bool  `json:"goods"`    // of an origin and kind that FAST takes
}

// ContainerStatus is what headquarters says of a container; the zero value is
// unknown.
type ContainerStatus uint8

// Container statuses (domain reference, section 5).
const (
	ContainerUnknown ContainerStatus = iota
	ContainerNone
	ContainerPrescreened
	ContainerOnHold
	ContainerDoNotRelease
)

// Container is what a list says of one container.
type Container struct {
	Found      bool            `json:"found"`
	Status     ContainerStatus `json:"status"`
	Seal       Token           `json:"seal,omitzero"`
	SealClass  string          `json:"seal_class,omitzero"` // I, S or H
	SizeType   string          `json:"size_type,omitzero"`
	ValidFrom  time.Time       `json:"valid_from,omitzero"`
	ValidUntil time.Time       `json:"valid_until,omitzero"`
}

// TradeFacts is what the lists say of a Trade.
type TradeFacts struct {
	Carriers   []Trader    `json:"carriers,omitzero"`   // one per Trade.Carriers, same order
	Importers  []Trader    `json:"importers,omitzero"`  // by token: those scanned and those of every trip
	Trips      []Trip      `json:"trips,omitzero"`      // found by Trade.Trips and Trade.Cargo, distinct
	Containers []Container `json:"containers,omitzero"` // one per Trade.Containers, same order
}
