package contract

import (
	"fmt"
	"math"
	"time"

	"boothd/agent/passage"
)

// The types of events.
const (
	TypeCrossingDecided Type = "org.boothd.crossing.decided.v1"
	TypeCrossingEnded   Type = "org.boothd.crossing.ended.v1"
	TypeLookoutAlert    Type = "org.boothd.lookout.alert.v1"
	TypeNotice          Type = "org.boothd.security.notice.v1"
	TypePlateRead       Type = "org.boothd.read.plate.v1"
	TypeDeviceChanged   Type = "org.boothd.device.changed.v1"
	TypeListApplied     Type = "org.boothd.list.applied.v1"
	TypeListFailed      Type = "org.boothd.list.failed.v1"
	TypeClockChanged    Type = "org.boothd.clock.changed.v1"
	TypeClockCorrected  Type = "org.boothd.clock.corrected.v1"
	TypeSignalFault     Type = "org.boothd.signal.fault.v1"
	TypeStarted         Type = "org.boothd.audit.started.v1"
	TypeStopped         Type = "org.boothd.audit.stopped.v1"
	TypePolicy          Type = "org.boothd.audit.policy.v1"
	TypeEpoch           Type = "org.boothd.audit.epoch.v1"
	TypeConfig          Type = "org.boothd.audit.config.v1"
	TypeCheckpoint      Type = "org.boothd.audit.checkpoint.v1"
	TypeThinned         Type = "org.boothd.audit.thinned.v1"
	TypePurged          Type = "org.boothd.audit.purged.v1"
)

// Types lists every type a booth can send.
func Types() []Type {
	return []Type{
		TypeCrossingDecided, TypeCrossingEnded, TypeLookoutAlert, TypeNotice, TypePlateRead, TypeDeviceChanged, TypeListApplied,
		TypeListFailed, TypeClockChanged, TypeClockCorrected, TypeSignalFault, TypeStarted, TypeStopped, TypePolicy, TypeEpoch, TypeConfig,
		TypeCheckpoint, TypeThinned, TypePurged, TypeHello, TypeCommand, TypeCommandResult, TypeFleetNotice,
	}
}

// AboutBooth tells whether events of a type say how the booth is, and nothing of
// a vehicle nor of a lookout: such may be shown to those who help from afar. No
// crossing is among them, though it has no hit: one that is there beside a
// number that is missing would tell of it (I3).
func (t Type) AboutBooth() bool {
	switch t.Class() {
	case ClassCrossing, ClassSecurity, ClassRead, "":
		return false
	}
	return t != TypePurged
}

// Class tells on which topic the type travels; "" for a type that is not ours.
func (t Type) Class() Class {
	switch t {
	case TypeCrossingDecided, TypeCrossingEnded:
		return ClassCrossing
	case TypeLookoutAlert, TypeNotice:
		return ClassSecurity
	case TypePlateRead:
		return ClassRead
	case TypeDeviceChanged, TypeHello:
		return ClassDevice
	case TypeListApplied, TypeListFailed:
		return ClassList
	case TypeClockChanged, TypeClockCorrected:
		return ClassClock
	case TypeSignalFault:
		return ClassSignal
	case TypeStarted, TypeStopped, TypePolicy, TypeEpoch, TypeConfig, TypeCheckpoint, TypeThinned, TypePurged, TypeCommand, TypeFleetNotice:
		return ClassAudit
	case TypeCommandResult:
		return ClassCmdResult
	}
	return ""
}

// Alert tells whether events of the type overtake everything else (product
// design, section 5).
func (t Type) Alert() bool { return t.Class() == ClassSecurity }

// Clock is the time's quality beside each event (mqtt contract, section 4).
type Clock struct {
	Boot    string `json:"boot"`    // kernel boot id
	MonoUS  int64  `json:"mono_us"` // microseconds of the monotonic clock
	Quality string `json:"quality"` // synced, holdover, restored, unset
	ErrMS   int64  `json:"err_ms,omitzero"`
	Source  string `json:"src,omitzero"`
	Offset  uint64 `json:"offset_id,omitzero"` // seq of the clock.corrected that this time stands on
}

