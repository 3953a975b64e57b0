// Package devices holds the words in which hardware speaks: what a reader
// read, from which device, in which role, and when. Types only; each protocol
// lives in a folder of its own below and knows nothing of borders.
//
// RSSI is in dBm, antenna ports count from 1, times are arrival of the first
// byte (or the kernel's edge stamp) at this box.
package devices

import (
	"fmt"
	"log/slog"
	"time"
)

// Ident is an identifier as the hardware read it: a tag number in upper-case
// hex, a plate as printed. It is personal. Every ordinary way of printing it
// gives a mask, so that it cannot reach a log, an error or JSON by accident;
// Reveal is the one deliberate way out.
type Ident string

// Reveal returns the identifier in clear. Callers make a token of it at once.
func (i Ident) Reveal() string { return string(i) }

// String masks: it tells only whether there is an identifier and how long.
func (i Ident) String() string { return fmt.Sprintf("ident(%d)", len(i)) }

// GoString masks under %#v.
func (i Ident) GoString() string { return i.String() }

// Format masks under every verb, %x and %q included.
func (i Ident) Format(f fmt.State, _ rune) { fmt.Fprint(f, i.String()) }

// LogValue masks in structured logs.
func (i Ident) LogValue() slog.Value { return slog.StringValue(i.String()) }

// MarshalText masks in JSON, TOML and the like.
func (i Ident) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// Role is what a device is for, as the technician wrote it.
type Role string

// The roles a reader may have.
const (
	RoleCard       Role = "card"        // trusted-traveller cards
	RolePlateFront Role = "plate.front" // plate camera, front
	RolePlateRear  Role = "plate.rear"  // plate camera, rear
	RoleDocument   Role = "document"    // machine-readable zones
	RoleScan       Role = "scan"        // bar codes of trade
	RoleSeal       Role = "seal"        // bar codes of seals
	RoleKeypad     Role = "keypad"      // the officer's
	RoleReceipt    Role = "receipt"     // a kiosk's printer
)

// Read is one report by one reader. Exactly one of the pointers is set.
type Read struct {
	Device string    // name from the configuration
	Role   Role      // from the configuration
	At     time.Time // arrival of the frame's first byte, with monotonic part
	Tag    *Tag
	Plate  *Plate

	Document *Document
	Scan     *Scan
	Key      *Key
}

// Tag is one UHF tag seen.
type Tag struct {
	EPC        Ident // upper-case hex; empty if the tag was seen but not decoded
	TID        Ident // upper-case hex; empty if not read
	RSSIDBm    int
	Antenna    int
	Unreadable bool // a tag answered, but its EPC failed the check (reason 401)
	// Gen2 says that EPC and TID are the memory of a Gen2 UHF tag; with Unreadable,
	// that it is blank. ISO says of such a tag that its number is no EPC of GS1.
	Gen2, ISO bool
	// DeviceAt is when the tag was last seen by the reader's own clock, zero if not
	// told. It may be wrong, so nothing is decided by it: it is shown beside At.
	DeviceAt time.Time
}

// Plate is one plate report.
type Plate struct {
	Text         Ident   // exactly as read
	Jurisdiction string  // "ON", "NY", ...; empty if not reported
	Confidence   float64 // 0..1; negative if the camera does not say
	NoRead       bool    // the camera saw a vehicle and no plate
	Camera       string
	DeviceAt     time.Time // the camera's own clock; zero if not reported
	// Candidates are what the camera says it may be instead, the likeliest first.
	Candidates []Ident
}

// CandidatesMost is how many candidates a report may have; ours: cameras give
// three to ten, of which the last are guesses.
const CandidatesMost = 4

// Document is one travel document read by its machine-readable zone.
type Document struct {
	Issuer      string // issuing state, 3 letters
	Number      Ident  // empty if a check digit is wrong
	CheckFailed bool   // a check digit is wrong (reason 415)
	Unreadable  bool   // something was there and could not be read (reason 401)
}

// Scan is one bar code.
type Scan struct {
	Text       Ident // without symbology, start and end
	Unreadable bool  // too long, or with characters that no bar code of trade has
}

// Key is one press on a keypad: a button, or a plate that was typed.
type Key struct {
	Button       string // name of the button as the configuration wires points; "" for a plate
	Plate        Ident
	Jurisdiction string // of the plate; "" if none was typed
}

// Pulse is one falling edge on one of a pair of lines.
type Pulse struct {
	Line  int           // 0 or 1
	Stamp time.Duration // of the edge, by the chip's own clock: to compare with others of the pair
	At    time.Time     // the same on this box's clock, with monotonic part
	Lost  bool          // pulses of the pair before this one were lost, or it came out of order
}

// Silent is the error of a device that does not answer, in its driver's words.
// Nothing is there to be hammered: it is asked again every second, however long
// it has been away, so that one whose cable is back is back itself within 3 s
// (device protocols, faults).
type Silent string

func (s Silent) Error() string { return string(s) }

// Counters is what each serial driver counts (protocols, rules of every
// driver): the only diagnosis in the field. All are totals since start.
type Counters struct {
	Bytes, Frames, CheckErrors, Timeouts, Resyncs, Reopens uint64
	// Repeats are reports that were held back since they said again what was
	// said, of the same vehicle or document.
	Repeats uint64
}
