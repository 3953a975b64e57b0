package configs

import (
	"fmt"
	"strings"
)

// choose takes one of the allowed words, or says which there are.
func choose[T ~string](dst *T, text []byte, allowed ...T) error {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		if string(a) == string(text) {
			*dst = a
			return nil
		}
		words[i] = string(a)
	}
	return &valueError{
		msg:  fmt.Sprintf("%s is not one of %s", quoted(string(text)), listed(words)),
		hint: didYouMean(string(text), words),
	}
}

// listed gives `"a", "b"`.
func listed(words []string) string {
	return `"` + strings.Join(words, `", "`) + `"`
}

// quoted quotes a value for a message, the first 40 characters of it.
func quoted(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return fmt.Sprintf("%q", s)
}

// Direction of the traffic.
type Direction string

// Directions: whose rules apply (domain reference, head).
const (
	ToCanada Direction = "CA"
	ToUS     Direction = "US"
)

// UnmarshalText takes "CA" or "US".
func (d *Direction) UnmarshalText(b []byte) error { return choose(d, b, ToCanada, ToUS) }

// LaneType is the kind of lane.
type LaneType string

// Lane types.
const (
	NEXUS    LaneType = "nexus"
	FAST     LaneType = "fast"
	NEXUSAir LaneType = "nexus-air"
	Ready    LaneType = "ready"
	General  LaneType = "general"
)

// UnmarshalText takes a lane type.
func (t *LaneType) UnmarshalText(b []byte) error {
	return choose(t, b, NEXUS, FAST, NEXUSAir, Ready, General)
}

// LightMode is what the traveller's light may tell.
type LightMode string

// Light modes: Staffed keeps the traveller at red until the officer acts, Auto
// (kiosk, eGate) maps the outcome to the light without a reason.
const (
	Staffed LightMode = "staffed"
	Auto    LightMode = "auto"
)

// UnmarshalText takes "staffed" or "auto".
func (m *LightMode) UnmarshalText(b []byte) error { return choose(m, b, Staffed, Auto) }

// Program is a trusted-traveller programme.
type Program string

// Programmes (domain reference, sections 1 to 3).
const (
	ProgramNEXUS       Program = "NEXUS"
	ProgramSENTRI      Program = "SENTRI"
	ProgramGlobalEntry Program = "GLOBAL_ENTRY"
	ProgramFAST        Program = "FAST"
	ProgramCDRP        Program = "CDRP"
)

// UnmarshalText takes a programme.
func (p *Program) UnmarshalText(b []byte) error {
	return choose(p, b, ProgramNEXUS, ProgramSENTRI, ProgramGlobalEntry, ProgramFAST, ProgramCDRP)
}

// FASTPolicy is what a carrier or importer must be (domain reference, section 3).
type FASTPolicy string

// FAST policies.
const (
	CSAAndPIP FASTPolicy = "CSA_AND_PIP"
	PIPOrBoth FASTPolicy = "PIP_OR_BOTH"
	CTPAT     FASTPolicy = "CTPAT"
)

// UnmarshalText takes a FAST policy.
func (p *FASTPolicy) UnmarshalText(b []byte) error { return choose(p, b, CSAAndPIP, PIPOrBoth, CTPAT) }

// AckMode says what counts as delivered.
type AckMode string

// Ack modes (mqtt contract, section 5): headquarters' receipt, or only the
// broker's PUBACK, where no headquarters' receiver exists.
const (
	AckReceipt AckMode = "receipt"
	AckPuback  AckMode = "puback"
)

// UnmarshalText takes "receipt" or "puback".
func (m *AckMode) UnmarshalText(b []byte) error { return choose(m, b, AckReceipt, AckPuback) }

// Role is what a device is for.
type Role string

// Roles, in the words of package devices.
const (
	RoleCard       Role = "card"
	RolePlateFront Role = "plate.front"
	RolePlateRear  Role = "plate.rear"
	RoleDocument   Role = "document"
	RoleScan       Role = "scan" // bar codes of carrier, importer, cargo, trip and container
	RoleSeal       Role = "seal" // bar codes of seals alone
	RoleKeypad     Role = "keypad"
	RoleReceipt    Role = "receipt"
)

// UnmarshalText takes a role.
func (r *Role) UnmarshalText(b []byte) error {
	return choose(r, b, RoleCard, RolePlateFront, RolePlateRear, RoleDocument, RoleScan, RoleSeal, RoleKeypad, RoleReceipt)
}

// StricterReasons are the reasons that policy.primary_on and refer_on may name:
// all of the domain's but the good ones, lookouts', the draw's and the officer's.
var StricterReasons = []int{
	200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213, 214, 400, 401, 402, 403, 404, 405, 406, 407, 408,
	409, 410, 411, 412, 413, 414, 415, 416, 500, 501, 502, 503, 600, 601, 602, 603, 604, 605, 700, 701, 702, 703, 704, 705,
	706, 707, 708, 709, 710, 711, 800, 801, 802, 803, 804, 805, 806, 807, 850, 851, 852, 853, 854, 855, 856,
}

// BoardProtocol is how a board of relays is spoken to.
type BoardProtocol string

// Protocols of boards (GPIO, relays and serial ports).
const (
	BoardModbus    BoardProtocol = "modbus"           // coils and discrete inputs
	BoardRegisters BoardProtocol = "modbus-registers" // relays are holding registers, inputs input registers
	BoardLCUS      BoardProtocol = "lcus"             // up to 8 relays, no answers
	BoardLCUSReply BoardProtocol = "lcus-answer"      // one that answers
	BoardLCUSText  BoardProtocol = "lcus-text"        // one that says in words how its relays stand
	BoardNumato    BoardProtocol = "numato"           // in words
)

// UnmarshalText takes a protocol.
func (p *BoardProtocol) UnmarshalText(b []byte) error {
	return choose(p, b, BoardModbus, BoardRegisters, BoardLCUS, BoardLCUSReply, BoardLCUSText, BoardNumato)
}

// Charset is how a report's bytes are letters.
type Charset string

// Charsets.
const (
	CharsetASCII  Charset = "ascii"
	CharsetLatin1 Charset = "latin-1"
	CharsetUTF8   Charset = "utf-8"
)

// UnmarshalText takes a charset.
func (c *Charset) UnmarshalText(b []byte) error {
	return choose(c, b, CharsetASCII, CharsetLatin1, CharsetUTF8)
}

// ClockSource is who judges the wall clock.
type ClockSource string

// Clock sources: the kernel's own discipline (adjtimex), or the host that a
// container or virtual machine runs on, which is then trusted.
const (
	ClockKernel ClockSource = "kernel"
	ClockHost   ClockSource = "host"
)

// UnmarshalText takes "kernel" or "host".
func (s *ClockSource) UnmarshalText(b []byte) error { return choose(s, b, ClockKernel, ClockHost) }