// Quality gives a clock's quality as it goes over the wire.
func Quality(c passage.Clock) string {
	switch c {
	case passage.ClockSynced:
		return "synced"
	case passage.ClockHoldover:
		return "holdover"
	case passage.ClockRestored:
		return "restored"
	}
	return "unset"
}

// Decision is a decision as it goes over the wire. Silent and Caution stand
// only in a LookoutAlert.
type Decision struct {
	Outcome string         `json:"outcome"` // EXPEDITE, PRIMARY, REFER, HOLD
	Lead    passage.Code   `json:"lead"`
	Reasons []passage.Code `json:"reasons"`
	Ready   int            `json:"ready,omitzero"`
	Silent  bool           `json:"silent,omitzero"`
	Caution bool           `json:"caution,omitzero"`
}

// CrossingDecided says what was decided of a passage so far, with everything
// needed to decide it again but the lookouts; those are a LookoutAlert's, on
// a topic that only the watch desk reads. Make it with Judged.Events.
type CrossingDecided struct {
	Passage   string           `json:"passage"`  // UUIDv7
	Revision  int              `json:"revision"` // within the passage, from 1
	Decision  Decision         `json:"decision"` // masked (domain reference 7.2)
	Mode      string           `json:"mode"`     // of the lane: staffed, auto, manual
	Evidence  passage.Evidence `json:"evidence"`
	Facts     passage.Facts    `json:"facts"`  // lists, draw; without hits
	Policy    string           `json:"policy"` // digest; the whole stands in an audit.policy event
	Clock     Clock            `json:"clock"`
	LatencyUS int64            `json:"latency_us"` // from the deciding input to the decision
}

// CrossingEnded closes a passage.
type CrossingEnded struct {
	Passage    string    `json:"passage"`
	Revisions  int       `json:"revisions"`  // decisions made
	Outcome    string    `json:"outcome"`    // of the last decision, masked
	End        string    `json:"end"`        // cleared, aborted, timedout, restart
	Released   bool      `json:"released"`   // by the officer (902)
	Referred   bool      `json:"referred"`   // by the officer (901)
	Overridden bool      `json:"overridden"` // released over REFER (903)
	StartedAt  time.Time `json:"started_at"`
	EndedAt    time.Time `json:"ended_at"`
	Clock      Clock     `json:"clock"`
}

// LookoutAlert tells the watch desk, and nobody else, what a lookout matched.
type LookoutAlert struct {
	Passage  string        `json:"passage"`
	Revision int           `json:"revision"`
	Decision Decision      `json:"decision"` // whole, unmasked
	Hits     []passage.Hit `json:"hits"`
	Draw     int           `json:"draw"` // the real one; the crossing's may be masked
	Clock    Clock         `json:"clock"`
}

// Notice tells headquarters of something that should not happen: a receipt of
// another epoch, one beyond our sequence, a broker that refuses a topic.
type Notice struct {
	What   string `json:"what"`   // short constant word: receipt_epoch, receipt_beyond, ...
	Detail string `json:"detail"` // no identifier, at most 500 bytes
	Clock  Clock  `json:"clock"`
}

// PlateRead says that a camera has posted a plate. It is stored before the
// camera is told that all is well (licence plate readers, section 3), whether
// there is a vehicle at the booth or not. The envelope's time is that of the
// report's arrival.
type PlateRead struct {
	Device string        `json:"device"`
	Role   string        `json:"role"`
	Plate  passage.Plate `json:"plate"` // no tokens: nothing was read, or the booth has no token key
	// CameraAt is when the camera has seen it by its own clock, which may be wrong.
	CameraAt time.Time `json:"camera_at,omitzero"`
	// Late tells that the report came when its vehicle had gone: no passage has it.
	Late  bool  `json:"late,omitzero"`
	Clock Clock `json:"clock"`
}

// DeviceChanged says that a device came or went.
type DeviceChanged struct {
	Device string `json:"device"`
	Role   string `json:"role"`
	Online bool   `json:"online"`
	Reason string `json:"reason,omitempty"`
	Clock  Clock  `json:"clock"`
}

