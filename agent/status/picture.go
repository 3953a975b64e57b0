package status

import (
	"time"

	"boothd/agent/passage"
)

// Limits of a picture, in items. What is over them is cut off: a page that
// grows without end would be a way to hurt the lane.
const (
	MaxLamps   = 16 // a lane has twelve outputs
	MaxLast    = 20 // finished passages
	MaxDevices = 32
	MaxLists   = 16 // kinds, domain reference 6
	MaxReasons = 32 // of one decision
	MaxWarns   = 16
	maxText    = 200
)

// Health is the booth's health in one word.
type Health string

// Healths, as the officer's health lamp tells them.
const (
	Healthy  Health = "healthy"  // steady
	Degraded Health = "degraded" // slow blink: deciding, but never EXPEDITE, or offline from headquarters
	Out      Health = "out"      // fast blink: not deciding
)

// Picture is everything the page, the metrics and the tools may know of a booth
// at one moment. It is a plain value whose JSON is a stable contract: names
// are only added. No field can hold an identifier or a token (I7), and none
// tells a lookout from what everybody may meet (I3).
//
// Times are the wall clock of the booth, spans are whole milliseconds, -1
// stands for never. Slices belong to the picture once it is published.
type Picture struct {
	At        time.Time `json:"at"`
	StartedAt time.Time `json:"started_at"` // of this run of the daemon
	Version   string    `json:"version"`
	Booth     Booth     `json:"booth"`
	Simulated bool      `json:"simulated"` // some part is played by boothsim
	Health    Health    `json:"health"`
	Why       []Reason  `json:"why"`      // system reasons that keep it from healthy
	Warnings  []Warning `json:"warnings"` // what does not slow the lane and yet wants somebody
	Lane      Lane      `json:"lane"`
	Lamps     []Lamp    `json:"lamps"`
	// SignalFault is the latched fault of the lamps; nil: none.
	SignalFault *SignalFault `json:"signal_fault,omitempty"`
	Last        []Passage    `json:"last"` // newest first
	Totals      Totals       `json:"totals"`
	Devices     []Device     `json:"devices"`
	Lists       []List       `json:"lists"`
	Outbox      Outbox       `json:"outbox"`
	Store       Store        `json:"store"`
	Clock       Clock        `json:"clock"`
}

// Warning is one thing that somebody should look after. Its words are the
// booth's own, with figures and kinds of lists; at most 200 bytes.
type Warning struct {
	Code  string `json:"code"`
	Words string `json:"words"`
}

// Booth says which booth it is.
type Booth struct {
	ID        string `json:"id"`
	Site      string `json:"site,omitempty"` // for people only
	Port      string `json:"port"`           // such as "CBSA/0813"
	Direction string `json:"direction"`      // CA or US
}

// Lane is the road as it is now.
type Lane struct {
	Type  string `json:"type"`           // nexus, fast, ...
	Next  string `json:"next,omitempty"` // the type it is to be from the next vehicle on
	Mode  string `json:"mode"`           // staffed, auto; manual: the lamps are at fault
	Open  bool   `json:"open"`
	State string `json:"state"` // of the passage machine: idle, approach, ...
	// Now is the advice in force; nil while no vehicle is at the booth.
	Now *Advice `json:"now,omitempty"`
	// Durable says that the advice is in the journal: nothing invites to go
	// before that (I2).
	Durable bool `json:"durable"`
	// Cards and Plate tell what was read of the vehicle that is there.
	Cards    int       `json:"cards"`
	Plate    PlateKind `json:"plate"`
	Released bool      `json:"released"`
}

// PlateKind says how a plate is known, never which.
type PlateKind string

// How a plate is known.
const (
	PlateNone  PlateKind = "none"
	PlateRead  PlateKind = "read"  // by a camera
	PlateKeyed PlateKind = "keyed" // by the officer
	PlateNot   PlateKind = "no read"
)

// Reason is one reason code and what it says to a person.
type Reason struct {
	Code  int    `json:"code"`
	Name  string `json:"name"`
	Words string `json:"words"`
}

// Advice is a decision as every display may have it. Make it with Advise.
type Advice struct {
	Outcome string   `json:"outcome"` // EXPEDITE, PRIMARY, REFER, HOLD
	Lead    Reason   `json:"lead"`
	Reasons []Reason `json:"reasons"`
	Ready   int      `json:"ready,omitempty"` // "READY n"
}

// Advise gives the public side of a decision: it masks lookouts itself, so
// that a caller who forgot to cannot tell of one (I3).
func Advise(d passage.Decision) Advice {
	d = d.Public()
	a := Advice{Outcome: d.Outcome.String(), Lead: Because(d.Lead), Ready: d.Ready}
	for _, c := range d.Reasons {
		a.Reasons = append(a.Reasons, Because(c))
	}
	return a
}

// Because puts a reason code into words. The zero code is the zero Reason.
func Because(c passage.Code) Reason {
	if c == 0 {
		return Reason{}
	}
	return Reason{Code: int(c), Name: c.Name(), Words: c.Words()}
}

// Rhythm is how a lamp is lit.
type Rhythm string

// Rhythms, product design section 6.
const (
	Dark   Rhythm = "off"
	Steady Rhythm = "steady"
	Slow   Rhythm = "slow"   // 1 Hz
	Fast   Rhythm = "fast"   // 4 Hz
	Blinks Rhythm = "blinks" // Lamp.Count short blinks and a pause
)

