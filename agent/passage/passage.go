// Package passage is the judgement of one lane, whole and pure: which reads
// belong to which vehicle (Machine), and what follows from them (Decide).
//
// It reads no clock, no store and no global; time, facts and the draw come in
// as values, so the same arguments give the same bytes at the booth, in a test
// and in an appeal. Identifiers come in as keyed tokens only.
//
// Source: domain reference, sections 2, 6, 7 and 8.
package passage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Token is a keyed token of an identifier (128 bits, hex of 32 digits). The
// zero value means "none".
type Token string

// Outcome is what a decision advises. The zero value is Primary, so a rule
// that forgets itself slows the lane. Severity orders them.
type Outcome uint8

// Outcomes, domain reference 7.1. Numbers are not severities; see Severity.
const (
	Primary  Outcome = iota // ordinary examination by the officer
	Expedite                // the officer may release after the visual check
	Refer                   // advise secondary
	Hold                    // nobody moves on this signal
)

// Severity orders outcomes: Expedite < Primary < Refer < Hold. An unknown
// outcome is as grave as Hold.
func (o Outcome) Severity() int {
	switch o {
	case Expedite:
		return 0
	case Primary:
		return 1
	case Refer:
		return 2
	}
	return 3
}

// String gives the outcome as it goes over the wire: "EXPEDITE", ...
func (o Outcome) String() string {
	switch o {
	case Primary:
		return "PRIMARY"
	case Expedite:
		return "EXPEDITE"
	case Refer:
		return "REFER"
	}
	return "HOLD"
}

// MarshalText writes the outcome as String does.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText writes and nothing else.
func (o *Outcome) UnmarshalText(b []byte) error {
	for _, known := range []Outcome{Primary, Expedite, Refer, Hold} {
		if string(b) == known.String() {
			*o = known
			return nil
		}
	}
	return fmt.Errorf("%q is not an outcome", b)
}

// Decision is what follows from one passage's evidence and facts.
type Decision struct {
	Outcome Outcome `json:"outcome"`
	Lead    Code    `json:"lead"`    // first in precedence order (7.2)
	Reasons []Code  `json:"reasons"` // every reason, ascending, no repeats
	// Ready is the number of good cards while OCCUPANTS_UNCONFIRMED is the
	// only reason that keeps the outcome from Expedite: "READY n", count and
	// press (7.5). Otherwise 0.
	Ready int `json:"ready,omitempty"`
	// Silent says that an alert must go to the watch desk (300-303).
	Silent bool `json:"silent,omitempty"`
	// Caution lights the neutral officer-safety icon (section 6).
	Caution bool `json:"caution,omitempty"`
}

// LaneType is what a lane is for. A type that is none of these yields HOLD/201.
type LaneType string

// Direction of traffic: whose rules apply.
type Direction string

const (
	NEXUS    LaneType = "nexus"     // people in a car
	FAST     LaneType = "fast"      // trucks, drivers, goods
	NEXUSAir LaneType = "nexus-air" // a kiosk
	Ready    LaneType = "ready"     // RFID documents of any kind; never expedites
	General  LaneType = "general"   // never expedites

	ToCanada Direction = "CA"
	ToUS     Direction = "US"
)

// Policy is what the port has laid down for the lane; it does not change
// within a passage. Its JSON is what the policy digest is taken over.
type Policy struct {
	Lane             LaneType  `json:"lane"`
	Direction        Direction `json:"direction"`
	Port             string    `json:"port"`               // "CBSA/0813"
	AcceptedPrograms []string  `json:"accepted_programs"`  // e.g. ["NEXUS"]; into the US also "SENTRI"
	RandomRate       float64   `json:"random_rate"`        // 0..1
	TIDRequired      bool      `json:"tid_required"`       // makes 412 a Primary reason
	AntiPassback     bool      `json:"anti_passback"`      // 413, 414
	AntiPassbackFor  Millis    `json:"anti_passback_ms"`   // 413 window
	PlateConfidence  float64   `json:"plate_confidence"`   // under it: 601
	JurisdictionNeed bool      `json:"plate_jurisdiction"` // 601 when the camera gives none
	PlatePresent     bool      `json:"plate_reader"`       // the lane has a plate reader; if not, the officer keys plates
	ReaderCapacity   int       `json:"reader_capacity"`    // 503, default 8
	SoftAge          Millis    `json:"soft_age_ms"`        // 211
	HardAge          Millis    `json:"hard_age_ms"`        // 204

	Regions    []string   `json:"lookout_regions,omitzero"` // whose lookouts count; none: everybody's
	Documents  bool       `json:"document_reader,omitzero"` // the lane has a reader of documents
	FAST       FASTPolicy `json:"fast_policy,omitzero"`     // what a carrier or importer must be (701, 702)
	FASTPort   bool       `json:"fast_port,omitzero"`       // the port takes part in FAST (else 709)
	AllowEmpty bool       `json:"allow_empty,omitzero"`     // empty trucks may be expedited (else 711)
	VerdictFor Millis     `json:"verdict_ms,omitzero"`      // how old a biometric verdict may be (853)
	// PrimaryOn and ReferOn are reasons that weigh at least that much here,
	// whatever the table says (domain reference, 7.5). They make a lane stricter,
	// never milder, and none is a lookout's, the officer's or the draw's.
	PrimaryOn []Code `json:"primary_on,omitzero"`
	ReferOn   []Code `json:"refer_on,omitzero"`
}