// ListRef names one generation of a list.
type ListRef struct {
	Kind       string `json:"list"`
	Generation uint64 `json:"gen"`
	Digest     string `json:"digest"` // sha256:HEX over the sorted rows
	Rows       int64  `json:"rows"`
}

// ListApplied says that decisions now stand on another generation.
type ListApplied struct {
	ListRef
	Former uint64 `json:"former"` // generation before, 0 for none
	Via    string `json:"via"`    // mqtt, https, directory
	Clock  Clock  `json:"clock"`
}

// ListFailed says that a list was refused and the old one stays.
type ListFailed struct {
	Kind       string `json:"list"` // "" if the metadata itself was refused
	Generation uint64 `json:"gen,omitzero"`
	Reason     string `json:"reason"`
	Clock      Clock  `json:"clock"`
}

// ClockChanged says that the clock's quality changed.
type ClockChanged struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Clock Clock  `json:"clock"`
}

// ClockCorrected says that the wall clock was stepped. Events of this boot
// with a smaller mono_us are off by OffsetUS; stored events are never rewritten.
type ClockCorrected struct {
	OffsetUS int64 `json:"offset_us"` // new minus old wall clock
	Clock    Clock `json:"clock"`     // boot and mono of the step
}

// SignalFault says that a lamp does not show what it was told (212).
type SignalFault struct {
	Head    string `json:"head"` // traveller, officer, gate
	Lamp    string `json:"lamp"`
	Fault   string `json:"fault"` // conflict, dark, stuck, unreadable, write
	Latched bool   `json:"latched"`
	Clock   Clock  `json:"clock"`
}

// Started opens the record of one run of the daemon.
type Started struct {
	Version string `json:"version"`
	Boot    string `json:"boot"`
	Config  string `json:"config"` // digest
	Policy  string `json:"policy"` // digest
	Clean   bool   `json:"clean"`  // the run before ended with Stopped
	Clock   Clock  `json:"clock"`
}

// Stopped closes it.
type Stopped struct {
	Reason string `json:"reason"` // signal, reload, fault
	Clock  Clock  `json:"clock"`
}

// PolicySet carries the whole policy behind a digest, once per change.
type PolicySet struct {
	Digest string         `json:"digest"`
	Policy passage.Policy `json:"policy"`
	Clock  Clock          `json:"clock"`
}

// EpochChanged is the first event of a new journal.
type EpochChanged struct {
	Old   string `json:"old"` // "" for a new box
	New   string `json:"new"`
	Why   string `json:"why"` // created, restored, set_aside
	Clock Clock  `json:"clock"`
}

// ConfigChanged says that another configuration is in force.
type ConfigChanged struct {
	Old   string `json:"old"` // digests
	New   string `json:"new"`
	Clock Clock  `json:"clock"`
}

// Checkpoint fixes the head of the hash chain. What counts is in the envelope,
// a signed CheckpointBody; Seq and Head repeat it for people.
type Checkpoint struct {
	Seq   uint64   `json:"seq"`
	Head  string   `json:"head"` // SHA-256 of the stored bytes of Seq, hex
	Seal  Envelope `json:"seal"`
	Clock Clock    `json:"clock"`
}

// Thinned explains holes: telemetry given up because the store was near full.
// Count of the numbers From..To are given up, which are those of Gone. They need
// not come any more; one that was on its way already may. All others of that range
// are kept until they are receipted.
type Thinned struct {
	From  uint64      `json:"from"`
	To    uint64      `json:"to"`
	Count uint64      `json:"count"`
	Gone  [][2]uint64 `json:"gone,omitempty"` // in order, apart, both ends included; none: all of From..To
	Clock Clock       `json:"clock"`
}

// MaxThinned is how many numbers one event gives up at most: twice the journal's
// bound.
const MaxThinned = 512