// Feedback is what a lamp's own wire says back.
type Feedback string

// What is known of a lamp beside its command.
const (
	NoFeedback Feedback = ""        // none is wired, or it was not asked yet
	Agrees     Feedback = "agrees"  // it is as commanded, or not for long enough to say
	Differs    Feedback = "differs" // it was not: everything stays red until somebody has looked
	Unseen     Feedback = "lost"    // its wire cannot be read
	Undriven   Feedback = "fault"   // the output could not be set
)

// Lamp is one output as it is driven now, after the interlock: not as the
// decision would like to have it.
type Lamp struct {
	Name     string   `json:"name"` // as in the configuration: traveller_red, ...
	Wired    bool     `json:"wired"`
	Shows    Rhythm   `json:"shows"`
	Count    int      `json:"count,omitempty"`
	Feedback Feedback `json:"feedback,omitempty"`
	Seen     string   `json:"seen,omitempty"` // by its own wire at this moment: lit, dark
}

// SignalFault is what the lamps showed against what they were told, which is
// latched: boothctl lamps reset.
type SignalFault struct {
	Head  string `json:"head"` // traveller, officer; all
	Lamp  string `json:"lamp"`
	Fault string `json:"fault"` // conflict, dark, stuck; unreadable: its record is
}

// Passage is one that has ended.
type Passage struct {
	ID         string    `json:"id"` // UUIDv7 of the passage
	At         time.Time `json:"at"` // of its end
	Advice     Advice    `json:"advice"`
	Cards      int       `json:"cards"`
	Plate      PlateKind `json:"plate"`
	End        string    `json:"end"` // cleared, aborted, timedout
	Released   bool      `json:"released"`
	Overridden bool      `json:"overridden"`
	DecisionUS int64     `json:"decision_us"` // from the deciding input to the decision
	Delivery   Delivery  `json:"delivery"`
}

// Delivery says whether headquarters has receipted a passage.
type Delivery string

// Stages of delivery. The zero Delivery is not known.
const (
	Waiting   Delivery = "waiting"
	Delivered Delivery = "delivered"
)

// Device is one reader or camera.
type Device struct {
	Name   string    `json:"name"`
	Driver string    `json:"driver"`
	Role   string    `json:"role"`
	Online bool      `json:"online"`
	Since  time.Time `json:"since,omitzero"`   // of the state
	Reason string    `json:"reason,omitempty"` // why it is not online; first line, at most 200 bytes
	ReadAt time.Time `json:"read_at,omitzero"` // of the last read; zero: none since start
	Counts Counts    `json:"counts"`
}

// Counts is what a driver counts, since start.
type Counts struct {
	Bytes       uint64 `json:"bytes"`
	Frames      uint64 `json:"frames"`
	CheckErrors uint64 `json:"check_errors"`
	Timeouts    uint64 `json:"timeouts"`
	Resyncs     uint64 `json:"resyncs"`
	Reopens     uint64 `json:"reopens"`
	Repeats     uint64 `json:"repeats"` // held back: they said again what was said
}

// Freshness is a list's age in one word.
type Freshness string

// Freshness of a list, against soft_age and hard_age of the configuration.
const (
	Fresh   Freshness = "fresh"
	Aging   Freshness = "aging" // over soft_age (211)
	Stale   Freshness = "stale" // over hard_age: expedites nobody (204)
	Missing Freshness = "missing"
)

// List is the active generation of one kind.
type List struct {
	Kind       string    `json:"kind"`
	Generation uint64    `json:"generation"` // 0: none
	Rows       uint64    `json:"rows"`
	AgeMS      int64     `json:"age_ms"` // since headquarters last vouched for it; -1: never
	State      Freshness `json:"state"`
	Rejected   bool      `json:"rejected"` // the newest one sent was refused (205)
}

// Outbox is what waits for headquarters. Events for the watch desk are in
// none of its numbers: one that went up with a vehicle would tell of a hit (I3).
type Outbox struct {
	Link     bool      `json:"link"` // a connection to a broker stands
	Since    time.Time `json:"since,omitzero"`
	Broker   string    `json:"broker,omitempty"` // host and port
	Waiting  int64     `json:"waiting"`          // events not receipted
	OldestMS int64     `json:"oldest_ms"`        // age of the oldest of them; -1: none
	// ReceiptMS is the age of the last receipt; -1: none since start.
	ReceiptMS   int64 `json:"receipt_ms"`
	Quarantined int64 `json:"quarantined"`
}

// Store is the journal and the disk below it.
type Store struct {
	OK        bool   `json:"ok"` // it takes events (else 206)
	Bytes     int64  `json:"bytes"`
	MaxBytes  int64  `json:"max_bytes"`
	FreeBytes int64  `json:"free_bytes"` // of the file system
	Dropped   uint64 `json:"dropped"`    // reads that overflowed the lane's inbox
	// FlashDay is at most how many bytes are written to the medium a day; 0: not
	// known yet.
	FlashDay int64 `json:"flash_bytes_day"`
	// HoldsMS is how long until the journal or the disk is full if nothing is
	// receipted any more, at the rate of the last day; -1: not known yet.
	HoldsMS int64 `json:"holds_ms"`
}

// Clock is how far the wall clock can be trusted.
type Clock struct {
	Quality string `json:"quality"` // synced, holdover, restored, unset
	ErrMS   int64  `json:"err_ms"`
}