// Digest names the policy: "sha256:" and the hex SHA-256 of its JSON. No
// programmes are the same policy as none, whichever way it was read.
func (p Policy) Digest() string {
	if p.AcceptedPrograms == nil {
		p.AcceptedPrograms = []string{}
	}
	b, err := json.Marshal(p)
	if err != nil { // only a rate that is no number; such a policy decides nothing (201)
		b = []byte(err.Error())
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Millis is a span in milliseconds: an integer, so that stored facts replay
// to the same bytes on every machine.
type Millis int64

// Of rounds a duration down to milliseconds.
func Of(d time.Duration) Millis { return Millis(d / time.Millisecond) }

// State of the passage machine (section 8).
type State uint8

const (
	Idle State = iota
	Approach
	AtBooth
	Acted
	Clearing
)

// Evidence is what was read and pressed in one passage, so far. It is a value:
// it holds no pointer that the machine changes later.
type Evidence struct {
	ID         string    `json:"id"` // UUIDv7, given by the shell with the first detection
	State      State     `json:"state"`
	StartedAt  time.Time `json:"started_at"`
	AtBooth    bool      `json:"at_booth"` // booth loop has been reached (arms 400, 600)
	Cards      []Card    `json:"cards"`    // distinct tokens, in order of first read
	Unreadable int       `json:"unreadable"`
	Front      *Plate    `json:"front,omitempty"` // best report
	Rear       *Plate    `json:"rear,omitempty"`
	Keyed      *Plate    `json:"keyed,omitempty"` // by the officer; replaces Front for look-ups
	// Occupants is what the officer confirmed: 0 = not confirmed.
	Occupants int `json:"occupants"`
	// Releases and Refers count the officer's presses; a second release over
	// REFER is the override (903).
	Releases     int  `json:"releases"`
	Refers       int  `json:"refers"`
	Released     bool `json:"released"`   // a release took effect (902)
	Overridden   bool `json:"overridden"` // it went against the advice (903)
	Declaration  bool `json:"declaration"`
	Goods        bool `json:"goods"`
	VehicleWrong bool `json:"vehicle_wrong"` // vehicle class says truck (604)
	Ambiguous    bool `json:"ambiguous"`     // 213
	Presence     bool `json:"presence"`      // 209: loop stuck, missing, out of order, time-out
	WrongWay     bool `json:"wrong_way"`
	Closed       bool `json:"closed"` // lane closed, or closed when the vehicle was detected

	Documents []Document `json:"documents,omitzero"` // read at the booth or kiosk, distinct
	Trade     *Trade     `json:"trade,omitzero"`     // what was scanned of truck and load
	Session   *Session   `json:"session,omitzero"`   // of a kiosk
}

// Card is one distinct card of the passage.
type Card struct {
	Token   Token  `json:"token"`
	TID     Token  `json:"tid,omitempty"`
	Reader  string `json:"reader"`
	RSSIDBm int    `json:"rssi_dbm"` // strongest
	Antenna int    `json:"antenna"`
	Reads   int    `json:"reads"`
	// TIDConflict: one card number was read from two chips (411).
	TIDConflict bool `json:"tid_conflict,omitempty"`
}

// Plate is one plate of the passage, as tokens.
type Plate struct {
	Full         Token   `json:"full,omitempty"` // with jurisdiction; none if it is unknown
	Bare         Token   `json:"bare,omitempty"` // without
	Fold         Token   `json:"fold,omitempty"` // of the fold key: confusable characters folded
	Jurisdiction string  `json:"jurisdiction,omitempty"`
	Confidence   float64 `json:"confidence"` // negative: not reported
	NoRead       bool    `json:"no_read,omitempty"`
	Reader       string  `json:"reader"`
	// Candidates are the fold keys of what it may be instead, as the camera says
	// or another of its reports did; at most 4. A lookout they match is a possible
	// one (303), and nothing else is ever looked up by them.
	Candidates []Token `json:"candidates,omitempty"`
}

// candidatesMost bounds a plate's alternatives; ours, as the devices'.
const candidatesMost = 4

// Or gives the plate with what another report says, as what it may be instead.
func (p Plate) Or(other Plate) Plate {
	all := append([]Token{other.Fold}, other.Candidates...)
	for _, t := range all {
		if t == "" || t == p.Fold || slices.Contains(p.Candidates, t) || len(p.Candidates) >= candidatesMost {
			continue
		}
		p.Candidates = append(slices.Clip(p.Candidates), t)
	}
	return p
}

// mayBe tells whether two plates may be readings of one.
func (p Plate) mayBe(other Plate) bool {
	of := func(p Plate) []Token { return append([]Token{p.Fold}, p.Candidates...) }
	theirs := of(other)
	return slices.ContainsFunc(of(p), func(t Token) bool { return t != "" && slices.Contains(theirs, t) })
}

// Facts is what the booth knows beside the evidence. The zero value is a booth
// that knows nothing, and never expedites.
type Facts struct {
	Now      time.Time `json:"now"` // wall clock, UTC, of this decision
	Clock    Clock     `json:"clock"`
	Key      bool      `json:"key"`      // token key loaded (else 214)
	Store    bool      `json:"store"`    // stores answer (else 206)
	Late     bool      `json:"late"`     // over budget, or an internal error (210)
	Readers  bool      `json:"readers"`  // every card reader is online (else 207)
	LPR      bool      `json:"lpr"`      // every plate reader is online (else 208)
	Presence bool      `json:"presence"` // loops are readable (else 209)
	Signals  bool      `json:"signals"`  // lamp feedback agrees (else 212)
	Config   bool      `json:"config"`   // lane, direction, port valid (else 201)
	Draw     int       `json:"draw"`     // 0..9999, drawn for every passage

	Lists []List     `json:"lists"` // each kind the lane needs, by kind
	Cards []CardFact `json:"cards"` // one per Evidence.Cards, same order
	// VehicleLinked: the read plate is on file for one of the members; set
	// only if some member has vehicles on file (else 603 stays silent).
	VehiclesOnFile bool  `json:"vehicles_on_file"`
	VehicleLinked  bool  `json:"vehicle_linked"`
	Hits           []Hit `json:"hits,omitempty"`

	Documents []DocumentFact `json:"documents,omitzero"` // one per Evidence.Documents, same order
	Trade     *TradeFacts    `json:"trade,omitzero"`     // of Evidence.Trade
	// PartyGood is how many earlier sessions of the same party had nothing
	// against them (854).
	PartyGood int `json:"party_good,omitzero"`
}

// Clock is the quality of the wall clock; the zero value is not trusted.
type Clock uint8

const (
	ClockUnset Clock = iota
	ClockRestored
	ClockHoldover
	ClockSynced
)

// List is the state of one list kind at decision time.
type List struct {
	Kind       string `json:"kind"`
	Generation uint64 `json:"gen"` // 0: none verified (203)
	Digest     string `json:"digest,omitempty"`
	Age        Millis `json:"age_ms"`             // since the last verified heartbeat or list
	Rejected   bool   `json:"rejected,omitempty"` // newest was refused (205)
}

// Status of a membership or a card; the zero value is unknown, which is P/210.
type Status uint8

const (
	StatusUnknown Status = iota
	Active
	Suspended
	Revoked
	Pending
	Issued
	Superseded
	Lost
	Stolen
)

// CardFact is what the lists and the recent past say of one card.
type CardFact struct {
	Found      bool      `json:"found"`
	Card       Status    `json:"card"`       // Issued, Superseded, Lost, Stolen
	Membership Status    `json:"membership"` // Active, Suspended, Revoked, Pending
	Member     Token     `json:"member,omitempty"`
	Programs   []string  `json:"programs"` // programmes of the membership, e.g. ["NEXUS"]
	ValidFrom  time.Time `json:"valid_from,omitzero"`
	ValidUntil time.Time `json:"valid_until,omitzero"` // of the membership; governs
	CardUntil  time.Time `json:"card_until,omitzero"`  // printed on the card
	Extended   bool      `json:"extended"`             // renewed in time: benefits outlast the card's date
	TID        Token     `json:"tid,omitempty"`        // enrolled chip; none if not enrolled
	// Recent: the same card completed another passage of this crossing and
	// direction this long ago; negative if not seen within 24 h (413).
	Recent     Millis `json:"recent_ms"`
	Concurrent bool   `json:"concurrent"` // present in another lane at once (414)
}

// Action a lookout asks for.
type Action string

const (
	Stop    Action = "STOP"
	Check   Action = "REFER"
	Observe Action = "OBSERVE"
)

// Hit is a lookout that matches, whatever its window: Decide judges the time.
type Hit struct {
	ID            string    `json:"id"`
	Version       uint64    `json:"version"`
	Action        Action    `json:"action"`
	Subject       string    `json:"subject"` // PLATE, CARD, DOCUMENT, CONTAINER, CARRIER
	ReasonCode    string    `json:"reason_code"`
	Caveat        string    `json:"caveat,omitempty"`
	Agency        string    `json:"agency"`
	Region        string    `json:"region"`
	OfficerSafety bool      `json:"officer_safety,omitempty"`
	ValidFrom     time.Time `json:"valid_from"`
	ValidUntil    time.Time `json:"valid_until"`
	Possible      bool      `json:"possible,omitempty"` // only an uncertain alternative matched (303)
}