// Numbers are the ranges that were given up, in order, apart and both ends
// included. It is an error if the event contradicts itself.
func (t Thinned) Numbers() ([][2]uint64, error) {
	gone := t.Gone
	if len(gone) == 0 {
		gone = [][2]uint64{{t.From, t.To}}
	}
	count, before := uint64(0), uint64(0)
	for i, r := range gone {
		if r[0] == 0 || r[1] < r[0] || i > 0 && r[0] <= before+1 || r[1]-r[0] >= MaxThinned || r[1] > math.MaxInt64 {
			return nil, fmt.Errorf("thinned: range %d to %d is out of order or too long", r[0], r[1])
		}
		count, before = count+r[1]-r[0]+1, r[1]
	}
	if gone[0][0] != t.From || before != t.To || count != t.Count || count > MaxThinned {
		return nil, fmt.Errorf("thinned: %d numbers from %d to %d do not agree with %d of %d to %d", count, gone[0][0], before, t.Count, t.From, t.To)
	}
	return gone, nil
}

// Purged says which lookouts have left the booth, bytes and all, because they
// expired (domain reference, section 6). It names lookouts, never subjects.
type Purged struct {
	Kind       string       `json:"list"`
	Generation uint64       `json:"gen"`
	Lookouts   []LookoutRef `json:"lookouts"` // at most MaxPurged; more are told by further events
	Clock      Clock        `json:"clock"`
}

// LookoutRef names one version of a lookout.
type LookoutRef struct {
	ID      string `json:"id"`
	Version uint64 `json:"version"`
}

// MaxPurged is how many lookouts one event names.
const MaxPurged = 128

// Type names the event.
func (CrossingDecided) Type() Type { return TypeCrossingDecided }

// Type names the event.
func (CrossingEnded) Type() Type { return TypeCrossingEnded }

// Type names the event.
func (LookoutAlert) Type() Type { return TypeLookoutAlert }

// Type names the event.
func (Notice) Type() Type { return TypeNotice }

// Type names the event.
func (PlateRead) Type() Type { return TypePlateRead }

// Type names the event.
func (DeviceChanged) Type() Type { return TypeDeviceChanged }

// Type names the event.
func (ListApplied) Type() Type { return TypeListApplied }

// Type names the event.
func (ListFailed) Type() Type { return TypeListFailed }

// Type names the event.
func (ClockChanged) Type() Type { return TypeClockChanged }

// Type names the event.
func (ClockCorrected) Type() Type { return TypeClockCorrected }

// Type names the event.
func (SignalFault) Type() Type { return TypeSignalFault }

// Type names the event.
func (Started) Type() Type { return TypeStarted }

// Type names the event.
func (Stopped) Type() Type { return TypeStopped }

// Type names the event.
func (PolicySet) Type() Type { return TypePolicy }

// Type names the event.
func (EpochChanged) Type() Type { return TypeEpoch }

// Type names the event.
func (ConfigChanged) Type() Type { return TypeConfig }

// Type names the event.
func (Checkpoint) Type() Type { return TypeCheckpoint }

// Type names the event.
func (Thinned) Type() Type { return TypeThinned }

// Type names the event.
func (Purged) Type() Type { return TypePurged }

func (d CrossingDecided) subject() string { return "crossing/" + d.Passage }
func (d CrossingEnded) subject() string   { return "crossing/" + d.Passage }
func (d LookoutAlert) subject() string    { return "crossing/" + d.Passage }
func (Notice) subject() string            { return "booth" }
func (d PlateRead) subject() string       { return "device/" + d.Device }
func (d DeviceChanged) subject() string   { return "device/" + d.Device }
func (d ListApplied) subject() string     { return "list/" + d.Kind }
func (d ListFailed) subject() string      { return "list/" + d.Kind }
func (ClockChanged) subject() string      { return "clock" }
func (ClockCorrected) subject() string    { return "clock" }
func (d SignalFault) subject() string     { return "signal/" + d.Head }
func (Started) subject() string           { return "booth" }
func (Stopped) subject() string           { return "booth" }
func (PolicySet) subject() string         { return "booth" }
func (EpochChanged) subject() string      { return "journal" }
func (ConfigChanged) subject() string     { return "booth" }
func (Checkpoint) subject() string        { return "journal" }
func (Thinned) subject() string           { return "journal" }
func (Purged) subject() string            { return "list/lookouts" }
