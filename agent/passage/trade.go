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
	Token Token `json:"token,omitempty"` // of the canonical text
	// Carrier is the token of the carrier code that a cargo control number or a
	// trip's number begins with.
	Carrier   Token  `json:"carrier,omitempty"`
	SizeType  string `json:"size_type,omitempty"` // of a container, ISO 6346
	Malformed bool   `json:"malformed,omitempty"` // pattern or check digit is wrong
}

// Trade is what was scanned of a truck, each kind distinct and in order.
type Trade struct {
	Carriers   []Mark `json:"carriers,omitempty"`
	Importers  []Mark `json:"importers,omitempty"` // BN15
	Cargo      []Mark `json:"cargo,omitempty"`     // CCN, PARS or PAPS
	Trips      []Mark `json:"trips,omitempty"`     // CRN
	Containers []Mark `json:"containers,omitempty"`
	Seals      []Mark `json:"seals,omitempty"`
	Trailer    bool   `json:"trailer,omitempty"` // one was seen
	Empty      bool   `json:"empty,omitempty"`   // the officer says so
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
	Empty      bool       `json:"empty,omitempty"`   // no load
	Trailer    bool       `json:"trailer,omitempty"` // one is announced
	Shipments  []Shipment `json:"shipments,omitempty"`
	Containers []Token    `json:"containers,omitempty"` // on the manifest
	SealNeeded bool       `json:"seal_needed,omitempty"`
	HighSeal   bool       `json:"high_seal,omitempty"` // class H is required
	Screening  bool       `json:"screening,omitempty"` // CSI status is required
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
	Seal       Token           `json:"seal,omitempty"`
	SealClass  string          `json:"seal_class,omitempty"` // I, S or H
	SizeType   string          `json:"size_type,omitempty"`
	ValidFrom  time.Time       `json:"valid_from,omitzero"`
	ValidUntil time.Time       `json:"valid_until,omitzero"`
}

// TradeFacts is what the lists say of a Trade.
type TradeFacts struct {
	Carriers   []Trader    `json:"carriers,omitempty"`   // one per Trade.Carriers, same order
	Importers  []Trader    `json:"importers,omitempty"`  // by token: those scanned and those of every trip
	Trips      []Trip      `json:"trips,omitempty"`      // found by Trade.Trips and Trade.Cargo, distinct
	Containers []Container `json:"containers,omitempty"` // one per Trade.Containers, same order
}
